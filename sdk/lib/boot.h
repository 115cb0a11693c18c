/* The user data of a node from Magnum's data files: share/magnum/boot/shared and the folder of the
 * engine, each with a list FILES of what goes where; and the two files with the node's values,
 * /etc/magnum/params.sh (the driver's) and /etc/magnum/heat.sh (Heat's, see sdk/heat/server.yaml).
 * Part of the library magnum_userdata. Neighbours: userdata, heat_params, heat_coe. */
#ifndef MAGNUM_SDK_LIB_BOOT_H
#define MAGNUM_SDK_LIB_BOOT_H

#include "lib/driver.h"

/* FILES has a line for each file: "<file> <path on the node> <mode> <master|worker|all>
 * [label=value...]", where all the labels must be as said; # begins a comment. A path that ends in
 * .service or .timer is a unit of that name, enabled when its mode is "enabled", else "unit".
 * engine: its folder; the plugin's option boot_dir replaces it. params: as mag_params_node makes
 * them. The node runs /opt/magnum/boot.sh. The caller wipes and frees *ret: it has a secret. */
int32_t mag_boot_user_data(const mag_host *host, const char *engine, const json_t *params,
                           const char *os_distro, char **ret, mag_error *err);

/* The same for a node of that group: what mag_params_node says of it, and own, the driver's values
 * (taken; NULL: there was no memory for them). */
int32_t mag_boot_node(const struct mag_call *c, const char *engine, const json_t *group,
                      json_t *own, char **ret);

#endif
