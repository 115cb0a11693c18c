/* The HTTP listener of magnum-api: libmicrohttpd with an epoll thread pool, limits on everything,
 * graceful stop. It knows nothing of Magnum: it hands complete, bounded requests to one handler.
 * The answer is queued on the access handler's second (or later) call, never on the first: that
 * would close the connection and cost five times the throughput.
 * Limits come from config (api_*): over-long headers 431, over-long bodies 413, both with the
 * handler's error body (through http_reject_fn) and the connection kept usable where possible. With
 * all api.max_connections taken a new one pushes out the oldest idle one, else the one that has
 * been sending its request longest; only when all are at work it gets a 503.
 * Neighbours: api (handler), cmd. */
#ifndef MAGNUM_HTTP_SERVER_H
#define MAGNUM_HTTP_SERVER_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct config;
struct http_server;

struct http_request {
    const char *method, *path; /* path percent-decoded; never NULL */
    const char *raw_path;      /* as sent, without query */
    const char *body;          /* never NULL; NUL-terminated beyond len */
    size_t body_len;
    bool has_body;      /* a Content-Length > 0 or chunked body was announced */
    bool semicolons;    /* the query has one that is not escaped */
    bool from_loopback; /* loopback address or unix socket */
    int64_t parked_ms;  /* clock_mono_ms() when this request was first parked; 0 = it was not */
    bool gone;          /* the client went away while it was parked */
    bool follows;       /* http_request_follow was called for it before */
    void *impl;
};
/* First value of a header, NULL when absent; case-insensitive. */
const char *http_request_header(const struct http_request *r, const char *name);
/* Appends all values of a header, joined by commas as RFC 9110 allows; nothing when it is absent.
 */
void http_request_header_all(const struct http_request *r, const char *name, struct str *to);
/* So many of the pool's threads are in handlers that this request should not take another one: a
 * few that wait must not keep the rest from being heard. */
bool http_request_crowded(const struct http_request *r);
/* The handler that ran last has put the request aside. */
bool http_request_parked(const struct http_request *r);
/* Calls fn for every query argument in order (value "" when it has none). */
void http_request_query(const struct http_request *r,
                        void (*fn)(void *ctx, const char *name, const char *value), void *ctx);

/* One field of a form (application/x-www-form-urlencoded), decoded; NULL: it has none, its escapes
 * are wrong, or memory is gone. Caller frees. */
char *http_form_value(const char *body, const char *name);

struct http_response {
    int status;
    struct str body;
    struct {
        const char
            *name;   /* static or borrowed until the handler returned and the answer is queued */
        char *value; /* owned */
    } headers[24];
    size_t n_headers;
    const char *route; /* static: what the metrics count it as; NULL = refused by the listener */
    bool waited;       /* for news, on purpose: how long it took says nothing */
};
/* Copies value; ERR_NOMEM. */
int http_response_header(struct http_response *r, const char *name, const char *value);
void http_response_done(struct http_response *r);

/* Fills *resp completely (any status). Runs on one of the pool's threads; may block. */
typedef void (*http_handler)(void *ctx, const struct http_request *req, struct http_response *resp);
/* Fills *resp for a request that was refused before it was complete (code from err.def). */
typedef void (*http_reject_fn)(void *ctx, const struct http_request *req, const struct err *why,
                               struct http_response *resp);

int http_server_start(const struct config *cfg, http_handler handler, http_reject_fn reject,
                      void *ctx, struct http_server **ret, struct err *e) MUST_CHECK;

/* Putting a request aside without a thread: the handler calls http_request_park, gives the ticket
 * to whoever will know more, and returns; what it put into the answer is dropped. After a ring
 * (which may come first, or more than once) it is called again with the same request, and may park
 * again. A client that goes away rings too (then `gone` is set). NULL: out of memory. */
struct http_ticket;
struct http_ticket *http_request_park(const struct http_request *r);
/* It is answered after all: what was put into the answer counts. The ticket stays the caller's. */
void http_request_unpark(const struct http_request *r);
/* It was parked because it waits for news, and not only for its turn: later calls will know. */
void http_request_follow(const struct http_request *r);
/* The request's ticket, borrowed; NULL: it was never put aside. */
const struct http_ticket *http_request_ticket(const struct http_request *r);
/* A connection that breaks while its request is put aside may end without the handler being asked
 * again: fn is told of it. Before the handler returns; fn stays for as long as the connection, is
 * called without any lock, and may be called for a request that is over. */
void http_ticket_tell(struct http_ticket *t, void (*fn)(void *ctx, const struct http_ticket *t),
                      void *ctx);
/* Has its connection ended? What is held for the request is then held for nobody. Any thread. */
bool http_ticket_closed(struct http_ticket *t);
void http_ticket_ring(struct http_ticket *t); /* any thread */
void http_ticket_done(struct http_ticket *t); /* gives the reference back */

/* Says whether a complete request will wait for somebody (a conductor, a durable commit). Such
 * requests run on threads of their own (api.wait_threads), so that those that only read are never
 * behind them. Must be quick; called on the pool's threads. */
typedef bool (*http_waits_fn)(void *ctx, const struct http_request *req);
/* The same with that question asked before each handler call (NULL: nothing waits). */
int http_server_start_waits(const struct config *cfg, http_handler handler, http_reject_fn reject,
                            http_waits_fn waits, void *ctx, struct http_server **ret,
                            struct err *e) MUST_CHECK;
int http_server_port(const struct http_server *s); /* 0 for a unix socket */
/* Requests that are read, worked on or answered at this moment. Any thread. */
unsigned http_server_in_flight(const struct http_server *s);
/* Connections now, and what became of others since the start. Any thread. */
struct http_server_counts {
    uint64_t open;
    uint64_t pushed_out; /* idle or slow ones that made room for new ones */
    uint64_t refused;    /* new ones, because all others were at work */
    uint64_t expired;    /* idle, slow or stalled for api.request_timeout_s */
    uint64_t cut_off;    /* in the middle of an answer, because too much was unread */
    uint64_t unread;     /* bytes of answers that clients have not taken yet */
};
void http_server_count(struct http_server *s, struct http_server_counts *ret);
/* Stops accepting, lets requests in flight finish (api_shutdown_timeout_s), closes. */
void http_server_stop(struct http_server **s);

#endif
