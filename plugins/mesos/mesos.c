/* org.magnum.mesos: Mesos clusters through Heat. This file is the plugin's table of verbs.
 * Neighbours: mesos_cluster.c, mesos_members.c, lib/driver. */
#include "mesos_internal.h"

static const struct mag_verbs verbs = {
    .validate = mesos_validate,
    .create = mesos_converge,
    .update = mesos_converge,
    .remove = mag_coe_remove,
    .scale = mesos_converge,
    .health = mesos_health,
    .group_create = mesos_converge,
    .group_update = mesos_converge,
    .group_remove = mesos_converge,
    .stats = mesos_stats,
    .plan = mag_coe_plan,
};

static const struct mag_driver driver = {
    .instance_size = sizeof(struct mag_instance),
    .verbs = &verbs,
};
MAG_DRIVER(driver, "org.magnum.mesos", "0.1.0", "Magnum") /* version: as in the manifest */
