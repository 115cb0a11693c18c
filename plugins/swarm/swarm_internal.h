/* What the files of this plugin share: the instance, and one driver call with all it was given.
 * Neighbours: swarm.c (entry), local_*.c (clusters of local nodes). */
#ifndef SWARM_INTERNAL_H
#define SWARM_INTERNAL_H

#include "lib/labels.h"
#include "lib/local/check.h"
#include "lib/services.h"

#include <magnum/plugin.h>

struct swarm { /* one instance = one process of the driver host */
    const mag_host *host;
    struct mag_services services;
    const char *state_dir, *path;     /* path: where programs are looked for */
    struct mag_local_machine machine; /* what mag_local_check found */
    bool machine_ok;
    char front[1100]; /* the program magnum-swarm-front */
    char *answer;     /* last document given to the host */
};

/* Checks the machine until it was found fit once. */
int32_t swarm_machine(struct swarm *s, mag_error *err);

/* A call that changes a cluster: the verbs of lifecycle and nodegroups. */
struct swarm_call {
    struct swarm *self;
    const mag_op *op;
    mag_step *out;  /* NULL in verbs that are not steps */
    mag_error *err; /* filled by whoever returns a negative code */
    const json_t *spec;
    int64_t until_ms; /* monotonic: return to the host by then */
};

/* The verbs for local nodes; each a step as in lifecycle.h. */
int32_t local_validate(struct swarm_call *c);
int32_t local_ca_prepare(struct swarm_call *c);
int32_t local_ca_complete(struct swarm_call *c);
int32_t local_converge(struct swarm_call *c);
int32_t local_remove(struct swarm_call *c);
int32_t local_health(struct swarm_call *c);
/* *ret: a new document. */
int32_t local_stats(struct swarm_call *c, json_t **ret);
int32_t local_client_config(struct swarm_call *c, json_t **ret);
int32_t local_plan(struct swarm_call *c, json_t **ret);

/* Time to hand the process back, or asked to stop? */
bool swarm_out_of_time(const struct swarm_call *c);

#endif
