/* See supervisor.h. */
#include "drivers/supervisor.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/metrics.h"
#include "drivers/isolation.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

enum { LOOK_AT_MEMORY_EVERY = 8 };

/* ---- making and ending the pool ---- */

/* The program: configured, or beside this one (bin), or in libexec. */
static int find_program(const struct config *cfg, char **ret, struct err *e)
{
    static const char *const places[] = {"magnum-driver-host", "../bin/magnum-driver-host",
                                         "../libexec/magnum/magnum-driver-host"};
    char exe[4096];
    if (!str_blank(cfg->drivers_host_program)) {
        *ret = str_dup(cfg->drivers_host_program);
        return *ret ? 0 : err_nomem(e);
    }
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; slash && i < ARRAY_LEN(places); i++) {
        _cleanup_free_ char *path = str_fmt("%s/%s", exe, places[i]);
        if (path && access(path, X_OK) == 0) {
            *ret = TAKE_PTR(path);
            return 0;
        }
    }
    return err_set(e, ERR_CONFIG,
                   "magnum-driver-host is not beside this program: name it in "
                   "drivers.host_program");
}

static void add_config(json_t *out, const json_t *section)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)section, key, v)
    {
        char *text = json_is_string(v) ? NULL : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!json_is_null(v))
            json_object_set_new(out, key,
                                json_string(json_is_string(v) ? json_string_value(v) : text));
        free(text);
    }
}

/* Where nodes find Keystone and this Magnum: what every driver of a cloud has to tell them. */
static void add_site(json_t *out, const struct config *cfg)
{
    const char *auth = cfg->keystone_www_authenticate_uri;
    const char *api = cfg->api_public_url;
    json_object_set_new(out, "auth_url", json_string(*auth ? auth : cfg->keystone_auth_url));
    json_object_set_new(out, "region", json_string(cfg->keystone_region));
    json_object_set_new(out, "magnum_url", *api ? json_sprintf("%s/v1", api) : json_string(""));
}

/* The plugin's section of driver_config and over it what operators set, every value as text. */
static json_t *plugin_config(const struct config *cfg, const struct plugin *p)
{
    json_t *out = json_object();
    add_site(out, cfg);
    add_config(out, json_object_get(cfg->driver_config, p->id));
    add_config(out, p->settings);
    return out;
}

static json_t *make_hello(const struct config *cfg, const struct plugin *p)
{
    int64_t memory = p->memory_mb ? p->memory_mb : cfg->drivers_memory_mb;
    int64_t files = p->open_files ? p->open_files : cfg->drivers_open_files;
    return json_pack("{s:i,s:I,s:s,s:O*,s:O*,s:o,s:I,s:I,s:b,s:b}", "protocol", FRAME_PROTOCOL,
                     "max_frame_bytes", (json_int_t)cfg->drivers_max_frame_bytes, "id", p->id,
                     "interfaces", json_object_get(p->manifest, "interfaces"), "operations",
                     json_object_get(p->manifest, "operations"), "config", plugin_config(cfg, p),
                     "memory_mb", (json_int_t)memory, "open_files", (json_int_t)files, "exec",
                     (int)p->exec, "network_direct", (int)p->network_direct);
}

static int add_drivers(struct driver_pool *p, const struct plugin_list *plugins, struct err *e)
{
    p->drivers = calloc(plugins->n ? plugins->n : 1, sizeof *p->drivers);
    if (!p->drivers)
        return err_nomem(e);
    for (size_t i = 0; i < plugins->n; i++) {
        struct driver *d = &p->drivers[p->n];
        if (plugins->v[i].problem)
            continue;
        *d = (struct driver){.plugin = &plugins->v[i], .lib_fd = -1, .map_fd = -1};
        d->hello = make_hello(p->cfg, d->plugin);
        metrics_add(METRIC_HOST_DEATHS, 0, METRICS_LABELS_OF(d->plugin->id)); /* known as none */
        d->confine = confine_decide(p->cfg, plugins, d->plugin);
        p->n++;
        if (!d->hello || death_log_init(&d->deaths, (size_t)p->cfg->drivers_quarantine_deaths) != 0)
            return err_nomem(e);
        int rc = confine_tell(p->cfg, d->plugin, &d->confine, d->hello, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int init_sync(struct driver_pool *p, struct err *e)
{
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake_fd < 0 || p->stop_fd < 0)
        return err_errno(e, errno, "cannot make an eventfd");
    return 0;
}

int driver_pool_new_with(const struct config *cfg, const struct plugin_list *plugins,
                         const struct driver_transport *transport, struct driver_pool **ret,
                         struct err *e)
{
    struct driver_pool *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(e);
    p->cfg = cfg;
    p->transport = transport;
    p->wake_fd = p->stop_fd = -1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->started, NULL);
    cgroup_place_find(cfg->drivers_cgroup, &p->cgroups);
    int rc = init_sync(p, e);
    if (rc == 0)
        rc = find_program(cfg, &p->program, e);
    if (rc == 0)
        rc = add_drivers(p, plugins, e);
    if (rc == 0)
        rc = keeper_start(p, e);
    if (rc != 0)
        driver_pool_free(&p);
    else
        *ret = p;
    return rc;
}

int driver_pool_new(const struct config *cfg, const struct plugin_list *plugins,
                    struct driver_pool **ret, struct err *e)
{
    return driver_pool_new_with(cfg, plugins, &transport_process, ret, e);
}

static void retire_idle(struct driver_pool *p)
{
    for (size_t i = 0; i < p->n; i++) {
        for (;;) {
            pthread_mutex_lock(&p->lock);
            struct child *c = p->drivers[i].idle;
            if (c) {
                p->drivers[i].idle = c->next;
                p->drivers[i].alive--;
            }
            pthread_mutex_unlock(&p->lock);
            if (!c)
                break;
            keeper_retire(p, c);
        }
    }
}

void driver_pool_free(struct driver_pool **pp)
{
    struct driver_pool *p = *pp;
    if (!p)
        return;
    *pp = NULL;
    if (p->keeper_runs) {
        retire_idle(p);
        pthread_mutex_lock(&p->lock);
        p->closing = true;
        pthread_mutex_unlock(&p->lock);
        keeper_wake(p);
        pthread_join(p->keeper, NULL);
    }
    for (size_t i = 0; i < p->n; i++) {
        json_decref(p->drivers[i].hello);
        json_decref(p->drivers[i].isolation);
        death_log_done(&p->drivers[i].deaths);
        cleanup_closep(&p->drivers[i].lib_fd);
        cleanup_closep(&p->drivers[i].map_fd);
    }
    free(p->drivers);
    cgroup_place_done(&p->cgroups);
    free(p->program);
    cleanup_closep(&p->wake_fd);
    cleanup_closep(&p->stop_fd);
    pthread_cond_destroy(&p->started);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Under the lock: there is news for everybody who waits. */
static void wake_all(const struct driver *d)
{
    for (struct waiter *w = d->first; w; w = w->next)
        pthread_cond_signal(&w->wake);
}

void driver_pool_stop(struct driver_pool *p, int64_t grace_ms)
{
    atomic_store(&p->stop_at_ms, clock_mono_ms() + grace_ms);
    atomic_store(&p->stopping, true);
    (void)!eventfd_write(p->stop_fd, 1);
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n; i++)
        wake_all(&p->drivers[i]);
    pthread_mutex_unlock(&p->lock);
}

/* ---- quarantine ---- */

struct driver *pool_driver_version(struct driver_pool *p, const char *id, const char *version)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct plugin *x = p->drivers[i].plugin;
        bool it = str_eq(x->id, id) || str_eq(x->name, id);
        if (str_eq(x->ref, id) || (it && (!version || str_eq(x->version, version))))
            return &p->drivers[i];
    }
    return NULL;
}

struct driver *pool_driver(struct driver_pool *p, const char *id)
{
    return pool_driver_version(p, id, NULL);
}

void driver_pool_on_quarantine(struct driver_pool *p, driver_quarantine_fn fn, void *ctx)
{
    p->on_quarantine = fn;
    p->on_quarantine_ctx = ctx;
}

void driver_pool_drain(struct driver_pool *p, const char *driver_id, bool on)
{
    struct driver *d = pool_driver(p, driver_id);
    pthread_mutex_lock(&p->lock);
    if (d)
        d->draining = on;
    pthread_mutex_unlock(&p->lock);
}

void driver_pool_quarantine(struct driver_pool *p, const char *driver_id, bool on)
{
    struct driver *d = pool_driver(p, driver_id);
    if (!d)
        return;
    pthread_mutex_lock(&p->lock);
    if (d->closed && !on)
        death_log_clear(&d->deaths);
    d->closed = on;
    metrics_set(METRIC_QUARANTINED, on, METRICS_LABELS_OF(d->plugin->ref));
    wake_all(d);
    pthread_mutex_unlock(&p->lock);
}

void pool_note_death(struct driver_pool *p, struct driver *d, const char *op_id, const char *why)
{
    const struct config *cfg = p->cfg;
    log_warn("driver.died", "a host of %s ended: %s", d->plugin->id, why);
    metrics_inc(METRIC_HOST_DEATHS, METRICS_LABELS_OF(d->plugin->id));
    pthread_mutex_lock(&p->lock);
    bool bad = death_log_add(&d->deaths, clock_mono_ms(), cfg->drivers_quarantine_minutes * 60000,
                             op_id) &&
               !d->closed;
    if (bad) {
        d->closed = true;
        metrics_set(METRIC_QUARANTINED, 1, METRICS_LABELS_OF(d->plugin->ref));
        wake_all(d);
    }
    pthread_mutex_unlock(&p->lock);
    if (!bad)
        return;
    _cleanup_free_ char *text = str_fmt("%lld hosts ended within %lld minutes, the last one: %s",
                                        (long long)cfg->drivers_quarantine_deaths,
                                        (long long)cfg->drivers_quarantine_minutes, why);
    log_error("driver.quarantined", "%s: %s", d->plugin->id, text ? text : why);
    if (p->on_quarantine)
        p->on_quarantine(p->on_quarantine_ctx, d->plugin->id, d->plugin->sha256, text ? text : why);
}

/* ---- lending hosts ---- */

/* Under the lock: as many waiters as there are free places have their turn, the first ones. To be
 * called when a place became free, and when somebody left the queue: who came while another had a
 * turn waits behind it, and a turn may end unused. */
static void wake_due(struct driver_pool *p, struct driver *d)
{
    int64_t places = p->cfg->drivers_processes - d->alive;
    for (const struct child *c = d->idle; c; c = c->next)
        places++;
    for (struct waiter *w = d->first; w && places > 0; w = w->next, places--)
        if (!w->turn) {
            w->turn = true;
            pthread_cond_signal(&w->wake);
        }
}

static void leave_queue(struct driver *d, struct waiter *w)
{
    struct waiter *before = NULL;
    for (struct waiter **at = &d->first; *at; before = *at, at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            if (d->last == w)
                d->last = before;
            return;
        }
}

/* Under the lock: waits for a turn. False when the time is over. */
static bool wait_turn(struct driver_pool *p, struct driver *d, int64_t deadline_ms)
{
    struct waiter w = {.turn = false};
    cond_init(&w.wake);
    if (d->last)
        d->last->next = &w;
    else
        d->first = &w;
    d->last = &w;
    bool in_time = true;
    while (in_time && !w.turn && !d->closed && !atomic_load(&p->stopping))
        in_time = cond_wait_until(&w.wake, &p->lock, deadline_ms);
    leave_queue(d, &w);
    bool turn = w.turn;
    pthread_cond_destroy(&w.wake);
    return turn || d->closed || atomic_load(&p->stopping);
}

/* Under the lock: an idle host, or leave to start one (*ret NULL), or an error. */
static int take(struct driver_pool *p, struct driver *d, int64_t deadline_ms, struct child **ret,
                struct err *e)
{
    bool in_turn = false;
    for (;;) {
        if (atomic_load(&p->stopping))
            return err_set(e, ERR_CANCELLED, "the conductor is stopping");
        if (d->closed)
            return err_set(e, ERR_UNAVAILABLE, "driver %s is quarantined", d->plugin->id);
        bool queue = d->first && !in_turn; /* who came first is served first */
        if (d->idle && !queue) {
            *ret = d->idle;
            d->idle = d->idle->next;
            (*ret)->next = NULL;
            return 0;
        }
        if (d->alive < p->cfg->drivers_processes && !queue) {
            d->alive++;
            *ret = NULL;
            return 0;
        }
        if (!wait_turn(p, d, deadline_ms))
            return err_set(e, ERR_UNAVAILABLE, "all %lld processes of driver %s are busy",
                           (long long)p->cfg->drivers_processes, d->plugin->id);
        in_turn = true;
    }
}

static void give_back_slot(struct driver_pool *p, struct driver *d)
{
    pthread_mutex_lock(&p->lock);
    d->alive--;
    wake_due(p, d);
    pthread_mutex_unlock(&p->lock);
}

int pool_start(struct driver_pool *p, struct driver *d, struct child **ret, bool *died,
               struct err *e)
{
    struct child *c = NULL;
    *died = false;
    int rc = keeper_start_child(p, d, &c, e);
    struct err why = ERR_INIT;
    if (rc != 0) {
        metrics_inc(METRIC_HOST_STARTS, METRICS_LABELS_OF(d->plugin->id, metrics_result(rc)));
        return rc;
    }
    rc = child_greet(c, d->hello, (size_t)p->cfg->drivers_max_frame_bytes,
                     p->cfg->drivers_start_timeout_ms, died, &why);
    metrics_inc(METRIC_HOST_STARTS, METRICS_LABELS_OF(d->plugin->id, metrics_result(rc)));
    if (rc == 0) {
        isolation_note(p, d, c);
        *ret = c;
        return 0;
    }
    if (!*died) {
        keeper_retire(p, c);
        return err_set(e, rc, "driver %s: %s", d->plugin->id, why.msg);
    }
    /* A host that ended says more by how it ended. */
    char end[DEATH_WHY] = "";
    bool by_itself = child_wait_end(c, 100);
    if (!by_itself)
        child_kill(c, 0);
    child_bury(&c, end);
    if (by_itself && *end)
        return err_set(e, rc, "driver %s: its host was %s before its hello", d->plugin->id, end);
    return err_set(e, rc, "driver %s: %s", d->plugin->id, why.msg);
}

int pool_acquire(struct driver_pool *p, struct driver *d, int64_t deadline_ms, struct child **ret,
                 bool *died, struct err *e)
{
    *died = false;
    for (;;) {
        struct child *c = NULL;
        pthread_mutex_lock(&p->lock);
        int rc = take(p, d, deadline_ms, &c, e);
        wake_due(p, d);
        pthread_mutex_unlock(&p->lock);
        if (rc != 0)
            return rc;
        if (!c) {
            rc = pool_start(p, d, ret, died, e);
            if (rc != 0)
                give_back_slot(p, d);
            else
                keeper_want_spare(p, d);
            return rc;
        }
        if (!child_ended(c)) {
            *ret = c;
            return 0;
        }
        char why[DEATH_WHY];
        pool_dead(p, c, "", true, why);
    }
}

static bool worn_out(struct driver_pool *p, struct child *c)
{
    const struct config *cfg = p->cfg;
    if (c->calls >= cfg->drivers_recycle_calls ||
        clock_mono_ms() - c->born_ms >= cfg->drivers_recycle_minutes * 60000)
        return true;
    if (c->base_rss_kb == 0)
        c->base_rss_kb = child_rss_kb(c);
    if (c->base_rss_kb < 0 || c->calls % LOOK_AT_MEMORY_EVERY)
        return false;
    return child_rss_kb(c) - c->base_rss_kb >= cfg->drivers_recycle_growth_mb * 1024;
}

void pool_release(struct driver_pool *p, struct child *c, bool reusable)
{
    struct driver *d = c->driver;
    bool keep = reusable && !worn_out(p, c) && !atomic_load(&p->stopping);
    c->idle_since_ms = clock_mono_ms();
    pthread_mutex_lock(&p->lock);
    if (keep) {
        c->next = d->idle;
        d->idle = c;
    } else {
        d->alive--;
    }
    wake_due(p, d);
    pthread_mutex_unlock(&p->lock);
    if (!keep)
        keeper_retire(p, c);
}

void pool_dead(struct driver_pool *p, struct child *c, const char *op_id, bool counted,
               char why[DEATH_WHY])
{
    struct driver *d = c->driver;
    child_bury(&c, why);
    give_back_slot(p, d);
    if (counted)
        pool_note_death(p, d, op_id, *why ? why : "exited");
}
