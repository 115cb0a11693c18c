/* Masters that are replaced in their places: another server with the name, the port and the address
 * of the one before, whose boot script has that one's member taken out of etcd and joins anew
 * (boot/lib/etcd.sh). Decided once for each operation: how often each place was filled anew stands
 * in the state, and in the output "master_lives" of the stack for the operations that follow.
 * See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_coe.h"

#include <string.h>

enum { ASK_MS = 5000 };

static json_t *mine(const struct heat_run *r)
{
    return mag_json_at(r->set.state, "kubernetes");
}

json_t *heat_lives(const struct heat_run *r)
{
    return json_object_get(mine(r), "lives");
}

int32_t heat_recall_lives(struct heat_run *r, bool *changed)
{
    struct mag_heat_stack s = {.outputs = NULL};
    if (heat_lives(r))
        return MAG_OK;
    int32_t rc =
        r->c->op->kind == MAG_OP_CREATE ? MAG_OK : mag_heat_set_look(&r->set, NULL, &s, r->c->err);
    json_t *had = json_object_get(s.outputs, "master_lives");
    json_t *lives = json_is_array(had) ? json_deep_copy(had) : json_array();
    mag_heat_stack_done(&s);
    *changed = true;
    if (rc != MAG_OK) {
        json_decref(lives);
        return rc;
    }
    return json_object_set_new(mine(r), "lives", lives) < 0 ? mag_fail_nomem(r->c->err) : MAG_OK;
}

/* ---- what is refused ---- */

struct masters { /* borrowed, but for removals */
    const json_t *names, *ids;
    json_t *removals;
};

static bool goes(const struct masters *m, size_t i)
{
    const char *name = json_string_value(json_array_get(m->names, i));
    const char *id = json_string_value(json_array_get(m->ids, i));
    return heat_is_named(m->removals, name ? name : "", id ? id : "");
}

static int32_t check_request(struct heat_run *r, const struct masters *m)
{
    size_t have = json_array_size(m->names);
    int64_t want = mag_json_int(r->masters, "node_count", 1);
    if (have == 0)
        return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "NeverWorked",
                        "delete the cluster and make it anew",
                        "No master can be replaced in a cluster that was never complete");
    if ((int64_t)have != want)
        return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "MastersNotResizable",
                        "make a new cluster with another master_count",
                        "The cluster has %zu masters; their number can't be changed to %lld", have,
                        (long long)want);
    int32_t rc = heat_check_named(r, r->masters, m->names, m->ids, m->removals);
    return rc == MAG_OK ? mag_masters_movable(r->c->spec, r->masters, r->c->err) : rc;
}

/* Those that stay have to be a majority: as the API tells, which is well only while etcd is. */
static int32_t check_quorum(struct heat_run *r, const struct masters *m)
{
    struct mag_kube k = kube_api(r->c, ASK_MS);
    _mag_json_ json_t *nodes = NULL;
    mag_error e = {.struct_size = sizeof e};
    char why[200] = "";
    size_t usable = 0, all = json_array_size(m->names);
    if (all == 1)
        return mag_masters_quorum(0, 1, r->c->err);
    int32_t rc = mag_kube_ready(&k, why, sizeof why, &e);
    if (rc == MAG_OK)
        rc = mag_kube_list(&k, "/api/v1/nodes", 0, &nodes, NULL, &e);
    if (rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED) {
        *r->c->err = e;
        return rc;
    }
    if (rc != MAG_OK)
        return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "QuorumUnknown",
                        "bring the cluster's API back first: start masters that are down",
                        "Whether the other masters keep etcd's majority can't be asked: %.200s",
                        why[0] ? why : e.message);
    for (size_t i = 0; i < all; i++) {
        const char *name = json_string_value(json_array_get(m->names, i));
        const json_t *node = name && !goes(m, i) ? mag_kube_named(nodes, name) : NULL;
        usable += node && strcmp(mag_kube_node_ready(node, NULL, NULL, NULL), "True") == 0;
    }
    return mag_masters_quorum(usable, all, r->c->err);
}

/* ---- the decision ---- */

static int32_t count_lives(struct heat_run *r, const struct masters *m)
{
    json_t *lives = heat_lives(r);
    size_t n = json_array_size(m->names);
    int bad = 0;
    while (json_array_size(lives) < n && !bad)
        bad |= json_array_append_new(lives, json_integer(0));
    for (size_t i = 0; i < n && !bad; i++)
        if (goes(m, i))
            bad |= json_array_set_new(
                lives, i, json_integer(json_integer_value(json_array_get(lives, i)) + 1));
    return bad ? mag_fail_nomem(r->c->err) : heat_note(r, "masters");
}

int32_t heat_replace_masters(struct heat_run *r)
{
    struct mag_heat_stack s = {.outputs = NULL};
    const char *meant = mag_json_text(r->c->spec, "params.nodegroup", "");
    if (r->c->op->kind != MAG_OP_SCALE || heat_decided(r, "masters") ||
        strcmp(meant, mag_json_text(r->masters, "uuid", "-")) != 0)
        return MAG_OK;
    int32_t rc = mag_heat_set_look(&r->set, NULL, &s, r->c->err);
    struct masters m = {.names = mag_json_at(s.outputs, "master_names"),
                        .ids = mag_json_at(s.outputs, "master_ids"),
                        .removals = heat_removals(r, r->masters)};
    if (rc == MAG_OK)
        rc = check_request(r, &m);
    if (rc == MAG_OK && json_array_size(m.removals))
        rc = check_quorum(r, &m);
    if (rc == MAG_OK)
        rc = count_lives(r, &m);
    json_decref(m.removals);
    mag_heat_stack_done(&s);
    return rc;
}
