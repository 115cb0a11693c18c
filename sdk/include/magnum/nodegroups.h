/* magnum/nodegroups.h - "mag.coe.nodegroups/1": groups besides the two default ones. Optional.
 * Steps as in lifecycle.h; op->nodegroup_id names the group, op->spec holds all groups wanted. */
#ifndef MAGNUM_NODEGROUPS_H
#define MAGNUM_NODEGROUPS_H

#include "magnum/lifecycle.h"

#define MAG_IFACE_NODEGROUPS "mag.coe.nodegroups/1"

typedef struct mag_nodegroups {
    uint32_t struct_size;
    uint32_t reserved0;
    mag_step_fn create;
    mag_step_fn update;
    mag_step_fn remove; /* the group is no longer in op->spec.nodegroups */
} mag_nodegroups;

#endif
