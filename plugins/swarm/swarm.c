/* org.magnum.swarm: Docker Swarm clusters. This file is the plugin's entry: descriptor, instance,
 * and the verbs of its interfaces, which hand over to the variant that makes the nodes.
 * Nodes on this machine: local_*.c; in a cloud, through Heat: heat_*.c. Neighbours:
 * sdk/include/magnum (the ABI), swarm_api. */
#include "heat_swarm.h"
#include "swarm_internal.h"
#include "workload.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <string.h>

int32_t swarm_machine(struct swarm *s, mag_error *err)
{
    static const struct mag_local_program programs[] = {
        {"dockerd", "docker.io"},
        {"containerd", "docker.io"},
        {"containerd-shim-runc-v2", "docker.io"},
        {"runc", "docker.io"},
        {"iptables", "iptables"},
    };
    if (s->site.fit)
        return MAG_OK;
    int32_t rc = mag_local_site_check(&s->site, s->base.host, programs, MAG_LEN(programs), err);
    if (rc == MAG_OK)
        rc = mag_local_beside(&s->site, "magnum-swarm-front", s->front, sizeof s->front, err);
    s->site.fit = rc == MAG_OK;
    return rc;
}

/* A delete knows no template when the database has lost it, or when nothing was stored yet: then
 * both ways are looked at. Without a stack in the ledger none was asked for, and there may be no
 * Heat at all. */
static int32_t remove_here(struct mag_call *c)
{
    _mag_json_ json_t *stacks = NULL;
    int32_t rc = local_remove(c);
    if (rc != MAG_OK || *mag_json_text(c->spec, "template.server_type", ""))
        return rc;
    rc = mag_ledger_list(&c->self->services, c->op, MAG_HEAT_LEDGER_KIND, &stacks, c->err);
    return rc == MAG_OK && json_array_size(stacks) ? mag_coe_remove(c) : rc;
}

static const struct mag_verbs local = {
    .validate = local_validate,
    .create = local_converge,
    .update = local_converge,
    .remove = remove_here,
    .scale = local_converge,
    .health = local_health,
    .group_create = local_converge,
    .group_update = local_converge,
    .group_remove = local_converge,
    .ca_prepare = local_ca_prepare,
    .ca_complete = local_ca_complete,
    .client_config = local_client_config,
    .stats = local_stats,
    .plan = local_plan,
    .list = workload_list,
    .get = workload_get,
    .make = workload_create,
    .drop = workload_remove,
    .act = workload_act,
};

static const struct mag_verbs heat = {
    .validate = heat_validate,
    .create = heat_converge,
    .update = heat_converge,
    .remove = mag_coe_remove,
    .scale = heat_converge,
    .health = heat_health,
    .group_create = heat_converge,
    .group_update = heat_converge,
    .group_remove = heat_converge,
    .ca_prepare = heat_ca_prepare,
    .ca_complete = heat_ca_complete,
    .client_config = local_client_config,
    .stats = heat_stats,
    .plan = mag_coe_plan,
    .list = workload_list,
    .get = workload_get,
    .make = workload_create,
    .drop = workload_remove,
    .act = workload_act,
};

static const struct mag_verbs *choose(const struct mag_call *c)
{
    const char *type = mag_json_text(c->spec, "template.server_type", "local");
    return *type && strcmp(type, "local") != 0 ? &heat : &local;
}

/* ---- the plugin ---- */

static int32_t start(struct mag_instance *self, mag_error *err)
{
    (void)err;
    mag_local_site_init(&((struct swarm *)self)->site, self->host, "/var/lib/magnum/swarm");
    return MAG_OK;
}

static int32_t probe(struct mag_instance *self, mag_error *err)
{
    mag_error why = {.struct_size = sizeof why};
    int32_t rc = swarm_machine((struct swarm *)self, &why);
    if (rc == MAG_OK)
        return rc;
    if (!*mag_config(self->host, "auth_url",
                     "")) { /* no cloud: all there could be is local nodes */
        *err = why;
        return rc;
    }
    mag_log(self->host, MAG_LOG_INFO, "No local nodes here: %s", why.message);
    return MAG_OK;
}

static const struct mag_driver driver = {
    .instance_size = sizeof(struct swarm),
    .verbs = &local,
    .choose = choose,
    .start = start,
    .probe = probe,
};
MAG_DRIVER(driver, "org.magnum.swarm", "0.1.0", "Magnum") /* version: as in the manifest */
