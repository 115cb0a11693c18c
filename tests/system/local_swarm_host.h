/* A small host for one plugin, in the process of the test: what the core offers to a driver, with
 * its database as one JSON file, so that a child can be killed at any upcall and another goes on.
 * Neighbours: local_swarm.c, local_swarm_crash.c. */
#ifndef TESTS_LOCAL_SWARM_HOST_H
#define TESTS_LOCAL_SWARM_HOST_H

#include <jansson.h>
#include <magnum/lifecycle.h>
#include <stdbool.h>

struct world {                /* one test's surroundings */
    char dir[64];             /* temporary: state directory of the driver, store, certificates */
    char state_dir[80];       /* below it */
    char uuid[37];            /* of the cluster */
    const char *program_path; /* option program_path of the driver, or NULL */
};
/* Makes a fresh directory, a CA and a cluster id; 0 or -1. Ends the world that was there. */
int world_init(struct world *w);
/* Removes what is left of the cluster by the driver itself, then the directory. Twice is fine. */
void world_done(struct world *w);

/* One call in a child process: verb is "create", "update", "scale", "remove", "health",
 * "validate", "probe" or "client_config". Steps are repeated until they end. */
struct drive {
    const char *verb;
    uint32_t kind; /* MAG_OP_* */
    const char *op_id;
    const json_t *spec;
    int die_after;     /* SIGKILL itself after this many upcalls that change something; 0 = never */
    int kill_after_ms; /* killed from outside after this time; 0 = never */
    int fence_after;   /* this checkpoint and all later ones say PRECONDITION; 0 = never */
};
struct driven {
    bool killed;
    int32_t rc; /* of the last step */
    uint32_t flags;
    char reason[64], message[448], remedy[256], step_message[192];
    int upcalls, after_fence, steps;
    long long ms;
};
/* 0, or -1 when the child could not be run. */
int drive(struct world *w, const struct drive *d, struct driven *ret);

/* The stored JSON: {"state": text, "ledger": [..], "outputs": {..}}; the caller decrefs. */
json_t *world_store(const struct world *w);
/* A client certificate of the world's CA in its directory: ca.pem, cert.pem, key.pem. */
int world_client_cert(const struct world *w);

#endif
