/* The drivers of this conductor: which versions of them the plugin directories hold, whether each
 * can work on this machine, whether it is quarantined, what operators decided; and what of that is
 * published to the others. See drivers_internal.h.
 *
 * A driver's files may change while the conductor runs: a changed directory gives a new set with
 * its own pool; calls keep the set they began with. */
#include "base/log.h"
#include "conductor/drivers_internal.h"
#include "db/db_driver.h"
#include "db/db_service.h"

#include <string.h>

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
    if (rc == 0)
        rc = pthread_mutex_init(&d->learning, NULL);
    if (rc) {
        free(d);
        return err_errno(e, rc, "mutex");
    }
    c->drivers = d;
    return 0;
}

void drivers_free(struct conductor *c)
{
    struct drivers *d = c->drivers;
    if (!d)
        return;
    free_sets(d->sets); /* until then a pool may still find dead hosts, and tell of them */
    c->drivers = NULL;
    driver_row_list_done(&d->rows);
    strv_free(&d->orphans);
    strv_free(&d->gone);
    strv_free(&d->away);
    (void)pthread_mutex_destroy(&d->learning);
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

static bool same_plugin(const struct plugin *a, const struct plugin *b)
{
    return str_eq(a->ref, b->ref) && strcmp(a->sha256, b->sha256) == 0 &&
           str_eq(a->library_path, b->library_path) && str_eq(a->problem, b->problem) &&
           same_json(a->manifest, b->manifest) && same_json(a->label_schema, b->label_schema) &&
           same_json(a->settings, b->settings);
}

static bool same_plugins(const struct plugin_list *a, const struct plugin_list *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = same_plugin(&a->v[i], &b->v[i]);
    return same;
}

static void on_quarantine(void *ctx, const char *id, const char *sha256, const char *why)
{
    struct conductor *c = ctx;
    struct err e = ERR_INIT;
    log_error("driver.quarantined", "%s keeps ending its process and is quarantined: %s", id, why);
    pthread_mutex_lock(&c->drivers->learning); /* else what was read before opens it again */
    pthread_mutex_lock(&c->drivers->lock);
    struct driver_set *s = c->drivers->sets;
    for (size_t i = 0; s && i < s->plugins.n; i++)
        if (str_eq(s->plugins.v[i].id, id) && strcmp(s->plugins.v[i].sha256, sha256) == 0)
            s->states[i].quarantined = true;
    pthread_mutex_unlock(&c->drivers->lock);
    if (db_driver_quarantine(c->db, id, sha256, why, &e))
        log_warn("driver.quarantine", "%s: %s, ignoring: this conductor keeps it closed", id,
                 e.msg);
    pthread_mutex_unlock(&c->drivers->learning);
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

/* What operators set for each driver, over the sections of the configuration file. */
static int add_settings(struct conductor *c, struct plugin_list *l, struct err *e)
{
    _cleanup_json_ json_t *all = NULL;
    int rc = db_driver_settings(c->db, &all, e);
    for (size_t i = 0; rc == 0 && i < l->n; i++)
        l->v[i].settings = json_incref(json_object_get(all, l->v[i].id));
    return rc;
}

/* Under the lock: what is known of a plugin that has not changed need not be found out again. */
static void inherit(struct driver_set *fresh, const struct driver_set *old)
{
    for (size_t i = 0; i < fresh->plugins.n; i++)
        for (size_t k = 0; k < old->plugins.n; k++)
            if (same_plugin(&fresh->plugins.v[i], &old->plugins.v[k]))
                fresh->states[i] = old->states[k];
}

/* A version that gets no new clusters keeps no idle processes; a closed one stays closed. */
static void set_up_pool(struct driver_set *s)
{
    for (size_t i = 0; i < s->plugins.n; i++) {
        const struct plugin *p = &s->plugins.v[i];
        pthread_mutex_lock(&s->c->drivers->lock);
        struct driver_state st = s->states[i];
        pthread_mutex_unlock(&s->c->drivers->lock);
        if (p->problem)
            continue;
        driver_pool_drain(s->pool, p->ref, !st.current);
        driver_pool_quarantine(s->pool, p->ref, st.quarantined);
    }
}

/* A reference to the present set, made anew when the directories changed. */
static int current_set(struct conductor *c, struct driver_ref *ret, struct err *e)
{
    struct drivers *d = c->drivers;
    struct plugin_list found = {0};
    struct driver_set *s = NULL, *fresh = NULL;
    int rc = plugins_scan(c->cfg, &found, e);
    if (rc == 0)
        rc = add_settings(c, &found, e);
    if (rc) {
        plugin_list_done(&found);
        return rc;
    }
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
        if (d->sets)
            inherit(fresh, d->sets);
        fresh->next = d->sets;
        d->sets = fresh;
        struct driver_set *unused = take_unused(d);
        pthread_mutex_unlock(&d->lock);
        free_sets(unused);
        set_up_pool(fresh);
    }
    plugin_list_done(&found);
    *ret = (struct driver_ref){.set = s, .pool = s ? s->pool : NULL};
    return rc;
}

/* Can this driver work on this machine? Runs it once, in a child. */
static void probe(struct driver_set *s, size_t i)
{
    const struct plugin *p = &s->plugins.v[i];
    struct driver_state now = {.probed = true};
    struct err e = ERR_INIT;
    if (p->problem)
        (void)snprintf(now.why, sizeof now.why, "%s", p->problem);
    else if (front_coe_probe(s->pool, p->ref, &now.ready, now.why, &e))
        (void)snprintf(now.why, sizeof now.why, "%.500s", e.msg);
    pthread_mutex_lock(&s->c->drivers->lock);
    bool changed = s->states[i].ready != now.ready || strcmp(s->states[i].why, now.why) != 0;
    s->states[i].probed = true;
    s->states[i].ready = now.ready;
    memcpy(s->states[i].why, now.why, sizeof now.why);
    pthread_mutex_unlock(&s->c->drivers->lock);
    if (changed && !p->problem)
        log_write(now.ready ? LOG_INFO : LOG_WARN, "driver.state", "%s %s%s", p->ref,
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
        bool repeated = false; /* of two files with one id and version only the first counts */
        for (size_t k = 0; k < i; k++)
            repeated |= str_eq(s->plugins.v[k].ref, s->plugins.v[i].ref);
        if (!repeated)
            rc = add_row(&l, s, i);
    }
    rc = rc ? err_nomem(e) : db_driver_publish(c->db, c->instance, &l, e);
    driver_row_list_done(&l);
    return rc;
}

int drivers_scan(struct conductor *c, bool all, struct err *e)
{
    struct driver_ref r = {0};
    int rc = current_set(c, &r, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < r.set->plugins.n; i++) {
        pthread_mutex_lock(&c->drivers->lock);
        bool known = r.set->states[i].probed;
        pthread_mutex_unlock(&c->drivers->lock);
        if (all || !known)
            probe(r.set, i);
    }
    rc = publish(c, r.set, e);
    driver_ref_done(&r);
    return rc;
}

/* ---- what operators and other conductors say ---- */
const struct driver_row *drivers_row(const struct driver_row_list *l, const char *id)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].id, id))
            return &l->v[i];
    return NULL;
}

/* The version for new clusters; while nobody has published any, the first one found. */
static bool is_current(const struct driver_set *s, size_t i, const struct driver_row *row)
{
    const struct plugin *p = &s->plugins.v[i];
    return row && row->version ? str_eq(row->version, p->version)
                               : plugin_find(&s->plugins, p->id) == p;
}

static int refresh_set(struct conductor *c, struct driver_set *s,
                       const struct driver_row_list *rows, struct err *e)
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
        bool current = is_current(s, i, drivers_row(rows, p->id));
        bool moved = s->states[i].current != current;
        s->states[i].current = current;
        pthread_mutex_unlock(&c->drivers->lock);
        if (changed)
            log_warn("driver.quarantine", "%s is %s", p->ref,
                     quarantined ? "closed" : "open again");
        if (moved)
            log_info("driver.version", "%s %s", p->ref,
                     current ? "gets the new clusters" : "drains: it gets no new clusters");
    }
    set_up_pool(s);
    return 0;
}

struct news { /* replaces what drivers holds */
    struct driver_row_list rows;
    struct strv orphans, gone, away;
};

static void news_done(struct news *n)
{
    driver_row_list_done(&n->rows);
    strv_free(&n->orphans);
    strv_free(&n->gone);
    strv_free(&n->away);
}

static int read_news(struct conductor *c, struct news *n, struct err *e)
{
    struct driver_row_list all = {0};
    int64_t max_age_ms = 5 * c->cfg->conductor_heartbeat_ms;
    max_age_ms = max_age_ms < 10000 ? 10000 : max_age_ms;
    int rc = db_driver_list(c->db, 0, &all, e);
    if (rc == 0)
        rc = db_driver_list(c->db, max_age_ms, &n->rows, e);
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        const struct driver_row *row = drivers_row(&n->rows, all.v[i].id);
        if (!(row && row->ready) && strv_add(&n->orphans, all.v[i].id))
            rc = err_nomem(e);
    }
    if (rc == 0)
        rc = db_driver_missing(c->db, max_age_ms, &n->gone, &n->away, e);
    driver_row_list_done(&all);
    return rc;
}

int drivers_refresh(struct conductor *c, struct err *e)
{
    struct drivers *d = c->drivers;
    struct news n = {.rows = {0}};
    struct driver_ref r = {0};
    pthread_mutex_lock(&d->learning);
    pthread_mutex_lock(&d->lock);
    r.set = d->sets;
    if (r.set)
        r.set->refs++;
    pthread_mutex_unlock(&d->lock);
    int rc = read_news(c, &n, e);
    if (rc == 0 && r.set)
        rc = refresh_set(c, r.set, &n.rows, e);
    if (rc == 0) {
        pthread_mutex_lock(&d->lock);
        struct news old = {d->rows, d->orphans, d->gone, d->away};
        d->rows = n.rows;
        d->orphans = n.orphans;
        d->gone = n.gone;
        d->away = n.away;
        pthread_mutex_unlock(&d->lock);
        n = old;
    }
    pthread_mutex_unlock(&d->learning);
    news_done(&n);
    driver_ref_done(&r); /* may end a pool, whose keeper may be about to tell of a quarantine */
    return rc;
}

int drivers_news(struct conductor *c, bool *ret, struct err *e)
{
    int64_t last = 0;
    int rc = db_driver_news(c->db, &last, e);
    if (rc == 0) {
        *ret = last != c->drivers->news;
        c->drivers->news = last;
    }
    return rc;
}
