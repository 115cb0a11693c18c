/* magnum/rotate.h - "mag.coe.rotate/1": CA in two phases, credentials. Optional.
 * prepare: old and new CA are both trusted, nodes and API carry certificates of the new one.
 * complete: the old CA is no longer trusted. Both are steps; a crash between them leaves a cluster
 * that works. A member that is NULL is not offered. */
#ifndef MAGNUM_ROTATE_H
#define MAGNUM_ROTATE_H

#include "magnum/lifecycle.h"

#define MAG_IFACE_ROTATE "mag.coe.rotate/1"

typedef struct mag_rotate {
    uint32_t struct_size;
    uint32_t reserved0;
    mag_step_fn ca_prepare;
    mag_step_fn ca_complete;
    mag_step_fn credential;
} mag_rotate;

#endif
