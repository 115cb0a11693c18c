/* One driver call for a cluster whose nodes are servers of a cloud, made by Heat: what was asked,
 * what was decided before, and the stacks. Each step converges: the cluster's own stack (network,
 * masters, default workers) first, then those of other nodegroups.
 *
 * Decisions are kept in the state before Heat hears of them, in its member "kubernetes":
 *   {"op": "<operation>/<phase>", "ca": phase, "leave": {...}, "lives": [..],
 *    "groups": {nodegroup: {"generation": n, "version": tag}}}
 * A group's generation grows with each change that its running nodes have to make themselves
 * (upgrade, rotation); nodes see it in their metadata and report it done by a signal. The state is
 * the operation's own: the next one recalls generation, version and phase from the stacks' output
 * "told". Neighbours: kubernetes.c, lib/heat_cluster, heat/ (the templates), boot/ (what nodes
 * run). */
#ifndef KUBERNETES_HEAT_RUN_H
#define KUBERNETES_HEAT_RUN_H

#include "kubernetes_internal.h"

#include "lib/heat_cluster.h"

enum { HEAT_API_PORT = 6443 };

struct heat_run {
    struct mag_call *c;
    struct mag_heat_set set;
    const json_t *masters, *workers; /* the default groups in the spec */
};
/* INVALID when the spec lacks a default group. */
int32_t heat_open(struct mag_call *c, struct heat_run *r);
void heat_done(struct heat_run *r);

/* ---- heat_state.c: decisions ---- */

/* Is this group's stack or part of it concerned by the operation? */
bool heat_is_meant(const struct heat_run *r, const json_t *group);
/* Fills in what groups lack, and once for each operation and phase ("upgrade", "prepare", "certs",
 * "complete"; NULL: none) counts the meant ones' generation up; stored before it returns. */
int32_t heat_decide(struct heat_run *r, const char *phase);
bool heat_decided(const struct heat_run *r, const char *phase);
int64_t heat_generation(const struct heat_run *r, const json_t *group);
/* The version of Kubernetes its nodes run or go to, as in the label; "": the image's. */
const char *heat_version(const struct heat_run *r, const json_t *group);
const char *heat_ca_phase(const struct heat_run *r);

/* Stores that this phase of the operation was decided. */
int32_t heat_note(struct heat_run *r, const char *phase);

/* ---- heat_masters.c: masters that are replaced ---- */

/* How often each place was filled anew; in the state, NULL until it was recalled. */
json_t *heat_lives(const struct heat_run *r);
int32_t heat_recall_lives(struct heat_run *r, bool *changed);
/* Those the request names get another life, if the others are a majority; INVALID if not. */
int32_t heat_replace_masters(struct heat_run *r);
/* heat_cluster.c: is a node with this name and server named by removals? */
bool heat_is_named(const json_t *removals, const char *name, const char *id);
/* INVALID: a name that no node of the group has. */
int32_t heat_check_named(struct heat_run *r, const json_t *group, const json_t *names,
                         const json_t *ids, const json_t *removals);

/* ---- heat_check.c: what can't be is refused before anything is made ---- */

int32_t heat_check(struct mag_call *c);
/* The pods' range, by network driver and label. */
int32_t heat_pod_range(const struct mag_call *c, char ret[64]);

/* heat_plan.c: may nodes of version `from` ("": not known) go to the one the labels say? INVALID.
 */
int32_t heat_upgrade_step(const struct mag_call *c, const char *from);

/* ---- heat_stacks.c: what the stacks shall be ---- */

struct heat_plan {
    json_t *parameters, *files; /* owned; both hold secrets' files */
    char *template;
};
void heat_plan_done(struct heat_plan *p);
/* Of the cluster's own stack; its outputs are not needed. */
int32_t heat_cluster_plan(struct heat_run *r, struct heat_plan *ret);
/* Of one more nodegroup's; outputs: of the cluster's stack. */
int32_t heat_group_plan(struct heat_run *r, const json_t *group, const json_t *outputs,
                        struct heat_plan *ret);
/* nodes_to_remove of the request, if it is about this group, as Heat's removal policy takes them:
 * numbers or servers' ids. */
json_t *heat_removals(const struct heat_run *r, const json_t *group);

/* ---- heat_boot.c: what a node gets at its first boot ---- */

/* *ret: text with Heat's placeholders; secret: the caller wipes and frees it. */
int32_t heat_user_data(struct heat_run *r, const json_t *group, char **ret);

/* ---- heat_leave.c: nodes that go are emptied first ---- */

/* MAG_OK: they are empty, or time is up, or the API does not answer. names: of nodes. */
int32_t heat_leave(struct heat_run *r, const json_t *group, const json_t *names);

/* ---- heat_sweep.c: what Kubernetes itself made in the cloud ---- */

/* Load balancers and volumes of the cluster's cloud provider. MAG_AGAIN: still going. */
int32_t heat_sweep_balancers(struct heat_run *r);
int32_t heat_sweep_volumes(struct heat_run *r);

#endif
