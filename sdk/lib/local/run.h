/* One step of a cluster of local nodes: what was asked, what is stored, what was seen. Everything
 * that does not depend on the engine that runs in the nodes: the lock, the roster, processes and
 * networks, the order of phases, what is published, the removal. A driver adds its phases; each of
 * them looks first, does what is missing, and returns MAG_OK (go on), MAG_AGAIN (something has to
 * happen first) or a negative code.
 * Neighbours: cluster, node, net, roster, purge, check; plugins/kubernetes, plugins/swarm. */
#ifndef MAGNUM_SDK_LIB_LOCAL_RUN_H
#define MAGNUM_SDK_LIB_LOCAL_RUN_H

#include "lib/driver.h"
#include "lib/local/check.h"
#include "lib/local/cluster.h"
#include "lib/local/node.h"
#include "lib/local/purge.h"
#include "lib/local/roster_store.h"
#include "lib/verdict.h"

/* ---- this machine ---- */

struct mag_local_site {
    const char *state_dir,
        *path; /* options state_dir, program_path: where programs are looked for */
    struct mag_local_machine machine; /* what mag_local_check found, once it is fit */
    bool fit;
};
void mag_local_site_init(struct mag_local_site *s, const mag_host *host, const char *default_dir);
/* Checks the machine, unless it was found fit before; the caller sets fit when all it needs itself
 * is there too. */
int32_t mag_local_site_check(struct mag_local_site *s, const mag_host *host,
                             const struct mag_local_program *programs, size_t n, mag_error *err);
/* A program of Magnum's own, which is installed beside the helper that starts nodes. */
int32_t mag_local_beside(const struct mag_local_site *s, const char *name, char *ret, size_t cap,
                         mag_error *err);

/* ---- one step ---- */

enum { MAG_LOCAL_AT_ONCE = 16 }; /* nodes started by one step */

struct mag_local_seen { /* of the node at the same place in the roster's list */
    enum mag_node_state run;
    struct mag_node_record record;
    const json_t *entry; /* what the engine's API lists of it, in `list`; or NULL */
};
struct mag_local_run { /* a driver's own struct begins with it */
    struct mag_call *c;
    struct mag_local_site *site;
    struct mag_local_cluster cl;
    struct mag_roster st;
    struct mag_roster_group groups[MAG_ROSTER_GROUPS_MAX];
    size_t n_groups;
    struct mag_local_seen *seen; /* st.n of them */
    json_t *list;                /* the nodes by the engine's API, owned, or NULL */
    /* Optional: the driver's part of a look, called at its end. */
    int32_t (*looked)(struct mag_local_run *r);
};
void mag_local_run_init(struct mag_local_run *r, struct mag_call *c, struct mag_local_site *site);
void mag_local_run_done(struct mag_local_run *r);
/* Takes the cluster's lock and loads the roster. MAG_AGAIN (with the step filled): another step of
 * the cluster is not over. */
int32_t mag_local_run_open(struct mag_local_run *r);
/* The same for a look: no lock, nothing is made; no nodes known: st.n is 0. */
int32_t mag_local_run_peek(struct mag_local_run *r);
int32_t mag_local_save(struct mag_local_run *r);
/* Looks at the processes: fills `seen`. Call it again when the roster changed. */
int32_t mag_local_look(struct mag_local_run *r);
typedef int32_t (*mag_local_phase)(struct mag_local_run *r);
/* A whole step of a change: opens, plans, and runs the phases in their order for as long as there
 * is time; the step is over when all of them said OK. */
int32_t mag_local_converge(struct mag_local_run *r, mag_local_phase plan,
                           const mag_local_phase *phases, size_t n);

const struct mag_roster_group *mag_local_group_of(const struct mag_local_run *r,
                                                  const struct mag_roster_node *n);
size_t mag_local_staying(const struct mag_local_run *r); /* nodes that are not leaving */
bool mag_local_any_leaving(const struct mag_local_run *r);
struct mag_purge mag_local_purge(struct mag_local_run *r);
/* Which group has to go, or NULL: only the verb that removes one says so. */
const char *mag_local_gone_group(const mag_op *op);

/* ---- nodes ---- */

/* Namespaces and links of these nodes (places in the roster), and the fabric if it is lost. */
int32_t mag_local_network(struct mag_local_run *r, const size_t *which, size_t n);
/* A daemon that ends at once would be started for ever: INVALID after some attempts in one
 * operation. what: "The node", in front of its name. */
int32_t mag_local_attempt(struct mag_local_run *r, const struct mag_roster_node *n,
                          const char *base, const char *what);
/* A phase's inside: starts staying nodes that do not run, some in each step. may (NULL: all) says
 * whether the one at `at` can be started together with the n in `which`. */
struct mag_local_starter {
    int32_t (*may)(struct mag_local_run *r, const size_t *which, size_t n, size_t at, bool *ret);
    int32_t (*start)(struct mag_local_run *r, const size_t *which, size_t n);
};
int32_t mag_local_start(struct mag_local_run *r, const struct mag_local_starter *s);
/* Powers nodes off and forgets them; every place in the roster may have changed after it. */
int32_t mag_local_take_away(struct mag_local_run *r, const unsigned *index, size_t n,
                            int64_t grace_ms);

/* ---- phases and verbs that are the same for all ---- */

/* The ledger against the roster: what an earlier attempt left is removed. */
int32_t mag_local_settle_ledger(struct mag_local_run *r);
/* node_count and node_addresses of every group that stays. */
int32_t mag_local_publish_groups(struct mag_local_run *r);
/* mag.coe.lifecycle/1's remove. */
int32_t mag_local_remove(struct mag_call *c, struct mag_local_site *site);

/* How many masters of those that stay run, and are enough of them alive for the engine's own
 * consensus? One without a majority goes on telling old news. why: the words for it. */
bool mag_local_quorum(const struct mag_local_run *r, const char *masters, char *why, size_t cap);
/* A whole look: peeks, judges, publishes. judge fills *v; whole says whether it could tell of every
 * node. */
typedef int32_t (*mag_local_judge)(struct mag_local_run *r, struct mag_verdict *v, bool *ret_whole);
int32_t mag_local_health(struct mag_local_run *r, mag_local_judge judge);

#endif
