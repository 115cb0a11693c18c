/* magnum/upgrade.h - "mag.coe.upgrade/1": move a cluster to another template. Optional. */
#ifndef MAGNUM_UPGRADE_H
#define MAGNUM_UPGRADE_H

#include "magnum/lifecycle.h"

#define MAG_IFACE_UPGRADE "mag.coe.upgrade/1"

typedef struct mag_upgrade {
    uint32_t struct_size;
    uint32_t reserved0;
    /* Is the step from op->prior to op->spec allowed? Read only, within 2 s. *ret_json (may be set
     * to empty): {"allowed": bool, "reason": text, "replace": [node names in order], "batch": n}.
     */
    int32_t (*plan)(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err);
    mag_step_fn upgrade;
} mag_upgrade;

#endif
