/* See measure.h. What is counted in the database is counted by a thread of its own, so that a
 * scrape waits for nobody and goes on when the database does not answer; its age is a metric too.
 */
#include "conductor/measure.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "db/db_counts.h"

#include <string.h>

/* ---- when asked: what is in this process ---- */

struct held {
    size_t n, working;
    int64_t oldest_ms; /* held_until_ms of the one prolonged least lately */
};

static bool note_run(struct run *r, void *ctx)
{
    struct held *h = ctx;
    int64_t until_ms = atomic_load(&r->held_until_ms);
    if (h->n == 0 || until_ms < h->oldest_ms)
        h->oldest_ms = until_ms;
    h->n++;
    h->working += r->place == RUN_WORKING;
    return false; /* nobody is woken */
}

static void collect(void *conductor)
{
    struct conductor *c = conductor;
    const struct config *cfg = c->cfg;
    struct held h = {0};
    queue_each(&c->queue, note_run, &h);
    int64_t now = clock_mono_ms(), kept = lease_believed_until(0, cfg->conductor_lease_ms);
    int64_t age = h.n ? now - (h.oldest_ms - kept) : 0;
    pthread_mutex_lock(&c->queue.lock);
    size_t looking = c->queue.looking;
    pthread_mutex_unlock(&c->queue.lock);
    metrics_set(METRIC_HELD, (double)h.n, NULL);
    metrics_set(METRIC_LEASE_AGE, (double)(age > 0 ? age : 0) / 1e3, NULL);
    metrics_set(METRIC_WORKERS_BUSY, (double)(h.working + looking), NULL);
    metrics_set(METRIC_WORKERS, (double)cfg->conductor_workers, NULL);
    metrics_set(METRIC_HEARTBEAT_AGE, (double)(now - atomic_load(&c->turned_ms)) / 1e3, NULL);
    metrics_set(METRIC_CA_KEYS,
                c->cert_policy.keys ? (double)key_pool_ready(c->cert_policy.keys) : 0, NULL);
    metrics_set(METRIC_CA_KEYS_MAX, (double)cfg->certificates_key_pool, NULL);
}

int measure_start(struct conductor *c, struct err *e)
{
    return metrics_collect(collect, c, e);
}

void measure_stop(struct conductor *c)
{
    metrics_uncollect(collect, c);
}

/* ---- now and then: what is in the database ---- */

enum { ROWS_MAX = 4096, GROUP_MAX = 3, TEXT_MAX = 64 };

/* Rows are kept until all of them are there: nobody waits for the database while they are shown. */
struct counted {
    struct row {
        char text[GROUP_MAX][TEXT_MAX];
        int64_t n;
    } * v;
    size_t n, cap;
    int width;
    bool oom;
};

static void keep(void *ctx, const char *const *group, int64_t n)
{
    struct counted *k = ctx;
    if (k->n == k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 16;
        struct row *bigger = k->n < ROWS_MAX ? reallocarray(k->v, cap, sizeof *bigger) : NULL;
        k->oom |= !bigger;
        if (!bigger)
            return;
        k->v = bigger;
        k->cap = cap;
    }
    struct row *r = &k->v[k->n++];
    for (int i = 0; i < k->width; i++)
        snprintf(r->text[i], TEXT_MAX, "%s", group[i]);
    r->n = n;
}

static void show(enum metric m, const struct counted *k)
{
    metrics_update_begin();
    metrics_forget(m);
    for (size_t i = 0; i < k->n; i++) {
        const struct row *r = &k->v[i];
        metrics_set(m, (double)r->n, METRICS_LABELS_OF(r->text[0], r->text[1], r->text[2]));
    }
    metrics_update_end();
}

static int count_queue(struct conductor *c, struct err *e)
{
    struct counted ops = {.width = 3}, services = {.width = 2}, certs = {.width = 1};
    int64_t due = 0, age_ms = 0;
    int rc = db_count_operations(c->db, keep, &ops, e);
    if (rc == 0)
        rc = db_count_due(c->db, &due, &age_ms, e);
    if (rc == 0)
        rc = db_count_services(c->db, c->cfg->conductor_service_down_time_s, keep, &services, e);
    if (rc == 0)
        rc = db_count_certificates(c->db, keep, &certs, e);
    if (rc == 0 && (ops.oom || services.oom || certs.oom))
        rc = err_nomem(e);
    if (rc == 0) {
        show(METRIC_OPERATIONS, &ops);
        show(METRIC_SERVICES, &services);
        show(METRIC_CERTIFICATES, &certs);
        metrics_set(METRIC_QUEUE_DUE, (double)due, NULL);
        metrics_set(METRIC_QUEUE_AGE, (double)age_ms / 1e3, NULL);
        metrics_set(METRIC_COUNTED, (double)clock_wall_ms() / 1e3, NULL);
    }
    free(ops.v);
    free(services.v);
    free(certs.v);
    return rc;
}

static int count_clusters(struct conductor *c, struct err *e)
{
    struct counted clusters = {.width = 2};
    int rc = db_count_clusters(c->db, keep, &clusters, e);
    if (rc == 0)
        rc = clusters.oom ? err_nomem(e) : 0;
    if (rc == 0)
        show(METRIC_CLUSTERS, &clusters);
    free(clusters.v);
    return rc;
}

/* A kind of counting and when it is due (monotonic). */
struct round {
    int (*fn)(struct conductor *c, struct err *e);
    int64_t every_ms, due_ms;
};

/* What is due; *ret_ms: until something is again. */
static int go_round(struct conductor *c, struct round *v, size_t n, int64_t *ret_ms, struct err *e)
{
    int rc = 0;
    *ret_ms = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        int64_t now = clock_mono_ms();
        if (v[i].every_ms == 0)
            continue;
        if (rc == 0 && now >= v[i].due_ms) {
            rc = v[i].fn(c, e);
            v[i].due_ms = now + v[i].every_ms;
        }
        int64_t left = v[i].due_ms - now;
        if (left < *ret_ms)
            *ret_ms = left > 0 ? left : 0;
    }
    return rc;
}

void *measure_thread(void *conductor)
{
    struct conductor *c = conductor;
    struct round rounds[] = {{count_queue, c->cfg->metrics_queue_interval_s * 1000, 0},
                             {count_clusters, c->cfg->metrics_clusters_interval_s * 1000, 0}};
    int64_t sleep_ms = 0;
    bool down = false;
    while (metrics_on() && sleep_ms != INT64_MAX && sleeper_wait(&c->measure, sleep_ms)) {
        struct err e = ERR_INIT;
        int rc = go_round(c, rounds, ARRAY_LEN(rounds), &sleep_ms, &e);
        if (rc && !down)
            log_warn("metrics.count", "%s; trying again", e.msg);
        down = rc != 0;
    }
    return NULL;
}

/* ---- as it happens ---- */

static const char *outcome(const struct engine_event *ev)
{
    switch (ev->kind) {
    case EV_STEP:
    case EV_STAGE:
        return ev->rc == RC_AGAIN ? "again" : ev->rc < 0 ? "error" : "ok";
    case EV_DIED:
        return "died";
    case EV_OVERRUN:
        return "overrun";
    case EV_NO_DRIVER:
        return "not_tried";
    default:
        return "error";
    }
}

void measure_step(const struct run *r, const struct engine_action *a, int64_t us)
{
    bool core = a->kind == ACT_STAGE;
    const char *driver = core ? "core" : r->op.driver_id;
    const char *verb = core ? engine_stages(r->s.kind)[r->s.stage].name : a->stage->verb;
    metrics_inc(METRIC_STEPS, METRICS_LABELS_OF(driver, verb, outcome(&r->ev)));
    metrics_observe_us(METRIC_STEP_DURATION, us, METRICS_LABELS_OF(driver, verb));
}

void measure_end(const struct run *r)
{
    const struct operation *op = &r->op;
    const char *driver = str_blank(op->driver_id) ? "core" : op->driver_id;
    metrics_inc(METRIC_OPERATIONS_ENDED,
                METRICS_LABELS_OF(op->kind, driver, engine_status_name(r->s.status)));
    if (op->created_at != TIME_UNSET)
        metrics_observe_us(METRIC_OPERATION_DURATION, conductor_now_us(r->c) - op->created_at,
                           METRICS_LABELS_OF(op->kind));
}

void measure_backend(const char *service, bool refused, int rc, int status, int64_t us)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    const char *type = str_starts(service, "unix:") ? "unix" : service;
    bool answered = rc == 0 && status >= 100 && status < 600;
    const char *answer = refused ? "refused" : answered ? classes[status / 100 - 1] : "none";
    metrics_inc(METRIC_BACKEND_REQUESTS, METRICS_LABELS_OF(type, answer));
    if (!refused)
        metrics_observe_us(METRIC_BACKEND_DURATION, us, METRICS_LABELS_OF(type));
}
