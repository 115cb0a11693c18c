/* Life of a cluster whose stacks are coe_cluster.yaml and coe_nodegroup.yaml (sdk/heat), for any
 * engine: create, update, scale and nodegroups are one convergence of all its stacks. A driver adds
 * what only it knows by the functions of mag_coe; what was decided is stored before anything is
 * done, so any step may run twice. State: members of mag_heat_set's document: "generation",
 * "change", "plan", "removed"; what outlives an operation stands in the outputs of the stacks.
 *
 * A node here is {"n": its number in its group, "name", "id": its server's, "address", "public",
 * "group": the nodegroup's uuid}. Numbers are never used again.
 * Neighbours: heat_cluster, heat_params, drivers. */
#ifndef MAGNUM_SDK_LIB_HEAT_COE_H
#define MAGNUM_SDK_LIB_HEAT_COE_H

#include "lib/heat_cluster.h"
#include "lib/heat_params.h"

struct mag_coe {
    const char *templates; /* name of the driver's folder of templates */
    void *ctx;
    /* Adds to the parameters of the cluster's stack what only the driver knows: api_port at least.
     */
    int32_t (*parameters)(void *ctx, json_t *parameters, mag_error *err);
    /* *ret: the user data of a node of that group; the caller wipes and frees it. */
    int32_t (*user_data)(void *ctx, const json_t *group, char **ret, mag_error *err);
    /* Puts a group's nodes into the order they go in, the first to go first. NULL: newest first. */
    int32_t (*order)(void *ctx, json_t *nodes, mag_error *err);
    /* Each a step (MAG_AGAIN with *out filled): before Heat takes these nodes away, and after.
     * NULL: nothing to do. */
    int32_t (*leave)(void *ctx, const json_t *nodes, mag_step *out, mag_error *err);
    int32_t (*left)(void *ctx, const json_t *nodes, mag_step *out, mag_error *err);
};

/* One step towards the spec. MAG_OK: all stacks are as wanted, and node_addresses and node_count of
 * each group are published; *ret_outputs (may be NULL): those of the cluster's own stack. */
int32_t mag_coe_converge(struct mag_heat_set *s, const struct mag_coe *coe, const json_t *spec,
                         json_t **ret_outputs, mag_step *out, mag_error *err);
/* The same, after all nodes were told of a change, once for each operation and word: their metadata
 * "magnum_change" says the word, and each reports again when it made the change. */
int32_t mag_coe_change(struct mag_heat_set *s, const struct mag_coe *coe, const json_t *spec,
                       const char *word, mag_step *out, mag_error *err);

/* For `leave` and `left`: how long this operation may still wait for nodes to be empty, by the
 * label drain_timeout_seconds (default 60) and since it first asked; negative: no longer. */
int32_t mag_coe_time_left(struct mag_heat_set *s, const json_t *spec, int64_t *ret_ms,
                          mag_error *err);

/* Nodes as they stand in the outputs: masters of the cluster's stack, or workers of any. group:
 * their nodegroup's uuid. A new list; NULL: no memory. */
json_t *mag_coe_masters(const json_t *outputs, const char *group);
json_t *mag_coe_workers(const json_t *outputs, const char *group);
/* An address that the conductor can reach: the public one, else the private one. */
const char *mag_coe_reach(const json_t *node);

/* What an operation would do (magnum/plan.h), by the spec alone: spec.params.kind names it. A new
 * document; NULL: no memory. */
json_t *mag_coe_plan(const mag_op *op, const json_t *spec);

#endif
