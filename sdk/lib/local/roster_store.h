/* Where a roster is kept: in the core's database (the driver's blob) and in the cluster's directory
 * (state.json). The one with the higher revision counts; losing one of them costs nothing.
 * Neighbours: roster, cluster, plugins/kubernetes. */
#ifndef MAGNUM_SDK_LIB_LOCAL_ROSTER_STORE_H
#define MAGNUM_SDK_LIB_LOCAL_ROSTER_STORE_H

#include "lib/local/cluster.h"
#include "lib/local/roster.h"
#include "lib/services.h"

/* MAG_E_UNAVAILABLE when the cluster's nodes are on another machine: its conductor has to work on
 * it, and nothing of it may be made here a second time. */
int32_t mag_roster_here(const mag_op *op, const char *state_dir, mag_error *err);
/* dir: of the cluster, or "". What can't be read counts as lost. */
int32_t mag_roster_load(const mag_host *host, const mag_op *op, const char *dir,
                        struct mag_roster *ret, mag_error *err);
/* Stores it in both places with the next revision; MAG_E_PRECONDITION when fenced. */
int32_t mag_roster_save(const mag_host *host, const mag_op *op, const struct mag_local_cluster *c,
                        struct mag_roster *r, mag_error *err);

#endif
