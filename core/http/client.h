/* Outgoing HTTP: libcurl behind one call, for the brokered driver requests, Keystone, and the
 * services that validation asks. The only folder that includes curl. Connections are kept per
 * client handle and shared by its users. Thread-safe. Neighbours: conductor (broker), auth, api
 * (catalogue), cmd (the CLI). */
#ifndef MAGNUM_HTTP_CLIENT_H
#define MAGNUM_HTTP_CLIENT_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;
struct sockaddr;

/* Appends text as one part of a path or of a query: everything but unreserved characters escaped.
 */
void http_escape(struct str *to, const char *text);

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
    int max_redirects; /* followed at most; 0: none, the answer is the redirect */
    /* Which addresses may be connected to, also behind names and redirects; NULL = all. With it no
     * proxy is used, and no connection made earlier. */
    bool (*may_connect)(void *ctx, const struct sockaddr *to);
    void *may_connect_ctx;
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
 * answer), ERR_TIMEOUT, ERR_TOO_LARGE, ERR_PROTOCOL, ERR_INVALID (bad URL or TLS material),
 * ERR_FORBIDDEN (an address that may_connect refused). */
int http_client_do(struct http_client *c, const struct http_call *call, struct http_answer *ret,
                   struct err *e) MUST_CHECK;

/* Several exchanges at the same time; returns when all have ended. Of each task the caller sets
 * call; rc, and answer or e, are set here. Answers are the caller's to free. */
struct http_task {
    struct http_call call;
    struct http_answer answer;
    int rc;
    struct err e;
};
void http_client_do_all(struct http_client *c, struct http_task *tasks, size_t n);

#endif
