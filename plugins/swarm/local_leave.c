/* Nodes on their way out, each through the same gate: demote, drain, wait until it is empty
 * (bounded), leave, delete, power off. Every look may find a node anywhere on that way, or dead.
 * Managers go one at a time, so that the others always have a majority.
 * Neighbours: local_run.h, lib/local/purge. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <string.h>

enum { ASK_MS = 1500, CHANGE_MS = 10000, POWER_OFF_GRACE_MS = 3000 };

static int32_t drain_timeout(struct mag_local_run *r, const struct mag_roster_node *n,
                             int64_t *ret_ms)
{
    const struct mag_roster_group *g = mag_local_group_of(r, n);
    int64_t seconds;
    int32_t rc = mag_label_int(mag_labels_of(r->c->spec, g ? g->json : NULL),
                               "drain_timeout_seconds", 0, 3600, 60, &seconds, r->c->err);
    *ret_ms = seconds * 1000;
    return rc;
}

/* Tasks move to other nodes while this one still runs. MAG_OK: it has none left, or time is up. */
static int32_t drain(struct mag_local_run *r, size_t at)
{
    struct mag_call *c = r->c;
    struct mag_roster_node *n = &r->st.v[at];
    struct mag_docker manager = local_docker(r, swarm_run(r)->manager, CHANGE_MS);
    struct mag_docker self = local_docker(r, at, ASK_MS);
    const struct swarm_wanted w = {.availability = "drain"};
    int64_t timeout_ms;
    int32_t rc = drain_timeout(r, n, &timeout_ms);
    if (rc != MAG_OK)
        return rc;
    if (!swarm_node_matches(r->seen[at].entry, &w))
        rc = swarm_node_update(&manager, swarm_node_id(r->seen[at].entry), &w, c->err);
    if (rc == MAG_OK && !n->drain_ms) {
        n->drain_ms = mag_unix_ms();
        rc = mag_local_save(r);
    }
    if (rc != MAG_OK)
        return rc;
    size_t left = 0;
    mag_error why = {.struct_size = sizeof why};
    if (swarm_containers(&self, true, &left, &why) != MAG_OK)
        left = 0; /* a daemon that does not answer can't be waited for */
    if (left == 0 || mag_unix_ms() - n->drain_ms >= timeout_ms)
        return MAG_OK;
    return mag_again(c->out, 200, 92, "%s still runs %zu containers", n->name, left);
}

static int32_t demote(struct mag_local_run *r, size_t at)
{
    struct mag_call *c = r->c;
    struct mag_docker d = local_docker(r, swarm_run(r)->manager, CHANGE_MS);
    const struct swarm_wanted w = {.role = "worker"};
    if (!swarm_node_matches(r->seen[at].entry, &w)) {
        int32_t rc = swarm_node_update(&d, swarm_node_id(r->seen[at].entry), &w, c->err);
        if (rc != MAG_OK)
            return rc;
    }
    return mag_again(c->out, 100, 91, "%s gives up being a manager", r->st.v[at].name);
}

/* Until the swarm no longer knows the node. Docker's own "leave" is not needed: it takes the daemon
 * up to six seconds to say goodbye, and neither daemon nor data will be there to come back. */
static int32_t take_out(struct mag_local_run *r, size_t at)
{
    const json_t *e = r->seen[at].entry;
    int32_t rc = MAG_OK;
    if (!e)
        return MAG_OK;
    if (swarm_node_is_manager(e))
        return demote(r, at);
    if (r->seen[at].run == MAG_NODE_RUNNING && strcmp(swarm_node_state(e), "ready") == 0)
        rc = drain(r, at);
    if (rc != MAG_OK)
        return rc;
    struct mag_docker d = local_docker(r, swarm_run(r)->manager, CHANGE_MS);
    return swarm_node_delete(&d, swarm_node_id(e), r->c->err);
}

/* The node's data goes with it: only containers that still run are worth a wait. */
static bool still_busy(struct mag_local_run *r, size_t at)
{
    struct mag_docker self = local_docker(r, at, ASK_MS);
    mag_error why = {.struct_size = sizeof why};
    size_t left = 0;
    return r->seen[at].run == MAG_NODE_RUNNING &&
           swarm_containers(&self, false, &left, &why) == MAG_OK && left;
}

/* One pass over the leaving nodes: workers side by side, of the managers only the first. */
static int32_t pass(struct mag_local_run *r)
{
    unsigned gone[MAG_LOCAL_NODES_MAX];
    size_t n = 0;
    bool busy = false;
    int32_t result = MAG_OK;
    for (size_t i = 0; i < r->st.n && !mag_out_of_time(r->c); i++) {
        const json_t *e = r->seen[i].entry;
        if (!r->st.v[i].leaving || (e && swarm_node_is_manager(e) && result == MAG_AGAIN))
            continue;
        int32_t rc = take_out(r, i);
        if (rc < 0)
            return rc;
        if (rc == MAG_AGAIN) {
            result = MAG_AGAIN;
            continue;
        }
        busy |= still_busy(r, i);
        gone[n++] = r->st.v[i].index;
    }
    int32_t rc = n ? mag_local_take_away(r, gone, n, busy ? POWER_OFF_GRACE_MS : 0) : MAG_OK;
    return rc == MAG_OK ? result : rc;
}

int32_t local_let_go(struct mag_local_run *r)
{
    while (mag_local_any_leaving(r)) {
        if (mag_out_of_time(r->c))
            return mag_again(r->c->out, 0, 93, "Removing nodes");
        int32_t rc = r->list ? MAG_OK : local_list(r);
        if (rc == MAG_AGAIN)
            return mag_again(r->c->out, 100, 90, "Waiting for a manager");
        if (rc == MAG_OK)
            rc = pass(r);
        if (rc != MAG_OK)
            return rc;
        json_decref(r->list); /* places changed when nodes went */
        r->list = NULL;
    }
    int32_t rc = r->list ? MAG_OK : local_list(r);
    return rc == MAG_AGAIN ? mag_again(r->c->out, 100, 90, "Waiting for a manager") : rc;
}
