/* What the files of this plugin share. Neighbours: mesos.c (entry), mesos_cluster.c (stacks),
 * mesos_members.c (agents, health), mesos_api. */
#ifndef MESOS_INTERNAL_H
#define MESOS_INTERNAL_H

#include "lib/heat_coe.h"
#include "mesos_api.h"

/* mesos_cluster.c: the verbs; each a step as in lifecycle.h. */
int32_t mesos_validate(struct mag_call *c);
int32_t mesos_converge(struct mag_call *c);

/* mesos_members.c: for mag_coe. Agents without tasks go first; those that go
 * are put under maintenance and taken down, so that their tasks start elsewhere while they last.
 * Masters that can't be asked hold nothing up for longer than the label drain_timeout_seconds. */
int32_t mesos_order(struct mag_coe_run *r, json_t *nodes);
int32_t mesos_leave(struct mag_coe_run *r, const json_t *nodes);
int32_t mesos_left(struct mag_coe_run *r, const json_t *nodes);
int32_t mesos_masters_leave(struct mag_coe_run *r, const json_t *nodes);
int32_t mesos_health(struct mag_call *c);
int32_t mesos_stats(struct mag_call *c, json_t **ret);

/* mesos_cluster.c: the masters by the addresses that were published last: none while they are made.
 * Borrows from the spec. */
struct mesos_masters mesos_masters_of(const struct mag_call *c);

#endif
