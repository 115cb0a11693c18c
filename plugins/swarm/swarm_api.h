/* Docker's swarm mode over the API of one daemon: what a step asks and says. Answers are reduced to
 * what the driver decides on. Neighbours: lib/docker, local_*.c. */
#ifndef SWARM_API_H
#define SWARM_API_H

#include "lib/docker.h"

struct swarm_info { /* GET /info */
    char state[16]; /* inactive, pending, active, error, locked */
    char id[40];    /* node id; "" outside of a swarm */
    bool control;   /* a manager that serves the swarm's API */
    char version[48];
    int64_t cpus, memory;
};
int32_t swarm_info(const struct mag_docker *d, struct swarm_info *ret, mag_error *err);

struct swarm_init {
    const char *address; /* of the node, without port */
    int64_t heartbeat_ns;
};
/* MAG_OK also when the daemon is in a swarm already. */
int32_t swarm_init(const struct mag_docker *d, const struct swarm_init *in, mag_error *err);
struct swarm_tokens {
    char worker[128], manager[128];
};
int32_t swarm_tokens(const struct mag_docker *d, struct swarm_tokens *ret, mag_error *err);
/* remotes: JSON list of "address:2377" of managers; token decides on the role. */
int32_t swarm_join(const struct mag_docker *d, const char *address, const json_t *remotes,
                   const char *token, mag_error *err);
/* Not in a swarm is fine. */
int32_t swarm_leave(const struct mag_docker *d, mag_error *err);

/* GET /nodes on a manager: a JSON list, to be decref'ed. *status: the daemon's answer, 0 when it
 * gave none (503: it is no manager; 500: no quorum). */
int32_t swarm_nodes(const struct mag_docker *d, json_t **ret, uint32_t *status, mag_error *err);
/* Entries of that list. */
static inline const char *swarm_node_id(const json_t *e)
{
    return mag_json_text(e, "ID", "");
}
static inline const char *swarm_node_host(const json_t *e)
{
    return mag_json_text(e, "Description.Hostname", "");
}
static inline const char *swarm_node_state(const json_t *e)
{
    return mag_json_text(e, "Status.State", "");
}
static inline bool swarm_node_is_manager(const json_t *e)
{
    return mag_json_at(e, "ManagerStatus") != NULL;
}

struct swarm_wanted {         /* what a node's spec shall say; NULL members are left as they are */
    const char *role;         /* worker, manager */
    const char *availability; /* active, drain */
    const json_t *labels;     /* these are set, others stay */
};
/* Does the entry already say so? */
bool swarm_node_matches(const json_t *entry, const struct swarm_wanted *w);
int32_t swarm_node_update(const struct mag_docker *d, const char *id, const struct swarm_wanted *w,
                          mag_error *err);
/* By force; unknown is fine. */
int32_t swarm_node_delete(const struct mag_docker *d, const char *id, mag_error *err);
/* How many containers run on this daemon; tasks_only: the swarm's own alone. */
int32_t swarm_containers(const struct mag_docker *d, bool tasks_only, size_t *ret, mag_error *err);

/* What running tasks reserved: the share that the swarm's scheduler counts as used. */
struct swarm_reserved {
    int64_t nano_cpus, bytes;
};
int32_t swarm_reserved(const struct mag_docker *d, struct swarm_reserved *ret, mag_error *err);

#endif
