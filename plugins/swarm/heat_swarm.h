/* Swarm clusters through Heat: the verbs, and what they do with the swarm itself while Heat works
 * on its nodes. Neighbours: swarm.c (verbs), lib/heat_coe (stacks), heat_members.c. */
#ifndef SWARM_HEAT_SWARM_H
#define SWARM_HEAT_SWARM_H

#include "lib/heat_coe.h"
#include "swarm_api.h"
#include "swarm_internal.h"

/* The verbs; each a step as in lifecycle.h. */
int32_t heat_validate(struct mag_call *c);
int32_t heat_converge(struct mag_call *c);
int32_t heat_ca_prepare(struct mag_call *c);
int32_t heat_ca_complete(struct mag_call *c);
int32_t heat_health(struct mag_call *c);
/* *ret: a new document. */
int32_t heat_stats(struct mag_call *c, json_t **ret);

/* heat_members.c, for mag_coe: nodes are drained before their servers go, and taken off the
 * managers' list afterwards. A swarm that can't be asked holds nothing up for longer than the label
 * drain_timeout_seconds. */
int32_t heat_leave(struct mag_coe_run *r, const json_t *nodes);
int32_t heat_left(struct mag_coe_run *r, const json_t *nodes);
/* Managers stop being members before their servers go, if those that stay are a majority. */
int32_t heat_managers_leave(struct mag_coe_run *r, const json_t *nodes);
int32_t heat_managers_left(struct mag_coe_run *r, const json_t *nodes);
/* A manager, through the cluster's API. */
struct mag_docker heat_docker(const struct mag_call *c, uint32_t timeout_ms);

#endif
