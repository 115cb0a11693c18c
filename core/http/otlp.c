/* See otlp.h. One thread waits until a batch is full or trace.flush_ms have passed, and posts it.
 * What a collector refuses for the moment is offered again after a growing pause, while the queue
 * fills and then drops. */
#include "http/otlp.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/uuid.h"
#include "config/config.h"
#include "http/client.h"
#include "http/tls.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { PAUSE_MIN_MS = 500, PAUSE_MAX_MS = 30000, ANSWER_MAX = 65536, HEADERS_MAX = 16 };

struct otlp {
    const struct config *cfg;
    struct http_client *http;
    struct box tls; /* a struct http_tls */
    char *url;
    const char *headers[HEADERS_MAX + 2];
    struct otlp_source source;
    char host[256], instance[UUID_TEXT];
    pthread_t thread;
    bool runs;

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wake;
    struct trace_span **ring; /* capacity trace.queue_size */
    size_t first, n;
    bool stop;
    bool again; /* try at once, whatever the last try led to */
    struct otlp_counts counts;

    /* the thread's own */
    struct trace_span **batch; /* capacity trace.batch_size */
    size_t n_batch;
    int64_t pause_ms; /* 0: the collector took the last batch */
    uint64_t told;    /* drops the log knows of */
};

static void span_free(struct trace_span *s)
{
    if (!s)
        return;
    trace_span_free(s);
    free((void *)(uintptr_t)s->ctx.state);
    free(s);
}

/* The sink: on the thread that ended the span. */
static void take(void *ctx, struct trace_span *s)
{
    struct otlp *o = ctx;
    struct trace_span *mine = malloc(sizeof *mine);
    if (mine) {
        *mine = *s;
        mine->ctx.state = str_dup(s->ctx.state);
        mine->before = NULL;
        s->n_attrs = 0;
        s->name = s->problem = NULL;
    }
    size_t size = (size_t)o->cfg->trace_queue_size;
    pthread_mutex_lock(&o->lock);
    bool room = mine && o->n < size;
    if (room)
        o->ring[(o->first + o->n++) % size] = mine;
    else
        o->counts.dropped++;
    bool full = o->n == (size_t)o->cfg->trace_batch_size || o->n == size;
    pthread_mutex_unlock(&o->lock);
    if (!room)
        span_free(mine);
    if (full)
        pthread_cond_signal(&o->wake);
}

/* ---- the thread ---- */

static void drop_batch(struct otlp *o, bool sent)
{
    pthread_mutex_lock(&o->lock);
    *(sent ? &o->counts.sent : &o->counts.dropped) += o->n_batch;
    pthread_mutex_unlock(&o->lock);
    for (size_t i = 0; i < o->n_batch; i++)
        span_free(o->batch[i]);
    o->n_batch = 0;
}

/* Worth another try later (OTLP says which). */
static bool for_now(int rc, int status)
{
    return rc < 0 ? err_retryable(rc) || rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT
                  : status == 429 || status == 502 || status == 503 || status == 504;
}

static void send_batch(struct otlp *o)
{
    _cleanup_str_ struct str body = STR_INIT;
    struct err e = ERR_INIT;
    struct http_answer answer = {0};
    _cleanup_tls_ struct http_tls *tls = box_get(&o->tls);
    otlp_write(&body, &o->source, (const struct trace_span *const *)o->batch, o->n_batch);
    const struct http_call call = {.method = "POST",
                                   .url = o->url,
                                   .headers = o->headers,
                                   .body = body.s,
                                   .body_len = body.len,
                                   .timeout_ms = o->cfg->trace_timeout_ms,
                                   .max_body = ANSWER_MAX,
                                   .ca_pem = tls->ca};
    int rc = body.oom ? err_nomem(&e) : http_client_do(o->http, &call, &answer, &e);
    int status = answer.status;
    http_answer_done(&answer);
    bool sent = rc == 0 && status >= 200 && status < 300;
    bool again = !sent && for_now(rc, status);
    if (rc == 0 && !sent)
        err_set(&e, ERR_UNAVAILABLE, "the collector answered %d", status);
    if (!sent && o->pause_ms == 0)
        log_warn("trace.export", "%s; %s", e.msg,
                 again ? "trying again, and dropping spans when the queue is full"
                       : "these spans are dropped");
    if (sent && o->pause_ms)
        log_info("trace.export", "the collector takes spans again");
    if (sent || !again)
        drop_batch(o, sent);
    o->pause_ms = sent                             ? 0
                  : o->pause_ms == 0               ? PAUSE_MIN_MS
                  : o->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS
                                                   : o->pause_ms * 2;
}

static void wait_ms(struct otlp *o, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    size_t enough = (size_t)o->cfg->trace_batch_size;
    while (!o->stop && !o->again && (o->pause_ms || o->n < enough))
        if (!cond_wait_until(&o->wake, &o->lock, until))
            return;
}

/* Under the lock. */
static void fill_batch(struct otlp *o)
{
    size_t size = (size_t)o->cfg->trace_queue_size, most = (size_t)o->cfg->trace_batch_size;
    while (o->n && o->n_batch < most) {
        o->batch[o->n_batch++] = o->ring[o->first];
        o->first = (o->first + 1) % size;
        o->n--;
    }
}

static void tell_drops(struct otlp *o, uint64_t dropped)
{
    if (dropped == o->told)
        return;
    log_warn("trace.dropped", "%llu spans were dropped", (unsigned long long)(dropped - o->told));
    o->told = dropped;
}

static void *export_main(void *arg)
{
    struct otlp *o = arg;
    int64_t told_ms = clock_mono_ms();
    pthread_mutex_lock(&o->lock);
    while (!o->stop) {
        wait_ms(o, o->pause_ms ? o->pause_ms : o->cfg->trace_flush_ms);
        if (o->again && o->pause_ms)
            o->pause_ms = PAUSE_MIN_MS / 2;
        o->again = false;
        fill_batch(o);
        uint64_t dropped = o->counts.dropped;
        bool last = o->stop;
        pthread_mutex_unlock(&o->lock);
        if (o->n_batch && (!last || o->pause_ms == 0))
            send_batch(o);
        if (last || clock_mono_ms() - told_ms >= PAUSE_MAX_MS) {
            tell_drops(o, dropped);
            told_ms = clock_mono_ms();
        }
        pthread_mutex_lock(&o->lock);
    }
    /* what came while the last batch was under way */
    bool more = o->n > 0 && o->pause_ms == 0 && o->n_batch == 0;
    if (more)
        fill_batch(o);
    pthread_mutex_unlock(&o->lock);
    if (more)
        send_batch(o);
    return NULL;
}

/* ---- start and stop ---- */

/* The base address of a collector takes traces at /v1/traces; a longer one is meant as it is. */
static char *traces_url(const char *endpoint)
{
    const char *host = strstr(endpoint, "://") + 3, *path = strchr(host, '/');
    if (path && path[1])
        return str_dup(endpoint);
    return str_fmt("%.*s/v1/traces", (int)strcspn(host, "/") + (int)(host - endpoint), endpoint);
}

static int set_headers(struct otlp *o, struct err *e)
{
    size_t n = 0;
    o->headers[n++] = "Content-Type: application/json";
    for (size_t i = 0; i < o->cfg->trace_otlp_headers.n; i++) {
        const char *h = o->cfg->trace_otlp_headers.v[i], *colon = strchr(h, ':');
        if (!colon || colon == h || n > HEADERS_MAX)
            return err_set(e, ERR_CONFIG,
                           "trace.otlp_headers: write each as Name: value, at most %d of them",
                           HEADERS_MAX);
        o->headers[n++] = h;
    }
    return 0;
}

static struct http_tls_files files_of(const struct config *cfg)
{
    return (struct http_tls_files){"trace", cfg->trace_cafile, "", ""};
}

static int prepare(struct otlp *o, struct err *e)
{
    const struct config *cfg = o->cfg;
    const char *url = cfg->trace_otlp_endpoint;
    if (!str_starts(url, "http://") && !str_starts(url, "https://"))
        return err_set(e, ERR_CONFIG, "trace.otlp_endpoint must be an http or https URL");
    const struct http_tls_files files = files_of(cfg);
    struct http_tls *tls = NULL;
    int rc = set_headers(o, e);
    if (rc == 0)
        rc = http_tls_read(&files, &tls, e);
    if (rc == 0)
        (void)box_put(&o->tls, tls);
    if (rc == 0)
        rc = http_client_new(&o->http, e);
    if (rc < 0)
        return rc;
    o->url = traces_url(url);
    o->ring = calloc((size_t)cfg->trace_queue_size, sizeof(struct trace_span *));
    o->batch = calloc((size_t)cfg->trace_batch_size, sizeof(struct trace_span *));
    return o->url && o->ring && o->batch ? 0 : err_nomem(e);
}

/* Signals are for the program's own threads. */
static int start_thread(struct otlp *o, struct err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&o->thread, NULL, export_main, o);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        return err_set(e, ERR_NOMEM, "cannot start a thread: %s", strerror(rc));
    o->runs = true;
    return 0;
}

int otlp_start(const struct config *cfg, const char *program, struct otlp **ret, struct err *e)
{
    *ret = NULL;
    if (str_blank(cfg->trace_otlp_endpoint))
        return 0;
    struct otlp *o = calloc(1, sizeof *o);
    if (!o)
        return err_nomem(e);
    cond_init(&o->wake);
    pthread_mutex_init(&o->lock, NULL);
    box_init(&o->tls, NULL);
    o->cfg = cfg;
    uuid_make(o->instance);
    if (gethostname(o->host, sizeof o->host - 1) < 0)
        o->host[0] = '\0';
    o->source = (struct otlp_source){.service = *cfg->trace_service_name ? cfg->trace_service_name
                                                                         : program,
                                     .version = MAGNUM_VERSION,
                                     .host = o->host,
                                     .instance = o->instance};
    int rc = prepare(o, e);
    if (rc == 0)
        rc = start_thread(o, e);
    if (rc < 0) {
        otlp_stop(&o);
        return rc;
    }
    trace_sink_set(take, o, cfg->trace_sample_per_million);
    *ret = o;
    return 0;
}

void otlp_stop(struct otlp **op)
{
    struct otlp *o = *op;
    if (!o)
        return;
    *op = NULL;
    if (o->runs) {
        trace_sink_set(NULL, NULL, 0);
        pthread_mutex_lock(&o->lock);
        o->stop = true;
        pthread_cond_signal(&o->wake);
        pthread_mutex_unlock(&o->lock);
        (void)pthread_join(o->thread, NULL);
    }
    for (size_t i = 0; i < o->n; i++)
        span_free(o->ring[(o->first + i) % (size_t)o->cfg->trace_queue_size]);
    for (size_t i = 0; i < o->n_batch; i++)
        span_free(o->batch[i]);
    http_client_free(&o->http);
    box_done(&o->tls);
    pthread_cond_destroy(&o->wake);
    pthread_mutex_destroy(&o->lock);
    free(o->ring);
    free(o->batch);
    free(o->url);
    free(o);
}

int otlp_read_again(struct otlp *o, const struct config *fresh, struct http_tls **ret,
                    struct err *e)
{
    *ret = NULL;
    if (!o)
        return 0;
    const struct http_tls_files used = files_of(o->cfg), now = files_of(fresh);
    return http_tls_read_again(&o->tls, &used, &now, ret, e);
}

void otlp_take(struct otlp *o, struct http_tls **fresh)
{
    if (!o)
        return;
    http_tls_unref(box_put(&o->tls, TAKE_PTR(*fresh)));
    pthread_mutex_lock(&o->lock);
    o->again = true; /* what failed may do now */
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
}

void otlp_count(struct otlp *o, struct otlp_counts *ret)
{
    *ret = (struct otlp_counts){0, 0};
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    *ret = o->counts;
    pthread_mutex_unlock(&o->lock);
}
