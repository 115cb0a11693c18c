/* Members of an etcd, and how they are brought in line with the nodes there shall be: one change at
 * a time, each only while those that answer are a majority without the one that goes. Pure: the
 * driver asks and carries it out. Neighbours: plugins/kubernetes. */
#ifndef MAGNUM_SDK_LIB_ETCD_H
#define MAGNUM_SDK_LIB_ETCD_H

#include <magnum/error.h>

#include <stdbool.h>
#include <stddef.h>

enum { MAG_ETCD_MEMBERS_MAX = 16 };

struct mag_etcd_member { /* as etcd lists it */
    char id[20];         /* hexadecimal, as its own tools take it */
    char name[64];       /* "": it was added but never ran */
    char peer[64];       /* URL: what tells members apart */
};
/* What `etcdctl member list` writes, a line for each; INVALID: it is something else. */
int32_t mag_etcd_members(const char *text, struct mag_etcd_member ret[MAG_ETCD_MEMBERS_MAX],
                         size_t *ret_n, mag_error *err);

struct mag_etcd_host { /* a node that is a member, or shall become or cease to be one */
    char peer[64];
    bool leaving;
    bool well; /* it answered what only a majority can */
};
enum mag_etcd_action {
    MAG_ETCD_DONE,   /* the members are those hosts that stay, and all of them are well */
    MAG_ETCD_WAIT,   /* for the host to be well */
    MAG_ETCD_REMOVE, /* the member, and the host that has it, if any: the others are a majority */
    MAG_ETCD_ADD,    /* the host as a member */
    MAG_ETCD_LOST,   /* the member can't go: the others would be no majority */
};
enum { MAG_ETCD_NONE = -1 };
struct mag_etcd_next {
    enum mag_etcd_action action;
    int host, member; /* places in the lists, or MAG_ETCD_NONE */
};
/* Those that are ill go first, then new ones come, one for one; a member that no host has is one
 * that goes. */
struct mag_etcd_next mag_etcd_next(const struct mag_etcd_host *hosts, size_t n,
                                   const struct mag_etcd_member *members, size_t m);

/* Before the first step, of so many members: may these be replaced one after the other? */
bool mag_etcd_may_go(size_t members, size_t well, size_t ill_that_go, size_t well_that_go);

#endif
