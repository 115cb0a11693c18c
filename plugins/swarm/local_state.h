/* Which nodes a local cluster has, as this driver decided: pure data and decisions, no I/O.
 * Stored twice, in the core's database (the driver's blob) and in the cluster's directory; the one
 * with the higher revision counts. Losing one of them costs nothing.
 * Neighbours: local_cluster. */
#ifndef SWARM_LOCAL_STATE_H
#define SWARM_LOCAL_STATE_H

#include "lib/json.h"

#include <stddef.h>

struct local_node {
    unsigned index;   /* 1..200; its names and its address derive from it */
    char name[64];    /* host name */
    char group[37];   /* nodegroup uuid */
    bool manager;     /* wanted role */
    bool leaving;     /* chosen for removal: never undone */
    int64_t drain_ms; /* since when it drains (unix time), 0 = not yet */
};
struct local_state {
    int64_t rev;
    char machine[72];     /* the machine that has the nodes: an id that outlives its restarts */
    char host[64];        /* and its name, for people */
    unsigned last_index;  /* last one given out; the next search starts behind it */
    bool swarm_made;      /* a swarm was initialised: never again */
    struct local_node *v; /* in the order they were allocated: the last is the newest */
    size_t n;
};

void local_state_done(struct local_state *st);
/* NULL or a document of another shape: an empty state. */
int32_t local_state_read(const json_t *doc, struct local_state *ret, mag_error *err);
json_t *local_state_write(const struct local_state *st); /* NULL = no memory */
struct local_node *local_state_find(const struct local_state *st, unsigned index);
void local_state_drop(struct local_state *st, unsigned index);
/* The manager every client talks to: the oldest one that stays. NULL: none. */
const struct local_node *local_state_first_manager(const struct local_state *st);

struct local_group {
    const char *uuid, *name;
    bool manager;
    size_t count;
    const json_t *json; /* borrowed from the spec */
};
enum { LOCAL_GROUPS_MAX = 64 };
/* The nodegroups wanted; gone_group (or NULL) is one whose nodes all have to go. Checks the counts:
 * an odd number of managers up to 7, at most 200 nodes. */
int32_t local_groups(const json_t *spec, const char *gone_group,
                     struct local_group ret[LOCAL_GROUPS_MAX], size_t *ret_n, mag_error *err);

/* Brings the list in line with the groups: marks nodes as leaving (those named by `remove` first,
 * then the newest), allocates new ones. remove: the spec's nodes_to_remove, each a name, an
 * address, an index or a Docker node id; id_of (may be NULL) gives the latter for an index.
 * *ret_changed: the list has to be stored before anything is made of it. */
typedef const char *(*local_id_fn)(void *ctx, unsigned index);
int32_t local_state_plan(struct local_state *st, const char *cluster_name,
                         const struct local_group *groups, size_t n_groups, const json_t *remove,
                         local_id_fn id_of, void *ctx, bool *ret_changed, mag_error *err);

#endif
