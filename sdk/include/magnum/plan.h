/* magnum/plan.h - "mag.coe.plan/1": what a create, update or scale would do, as data. Optional. */
#ifndef MAGNUM_PLAN_H
#define MAGNUM_PLAN_H

#include "magnum/plugin.h"

#define MAG_IFACE_PLAN "mag.coe.plan/1"

typedef struct mag_plan {
    uint32_t struct_size;
    uint32_t reserved0;
    /* spec.params.kind names the operation. *ret_json: {"make": [..], "change": [..],
     * "remove": [..]}, each entry {"kind", "name", "detail"}. Read only. */
    int32_t (*plan)(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err);
} mag_plan;

#endif
