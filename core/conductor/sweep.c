/* The sweeper: asks each driver that offers mag.coe.inventory/1 what its backend holds, and notes
 * what no ledger entry names. Shared out by leases like everything else, so that of many conductors
 * one asks a backend per interval. Certain leaks are removed when the operator wants that. See
 * db/db_sweep.h, magnum/inventory.h, conductor_internal.h. */
#include "base/jsonx.h"
#include "base/log.h"
#include "conductor/conductor_internal.h"
#include "db/db_sweep.h"
#include "magnum/host.h"
#include "magnum/inventory.h"

#include <string.h>

enum {
    LOOK_MIN_MS = 500,
    LOOK_MAX_MS = 30000,
    LEASE_MS = 600000,
    PAGES_MAX = 100000,
    RETRY_MS = 60000
};

struct sweep {
    struct conductor *c;
    struct driver_ref d;
    char *driver; /* owned */
    int64_t began;
};

static int call(const struct sweep *s, const char *verb, const char *cluster_id, const json_t *spec,
                const json_t *args, json_t **ret, struct err *e)
{
    struct conductor *c = s->c;
    char id[UUID_TEXT];
    struct coe_result r = {0};
    _cleanup_json_ json_t *outputs = json_object();
    struct call_ctx x = {
        .c = c, .cluster_id = cluster_id, .plugin = s->d.plugin, .outputs = outputs};
    struct coe_services services = services_for(&x);
    uuid_make(id);
    struct coe_call call = {.driver_id = s->driver,
                            .driver_version = s->d.plugin->version,
                            .interface = MAG_IFACE_INVENTORY,
                            .verb = verb,
                            .op_kind = MAG_OP_QUERY,
                            .attempt = 1,
                            .op_id = id,
                            .cluster_id = cluster_id,
                            .spec = spec,
                            .args = args,
                            .budget_ms = c->cfg->conductor_step_budget_ms,
                            .services = &services};
    int rc = front_coe_call(s->d.pool, &call, &r, e);
    if (rc == 0)
        rc = coe_result_error(&r, e);
    if (rc == 0 && ret)
        *ret = TAKE_PTR(r.value);
    coe_result_done(&r);
    call_ctx_done(&x);
    return rc;
}

/* Every page of the inventory against the ledger. */
static int compare(const struct sweep *s, struct err *e)
{
    _cleanup_free_ char *after = NULL;
    int rc = 0;
    for (int pages = 0; rc == 0 && pages < PAGES_MAX; pages++) {
        _cleanup_json_ json_t *page = NULL;
        _cleanup_json_ json_t *spec = json_pack("{s:{s:s?}}", "params", "after", after);
        if (!spec)
            return err_nomem(e);
        if (atomic_load(&s->c->stopping))
            return err_set(e, ERR_CANCELLED, "the conductor is stopping");
        rc = call(s, "list", "", spec, NULL, &page, e);
        const json_t *items = json_object_get(page, "items");
        const char *next = jsonx_str(page, "next");
        if (rc == 0 && !json_is_array(items))
            rc = err_set(e, ERR_PROTOCOL, "the driver's inventory is no list");
        if (rc == 0 && json_array_size(items))
            rc = db_sweep_page(s->c->db, s->driver, items, e);
        if (rc || str_blank(next))
            return rc;
        if (str_eq(next, after))
            return err_set(e, ERR_PROTOCOL, "the driver's inventory goes round in circles");
        free(after);
        after = str_dup(next);
    }
    return rc ? rc : err_set(e, ERR_TOO_LARGE, "the driver's inventory has no end");
}

/* Each by itself: one that can't be removed leaves the others no worse. */
static int clean(const struct sweep *s, struct err *e)
{
    const struct config *cfg = s->c->cfg;
    _cleanup_json_ json_t *due = NULL;
    size_t i;
    json_t *v;
    int rc = db_leak_due(s->c->db, s->driver, cfg->conductor_sweep_remove,
                         cfg->conductor_sweep_grace_s, &due, e);
    json_array_foreach(due, i, v)
    {
        struct err why = ERR_INIT;
        const char *kind = jsonx_str(v, "kind"), *name = jsonx_str(v, "name");
        if (call(s, "remove", jsonx_str(v, "cluster_id"), NULL, v, NULL, &why) == 0 &&
            db_leak_removed(s->c->db, jsonx_int(v, "id", 0), &why) == 0)
            log_info("sweep.removed", "%s %s of cluster %s", kind, name,
                     jsonx_str(v, "cluster_id"));
        else
            log_warn("sweep.remove", "%s %s: %s", kind, name, why.msg);
    }
    return rc;
}

static void sweep(struct sweep *s)
{
    const struct log_context context = {.driver = s->driver};
    const char *remedy = NULL;
    struct err e = ERR_INIT, lost = ERR_INIT;
    log_context_set(&context);
    const struct driver_want want = {.id = s->driver, .kind = OP_HEALTH};
    int rc = drivers_use(s->c, &want, &s->d, &remedy, &e);
    if (rc == 0) {
        rc = compare(s, &e);
        if (rc == 0)
            rc = clean(s, &e);
        driver_ref_done(&s->d);
    }
    int64_t next_ms = s->c->cfg->conductor_sweep_interval_s * 1000;
    if (rc)
        log_warn("sweep", "%s", e.msg);
    if (rc && next_ms > RETRY_MS)
        next_ms = RETRY_MS;
    if (db_sweep_done(s->c->db, s->c->instance, s->driver, s->began, rc ? e.msg : NULL, next_ms,
                      &lost))
        log_warn("sweep", "%s, ignoring: it is done again", lost.msg);
    log_context_set(NULL);
}

void *sweep_thread(void *conductor)
{
    struct conductor *c = conductor;
    int64_t look_ms = c->cfg->conductor_sweep_interval_s * 500;
    if (look_ms == 0)
        return NULL;
    look_ms = look_ms < LOOK_MIN_MS ? LOOK_MIN_MS : look_ms > LOOK_MAX_MS ? LOOK_MAX_MS : look_ms;
    while (sleeper_wait(&c->sweep, look_ms)) {
        struct err e = ERR_INIT;
        struct sweep s = {.c = c};
        _cleanup_strv_ struct strv drivers = STRV_INIT;
        int rc = drivers_offering(c, MAG_IFACE_INVENTORY, &drivers, &e);
        if (rc == 0)
            rc = db_sweep_lease(c->db, c->instance, &drivers, LEASE_MS, &s.driver, &s.began, &e);
        if (rc)
            log_warn("sweep", "%s; trying again", e.msg);
        else if (s.driver)
            sweep(&s);
        free(s.driver);
    }
    return NULL;
}
