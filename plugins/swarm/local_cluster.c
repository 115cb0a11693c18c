/* Local clusters: create, update and scale are one convergence from whatever is there to what the
 * spec says. This file loads, plans, runs the phases and publishes what came of them.
 * Neighbours: local_run.h (phases), lib/local/roster (decisions), swarm.c (verbs). */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/spawn.h"

#include <stdio.h>
#include <string.h>

void local_run_done(struct local_run *r)
{
    json_decref(r->list);
    r->list = NULL;
    free(r->seen);
    r->seen = NULL;
    mag_roster_done(&r->st);
    mag_local_close(&r->cl);
}

int32_t local_save(struct local_run *r)
{
    return mag_roster_save(r->c->self->host, r->c->op, &r->cl, &r->st, r->c->err);
}

struct mag_purge local_purge(struct local_run *r)
{
    return (struct mag_purge){&r->c->self->services, r->c->op, &r->cl};
}

int32_t local_look(struct local_run *r)
{
    free(r->seen);
    r->seen = calloc(r->st.n ? r->st.n : 1, sizeof *r->seen);
    if (!r->seen)
        return mag_fail_nomem(r->c->err);
    for (size_t i = 0; i < r->st.n; i++) {
        char base[MAG_LOCAL_BASE_MAX + 8];
        struct local_seen *s = &r->seen[i];
        mag_local_base(&r->cl, r->st.v[i].index, base);
        s->run = mag_node_look(base, &s->record);
        (void)snprintf(s->service, sizeof s->service, "unix:%s/docker.sock", base);
    }
    return MAG_OK;
}

struct mag_docker local_docker(const struct local_run *r, size_t at, uint32_t timeout_ms)
{
    return (struct mag_docker){.host = r->c->self->host,
                               .op = r->c->op,
                               .service = r->seen[at].service,
                               .name = r->st.v[at].name,
                               .timeout_ms = timeout_ms};
}

const struct mag_roster_group *local_group_of(const struct local_run *r,
                                              const struct mag_roster_node *n)
{
    for (size_t i = 0; i < r->n_groups; i++)
        if (strcmp(r->groups[i].uuid, n->group) == 0)
            return &r->groups[i];
    return NULL;
}

size_t local_staying(const struct local_run *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->st.n; i++)
        n += !r->st.v[i].leaving;
    return n;
}

/* Which group has to go: only the verb that removes one says so. */
static const char *gone_group(const mag_op *op)
{
    return op->kind == MAG_OP_NODEGROUP_DELETE ? op->nodegroup_id : NULL;
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

int32_t local_validate(struct swarm_call *c)
{
    struct mag_roster_group groups[MAG_ROSTER_GROUPS_MAX];
    size_t n;
    int32_t rc = mag_roster_groups(c->spec, gone_group(c->op), groups, &n, c->err);
    if (rc == MAG_OK)
        rc = check_labels(c->spec, groups, n, c->err);
    return rc == MAG_OK ? swarm_machine(c->self, c->err) : rc;
}

/* nodes_to_remove may hold Docker's node ids, which only a manager can translate: each becomes the
 * node's name. Without a list, names and addresses still work. */
static int32_t name_ids(struct local_run *r, json_t *remove)
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

static int32_t plan(struct local_run *r)
{
    struct swarm_call *c = r->c;
    const json_t *named =
        c->op->kind == MAG_OP_SCALE ? mag_json_at(c->spec, "params.nodes_to_remove") : NULL;
    _mag_json_ json_t *remove = named ? json_copy((json_t *)named) : NULL;
    bool changed = false;
    int32_t rc = mag_roster_groups(c->spec, gone_group(c->op), r->groups, &r->n_groups, c->err);
    if (rc == MAG_OK)
        rc = check_labels(c->spec, r->groups, r->n_groups, c->err);
    if (rc == MAG_OK)
        rc = local_look(r);
    if (rc == MAG_OK && json_array_size(remove))
        rc = name_ids(r, remove);
    if (rc == MAG_OK)
        rc = mag_roster_plan(&r->st, mag_json_text(c->spec, "cluster.name", "swarm"), r->groups,
                             r->n_groups, remove, &changed, c->err);
    if (rc == MAG_OK && changed)
        rc = local_save(r);
    if (rc == MAG_OK)
        rc = local_look(r);
    json_decref(r->list);
    r->list = NULL;
    return rc;
}

static int32_t settle_ledger(struct local_run *r)
{
    struct mag_purge p = local_purge(r);
    int32_t rc = mag_purge_settle(&p, &r->st, r->c->err);
    return rc == MAG_AGAIN ? mag_again(r->c->out, 50, 95, "Removing what an earlier attempt left")
                           : rc;
}

static int32_t publish_group(struct local_run *r, const struct mag_roster_group *g)
{
    struct swarm_call *c = r->c;
    char key[96], address[16];
    _mag_json_ json_t *list = json_array();
    for (size_t i = 0; i < r->st.n; i++) {
        if (strcmp(r->st.v[i].group, g->uuid) != 0)
            continue;
        mag_local_address(r->st.v[i].index, address);
        if (json_array_append_new(list, json_string(address)) < 0)
            return mag_fail_nomem(c->err);
    }
    (void)snprintf(key, sizeof key, "nodegroup/%s/node_count", g->uuid);
    int32_t rc = mag_output_new(c->self->host, c->op, key,
                                json_integer((json_int_t)json_array_size(list)), c->err);
    (void)snprintf(key, sizeof key, "nodegroup/%s/node_addresses", g->uuid);
    return rc == MAG_OK ? mag_output_new(c->self->host, c->op, key, json_incref(list), c->err) : rc;
}

static int32_t publish(struct local_run *r)
{
    struct swarm_call *c = r->c;
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
    const char *gone = gone_group(c->op);
    for (size_t i = 0; i < r->n_groups && rc == MAG_OK; i++)
        if (!gone || strcmp(gone, r->groups[i].uuid) != 0)
            rc = publish_group(r, &r->groups[i]);
    return rc;
}

static int32_t run_phases(struct local_run *r)
{
    static int32_t (*const phases[])(struct local_run *) = {
        local_start_nodes, local_make_swarm, local_settle, local_let_go, settle_ledger, publish,
    };
    for (size_t i = 0; i < MAG_LEN(phases); i++) {
        if (i && swarm_out_of_time(r->c))
            return mag_again(r->c->out, 0, (uint32_t)(i * 15), "Working");
        int32_t rc = phases[i](r);
        if (rc != MAG_OK)
            return rc;
    }
    r->c->out->percent = 100;
    return MAG_OK;
}

int32_t local_converge(struct swarm_call *c)
{
    struct local_run r = {.c = c, .cl = MAG_LOCAL_CLUSTER_INIT};
    const struct mag_local_machine *m = &c->self->machine;
    int32_t rc = swarm_machine(c->self, c->err);
    if (rc == MAG_OK)
        rc = mag_roster_here(c->op, c->self->state_dir, c->err);
    if (rc == MAG_OK)
        rc = mag_local_open(c->self->state_dir, c->op->cluster_id, m->helper, m->ip, true, &r.cl,
                            c->err);
    if (rc == MAG_AGAIN)
        rc = mag_again(c->out, 50, 0, "Waiting for an earlier step of this cluster to end");
    if (rc == MAG_OK)
        rc = mag_roster_load(c->self->host, c->op, r.cl.dir, &r.st, c->err);
    if (rc == MAG_OK)
        rc = plan(&r);
    if (rc == MAG_OK)
        rc = run_phases(&r);
    local_run_done(&r);
    return rc;
}

int32_t local_remove(struct swarm_call *c)
{
    struct mag_local_cluster cl = MAG_LOCAL_CLUSTER_INIT;
    struct mag_purge p = {&c->self->services, c->op, &cl};
    char ip[128] = "";
    bool force = c->op->flags & MAG_OPF_FORCE;
    (void)mag_find_program(c->self->path, "ip", ip, sizeof ip); /* only makes it tidier */
    int32_t rc = mag_roster_here(c->op, c->self->state_dir, c->err);
    if (rc == MAG_OK || force)
        rc = mag_local_open(c->self->state_dir, c->op->cluster_id, "", ip, false, &cl, c->err);
    if (rc == MAG_OK)
        rc = mag_purge_cluster(&p, c->err);
    mag_local_close(&cl);
    if (rc == MAG_AGAIN)
        return mag_again(c->out, 50, 50, "Nodes are being powered off");
    if (rc < 0 && rc != MAG_E_PRECONDITION)
        c->err->flags |= MAG_ERR_MAY_LEAK;
    else
        c->out->percent = 100;
    return rc;
}
