/* See driver_select.h. */
#include "api/driver_select.h"

#include "base/jsonx.h"
#include "config/config.h"

#include <string.h>

static bool named(const struct strv *l, const struct driver_row *d)
{
    return (d->id && strv_has(l, d->id)) || (d->name && strv_has(l, d->name));
}

static bool is_coe(const struct driver_row *d)
{
    return str_eq(d->kind, "coe-driver");
}

bool driver_enabled(const struct config *cfg, const char *project, const struct driver_row *d)
{
    const json_t *own = project ? json_object_get(d->projects, project) : NULL;
    if (own)
        return json_is_true(own);
    return d->enabled || !cfg->drivers_require_enable;
}

static bool replaced(const struct config *cfg, const struct driver_row *d)
{
    return cfg->drivers_require_enable && !str_blank(d->enabled_sha256) &&
           !str_eq(d->enabled_sha256, d->sha256);
}

bool driver_usable(const struct config *cfg, const char *project, const struct driver_row *d,
                   struct str *why)
{
    struct str unused = STR_INIT;
    struct str *o = why ? why : &unused;
    const char *name = d->name ? d->name : d->id, *maturity = jsonx_str(d->manifest, "maturity");
    bool good = false;
    if (named(&cfg->drivers_disabled, d))
        str_printf(o, "Driver %s is disabled by configuration", name);
    else if (!driver_enabled(cfg, project, d))
        str_printf(o, "Driver %s is not enabled: magnum-driver-manage enable %s", name, d->id);
    else if (replaced(cfg, d))
        str_printf(o, "The library of driver %s was replaced since it was enabled", name);
    else if (maturity && !str_eq(maturity, "stable") && !named(&cfg->drivers_enabled_beta, d) &&
             !d->beta)
        str_printf(o, "Driver %s is %s and not listed in drivers.enabled_beta", name, maturity);
    else if (!d->ready)
        str_printf(o, "Driver %s is not ready: %s", name,
                   d->not_ready_reason ? d->not_ready_reason : "no reason given");
    else
        good = true;
    str_free(&unused);
    return good;
}

static bool lists(const json_t *triples, const struct driver_triple *t)
{
    size_t i;
    json_t *p;
    json_array_foreach(triples, i, p)
    {
        if (str_eq(jsonx_str(p, "server_type"), t->server_type) &&
            str_eq(jsonx_str(p, "os"), t->distro) && str_eq(jsonx_str(p, "coe"), t->coe))
            return true;
    }
    return false;
}

bool driver_provides(const struct driver_row *d, const struct driver_triple *t)
{
    return lists(json_object_get(d->manifest, "provides"), t);
}

bool driver_is_default(const struct driver_row *d, const struct driver_triple *t)
{
    return lists(d->default_for, t);
}

bool driver_serves_coe(const struct config *cfg, const char *project,
                       const struct driver_row_list *l, const char *coe)
{
    size_t k;
    json_t *p;
    for (size_t i = 0; i < l->n; i++) {
        if (!is_coe(&l->v[i]) || !driver_usable(cfg, project, &l->v[i], NULL))
            continue;
        json_array_foreach(json_object_get(l->v[i].manifest, "provides"), k,
                           p) if (str_eq(jsonx_str(p, "coe"), coe)) return true;
    }
    return false;
}

bool driver_offers(const struct driver_row *d, const char *interface)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(d->manifest, "interfaces"), i,
                       v) if (str_eq(json_string_value(v), interface)) return true;
    return false;
}

static const char *shown(const char *s)
{
    return s ? s : "None";
}

/* Is a the better choice than b (may be NULL)? */
static bool before(const struct driver_row *a, const struct driver_row *b,
                   const struct driver_triple *t)
{
    if (!b || driver_is_default(a, t) || driver_is_default(b, t))
        return !b || !driver_is_default(b, t);
    return strcmp(a->name ? a->name : "", b->name ? b->name : "") < 0;
}

int driver_for_triple(const struct config *cfg, const char *project,
                      const struct driver_row_list *l, const struct driver_triple *t,
                      const struct driver_row **ret, struct err *e)
{
    const struct driver_row *best = NULL;
    bool chosen_is_out = false; /* it may be away for a while: no other one is taken by surprise */
    _cleanup_str_ struct str why = STR_INIT;
    for (size_t i = 0; i < l->n; i++) {
        const struct driver_row *d = &l->v[i];
        if (!is_coe(d) || !driver_provides(d, t))
            continue;
        if (why.len)
            str_append(&why, "; ");
        if (!driver_usable(cfg, project, d, &why))
            chosen_is_out |= driver_is_default(d, t) && driver_enabled(cfg, project, d);
        else if (before(d, best, t))
            best = d;
    }
    if (best && !chosen_is_out) {
        *ret = best;
        return 0;
    }
    /* the sentence clients know comes first and alone where no driver would fit at all */
    return err_set(e, ERR_INVALID, "Cluster type (%s, %s, %s) not supported.%s%s%s",
                   shown(t->server_type), shown(t->distro), shown(t->coe), why.len ? " " : "",
                   str_text(&why), why.len ? "." : "");
}

const struct driver_row *driver_find(const struct driver_row_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].name, name) || str_eq(l->v[i].id, name))
            return &l->v[i];
    return NULL;
}

int driver_named(const struct config *cfg, const char *project, const struct driver_row_list *l,
                 const char *name, const struct driver_row **ret, struct err *e)
{
    _cleanup_str_ struct str why = STR_INIT;
    const struct driver_row *d = driver_find(l, name);
    if (d && is_coe(d) && driver_usable(cfg, project, d, &why)) {
        *ret = d;
        return 0;
    }
    return err_set(e, ERR_INVALID, "Cluster driver (%s) not supported.%s%s%s", name,
                   why.len ? " " : "", str_text(&why), why.len ? "." : "");
}
