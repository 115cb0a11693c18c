/* Start, heartbeat and graceful end of a conductor. See conductor.h and conductor_internal.h. */
#include "base/clock.h"
#include "base/log.h"
#include "conductor/conductor_internal.h"
#include "conductor/measure.h"
#include "db/db_service.h"
#include "rpc/rpc.h"

#include <string.h>
#include <unistd.h>

enum { RESCAN_MS = 60000, RPC_DRAIN_MS = 2000 };
#define SLEEPERS(c)                                                                                \
    ((struct sleeper *const[]){&(c)->scheduler, &(c)->renewer, &(c)->heartbeat, &(c)->health,      \
                               &(c)->rescan, &(c)->upkeep, &(c)->sweep, &(c)->certs_sweep,         \
                               &(c)->measure})

int64_t conductor_now_us(const struct conductor *c)
{
    return clock_mono_us() + atomic_load(&c->clock_offset_us);
}

const char *conductor_instance(const struct conductor *c)
{
    return c->instance;
}

void conductor_reload(struct conductor *c)
{
    atomic_store(&c->reload, true);
    sleeper_wake(&c->rescan);
}

bool conductor_alive(const struct conductor *c)
{
    const int64_t limit_ms = c->cfg->conductor_service_down_time_s * INT64_C(1000);
    return clock_mono_ms() - atomic_load(&c->turned_ms) <= limit_ms;
}

/* ---- heartbeat ---- */
/* Due times, leases and deadlines are the database's; our own clocks may jump. */
static int read_clock(struct conductor *c, struct err *e)
{
    int64_t now_us = 0, before = clock_mono_us();
    int rc = db_now(c->db, &now_us, e);
    if (rc == 0)
        atomic_store(&c->clock_offset_us, now_us - (before + clock_mono_us()) / 2);
    return rc;
}

static int beat(struct conductor *c, struct err *e)
{
    struct mservice s;
    mservice_init(&s);
    const char *key = rpc_server_public_key(c->rpc);
    s.host = str_dup(c->host);
    s.binary = str_dup("magnum-conductor");
    s.instance = str_dup(c->instance);
    if (atomic_load(&c->announced)) { /* nobody calls before the drivers are known */
        s.endpoint = str_dup(rpc_server_endpoint(c->rpc));
        s.public_key = str_blank(key) ? NULL : str_dup(key);
        s.news_endpoint = str_dup(rpc_publisher_endpoint(c->news));
    }
    s.version = str_dup(MAGNUM_VERSION);
    bool whole = s.host && s.binary && s.instance && s.version;
    int rc = whole ? db_service_beat(c->db, &s, e) : err_nomem(e);
    mservice_done(&s);
    return rc;
}

static int keep_up(struct conductor *c, struct err *e)
{
    int rc = beat(c, e);
    if (rc == 0)
        rc = read_clock(c, e);
    return rc ? rc : drivers_refresh(c, e);
}

static void *heartbeat_thread(void *conductor)
{
    struct conductor *c = conductor;
    bool down = false;
    while (sleeper_wait(&c->heartbeat, c->cfg->conductor_heartbeat_ms)) {
        struct err e = ERR_INIT;
        int rc = keep_up(c, &e);
        if (rc && !down)
            log_warn("heartbeat", "%s; trying again", e.msg);
        else if (!rc && down)
            log_info("heartbeat", "the database answers again");
        down = rc != 0;
        atomic_store(&c->turned_ms, clock_mono_ms());
    }
    return NULL;
}

/* Follows decisions about drivers within drivers.news_ms, and looks at all plugins now and then.
 * Apart from the heartbeat, because a plugin may hang when it is looked at. */
static void *rescan_thread(void *conductor)
{
    struct conductor *c = conductor;
    int64_t scanned_ms = clock_mono_ms();
    bool down = false;
    while (sleeper_wait(&c->rescan, c->cfg->drivers_news_ms)) {
        struct err e = ERR_INIT;
        bool news = false;
        bool all = atomic_exchange(&c->reload, false) || clock_mono_ms() - scanned_ms >= RESCAN_MS;
        int rc = drivers_news(c, &news, &e);
        if (rc == 0 && news) /* decisions count at once, whatever looking at plugins takes */
            rc = drivers_refresh(c, &e);
        if (rc == 0 && (news || all))
            rc = drivers_scan(c, all, &e);
        if (rc == 0 && (news || all))
            rc = drivers_refresh(c, &e);
        if (rc == 0 && all)
            scanned_ms = clock_mono_ms();
        if (rc && (news || all)) /* still to be done */
            atomic_store(&c->reload, true);
        if (rc && !down)
            log_warn("drivers.scan", "%s; trying again", e.msg);
        down = rc != 0;
    }
    return NULL;
}

/* ---- threads ---- */
static void *worker_thread(void *conductor)
{
    struct conductor *c = conductor;
    struct run *run = NULL;
    struct observation *look = NULL;
    while (queue_take(&c->queue, &run, &look)) {
        if (run)
            runner_work(run);
        else
            health_look(c, look);
        if (atomic_load(&c->hungry) && queue_low(&c->queue))
            sleeper_wake(&c->scheduler);
    }
    return NULL;
}

static void *clock_thread(void *conductor)
{
    struct conductor *c = conductor;
    queue_run_clock(&c->queue);
    return NULL;
}

static int start_threads(struct conductor *c, struct err *e)
{
    static void *(*const bodies[ROLES])(void *) = {
        [ROLE_SCHEDULER] = scheduler_thread, [ROLE_RENEWER] = renewer_thread,
        [ROLE_HEARTBEAT] = heartbeat_thread, [ROLE_RESCAN] = rescan_thread,
        [ROLE_HEALTH] = health_thread,       [ROLE_CLOCK] = clock_thread,
        [ROLE_UPKEEP] = upkeep_thread,       [ROLE_SWEEP] = sweep_thread,
        [ROLE_CERTS] = certs_thread,         [ROLE_MEASURE] = measure_thread,
    };
    size_t workers = (size_t)c->cfg->conductor_workers;
    c->workers = calloc(workers, sizeof *c->workers);
    if (!c->workers)
        return err_nomem(e);
    int rc = 0;
    for (; rc == 0 && c->n_workers < workers; c->n_workers += rc == 0)
        rc = pthread_create(&c->workers[c->n_workers], NULL, worker_thread, c);
    for (; rc == 0 && c->n_roles < ROLES; c->n_roles += rc == 0)
        rc = pthread_create(&c->roles[c->n_roles], NULL, bodies[c->n_roles], c);
    return rc ? err_errno(e, rc, "cannot start a thread") : 0;
}

/* ---- start ---- */
static void configure_engine(struct conductor *c)
{
    const struct config *cfg = c->cfg;
    c->engine = (struct engine_config)ENGINE_CONFIG_DEFAULT;
    c->engine.min_wait_ms = cfg->conductor_min_wait_ms;
    c->engine.max_wait_ms = cfg->conductor_max_wait_ms;
    c->engine.backoff_ms = cfg->conductor_backoff_ms;
    c->engine.backoff_max_ms = cfg->conductor_backoff_max_ms;
    c->engine.host_failures = cfg->conductor_host_failures;
    c->engine.blocked_after_ms = cfg->conductor_blocked_after_s * 1000;
    c->engine.step_budget_ms = cfg->conductor_step_budget_ms;
}

static void configure_shares(struct conductor *c)
{
    const struct config *cfg = c->cfg;
    const struct share_rule projects = {(size_t)cfg->conductor_share,
                                        (size_t)cfg->conductor_project_operations};
    const struct share_rule backends = {(size_t)cfg->conductor_share,
                                        (size_t)cfg->conductor_backend_operations};
    queue_limit(&c->queue, (size_t)cfg->conductor_workers, &projects, &backends);
}

static int init(struct conductor *c, struct err *e)
{
    size_t workers = (size_t)c->cfg->conductor_workers;
    uuid_make(c->instance);
    atomic_store(&c->turned_ms, clock_mono_ms());
    configure_engine(c);
    if (!str_blank(c->cfg->conductor_host))
        (void)snprintf(c->host, sizeof c->host, "%s", c->cfg->conductor_host);
    else if (gethostname(c->host, sizeof c->host - 1))
        return err_set(e, ERR_CONFIG, "conductor.host is not set and the host has no name");
    int rc = cert_policy_load(c, e);
    if (rc == 0)
        rc = trusts_new(c, e);
    if (rc == 0)
        rc = http_client_new(&c->http, e);
    if (rc == 0)
        rc = queue_init(&c->queue, (size_t)c->cfg->conductor_held, workers / 2 + 1, e);
    if (rc == 0)
        configure_shares(c);
    return rc;
}

static int start(struct conductor *c, struct err *e)
{
    int rc = init(c, e);
    if (rc == 0)
        rc = drivers_new(c, e);
    if (rc == 0)
        rc = rpc_server_start(c->cfg, rpc_method, c, &c->rpc, e);
    if (rc == 0)
        rc = notify_start(c, e);
    if (rc == 0)
        rc = beat(c, e); /* what is published belongs to a conductor that is known */
    if (rc == 0)
        rc = drivers_scan(c, true, e);
    if (rc == 0)
        rc = keep_up(c, e);
    if (rc == 0)
        rc = measure_start(c, e);
    atomic_store(&c->announced, rc == 0); /* before the heartbeat's thread tells the contrary */
    if (rc == 0)
        rc = start_threads(c, e);
    if (rc)
        return rc;
    rpc_server_open(c->rpc); /* a caller of this conductor's former life may be back long ago */
    return beat(c, e);
}

int conductor_start(const struct config *cfg, struct db *db, struct conductor **ret, struct err *e)
{
    struct conductor *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    c->cfg = cfg;
    c->db = db;
    breakers_init(&c->breakers);
    box_init(&c->seal, NULL);
    for (size_t i = 0; i < ARRAY_LEN(SLEEPERS(c)); i++) {
        int rc = sleeper_init(SLEEPERS(c)[i], e);
        if (rc) {
            breakers_done(&c->breakers);
            box_done(&c->seal);
            free(c); /* nothing else was made yet */
            return rc;
        }
    }
    int rc = start(c, e);
    if (rc) {
        conductor_stop(&c);
        return rc;
    }
    log_info("conductor.ready", "instance %s, endpoint %s", c->instance,
             rpc_server_endpoint(c->rpc));
    *ret = c;
    return 0;
}

/* ---- the end ---- */
static bool wake_all(struct run *r, void *ctx)
{
    (void)r;
    (void)ctx;
    return true;
}

/* Steps in flight may end by themselves for a while, then their drivers are told to stop. */
static void end_runs(struct conductor *c)
{
    const struct config *cfg = c->cfg;
    queue_each(&c->queue, wake_all, NULL);
    if (!queue_drain(&c->queue, clock_mono_ms() + cfg->conductor_shutdown_timeout_s * 1000))
        log_info("conductor.stop", "steps in flight are told to stop");
    if (c->drivers)
        drivers_stop(c, cfg->drivers_kill_grace_ms);
    (void)queue_drain(&c->queue, clock_mono_ms() + cfg->drivers_kill_grace_ms + 10000);
}

static void join(struct conductor *c, enum role role)
{
    if ((size_t)role < c->n_roles)
        (void)pthread_join(c->roles[role], NULL);
}

/* No new work and no more signs of life; the leases of what still runs are kept. */
static void withdraw(struct conductor *c)
{
    struct err e = ERR_INIT;
    struct sleeper *const quiet[] = {&c->scheduler, &c->health, &c->heartbeat,   &c->rescan,
                                     &c->upkeep,    &c->sweep,  &c->certs_sweep, &c->measure};
    for (size_t i = 0; i < ARRAY_LEN(quiet); i++)
        sleeper_stop(quiet[i]);
    join(c, ROLE_SCHEDULER);
    join(c, ROLE_HEALTH);
    join(c, ROLE_UPKEEP);
    join(c, ROLE_MEASURE);
    join(c, ROLE_HEARTBEAT);
    if (c->rpc && db_service_gone(c->db, c->host, "magnum-conductor", &e))
        log_warn("conductor.stop", "%s, ignoring: the service will be seen down", e.msg);
    rpc_server_stop(&c->rpc, RPC_DRAIN_MS);
}

void conductor_stop(struct conductor **conductor)
{
    struct conductor *c = TAKE_PTR(*conductor);
    struct err e = ERR_INIT;
    if (!c)
        return;
    measure_stop(c);
    atomic_store(&c->stopping, true);
    withdraw(c);
    if (c->n_workers)
        end_runs(c);
    join(c, ROLE_RESCAN);
    join(c, ROLE_SWEEP);
    join(c, ROLE_CERTS);
    sleeper_stop(&c->renewer);
    join(c, ROLE_RENEWER);
    if (c->queue.table)
        queue_close(&c->queue);
    join(c, ROLE_CLOCK);
    for (size_t i = 0; i < c->n_workers; i++)
        (void)pthread_join(c->workers[i], NULL);
    if (c->n_roles && db_op_release_all(c->db, c->instance, &e))
        log_warn("conductor.stop", "%s, ignoring: leases run out by themselves", e.msg);
    drivers_free(c);
    notify_stop(c);
    if (c->queue.table)
        queue_done(&c->queue);
    http_client_free(&c->http);
    trusts_free(c);
    cert_policy_done(c);
    breakers_done(&c->breakers);
    for (size_t i = 0; i < ARRAY_LEN(SLEEPERS(c)); i++)
        sleeper_done(SLEEPERS(c)[i]);
    free(c->workers);
    free(c);
}
