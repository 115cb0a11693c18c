/* What the files of this plugin share. Neighbours: mesos.c (entry), mesos_cluster.c (stacks),
 * mesos_members.c (agents, health), mesos_api. */
#ifndef MESOS_INTERNAL_H
#define MESOS_INTERNAL_H

#include "lib/heat_coe.h"
#include "mesos_api.h"

#include <magnum/plugin.h>

struct mesos { /* one instance = one process of the driver host */
    const mag_host *host;
    struct mag_services services;
    char *answer; /* last document given to the host */
};

struct mesos_call { /* one driver call with all it was given */
    struct mesos *self;
    const mag_op *op;
    mag_step *out;  /* NULL in verbs that are not steps */
    mag_error *err; /* filled by whoever returns a negative code */
    const json_t *spec;
    struct mag_heat_set set; /* open while a change runs */
};

/* mesos_cluster.c: the verbs; each a step as in lifecycle.h. */
int32_t mesos_validate(struct mesos_call *c);
int32_t mesos_converge(struct mesos_call *c);
int32_t mesos_remove(struct mesos_call *c);
int32_t mesos_plan(struct mesos_call *c, json_t **ret);

/* mesos_members.c: for mag_coe; ctx is a mesos_call. Agents without tasks go first; those that go
 * are put under maintenance and taken down, so that their tasks start elsewhere while they last.
 * Masters that can't be asked hold nothing up for longer than the label drain_timeout_seconds. */
int32_t mesos_order(void *ctx, json_t *nodes, mag_error *err);
int32_t mesos_leave(void *ctx, const json_t *nodes, mag_step *out, mag_error *err);
int32_t mesos_left(void *ctx, const json_t *nodes, mag_step *out, mag_error *err);
int32_t mesos_health(struct mesos_call *c);
int32_t mesos_stats(struct mesos_call *c, json_t **ret);

/* mesos_cluster.c: the masters by the addresses that were published last: none while they are made.
 * Borrows from the spec. */
struct mesos_masters mesos_masters_of(const struct mesos_call *c);

#endif
