/* One convergence step of a local cluster: what was asked, what is stored, what was seen. The
 * phases below run in this order in every step; each looks first, does what is missing, and returns
 * MAG_OK (go on), MAG_AGAIN (something has to happen first) or a negative code.
 * Neighbours: local_cluster.c (runs them), local_nodes.c, local_swarm.c, local_leave.c. */
#ifndef SWARM_LOCAL_RUN_H
#define SWARM_LOCAL_RUN_H

#include "lib/local/cluster.h"
#include "lib/local/node.h"
#include "lib/local/purge.h"
#include "lib/local/roster_store.h"
#include "lib/local/spawn.h"
#include "swarm_api.h"
#include "swarm_internal.h"

struct local_seen { /* of the node at the same place in the state's list */
    enum mag_node_state run;
    struct mag_node_record record;
    char service[MAG_LOCAL_BASE_MAX + 32]; /* "unix:BASE/docker.sock" */
    bool up;                               /* the daemon answered */
    struct swarm_info info;                /* when it was asked and answered */
    const json_t *entry;                   /* in `list`, or NULL */
};
struct local_run {
    struct swarm_call *c;
    struct mag_local_cluster cl;
    struct mag_roster st; /* its fact "swarm": one was initialised, never again */
    struct mag_roster_group groups[MAG_ROSTER_GROUPS_MAX];
    size_t n_groups;
    struct local_seen *seen; /* st.n of them */
    json_t *list;            /* GET /nodes of `manager` */
    size_t manager;          /* place of a manager that serves the API; valid when list is set */
};

void local_run_done(struct local_run *r);
int32_t local_save(struct local_run *r);
struct mag_purge local_purge(struct local_run *r);
/* Looks at the processes: fills `seen`. Call it again when the list changed. */
int32_t local_look(struct local_run *r);
struct mag_docker local_docker(const struct local_run *r, size_t at, uint32_t timeout_ms);
const struct mag_roster_group *local_group_of(const struct local_run *r,
                                              const struct mag_roster_node *n);
size_t local_staying(const struct local_run *r); /* nodes that are not leaving */
/* Its process runs, and the managers call it ready (and a manager reachable). */
bool local_listed_ready(const struct local_run *r, size_t at);

/* Phases */
int32_t local_start_nodes(struct local_run *r); /* local_nodes.c: every staying node runs */
/* local_nodes.c: a new certificate for a node, with who is trusted now; base: its directory. */
int32_t local_certify(struct local_run *r, const struct mag_roster_node *n, const char *base);
int32_t local_make_swarm(struct local_run *r); /* local_swarm.c: all of them are members */
int32_t local_settle(struct local_run *r);     /* local_swarm.c: roles, labels, all ready */
int32_t local_let_go(struct local_run *r);     /* local_leave.c: leaving nodes are gone */

/* local_health.c: a look without lock and without making anything; no nodes known: st.n is 0. */
int32_t local_open_readonly(struct swarm_call *c, struct local_run *r);
/* local_swarm.c: GET /nodes from some manager; MAG_AGAIN when none serves it. */
int32_t local_list(struct local_run *r);
#endif
