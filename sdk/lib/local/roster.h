/* Which nodes a local cluster has, as its driver decided: pure data and decisions, no I/O
 * (roster_store.h stores it). A node is never called back once it was chosen to leave, and an index
 * (from which names and addresses derive) is used again as late as possible.
 * Neighbours: roster_store, purge, plugins/kubernetes. */
#ifndef MAGNUM_SDK_LIB_LOCAL_ROSTER_H
#define MAGNUM_SDK_LIB_LOCAL_ROSTER_H

#include "lib/json.h"

#include <stddef.h>

struct mag_roster_node {
    unsigned index;   /* 1..200 */
    char name[64];    /* host name */
    char group[37];   /* nodegroup uuid */
    bool master;      /* of the group it was made for */
    bool leaving;     /* chosen for removal: never undone */
    int64_t drain_ms; /* since when it drains (unix time), 0 = not yet */
    char version[24]; /* of the COE it runs, by the driver; "" = not yet started */
};
struct mag_roster {
    int64_t rev;
    char machine[72];    /* the machine that has the nodes: an id that outlives its restarts */
    char host[64];       /* and its name, for people */
    unsigned last_index; /* last one given out; the next search starts behind it */
    json_t *facts;       /* the driver's own, small; an object, owned */
    struct mag_roster_node *v; /* in the order they were allocated: the last is the newest */
    size_t n;
};

void mag_roster_done(struct mag_roster *r);
/* NULL or a document of another shape: an empty one. */
int32_t mag_roster_read(const json_t *doc, struct mag_roster *ret, mag_error *err);
json_t *mag_roster_write(const struct mag_roster *r); /* NULL = no memory */
struct mag_roster_node *mag_roster_find(const struct mag_roster *r, unsigned index);
void mag_roster_drop(struct mag_roster *r, unsigned index);
/* The oldest master that stays; NULL: none. */
const struct mag_roster_node *mag_roster_first_master(const struct mag_roster *r);

struct mag_roster_group {
    const char *uuid, *name;
    bool master;
    bool by_name; /* `remove` may name its nodes: set for all but masters; a driver may add those */
    size_t count;
    const json_t *json; /* borrowed from the spec */
};
enum { MAG_ROSTER_GROUPS_MAX = 64 };
/* The nodegroups wanted; gone_group (or NULL) is one whose nodes all have to go. Checks the counts:
 * an odd number of masters up to 7, at most 200 nodes in all. */
int32_t mag_roster_groups(const json_t *spec, const char *gone_group,
                          struct mag_roster_group ret[MAG_ROSTER_GROUPS_MAX], size_t *ret_n,
                          mag_error *err);

/* For drivers that replace masters: those of the group that the request is about (the spec's
 * params.nodegroup; none: all) may be named, too. */
void mag_roster_masters_by_name(struct mag_roster_group *groups, size_t n, const json_t *spec);

/* Brings the list in line with the groups: marks nodes as leaving (those named by `remove` first,
 * then the newest), allocates new ones. remove: the spec's nodes_to_remove, each a name, an address
 * or an index. *ret_changed: the list has to be stored before anything is made of it. */
int32_t mag_roster_plan(struct mag_roster *r, const char *cluster_name,
                        const struct mag_roster_group *groups, size_t n_groups,
                        const json_t *remove, bool *ret_changed, mag_error *err);

#endif
