/* Swarm clusters through Heat: the verbs, and what they do with the swarm itself while Heat works
 * on its nodes. Neighbours: swarm.c (verbs), lib/heat_coe (stacks), heat_members.c. */
#ifndef SWARM_HEAT_SWARM_H
#define SWARM_HEAT_SWARM_H

#include "lib/heat_coe.h"
#include "swarm_api.h"
#include "swarm_internal.h"

/* The verbs; each a step as in lifecycle.h. */
int32_t heat_validate(struct swarm_call *c);
int32_t heat_converge(struct swarm_call *c);
int32_t heat_ca_prepare(struct swarm_call *c);
int32_t heat_ca_complete(struct swarm_call *c);
int32_t heat_remove(struct swarm_call *c);
int32_t heat_health(struct swarm_call *c);
/* *ret: a new document. */
int32_t heat_stats(struct swarm_call *c, json_t **ret);
int32_t heat_plan(struct swarm_call *c, json_t **ret);

struct heat_run { /* one step of a change */
    struct swarm_call *c;
    struct mag_heat_set set;
};
/* heat_members.c, for mag_coe: nodes are drained before their servers go, and taken off the
 * managers' list afterwards. A swarm that can't be asked holds nothing up for longer than the label
 * drain_timeout_seconds. */
int32_t heat_leave(void *ctx, const json_t *nodes, mag_step *out, mag_error *err);
int32_t heat_left(void *ctx, const json_t *nodes, mag_step *out, mag_error *err);
/* A manager, through the cluster's API. */
struct mag_docker heat_docker(const struct swarm_call *c, uint32_t timeout_ms);

#endif
