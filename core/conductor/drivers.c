/* The drivers of this conductor: what the plugin directories hold, whether each can work on this
 * machine, whether the operator wants it, whether it is quarantined; and what of that is published
 * to the others. See conductor_internal.h.
 *
 * A driver's files may change while the conductor runs: a changed directory gives a new set with
 * its own pool; calls keep the set they began with. */
#include "base/log.h"
#include "conductor/conductor_internal.h"
#include "db/db_service.h"

#include <string.h>

struct driver_state {
    bool ready, enabled, quarantined;
    char why[512]; /* not ready because */
};
struct driver_set {
    struct plugin_list plugins;
    struct driver_state *states; /* one per plugin; under drivers.lock */
    struct driver_pool *pool;
    size_t refs; /* under drivers.lock */
    struct driver_set *next;
    struct conductor *c;
};
struct drivers {
    pthread_mutex_t lock;
    struct driver_set *sets; /* the present one first, then those still in use */
    struct strv orphans;     /* ids that no living conductor can run */
};

/* ---- sets ---- */
static void set_free(struct driver_set *s)
{
    driver_pool_free(&s->pool);
    plugin_list_done(&s->plugins);
    free(s->states);
    free(s);
}

/* Takes out sets that nobody uses; the caller frees them outside the lock. */
static struct driver_set *take_unused(struct drivers *d)
{
    struct driver_set *unused = NULL, **at = d->sets ? &d->sets->next : &d->sets;
    while (*at) {
        struct driver_set *s = *at;
        if (s->refs) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        s->next = unused;
        unused = s;
    }
    return unused;
}

static void free_sets(struct driver_set *s)
{
    while (s) {
        struct driver_set *next = s->next;
        set_free(s);
        s = next;
    }
}

int drivers_new(struct conductor *c, struct err *e)
{
    struct drivers *d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(e);
    int rc = pthread_mutex_init(&d->lock, NULL);
    if (rc) {
        free(d);
        return err_errno(e, rc, "mutex");
    }
    c->drivers = d;
    return 0;
}

void drivers_free(struct conductor *c)
{
    struct drivers *d = TAKE_PTR(c->drivers);
    if (!d)
        return;
    free_sets(d->sets);
    strv_free(&d->orphans);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

void drivers_stop(struct conductor *c, int64_t grace_ms)
{
    pthread_mutex_lock(&c->drivers->lock);
    for (struct driver_set *s = c->drivers->sets; s; s = s->next)
        driver_pool_stop(s->pool, grace_ms);
    pthread_mutex_unlock(&c->drivers->lock);
}

void driver_ref_done(struct driver_ref *r)
{
    if (!r->set)
        return;
    struct drivers *d = r->set->c->drivers;
    pthread_mutex_lock(&d->lock);
    r->set->refs--;
    struct driver_set *unused = take_unused(d);
    pthread_mutex_unlock(&d->lock);
    free_sets(unused);
    *r = (struct driver_ref){0};
}

/* ---- scanning ---- */
static bool same_json(const json_t *a, const json_t *b)
{
    return a && b ? json_equal(a, b) != 0 : a == b;
}

static bool same_plugins(const struct plugin_list *a, const struct plugin_list *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = str_eq(a->v[i].id, b->v[i].id) && strcmp(a->v[i].sha256, b->v[i].sha256) == 0 &&
               str_eq(a->v[i].library_path, b->v[i].library_path) &&
               str_eq(a->v[i].problem, b->v[i].problem) &&
               same_json(a->v[i].manifest, b->v[i].manifest) &&
               same_json(a->v[i].label_schema, b->v[i].label_schema);
    return same;
}

static void on_quarantine(void *ctx, const char *id, const char *sha256, const char *why)
{
    struct conductor *c = ctx;
    struct err e = ERR_INIT;
    log_error("driver.quarantined", "%s keeps ending its process and is quarantined: %s", id, why);
    pthread_mutex_lock(&c->drivers->lock);
    struct driver_set *s = c->drivers->sets;
    for (size_t i = 0; s && i < s->plugins.n; i++)
        if (str_eq(s->plugins.v[i].id, id))
            s->states[i].quarantined = true;
    pthread_mutex_unlock(&c->drivers->lock);
    if (db_driver_quarantine(c->db, id, sha256, why, &e))
        log_warn("driver.quarantine", "%s: %s, ignoring: this conductor keeps it closed", id,
                 e.msg);
}

static int set_new(struct conductor *c, struct plugin_list *plugins, struct driver_set **ret,
                   struct err *e)
{
    struct driver_set *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(e);
    s->c = c;
    s->refs = 1; /* the caller's */
    s->plugins = *plugins;
    *plugins = (struct plugin_list){0};
    s->states = calloc(s->plugins.n + 1, sizeof *s->states);
    int rc = s->states ? driver_pool_new(c->cfg, &s->plugins, &s->pool, e) : err_nomem(e);
    if (rc) {
        set_free(s);
        return rc;
    }
    driver_pool_on_quarantine(s->pool, on_quarantine, c);
    for (size_t i = 0; i < s->plugins.n; i++)
        if (s->plugins.v[i].problem)
            log_warn("driver.skipped", "%s: %s",
                     s->plugins.v[i].id ? s->plugins.v[i].id : s->plugins.v[i].manifest_path,
                     s->plugins.v[i].problem);
    *ret = s;
    return 0;
}

/* A reference to the present set, made anew when the directories changed. */
static int current_set(struct conductor *c, struct driver_ref *ret, struct err *e)
{
    struct drivers *d = c->drivers;
    struct plugin_list found = {0};
    struct driver_set *s = NULL, *fresh = NULL;
    int rc = plugins_scan(c->cfg, &found, e);
    if (rc)
        return rc;
    pthread_mutex_lock(&d->lock);
    if (d->sets && same_plugins(&found, &d->sets->plugins)) {
        s = d->sets;
        s->refs++;
    }
    pthread_mutex_unlock(&d->lock);
    if (!s) {
        rc = set_new(c, &found, &fresh, e);
        s = fresh;
    }
    if (fresh) {
        pthread_mutex_lock(&d->lock);
        fresh->next = d->sets;
        d->sets = fresh;
        pthread_mutex_unlock(&d->lock);
    }
    plugin_list_done(&found);
    *ret = (struct driver_ref){.set = s, .pool = s ? s->pool : NULL};
    return rc;
}

/* Can this driver work on this machine? Runs it once, in a child. */
static void probe(struct driver_set *s, size_t i)
{
    const struct plugin *p = &s->plugins.v[i];
    struct driver_state now = {.ready = false};
    struct err e = ERR_INIT;
    if (p->problem)
        (void)snprintf(now.why, sizeof now.why, "%s", p->problem);
    else if (front_coe_probe(s->pool, p->id, &now.ready, now.why, &e))
        (void)snprintf(now.why, sizeof now.why, "%.500s", e.msg);
    pthread_mutex_lock(&s->c->drivers->lock);
    bool changed = s->states[i].ready != now.ready || strcmp(s->states[i].why, now.why) != 0;
    s->states[i].ready = now.ready;
    memcpy(s->states[i].why, now.why, sizeof now.why);
    pthread_mutex_unlock(&s->c->drivers->lock);
    if (changed && !p->problem)
        log_write(now.ready ? LOG_INFO : LOG_WARN, "driver.state", "%s %s%s", p->id,
                  now.ready ? "is ready" : "is not ready: ", now.why);
}

static int add_row(struct driver_row_list *l, const struct driver_set *s, size_t i)
{
    const struct plugin *p = &s->plugins.v[i];
    if (!p->id)
        return 0;
    struct driver_row *row = driver_row_list_add(l);
    if (!row)
        return ERR_NOMEM;
    row->id = str_dup(p->id);
    row->name = str_dup(p->name);
    row->kind = str_dup(p->kind);
    row->version = str_dup(p->version);
    row->vendor = str_dup(p->vendor);
    row->sha256 = str_dup(p->sha256);
    row->manifest = p->manifest ? json_incref(p->manifest) : NULL;
    row->label_schema = p->label_schema ? json_incref(p->label_schema) : NULL;
    row->ready = s->states[i].ready;
    row->not_ready_reason = row->ready ? NULL : str_dup(s->states[i].why);
    return row->id ? 0 : ERR_NOMEM;
}

static int publish(struct conductor *c, struct driver_set *s, struct err *e)
{
    struct driver_row_list l = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->plugins.n; i++) {
        bool repeated = false; /* of two files with one id only the first counts */
        for (size_t k = 0; k < i; k++)
            repeated |= str_eq(s->plugins.v[k].id, s->plugins.v[i].id);
        if (!repeated)
            rc = add_row(&l, s, i);
    }
    rc = rc ? err_nomem(e) : db_driver_publish(c->db, c->instance, &l, e);
    driver_row_list_done(&l);
    return rc;
}

int drivers_scan(struct conductor *c, struct err *e)
{
    struct driver_ref r = {0};
    int rc = current_set(c, &r, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < r.set->plugins.n; i++)
        probe(r.set, i);
    rc = publish(c, r.set, e);
    driver_ref_done(&r);
    return rc;
}

/* ---- what operators and other conductors say ---- */
static const struct driver_row *row_of(const struct driver_row_list *l, const char *id)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].id, id))
            return &l->v[i];
    return NULL;
}

static bool enabled(const struct config *cfg, const struct plugin *p, const struct driver_row *row)
{
    if (strv_has(&cfg->drivers_disabled, p->id) || strv_has(&cfg->drivers_disabled, p->name))
        return false;
    if (str_eq(p->maturity, "beta") && !strv_has(&cfg->drivers_enabled_beta, p->id) &&
        !strv_has(&cfg->drivers_enabled_beta, p->name))
        return false;
    if (!cfg->drivers_require_enable)
        return true;
    return row && row->enabled &&
           (str_blank(row->enabled_sha256) || str_eq(row->enabled_sha256, p->sha256));
}

static int refresh_set(struct conductor *c, struct driver_set *s, const struct driver_row_list *all,
                       struct err *e)
{
    for (size_t i = 0; i < s->plugins.n; i++) {
        const struct plugin *p = &s->plugins.v[i];
        bool quarantined = false;
        if (p->problem)
            continue;
        int rc = db_driver_quarantined(c->db, p->sha256, &quarantined, e);
        if (rc)
            return rc;
        pthread_mutex_lock(&c->drivers->lock);
        bool changed = s->states[i].quarantined != quarantined;
        s->states[i].quarantined = quarantined;
        s->states[i].enabled = enabled(c->cfg, p, row_of(all, p->id));
        pthread_mutex_unlock(&c->drivers->lock);
        if (changed) {
            driver_pool_quarantine(s->pool, p->id, quarantined);
            log_warn("driver.quarantine", "%s is %s", p->id, quarantined ? "closed" : "open again");
        }
    }
    return 0;
}

static int note_orphans(struct conductor *c, const struct driver_row_list *all,
                        const struct driver_row_list *live, struct err *e)
{
    struct strv orphans = STRV_INIT;
    for (size_t i = 0; i < all->n; i++) {
        const struct driver_row *row = row_of(live, all->v[i].id);
        if (!(row && row->ready) && strv_add(&orphans, all->v[i].id)) {
            strv_free(&orphans);
            return err_nomem(e);
        }
    }
    pthread_mutex_lock(&c->drivers->lock);
    struct strv old = c->drivers->orphans;
    c->drivers->orphans = orphans;
    pthread_mutex_unlock(&c->drivers->lock);
    strv_free(&old);
    return 0;
}

int drivers_refresh(struct conductor *c, struct err *e)
{
    struct driver_row_list all = {0}, live = {0};
    struct driver_ref r = {0};
    int64_t max_age_ms = 5 * c->cfg->conductor_heartbeat_ms;
    pthread_mutex_lock(&c->drivers->lock);
    r.set = c->drivers->sets;
    if (r.set)
        r.set->refs++;
    pthread_mutex_unlock(&c->drivers->lock);
    int rc = db_driver_list(c->db, 0, &all, e);
    if (rc == 0)
        rc = db_driver_list(c->db, max_age_ms < 10000 ? 10000 : max_age_ms, &live, e);
    if (rc == 0 && r.set)
        rc = refresh_set(c, r.set, &all, e);
    if (rc == 0)
        rc = note_orphans(c, &all, &live, e);
    driver_row_list_done(&all);
    driver_row_list_done(&live);
    driver_ref_done(&r);
    return rc;
}

/* ---- using them ---- */
/* The configuration names it: that is its enablement. */
int drivers_cert_manager(struct conductor *c, const char *name, struct driver_ref *ret,
                         struct err *e)
{
    struct drivers *d = c->drivers;
    const struct plugin *p = NULL;
    const char *why = "is not installed here";
    pthread_mutex_lock(&d->lock);
    struct driver_set *s = d->sets;
    for (size_t i = 0; s && i < s->plugins.n && !p; i++) {
        const struct plugin *x = &s->plugins.v[i];
        if (!str_eq(x->kind, "cert-manager") || !(str_eq(x->id, name) || str_eq(x->name, name)))
            continue;
        p = x;
        why = x->problem ? x->problem : s->states[i].quarantined ? "is quarantined" : NULL;
    }
    int rc = why ? err_set(e, ERR_UNAVAILABLE, "certificate manager %s %s%s", name,
                           p && p->problem ? "can't be used: " : "", why)
                 : 0;
    if (rc == 0) {
        s->refs++;
        *ret = (struct driver_ref){.set = s, .pool = s->pool, .plugin = p};
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

int drivers_leased(struct conductor *c, struct strv *ret, struct err *e)
{
    struct drivers *d = c->drivers;
    int bad = 0;
    pthread_mutex_lock(&d->lock);
    struct driver_set *s = d->sets;
    for (size_t i = 0; s && i < s->plugins.n; i++)
        if (s->states[i].ready && !s->states[i].quarantined)
            bad |= strv_add(ret, s->plugins.v[i].id);
    /* somebody must say of the others that they are blocked, and end them at their deadline */
    for (size_t i = 0; i < d->orphans.n; i++)
        bad |= strv_add(ret, d->orphans.v[i]);
    for (size_t i = 0; s && i < s->plugins.n; i++)
        if (s->states[i].quarantined && s->plugins.v[i].id)
            bad |= strv_add(ret, s->plugins.v[i].id);
    pthread_mutex_unlock(&d->lock);
    return bad ? err_nomem(e) : 0;
}

int drivers_offering(struct conductor *c, const char *interface, struct strv *ret, struct err *e)
{
    struct drivers *d = c->drivers;
    int bad = 0;
    pthread_mutex_lock(&d->lock);
    struct driver_set *s = d->sets;
    for (size_t i = 0; s && i < s->plugins.n; i++) {
        size_t k;
        json_t *v;
        if (!s->states[i].ready || s->states[i].quarantined)
            continue;
        json_array_foreach(json_object_get(s->plugins.v[i].manifest, "interfaces"), k, v)
        {
            if (str_eq(json_string_value(v), interface))
                bad |= strv_add(ret, s->plugins.v[i].id);
        }
    }
    pthread_mutex_unlock(&d->lock);
    return bad ? err_nomem(e) : 0;
}

/* Under the lock: why this kind of work can't be given to the driver; NULL = it can. */
static const char *obstacle(const struct driver_set *s, size_t i, enum op_kind kind,
                            const char **remedy)
{
    const struct driver_state *st = &s->states[i];
    *remedy = "correct the plugin's files";
    if (s->plugins.v[i].problem)
        return s->plugins.v[i].problem;
    *remedy = "replace the driver's library, or run: magnum-driver-manage quarantine clear";
    if (st->quarantined)
        return "it is quarantined because it kept ending its process";
    *remedy = "install on the conductors' machines what the driver misses";
    if (!st->ready)
        return st->why[0] ? st->why : "it is not ready";
    *remedy = "enable the driver: magnum-driver-manage enable";
    if (kind == OP_CREATE && !st->enabled)
        return "it is not enabled for new clusters";
    return NULL;
}

int drivers_use(struct conductor *c, const char *id, enum op_kind kind, struct driver_ref *ret,
                const char **remedy, struct err *e)
{
    struct drivers *d = c->drivers;
    int rc = ERR_UNAVAILABLE;
    *remedy = "install the driver on the conductors";
    pthread_mutex_lock(&d->lock);
    struct driver_set *s = d->sets;
    size_t i = 0;
    while (s && i < s->plugins.n && !(id && str_eq(s->plugins.v[i].id, id)))
        i++;
    if (!s || i == s->plugins.n) {
        rc = err_set(e, rc, "driver %s is not installed here", id ? id : "(none)");
    } else {
        const char *why = obstacle(s, i, kind, remedy);
        rc = why ? err_set(e, rc, "driver %s can't be used: %s", id, why) : 0;
    }
    if (rc == 0) {
        s->refs++;
        *ret = (struct driver_ref){.set = s, .pool = s->pool, .plugin = &s->plugins.v[i]};
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}
