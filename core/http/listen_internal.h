/* The listening socket of the HTTP server: made here and not by libmicrohttpd, so that a taken
 * port, a stale Unix socket or a bad address is told in one clear line.
 * Neighbours: server.c only. */
#ifndef MAGNUM_HTTP_LISTEN_INTERNAL_H
#define MAGNUM_HTTP_LISTEN_INTERNAL_H

#include "base/err.h"

#include <sys/types.h>

struct config;

struct http_listener {
    int fd;          /* closed by whoever took it over */
    int port;        /* 0 for a Unix socket */
    char *unix_path; /* owned; NULL for TCP */
    dev_t dev;       /* the socket file we made, so that a successor's is never removed */
    ino_t ino;
};

/* api_unix_socket when set, else api_host:api_port. ERR_CONFIG (bad address), ERR_BUSY (taken). */
int http_listen(const struct config *cfg, struct http_listener *ret, struct err *e) MUST_CHECK;
/* Removes the socket file if it is still ours and frees the path; leaves the descriptor alone. */
void http_listener_done(struct http_listener *l);

#endif
