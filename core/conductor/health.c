/* The periodic look at clusters: due ones are leased in batches, so that of many conductors each
 * cluster is seen once per interval; the driver's `health` reads, never repairs. What can't be read
 * keeps its last known state for a while and then becomes UNKNOWN. */
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "conductor/conductor_internal.h"
#include "magnum/error.h"
#include "magnum/host.h"

#include <string.h>

enum { SCAN_MS = 1000, STALE_INTERVALS = 2, PUT_OFF_MS = 1000 };

/* ---- leasing what is due ---- */
static int lease(struct conductor *c, size_t room, size_t *ret_n, struct err *e)
{
    const struct config *cfg = c->cfg;
    _cleanup_strv_ struct strv drivers = STRV_INIT;
    struct cluster_list l = {0};
    /* as long as the calls before it and its own may take */
    int64_t lease_ms = 5 * (cfg->conductor_health_budget_ms + cfg->drivers_kill_grace_ms) + 10000;
    int rc = drivers_leased(c, &drivers, e);
    if (rc == 0)
        rc = db_observe_lease(c->db, c->instance, room, lease_ms, &drivers, &l, e);
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        struct observation *o = calloc(1, sizeof *o);
        if (!o)
            break; /* their leases run out */
        o->cluster = l.v[i];
        cluster_init(&l.v[i]);
        (void)queue_look(&c->queue, o);
    }
    *ret_n = l.n;
    cluster_list_done(&l);
    return rc;
}

void *health_thread(void *conductor)
{
    struct conductor *c = conductor;
    bool down = false;
    size_t taken = 0, room = 0;
    if (c->cfg->conductor_health_interval_s == 0)
        return NULL;
    while (sleeper_wait(&c->health, taken && taken == room ? 50 : SCAN_MS)) {
        struct err e = ERR_INIT;
        taken = 0;
        room = queue_look_room(&c->queue);
        int rc = room ? lease(c, room, &taken, &e) : 0;
        if (rc && !down)
            log_warn("health.lease", "%s; trying again", e.msg);
        down = rc != 0;
    }
    return NULL;
}

/* ---- one look ---- */
struct finding {
    const char *status; /* NULL = nothing new */
    json_t *reason;     /* owned */
    json_t *outputs;    /* owned */
    json_t *sick;       /* nodes that are not well, or NULL: the driver gives no list; owned */
    bool unread;        /* health_at stays as it is */
    bool put_off;       /* the backend is busy: soon again */
};

/* Nothing could be learned. What was known stays for a while; then it is UNKNOWN, and how old the
 * last knowledge is goes with it. */
static void unreadable(const struct conductor *c, const struct cluster *cl, struct finding *f,
                       const char *why)
{
    int64_t interval_us = c->cfg->conductor_health_interval_s * 1000000;
    bool never = cl->health_at == TIME_UNSET;
    int64_t age_us = never ? 0 : conductor_now_us(c) - cl->health_at;
    json_decref(f->reason);
    f->reason = NULL;
    f->status = NULL;
    f->unread = true;
    if (!never && age_us < STALE_INTERVALS * interval_us)
        return;
    f->status = "UNKNOWN";
    f->reason = never ? json_pack("{s:s}", "health", why)
                      : json_pack("{s:s, s:o}", "health", why, "last_read",
                                  json_sprintf("%lld s ago", (long long)(age_us / 1000000)));
}

static void understand(const struct conductor *c, const struct cluster *cl,
                       const struct coe_result *r, struct finding *f)
{
    json_t *status = json_object_get(f->outputs, "health_status");
    if (r->host_died) {
        unreadable(c, cl, f, r->died_why);
    } else if (r->rc < 0) {
        unreadable(c, cl, f, r->err_message[0] ? r->err_message : r->reason);
    } else if (json_is_string(status)) {
        const char *text = json_string_value(status);
        f->status = strcmp(text, "HEALTHY") == 0     ? "HEALTHY"
                    : strcmp(text, "UNHEALTHY") == 0 ? "UNHEALTHY"
                                                     : "UNKNOWN";
        f->reason = json_incref(json_object_get(f->outputs, "health_status_reason"));
        f->sick = json_incref(json_object_get(f->outputs, "unhealthy_nodes"));
    }
    /* they have columns of their own in the same write */
    (void)json_object_del(f->outputs, "health_status");
    (void)json_object_del(f->outputs, "health_status_reason");
    (void)json_object_del(f->outputs, "unhealthy_nodes");
}

static int ask(struct conductor *c, const struct cluster *cl, const struct driver_ref *d,
               struct finding *f, struct err *e)
{
    _cleanup_json_ json_t *spec = NULL;
    char id[UUID_TEXT];
    int rc = db_cluster_spec(c->db, cl->uuid, &spec, e);
    if (rc)
        return rc;
    uuid_make(id);
    struct call_ctx x = {.c = c,
                         .cluster_id = cl->uuid,
                         .project_id = cl->project_id,
                         .plugin = d->plugin,
                         .outputs = f->outputs,
                         .looks = true};
    struct coe_services services = services_for(&x);
    struct coe_call call = {.driver_id = cl->driver_id,
                            .driver_version = d->plugin->version,
                            .interface = "mag.coe.lifecycle/1",
                            .verb = "health",
                            .op_kind = MAG_OP_HEALTH,
                            .attempt = 1,
                            .op_id = id,
                            .cluster_id = cl->uuid,
                            .project_id = cl->project_id,
                            .generation = cl->generation,
                            .spec = spec,
                            .budget_ms = c->cfg->conductor_health_budget_ms,
                            .services = &services};
    struct coe_result result = {0};
    rc = front_coe_call(d->pool, &call, &result, e);
    if (x.refused == ERR_BUSY) {
        f->put_off = true;
    } else if (x.refused) { /* what the driver made of it is no news about the cluster */
        char why[BREAKER_NAME_MAX + 64];
        snprintf(why, sizeof why, "%s is left alone: it failed several times", x.refused_by);
        unreadable(c, cl, f, why);
    } else if (rc == 0)
        understand(c, cl, &result, f);
    else if (rc != ERR_UNSUPPORTED && rc != ERR_CANCELLED)
        unreadable(c, cl, f, e->msg);
    coe_result_done(&result);
    call_ctx_done(&x);
    return 0;
}

/* By the state the cluster is in, and not all at the same time. */
static int64_t next_look_ms(const struct conductor *c, const struct cluster *cl,
                            const struct finding *f)
{
    const struct config *cfg = c->cfg;
    const char *health = f->status ? f->status : cl->health_status;
    int64_t s = cfg->conductor_health_interval_s, other = 0;
    if (f->put_off)
        return PUT_OFF_MS + clock_mono_us() % PUT_OFF_MS;
    if (str_ends(cl->status, "_FAILED"))
        other = cfg->conductor_health_interval_failed_s;
    else if (str_ends(cl->status, "_IN_PROGRESS") || !str_eq(health, "HEALTHY"))
        other = cfg->conductor_health_interval_unwell_s < s
                    ? cfg->conductor_health_interval_unwell_s
                    : 0; /* never more seldom than those that are well */
    int64_t ms = (other ? other : s) * 1000;
    return ms - ms / 20 + clock_mono_us() % (ms / 10);
}

void health_look(struct conductor *c, struct observation *o)
{
    const struct cluster *cl = &o->cluster;
    const struct log_context context = {.cluster = cl->uuid, .driver = cl->driver_id};
    struct finding f = {.outputs = json_object()};
    struct driver_ref d = {0};
    struct err e = ERR_INIT;
    const char *remedy = NULL;
    bool masters = false; /* are replaced by this driver */
    int rc = 0;

    log_context_set(&context);
    const struct driver_want want = {
        .id = cl->driver_id, .version = cl->driver_version, .kind = OP_HEALTH};
    if (drivers_use(c, &want, &d, &remedy, &e)) {
        unreadable(c, cl, &f, e.msg);
    } else {
        rc = ask(c, cl, &d, &f, &e);
        masters = jsonx_bool(d.plugin->manifest, "replace_master", false);
        driver_ref_done(&d);
    }
    if (rc == 0 && !f.unread && !f.put_off)
        heal_after_look(c, cl, f.sick, masters, f.reason);
    if (rc == 0)
        rc = db_observe_store(c->db, c->instance, cl->uuid, f.put_off ? NULL : f.status, f.reason,
                              f.unread || f.put_off ? NULL : f.outputs, !f.unread,
                              next_look_ms(c, cl, &f), &e);
    if (rc && rc != ERR_NOT_FOUND)
        log_warn("health.store", "%s, ignoring: it is looked at again", e.msg);
    json_decref(f.reason);
    json_decref(f.outputs);
    json_decref(f.sick);
    log_context_set(NULL);
    cluster_done(&o->cluster);
    free(o);
    queue_look_done(&c->queue);
}
