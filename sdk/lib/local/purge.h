/* Removal of local nodes and of whole local clusters. It asks no daemon and needs no state: what
 * there is to remove is found from the roster, the ledger, the directory and the namespaces' names,
 * whatever of these is still there. Ledger kinds: "node" and "netns", named like the namespace.
 * Neighbours: node, net, cgroup, roster_store, plugins/kubernetes. */
#ifndef MAGNUM_SDK_LIB_LOCAL_PURGE_H
#define MAGNUM_SDK_LIB_LOCAL_PURGE_H

#include "lib/local/cluster.h"
#include "lib/services.h"

struct mag_purge { /* one driver call; borrowed */
    const struct mag_services *services;
    const mag_op *op;
    struct mag_local_cluster *cluster; /* open */
};

/* Declares a node and its namespace. */
int32_t mag_purge_declare(const struct mag_purge *p, unsigned index, const char *hostname,
                          mag_error *err);
/* The index in a name of the ledger ("mag-<uuid>-n<index>"); 0: none. */
unsigned mag_purge_index(const char *name, const char *uuid);
/* Powers nodes off, removes all of them on this machine and in the ledger. MAG_AGAIN when something
 * is not gone yet. With MAG_OPF_FORCE what can't be removed is logged and left. */
int32_t mag_purge_nodes(const struct mag_purge *p, const unsigned *index, size_t n,
                        int64_t grace_ms, mag_error *err);
/* All nodes, the fabric, the cgroups, the directory, and the ledger's entries of these kinds. */
int32_t mag_purge_cluster(const struct mag_purge *p, mag_error *err);
/* The ledger against the roster: what the cluster has is confirmed (external_id: the node's name),
 * what it does not have (an interrupted removal, a lost state) is removed now. MAG_AGAIN: something
 * is not gone yet. */
struct mag_roster;
int32_t mag_purge_settle(const struct mag_purge *p, const struct mag_roster *r, mag_error *err);

#endif
