/* The heart of the kit: the same operations with the plugin killed, refused, fenced or told to stop
 * at every single point, and then the world is counted. */
#include "check.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "magnum/lifecycle.h"

#include <string.h>

/* What a create that nobody disturbs makes, and how many points it has. */
struct reference {
    json_t *inventory;
    unsigned touches, http_calls, steps;
};

static bool refer(struct kit *k, struct reference *ret, struct verdict *v)
{
    struct world w;
    struct err e = ERR_INIT;
    struct op create = op_create();
    world_init(&w, k);
    struct end end = walk(&w, &create);
    bool ok = sound(&end, v, "create");
    if (ok && end.rc != MAG_OK)
        ok = verdict_fail(v, "create ended with %d %s: %s", (int)end.rc, end.reason, end.message);
    *ret = (struct reference){.inventory = world_inventory(&w, &e),
                              .touches = w.touches,
                              .http_calls = w.http_calls,
                              .steps = end.steps};
    if (ok && !ret->inventory)
        ok = verdict_fail(v, "%s", e.msg);
    ok = ok && must_delete(&w, v, "undisturbed");
    world_done(&w);
    return ok;
}

static bool same_as(struct world *w, const struct reference *ref, struct verdict *v,
                    const char *what)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *now = world_inventory(w, &e);
    if (now && json_equal(now, ref->inventory))
        return true;
    _cleanup_free_ char *is = jsonx_text(now), *should = jsonx_text(ref->inventory);
    return verdict_fail(v, "%s: the world holds %.400s, but should hold %.400s", what,
                        is ? is : e.msg, should ? should : "?");
}

static unsigned points(const struct kit *k, unsigned n)
{
    return (int64_t)n > k->max_points ? (unsigned)k->max_points : n;
}

/* ---- crash walk ---- */
/* What a kill leaves of the checkpoint. */
enum state_after { STATE_KEPT, STATE_LOST, STATE_STALE, STATE_CUT, STATE_RANDOM, STATE_ENDS };

static struct op damaged(struct op op, enum state_after s)
{
    static const char *const left[] = {
        [STATE_STALE] = "{\"v\":1}",
        [STATE_CUT] = "{\"v\":1,\"ste",
        [STATE_RANDOM] = "{\"v\":\"x\",\"step\":-99,\"op\":[],\"nodes\":7}",
    };
    op.lose_state = s == STATE_LOST;
    op.bad_state = s > STATE_LOST ? left[s] : NULL;
    return op;
}

static bool crash_create(struct kit *k, const struct reference *ref, unsigned at, bool after,
                         enum state_after s, struct verdict *v)
{
    static const char *const states[] = {"", ", state lost", ", state of an early step",
                                         ", state cut", ", state garbage"};
    struct world w;
    char what[160];
    snprintf(what, sizeof what, "create killed %s touch %u of %u%s", after ? "after" : "before", at,
             ref->touches, states[s]);
    world_init(&w, k);
    struct op op = damaged(op_create(), s);
    w.kill_at = at;
    w.kill_after = after;
    struct end end = walk(&w, &op);
    bool ok = sound(&end, v, what);
    /* a damaged state may be refused, but then delete must still clean up */
    if (ok && (s == STATE_KEPT || s == STATE_LOST)) {
        if (end.rc != MAG_OK)
            ok = verdict_fail(v, "%s: it ended with %d %s: %s", what, (int)end.rc, end.reason,
                              end.message);
        ok = ok && same_as(&w, ref, v, what);
    }
    ok = ok && must_delete(&w, v, what);
    world_done(&w);
    return ok;
}

static void crash_walk_create(struct kit *k, struct verdict *v)
{
    struct reference ref;
    if (refer(k, &ref, v)) {
        unsigned n = points(k, ref.touches);
        for (unsigned i = 1; i <= n; i++)
            for (int after = kit_skips(k, v, i) ? 2 : 0; after < 2; after++)
                for (int s = STATE_KEPT; s < STATE_ENDS; s++)
                    if (!crash_create(k, &ref, i, after, (enum state_after)s, v))
                        goto out;
        if (n == 0)
            verdict_skip(v, "create neither stores a checkpoint nor asks the outside");
    }
out:
    json_decref(ref.inventory);
}

static bool crash_delete(struct kit *k, unsigned at, bool after, bool lose, unsigned *ret_touches,
                         struct verdict *v)
{
    struct world w;
    char what[160];
    snprintf(what, sizeof what, "delete killed %s touch %u%s", after ? "after" : "before", at,
             lose ? ", state lost" : "");
    world_init(&w, k);
    struct op create = op_create(), gone = op_remove();
    bool ok = must_end_well(&w, &create, v, "create");
    world_plan(&w);
    gone.lose_state = lose;
    w.kill_at = at;
    w.kill_after = after;
    ok = ok && must_end_well(&w, &gone, v, what) && world_is_empty(&w, v, what);
    *ret_touches = w.touches;
    world_done(&w);
    return ok;
}

static void crash_walk_delete(struct kit *k, struct verdict *v)
{
    unsigned touches = 0, ignored;
    if (!crash_delete(k, 0, false, false, &touches, v))
        return;
    for (unsigned i = 1; i <= points(k, touches); i++)
        for (int way = kit_skips(k, v, i) ? 4 : 0; way < 4; way++)
            if (!crash_delete(k, i, way & 1, way & 2, &ignored, v))
                return;
}

/* Deleted where create was cut off, and create never goes on. */
static void delete_half_made(struct kit *k, struct verdict *v)
{
    struct reference ref;
    bool ok = refer(k, &ref, v);
    for (unsigned i = 1; ok && i <= points(k, ref.touches); i++) {
        struct world w;
        char what[120];
        if (kit_skips(k, v, i))
            continue;
        world_init(&w, k);
        struct op op = op_create();
        op.flags = 0;
        snprintf(what, sizeof what, "create cut off at touch %u", i);
        w.fence_at = i; /* it is told that the operation is another's: it stops there */
        struct end end = walk(&w, &op);
        ok = sound(&end, v, what);
        w.fenced = false;
        ok = ok && must_delete(&w, v, what);
        world_done(&w);
    }
    json_decref(ref.inventory);
}

/* ---- faults ---- */

static bool fits(const struct end *end, enum fault f, struct verdict *v, const char *what)
{
    bool transient = f == FAULT_429 || f == FAULT_500 || f == FAULT_TIMEOUT || f == FAULT_DOWN;
    if (end->rc >= 0 || !transient)
        return true;
    bool retried = end->flags & MAG_ERR_RETRYABLE || end->rc == MAG_E_UNAVAILABLE ||
                   end->rc == MAG_E_TIMEOUT || end->rc == MAG_E_BUSY;
    return retried || verdict_fail(v, "%s: %d %s is not retryable, but the trouble passes", what,
                                   (int)end->rc, end->reason);
}

static bool fault_at(struct kit *k, const struct reference *ref, bool deleting, unsigned at,
                     enum fault f, bool *ret_hit, struct verdict *v)
{
    struct world w;
    char what[200];
    struct op create = op_create(), gone = op_remove();
    snprintf(what, sizeof what, "%s with %s at request %u", deleting ? "delete" : "create",
             fault_name(f), at);
    world_init(&w, k);
    bool ok = !deleting || must_end_well(&w, &create, v, "create");
    world_plan(&w);
    w.fault_at = at;
    w.fault = f;
    struct end end = walk(&w, deleting ? &gone : &create);
    *ret_hit = w.faulted;
    ok = ok && sound(&end, v, what) && fits(&end, f, v, what);
    if (ok && !deleting && end.rc == MAG_OK)
        ok = same_as(&w, ref, v, what);
    ok = ok && must_delete(&w, v, what);
    world_done(&w);
    return ok;
}

static void fault_walk(struct kit *k, struct verdict *v)
{
    struct reference ref;
    bool ok = refer(k, &ref, v), any = false;
    for (int deleting = 0; ok && deleting < 2; deleting++) {
        bool hit = true;
        for (unsigned i = 1; ok && hit && i <= points(k, UINT32_MAX); i++) {
            if (kit_skips(k, v, i))
                continue;
            hit = false;
            for (int f = FAULT_401; ok && f < FAULT_END; f++) {
                bool here = false;
                ok = fault_at(k, &ref, deleting, i, (enum fault)f, &here, v);
                hit |= here;
                any |= here;
            }
        }
    }
    if (ok && !any)
        verdict_skip(v, "it asks nothing over HTTP");
    json_decref(ref.inventory);
}

/* ---- being told to stop ---- */

static void cancel_walk(struct kit *k, struct verdict *v)
{
    struct reference ref;
    bool ok = refer(k, &ref, v);
    for (unsigned i = 0; ok && i < points(k, ref.steps); i++) {
        struct world w;
        char what[120];
        if (kit_skips(k, v, i + 1))
            continue;
        snprintf(what, sizeof what, "create cancelled after %u steps", i);
        world_init(&w, k);
        int64_t max_steps = k->max_steps;
        struct op op = op_create();
        struct end end = {0};
        if (i > 0) {
            k->max_steps = i;
            end = walk(&w, &op);
            k->max_steps = max_steps;
        }
        op.flags = MAG_OPF_CANCEL;
        w.cancel = true;
        end = walk(&w, &op);
        ok = sound(&end, v, what);
        if (ok && end.rc != MAG_OK && end.rc != MAG_E_CANCELLED)
            ok = verdict_fail(v, "%s: it answers %d %s instead of CANCELLED", what, (int)end.rc,
                              end.reason);
        ok = ok && must_delete(&w, v, what);
        world_done(&w);
    }
    json_decref(ref.inventory);
}

static void late(struct kit *k, struct verdict *v)
{
    struct world w;
    world_init(&w, k);
    struct op op = op_create();
    op.deadline = clock_wall_ms() - 1000;
    op.stop_on_error = true;
    struct end end = walk(&w, &op);
    (void)(sound(&end, v, "a deadline that has passed") && must_delete(&w, v, "after it"));
    world_done(&w);
}

static void fencing(struct kit *k, struct verdict *v)
{
    struct reference ref;
    bool ok = refer(k, &ref, v);
    for (unsigned i = 1; ok && i <= points(k, ref.touches); i++) {
        struct world w;
        char what[120];
        if (kit_skips(k, v, i))
            continue;
        snprintf(what, sizeof what, "fenced at touch %u", i);
        world_init(&w, k);
        struct op op = op_create();
        w.fence_at = i;
        struct end end = walk(&w, &op);
        ok = sound(&end, v, what);
        if (ok && w.fenced && end.rc != MAG_E_PRECONDITION && end.rc != MAG_E_CANCELLED)
            ok = verdict_fail(v, "%s: it answers %d %s instead of PRECONDITION", what, (int)end.rc,
                              end.reason);
        if (ok && w.after_fence)
            ok = verdict_fail(v, "%s: %u further calls", what, w.after_fence);
        w.fenced = false;
        ok = ok && must_delete(&w, v, what);
        world_done(&w);
    }
    json_decref(ref.inventory);
}

static void secrets(struct kit *k, struct verdict *v)
{
    struct world w;
    struct op create = op_create();
    char where[128];
    world_init(&w, k);
    /* the same with a failure, whose message may say too much */
    if (must_end_well(&w, &create, v, "create")) {
        world_plan(&w);
        w.fault_at = 1;
        w.fault = FAULT_500;
        (void)walk(&w, &create);
        static const char *const canaries[] = {CANARY_KEY, CANARY_SECRET};
        for (size_t i = 0; i < ARRAY_LEN(canaries); i++)
            if (world_leaks(&w, canaries[i], where))
                verdict_fail(v, "a secret stands in %s", where);
        (void)must_delete(&w, v, "after it");
    }
    world_done(&w);
}

/* ---- everything mixed ---- */

static bool random_walk(struct kit *k, unsigned number, struct verdict *v)
{
    static const char *const verbs[] = {"create", "update", "scale"};
    static const uint32_t kinds[] = {MAG_OP_CREATE, MAG_OP_UPDATE, MAG_OP_SCALE};
    struct world w;
    char what[120];
    snprintf(what, sizeof what, "random walk %u of seed %llu", number, (unsigned long long)k->seed);
    world_init(&w, k);
    bool ok = true;
    for (unsigned i = 0; ok && i < 5; i++) {
        unsigned pick = i == 0 ? 0 : kit_random(k, ARRAY_LEN(verbs));
        if (!kit_offers(k, MAG_IFACE_LIFECYCLE, verbs[pick]))
            continue;
        struct op op = op_create();
        op.verb = verbs[pick];
        op.kind = kinds[pick];
        op.op_id = verbs[pick];
        op.workers = (int)kit_random(k, 4);
        world_plan(&w);
        w.kill_at = kit_random(k, 12);
        w.kill_after = kit_random(k, 2);
        w.fault_at = kit_random(k, 6);
        w.fault = (enum fault)kit_random(k, FAULT_END);
        op.lose_state = kit_random(k, 4) == 0;
        struct end end = walk(&w, &op);
        ok = sound(&end, v, what);
    }
    ok = ok && must_delete(&w, v, what);
    world_done(&w);
    return ok;
}

enum { WALK_STRIDE = 1000003 };

static void random_walks(struct kit *k, struct verdict *v)
{
    /* each walk from its own place, so that one can be repeated without those before it */
    for (unsigned i = 1; i <= (uint64_t)k->random_walks; i++) {
        k->random = k->seed * WALK_STRIDE + i;
        if (!kit_skips(k, v, i) && !random_walk(k, i, v))
            return;
    }
}

const struct check_case cases_walks[] = {{"crash", "walk_create", crash_walk_create},
                                         {"crash", "walk_delete", crash_walk_delete},
                                         {"crash", "delete_half_made", delete_half_made},
                                         {"fault", "walk", fault_walk},
                                         {"cancel", "walk", cancel_walk},
                                         {"cancel", "late", late},
                                         {"fencing", "walk", fencing},
                                         {"secrets", "canaries", secrets},
                                         {"random", "walks", random_walks}};
const size_t cases_walks_count = ARRAY_LEN(cases_walks);
