/* The network of a cluster of local nodes: one namespace with a bridge (the fabric) and one
 * namespace with an eth0 on that bridge per node. Nothing is made in the host's own namespace, and
 * no node has a default route. Every function looks first, accepts what is there, and checks what
 * it made. All need the open cluster. Neighbours: cluster, spawn, node. */
#ifndef MAGNUM_SDK_LIB_LOCAL_NET_H
#define MAGNUM_SDK_LIB_LOCAL_NET_H

#include "lib/local/cluster.h"

#include <stddef.h>

bool mag_net_exists(const struct mag_local_cluster *c, unsigned index); /* 0: the fabric */
int32_t mag_net_fabric_up(const struct mag_local_cluster *c, mag_error *err);
/* Namespaces, links and addresses of these nodes; the fabric is up. */
int32_t mag_net_nodes_up(const struct mag_local_cluster *c, const unsigned *index, size_t n,
                         mag_error *err);
/* Removes a namespace with its links; absent is fine. 0: the fabric. */
int32_t mag_net_down(const struct mag_local_cluster *c, unsigned index, mag_error *err);
/* Indexes of this cluster's namespaces that exist (fabric: 0), at most cap; returns how many. */
size_t mag_net_list(const struct mag_local_cluster *c, unsigned *ret, size_t cap);
/* Kills every process inside the node's namespace, and waits for their ends. MAG_AGAIN: some are
 * still there after wait_ms. */
int32_t mag_net_kill_all(const struct mag_local_cluster *c, unsigned index, int64_t wait_ms,
                         mag_error *err);

#endif
