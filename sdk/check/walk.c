/* See check.h: one operation from its first step to its end, as a conductor drives it. Waits are
 * cut to a few milliseconds: the clock of the kit runs fast. */
#include "check.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "magnum/lifecycle.h"

#include <poll.h>
#include <string.h>

enum { WAIT_CAP_MS = 5, RETRIES = 25, FAR_AWAY_MS = 3600000 };

#define MASTERS "a0000000-0000-4000-8000-000000000001"
#define WORKERS "a0000000-0000-4000-8000-000000000002"

struct op op_create(void)
{
    return (struct op){.iface = MAG_IFACE_LIFECYCLE,
                       .verb = "create",
                       .kind = MAG_OP_CREATE,
                       .masters = 1,
                       .workers = 2,
                       .op_id = "b0000000-0000-4000-8000-000000000001"};
}

struct op op_remove(void)
{
    struct op op = op_create();
    op.verb = "remove";
    op.kind = MAG_OP_DELETE;
    op.op_id = "b0000000-0000-4000-8000-000000000002";
    return op;
}

static json_t *group(const char *uuid, const char *name, const char *role, int count)
{
    return json_pack("{s:s,s:s,s:s,s:i,s:b,s:s,s:s,s:{}}", "uuid", uuid, "name", name, "role", role,
                     "node_count", count, "is_default", 1, "flavor_id", "m1.small", "image_id",
                     "image", "labels");
}

/* Members of `over` replace those of `base`, objects are merged. */
static void lay_over(json_t *base, const json_t *over)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)over, key, v)
    {
        json_t *have = json_object_get(base, key);
        if (json_is_object(have) && json_is_object(v))
            lay_over(have, v);
        else
            json_object_set(base, key, v);
    }
}

json_t *kit_spec(struct world *w, const struct op *op)
{
    const json_t *triple = json_array_get(json_object_get(w->k->plugin->manifest, "provides"), 0);
    json_t *spec = json_pack(
        "{s:{s:s,s:s,s:s,s:s,s:s,s:{},s:b,s:b},s:{s:s,s:s,s:s?,s:s?,s:s?,s:s,s:{}},"
        "s:[o,o],s:{}}",
        "cluster", "uuid", w->cluster, "name", "check", "project_id", "check-project", "user_id",
        "check-user", "keypair", "key", "labels", "floating_ip_enabled", 1, "master_lb_enabled", 0,
        "template", "uuid", "d0000000-0000-4000-8000-000000000001", "name", "check-template", "coe",
        jsonx_str(triple, "coe"), "server_type", jsonx_str(triple, "server_type"), "cluster_distro",
        jsonx_str(triple, "os"), "image_id", "image", "labels", "nodegroups",
        group(MASTERS, "default-master", "master", op->masters),
        group(WORKERS, "default-worker", "worker", op->workers), "params");
    if (spec && w->k->spec)
        lay_over(spec, w->k->spec);
    if (spec && op->params)
        json_object_set(spec, "params", op->params);
    if (spec && op->extra)
        lay_over(spec, op->extra);
    return spec;
}

static struct coe_call prepare(struct world *w, const struct op *op, const json_t *spec,
                               const struct coe_services *services)
{
    int64_t budget = op->budget_ms ? op->budget_ms : w->k->budget_ms;
    return (struct coe_call){.driver_id = w->k->plugin->id,
                             .interface = op->iface,
                             .verb = op->verb,
                             .op_kind = op->kind,
                             .flags = op->flags,
                             .attempt = 1,
                             .op_id = op->op_id,
                             .cluster_id = w->cluster,
                             .project_id = "check-project",
                             .nodegroup_id = WORKERS,
                             .request_id = "req-check",
                             .generation = 1,
                             .spec = spec,
                             .deadline_unix_ms =
                                 op->deadline ? op->deadline : clock_wall_ms() + FAR_AWAY_MS,
                             .budget_ms = budget,
                             .services = services,
                             .ret_pid = &w->pid};
}

static void note(struct end *end, const struct coe_result *r)
{
    end->rc = r->rc;
    end->flags = r->err_flags;
    snprintf(end->reason, sizeof end->reason, "%s", r->reason);
    snprintf(end->message, sizeof end->message, "%s", r->err_message);
    if (r->host_died)
        snprintf(end->died_why, sizeof end->died_why, "%s", r->died_why);
}

static void forget(struct world *w, const struct op *op)
{
    if (op->lose_state)
        free(TAKE_PTR(w->state));
    if (op->bad_state) {
        free(w->state);
        w->state = str_dup(op->bad_state);
    }
}

/* May a conductor try again after this error? */
static bool retryable(const struct coe_result *r)
{
    return r->err_flags & MAG_ERR_RETRYABLE || r->rc == MAG_E_UNAVAILABLE ||
           r->rc == MAG_E_TIMEOUT || r->rc == MAG_E_BUSY || r->rc == MAG_E_AUTH;
}

struct end walk(struct world *w, const struct op *op)
{
    struct end end = {0};
    _cleanup_json_ json_t *spec = kit_spec(w, op);
    struct coe_services services = world_services(w);
    struct coe_call c = prepare(w, op, spec, &services);
    unsigned retries = 0;
    for (end.steps = 1;; end.steps++) {
        struct err e = ERR_INIT;
        struct coe_result r = {0};
        if (end.steps > w->k->max_steps) {
            end.unending = true;
            return end;
        }
        c.state = w->state;
        bool had_been_killed = w->killed;
        if (front_coe_call(w->k->pool, &c, &r, &e) != 0) {
            end.refused_to_start = true;
            snprintf(end.message, sizeof end.message, "%.440s", e.msg);
            return end;
        }
        note(&end, &r);
        bool by_kit = r.host_died && w->killed && !had_been_killed;
        bool again = r.rc == MAG_AGAIN || by_kit;
        if (by_kit)
            forget(w, op);
        else if (r.host_died)
            end.deaths++;
        else if (r.rc < 0 && !op->stop_on_error && retryable(&r) && retries++ < RETRIES)
            again = true;
        /* what a step repeats it is told */
        c.flags = op->flags | (again && r.rc != MAG_AGAIN ? MAG_OPF_RESUMED : 0);
        c.attempt = r.rc < 0 ? c.attempt + 1 : 1;
        if (r.rc == MAG_AGAIN && r.wait_ms)
            (void)poll(NULL, 0, (int)(r.wait_ms > WAIT_CAP_MS ? WAIT_CAP_MS : r.wait_ms));
        coe_result_done(&r);
        if (!again)
            return end;
    }
}

struct end call_once(struct world *w, const struct op *op, const json_t *args, json_t **ret_value)
{
    struct end end = {.steps = 1};
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    _cleanup_json_ json_t *spec = kit_spec(w, op);
    struct coe_services services = world_services(w);
    struct coe_call c = prepare(w, op, spec, &services);
    c.args = args;
    c.state = w->state;
    if (ret_value)
        *ret_value = NULL;
    bool had_been_killed = w->killed;
    if (front_coe_call(w->k->pool, &c, &r, &e) != 0) {
        end.refused_to_start = true;
        snprintf(end.message, sizeof end.message, "%.440s", e.msg);
        return end;
    }
    note(&end, &r);
    end.deaths = r.host_died && !(w->killed && !had_been_killed);
    if (ret_value)
        *ret_value = TAKE_PTR(r.value);
    coe_result_done(&r);
    return end;
}

bool sound(const struct end *end, struct verdict *v, const char *what)
{
    if (end->refused_to_start)
        return verdict_fail(v, "%s: the call was not possible: %s", what, end->message);
    if (end->deaths)
        return verdict_fail(v, "%s: the plugin's process ended: %s", what, end->died_why);
    if (end->unending)
        return verdict_fail(v, "%s: no end after %u steps (last answer %d %s)", what,
                            end->steps - 1, (int)end->rc, end->message);
    if (end->rc < MAG_E_INTERNAL || end->rc > MAG_AGAIN)
        return verdict_fail(v, "%s: %d is no result code", what, (int)end->rc);
    if (end->rc < 0 && (!end->reason[0] || !end->message[0]))
        return verdict_fail(v, "%s: error %d without %s", what, (int)end->rc,
                            end->reason[0] ? "a message" : "a reason");
    return true;
}

bool must_end_well(struct world *w, const struct op *op, struct verdict *v, const char *what)
{
    struct end end = walk(w, op);
    if (!sound(&end, v, what))
        return false;
    return end.rc == MAG_OK || verdict_fail(v, "%s: %s ended with %d %s: %s", what, op->verb,
                                            (int)end.rc, end.reason, end.message);
}

bool must_delete(struct world *w, struct verdict *v, const char *what)
{
    world_plan(w);
    struct op op = op_remove();
    char when[160];
    snprintf(when, sizeof when, "%s, then delete:", what);
    return must_end_well(w, &op, v, when) && world_is_empty(w, v, when);
}
