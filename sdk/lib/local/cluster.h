/* A cluster of local nodes on this machine: its directory, its lock and the names derived from its
 * uuid. Every call into net.h and node.h takes the open cluster.
 *
 * The directory is STATE_DIR/<first 8 or more hex digits of the uuid>, short because socket paths
 * are limited to 107 bytes; its file "uuid" says whose it is. The lock file in it is held while a
 * driver call works on the cluster, and by every helper program that call started: after the call's
 * process was killed, the next one waits until such helpers are gone.
 * Neighbours: files, plugins/swarm. */
#ifndef MAGNUM_SDK_LIB_LOCAL_CLUSTER_H
#define MAGNUM_SDK_LIB_LOCAL_CLUSTER_H

#include <magnum/host.h>

#include <stdbool.h>

enum { MAG_LOCAL_NODES_MAX = 200, MAG_LOCAL_BASE_MAX = 80 };

struct mag_local_cluster {
    char uuid[37];
    char dir[MAG_LOCAL_BASE_MAX]; /* "" when the cluster has no directory here */
    char ip[128], helper[1024];   /* programs: iproute2's ip, magnum-local-node */
    int lock_fd;
};
#define MAG_LOCAL_CLUSTER_INIT                                                                     \
    (struct mag_local_cluster)                                                                     \
    {                                                                                              \
        .lock_fd = -1                                                                              \
    }

/* Finds (create: makes) the directory and takes the lock. MAG_AGAIN: another call or helper still
 * holds it. Without create and without a directory: MAG_OK with dir "". helper, ip: paths. */
int32_t mag_local_open(const char *state_dir, const char *uuid, const char *helper, const char *ip,
                       bool create, struct mag_local_cluster *ret, mag_error *err);
/* Gives the lock back. A closed or never opened one is fine. */
void mag_local_close(struct mag_local_cluster *c);
/* Removes the directory with all that is in it; the lock goes with it. */
int32_t mag_local_destroy(struct mag_local_cluster *c, mag_error *err);
/* The directory alone, without lock, for read-only looks; "" when there is none. */
int32_t mag_local_find(const char *state_dir, const char *uuid, char ret[MAG_LOCAL_BASE_MAX],
                       mag_error *err);

/* Derived from (cluster, index); index counts from 1. */
void mag_local_base(const struct mag_local_cluster *c, unsigned index,
                    char ret[MAG_LOCAL_BASE_MAX + 8]);
void mag_local_netns(const struct mag_local_cluster *c, unsigned index,
                     char ret[96]); /* 0: fabric */
void mag_local_cgroup(const struct mag_local_cluster *c, unsigned index, char ret[96]); /* 0: all */
void mag_local_address(unsigned index, char ret[16]);

#endif
