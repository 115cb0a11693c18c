/* Outgoing HTTP: libcurl behind one call, for the brokered driver requests and (later) Keystone,
 * Heat, Barbican. The only folder that includes curl. Connections are kept per client handle and
 * shared by its users. Thread-safe. Neighbours: conductor (broker), auth, cmd (the CLI). */
#ifndef MAGNUM_HTTP_CLIENT_H
#define MAGNUM_HTTP_CLIENT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;

struct http_call {
    const char *method, *url;   /* http or https only */
    const char *unix_socket;    /* NULL, or the socket that carries it */
    const char *const *headers; /* "Name: value", NULL-terminated; NULL = none */
    const void *body;
    size_t body_len;
    int64_t timeout_ms;
    size_t max_body;                         /* a longer answer: ERR_TOO_LARGE; 0 = 4 MiB */
    const char *ca_pem, *cert_pem, *key_pem; /* TLS material as PEM text; NULL = system CAs, none */
    bool insecure;
};
struct http_answer {
    int status;
    char *body; /* owned, NUL-terminated beyond len */
    size_t len;
    char *headers; /* owned: lower-case "name: value\n" lines */
};
void http_answer_done(struct http_answer *a);

int http_client_new(struct http_client **ret, struct err *e) MUST_CHECK;
void http_client_free(struct http_client **c);
/* One exchange; any HTTP status is success. ERR_UNAVAILABLE (refused, unresolved, reset before the
 * answer), ERR_TIMEOUT, ERR_TOO_LARGE, ERR_PROTOCOL, ERR_INVALID (bad URL or TLS material). */
int http_client_do(struct http_client *c, const struct http_call *call, struct http_answer *ret,
                   struct err *e) MUST_CHECK;

#endif
