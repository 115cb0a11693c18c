/* A small client of the Docker Engine API (1.41) over the host's HTTP: one exchange with one
 * daemon, errors as mag_error with the daemon's own message, and the read-change-write loop that
 * versioned objects (nodes, services, the swarm) need. Neighbours: http, plugins/swarm. */
#ifndef MAGNUM_SDK_LIB_DOCKER_H
#define MAGNUM_SDK_LIB_DOCKER_H

#include "lib/http.h"
#include "lib/json.h"

struct mag_docker { /* one daemon; copy freely */
    const mag_host *host;
    const mag_op *op;
    const char *service; /* "unix:/path/docker.sock" or "cluster"; borrowed */
    const char *name;    /* of the node, for messages; borrowed */
    uint32_t timeout_ms; /* per exchange; 0 = the budget */
};

/* Path without the version prefix. body and ret may be NULL. *status (may be NULL) is set whenever
 * the daemon answered. An answer of 2xx or 304 is MAG_OK; else MAG_E_INVALID (400), NOT_FOUND
 * (404), BUSY (409), UNAVAILABLE (500, 503 and others, retryable). An empty answer gives *ret =
 * NULL. The caller decrefs *ret. */
int32_t mag_docker_call(const struct mag_docker *d, const char *method, const char *path,
                        const json_t *body, json_t **ret, uint32_t *status, mag_error *err);

/* The same exchange with the answer as it came: any status, any body (streams are read to their
 * end). */
int32_t mag_docker_raw(const struct mag_docker *d, const char *method, const char *path,
                       const json_t *body, struct mag_http_answer *ret, mag_error *err);

/* GET /_ping: MAG_OK when the daemon serves requests. */
int32_t mag_docker_ping(const struct mag_docker *d, mag_error *err);

/* Changes a versioned object: reads `get_path`, hands a copy of its .Spec to change(), and posts it
 * to "<update_path>version=<Version.Index>" (update_path ends in '?' or '&'). Reads again and
 * repeats, at most five times, when someone else was faster. change() returns 1 to post, 0 when
 * nothing is to be done, or a negative MAG_E_* with err filled. */
typedef int32_t (*mag_docker_change_fn)(void *ctx, const json_t *object, json_t *spec,
                                        mag_error *err);
int32_t mag_docker_update(const struct mag_docker *d, const char *get_path, const char *update_path,
                          mag_docker_change_fn change, void *ctx, mag_error *err);

#endif
