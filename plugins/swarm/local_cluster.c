/* Local clusters: create, update and scale are one convergence from whatever is there to what the
 * spec says. This file loads, plans, runs the phases and publishes what came of them.
 * Neighbours: local_run.h (phases), lib/local/roster (decisions), swarm.c (verbs). */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

/* The driver's part of a look: what is said about the daemons begins anew. */
static int32_t look_at_daemons(struct mag_local_run *r)
{
    struct swarm_run *s = swarm_run(r);
    free(s->daemons);
    s->daemons = calloc(r->st.n ? r->st.n : 1, sizeof *s->daemons);
    if (!s->daemons)
        return mag_fail_nomem(r->c->err);
    for (size_t i = 0; i < r->st.n; i++) {
        char base[MAG_LOCAL_BASE_MAX + 8];
        mag_local_base(&r->cl, r->st.v[i].index, base);
        (void)snprintf(s->daemons[i].service, sizeof s->daemons[i].service, "unix:%s/docker.sock",
                       base);
    }
    return MAG_OK;
}

struct swarm_run swarm_run_of(struct mag_call *c)
{
    struct swarm_run r = {.daemons = NULL};
    mag_local_run_init(&r.m, c, &swarm_of(c)->site);
    r.m.looked = look_at_daemons;
    return r;
}

void swarm_run_done(struct swarm_run *r)
{
    free(r->daemons);
    r->daemons = NULL;
    mag_local_run_done(&r->m);
}

struct mag_docker local_docker(struct mag_local_run *r, size_t at, uint32_t timeout_ms)
{
    return (struct mag_docker){.host = r->c->self->host,
                               .op = r->c->op,
                               .service = swarm_seen(r, at)->service,
                               .name = r->st.v[at].name,
                               .timeout_ms = timeout_ms};
}

static int32_t check_labels(const json_t *spec, const struct mag_roster_group *groups, size_t n,
                            mag_error *err)
{
    int64_t number;
    char text[32];
    for (size_t i = 0; i < n; i++) {
        struct mag_labels l = mag_labels_of(spec, groups[i].json);
        int32_t rc = mag_label_int(l, "heartbeat_seconds", 1, 60, 1, &number, err);
        if (rc == MAG_OK)
            rc = mag_label_int(l, "drain_timeout_seconds", 0, 3600, 60, &number, err);
        if (rc == MAG_OK)
            rc = mag_label_int(l, "node_memory_mb", 256, 1 << 22, 0, &number, err);
        if (rc == MAG_OK)
            rc = mag_label_text(l, "storage_driver", "", text, sizeof text, err);
        if (rc != MAG_OK)
            return rc;
        if (text[0] && strcmp(text, "overlay2") != 0 && strcmp(text, "vfs") != 0)
            return mag_fail(
                err, MAG_E_INVALID, MAG_ERR_USER, "BadLabel",
                "set the label to overlay2 or vfs, or leave it away",
                "Label storage_driver has the value '%s', but overlay2 or vfs is needed", text);
    }
    return MAG_OK;
}

int32_t local_validate(struct mag_call *c)
{
    struct mag_roster_group groups[MAG_ROSTER_GROUPS_MAX];
    size_t n;
    int32_t rc = mag_roster_groups(c->spec, mag_local_gone_group(c->op), groups, &n, c->err);
    if (rc == MAG_OK)
        rc = check_labels(c->spec, groups, n, c->err);
    return rc == MAG_OK ? swarm_machine(swarm_of(c), c->err) : rc;
}

/* nodes_to_remove may hold Docker's node ids, which only a manager can translate: each becomes the
 * node's name. Without a list, names and addresses still work. */
static int32_t name_ids(struct mag_local_run *r, json_t *remove)
{
    mag_error ignored = {.struct_size = sizeof ignored};
    struct mag_error *was = r->c->err;
    size_t i;
    json_t *e;
    r->c->err = &ignored;
    (void)local_list(r);
    r->c->err = was;
    json_array_foreach(remove, i, e)
    {
        const char *what = json_is_string(e) ? json_string_value(e) : "";
        for (size_t k = 0; k < r->st.n; k++) {
            const json_t *entry = r->seen[k].entry;
            if (!entry || strcmp(what, swarm_node_id(entry)) != 0)
                continue;
            if (json_array_set_new(remove, i, json_string(r->st.v[k].name)) < 0)
                return mag_fail_nomem(was);
            break;
        }
    }
    return MAG_OK;
}

/* Managers that join do so before others leave, one at a time; all that takes a majority of those
 * there are. One that goes is not started again, so it counts only while it runs. */
static int32_t check_quorum(struct mag_local_run *r, size_t had)
{
    size_t members = 0, usable = 0;
    for (size_t i = 0; i < had; i++) {
        const struct mag_roster_node *n = &r->st.v[i];
        members += n->master;
        usable += n->master && (!n->leaving || r->seen[i].run == MAG_NODE_RUNNING);
    }
    if (!mag_json_bool(r->st.facts, "swarm", false) || usable * 2 > members)
        return MAG_OK;
    return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "QuorumWouldBeLost",
                    "name fewer managers, or start those that are down first",
                    "Of %zu managers %zu would be left to decide, and %zu are needed", members,
                    usable, members / 2 + 1);
}

int32_t local_groups(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    int32_t rc =
        mag_roster_groups(c->spec, mag_local_gone_group(c->op), r->groups, &r->n_groups, c->err);
    if (rc == MAG_OK)
        mag_roster_masters_by_name(r->groups, r->n_groups, c->spec);
    return rc;
}

static int32_t plan(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    const json_t *named =
        c->op->kind == MAG_OP_SCALE ? mag_json_at(c->spec, "params.nodes_to_remove") : NULL;
    _mag_json_ json_t *remove = named ? json_copy((json_t *)named) : NULL;
    bool changed = false;
    size_t had = r->st.n;
    int32_t rc = local_groups(r);
    if (rc == MAG_OK)
        rc = check_labels(c->spec, r->groups, r->n_groups, c->err);
    if (rc == MAG_OK)
        rc = mag_local_look(r);
    if (rc == MAG_OK && json_array_size(remove))
        rc = name_ids(r, remove);
    if (rc == MAG_OK)
        rc = mag_roster_plan(&r->st, mag_json_text(c->spec, "cluster.name", "swarm"), r->groups,
                             r->n_groups, remove, &changed, c->err);
    if (rc == MAG_OK && changed)
        rc = check_quorum(r, had);
    if (rc == MAG_OK && changed)
        rc = mag_local_save(r);
    if (rc == MAG_OK)
        rc = mag_local_look(r);
    json_decref(r->list);
    r->list = NULL;
    return rc;
}

static int32_t publish(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    const struct mag_roster_node *first = mag_roster_first_master(&r->st);
    if (!first)
        return mag_fail(c->err, MAG_E_INTERNAL, 0, "NoManager", NULL, "No manager is left");
    size_t at = (size_t)(first - r->st.v);
    struct mag_docker d = local_docker(r, at, 0);
    struct swarm_info info = {0};
    char address[64];
    (void)snprintf(address, sizeof address, "tcp://127.0.0.1:%u", r->seen[at].record.port);
    int32_t rc = swarm_info(&d, &info, c->err);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "api_address", json_string(address), c->err);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "coe_version", json_string(info.version), c->err);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "container_version", json_string(info.version),
                            c->err);
    return rc == MAG_OK ? mag_local_publish_groups(r) : rc;
}

int32_t local_converge(struct mag_call *c)
{
    static const mag_local_phase phases[] = {
        local_start_nodes, local_make_swarm,        local_settle,
        local_let_go,      mag_local_settle_ledger, publish,
    };
    struct swarm_run r = swarm_run_of(c);
    int32_t rc = swarm_machine(swarm_of(c), c->err);
    if (rc == MAG_OK)
        rc = mag_local_converge(&r.m, plan, phases, MAG_LEN(phases));
    swarm_run_done(&r);
    return rc;
}

int32_t local_remove(struct mag_call *c)
{
    return mag_local_remove(c, &swarm_of(c)->site);
}
