/* One local node from the plugin's side: is it alive, start it, power it off, remove it.
 *
 * BASE = <cluster directory>/n<index>:
 *   lock       held by the node's first process for as long as it lives: the truth about "alive"
 *   node.json  {"v", "pid", "start", "boot", "port"}: whom to signal; written before anything runs
 *   log        of the daemons (log.1: the one before)
 * A node outlives the plugin's process and its host; whoever comes next adopts it by these files.
 * Starting and stopping goes through the helper program magnum-local-node and through pidfds.
 * Neighbours: cluster, net, cgroup, record, node_start. */
#ifndef MAGNUM_SDK_LIB_LOCAL_NODE_H
#define MAGNUM_SDK_LIB_LOCAL_NODE_H

#include "lib/local/cluster.h"
#include "lib/local/record.h"

#include <stddef.h>

enum mag_node_state {
    MAG_NODE_ABSENT,   /* no directory */
    MAG_NODE_STOPPED,  /* nothing of it runs */
    MAG_NODE_CHANGING, /* being started, or its last processes are just ending: look again */
    MAG_NODE_RUNNING
};
/* ret (may be NULL): its record; zeroed when there is none. */
enum mag_node_state mag_node_look(const char *base, struct mag_node_record *ret);

struct mag_node_start {
    unsigned index;
    const char *hostname;
    const char *const *argv;  /* the daemon, absolute path first */
    const char *const *binds; /* "/target=name": BASE/name becomes /target in the node; or NULL */
    const char *path;         /* PATH of the daemon */
    uint64_t memory_mb;       /* 0 = no limit */
    bool listen; /* a TCP socket on 127.0.0.1 of the host is the daemon's descriptor 3 */
};
/* Starts those that do not run, all at once; their networks are up. Returns when their daemons were
 * executed, not when these serve. */
int32_t mag_nodes_start(const struct mag_local_cluster *c, const struct mag_node_start *v, size_t n,
                        mag_error *err);
/* Ends them: SIGTERM, up to grace_ms (0 = none) for them to end by themselves, SIGKILL. MAG_AGAIN
 * when one is not gone yet. Not running is fine. */
int32_t mag_nodes_stop(const struct mag_local_cluster *c, const unsigned *index, size_t n,
                       int64_t grace_ms, mag_error *err);
/* Removes all of a stopped node: namespace, cgroups, directory. MAG_AGAIN: look again. */
int32_t mag_node_remove(const struct mag_local_cluster *c, unsigned index, mag_error *err);
/* The last `cap` bytes of a node's log as one line, for messages; "" when there is none. */
void mag_node_last_words(const char *base, char *ret, size_t cap);

#endif
