/* One convergence step of a local cluster: what was asked, what is stored, what was seen. The
 * phases below run in this order in every step; each looks first, does what is missing, and returns
 * MAG_OK (go on), MAG_AGAIN (something has to happen first) or a negative code.
 * Neighbours: local_cluster.c (runs them), local_nodes.c, local_swarm.c, local_leave.c. */
#ifndef SWARM_LOCAL_RUN_H
#define SWARM_LOCAL_RUN_H

#include "lib/local/run.h"
#include "swarm_api.h"
#include "swarm_internal.h"

struct swarm_seen {                        /* of the node at the same place in the roster */
    char service[MAG_LOCAL_BASE_MAX + 32]; /* "unix:BASE/docker.sock" */
    bool up;                               /* the daemon answered */
    struct swarm_info info;                /* when it was asked and answered */
};
struct swarm_run { /* the roster's fact "swarm": one was initialised, never again */
    struct mag_local_run m;
    struct swarm_seen *daemons; /* as many as m.seen, owned */
    size_t manager; /* place of a manager that serves the API; valid when m.list is set */
};
static inline struct swarm_run *swarm_run(struct mag_local_run *r)
{
    return (struct swarm_run *)r;
}
static inline struct swarm_seen *swarm_seen(struct mag_local_run *r, size_t at)
{
    return &swarm_run(r)->daemons[at];
}
struct swarm_run swarm_run_of(struct mag_call *c);
void swarm_run_done(struct swarm_run *r);
/* The nodegroups wanted; managers may be replaced by name too, when it is their group that is
 * meant.
 */
int32_t local_groups(struct mag_local_run *r);

struct mag_docker local_docker(struct mag_local_run *r, size_t at, uint32_t timeout_ms);
/* Its process runs, and the managers call it ready (and a manager reachable). */
bool local_listed_ready(const struct mag_local_run *r, size_t at);

/* Phases */
int32_t local_start_nodes(struct mag_local_run *r); /* local_nodes.c: every staying node runs */
/* local_nodes.c: a new certificate for a node, with who is trusted now; base: its directory. */
int32_t local_certify(struct mag_local_run *r, const struct mag_roster_node *n, const char *base);
int32_t local_make_swarm(struct mag_local_run *r); /* local_swarm.c: all of them are members */
int32_t local_settle(struct mag_local_run *r);     /* local_swarm.c: roles, labels, all ready */
int32_t local_let_go(struct mag_local_run *r);     /* local_leave.c: leaving nodes are gone */

/* local_swarm.c: GET /nodes from some manager; MAG_AGAIN when none serves it. */
int32_t local_list(struct mag_local_run *r);
#endif
