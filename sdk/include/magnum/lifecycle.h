/* magnum/lifecycle.h - "mag.coe.lifecycle/1", the one interface every COE driver offers.
 *
 * Each verb is a resumable step, not a long call: the host calls it again and again until it
 * returns MAG_OK or fails. Rules: (1) stay below op->budget_ms, never sleep; (2) begin by looking
 * at the world (state blob, ledger, GET by derived name): any step may run twice; (3) converge to
 * op->spec; (4) remove works from any state, even an empty blob and an unknown cluster, and ends
 * MAG_OK when nothing is left; absent means done; (5) names are derived from ids, never random. */
#ifndef MAGNUM_LIFECYCLE_H
#define MAGNUM_LIFECYCLE_H

#include "magnum/plugin.h"

#define MAG_IFACE_LIFECYCLE "mag.coe.lifecycle/1"

/* out->struct_size is set by the host; out is zeroed before the call. */
typedef int32_t (*mag_step_fn)(void *self, const mag_op *op, mag_step *out, mag_error *err);

/* A NULL verb is not offered; the manifest's `operations` says the same. */
typedef struct mag_lifecycle {
    uint32_t struct_size;
    uint32_t reserved0;
    /* No side effects, no remote call that changes anything; within 2 s. The operation
     * that would follow is in spec.params.kind. May be NULL: everything is accepted. */
    int32_t (*validate)(void *self, const mag_op *op, mag_error *err);
    mag_step_fn create;
    mag_step_fn update; /* converge to a changed spec */
    mag_step_fn remove; /* delete the cluster */
    mag_step_fn scale;  /* resize any nodegroup, incl. nodes_to_remove and 0 nodes */
    /* The periodic look: publishes health_status and its reasons; read only. Unreachable is
     * UNKNOWN with a reason, never UNHEALTHY. */
    mag_step_fn health;
} mag_lifecycle;

#endif
