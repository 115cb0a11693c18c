/* Serves this process's metrics (base/metrics.h) over HTTP: on a listener of their own, or as one
 * path of another one. Neighbours: api, cmd. */
#ifndef MAGNUM_HTTP_METRICS_SERVER_H
#define MAGNUM_HTTP_METRICS_SERVER_H

#include "http/server.h"

/* A listener for GET /metrics alone, with the other limits of the API. where: HOST:PORT, brackets
 * around an IPv6 address; port 0 lets the kernel choose. ERR_CONFIG, ERR_BUSY (taken). Ended by
 * http_server_stop. */
int metrics_server_start(const struct config *cfg, const char *where, struct http_server **ret,
                         struct err *e) MUST_CHECK;
/* Sets up this program's metrics, unless the configuration says that there are none. */
int metrics_begin(const struct config *cfg, const char *program, struct err *e) MUST_CHECK;
/* Then, when all else has started, the listener, unless where is empty. A port that is taken is
 * told in the log and left: metrics are no reason not to work. */
int metrics_serve(const struct config *cfg, const char *where, struct http_server **ret,
                  struct err *e) MUST_CHECK;
/* The answer to GET or HEAD of /metrics; 405 to other methods. */
void metrics_answer(const struct http_request *rq, struct http_response *rp);

#endif
