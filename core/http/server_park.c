/* Requests that wait for news without a thread: the connection is suspended, and whoever holds the
 * request's ticket rings when the handler should be asked again. The ticket belongs to the
 * connection and outlives it as long as somebody holds it, so that a ring may come at any time; one
 * that comes for an earlier request of the connection only makes the handler look once more.
 * Neighbours: server_internal.h. */
#include "base/clock.h"
#include "http/server_internal.h"

struct http_ticket {
    pthread_mutex_t lock;
    atomic_uint refs;
    struct conn *conn; /* NULL: closed */
    bool asleep;       /* suspended, nobody works on it */
    bool rung;         /* while it was awake */
    bool gone;         /* the client is */
    void (*closed)(void *ctx, const struct http_ticket *t);
    void *ctx; /* its own */
};

struct http_ticket *park_ref(struct http_ticket *t)
{
    atomic_fetch_add(&t->refs, 1);
    return t;
}

void http_ticket_done(struct http_ticket *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

struct http_ticket *http_request_park(const struct http_request *r)
{
    struct conn *c = r->impl;
    struct http_ticket *t = atomic_load(&c->ticket);
    if (!t) {
        t = calloc(1, sizeof *t);
        if (!t)
            return NULL;
        pthread_mutex_init(&t->lock, NULL);
        atomic_init(&t->refs, 1);
        t->conn = c;
        atomic_store(&c->ticket, t);
    }
    if (c->pub.parked_ms == 0)
        c->pub.parked_ms = clock_mono_ms();
    c->parked = true;
    return park_ref(t);
}

void http_request_unpark(const struct http_request *r)
{
    struct conn *c = r->impl;
    c->parked = false;
}

void http_request_follow(const struct http_request *r)
{
    struct conn *c = r->impl;
    c->pub.follows = true;
}

const struct http_ticket *http_request_ticket(const struct http_request *r)
{
    struct conn *c = r->impl;
    return c ? atomic_load(&c->ticket) : NULL;
}

void http_ticket_tell(struct http_ticket *t, void (*fn)(void *ctx, const struct http_ticket *t),
                      void *ctx)
{
    pthread_mutex_lock(&t->lock);
    t->closed = fn;
    t->ctx = ctx;
    pthread_mutex_unlock(&t->lock);
}

void http_ticket_ring(struct http_ticket *t)
{
    pthread_mutex_lock(&t->lock);
    if (t->asleep) {
        t->asleep = false;
        MHD_resume_connection(t->conn->mhd);
    } else {
        t->rung = true;
    }
    pthread_mutex_unlock(&t->lock);
}

bool http_ticket_closed(struct http_ticket *t)
{
    pthread_mutex_lock(&t->lock);
    bool closed = !t->conn;
    pthread_mutex_unlock(&t->lock);
    return closed;
}

void park_gone(struct http_ticket *t)
{
    pthread_mutex_lock(&t->lock);
    t->gone = true;
    pthread_mutex_unlock(&t->lock);
    http_ticket_ring(t);
}

void park_wake(struct conn *c)
{
    struct http_ticket *t = atomic_load(&c->ticket);
    pthread_mutex_lock(&t->lock);
    c->pub.gone = t->gone;
    pthread_mutex_unlock(&t->lock);
}

bool park_sleep(struct conn *c, bool suspend)
{
    struct http_ticket *t = atomic_load(&c->ticket);
    c->parked = false;
    http_response_done(&c->answer);
    pthread_mutex_lock(&t->lock);
    bool sleeps = !t->rung;
    t->rung = false;
    if (sleeps) {
        c->again = true;
        if (suspend) /* under the lock: before anybody can resume it */
            MHD_suspend_connection(c->mhd);
        t->asleep = true;
    }
    pthread_mutex_unlock(&t->lock);
    return sleeps;
}

bool park_asleep(struct http_ticket *t)
{
    pthread_mutex_lock(&t->lock);
    bool asleep = t->asleep;
    pthread_mutex_unlock(&t->lock);
    return asleep;
}

void park_close(struct conn *c)
{
    struct http_ticket *t = atomic_exchange(&c->ticket, NULL);
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->conn = NULL;
    t->asleep = false;
    pthread_mutex_unlock(&t->lock);
    if (t->closed) /* nobody parks it any more, so nobody changes it */
        t->closed(t->ctx, t);
    http_ticket_done(t);
}
