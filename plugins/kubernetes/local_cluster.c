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

/* A look: what the API listed of each node. */
static int32_t find_entries(struct mag_local_run *r)
{
    for (size_t i = 0; i < r->st.n && r->list; i++)
        r->seen[i].entry = mag_kube_named(r->list, r->st.v[i].name);
    return MAG_OK;
}

void local_api_address(const struct mag_local_run *r, char ret[64])
{
    ret[0] = '\0';
    for (size_t i = 0; i < r->st.n && !ret[0]; i++)
        if (r->st.v[i].master && !r->st.v[i].leaving && r->seen[i].run == MAG_NODE_RUNNING &&
            r->seen[i].record.port)
            (void)snprintf(ret, 64, "https://127.0.0.1:%u", r->seen[i].record.port);
}

struct kube_run kube_run_of(struct mag_call *c)
{
    struct kube_run r = {.bin = NULL};
    mag_local_run_init(&r.m, c, &kubernetes_of(c)->site);
    r.m.looked = find_entries;
    return r;
}

/* ---- what is asked ---- */

static int32_t check_groups(const json_t *spec, const struct mag_roster_group *groups, size_t n,
                            mag_error *err)
{
    int64_t memory, drain;
    int32_t rc = MAG_OK;
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = local_group_labels(spec, &groups[i], &memory, &drain, err);
    return rc;
}

/* Masters are replaced one for one; a name in nodes_to_remove says which. */
static int32_t check_masters(const struct mag_roster *st, const struct mag_roster_group *groups,
                             size_t n, mag_error *err)
{
    size_t have = 0, want = 0;
    for (size_t i = 0; i < st->n; i++)
        have += st->v[i].master && !st->v[i].leaving;
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
static int32_t load_known(struct mag_call *c, struct mag_roster *ret)
{
    char dir[MAG_LOCAL_BASE_MAX] = "";
    int32_t rc = mag_is_uuid(c->op->cluster_id) ? mag_local_find(kubernetes_of(c)->site.state_dir,
                                                                 c->op->cluster_id, dir, c->err)
                                                : MAG_OK;
    return rc == MAG_OK ? mag_roster_load(c->self->host, c->op, dir, ret, c->err) : rc;
}

/* Everything that can be said of a request without looking at the cluster. */
static int32_t check_request(struct mag_call *c, struct mag_roster_group *groups, size_t *ret_n,
                             struct settings *ret)
{
    int32_t rc = mag_roster_groups(c->spec, mag_local_gone_group(c->op), groups, ret_n, c->err);
    if (rc == MAG_OK)
        mag_roster_masters_by_name(groups, *ret_n, c->spec);
    if (rc == MAG_OK)
        rc = local_settings(c->spec, ret, c->err);
    return rc == MAG_OK ? check_groups(c->spec, groups, *ret_n, c->err) : rc;
}

int32_t local_validate(struct mag_call *c)
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
        rc = kubernetes_machine(kubernetes_of(c), c->err);
    if (rc == MAG_OK && strcmp(mag_json_text(c->spec, "params.kind", ""), "upgrade") == 0)
        rc = local_upgrade_target(c, &st, &bin);
    else if (rc == MAG_OK)
        rc = binaries_pick(kubernetes_of(c), set.version, &bin, c->err);
    mag_roster_done(&st);
    return rc;
}

/* ---- one step ---- */

/* A cluster keeps the version it was made with until it is upgraded, whatever else is installed. */
static int32_t choose_version(struct mag_local_run *r)
{
    const char *have = mag_json_text(r->st.facts, "version", NULL);
    int32_t rc = binaries_pick(kubernetes_of(r->c), have ? have : kube_run(r)->set.version,
                               &kube_run(r)->bin, r->c->err);
    if (rc != MAG_OK || have)
        return rc;
    (void)json_object_set_new(r->st.facts, "version", json_string(kube_run(r)->bin->version));
    return mag_local_save(r);
}

static int32_t plan(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    const json_t *remove =
        c->op->kind == MAG_OP_SCALE ? mag_json_at(c->spec, "params.nodes_to_remove") : NULL;
    bool changed = false;
    size_t had = r->st.n;
    int32_t rc = check_masters(&r->st, r->groups, r->n_groups, c->err);
    if (rc == MAG_OK)
        rc = choose_version(r);
    if (rc == MAG_OK)
        rc = mag_local_look(r);
    if (rc == MAG_OK)
        rc = mag_roster_plan(&r->st, mag_json_text(c->spec, "cluster.name", "k8s"), r->groups,
                             r->n_groups, remove, &changed, c->err);
    if (rc == MAG_OK && changed)
        rc = local_check_members(r, had);
    if (rc == MAG_OK && changed)
        rc = mag_local_save(r);
    return rc == MAG_OK ? mag_local_look(r) : rc;
}

/* "containerd://1.6.20~ds1" of any node is the cluster's. */
static const char *container_version(const struct mag_local_run *r)
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

static int32_t publish(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    char version[32], number[24];
    struct mag_kube k = kube_api(c, 0);
    const char *runtime = container_version(r);
    int32_t rc = mag_kube_version(&k, number, c->err);
    (void)snprintf(version, sizeof version, "v%s", number);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "coe_version", json_string(version), c->err);
    if (rc == MAG_OK && runtime)
        rc =
            mag_output_new(c->self->host, c->op, "container_version", json_string(runtime), c->err);
    return rc == MAG_OK ? mag_local_publish_groups(r) : rc;
}

static int32_t converge(struct mag_call *c, enum rotation rotation)
{
    static const mag_local_phase phases[] = {
        local_start_nodes, local_replace_masters, local_renew,
        local_wait_api,    local_upgrade,         local_rotate,
        local_settle,      local_let_go,          mag_local_settle_ledger,
        publish,
    };
    struct kube_run r = kube_run_of(c);
    r.rotation = rotation;
    int32_t rc = kubernetes_machine(kubernetes_of(c), c->err);
    if (rc == MAG_OK) /* before the first thing is made */
        rc = check_request(c, r.m.groups, &r.m.n_groups, &r.set);
    if (rc == MAG_OK && c->op->kind == MAG_OP_CREATE)
        rc = binaries_pick(kubernetes_of(c), r.set.version, &r.bin, c->err);
    if (rc == MAG_OK)
        rc = mag_local_converge(&r.m, plan, phases, MAG_LEN(phases));
    mag_local_run_done(&r.m);
    return rc;
}

int32_t local_converge(struct mag_call *c)
{
    return converge(c, ROTATE_NOT);
}

int32_t local_rotate_prepare(struct mag_call *c)
{
    return converge(c, ROTATE_PREPARE);
}

int32_t local_rotate_complete(struct mag_call *c)
{
    return converge(c, ROTATE_COMPLETE);
}

int32_t local_remove(struct mag_call *c)
{
    return mag_local_remove(c, &kubernetes_of(c)->site);
}
