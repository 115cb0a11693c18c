/* The parameters of coe_cluster.yaml and coe_nodegroup.yaml (sdk/heat) from a cluster's spec, and
 * the values that the nodes of every engine get in /etc/magnum/params.sh: the same for all drivers.
 * Neighbours: heat_coe, userdata, labels. */
#ifndef MAGNUM_SDK_LIB_HEAT_PARAMS_H
#define MAGNUM_SDK_LIB_HEAT_PARAMS_H

#include "lib/heat_cluster.h"
#include "lib/labels.h"
#include "lib/services.h"

/* The master group (master: true) or the workers' default group of the spec; NULL: it has none. */
const json_t *mag_params_group(const json_t *spec, bool master);

/* Of the cluster's own stack, but for what only the driver knows: api_port, user data files,
 * numbers of nodes and of generations. The caller decrefs *ret. */
int32_t mag_params_cluster(const mag_host *host, const json_t *spec, json_t **ret, mag_error *err);
/* A balancer and its members need a subnet by id: to a given network without one, its first subnet,
 * which Neutron is asked for, once: a cluster stays in the subnet of its stack, whatever comes
 * first later (another one would replace its balancer and the addresses of its nodes). Kept in the
 * operation's state. MAG_E_INVALID when the network has none. */
int32_t mag_params_subnet(struct mag_heat_set *s, json_t *parameters, mag_error *err);
/* What the operator's options say of new stacks stays as it was in those that are there: another
 * policy is another server group to Heat, and all servers would be replaced. nodegroup: its uuid,
 * or NULL for the cluster's own stack. Kept in the operation's state. */
int32_t mag_params_keep(struct mag_heat_set *s, const char *nodegroup, json_t *parameters,
                        mag_error *err);
/* Of a stack for one more group; outputs: those of the cluster's stack. The same is left out. */
int32_t mag_params_group_stack(const mag_host *host, const json_t *spec, const json_t *group,
                               const json_t *outputs, json_t **ret, mag_error *err);

/* Host names of a group's nodes but for their numbers: "<cluster>-master", "<cluster>-worker" or
 * "<cluster>-<group>". */
void mag_params_node_name(const json_t *spec, const json_t *group, char ret[64]);

/* Values for mag_userdata_params of the nodes of a group: names, addresses of services, the
 * trustee's login, proxies, registries, volumes, and each label as LABEL_<NAME>. It holds a
 * secret: the caller hands *ret to mag_wipe_json. */
int32_t mag_params_node(const mag_host *host, const mag_op *op, const json_t *spec,
                        const json_t *group, json_t **ret, mag_error *err);

#endif
