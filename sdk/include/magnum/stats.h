/* magnum/stats.h - "mag.coe.stats/1": capacity and use of a cluster. Optional, read only. */
#ifndef MAGNUM_STATS_H
#define MAGNUM_STATS_H

#include "magnum/plugin.h"

#define MAG_IFACE_STATS "mag.coe.stats/1"

typedef struct mag_stats {
    uint32_t struct_size;
    uint32_t reserved0;
    /* *ret_json: {"nodes": n, "cpu": {"capacity": n, "used": n}, "memory_mb": {...}}. */
    int32_t (*read)(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err);
} mag_stats;

#endif
