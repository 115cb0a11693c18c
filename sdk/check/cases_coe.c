/* A COE driver's operations when nothing goes wrong, when they are repeated, and with odd input. */
#include "check.h"

#include "base/jsonx.h"
#include "magnum/lifecycle.h"

#include <string.h>

static struct op op_of(const char *verb, uint32_t kind, int workers, const char *id)
{
    struct op op = op_create();
    op.verb = verb;
    op.kind = kind;
    op.workers = workers;
    op.op_id = id;
    return op;
}

static bool scale_to(struct world *w, int workers, const char *id, struct verdict *v)
{
    struct op op = op_of("scale", MAG_OP_SCALE, workers, id);
    _cleanup_json_ json_t *params =
        json_pack("{s:s,s:i}", "nodegroup", "default-worker", "node_count", workers);
    op.params = params;
    world_plan(w);
    return must_end_well(w, &op, v, "scale");
}

static void lifecycle(struct kit *k, struct verdict *v)
{
    struct world w;
    world_init(&w, k);
    struct op create = op_create(), health = op_of("health", MAG_OP_HEALTH, 2, "h");
    struct op update = op_of("update", MAG_OP_UPDATE, 2, "u");
    bool ok = must_end_well(&w, &create, v, "create");
    if (ok && kit_offers(k, MAG_IFACE_LIFECYCLE, "scale"))
        ok = scale_to(&w, 3, "s1", v) && scale_to(&w, 1, "s2", v) && scale_to(&w, 0, "s3", v) &&
             scale_to(&w, 2, "s4", v);
    world_plan(&w);
    if (ok && kit_offers(k, MAG_IFACE_LIFECYCLE, "update"))
        ok = must_end_well(&w, &update, v, "update");
    world_plan(&w);
    if (ok && kit_offers(k, MAG_IFACE_LIFECYCLE, "health"))
        ok = must_end_well(&w, &health, v, "health");
    const char *status = json_string_value(json_object_get(w.outputs, "health_status"));
    if (ok && status && !str_eq(status, "HEALTHY") && !str_eq(status, "UNHEALTHY") &&
        !str_eq(status, "UNKNOWN"))
        ok = verdict_fail(v, "health_status is %.60s", status);
    (void)(ok && must_delete(&w, v, "after its life"));
    world_done(&w);
}

/* scale up and down again leaves what was there before: nothing lost, nothing leaked. */
static void scale_is_exact(struct kit *k, struct verdict *v)
{
    struct world w;
    struct err e = ERR_INIT;
    struct op create = op_create();
    if (!kit_offers(k, MAG_IFACE_LIFECYCLE, "scale")) {
        verdict_skip(v, "scale is not offered");
        return;
    }
    world_init(&w, k);
    if (must_end_well(&w, &create, v, "create")) {
        _cleanup_json_ json_t *before = world_inventory(&w, &e);
        bool ok = scale_to(&w, 4, "s1", v) && scale_to(&w, 2, "s2", v);
        _cleanup_json_ json_t *after = world_inventory(&w, &e);
        if (ok && (!before || !after || json_array_size(before) != json_array_size(after)))
            verdict_fail(v, "%zu resources before, %zu after scaling from 2 to 4 and back",
                         json_array_size(before), json_array_size(after));
        (void)must_delete(&w, v, "after scaling");
    }
    world_done(&w);
}

static void validate(struct kit *k, struct verdict *v)
{
    struct world w;
    struct op op = op_of("validate", MAG_OP_VALIDATE, 2, "v");
    world_init(&w, k);
    w.no_remote = true;
    struct end end = call_once(&w, &op, NULL, NULL);
    if (end.refused_to_start)
        verdict_skip(v, "validate is not offered");
    else if (sound(&end, v, "validate") && w.went_remote)
        verdict_fail(v, "validate asked the outside");
    else if (end.rc != MAG_OK)
        verdict_fail(v, "validate refuses the kit's spec: %s (give one with --spec or --label)",
                     end.message);
    world_done(&w);
}

static void repeated(struct kit *k, struct verdict *v)
{
    struct world w;
    struct err e = ERR_INIT;
    struct op create = op_create();
    world_init(&w, k);
    bool ok = must_end_well(&w, &create, v, "create");
    _cleanup_json_ json_t *once = world_inventory(&w, &e);
    ok = ok && must_end_well(&w, &create, v, "create again, as the same operation");
    world_plan(&w);
    ok = ok && must_end_well(&w, &create, v, "create again, without its checkpoint");
    _cleanup_json_ json_t *twice = world_inventory(&w, &e);
    if (ok && !json_equal(once, twice)) {
        _cleanup_free_ char *a = jsonx_text(once), *b = jsonx_text(twice);
        verdict_fail(v, "a repeated create leaves something else: %.300s, then %.300s", a, b);
    }
    (void)must_delete(&w, v, "after a repeated create");
    (void)must_delete(&w, v, "deleted once");
    world_done(&w);
}

static void delete_absent(struct kit *k, struct verdict *v)
{
    struct world w;
    world_init(&w, k);
    (void)must_delete(&w, v, "never made");
    world_done(&w);
}

/* A delete gets what the database holds of the cluster: templates, images and labels may be gone.
 */
static void delete_without_spec(struct kit *k, struct verdict *v)
{
    struct world w;
    struct op create = op_create(), gone = op_remove();
    _cleanup_json_ json_t *bare =
        json_pack("{s:{s:{s:s}},s:n,s:[],s:{}}", "cluster", "labels", "nonsense", "\xc3\xa4",
                  "template", "nodegroups", "params");
    world_init(&w, k);
    if (must_end_well(&w, &create, v, "create")) {
        world_plan(&w);
        gone.extra = bare;
        (void)(must_end_well(&w, &gone, v, "delete without template, labels and nodegroups") &&
               world_is_empty(&w, v, "after it"));
    }
    world_done(&w);
}

static void unknown_kind(struct kit *k, struct verdict *v)
{
    enum { UNKNOWN = 4711 };
    struct world w;
    struct op op = op_of("update", UNKNOWN, 2, "x");
    world_init(&w, k);
    struct end end = walk(&w, &op);
    if (end.refused_to_start)
        verdict_skip(v, "update is not offered");
    else
        (void)sound(&end, v, "an unknown kind of operation");
    (void)must_delete(&w, v, "after it");
    world_done(&w);
}

/* Any answer will do, as long as it is one: no crash, no endless walk, and it can be deleted. */
static void odd(struct kit *k, struct verdict *v, json_t *extra, const char *what)
{
    struct world w;
    _cleanup_json_ json_t *mine = extra;
    if (v->outcome != CHECK_OK)
        return;
    world_init(&w, k);
    struct op create = op_create();
    create.extra = mine;
    struct end end = walk(&w, &create);
    if (sound(&end, v, what))
        (void)must_delete(&w, v, what);
    world_done(&w);
}

static json_t *many_labels(void)
{
    char key[16], value[512];
    json_t *labels = json_object();
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "label%d", i);
        json_object_set_new(labels, key, json_string(value));
    }
    return json_pack("{s:{s:o}}", "cluster", "labels", labels);
}

static void odd_input(struct kit *k, struct verdict *v)
{
    char longest[256];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    odd(k, v, json_pack("{s:{s:s}}", "cluster", "name", longest), "a name of 255 characters");
    odd(k, v, json_pack("{s:{s:s}}", "cluster", "name", "\xe6\x98\x9f \xf0\x9f\x9a\x80 '; --"),
        "a name that is not ASCII");
    odd(k, v, json_pack("{s:{s:i},s:s}", "cluster", "unheard_of", 1, "new_member", "x"),
        "members nobody knows");
    odd(k, v, json_pack("{s:n,s:n,s:n,s:n}", "cluster", "template", "nodegroups", "params"),
        "a spec of nulls");
    odd(k, v,
        json_pack("{s:s,s:[],s:{},s:i}", "cluster", "text", "template", "nodegroups", "params", 1),
        "members of other types");
    odd(k, v, many_labels(), "500 labels");
}

static void optional_verbs(struct kit *k, struct verdict *v)
{
    static const struct {
        const char *iface, *verb;
        uint32_t kind;
    } steps[] = {{"mag.coe.rotate/1", "ca_prepare", MAG_OP_ROTATE_CA},
                 {"mag.coe.rotate/1", "ca_complete", MAG_OP_ROTATE_CA},
                 {"mag.coe.rotate/1", "credential", MAG_OP_ROTATE_CREDENTIAL},
                 {"mag.coe.upgrade/1", "upgrade", MAG_OP_UPGRADE},
                 {"mag.coe.nodegroups/1", "update", MAG_OP_NODEGROUP_UPDATE}};
    struct world w;
    struct op create = op_create();
    unsigned tried = 0;
    world_init(&w, k);
    bool ok = must_end_well(&w, &create, v, "create");
    for (size_t i = 0; ok && i < ARRAY_LEN(steps); i++) {
        if (!kit_offers(k, steps[i].iface, NULL))
            continue;
        struct op op = op_of(steps[i].verb, steps[i].kind, 2, steps[i].verb);
        op.iface = steps[i].iface;
        world_plan(&w);
        struct end end = walk(&w, &op);
        if (end.refused_to_start)
            continue;
        tried++;
        ok = sound(&end, v, steps[i].verb);
    }
    if (ok)
        ok = must_delete(&w, v, "after the optional verbs");
    if (ok && !tried)
        verdict_skip(v, "only the life cycle is offered");
    world_done(&w);
}

const struct check_case cases_coe[] = {{"lifecycle", "whole_life", lifecycle},
                                       {"lifecycle", "scale_is_exact", scale_is_exact},
                                       {"lifecycle", "validate_stays_here", validate},
                                       {"lifecycle", "optional_verbs", optional_verbs},
                                       {"idempotency", "repeated_create", repeated},
                                       {"idempotency", "delete_absent", delete_absent},
                                       {"idempotency", "delete_without_spec", delete_without_spec},
                                       {"input", "unknown_kind", unknown_kind},
                                       {"input", "odd_input", odd_input}};
const size_t cases_coe_count = ARRAY_LEN(cases_coe);
