/* Short read-only answers: capacity and use, what kubectl needs, and what a change would do.
 * Neighbours: local_run.h, kubernetes.c. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cgroup.h"

#include <stdio.h>
#include <string.h>

/* A container's limits; where it has none, its requests. */
static void add_container(const json_t *container, struct kube_amount *sum)
{
    double v;
    const json_t *limits = mag_json_at(container, "resources.limits");
    const json_t *requests = mag_json_at(container, "resources.requests");
    if (mag_kube_quantity(mag_json_text(limits, "cpu", mag_json_text(requests, "cpu", NULL)), &v))
        sum->cpu += v;
    if (mag_kube_quantity(mag_json_text(limits, "memory", mag_json_text(requests, "memory", NULL)),
                          &v))
        sum->bytes += v;
}

/* One of possibly many thousands: only sums are kept. */
static int32_t add_pod(void *ctx, const json_t *pod, mag_error *err)
{
    struct kube_use *p = ctx;
    size_t i;
    json_t *container;
    (void)err;
    if (!pod) {
        *p = (struct kube_use){.n = 0};
        return MAG_OK;
    }
    p->n++;
    json_array_foreach(mag_json_at(pod, "spec.containers"), i, container)
    {
        add_container(container, &p->amount);
    }
    return MAG_OK;
}

int32_t kube_pods_use(struct mag_call *c, struct kube_use *ret)
{
    struct mag_kube k = kube_api(c, 0);
    return mag_kube_each(
        &k, "/api/v1/pods?fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed",
        add_pod, ret, c->err);
}

/* All local nodes share this machine: its capacity is the cluster's, not a multiple of it. */
static void capacity(const json_t *nodes, struct kube_amount *ret)
{
    size_t i;
    json_t *n;
    double v;
    json_array_foreach(nodes, i, n)
    {
        if (mag_kube_quantity(mag_json_text(n, "status.capacity.cpu", NULL), &v) && v > ret->cpu)
            ret->cpu = v;
        if (mag_kube_quantity(mag_json_text(n, "status.capacity.memory", NULL), &v) &&
            v > ret->bytes)
            ret->bytes = v;
    }
}

int32_t local_stats(struct mag_call *c, json_t **ret)
{
    struct kube_run r = kube_run_of(c);
    struct kube_amount all = {0};
    struct kube_use pods = {.n = 0};
    uint64_t resident = 0;
    char cgroup[96];
    int32_t rc = mag_local_run_peek(&r.m);
    if (rc == MAG_OK)
        rc = local_list(&r.m);
    if (rc == MAG_OK)
        rc = kube_pods_use(c, &pods);
    if (rc == MAG_OK) {
        capacity(r.m.list, &all);
        mag_local_cgroup(&r.m.cl, 0, cgroup);
        (void)mag_cgroup_memory_used(cgroup, &resident);
        *ret = json_pack("{s:I, s:I, s:{s:f, s:f}, s:{s:I, s:I, s:I}}", "nodes",
                         (json_int_t)json_array_size(r.m.list), "pods", (json_int_t)pods.n, "cpu",
                         "capacity", all.cpu, "used", pods.amount.cpu, "memory_mb", "capacity",
                         (json_int_t)(all.bytes / 1048576), "used",
                         (json_int_t)(pods.amount.bytes / 1048576), "resident",
                         (json_int_t)(resident >> 20));
        if (!*ret)
            rc = mag_fail_nomem(c->err);
    }
    mag_local_run_done(&r.m);
    return rc;
}

int32_t cluster_client_config(struct mag_call *c, json_t **ret)
{
    const char *name = mag_json_text(c->spec, "cluster.name", "kubernetes");
    const char *address = mag_json_text(c->spec, "cluster.api_address", NULL);
    if (!address)
        return mag_fail(c->err, MAG_E_NOT_FOUND, 0, "NoApi", "wait until the cluster is complete",
                        "The cluster has no API yet");
    _mag_json_ json_t *doc = json_pack(
        "{s:s, s:s, s:[{s:s, s:{s:s, s:s}}], s:[{s:s, s:{s:s, s:s}}], s:[{s:s, s:{s:s, s:s}}],"
        " s:s}",
        "apiVersion", "v1", "kind", "Config", "clusters", "name", name, "cluster", "server",
        address, "certificate-authority", "${ca}", "users", "name", "admin", "user",
        "client-certificate", "${cert}", "client-key", "${key}", "contexts", "name", "default",
        "context", "cluster", name, "user", "admin", "current-context", "default");
    _mag_free_ char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
    *ret = text ? json_pack("{s:{s:s}, s:{s:s}}", "files", "config", text, "env", "KUBECONFIG",
                            "${dir}/config")
                : NULL;
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}

/* ---- plan ---- */

static void note(json_t *list, const char *kind, const char *name, const char *detail)
{
    (void)json_array_append_new(
        list, json_pack("{s:s, s:s, s:s}", "kind", kind, "name", name, "detail", detail));
}

static bool is_new(const struct mag_roster *before, const struct mag_roster_node *n)
{
    return mag_roster_find(before, n->index) == NULL;
}

static void compare(const struct mag_roster *before, const struct mag_roster *after,
                    const char *version, json_t *doc)
{
    char detail[96];
    for (size_t i = 0; i < after->n; i++) {
        const struct mag_roster_node *n = &after->v[i];
        const struct mag_roster_node *was = mag_roster_find(before, n->index);
        (void)snprintf(detail, sizeof detail, "%s, Kubernetes %s", n->master ? "master" : "worker",
                       n->version[0] ? n->version : version);
        if (is_new(before, n))
            note(json_object_get(doc, "make"), "node", n->name, detail);
        else if (n->leaving && was)
            note(json_object_get(doc, "remove"), "node", n->name, detail);
    }
}

/* The same decision as in a step, taken on a copy. */
int32_t local_plan(struct mag_call *c, json_t **ret)
{
    struct mag_roster_group groups[MAG_ROSTER_GROUPS_MAX];
    struct kube_run r = kube_run_of(c);
    struct mag_roster before = {0};
    struct settings set;
    const struct binaries *bin = NULL;
    size_t n = 0;
    bool changed;
    int32_t rc = mag_local_run_peek(&r.m);
    if (rc == MAG_OK)
        rc = mag_roster_load(c->self->host, c->op, r.m.cl.dir, &before, c->err);
    if (rc == MAG_OK)
        rc = mag_roster_groups(c->spec, NULL, groups, &n, c->err);
    if (rc == MAG_OK)
        mag_roster_masters_by_name(groups, n, c->spec);
    if (rc == MAG_OK)
        rc = local_settings(c->spec, &set, c->err);
    if (rc == MAG_OK)
        rc = binaries_pick(kubernetes_of(c), mag_json_text(r.m.st.facts, "version", set.version),
                           &bin, c->err);
    if (rc == MAG_OK)
        rc = mag_roster_plan(&r.m.st, mag_json_text(c->spec, "cluster.name", "k8s"), groups, n,
                             mag_json_at(c->spec, "params.nodes_to_remove"), &changed, c->err);
    if (rc == MAG_OK) {
        *ret = json_pack("{s:[], s:[], s:[]}", "make", "change", "remove");
        compare(&before, &r.m.st, bin->version, *ret);
        rc = *ret ? MAG_OK : mag_fail_nomem(c->err);
    }
    mag_roster_done(&before);
    mag_local_run_done(&r.m);
    return rc;
}
