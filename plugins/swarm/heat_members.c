/* See heat_swarm.h: members of the swarm that come and go, and how they are, all through the
 * cluster's API. Never a worker's word about itself. */
#include "heat_swarm.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"
#include "lib/verdict.h"

#include <stdio.h>
#include <string.h>

enum { ASK_MS = 5000, POLL_MS = 2000, NO_QUORUM = 500 };

struct mag_docker heat_docker(const struct mag_call *c, uint32_t timeout_ms)
{
    return (struct mag_docker){.host = c->self->host,
                               .op = c->op,
                               .service = "cluster",
                               .name = "the cluster's API",
                               .timeout_ms = timeout_ms};
}

/* A server's name is its host name; a former life of it may stand in the list as well. */
static const json_t *entry_of(const json_t *list, const char *name)
{
    const json_t *best = NULL;
    size_t i;
    json_t *e;
    json_array_foreach(list, i, e)
    {
        if (strcmp(swarm_node_host(e), name) == 0 &&
            (!best || strcmp(swarm_node_state(e), "ready") == 0))
            best = e;
    }
    return best;
}

/* ---- leaving ---- */

/* Tasks of the swarm that still run on a node. */
static int32_t tasks_on(const struct mag_docker *d, const char *id, size_t *ret, mag_error *err)
{
    char filter[160], path[200], text[96];
    _mag_json_ json_t *tasks = NULL;
    size_t i;
    json_t *t;
    (void)snprintf(text, sizeof text, "{\"node\":[\"%.60s\"]}", id);
    if (!mag_http_quote(filter, sizeof filter, text))
        return mag_fail_nomem(err);
    (void)snprintf(path, sizeof path, "/tasks?filters=%s", filter);
    int32_t rc = mag_docker_call(d, "GET", path, NULL, &tasks, NULL, err);
    json_array_foreach(tasks, i, t)
    {
        *ret += strcmp(mag_json_text(t, "Status.State", ""), "running") == 0;
    }
    return rc;
}

static int32_t drain(const struct mag_docker *d, const json_t *list, const json_t *nodes,
                     size_t *ret_busy, mag_error *err)
{
    const struct swarm_wanted w = {.availability = "drain"};
    size_t i;
    json_t *node;
    int32_t rc = MAG_OK;
    json_array_foreach(nodes, i, node)
    {
        const json_t *e = entry_of(list, mag_json_text(node, "name", ""));
        if (rc != MAG_OK || !e || strcmp(swarm_node_state(e), "ready") != 0)
            continue;
        if (!swarm_node_matches(e, &w))
            rc = swarm_node_update(d, swarm_node_id(e), &w, err);
        if (rc == MAG_OK)
            rc = tasks_on(d, swarm_node_id(e), ret_busy, err);
    }
    return rc;
}

static bool ends_call(int32_t rc)
{
    return rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED;
}

int32_t heat_leave(struct mag_coe_run *r, const json_t *nodes)
{
    mag_error *err = r->c->err;
    struct mag_docker d = heat_docker(r->c, ASK_MS);
    _mag_json_ json_t *list = NULL;
    mag_error why = {.struct_size = sizeof why};
    uint32_t status = 0;
    size_t busy = 0;
    int64_t left_ms;
    int32_t rc = mag_coe_time_left(r, &left_ms);
    if (rc != MAG_OK)
        return rc;
    rc = swarm_nodes(&d, &list, &status, &why);
    if (rc == MAG_OK)
        rc = drain(&d, list, nodes, &busy, &why);
    if (ends_call(rc)) {
        *err = why;
        return rc;
    }
    if (rc == MAG_OK && busy == 0)
        return MAG_OK;
    if (left_ms > 0)
        return rc == MAG_OK
                   ? mag_again(r->c->out, POLL_MS, 10, "%zu tasks still run on %zu leaving nodes",
                               busy, json_array_size(nodes))
                   : mag_again(r->c->out, POLL_MS, 10, "Waiting for a manager: %s", why.message);
    mag_log(r->c->self->host, MAG_LOG_WARNING, "%zu nodes go without having been emptied: %s",
            json_array_size(nodes), rc == MAG_OK ? "tasks still run on them" : why.message);
    return MAG_OK;
}

static int32_t forget(const struct mag_docker *d, const json_t *e, mag_error *err)
{
    int32_t rc = MAG_OK;
    if (swarm_node_is_manager(e))
        rc = swarm_node_update(d, swarm_node_id(e), &(struct swarm_wanted){.role = "worker"}, err);
    return rc == MAG_OK ? swarm_node_delete(d, swarm_node_id(e), err) : rc;
}

/* Their servers are gone: what the managers still list of them would look ill for ever. */
int32_t heat_left(struct mag_coe_run *r, const json_t *nodes)
{
    mag_error *err = r->c->err;
    struct mag_docker d = heat_docker(r->c, ASK_MS);
    _mag_json_ json_t *list = NULL;
    mag_error why = {.struct_size = sizeof why};
    uint32_t status = 0;
    size_t i;
    json_t *node;
    int32_t rc = swarm_nodes(&d, &list, &status, &why);
    json_array_foreach(nodes, i, node)
    {
        const json_t *e = entry_of(list, mag_json_text(node, "name", ""));
        if (rc == MAG_OK && e)
            rc = forget(&d, e, &why);
    }
    if (ends_call(rc)) {
        *err = why;
        return rc;
    }
    if (rc != MAG_OK)
        mag_log(r->c->self->host, MAG_LOG_WARNING,
                "The swarm may go on listing nodes that left: %s", why.message);
    return MAG_OK;
}

/* ---- managers that leave ---- */

static bool reachable(const json_t *e)
{
    return strcmp(mag_json_text(e, "ManagerStatus.Reachability", ""), "reachable") == 0;
}

static const json_t *among(const json_t *nodes, const char *host)
{
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        if (strcmp(mag_json_text(node, "name", ""), host) == 0)
            return node;
    }
    return NULL;
}

/* Those that stay have to be a majority by themselves. */
static int32_t check_quorum(const struct mag_coe_run *r, const json_t *list, const json_t *nodes)
{
    size_t i, managers = 0, usable = 0;
    json_t *e;
    json_array_foreach(list, i, e)
    {
        managers += swarm_node_is_manager(e);
        usable += swarm_node_is_manager(e) && reachable(e) && !among(nodes, swarm_node_host(e));
    }
    return mag_coe_quorum(r, usable, managers);
}

/* The API may be one of theirs, and goes with it: what was asked before is remembered. */
static json_t *demoted_of(struct mag_coe_run *r)
{
    json_t *plan = mag_json_at(r->set.state, "plan"), *list = json_object_get(plan, "demoted");
    if (!list)
        (void)json_object_set_new(plan, "demoted", list = json_object());
    return list;
}

static int32_t remember(struct mag_coe_run *r, const char *name, mag_error *err)
{
    json_t *list = demoted_of(r);
    if (json_object_get(list, name))
        return MAG_OK;
    return json_object_set_new(list, name, json_true()) < 0 ? mag_fail_nomem(err)
                                                            : mag_heat_set_save(&r->set, err);
}

/* All of them were asked, or are no members any more: nothing else hangs on the API. */
static bool all_told(struct mag_coe_run *r, const json_t *nodes)
{
    return json_object_size(demoted_of(r)) == json_array_size(nodes);
}

/* *ret_left: some are still members. */
static int32_t take_out(struct mag_coe_run *r, const struct mag_docker *d, const json_t *list,
                        const json_t *nodes, size_t *ret_left, mag_error *err)
{
    const struct swarm_wanted w = {.availability = "drain", .role = "worker"};
    size_t i;
    json_t *node;
    int32_t rc = MAG_OK;
    json_array_foreach(nodes, i, node)
    {
        const char *name = mag_json_text(node, "name", "");
        const json_t *e = entry_of(list, name);
        if (rc == MAG_OK)
            rc = remember(r, name, err);
        if (rc != MAG_OK || !e)
            continue;
        ++*ret_left;
        if (!swarm_node_matches(e, &w))
            rc = swarm_node_update(d, swarm_node_id(e), &w, err);
        else if (!swarm_node_is_manager(e))
            rc = swarm_node_delete(d, swarm_node_id(e), err);
    }
    return rc;
}

int32_t heat_managers_leave(struct mag_coe_run *r, const json_t *nodes)
{
    struct mag_docker d = heat_docker(r->c, ASK_MS);
    _mag_json_ json_t *list = NULL;
    mag_error why = {.struct_size = sizeof why};
    uint32_t status = 0;
    size_t left = 0;
    int64_t left_ms;
    int32_t rc = mag_coe_time_left(r, &left_ms);
    if (rc != MAG_OK)
        return rc;
    rc = swarm_nodes(&d, &list, &status, &why);
    if (rc == MAG_OK && !all_told(r, nodes) && check_quorum(r, list, nodes) != MAG_OK)
        return MAG_E_INVALID;
    if (rc == MAG_OK)
        rc = take_out(r, &d, list, nodes, &left, &why);
    if (ends_call(rc)) {
        *r->c->err = why;
        return rc;
    }
    if (rc == MAG_OK && left == 0)
        return MAG_OK;
    if (left_ms > 0)
        return mag_again(r->c->out, POLL_MS, 10, "%s",
                         rc == MAG_OK ? "Managers are giving up being members" : why.message);
    if (all_told(r, nodes)) /* their servers go: those that stay have the majority */
        return MAG_OK;
    return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "QuorumUnknown",
                    "bring the cluster's API back first",
                    "Whether the other managers keep their majority can't be asked: %s",
                    why.message);
}

/* What is left of those that went: a former life under the name of its successor, or, of one that
 * has none, all there is. */
static bool is_remains(const struct mag_coe_run *r, const json_t *list, const json_t *nodes,
                       const json_t *e, bool *ret_last)
{
    const json_t *node = among(nodes, swarm_node_host(e));
    *ret_last = node && mag_json_int(node, "n", 0) >=
                            mag_json_int(mag_params_group(r->c->spec, true), "node_count", 1);
    return node && (*ret_last || entry_of(list, swarm_node_host(e)) != e);
}

int32_t heat_managers_left(struct mag_coe_run *r, const json_t *nodes)
{
    struct mag_docker d = heat_docker(r->c, ASK_MS);
    _mag_json_ json_t *list = NULL;
    mag_error why = {.struct_size = sizeof why};
    uint32_t status = 0;
    size_t i, remains = 0;
    int64_t left_ms;
    json_t *e;
    int32_t rc = mag_coe_time_left(r, &left_ms);
    if (rc != MAG_OK)
        return rc;
    rc = swarm_nodes(&d, &list, &status, &why);
    json_array_foreach(list, i, e)
    {
        bool last;
        if (rc != MAG_OK || !is_remains(r, list, nodes, e, &last))
            continue;
        remains++;
        if (last || strcmp(swarm_node_state(e), "ready") != 0)
            rc = forget(&d, e, &why);
    }
    if (ends_call(rc)) {
        *r->c->err = why;
        return rc;
    }
    if ((rc != MAG_OK || remains) && left_ms > 0)
        return mag_again(r->c->out, POLL_MS, 95, "%s",
                         rc == MAG_OK ? "Former lives of managers are taken off the list"
                                      : why.message);
    if (rc != MAG_OK)
        mag_log(r->c->self->host, MAG_LOG_WARNING,
                "The swarm may go on listing managers that left: %s", why.message);
    return MAG_OK;
}

/* ---- health ---- */

struct look {
    struct mag_verdict v;
    size_t members, managers, reachable;
    bool leader;
};

/* The group a worker may be replaced in, by what its daemon was told at its first boot. */
static const char *group_of(const json_t *spec, const json_t *e)
{
    const json_t *labels = mag_json_at(e, "Description.Engine.Labels");
    const char *name = json_string_value(json_object_get(labels, "magnum.nodegroup"));
    size_t i;
    json_t *g;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, g)
    {
        if (name && !swarm_node_is_manager(e) && strcmp(mag_json_text(g, "name", ""), name) == 0)
            return mag_json_text(g, "uuid", NULL);
    }
    return NULL;
}

static void judge_node(const json_t *spec, const json_t *e, struct look *l)
{
    char text[200];
    const char *state = swarm_node_state(e), *why = mag_json_text(e, "Status.Message", "");
    bool electing = strcmp(state, "unknown") == 0; /* not yet heard of since the managers changed */
    l->members++;
    if (swarm_node_is_manager(e)) {
        l->managers++;
        l->reachable +=
            strcmp(mag_json_text(e, "ManagerStatus.Reachability", ""), "reachable") == 0;
        l->leader |= mag_json_bool(e, "ManagerStatus.Leader", false);
    }
    (void)snprintf(text, sizeof text, "%s: %s%s%.120s", electing ? "Unknown" : "False", state,
                   *why ? ", " : "", why);
    l->v.unknown |= electing;
    if (strcmp(state, "ready") == 0)
        mag_verdict_node(&l->v, swarm_node_host(e), "True");
    else if (electing)
        mag_verdict_node(&l->v, swarm_node_host(e), text);
    else
        mag_verdict_sick(&l->v, swarm_node_host(e), group_of(spec, e), text);
}

static size_t wanted_nodes(const json_t *spec)
{
    size_t i, n = 0;
    json_t *g;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, g)
    {
        n += (size_t)mag_json_int(g, "node_count", 0);
    }
    return n;
}

/* Without a majority a manager serves old news for half a minute: what it says of the others'
 * reachability and of the leader counts, not that it answers. */
static void judge(const struct mag_call *c, const json_t *list, struct look *l)
{
    size_t i, wanted = wanted_nodes(c->spec);
    json_t *e;
    char text[160];
    json_array_foreach(list, i, e)
    {
        judge_node(c->spec, e, l);
    }
    if (!l->leader || l->reachable * 2 <= l->managers)
        (void)snprintf(text, sizeof text, "no quorum: %zu of %zu managers are reachable%s",
                       l->reachable, l->managers, l->leader ? "" : ", none leads");
    else if (l->members < wanted)
        (void)snprintf(text, sizeof text, "%zu of %zu nodes are members of the swarm", l->members,
                       wanted);
    else
        (void)snprintf(text, sizeof text, "ok");
    l->v.bad |= strcmp(text, "ok") != 0;
    mag_verdict_api(&l->v, text);
}

int32_t heat_health(struct mag_call *c)
{
    _mag_json_ json_t *list = NULL;
    struct look l = {.v = mag_verdict_new()};
    mag_error why = {.struct_size = sizeof why};
    struct mag_docker d = heat_docker(c, ASK_MS);
    uint32_t status = 0;
    int32_t rc = swarm_nodes(&d, &list, &status, &why);
    if (rc == MAG_OK) {
        judge(c, list, &l);
    } else {
        l.v.bad = status == NO_QUORUM;
        l.v.unknown = true;
        mag_verdict_api(&l.v, why.message);
    }
    if (ends_call(rc))
        *c->err = why;
    else
        rc = mag_verdict_publish(&l.v, c->self->host, c->op, rc == MAG_OK, c->err);
    mag_verdict_done(&l.v);
    return rc;
}

int32_t heat_stats(struct mag_call *c, json_t **ret)
{
    _mag_json_ json_t *list = NULL;
    struct mag_docker d = heat_docker(c, 0);
    struct swarm_reserved used = {0};
    uint32_t status = 0;
    int64_t nano_cpus = 0, bytes = 0;
    size_t i;
    json_t *e;
    int32_t rc = swarm_nodes(&d, &list, &status, c->err);
    if (rc == MAG_OK)
        rc = swarm_reserved(&d, &used, c->err);
    if (rc != MAG_OK)
        return rc;
    json_array_foreach(list, i, e)
    {
        nano_cpus += mag_json_int(e, "Description.Resources.NanoCPUs", 0);
        bytes += mag_json_int(e, "Description.Resources.MemoryBytes", 0);
    }
    *ret = json_pack("{s:I, s:{s:f, s:f}, s:{s:I, s:I}}", "nodes",
                     (json_int_t)json_array_size(list), "cpu", "capacity", (double)nano_cpus / 1e9,
                     "used", (double)used.nano_cpus / 1e9, "memory_mb", "capacity",
                     (json_int_t)(bytes >> 20), "used", (json_int_t)(used.bytes >> 20));
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}
