/* The API's side, see rpc.h. Two threads: one asks for the list of conductors about once a second
 * (it may wait for a database), the other owns all sockets and never waits for anything but them.
 * Callers hand a call over under the lock, ring the bell and sleep on the call's condition.
 *
 * A call that finds nobody to ask has the list read again before it is given up: a conductor may
 * have come since.
 *
 * A call is sent to each connection at most once: a conductor that is slow still has it, so after
 * attempt_timeout another one is asked as well and the first answer wins. A connection that is
 * lost gives its calls back at once. */
#include "base/clock.h"
#include "base/cond.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "rpc/links_internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum {
    REFRESH_MS = 1000,
    REFRESH_MIN_MS = 50, /* between two reads, however many ask for one */
    LIST_WAIT_MS = 2000, /* a call waits this long for a new list: the database may be slow */
    NOTIFY_MS = 1000,    /* a notification waits this long for a connection */
    FULL_PAUSE_MS = 5,   /* the queue of a connection is full, or it is just being set up */
    BUSY_PAUSE_MS = 100, /* the conductor has too many calls */
    STOPPING_PAUSE_MS = 1000,
};

struct rpc_client {
    const struct config *cfg;
    rpc_peers_fn peers;
    void *ctx;
    int bell;
    pthread_t io_thread, refresh_thread;
    bool io_runs, refresh_runs;
    zcert_t *key; /* our own in use, for whoever reloads to compare; NULL without CURVE */

    pthread_mutex_t lock;           /* everything down to the next blank line */
    struct rpc_call *in, **in_tail; /* handed over, not seen by the I/O thread yet */
    size_t n_in, callers;
    struct rpc_peer_list fresh;
    bool has_fresh, wanted, stopping;
    zcert_t *fresh_key;                /* that the I/O thread takes next */
    uint64_t reads_begun, reads_ended; /* of the list */
    char why_no_peers[ERR_MSG_MAX];    /* the list could not be read, "" when it could */
    pthread_cond_t refresh_now, no_callers;

    struct rpc_links links; /* the I/O thread's, down to the end */
    struct rpc_calls calls;
    bool listed;        /* the first list is here */
    uint64_t list_read; /* reads_ended, as this thread has seen it */
    zmq_pollitem_t *items;
    size_t n_items;
};

/* ---- the end of a call ---- */
/* Takes `answer`. */
static void complete(struct rpc_client *c, struct rpc_call *call, enum rpc_outcome outcome,
                     char *answer, size_t len)
{
    rpc_calls_remove(&c->calls, call);
    if (call->notify) {
        free(answer);
        rpc_call_free(&call);
        return;
    }
    pthread_mutex_lock(&c->lock);
    call->answer = answer;
    call->answer_len = len;
    call->outcome = outcome;
    pthread_cond_signal(&call->done);
    pthread_mutex_unlock(&c->lock); /* from here on the call may be gone */
}

static void complete_no_peer(struct rpc_client *c, struct rpc_call *call)
{
    const char *why = rpc_links_problem(&c->links);
    pthread_mutex_lock(&c->lock);
    char *text = str_fmt("no conductor can be reached%s%s%s%s", c->why_no_peers[0] ? ": " : "",
                         c->why_no_peers, why[0] && !c->why_no_peers[0] ? ": " : "",
                         why[0] && !c->why_no_peers[0] ? why : "");
    pthread_mutex_unlock(&c->lock);
    complete(c, call, RPC_NO_PEER, text, text ? strlen(text) : 0);
}

/* ---- sending ---- */
static void send_to_everyone(struct rpc_client *c, struct rpc_call *call, int64_t now)
{
    struct rpc_link *k;
    size_t sent = 0;
    while ((k = rpc_links_pick(&c->links, call->asked, call->n_asked, now))) {
        if (!rpc_call_send(call, k, now))
            k->not_before_ms = now + FULL_PAUSE_MS;
        sent++;
    }
    if (sent)
        complete(c, call, RPC_OK, NULL, 0);
}

/* The list may be a second old: one that is read from now on decides. */
static void ask_for_list(struct rpc_client *c, struct rpc_call *call, int64_t now)
{
    pthread_mutex_lock(&c->lock);
    c->wanted = true;
    call->needs_list = c->reads_begun + 1;
    pthread_cond_signal(&c->refresh_now);
    pthread_mutex_unlock(&c->lock);
    call->list_until_ms = now + LIST_WAIT_MS;
}

/* Nobody can take the call now. */
static void wait_or_give_up(struct rpc_client *c, struct rpc_call *call, int64_t now)
{
    if (!call->needs_list)
        ask_for_list(c, call, now);
    bool waits = c->list_read < call->needs_list && now < call->list_until_ms;
    if (waits || rpc_links_hopeful(&c->links))
        call->attempt_until_ms = now + c->cfg->rpc_attempt_timeout_ms;
    else
        complete_no_peer(c, call);
}

/* Gives the call to a conductor that does not have it yet, if there is one; else it stays as it
 * is. The call may be complete (and gone) afterwards. */
static void dispatch(struct rpc_client *c, struct rpc_call *call, int64_t now)
{
    if (!c->listed)
        return;
    if (call->everyone && rpc_links_hopeful(&c->links)) {
        send_to_everyone(c, call, now);
        return;
    }
    if (call->once && call->n_asked) { /* who has it keeps it */
        call->attempt_until_ms = call->deadline_ms;
        return;
    }
    struct rpc_link *k;
    while ((k = rpc_links_pick(&c->links, call->asked, call->n_asked, now))) {
        if (rpc_call_send(call, k, now)) {
            call->attempt_until_ms = now + c->cfg->rpc_attempt_timeout_ms;
            if (call->notify)
                complete(c, call, RPC_OK, NULL, 0);
            return;
        }
        k->not_before_ms = now + FULL_PAUSE_MS;
    }
    if (call->at == 0)
        wait_or_give_up(c, call, now);
    else
        call->attempt_until_ms = now + c->cfg->rpc_attempt_timeout_ms;
}

static void complete_lost(struct rpc_client *c, struct rpc_call *call)
{
    static const char why[] = "the conductor that had the call was lost; nobody knows whether it "
                              "was carried out";
    complete(c, call, RPC_NO_PEER, strdup(why), sizeof why - 1);
}

static void lost(void *ctx, uint64_t serial)
{
    struct rpc_client *c = ctx;
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < c->calls.n; i++) {
        struct rpc_call *call = c->calls.v[i];
        if (!call)
            continue;
        rpc_call_forget(call, serial);
        if (call->at != serial)
            continue;
        call->at = call->n_asked ? call->asked[call->n_asked - 1] : 0;
        if (call->once)
            complete_lost(c, call);
        else
            dispatch(c, call, now);
    }
}

static bool owes(void *ctx, uint64_t serial)
{
    const struct rpc_client *c = ctx;
    for (size_t i = 0; i < c->calls.n; i++)
        for (size_t k = 0; c->calls.v[i] && k < c->calls.v[i]->n_asked; k++)
            if (c->calls.v[i]->asked[k] == serial)
                return true;
    return false;
}

/* ---- answers ---- */
static void given_back(struct rpc_client *c, struct rpc_call *call, struct rpc_link *k,
                       const char *body, size_t len)
{
    struct err e = ERR_INIT;
    (void)rpc_error_parse(body, len, &e);
    int64_t now = clock_mono_ms();
    k->not_before_ms = now + (e.code == ERR_BUSY ? BUSY_PAUSE_MS : STOPPING_PAUSE_MS);
    snprintf(k->problem, sizeof k->problem, "%.180s", e.msg);
    rpc_call_forget(call, k->serial);
    if (call->at == k->serial)
        call->at = call->n_asked ? call->asked[call->n_asked - 1] : 0;
    dispatch(c, call, now);
}

static void on_answer(struct rpc_client *c, struct rpc_link *k, const struct rpc_frames *f)
{
    char id[RPC_ID_MAX];
    if (f->n != RPC_ANSWER_FRAMES || !rpc_frame_text(f, 1, id, sizeof id))
        return;
    struct rpc_call *call = rpc_calls_find(&c->calls, id);
    if (!call) /* late: answered by another conductor, or given up */
        return;
    const char *body = (const char *)zframe_data(f->v[3]);
    size_t len = zframe_size(f->v[3]);
    bool ok = rpc_frame_is(f, 2, "ok");
    if (!rpc_frame_is(f, 0, RPC_VERSION) ||
        (!ok && !rpc_frame_is(f, 2, "error") && !rpc_frame_is(f, 2, "refused"))) {
        complete(c, call, RPC_ERROR, NULL, 0);
        return;
    }
    if (rpc_frame_is(f, 2, "refused")) {
        given_back(c, call, k, body, len);
        return;
    }
    char *copy = malloc(len + 1);
    if (copy) {
        memcpy(copy, body, len);
        copy[len] = '\0';
    }
    complete(c, call, ok ? RPC_OK : RPC_ERROR, copy, copy ? len : 0);
}

static void read_answers(struct rpc_client *c, struct rpc_link *k)
{
    struct rpc_frames f;
    while (k->dealer && rpc_frames_recv(k->dealer, &f)) {
        on_answer(c, k, &f);
        rpc_frames_done(&f);
    }
}

static void read_link(struct rpc_client *c, struct rpc_link *k)
{
    uint64_t serial = 0;
    for (uint16_t event; (event = rpc_link_next_event(k));) {
        read_answers(c, k);
        if (rpc_link_apply(&c->links, k, event, &serial))
            lost(c, serial);
    }
    read_answers(c, k);
}

/* ---- time ---- */
/* Ends what is past its deadline, moves on what waits too long; the time of the next look. */
static int64_t tick(struct rpc_client *c, int64_t now)
{
    int64_t next = now + 60000;
    for (size_t i = 0; i < c->calls.n; i++) {
        struct rpc_call *call = c->calls.v[i];
        if (!call)
            continue;
        if (call->deadline_ms <= now) {
            if (call->n_asked)
                complete(c, call, RPC_TIMEOUT, NULL, 0);
            else
                complete_no_peer(c, call);
            continue;
        }
        if (call->at == 0 || call->attempt_until_ms <= now)
            dispatch(c, call, now);
        call = c->calls.v[i]; /* dispatch may have ended it */
        if (!call)
            continue;
        if (call->deadline_ms < next)
            next = call->deadline_ms;
        if (call->at && call->attempt_until_ms < next)
            next = call->attempt_until_ms;
        if (!call->at && call->list_until_ms > now && call->list_until_ms < next)
            next = call->list_until_ms;
        for (size_t k = 0; !call->at && k < c->links.n; k++)
            if (c->links.v[k]->not_before_ms > now && c->links.v[k]->not_before_ms < next)
                next = c->links.v[k]->not_before_ms;
    }
    return next;
}

/* ---- the I/O thread ---- */
static void admit(struct rpc_client *c, struct rpc_call *call)
{
    /* Calls are bounded by the threads that wait for them, notifications only here. */
    bool full = call->notify && c->calls.used >= (size_t)c->cfg->rpc_queue_length;
    if (!full && rpc_calls_add(&c->calls, call) == 0)
        return; /* the next tick sends it */
    if (call->notify) {
        rpc_call_free(&call);
        return;
    }
    pthread_mutex_lock(&c->lock);
    call->outcome = RPC_NO_PEER;
    pthread_cond_signal(&call->done);
    pthread_mutex_unlock(&c->lock);
}

static bool take_in(struct rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    struct rpc_call *list = TAKE_PTR(c->in);
    c->in_tail = &c->in;
    c->n_in = 0;
    struct rpc_peer_list fresh = c->fresh;
    bool has_fresh = c->has_fresh, stopping = c->stopping;
    c->list_read = c->reads_ended;
    c->fresh = (struct rpc_peer_list){.v = NULL};
    c->has_fresh = false;
    zcert_t *key = TAKE_PTR(c->fresh_key);
    pthread_mutex_unlock(&c->lock);
    if (key)
        rpc_links_rekey(&c->links, key);
    if (has_fresh) {
        c->listed = true;
        rpc_links_update(&c->links, &fresh, owes, lost, c);
        rpc_peer_list_done(&fresh);
    }
    while (list) {
        struct rpc_call *call = list;
        list = call->next;
        admit(c, call);
    }
    return !stopping;
}

static int gather(struct rpc_client *c)
{
    size_t want = 1 + 2 * c->links.n;
    if (want > c->n_items) {
        zmq_pollitem_t *grown = reallocarray(c->items, want, sizeof *grown);
        if (!grown)
            return ERR_NOMEM;
        c->items = grown;
        c->n_items = want;
    }
    size_t n = 0;
    c->items[n++] = (zmq_pollitem_t){.fd = c->bell, .events = ZMQ_POLLIN};
    for (size_t i = 0; i < c->links.n; i++) {
        const struct rpc_link *k = c->links.v[i];
        if (!k->dealer)
            continue;
        c->items[n++] = (zmq_pollitem_t){.socket = zsock_resolve(k->dealer), .events = ZMQ_POLLIN};
        c->items[n++] = (zmq_pollitem_t){.socket = zsock_resolve(k->monitor), .events = ZMQ_POLLIN};
    }
    return (int)n;
}

static void end_all(struct rpc_client *c)
{
    static const char why[] = "this process is stopping";
    for (size_t i = 0; i < c->calls.n; i++)
        if (c->calls.v[i])
            complete(c, c->calls.v[i], RPC_NO_PEER, strdup(why), sizeof why - 1);
}

static void *io_main(void *arg)
{
    struct rpc_client *c = arg;
    while (take_in(c)) {
        int64_t now = clock_mono_ms(), next = tick(c, now);
        int n = gather(c);
        /* Without memory for the list there is still the bell; the rest waits a moment. */
        zmq_pollitem_t bell_only = {.fd = c->bell, .events = ZMQ_POLLIN};
        long wait = next > now ? (long)(next - now) : 0;
        int rc = n > 0 ? zmq_poll(c->items, n, wait) : zmq_poll(&bell_only, 1, 100);
        if (rc < 0)
            continue;
        rpc_bell_quiet(c->bell);
        for (size_t i = 0; i < c->links.n; i++)
            read_link(c, c->links.v[i]);
    }
    end_all(c);
    rpc_links_done(&c->links);
    rpc_calls_done(&c->calls);
    free(c->items);
    return NULL;
}

/* ---- the refresh thread ---- */
static void publish(struct rpc_client *c, struct rpc_peer_list *list, int rc, const struct err *e,
                    bool first)
{
    bool was_bad = c->why_no_peers[0] != '\0';
    if (rc < 0 && !was_bad)
        log_warn("rpc.peers_unknown",
                 "the list of conductors can't be read, keeping the old one: "
                 "%s",
                 e->msg);
    if (rc == 0 && was_bad)
        log_info("rpc.peers_known", "the list of conductors can be read again");
    snprintf(c->why_no_peers, sizeof c->why_no_peers, "%s", rc < 0 ? e->msg : "");
    if (rc < 0 && !first) {
        rpc_peer_list_done(list);
        return;
    }
    rpc_peer_list_done(&c->fresh);
    c->fresh = *list;
    c->has_fresh = true;
}

/* Until the next read is due, or wanted and not too soon. */
static void pause_reading(struct rpc_client *c, int64_t begun)
{
    int64_t due = clock_mono_ms() + REFRESH_MS;
    for (;;) {
        int64_t until = c->wanted && begun + REFRESH_MIN_MS < due ? begun + REFRESH_MIN_MS : due;
        if (c->stopping || clock_mono_ms() >= until)
            return;
        cond_wait_until(&c->refresh_now, &c->lock, until);
    }
}

static void *refresh_main(void *arg)
{
    struct rpc_client *c = arg;
    pthread_mutex_lock(&c->lock);
    for (bool first = true; !c->stopping; first = false) {
        c->wanted = false;
        c->reads_begun++;
        int64_t begun = clock_mono_ms();
        pthread_mutex_unlock(&c->lock);
        struct rpc_peer_list list = {.v = NULL};
        struct err e = ERR_INIT;
        int rc = c->peers(c->ctx, &list, &e);
        if (rc < 0)
            rpc_peer_list_done(&list);
        pthread_mutex_lock(&c->lock);
        publish(c, &list, rc, &e, first);
        c->reads_ended = c->reads_begun;
        rpc_bell_ring(c->bell);
        pause_reading(c, begun);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- start and stop ---- */
int rpc_client_start(const struct config *cfg, rpc_peers_fn peers, void *ctx,
                     struct rpc_client **ret, struct err *e)
{
    struct rpc_client *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    c->cfg = c->links.cfg = cfg;
    c->peers = peers;
    c->ctx = ctx;
    c->in_tail = &c->in;
    pthread_mutex_init(&c->lock, NULL);
    cond_init(&c->refresh_now);
    cond_init(&c->no_callers);
    int rc = c->bell = rpc_bell_new(e);
    if (rc >= 0 && !str_blank(cfg->rpc_keys_dir))
        rc = rpc_key_load(cfg->rpc_keys_dir, "api.key", &c->links.cert, e);
    if (rc >= 0 && c->links.cert && !(c->key = zcert_dup(c->links.cert)))
        rc = err_nomem(e);
    if (rc >= 0) {
        rc = rpc_thread_start(&c->io_thread, io_main, c, e);
        c->io_runs = rc == 0;
    }
    if (rc >= 0) {
        rc = rpc_thread_start(&c->refresh_thread, refresh_main, c, e);
        c->refresh_runs = rc == 0;
    }
    if (rc < 0) {
        rpc_client_stop(&c);
        return rc;
    }
    *ret = c;
    return 0;
}

int rpc_client_read_again(struct rpc_client *c, struct rpc_key **ret, struct err *e)
{
    return rpc_key_read_again(c->cfg->rpc_keys_dir, "api.key", c->key, ret, e);
}

void rpc_client_take(struct rpc_client *c, struct rpc_key **key)
{
    if (!*key)
        return;
    zcert_t *copy = zcert_dup((*key)->cert);
    if (copy) { /* else the next reload tries again */
        zcert_destroy(&c->key);
        c->key = copy;
        pthread_mutex_lock(&c->lock);
        zcert_destroy(&c->fresh_key);
        c->fresh_key = TAKE_PTR((*key)->cert);
        c->wanted = true; /* the list, with which connections are made */
        pthread_cond_signal(&c->refresh_now);
        pthread_mutex_unlock(&c->lock);
        rpc_bell_ring(c->bell);
    }
    rpc_key_free(key);
}

static void drop_handed_over(struct rpc_client *c)
{
    while (c->in) {
        struct rpc_call *call = c->in;
        c->in = call->next;
        if (call->notify) {
            rpc_call_free(&call);
            continue;
        }
        call->outcome = RPC_NO_PEER;
        pthread_cond_signal(&call->done);
    }
}

void rpc_client_stop(struct rpc_client **cp)
{
    if (!cp || !*cp)
        return;
    struct rpc_client *c = *cp;
    *cp = NULL;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->refresh_now);
    pthread_mutex_unlock(&c->lock);
    if (c->bell >= 0)
        rpc_bell_ring(c->bell);
    if (c->refresh_runs)
        (void)pthread_join(c->refresh_thread, NULL);
    if (c->io_runs)
        (void)pthread_join(c->io_thread, NULL);
    else
        rpc_links_done(&c->links);
    pthread_mutex_lock(&c->lock);
    drop_handed_over(c);
    while (c->callers > 0)
        pthread_cond_wait(&c->no_callers, &c->lock);
    pthread_mutex_unlock(&c->lock);
    rpc_peer_list_done(&c->fresh);
    zcert_destroy(&c->key);
    zcert_destroy(&c->fresh_key);
    if (c->bell >= 0)
        (void)close(c->bell);
    pthread_cond_destroy(&c->refresh_now);
    pthread_cond_destroy(&c->no_callers);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- callers ---- */
/* Part of the caller's trace; without one there is nothing to be part of. */
static void begin_span(struct trace_span *s, enum trace_kind kind, const char *method)
{
    const struct trace_context *parent = trace_current();
    *s = (struct trace_span){.kind = kind};
    if (!parent)
        return;
    trace_span_begin(s, parent, kind);
    trace_span_enter(s);
    trace_span_name(s, "magnum.conductor/%s", method);
    trace_span_text(s, "rpc.system", "zeromq");
    trace_span_text(s, "rpc.service", "magnum.conductor");
    trace_span_text(s, "rpc.method", method);
}

/* The caller holds the lock; false when the client stops or too many wait. */
static bool hand_over(struct rpc_client *c, struct rpc_call *call)
{
    if (c->stopping || c->n_in >= (size_t)c->cfg->rpc_queue_length)
        return false;
    call->next = NULL;
    *c->in_tail = call;
    c->in_tail = &call->next;
    c->n_in++;
    return true;
}

void rpc_client_notify(struct rpc_client *c, const char *method, const json_t *params,
                       bool everyone)
{
    struct err e = ERR_INIT;
    struct trace_span span;
    begin_span(&span, TRACE_PRODUCER, method);
    struct rpc_call *call = rpc_call_new(method, params, (size_t)c->cfg->rpc_max_message_bytes, &e);
    trace_span_end(&span); /* nobody waits for it: what is left is the server's */
    if (!call) {
        log_warn("rpc.notify_dropped", "%s; ignoring", e.msg);
        return;
    }
    call->notify = true;
    call->everyone = everyone;
    call->timeout_ms = NOTIFY_MS;
    call->deadline_ms = clock_mono_ms() + NOTIFY_MS;
    pthread_mutex_lock(&c->lock);
    bool taken = hand_over(c, call);
    pthread_mutex_unlock(&c->lock);
    if (taken)
        rpc_bell_ring(c->bell);
    else
        rpc_call_free(&call);
}

static int wait_for(struct rpc_client *c, struct rpc_call *call, struct err *e)
{
    pthread_mutex_lock(&c->lock);
    if (!hand_over(c, call)) {
        bool stopping = c->stopping;
        pthread_mutex_unlock(&c->lock);
        return stopping ? err_set(e, ERR_UNAVAILABLE, "this process is stopping")
                        : err_set(e, ERR_BUSY, "too many calls are waiting for conductors");
    }
    c->callers++;
    rpc_bell_ring(c->bell);              /* under the lock: after it the client may be stopped */
    while (call->outcome == RPC_PENDING) /* the I/O thread keeps the deadline */
        pthread_cond_wait(&call->done, &c->lock);
    if (--c->callers == 0)
        pthread_cond_signal(&c->no_callers);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static int outcome(const struct rpc_call *call, json_t **result, struct err *e)
{
    switch (call->outcome) {
    case RPC_OK:
        if (!call->answer)
            return err_nomem(e);
        if (jsonx_parse(call->answer, call->answer_len, RPC_JSON_DEPTH, result, NULL) < 0)
            return err_set(e, ERR_PROTOCOL, "a conductor's answer to %s can't be read",
                           call->method);
        return 0;
    case RPC_ERROR:
        return call->answer ? rpc_error_parse(call->answer, call->answer_len, e)
                            : err_set(e, ERR_PROTOCOL, "a conductor's answer to %s can't be read",
                                      call->method);
    case RPC_TIMEOUT:
        return err_set(e, ERR_TIMEOUT, "no conductor answered %s within %" PRId64 " ms",
                       call->method, call->timeout_ms);
    case RPC_NO_PEER:
    case RPC_PENDING:
        break;
    }
    return err_set(e, ERR_UNAVAILABLE, "%s",
                   call->answer ? call->answer : "no conductor can be reached");
}

static int call_out(struct rpc_client *c, const char *method, const json_t *params,
                    int64_t timeout_ms, bool once, json_t **result, struct err *e)
{
    struct trace_span span;
    begin_span(&span, TRACE_CLIENT, method);
    struct rpc_call *call = rpc_call_new(method, params, (size_t)c->cfg->rpc_max_message_bytes, e);
    if (!call) {
        trace_span_drop(&span);
        return e ? e->code : ERR_INVALID;
    }
    call->once = once;
    call->timeout_ms = timeout_ms;
    call->deadline_ms = clock_mono_ms() + timeout_ms;
    int rc = wait_for(c, call, e);
    if (rc == 0)
        rc = outcome(call, result, e);
    rpc_call_free(&call);
    if (rc < 0)
        trace_span_fail(&span, err_token(rc));
    trace_span_end(&span);
    return rc;
}

static int counted(struct rpc_client *c, const char *method, const json_t *params,
                   int64_t timeout_ms, bool once, json_t **result, struct err *e)
{
    int64_t begun = clock_mono_us();
    int rc = call_out(c, method, params, timeout_ms, once, result, e);
    metrics_inc(METRIC_RPC_CLIENT, METRICS_LABELS_OF(method, metrics_result(rc)));
    metrics_observe_us(METRIC_RPC_CLIENT_DURATION, clock_mono_us() - begun,
                       METRICS_LABELS_OF(method));
    return rc;
}

int rpc_client_call(struct rpc_client *c, const char *method, const json_t *params,
                    int64_t timeout_ms, json_t **result, struct err *e)
{
    return counted(c, method, params, timeout_ms, false, result, e);
}

int rpc_client_call_once(struct rpc_client *c, const char *method, const json_t *params,
                         int64_t timeout_ms, json_t **result, struct err *e)
{
    return counted(c, method, params, timeout_ms, true, result, e);
}
