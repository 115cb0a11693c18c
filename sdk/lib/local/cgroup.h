/* The cgroup directories of local nodes, in every hierarchy that is mounted: the old ones (one per
 * controller), the hybrid layout and cgroup v2 alone.
 * PATH/daemon holds the node's daemons, PATH/<container> its containers; limits sit on PATH.
 * Neighbours: node, node_start (the helper program). */
#ifndef MAGNUM_SDK_LIB_LOCAL_CGROUP_H
#define MAGNUM_SDK_LIB_LOCAL_CGROUP_H

#include <magnum/host.h>

#include <stdbool.h>

/* Is there a memory controller? */
bool mag_cgroup_has_memory(void);
/* Makes PATH/daemon in every hierarchy and moves the calling process there, so that it is neither
 * limited nor killed with the caller's group. memory_mb 0: no limit of its own. */
int32_t mag_cgroup_enter(const char *path, uint64_t memory_mb, mag_error *err);
/* Makes PATH itself in every hierarchy, also where daemons are not moved to (cpuset, which it fills
 * as its parent is): for daemons that want to make their own groups below it. */
int32_t mag_cgroup_prepare(const char *path, mag_error *err);
/* Removes PATH and all below in every hierarchy, then "/magnum" if nothing else is in it. Absent
 * is fine. MAG_AGAIN: some process is still in it. */
int32_t mag_cgroup_remove(const char *path, mag_error *err);
/* Bytes in use by all of PATH; false when not known. */
bool mag_cgroup_memory_used(const char *path, uint64_t *ret);

#endif
