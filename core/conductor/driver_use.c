/* Who gets which work: the version of a driver that an operation or a cluster belongs to, whether
 * it may be used for that, and what this conductor takes from the queue. See drivers_internal.h.
 *
 * New clusters get a driver's current version and stay with theirs until an operator moves them. A
 * version that was taken away everywhere (its package was replaced, say) would leave them stranded:
 * then the current one takes over. */
#include "conductor/drivers_internal.h"

#include "base/jsonx.h"

#include <string.h>

/* ---- lookups, under the lock ---- */
static bool takes(const struct driver_state *st)
{
    /* somebody must say of a quarantined one's operations that they are blocked */
    return st->ready || st->quarantined;
}

/* Index of one version, or of the current one (version NULL); plugins.n when it is not here. */
static size_t index_of(const struct driver_set *s, const char *id, const char *version)
{
    size_t i = 0;
    while (i < s->plugins.n &&
           !(str_eq(s->plugins.v[i].id, id) &&
             (version ? str_eq(s->plugins.v[i].version, version) : s->states[i].current)))
        i++;
    return i;
}

static bool is_gone(const struct drivers *d, const char *id, const char *version)
{
    size_t n = strlen(id);
    for (size_t i = 0; i < d->gone.n; i++)
        if (strncmp(d->gone.v[i], id, n) == 0 && d->gone.v[i][n] == '@' &&
            strcmp(d->gone.v[i] + n + 1, version) == 0)
            return true;
    return false;
}

static size_t find(const struct drivers *d, const char *id, const char *version)
{
    const struct driver_set *s = d->sets;
    size_t i = index_of(s, id, version);
    if (i == s->plugins.n && version && is_gone(d, id, version))
        i = index_of(s, id, NULL);
    return i;
}

/* ---- may it be used ---- */
static bool named(const struct strv *l, const struct plugin *p)
{
    return strv_has(l, p->id) || strv_has(l, p->name);
}

/* For new clusters of a project. The file must be the one that was enabled; of a version that
 * drains only what was accepted before is left. */
static bool enabled(const struct config *cfg, const struct plugin *p, bool current,
                    const struct driver_row *row, const char *project)
{
    const json_t *of_project = project && row ? json_object_get(row->projects, project) : NULL;
    if (named(&cfg->drivers_disabled, p))
        return false;
    if (!str_eq(p->maturity, "stable") && !named(&cfg->drivers_enabled_beta, p) &&
        !(row && row->beta))
        return false;
    if (!cfg->drivers_require_enable)
        return !json_is_false(of_project);
    return row && (of_project ? json_is_true(of_project) : row->enabled) &&
           (!current || str_blank(row->enabled_sha256) || str_eq(row->enabled_sha256, p->sha256));
}

/* Why this work can't be given to the driver; NULL = it can. */
static const char *obstacle(const struct drivers *d, size_t i, const struct driver_want *w,
                            const char **remedy)
{
    const struct driver_set *s = d->sets;
    const struct driver_state *st = &s->states[i];
    const struct plugin *p = &s->plugins.v[i];
    *remedy = "correct the plugin's files";
    if (p->problem)
        return p->problem;
    *remedy = "replace the driver's library, or run: magnum-driver-manage quarantine clear";
    if (st->quarantined)
        return "it is quarantined because it kept ending its process";
    *remedy = "install on the conductors' machines what the driver misses";
    if (!st->ready)
        return st->why[0] ? st->why : "it is not ready";
    *remedy = "enable the driver: magnum-driver-manage enable";
    if (w->kind == OP_CREATE && !w->begun &&
        !enabled(s->c->cfg, p, st->current, drivers_row(&d->rows, p->id), w->project))
        return "it is not enabled for new clusters";
    return NULL;
}

int drivers_use(struct conductor *c, const struct driver_want *w, struct driver_ref *ret,
                const char **remedy, struct err *e)
{
    struct drivers *d = c->drivers;
    int rc = ERR_UNAVAILABLE;
    *remedy = "install the driver on the conductors";
    pthread_mutex_lock(&d->lock);
    struct driver_set *s = d->sets;
    size_t i = s && w->id ? find(d, w->id, w->version) : 0;
    if (!s || !w->id || i == s->plugins.n) {
        rc = err_set(e, rc, "driver %s%s%s is not installed here", w->id ? w->id : "(none)",
                     w->version ? " version " : "", w->version ? w->version : "");
    } else {
        const char *why = obstacle(d, i, w, remedy);
        rc = why ? err_set(e, rc, "driver %s can't be used: %s", w->id, why) : 0;
    }
    if (rc == 0) {
        s->refs++;
        *ret = (struct driver_ref){.set = s, .pool = s->pool, .plugin = &s->plugins.v[i]};
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

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
        if (!str_eq(x->kind, "cert-manager") || !s->states[i].current ||
            !(str_eq(x->id, name) || str_eq(x->name, name)))
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

/* ---- what this conductor takes ---- */
static int add_all(struct strv *to, const struct strv *from)
{
    int bad = 0;
    for (size_t i = 0; i < from->n; i++)
        bad |= strv_add(to, from->v[i]);
    return bad;
}

/* Those of a version that nobody has any more: whoever can go on with the current one takes them;
 * when nobody can, everybody says that they are blocked. */
static int add_gone(const struct drivers *d, struct strv *ret)
{
    int bad = 0;
    for (size_t i = 0; i < d->gone.n; i++) {
        const char *at = strchr(d->gone.v[i], '@');
        _cleanup_free_ char *id = at ? strndup(d->gone.v[i], (size_t)(at - d->gone.v[i])) : NULL;
        if (!id)
            return 1;
        size_t k = index_of(d->sets, id, NULL);
        if (strv_has(&d->orphans, id) || (k < d->sets->plugins.n && takes(&d->sets->states[k])))
            bad |= strv_add(ret, d->gone.v[i]);
    }
    return bad;
}

int drivers_leased(struct conductor *c, struct strv *ret, struct err *e)
{
    struct drivers *d = c->drivers;
    int bad = 0;
    pthread_mutex_lock(&d->lock);
    struct driver_set *s = d->sets;
    for (size_t i = 0; s && i < s->plugins.n; i++) {
        if (!takes(&s->states[i]))
            continue;
        bad |= strv_add(ret, s->plugins.v[i].ref);
        if (s->states[i].current)
            bad |= strv_add(ret, s->plugins.v[i].id);
    }
    /* somebody must say of the others that they are blocked, and end them at their deadline */
    for (size_t i = 0; i < d->orphans.n; i++) {
        _cleanup_free_ char *any = str_fmt("%s@*", d->orphans.v[i]);
        bad |= any ? strv_add(ret, d->orphans.v[i]) | strv_add(ret, any) : 1;
    }
    bad |= add_all(ret, &d->away);
    bad |= s ? add_gone(d, ret) : 0;
    pthread_mutex_unlock(&d->lock);
    return bad ? err_nomem(e) : 0;
}

static bool offers(const struct plugin *p, const char *interface)
{
    size_t k;
    json_t *v;
    json_array_foreach(json_object_get(p->manifest, "interfaces"), k, v)
    {
        if (str_eq(json_string_value(v), interface))
            return true;
    }
    return false;
}

int drivers_offering(struct conductor *c, const char *interface, struct strv *ret, struct err *e)
{
    struct drivers *d = c->drivers;
    int bad = 0;
    pthread_mutex_lock(&d->lock);
    struct driver_set *s = d->sets;
    for (size_t i = 0; s && i < s->plugins.n; i++) {
        const struct driver_state *st = &s->states[i];
        if (st->ready && !st->quarantined && st->current && offers(&s->plugins.v[i], interface))
            bad |= strv_add(ret, s->plugins.v[i].id);
    }
    pthread_mutex_unlock(&d->lock);
    return bad ? err_nomem(e) : 0;
}
