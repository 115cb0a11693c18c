/* Moving a cluster to another version of Kubernetes, on the nodes it has: masters first, one at a
 * time, then workers in batches, each emptied, started with the new binaries on its old data, and
 * given back. What is left to do is what the roster says of each node's version.
 * Neighbours: local_run.h, binaries.c. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/spawn.h"

#include <stdio.h>
#include <string.h>

enum { STOP_GRACE_MS = 10000, BATCH_MAX = 16 };

static int32_t not_allowed(mag_error *err, const char *remedy, const char *from, const char *to,
                           const char *why)
{
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "UpgradeNotAllowed", remedy,
                    "Kubernetes %s can't be upgraded to %s: %s", from, to, why);
}

int32_t kube_upgrade_step(const char *from, const char *to, mag_error *err)
{
    unsigned a[3], b[3];
    if (!mag_kube_parse_version(from, a) || !mag_kube_parse_version(to, b))
        return MAG_OK;
    if (a[0] != b[0])
        return not_allowed(err, "make a new cluster", from, to, "the major version differs");
    if (b[1] < a[1] || (b[1] == a[1] && b[2] < a[2]))
        return not_allowed(err, "take a template with a newer version", from, to,
                           "that would be a downgrade");
    if (b[1] > a[1] + 1)
        return not_allowed(err, "upgrade one minor version at a time", from, to,
                           "minor versions can't be left out");
    return MAG_OK;
}

int32_t local_upgrade_target(struct mag_call *c, const struct mag_roster *st,
                             const struct binaries **ret)
{
    struct settings set;
    const char *from =
        mag_json_text(st->facts, "version", mag_json_text(c->spec, "cluster.coe_version", ""));
    int32_t rc = local_settings(c->spec, &set, c->err);
    if (rc == MAG_OK)
        rc = binaries_pick(kubernetes_of(c), set.version, ret, c->err);
    return rc == MAG_OK && from[0] ? kube_upgrade_step(from, (*ret)->version, c->err) : rc;
}

/* The default workers' upgrade is the masters' too; another nodegroup goes alone, to catch up. */
static bool is_meant(const struct mag_call *c, const struct mag_roster_node *n)
{
    const char *group = mag_json_text(c->spec, "params.nodegroup", "");
    size_t i;
    json_t *j;
    bool whole = !*group;
    json_array_foreach(mag_json_at(c->spec, "nodegroups"), i, j)
    {
        if (strcmp(mag_json_text(j, "uuid", ""), group) == 0)
            whole = mag_json_bool(j, "is_default", false);
    }
    return strcmp(n->group, group) == 0 || (whole && (n->master || !*group));
}

static bool is_old(const struct mag_call *c, const struct mag_roster_node *n, const char *version)
{
    return !n->leaving && n->version[0] && is_meant(c, n) && strcmp(n->version, version) != 0;
}

static size_t batch_size(const struct mag_call *c)
{
    int64_t n = mag_json_int(c->spec, "params.max_batch_size", 1);
    return n < 1 ? 1 : n > BATCH_MAX ? BATCH_MAX : (size_t)n;
}

int32_t local_upgrade_plan(struct mag_call *c, json_t **ret)
{
    struct kube_run r = kube_run_of(c);
    const struct binaries *to = NULL;
    int32_t rc = mag_local_run_peek(&r.m);
    if (rc == MAG_OK)
        rc = local_upgrade_target(c, &r.m.st, &to);
    _mag_json_ json_t *names = json_array();
    for (int masters = 1; masters >= 0 && rc == MAG_OK; masters--)
        for (size_t i = 0; i < r.m.st.n; i++)
            if (r.m.st.v[i].master == (masters == 1) && is_old(c, &r.m.st.v[i], to->version))
                (void)json_array_append_new(names, json_string(r.m.st.v[i].name));
    mag_local_run_done(&r.m);
    if (rc == MAG_OK)
        *ret = json_pack("{s:b, s:s, s:O, s:i}", "allowed", 1, "reason", "", "replace", names,
                         "batch", (int)batch_size(c));
    else if (rc == MAG_E_INVALID)
        *ret = json_pack("{s:b, s:s, s:[], s:i}", "allowed", 0, "reason", c->err->message,
                         "replace", "batch", (int)batch_size(c));
    else
        return rc;
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}

/* Stops and starts these with the new binaries; their roster entries say so from then on. */
static int32_t restart(struct mag_local_run *r, const size_t *which, size_t n)
{
    unsigned index[BATCH_MAX] = {0};
    char text[160];
    for (size_t i = 0; i < n; i++)
        index[i] = r->st.v[which[i]].index;
    int32_t rc = mag_nodes_stop(&r->cl, index, n, STOP_GRACE_MS, r->c->err);
    if (rc == MAG_OK)
        rc = mag_local_look(r);
    if (rc == MAG_OK)
        rc = local_start_some(r, which, n, kube_run(r)->bin);
    (void)snprintf(text, sizeof text, "%s%s is started with Kubernetes %s", r->st.v[which[0]].name,
                   n > 1 ? " and others" : "", kube_run(r)->bin->version);
    return rc == MAG_OK || rc == MAG_AGAIN ? mag_again(r->c->out, 100, 45, "%s", text) : rc;
}

/* The etcd of one that was started again answers before the next is stopped: without these two the
 * others may be no majority. */
static int32_t upgrade_master(struct mag_local_run *r)
{
    size_t next = r->st.n;
    char text[160];
    for (size_t i = r->st.n; i-- > 0;)
        if (r->st.v[i].master && is_old(r->c, &r->st.v[i], kube_run(r)->bin->version))
            next = i;
    if (next == r->st.n)
        return MAG_OK;
    for (size_t i = 0; i < r->st.n; i++) {
        const struct mag_roster_node *n = &r->st.v[i];
        if (!n->master || n->leaving || is_old(r->c, n, kube_run(r)->bin->version) ||
            local_is_member(r, i))
            continue;
        (void)snprintf(text, sizeof text, "Waiting for etcd of %s", n->name);
        return local_wait_more(r, 45, text);
    }
    return restart(r, &next, 1);
}

/* What the API said last of a node that was just started again is old news until its new kubelet
 * has told its version. */
static bool is_back(const struct mag_local_run *r, size_t at)
{
    const char *runs = mag_json_text(r->seen[at].entry, "status.nodeInfo.kubeletVersion", "");
    return local_is_ready(r, at) && *runs == 'v' && strcmp(runs + 1, r->st.v[at].version) == 0;
}

/* Those of the last batch are given back to the scheduler before the next batch begins. */
static int32_t finish_batch(struct mag_local_run *r)
{
    for (size_t i = 0; i < r->st.n; i++) {
        const struct mag_roster_node *n = &r->st.v[i];
        if (n->leaving || n->master || !is_meant(r->c, n) ||
            is_old(r->c, n, kube_run(r)->bin->version))
            continue;
        if (!is_back(r, i))
            return mag_again(r->c->out, 200, 60, "Waiting for %s to come back", n->name);
        int32_t rc = n->drain_ms ? local_set_node(r, i) : MAG_OK;
        if (rc != MAG_OK)
            return rc;
    }
    return MAG_OK;
}

static int32_t upgrade_workers(struct mag_local_run *r)
{
    size_t which[BATCH_MAX], n = 0, ready = 0, want = batch_size(r->c);
    int32_t rc = local_list(r);
    if (rc == MAG_OK)
        rc = finish_batch(r);
    for (size_t i = 0; i < r->st.n && rc == MAG_OK && n < want; i++)
        if (!r->st.v[i].master && is_old(r->c, &r->st.v[i], kube_run(r)->bin->version))
            which[n++] = i;
    for (size_t i = 0; i < n && rc >= 0; i++) {
        bool alive = r->seen[which[i]].entry && local_is_ready(r, which[i]);
        rc = alive ? local_drain(r, which[i]) : MAG_OK;
        ready += rc == MAG_OK;
    }
    if (rc < 0 || n == 0)
        return rc;
    return ready == n ? restart(r, which, n) : MAG_AGAIN;
}

int32_t local_upgrade(struct mag_local_run *r)
{
    const struct binaries *to = NULL;
    if (r->c->op->kind != MAG_OP_UPGRADE)
        return MAG_OK;
    int32_t rc = local_upgrade_target(r->c, &r->st, &to);
    if (rc != MAG_OK)
        return rc;
    kube_run(r)->bin = to;
    rc = upgrade_master(r);
    if (rc == MAG_OK)
        rc = upgrade_workers(r);
    if (rc != MAG_OK || strcmp(mag_json_text(r->st.facts, "version", ""), to->version) == 0)
        return rc;
    (void)json_object_set_new(r->st.facts, "version", json_string(to->version));
    return mag_local_save(r);
}
