/* Life of a cluster whose stacks are coe_cluster.yaml and coe_nodegroup.yaml (sdk/heat), for any
 * engine: create, update, scale and nodegroups are one convergence of all its stacks. A driver adds
 * what only it knows by the functions of mag_coe; what was decided is stored before anything is
 * done, so any step may run twice. State: members of mag_heat_set's document: "generation",
 * "change", "plan", "removed", "lives"; what outlives an operation stands in the outputs of the
 * stacks.
 *
 * A node here is {"n": its number in its group, "name", "id": its server's, "address", "public",
 * "group": the nodegroup's uuid}. Numbers of workers are never used again; those of masters stand
 * for places, and "lives" says how often each was filled anew.
 * Neighbours: heat_cluster, heat_params, drivers. */
#ifndef MAGNUM_SDK_LIB_HEAT_COE_H
#define MAGNUM_SDK_LIB_HEAT_COE_H

#include "lib/driver.h"
#include "lib/heat_cluster.h"
#include "lib/heat_params.h"

struct mag_coe_run { /* one step of a change */
    struct mag_call *c;
    const struct mag_coe *coe;
    struct mag_heat_set set;
};
struct mag_coe {
    const char *templates; /* name of the driver's folder of templates */
    /* Adds to the parameters of the cluster's stack what only the driver knows: api_port at least.
     */
    int32_t (*parameters)(struct mag_coe_run *r, json_t *parameters);
    /* *ret: the user data of a node of that group; the caller wipes and frees it. */
    int32_t (*user_data)(struct mag_coe_run *r, const json_t *group, char **ret);
    /* Publishes what came of it; outputs: of the cluster's own stack. */
    int32_t (*publish)(struct mag_coe_run *r, const json_t *outputs);
    /* Puts a group's nodes into the order they go in, the first to go first. NULL: newest first. */
    int32_t (*order)(struct mag_coe_run *r, json_t *nodes);
    /* Each a step (MAG_AGAIN with c->out filled): before Heat takes these nodes away, and after.
     * NULL: nothing to do. */
    int32_t (*leave)(struct mag_coe_run *r, const json_t *nodes);
    int32_t (*left)(struct mag_coe_run *r, const json_t *nodes);
    /* The same for masters. What is replaced comes back with its name, address and number, one
     * after the other; the lib has made sure that enough others are there to decide, the driver
     * asks whether they can. NULL: masters stay as they are. */
    int32_t (*masters_leave)(struct mag_coe_run *r, const json_t *nodes);
    int32_t (*masters_left)(struct mag_coe_run *r, const json_t *nodes);
    bool masters_resize; /* their number may change */
};

/* One step towards the spec. MAG_OK: all stacks are as wanted, node_addresses and node_count of
 * each group are published, and what the driver publishes itself. */
int32_t mag_coe_converge(struct mag_call *c, const struct mag_coe *coe);
/* The same, after all nodes were told of a change, once for each operation and word: their metadata
 * "magnum_change" says the word, and each reports again when it made the change. */
int32_t mag_coe_change(struct mag_call *c, const struct mag_coe *coe, const char *word);
/* One step towards no stack at all: lifecycle's remove of every driver with such stacks. */
int32_t mag_coe_remove(struct mag_call *c);

/* For `leave` and `left`, each: how long this operation may still wait for nodes to be empty, by
 * the label drain_timeout_seconds (default 60) and since it first asked; negative: no longer. */
int32_t mag_coe_time_left(struct mag_coe_run *r, int64_t *ret_ms);
/* usable masters of so many stay: the error of a request that would leave no majority; else OK. */
int32_t mag_coe_quorum(const struct mag_coe_run *r, size_t usable, size_t all);
/* The same for drivers with a way of their own. */
int32_t mag_masters_quorum(size_t usable, size_t all, mag_error *err);
/* Masters with volumes can't be replaced: one can't be moved to the server that comes while the one
 * that goes has it. UNSUPPORTED then. */
int32_t mag_masters_movable(const json_t *spec, const json_t *group, mag_error *err);

/* Nodes as they stand in the outputs: masters of the cluster's stack, or workers of any. group:
 * their nodegroup's uuid. A new list; NULL: no memory. */
json_t *mag_coe_masters(const json_t *outputs, const char *group);
json_t *mag_coe_workers(const json_t *outputs, const char *group);
/* An address that the conductor can reach: the public one, else the private one. */
const char *mag_coe_reach(const json_t *node);

/* What an operation would do (magnum/plan.h), by the spec alone: spec.params.kind names it. */
int32_t mag_coe_plan(struct mag_call *c, json_t **ret);

#endif
