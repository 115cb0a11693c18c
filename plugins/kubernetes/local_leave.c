/* Nodes on their way out, each through the same gate: cordon, evict its pods, wait until it is
 * empty (bounded), delete the Node object, power off. Every look may find a node anywhere on that
 * way, or dead. A cluster without a working API still loses its nodes: nothing is left to move pods
 * to. Neighbours: local_run.h, lib/kube, lib/local/purge. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <stdio.h>
#include <string.h>

enum { CHANGE_MS = 10000, POWER_OFF_GRACE_MS = 0, HURRY_MS = 5000 };

int32_t local_drain(struct mag_local_run *r, size_t at)
{
    struct mag_call *c = r->c;
    struct mag_roster_node *n = &r->st.v[at];
    struct mag_kube k = kube_api(c, CHANGE_MS);
    const struct mag_kube_wanted w = {.unschedulable = 1};
    char blocked[192];
    int64_t memory, timeout_ms;
    size_t left = 0;
    int32_t rc =
        local_group_labels(c->spec, mag_local_group_of(r, n), &memory, &timeout_ms, c->err);
    if (rc == MAG_OK && !n->drain_ms) {
        n->drain_ms = mag_unix_ms();
        rc = mag_local_save(r);
    }
    if (rc != MAG_OK)
        return rc;
    rc = mag_kube_node_set(&k, r->seen[at].entry, &w, c->err);
    int64_t for_ms = mag_unix_ms() - n->drain_ms;
    bool hurry = for_ms >= timeout_ms; /* then they go without being asked */
    if ((rc == MAG_E_TIMEOUT || rc == MAG_E_UNAVAILABLE) && !hurry)
        return mag_again(c->out, 1000, 92, "%s can't be cordoned yet: %.120s", n->name,
                         c->err->message);
    if (rc != MAG_OK && !hurry)
        return rc == MAG_E_BUSY || rc == MAG_E_NOT_FOUND ? MAG_AGAIN : rc;
    rc = mag_kube_drain(&k, n->name, hurry, &left, blocked, sizeof blocked, c->err);
    if (rc != MAG_OK)
        return rc;
    if (left == 0 || for_ms >= timeout_ms + HURRY_MS)
        return MAG_OK;
    return mag_again(c->out, 200, 92, "%s still has %zu pods%s%s", n->name, left,
                     blocked[0] ? "; " : "", blocked);
}

static int32_t forget(struct mag_local_run *r, size_t at)
{
    char path[160], quoted[96];
    mag_error e = {.struct_size = sizeof e};
    struct mag_kube k = kube_api(r->c, CHANGE_MS);
    if (!mag_http_quote(quoted, sizeof quoted, r->st.v[at].name))
        return MAG_OK;
    (void)snprintf(path, sizeof path, "/api/v1/nodes/%s", quoted);
    int32_t rc = mag_kube_call(&k, "DELETE", path, NULL, NULL, NULL, NULL, &e);
    if (rc == MAG_OK || rc == MAG_E_NOT_FOUND)
        return MAG_OK;
    *r->c->err = e;
    return rc;
}

/* MAG_OK: nothing of the cluster needs the node any more. */
static int32_t take_out(struct mag_local_run *r, size_t at)
{
    const struct mag_local_seen *s = &r->seen[at];
    int32_t rc = MAG_OK;
    if (r->st.v[at].master || !s->entry)
        return MAG_OK;
    bool alive = s->run == MAG_NODE_RUNNING &&
                 strcmp(mag_kube_node_ready(s->entry, NULL, NULL, NULL), "True") == 0;
    if (alive)
        rc = local_drain(r, at);
    return rc;
}

/* The Node goes after its kubelet, which would make it again. */
static int32_t power_off(struct mag_local_run *r, const unsigned *index, size_t n)
{
    int32_t rc = mag_nodes_stop(&r->cl, index, n, POWER_OFF_GRACE_MS, r->c->err);
    for (size_t i = 0; i < n && rc == MAG_OK; i++) {
        struct mag_roster_node *node = mag_roster_find(&r->st, index[i]);
        if (!node->master)
            rc = forget(r, (size_t)(node - r->st.v));
    }
    if (rc == MAG_AGAIN)
        return mag_again(r->c->out, 50, 94, "%zu nodes are being powered off", n);
    return rc == MAG_OK ? mag_local_take_away(r, index, n, 0) : rc;
}

/* One pass over the leaving nodes, side by side. */
static int32_t pass(struct mag_local_run *r)
{
    unsigned gone[MAG_LOCAL_NODES_MAX];
    size_t n = 0;
    int32_t result = MAG_OK;
    for (size_t i = 0; i < r->st.n && !mag_out_of_time(r->c); i++) {
        if (!r->st.v[i].leaving)
            continue;
        int32_t rc = take_out(r, i);
        if (rc < 0)
            return rc;
        if (rc == MAG_AGAIN)
            result = MAG_AGAIN;
        else
            gone[n++] = r->st.v[i].index;
    }
    int32_t rc = n ? power_off(r, gone, n) : MAG_OK;
    return rc == MAG_OK ? result : rc;
}

int32_t local_let_go(struct mag_local_run *r)
{
    while (mag_local_any_leaving(r)) {
        if (mag_out_of_time(r->c))
            return mag_again(r->c->out, 0, 93, "Removing nodes");
        int32_t rc = local_list(r);
        if (rc == MAG_OK)
            rc = pass(r);
        if (rc != MAG_OK)
            return rc;
    }
    return MAG_OK;
}
