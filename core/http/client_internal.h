/* Inside the outgoing client: one exchange, as client.c makes it alone and client_many.c several at
 * a time. */
#ifndef MAGNUM_HTTP_CLIENT_INTERNAL_H
#define MAGNUM_HTTP_CLIENT_INTERNAL_H

#include "base/str.h"
#include "base/trace.h"
#include "http/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { IDLE_HANDLES = 16, IDLE_SETS = 8 };

struct http_client {
    pthread_mutex_t lock;
    CURL *idle[IDLE_HANDLES];    /* each keeps its own connections */
    CURLM *idle_sets[IDLE_SETS]; /* so does each of these, for its handles */
    size_t n_idle, n_idle_sets;
};

/* One exchange while it runs. */
struct exchange {
    CURL *curl;
    const struct http_call *call;
    struct curl_slist *lines;
    struct str body, headers;
    size_t max_body;
    bool too_large, forbidden;
    char text[CURL_ERROR_SIZE];
    char refused[256];      /* which certificate of the peer is out of its time, and since when */
    struct trace_span span; /* within the caller's trace; empty when it has none */
};

/* Checks the call and sets the options of x->curl, which the caller has set; then it may run. */
int exchange_begin(struct exchange *x, const struct http_call *call, struct err *e) MUST_CHECK;
/* cc: how it ran. */
int exchange_end(struct exchange *x, CURLcode cc, struct http_answer *ret,
                 struct err *e) MUST_CHECK;
void exchange_done(struct exchange *x); /* the handle stays the caller's */

/* client_tls.c: fills x->refused when verification fails for a certificate's time. */
CURLcode client_tls_watch(struct exchange *x);

/* Around whatever lets curl write. */
struct quiet {
    sigset_t pipe_set, old;
    bool was_pending;
};
void quiet_begin(struct quiet *q);
void quiet_end(const struct quiet *q);

#endif
