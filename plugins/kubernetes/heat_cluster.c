/* The verbs that change a cluster in a cloud: each step makes one more stack so, in the order own
 * stack, other nodegroups; and the removal of all of it. See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_params.h"

#include <stdio.h>
#include <string.h>

/* ---- what came out ---- */

static int32_t publish_text(struct heat_run *r, const char *key, const char *text)
{
    return mag_output_new(r->c->self->host, r->c->op, key, json_string(text), r->c->err);
}

static int32_t publish_nodes(struct heat_run *r, const json_t *group, const json_t *outputs,
                             const char *prefix)
{
    char key[64];
    bool outside = mag_json_bool(r->c->spec, "cluster.floating_ip_enabled", false);
    (void)snprintf(key, sizeof key, "%s%s_addresses", prefix, outside ? "public" : "private");
    return mag_heat_publish_nodes(&r->set, mag_json_text(group, "uuid", ""),
                                  mag_json_at(outputs, key), mag_json_int(group, "node_count", 1),
                                  r->c->err);
}

static int32_t publish_cluster(struct heat_run *r, const json_t *outputs)
{
    char url[128];
    const char *version = heat_version(r, r->masters);
    const char *address = mag_json_text(outputs, "api_public", "");
    if (!*address)
        address = mag_json_text(outputs, "api_private", "");
    (void)snprintf(url, sizeof url, "https://%.100s:%d", address, HEAT_API_PORT);
    int32_t rc = publish_text(r, "api_address", url);
    if (rc == MAG_OK && *version)
        rc = publish_text(r, "coe_version", version);
    if (rc == MAG_OK)
        rc = publish_nodes(r, r->masters, outputs, "master_");
    return rc == MAG_OK ? publish_nodes(r, r->workers, outputs, "worker_") : rc;
}

/* ---- nodes that go ---- */

bool heat_is_named(const json_t *removals, const char *name, const char *id)
{
    size_t i;
    const json_t *v;
    char number[24];
    const char *dash = strrchr(name, '-');
    (void)snprintf(number, sizeof number, "%s", dash ? dash + 1 : "");
    json_array_foreach(removals, i, v)
    {
        if (strcmp(json_string_value(v), number) == 0 || strcmp(json_string_value(v), id) == 0)
            return true;
    }
    return false;
}

static const char *text_at(const json_t *list, size_t i)
{
    const char *s = json_string_value(json_array_get(list, i));
    return s ? s : "";
}

/* Those that Heat will take: the named ones, then from the end of its list. */
static json_t *leaving(const json_t *names, const json_t *ids, const json_t *removals,
                       int64_t wanted)
{
    json_t *gone = json_array();
    size_t n = json_array_size(names);
    int64_t left = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        if (heat_is_named(removals, text_at(names, i), text_at(ids, i))) {
            (void)json_array_append(gone, json_array_get(names, i));
            left--;
        }
    }
    for (size_t i = n; i > 0 && left > wanted; i--) {
        if (heat_is_named(removals, text_at(names, i - 1), text_at(ids, i - 1)))
            continue;
        (void)json_array_append(gone, json_array_get(names, i - 1));
        left--;
    }
    return gone;
}

int32_t heat_check_named(struct heat_run *r, const json_t *group, const json_t *names,
                         const json_t *ids, const json_t *removals)
{
    size_t i;
    const json_t *v;
    json_array_foreach(removals, i, v)
    {
        _mag_json_ json_t *one = json_pack("[O]", v);
        bool found = false;
        for (size_t n = 0; n < json_array_size(names) && !found; n++)
            found = heat_is_named(one, text_at(names, n), text_at(ids, n));
        if (!found)
            return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "NoSuchNode",
                            "name nodes by server id, name or number; see the nodegroup's nodes",
                            "Nodegroup %.60s has no node '%.60s'",
                            mag_json_text(group, "name", "?"), json_string_value(v));
    }
    return MAG_OK;
}

/* Before Heat is asked to take nodes away: which, and are they empty? Only until it was asked. */
static int32_t before_removal(struct heat_run *r, const json_t *group, const char *stack_of)
{
    const char *prefix = group == r->workers ? "worker_" : "";
    char names_key[32], ids_key[32];
    struct mag_heat_stack s = {.outputs = NULL};
    bool may_shrink = r->c->op->kind == MAG_OP_SCALE || r->c->op->kind == MAG_OP_UPDATE ||
                      r->c->op->kind == MAG_OP_NODEGROUP_UPDATE;
    if (!may_shrink || mag_heat_set_begun(&r->set, stack_of) || !heat_is_meant(r, group))
        return MAG_OK;
    int32_t rc = mag_heat_set_look(&r->set, stack_of, &s, r->c->err);
    if (rc != MAG_OK || !s.id[0]) {
        mag_heat_stack_done(&s);
        return rc;
    }
    (void)snprintf(names_key, sizeof names_key, "%snames", prefix);
    (void)snprintf(ids_key, sizeof ids_key, "%sids", prefix);
    const json_t *names = mag_json_at(s.outputs, names_key), *ids = mag_json_at(s.outputs, ids_key);
    _mag_json_ json_t *removals = heat_removals(r, group);
    _mag_json_ json_t *go = leaving(names, ids, removals, mag_json_int(group, "node_count", 1));
    /* a create that failed half way has no list to compare with */
    if (json_is_array(names))
        rc = heat_check_named(r, group, names, ids, removals);
    if (rc == MAG_OK && json_array_size(go) > 0)
        rc = heat_leave(r, group, go);
    mag_heat_stack_done(&s);
    return rc;
}

/* ---- convergence ---- */

static int32_t own_stack(struct heat_run *r, json_t **ret_outputs)
{
    const struct mag_call *c = r->c;
    struct heat_plan plan;
    struct mag_heat_stack s = {.outputs = NULL};
    int32_t rc = heat_replace_masters(r);
    if (rc == MAG_OK)
        rc = before_removal(r, r->workers, NULL);
    if (rc != MAG_OK)
        return rc;
    rc = heat_cluster_plan(r, &plan);
    if (rc != MAG_OK)
        return rc;
    const struct mag_heat_want want = {
        .template = plan.template,
        .parameters = plan.parameters,
        .files = plan.files,
        .timeout_min = mag_json_int(c->spec, "cluster.create_timeout", 0),
        /* new masters in the place of old ones would be an empty cluster of the same name */
        .must_exist = c->op->kind != MAG_OP_CREATE,
    };
    rc = mag_heat_set_converge(&r->set, NULL, &want, &s, c->out, c->err);
    heat_plan_done(&plan);
    if (rc == MAG_OK)
        rc = publish_cluster(r, s.outputs);
    if (rc == MAG_OK)
        *ret_outputs = json_incref(s.outputs);
    mag_heat_stack_done(&s);
    return rc;
}

static int32_t group_stack(struct heat_run *r, const json_t *group, const json_t *outputs)
{
    const struct mag_call *c = r->c;
    const char *uuid = mag_json_text(group, "uuid", "");
    struct heat_plan plan;
    struct mag_heat_stack s = {.outputs = NULL};
    int32_t rc = before_removal(r, group, uuid);
    if (rc == MAG_OK)
        rc = heat_group_plan(r, group, outputs, &plan);
    if (rc != MAG_OK)
        return rc;
    /* workers may be made anew: a stack that somebody deleted comes back */
    const struct mag_heat_want want = {.template = plan.template,
                                       .parameters = plan.parameters,
                                       .files = plan.files,
                                       .timeout_min =
                                           mag_json_int(c->spec, "cluster.create_timeout", 0)};
    rc = mag_heat_set_converge(&r->set, uuid, &want, &s, c->out, c->err);
    heat_plan_done(&plan);
    if (rc == MAG_OK)
        rc = publish_nodes(r, group, s.outputs, "");
    mag_heat_stack_done(&s);
    return rc;
}

/* The cluster's own stack is only looked at when another one is meant. */
static int32_t own_outputs(struct heat_run *r, json_t **ret)
{
    struct mag_heat_stack s = {.outputs = NULL};
    int32_t rc = mag_heat_set_show(&r->set, NULL, &s, r->c->err);
    if (rc == MAG_OK)
        *ret = json_incref(s.outputs);
    mag_heat_stack_done(&s);
    return rc;
}

/* All stacks that are meant, one after the other; those of nodegroups side by side. */
static int32_t converge(struct heat_run *r)
{
    _mag_json_ json_t *outputs = NULL;
    size_t i;
    const json_t *g;
    bool waits = false;
    int32_t rc = heat_is_meant(r, r->workers) ? own_stack(r, &outputs) : own_outputs(r, &outputs);
    json_array_foreach(mag_json_at(r->c->spec, "nodegroups"), i, g)
    {
        if (rc < 0 || rc == MAG_AGAIN)
            break;
        if (g == r->masters || g == r->workers || !heat_is_meant(r, g))
            continue;
        rc = group_stack(r, g, outputs);
        waits |= rc == MAG_AGAIN;
        rc = rc == MAG_AGAIN ? MAG_OK : rc;
    }
    return rc == MAG_OK && waits ? MAG_AGAIN : rc;
}

static int32_t converge_phase(struct heat_run *r, const char *phase)
{
    int32_t rc = heat_decide(r, phase);
    return rc == MAG_OK ? converge(r) : rc;
}

int32_t heat_converge(struct mag_call *c)
{
    struct heat_run r;
    int32_t rc = heat_check(c);
    if (rc == MAG_OK)
        rc = heat_open(c, &r);
    if (rc != MAG_OK)
        return rc;
    bool upgrade = c->op->kind == MAG_OP_UPGRADE;
    /* before it is decided: afterwards the stored version is the new one */
    if (upgrade && !heat_decided(&r, "upgrade") && heat_is_meant(&r, r.workers))
        rc = heat_upgrade_step(c, heat_version(&r, r.masters));
    if (rc == MAG_OK)
        rc = converge_phase(&r, upgrade ? "upgrade" : NULL);
    heat_done(&r);
    return rc;
}

int32_t heat_rotate_prepare(struct mag_call *c)
{
    struct heat_run r;
    int32_t rc = heat_open(c, &r);
    if (rc != MAG_OK)
        return rc;
    rc = converge_phase(&r, "prepare");
    heat_done(&r);
    return rc;
}

/* New certificates everywhere while both CAs are trusted; then the old one is forgotten. */
int32_t heat_rotate_complete(struct mag_call *c)
{
    struct heat_run r;
    int32_t rc = heat_open(c, &r);
    if (rc != MAG_OK)
        return rc;
    if (!heat_decided(&r, "complete"))
        rc = converge_phase(&r, "certs");
    if (rc == MAG_OK)
        rc = converge_phase(&r, "complete");
    heat_done(&r);
    return rc;
}

/* Nodes that run keep the password they booted with: there is no way to them that is as well kept
 * as the user data. Said before their stacks are touched. */
int32_t heat_rotate_credential(struct mag_call *c)
{
    return mag_fail(c->err, MAG_E_UNSUPPORTED, MAG_ERR_USER, "CredentialOfNodes",
                    "replace the nodes one after the other: new ones get the new password",
                    "Servers that run keep the password of the cluster's trustee they booted with");
}

/* ---- removal ---- */

int32_t heat_remove_group(struct mag_call *c)
{
    struct heat_run r;
    const char *uuid =
        c->op->nodegroup_id ? c->op->nodegroup_id : mag_json_text(c->spec, "params.nodegroup", "");
    if (!mag_is_uuid(uuid))
        return mag_fail(c->err, MAG_E_INVALID, 0, "NoNodegroup", NULL,
                        "The request does not say which nodegroup");
    int32_t rc = heat_open(c, &r);
    if (rc != MAG_OK)
        return rc;
    rc = mag_heat_set_remove_group(&r.set, uuid, c->out, c->err);
    heat_done(&r);
    return rc;
}

/* Works without a readable spec: names come from the cluster's id and the ledger. */
int32_t heat_remove(struct mag_call *c)
{
    struct heat_run r = {.c = c};
    int32_t rc = mag_heat_set_open(&r.set, &c->self->services, c->op, 0, c->err);
    if (rc != MAG_OK)
        return rc;
    /* they hold ports of the subnet; servers hold volumes */
    rc = heat_sweep_balancers(&r);
    if (rc == MAG_OK)
        rc = mag_heat_set_remove_all(&r.set, mag_json_at(c->spec, "nodegroups"), c->out, c->err);
    if (rc == MAG_OK)
        rc = heat_sweep_volumes(&r);
    heat_done(&r);
    return rc;
}
