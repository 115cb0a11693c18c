/* What the files of this plugin share: the instance, and the verbs of its local nodes.
 * Neighbours: swarm.c (entry), local_*.c (clusters of local nodes). */
#ifndef SWARM_INTERNAL_H
#define SWARM_INTERNAL_H

#include "lib/labels.h"
#include "lib/local/run.h"

struct swarm {
    struct mag_instance base;
    struct mag_local_site site;
    char front[1100]; /* the program magnum-swarm-front */
};
static inline struct swarm *swarm_of(const struct mag_call *c)
{
    return (struct swarm *)c->self;
}

/* Checks the machine until it was found fit once. */
int32_t swarm_machine(struct swarm *s, mag_error *err);

/* The verbs for local nodes; each a step as in lifecycle.h. */
int32_t local_validate(struct mag_call *c);
int32_t local_ca_prepare(struct mag_call *c);
int32_t local_ca_complete(struct mag_call *c);
int32_t local_converge(struct mag_call *c);
int32_t local_remove(struct mag_call *c);
int32_t local_health(struct mag_call *c);
/* *ret: a new document. */
int32_t local_stats(struct mag_call *c, json_t **ret);
int32_t local_client_config(struct mag_call *c, json_t **ret);
int32_t local_plan(struct mag_call *c, json_t **ret);

#endif
