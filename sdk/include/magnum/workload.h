/* magnum/workload.h - "mag.coe.workload/1": the objects of the first Magnum. Optional.
 * Short, synchronous, at most op->budget_ms. kind: "pod", "service", "rc", "container", "node".
 * A new kind is not a new ABI. Documents are JSON. */
#ifndef MAGNUM_WORKLOAD_H
#define MAGNUM_WORKLOAD_H

#include "magnum/plugin.h"

#define MAG_IFACE_WORKLOAD "mag.coe.workload/1"

typedef struct mag_workload {
    uint32_t struct_size;
    uint32_t reserved0;
    int32_t (*list)(void *self, const mag_op *op, const char *kind, mag_bytes query,
                    mag_bytes *ret_json, mag_error *err);
    int32_t (*get)(void *self, const mag_op *op, const char *kind, const char *name,
                   mag_bytes *ret_json, mag_error *err);
    int32_t (*create)(void *self, const mag_op *op, const char *kind, mag_bytes doc,
                      mag_bytes *ret_json, mag_error *err);
    int32_t (*update)(void *self, const mag_op *op, const char *kind, const char *name,
                      mag_bytes doc, mag_bytes *ret_json, mag_error *err);
    int32_t (*remove)(void *self, const mag_op *op, const char *kind, const char *name,
                      mag_error *err);
    /* verb: "start", "stop", "reboot", "pause", "unpause", "logs", "execute". */
    int32_t (*action)(void *self, const mag_op *op, const char *kind, const char *name,
                      const char *verb, mag_bytes args, mag_bytes *ret_json, mag_error *err);
} mag_workload;

#endif
