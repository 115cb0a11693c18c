/* See follow.h. One thread keeps the times; the listener's thread rings at news. The list is short
 * (api.follow_waiters), so it is simply walked. */
#include "api/follow.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/uuid.h"
#include "config/config.h"
#include "db/db_event.h"
#include "db/db_service.h"
#include "http/server.h"
#include "rpc/rpc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_LOOK_MS = 30 }; /* what happened before the subscription had travelled */

struct waiter {
    char id[UUID_TEXT];
    bool cluster, looked;
    int64_t after, deadline_ms, look_ms;
    uint64_t serial;
    struct http_ticket *ticket;
};

/* What one look is about; the looking thread's own. */
struct look {
    struct event_wait due[EVENT_WAITS_MAX];
    char ids[EVENT_WAITS_MAX][UUID_TEXT];
    uint64_t serials[EVENT_WAITS_MAX];
    bool over[EVENT_WAITS_MAX];
    size_t n;
};

struct follow {
    const struct config *cfg;
    struct db *db;
    struct rpc_listener *listener;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct waiter *v; /* room for max */
    size_t n, max;
    uint64_t serial;
    bool closed, runs;
    pthread_t thread;
    struct look *look;
};

static void topic_of(const struct waiter *w, char topic[64])
{
    snprintf(topic, 64, "%s/%s", w->cluster ? "cl" : "op", w->id);
}

/* Under the lock. The ticket is rung there too: its own lock is the last one ever taken. */
static void take_out(struct follow *f, size_t i, bool ring)
{
    char topic[64];
    struct waiter w = f->v[i];
    f->v[i] = f->v[--f->n];
    topic_of(&w, topic);
    if (f->listener)
        rpc_listener_watch(f->listener, topic, false);
    if (ring)
        http_ticket_ring(w.ticket);
    http_ticket_done(w.ticket);
}

static void wake(struct follow *f, size_t i)
{
    take_out(f, i, true);
}

void follow_drop(struct follow *f, const struct http_ticket *ticket)
{
    pthread_mutex_lock(&f->lock);
    for (size_t i = f->n; i-- > 0;)
        if (f->v[i].ticket == ticket)
            take_out(f, i, false);
    pthread_mutex_unlock(&f->lock);
}

/* A connection may end before its request is asked again: nobody else gives such a place back.
 * Under the lock. */
static void drop_closed(struct follow *f)
{
    for (size_t i = f->n; i-- > 0;)
        if (http_ticket_closed(f->v[i].ticket))
            take_out(f, i, false);
}

static void wake_all(struct follow *f, const char *topic)
{
    char mine[64];
    pthread_mutex_lock(&f->lock);
    for (size_t i = f->n; i-- > 0;) {
        topic_of(&f->v[i], mine);
        if (!topic || strcmp(mine, topic) == 0)
            wake(f, i);
    }
    pthread_mutex_unlock(&f->lock);
}

static void news(void *ctx, const char *topic)
{
    wake_all(ctx, topic);
}

void follow_operation(struct follow *f, const char *operation_id)
{
    char topic[64];
    snprintf(topic, sizeof topic, "op/%s", operation_id);
    wake_all(f, topic);
}

/* ---- times ---- */

/* Ends the waits whose time is over, notes whom to look at now; returns when to come back. Under
 * the lock. */
static int64_t sort_out(struct follow *f)
{
    struct look *l = f->look;
    int64_t now = clock_mono_ms(), next = INT64_MAX;
    drop_closed(f);
    l->n = 0;
    for (size_t i = f->n; i-- > 0;) {
        struct waiter *w = &f->v[i];
        if (w->deadline_ms <= now) {
            wake(f, i);
            continue;
        }
        if (w->look_ms <= now && l->n < EVENT_WAITS_MAX) {
            size_t k = l->n++;
            memcpy(l->ids[k], w->id, sizeof w->id);
            l->due[k] = (struct event_wait){l->ids[k], w->cluster, w->after};
            l->serials[k] = w->serial;
            w->look_ms = now + f->cfg->api_follow_look_ms;
        }
        if (w->look_ms < next)
            next = w->look_ms;
        if (w->deadline_ms < next)
            next = w->deadline_ms;
    }
    return next;
}

static bool is_over(const struct look *l, uint64_t serial)
{
    for (size_t k = 0; k < l->n; k++)
        if (l->over[k] && l->serials[k] == serial)
            return true;
    return false;
}

static void look(struct follow *f)
{
    struct err e = ERR_INIT;
    if (db_events_news(f->db, f->look->due, f->look->n, f->look->over, &e) < 0) {
        log_warn("follow.look", "%s; looking again later", e.msg);
        return;
    }
    pthread_mutex_lock(&f->lock);
    for (size_t i = f->n; i-- > 0;)
        if (is_over(f->look, f->v[i].serial))
            wake(f, i);
    pthread_mutex_unlock(&f->lock);
}

static void *follow_main(void *arg)
{
    struct follow *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->closed) {
        int64_t next = sort_out(f);
        if (f->look->n) {
            pthread_mutex_unlock(&f->lock);
            look(f);
            pthread_mutex_lock(&f->lock);
            continue;
        }
        (void)cond_wait_until(&f->changed, &f->lock, next);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

int follow_add(struct follow *f, const char *id, bool cluster, int64_t after, int64_t deadline_ms,
               struct http_ticket *ticket, struct err *e)
{
    char topic[64];
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&f->lock);
    if (f->n == f->max)
        drop_closed(f);
    bool closed = f->closed, full = f->n == f->max;
    if (!closed && !full) {
        struct waiter *w = &f->v[f->n++];
        *w = (struct waiter){.cluster = cluster,
                             .after = after,
                             .deadline_ms = deadline_ms,
                             .look_ms = now + FIRST_LOOK_MS,
                             .serial = ++f->serial,
                             .ticket = ticket};
        snprintf(w->id, sizeof w->id, "%s", id);
        topic_of(w, topic);
        if (f->listener)
            rpc_listener_watch(f->listener, topic, true);
        pthread_cond_signal(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    if (!closed && !full)
        return 0;
    http_ticket_done(ticket);
    if (closed)
        return err_set(e, ERR_CANCELLED, "this process is stopping");
    return err_set(e, ERR_UNAVAILABLE, "Too many requests wait for events; try again later.");
}

/* ---- start and end ---- */
static int peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    const struct follow *f = ctx;
    struct mservice_list live = {NULL, 0};
    int rc = db_service_live(f->db, "magnum-conductor", f->cfg->rpc_peer_timeout_ms, &live, e);
    for (size_t i = 0; rc == 0 && i < live.n; i++) {
        const struct mservice *m = &live.v[i];
        struct rpc_peer *p = rpc_peer_list_add(ret, m->instance, m->endpoint, m->public_key);
        rc = p ? rpc_peer_news(p, m->news_endpoint) : ERR_NOMEM;
        if (rc)
            rc = err_nomem(e);
    }
    mservice_list_done(&live);
    return rc;
}

static int init(struct follow *f, bool with_news, struct err *e)
{
    pthread_mutex_init(&f->lock, NULL);
    cond_init(&f->changed);
    f->max = (size_t)f->cfg->api_follow_waiters;
    f->v = calloc(f->max, sizeof *f->v);
    f->look = calloc(1, sizeof *f->look);
    if (!f->v || !f->look)
        return err_nomem(e);
    int rc = with_news ? rpc_listener_start(f->cfg, peers, f, news, f, &f->listener, e) : 0;
    if (rc)
        return rc;
    rc = pthread_create(&f->thread, NULL, follow_main, f);
    f->runs = rc == 0;
    return rc ? err_errno(e, rc, "cannot start a thread for waiting requests") : 0;
}

int follow_start(const struct config *cfg, struct db *db, bool with_news, struct follow **ret,
                 struct err *e)
{
    struct follow *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(e);
    f->cfg = cfg;
    f->db = db;
    int rc = init(f, with_news, e);
    if (rc) {
        follow_close(f);
        follow_free(&f);
        return rc;
    }
    *ret = f;
    return 0;
}

int follow_read_again(struct follow *f, struct rpc_key **ret, struct err *e)
{
    *ret = NULL;
    return f->listener ? rpc_listener_read_again(f->listener, ret, e) : 0;
}

void follow_take(struct follow *f, struct rpc_key **key)
{
    if (f->listener)
        rpc_listener_take(f->listener, key);
}

void follow_close(struct follow *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->closed = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    wake_all(f, NULL);
}

void follow_free(struct follow **fp)
{
    struct follow *f = TAKE_PTR(*fp);
    if (!f)
        return;
    if (f->runs)
        (void)pthread_join(f->thread, NULL);
    rpc_listener_stop(&f->listener);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f->v);
    free(f->look);
    free(f);
}
