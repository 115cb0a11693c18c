/* Local clusters: create, update, scale, nodegroups and upgrade are one convergence from whatever
 * is there to what the spec says. This file loads, plans, runs the phases and publishes what came
 * of them. Neighbours: local_run.h (phases), lib/local/roster (decisions), kubernetes.c (verbs). */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/spawn.h"
#include "lib/names.h"

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
        mag_local_base(&r->cl, r->st.v[i].index, base);
        r->seen[i].run = mag_node_look(base, &r->seen[i].record);
        if (r->list)
            r->seen[i].entry = mag_kube_named(r->list, r->st.v[i].name);
    }
    return MAG_OK;
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

void local_api_address(const struct local_run *r, char ret[64])
{
    ret[0] = '\0';
    for (size_t i = 0; i < r->st.n && !ret[0]; i++)
        if (r->st.v[i].master && !r->st.v[i].leaving && r->seen[i].run == MAG_NODE_RUNNING &&
            r->seen[i].record.port)
            (void)snprintf(ret, 64, "https://127.0.0.1:%u", r->seen[i].record.port);
}

int32_t local_open_readonly(struct kube_call *c, struct local_run *r)
{
    *r = (struct local_run){.c = c, .cl = MAG_LOCAL_CLUSTER_INIT};
    (void)snprintf(r->cl.uuid, sizeof r->cl.uuid, "%.36s", c->op->cluster_id);
    int32_t rc = mag_roster_here(c->op, c->self->state_dir, c->err);
    if (rc == MAG_OK)
        rc = mag_local_find(c->self->state_dir, c->op->cluster_id, r->cl.dir, c->err);
    if (rc == MAG_OK)
        rc = mag_roster_load(c->self->host, c->op, r->cl.dir, &r->st, c->err);
    return rc == MAG_OK ? local_look(r) : rc;
}

/* ---- what is asked ---- */

/* Which group has to go: only the verb that removes one says so. */
static const char *gone_group(const mag_op *op)
{
    return op->kind == MAG_OP_NODEGROUP_DELETE ? op->nodegroup_id : NULL;
}

static int32_t check_groups(const json_t *spec, const struct mag_roster_group *groups, size_t n,
                            mag_error *err)
{
    int64_t memory, drain;
    int32_t rc = MAG_OK;
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = local_group_labels(spec, &groups[i], &memory, &drain, err);
    return rc;
}

/* etcd's members are fixed when the first of them is made. */
static int32_t check_masters(const struct mag_roster *st, const struct mag_roster_group *groups,
                             size_t n, mag_error *err)
{
    size_t have = 0, want = 0;
    for (size_t i = 0; i < st->n; i++)
        have += st->v[i].master;
    for (size_t i = 0; i < n; i++)
        want += groups[i].master ? groups[i].count : 0;
    if (have == 0 || have == want)
        return MAG_OK;
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "MastersNotResizable",
                    "make a new cluster with another master_count",
                    "The cluster has %zu masters; their number can't be changed to %zu", have,
                    want);
}

/* What is known of the cluster: from the directory too, since a request that is only asked about
 * comes without the stored state. A cluster that is yet to be made has neither. */
static int32_t load_known(struct kube_call *c, struct mag_roster *ret)
{
    char dir[MAG_LOCAL_BASE_MAX] = "";
    int32_t rc = mag_is_uuid(c->op->cluster_id)
                     ? mag_local_find(c->self->state_dir, c->op->cluster_id, dir, c->err)
                     : MAG_OK;
    return rc == MAG_OK ? mag_roster_load(c->self->host, c->op, dir, ret, c->err) : rc;
}

/* Everything that can be said of a request without looking at the cluster. */
static int32_t check_request(struct kube_call *c, struct mag_roster_group *groups, size_t *ret_n,
                             struct settings *ret)
{
    int32_t rc = mag_roster_groups(c->spec, gone_group(c->op), groups, ret_n, c->err);
    if (rc == MAG_OK)
        rc = local_settings(c->spec, ret, c->err);
    return rc == MAG_OK ? check_groups(c->spec, groups, *ret_n, c->err) : rc;
}

int32_t local_validate(struct kube_call *c)
{
    struct mag_roster_group groups[MAG_ROSTER_GROUPS_MAX];
    struct settings set;
    struct mag_roster st = {0};
    const struct binaries *bin = NULL;
    size_t n;
    int32_t rc = check_request(c, groups, &n, &set);
    if (rc == MAG_OK)
        rc = load_known(c, &st);
    if (rc == MAG_OK)
        rc = check_masters(&st, groups, n, c->err);
    if (rc == MAG_OK)
        rc = kubernetes_machine(c->self, c->err);
    if (rc == MAG_OK && strcmp(mag_json_text(c->spec, "params.kind", ""), "upgrade") == 0)
        rc = local_upgrade_target(c, &st, &bin);
    else if (rc == MAG_OK)
        rc = binaries_pick(c->self, set.version, &bin, c->err);
    mag_roster_done(&st);
    return rc;
}

/* ---- one step ---- */

/* A cluster keeps the version it was made with until it is upgraded, whatever else is installed. */
static int32_t choose_version(struct local_run *r)
{
    const char *have = mag_json_text(r->st.facts, "version", NULL);
    int32_t rc = binaries_pick(r->c->self, have ? have : r->set.version, &r->bin, r->c->err);
    if (rc != MAG_OK || have)
        return rc;
    (void)json_object_set_new(r->st.facts, "version", json_string(r->bin->version));
    return local_save(r);
}

static int32_t plan(struct local_run *r)
{
    struct kube_call *c = r->c;
    const json_t *remove =
        c->op->kind == MAG_OP_SCALE ? mag_json_at(c->spec, "params.nodes_to_remove") : NULL;
    bool changed = false;
    int32_t rc = check_masters(&r->st, r->groups, r->n_groups, c->err);
    if (rc == MAG_OK)
        rc = choose_version(r);
    if (rc == MAG_OK)
        rc = mag_roster_plan(&r->st, mag_json_text(c->spec, "cluster.name", "k8s"), r->groups,
                             r->n_groups, remove, &changed, c->err);
    if (rc == MAG_OK && changed)
        rc = local_save(r);
    return rc == MAG_OK ? local_look(r) : rc;
}

static int32_t settle_ledger(struct local_run *r)
{
    struct mag_purge p = local_purge(r);
    int32_t rc = mag_purge_settle(&p, &r->st, r->c->err);
    return rc == MAG_AGAIN ? kube_again(r->c, 50, 95, "Removing what an earlier attempt left") : rc;
}

static int32_t publish_group(struct local_run *r, const struct mag_roster_group *g)
{
    struct kube_call *c = r->c;
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

/* "containerd://1.6.20~ds1" of any node is the cluster's. */
static const char *container_version(const struct local_run *r)
{
    for (size_t i = 0; i < r->st.n; i++) {
        const char *text =
            mag_json_text(r->seen[i].entry, "status.nodeInfo.containerRuntimeVersion", "");
        const char *at = strstr(text, "://");
        if (at)
            return at + 3;
    }
    return NULL;
}

static int32_t publish(struct local_run *r)
{
    struct kube_call *c = r->c;
    char version[32], number[24];
    struct mag_kube k = kube_api(c, 0);
    const char *runtime = container_version(r), *gone = gone_group(c->op);
    int32_t rc = mag_kube_version(&k, number, c->err);
    (void)snprintf(version, sizeof version, "v%s", number);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "coe_version", json_string(version), c->err);
    if (rc == MAG_OK && runtime)
        rc =
            mag_output_new(c->self->host, c->op, "container_version", json_string(runtime), c->err);
    for (size_t i = 0; i < r->n_groups && rc == MAG_OK; i++)
        if (!gone || strcmp(gone, r->groups[i].uuid) != 0)
            rc = publish_group(r, &r->groups[i]);
    return rc;
}

static int32_t run_phases(struct local_run *r)
{
    static int32_t (*const phases[])(struct local_run *) = {
        local_start_nodes, local_wait_api, local_upgrade, local_rotate,
        local_settle,      local_let_go,   settle_ledger, publish,
    };
    for (size_t i = 0; i < MAG_LEN(phases); i++) {
        if (i && kube_out_of_time(r->c))
            return kube_again(r->c, 0, (uint32_t)(i * 13), "Working");
        int32_t rc = phases[i](r);
        if (rc != MAG_OK)
            return rc;
    }
    r->c->out->percent = 100;
    return MAG_OK;
}

int32_t local_converge(struct kube_call *c)
{
    struct local_run r = {.c = c, .cl = MAG_LOCAL_CLUSTER_INIT};
    const struct mag_local_machine *m = &c->self->machine;
    int32_t rc = kubernetes_machine(c->self, c->err);
    if (rc == MAG_OK) /* before the first thing is made */
        rc = check_request(c, r.groups, &r.n_groups, &r.set);
    if (rc == MAG_OK && c->op->kind == MAG_OP_CREATE)
        rc = binaries_pick(c->self, r.set.version, &r.bin, c->err);
    if (rc == MAG_OK)
        rc = mag_roster_here(c->op, c->self->state_dir, c->err);
    if (rc == MAG_OK)
        rc = mag_local_open(c->self->state_dir, c->op->cluster_id, m->helper, m->ip, true, &r.cl,
                            c->err);
    if (rc == MAG_AGAIN)
        rc = kube_again(c, 50, 0, "Waiting for an earlier step of this cluster to end");
    if (rc == MAG_OK)
        rc = mag_roster_load(c->self->host, c->op, r.cl.dir, &r.st, c->err);
    if (rc == MAG_OK)
        rc = plan(&r);
    if (rc == MAG_OK)
        rc = run_phases(&r);
    local_run_done(&r);
    return rc;
}

int32_t local_rotate_prepare(struct kube_call *c)
{
    c->rotation = ROTATE_PREPARE;
    return local_converge(c);
}

int32_t local_rotate_complete(struct kube_call *c)
{
    c->rotation = ROTATE_COMPLETE;
    return local_converge(c);
}

int32_t local_remove(struct kube_call *c)
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
        return kube_again(c, 50, 50, "Nodes are being powered off");
    if (rc < 0 && rc != MAG_E_PRECONDITION)
        c->err->flags |= MAG_ERR_MAY_LEAK;
    else
        c->out->percent = 100;
    return rc;
}
