/* See isolation.h. */
#include "drivers/isolation.h"

#include "base/jsonx.h"
#include "base/log.h"
#include "drivers/supervisor.h"

static void add_cgroup(const struct driver_pool *p, const struct driver *d, const struct child *c,
                       json_t *rows)
{
    if (c->conn.pid == 0 || !confine_own_pids(&d->confine))
        return;
    bool ok = c->conn.cgroup != NULL;
    _cleanup_free_ char *text =
        ok ? str_fmt("version %d, %lld MiB, %lld tasks", p->cgroups.version,
                     (long long)d->confine.memory_mb, (long long)d->confine.tasks)
           : str_dup(p->cgroups.version ? "it could not be made" : p->cgroups.why);
    json_array_append_new(rows,
                          json_pack("{s:s,s:s,s:s}", "measure", "cgroup", "state",
                                    ok ? "in force" : "not in force", "detail", text ? text : ""));
}

static void tell(const struct driver *d, const json_t *rows)
{
    _cleanup_str_ struct str in = STR_INIT, out = STR_INIT;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *measure = jsonx_str(row, "measure"), *why = jsonx_str(row, "detail");
        if (str_eq(jsonx_str(row, "state"), "in force"))
            str_printf(&in, "%s%s", in.len ? ", " : "", measure ? measure : "");
        else if (str_eq(jsonx_str(row, "state"), "off"))
            str_printf(&in, "nothing: %s", why ? why : "");
        else
            str_printf(&out, "%s%s (%s)", out.len ? ", " : "", measure ? measure : "",
                       why ? why : "");
    }
    if (out.len)
        log_warn("driver.isolation", "%s: in force: %s; not in force: %s", d->plugin->id,
                 in.len ? str_text(&in) : "nothing", str_text(&out));
    else
        log_info("driver.isolation", "%s: in force: %s", d->plugin->id, str_text(&in));
}

void isolation_note(struct driver_pool *p, struct driver *d, struct child *c)
{
    if (!json_is_array(c->isolation))
        return;
    add_cgroup(p, d, c, c->isolation);
    pthread_mutex_lock(&p->lock);
    bool news = !json_equal(d->isolation, c->isolation);
    if (news) {
        json_decref(d->isolation);
        d->isolation = json_deep_copy(c->isolation);
    }
    pthread_mutex_unlock(&p->lock);
    if (news)
        tell(d, c->isolation);
}

json_t *driver_pool_isolation(struct driver_pool *p, const char *driver_id)
{
    const struct driver *d = pool_driver(p, driver_id);
    if (!d)
        return NULL;
    pthread_mutex_lock(&p->lock);
    json_t *copy = json_deep_copy(d->isolation);
    pthread_mutex_unlock(&p->lock);
    return copy;
}
