/* The conductor's side, see rpc.h. One router thread owns the socket: it takes requests in, puts
 * them into the queues and sends the answers. `workers` threads run calls; one more runs
 * notifications, so that a wake-up never stands behind slow calls. Threads meet only under
 * `lock`; the router is woken through the bell. */
#include "base/clock.h"
#include "base/cond.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "config/config.h"
#include "rpc/rpc_internal.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

enum { ANSWERS_MIN = 1000, BATCH = 256, LAST_WORDS_MS = 500, SETTLE_MS = 250 };

struct job { /* a request, and later its answer */
    struct job *next;
    char *peer; /* the ROUTER's name of the connection */
    size_t peer_len;
    char id[RPC_ID_MAX], method[RPC_METHOD_MAX];
    bool notify;
    int64_t deadline_ms;
    char *body;
    size_t body_len;
    const char *status; /* of the answer */
};
struct queue {
    struct job *head, **tail;
    size_t n;
    pthread_cond_t filled;
};
struct rpc_server {
    const struct config *cfg;
    rpc_handler handler;
    void *ctx;
    zsock_t *router; /* the router thread's own after start */
    zcert_t *cert;
    char *endpoint;
    int bell;
    bool gate;
    int64_t answered_ms; /* the router thread's: when it sent the last answer */

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t idle;  /* in_work fell to 0 */
    struct queue calls, notes, answers;
    size_t in_work; /* requests taken whose answer was not handed to ZeroMQ yet */
    bool open;      /* before that, refuse */
    bool stopping;  /* refuse what comes now */
    bool closing;   /* threads end */
    pthread_t router_thread, *threads;
    size_t n_threads;
    bool router_runs;
};

static void job_free(struct job *j)
{
    if (!j)
        return;
    free(j->peer);
    free(j->body);
    free(j);
}

/* ---- queues; the caller holds the lock ---- */
static void queue_init(struct queue *q)
{
    *q = (struct queue){.head = NULL};
    q->tail = &q->head;
    cond_init(&q->filled);
}

static void queue_push(struct queue *q, struct job *j)
{
    j->next = NULL;
    *q->tail = j;
    q->tail = &j->next;
    q->n++;
    pthread_cond_signal(&q->filled);
}

static struct job *queue_pop(struct queue *q)
{
    struct job *j = q->head;
    if (!j)
        return NULL;
    q->head = j->next;
    if (!q->head)
        q->tail = &q->head;
    q->n--;
    return j;
}

static void queue_done(struct queue *q)
{
    for (struct job *j; (j = queue_pop(q));)
        job_free(j);
    pthread_cond_destroy(&q->filled);
}

static void work_done(struct rpc_server *s)
{
    if (--s->in_work == 0)
        pthread_cond_broadcast(&s->idle);
}

/* ---- workers ---- */
static void set_answer(struct job *j, const char *status, char *body)
{
    free(j->body);
    j->status = body ? status : "error";
    /* Without memory for the text the caller still learns that it failed. */
    j->body = body ? body : strdup("{\"code\":\"out-of-memory\",\"message\":\"out of memory\"}");
    j->body_len = j->body ? strlen(j->body) : 0;
}

static void set_error(struct job *j, const char *status, const struct err *e)
{
    set_answer(j, status, rpc_error_body(e));
}

static int run_handler(const struct rpc_server *s, const struct job *j, json_t **result,
                       struct err *e)
{
    _cleanup_json_ json_t *params = NULL, *ids = NULL;
    int rc = jsonx_parse(j->body, j->body_len, RPC_JSON_DEPTH, &params, e);
    if (rc < 0)
        return err_wrap(e, "request %s", j->method);
    struct trace_span span;
    rpc_trace_begin(params, j->method, j->notify, &span, &ids);
    int64_t begun = clock_mono_us();
    rc = s->handler(s->ctx, j->method, params, j->deadline_ms, result, e);
    metrics_inc(METRIC_RPC_SERVER, METRICS_LABELS_OF(j->method, metrics_result(rc)));
    metrics_observe_us(METRIC_RPC_SERVER_DURATION, clock_mono_us() - begun,
                       METRICS_LABELS_OF(j->method));
    if (rc < 0 && e->code == 0) /* a handler that forgot its text */
        err_set(e, rc, "%s failed: %s", j->method, err_token(rc));
    if (rc < 0)
        trace_span_fail(&span, e->msg);
    trace_span_end(&span);
    return rc;
}

static void run(const struct rpc_server *s, struct job *j)
{
    _cleanup_json_ json_t *result = NULL;
    struct err e = ERR_INIT;
    int rc = run_handler(s, j, &result, &e);
    log_context_set(NULL);
    if (rc < 0) {
        /* Of a call the caller hears it; of a notification nobody would. */
        if (j->notify)
            log_warn("rpc.notify_failed", "%s: %s; ignoring", j->method, e.msg);
        else
            set_error(j, "error", &e);
        return;
    }
    if (j->notify)
        return;
    char *body = result ? jsonx_text(result) : strdup("{}");
    if (body && strlen(body) > (size_t)s->cfg->rpc_max_message_bytes) {
        free(body);
        err_set(&e, ERR_TOO_LARGE, "the answer to %s is larger than rpc.max_message_bytes",
                j->method);
        set_error(j, "error", &e);
        return;
    }
    set_answer(j, "ok", body);
}

static void finish(struct rpc_server *s, struct job *j)
{
    pthread_mutex_lock(&s->lock);
    bool answer = !j->notify && j->status;
    if (answer)
        queue_push(&s->answers, j);
    else
        work_done(s);
    pthread_mutex_unlock(&s->lock);
    if (answer)
        rpc_bell_ring(s->bell);
    else
        job_free(j);
}

static void work(struct rpc_server *s, struct queue *q)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        while (!q->head && !s->closing)
            cond_wait_shared(&q->filled, &s->lock, INT64_MAX);
        struct job *j = s->closing ? NULL : queue_pop(q);
        pthread_mutex_unlock(&s->lock);
        if (!j)
            return;
        if (j->notify || clock_mono_ms() < j->deadline_ms) /* else nobody waits any more */
            run(s, j);
        finish(s, j);
    }
}

static void *call_worker(void *arg)
{
    struct rpc_server *s = arg;
    work(s, &s->calls);
    return NULL;
}

static void *note_worker(void *arg)
{
    struct rpc_server *s = arg;
    work(s, &s->notes);
    return NULL;
}

/* ---- the router thread ---- */
static void send_answer(struct rpc_server *s, const struct job *j)
{
    const struct rpc_part parts[] = {
        {j->peer, j->peer_len},
        {RPC_VERSION, strlen(RPC_VERSION)},
        {j->id, strlen(j->id)},
        {j->status, strlen(j->status)},
        {j->body ? j->body : "", j->body_len},
    };
    if (!rpc_parts_send(s->router, parts, ARRAY_LEN(parts)))
        log_debug("rpc.answer_dropped", "nobody takes the answer to %s; ignoring", j->method);
}

static void send_answers(struct rpc_server *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct job *j = queue_pop(&s->answers);
        pthread_mutex_unlock(&s->lock);
        if (!j)
            return;
        send_answer(s, j);
        s->answered_ms = clock_mono_ms();
        pthread_mutex_lock(&s->lock);
        work_done(s);
        pthread_mutex_unlock(&s->lock);
        job_free(j);
    }
}

/* Says no without having started anything. Never for a notification: nobody listens. */
static void refuse(struct rpc_server *s, struct job *j, const char *status, int code,
                   const char *text)
{
    struct err e = ERR_INIT;
    err_set(&e, code, "%s", text);
    if (!j->notify) {
        set_error(j, status, &e);
        send_answer(s, j);
    }
    job_free(j);
}

static void take(struct rpc_server *s, struct job *j)
{
    struct queue *q = j->notify ? &s->notes : &s->calls;
    pthread_mutex_lock(&s->lock);
    bool early = !s->open, stopping = s->stopping;
    bool full = q->n >= (size_t)s->cfg->rpc_queue_length;
    if (!early && !stopping && !full) {
        s->in_work++;
        queue_push(q, j);
    }
    pthread_mutex_unlock(&s->lock);
    if (stopping)
        refuse(s, j, "refused", ERR_UNAVAILABLE, "this conductor is stopping");
    else if (early)
        refuse(s, j, "refused", ERR_BUSY, "this conductor is starting");
    else if (full)
        refuse(s, j, "refused", ERR_BUSY, "this conductor has too many calls waiting");
}

/* Fills *j as far as an answer can be addressed; false when not even that is possible. */
static bool address_of(const struct rpc_frames *f, struct job *j)
{
    if (f->n < 3 || !rpc_frame_text(f, 2, j->id, sizeof j->id))
        return false;
    j->peer_len = zframe_size(f->v[0]);
    j->peer = malloc(j->peer_len + 1);
    if (!j->peer)
        return false;
    memcpy(j->peer, zframe_data(f->v[0]), j->peer_len);
    return true;
}

static const char *read_request(const struct rpc_frames *f, struct job *j)
{
    char left[24];
    int64_t ms = 0;
    if (f->n != 1 + RPC_REQUEST_FRAMES)
        return "a request has six parts";
    j->notify = rpc_frame_is(f, 3, "notify");
    if (!j->notify && !rpc_frame_is(f, 3, "call"))
        return "a request is a call or a notify";
    if (!rpc_frame_text(f, 4, j->method, sizeof j->method))
        return "the method has no valid name";
    if (!rpc_frame_text(f, 5, left, sizeof left) || !parse_i64(left, 0, INT32_MAX, &ms))
        return "the time left is not a number";
    j->deadline_ms = clock_mono_ms() + ms;
    j->body_len = zframe_size(f->v[6]);
    j->body = malloc(j->body_len + 1);
    if (!j->body)
        return "out of memory";
    memcpy(j->body, zframe_data(f->v[6]), j->body_len);
    return NULL;
}

static void receive(struct rpc_server *s, const struct rpc_frames *f)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j || !address_of(f, j)) {
        log_debug("rpc.garbage", "a message that is no request; ignoring");
        job_free(j);
        return;
    }
    if (!rpc_frame_is(f, 1, RPC_VERSION)) {
        refuse(s, j, "error", ERR_PROTOCOL,
               "this conductor speaks " RPC_VERSION " only: API and conductor differ in version");
        return;
    }
    const char *problem = read_request(f, j);
    if (problem)
        refuse(s, j, "error", ERR_PROTOCOL, problem);
    else
        take(s, j);
}

static bool is_closing(struct rpc_server *s)
{
    pthread_mutex_lock(&s->lock);
    bool closing = s->closing;
    pthread_mutex_unlock(&s->lock);
    return closing;
}

/* It stays a moment after its last answer: ZeroMQ throws away what a client has received and not
 * read yet when the connection ends. */
static void *router_main(void *arg)
{
    struct rpc_server *s = arg;
    zmq_pollitem_t items[] = {
        {.socket = zsock_resolve(s->router), .events = ZMQ_POLLIN},
        {.fd = s->bell, .events = ZMQ_POLLIN},
    };
    for (int64_t left = 1; left > 0;) {
        bool closing = is_closing(s);
        if (closing)
            send_answers(s);
        left = closing ? s->answered_ms + SETTLE_MS - clock_mono_ms() : 1;
        if (left <= 0 || zmq_poll(items, 2, closing ? (long)left : -1) < 0)
            continue;
        if (items[1].revents)
            rpc_bell_quiet(s->bell);
        send_answers(s);
        struct rpc_frames f;
        for (int i = 0; items[0].revents && i < BATCH && rpc_frames_recv(s->router, &f); i++) {
            receive(s, &f);
            rpc_frames_done(&f);
        }
    }
    /* Answers handed over a moment ago may still be on their way out. */
    zsock_set_linger(s->router, LAST_WORDS_MS);
    zsock_destroy(&s->router);
    return NULL;
}

/* ---- start and stop ---- */
static int secure(struct rpc_server *s, struct err *e)
{
    const char *dir = s->cfg->rpc_keys_dir;
    if (str_blank(dir))
        return 0;
    int rc = rpc_key_load(dir, "conductor.key", &s->cert, e);
    if (rc < 0)
        return rc;
    rc = rpc_gate_open(dir, e);
    if (rc < 0)
        return rc;
    s->gate = true;
    zcert_apply(s->cert, s->router);
    /* With a domain set, a gate that is missing means nobody gets in. */
    zsock_set_zap_domain(s->router, "magnum");
    return rpc_socket_set(s->router, ZMQ_CURVE_SERVER, 1, e);
}

/* What clients are told: rpc.advertise (its port may be "*": the bound one), else what is bound,
 * which must then be an address that can be connected to. */
static int advertise(struct rpc_server *s, const char *bound, struct err *e)
{
    const char *wanted = s->cfg->rpc_advertise, *port = strrchr(bound, ':');
    if (str_blank(wanted)) {
        if (str_starts(bound, "tcp://0.0.0.0:") || str_starts(bound, "tcp://[::]:"))
            return err_set(e, ERR_CONFIG,
                           "rpc.bind is every address: set rpc.advertise to the one that the API "
                           "connects to, such as tcp://192.0.2.7:*");
        s->endpoint = strdup(bound);
    } else if (str_starts(wanted, "tcp://") && str_ends(wanted, ":*")) {
        s->endpoint = str_fmt("%.*s%s", (int)strlen(wanted) - 2, wanted, port);
    } else {
        s->endpoint = strdup(wanted);
    }
    return s->endpoint ? 0 : err_nomem(e);
}

static int bind_socket(struct rpc_server *s, struct err *e)
{
    const char *wanted = s->cfg->rpc_bind;
    void *handle = zsock_resolve(s->router);
    if (zmq_bind(handle, wanted) < 0)
        return err_set(e, ERR_UNAVAILABLE, "cannot listen on %s: %s", wanted,
                       zmq_strerror(zmq_errno()));
    char bound[512];
    size_t size = sizeof bound;
    if (zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, bound, &size) < 0)
        return err_set(e, ERR_INTERNAL, "cannot learn the endpoint of %s", wanted);
    /* A socket file for this user and group, whatever the umask. */
    if (str_starts(bound, "ipc://") && chmod(bound + 6, 0660) < 0)
        return err_errno(e, errno, "cannot set the mode of %s", bound + 6);
    return advertise(s, bound, e);
}

static int open_socket(struct rpc_server *s, struct err *e)
{
    const struct config *cfg = s->cfg;
    bool curve = !str_blank(cfg->rpc_keys_dir);
    int rc = rpc_endpoint_check(cfg->rpc_bind, curve, e);
    if (rc == 0 && !str_blank(cfg->rpc_advertise))
        rc = rpc_endpoint_check(cfg->rpc_advertise, curve, e);
    if (rc < 0)
        return err_wrap(e, "rpc.bind or rpc.advertise");
    s->bell = rpc_bell_new(e);
    if (s->bell < 0)
        return s->bell;
    s->router = rpc_socket_new(cfg, ZMQ_ROUTER, cfg->rpc_bind, e);
    if (!s->router)
        return e ? e->code : ERR_UNAVAILABLE;
    /* A full ROUTER drops, and a dropped answer is only missed when the attempt times out: there
     * is always room for a burst, however short the queue of calls is. */
    if (cfg->rpc_queue_length < ANSWERS_MIN)
        rc = rpc_socket_set(s->router, ZMQ_SNDHWM, ANSWERS_MIN, e);
    if (rc == 0)
        rc = secure(s, e);
    return rc < 0 ? rc : bind_socket(s, e);
}

static int start_threads(struct rpc_server *s, struct err *e)
{
    size_t n = (size_t)s->cfg->rpc_workers + 1;
    s->threads = calloc(n, sizeof *s->threads);
    if (!s->threads)
        return err_nomem(e);
    for (size_t i = 0; i < n; i++, s->n_threads++) {
        int rc = rpc_thread_start(&s->threads[i], i == 0 ? note_worker : call_worker, s, e);
        if (rc < 0)
            return rc;
    }
    int rc = rpc_thread_start(&s->router_thread, router_main, s, e);
    s->router_runs = rc == 0;
    return rc;
}

int rpc_server_start(const struct config *cfg, rpc_handler handler, void *ctx,
                     struct rpc_server **ret, struct err *e)
{
    struct rpc_server *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(e);
    s->cfg = cfg;
    s->handler = handler;
    s->ctx = ctx;
    s->bell = -1;
    pthread_mutex_init(&s->lock, NULL);
    cond_init(&s->idle);
    queue_init(&s->calls);
    queue_init(&s->notes);
    queue_init(&s->answers);
    int rc = open_socket(s, e);
    if (rc == 0)
        rc = start_threads(s, e);
    if (rc < 0) {
        rpc_server_stop(&s, 0);
        return rc;
    }
    *ret = s;
    return 0;
}

void rpc_server_open(struct rpc_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->open = true;
    pthread_mutex_unlock(&s->lock);
}

const char *rpc_server_endpoint(const struct rpc_server *s)
{
    return s->endpoint;
}

const char *rpc_server_public_key(const struct rpc_server *s)
{
    return s->cert ? zcert_public_txt(s->cert) : "";
}

int rpc_server_key_changed(const struct rpc_server *s, bool *ret, struct err *e)
{
    struct rpc_key *fresh = NULL;
    int rc = rpc_key_read_again(s->cfg->rpc_keys_dir, "conductor.key", s->cert, &fresh, e);
    *ret = fresh != NULL;
    rpc_key_free(&fresh);
    return rc;
}

static void end_threads(struct rpc_server *s, int64_t drain_ms)
{
    int64_t until = clock_mono_ms() + drain_ms;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    while (s->in_work > 0 && s->router_runs && clock_mono_ms() < until)
        cond_wait_until(&s->idle, &s->lock, until);
    s->closing = true;
    pthread_cond_broadcast(&s->calls.filled);
    pthread_cond_broadcast(&s->notes.filled);
    pthread_mutex_unlock(&s->lock);
    if (s->bell >= 0)
        rpc_bell_ring(s->bell);
    if (s->router_runs)
        (void)pthread_join(s->router_thread, NULL);
    for (size_t i = 0; i < s->n_threads; i++)
        (void)pthread_join(s->threads[i], NULL);
}

void rpc_server_stop(struct rpc_server **sp, int64_t drain_ms)
{
    if (!sp || !*sp)
        return;
    struct rpc_server *s = *sp;
    *sp = NULL;
    end_threads(s, drain_ms);
    zsock_destroy(&s->router); /* the router thread's, unless it never ran */
    if (s->gate)
        rpc_gate_close();
    if (s->bell >= 0)
        (void)close(s->bell);
    queue_done(&s->calls);
    queue_done(&s->notes);
    queue_done(&s->answers);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    zcert_destroy(&s->cert);
    free(s->threads);
    free(s->endpoint);
    free(s);
}
