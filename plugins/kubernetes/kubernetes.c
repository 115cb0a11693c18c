/* org.magnum.kubernetes: Kubernetes clusters. This file is the plugin's entry: descriptor,
 * instance, and the verbs of its interfaces, which hand over to the variant that makes the nodes.
 * Nodes on this machine: local_*.c; servers in a cloud, through Heat: heat_*.c.
 * Neighbours: sdk/include/magnum (the ABI), workload.c. */
#include "kubernetes_internal.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

static int32_t find_cni(const struct kubernetes *s, mag_error *err)
{
    static const char *const plugins[] = {"bridge", "host-local", "portmap", "loopback"};
    const char *dir = mag_config(s->base.host, "cni_path", "/usr/lib/cni");
    char path[300];
    for (size_t i = 0; i < MAG_LEN(plugins); i++) {
        (void)snprintf(path, sizeof path, "%.200s/%s", dir, plugins[i]);
        if (access(path, X_OK) < 0)
            return mag_fail(
                err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                "on the conductor's machine: apt-get install containernetworking-plugins",
                "Kubernetes' nodes need the CNI plugin %s, which is not in %.200s", plugins[i],
                dir);
    }
    return MAG_OK;
}

int32_t kubernetes_machine(struct kubernetes *s, mag_error *err)
{
    static const struct mag_local_program programs[] = {
        {"etcd", "etcd-server"},
        {"containerd", "containerd"},
        {"containerd-shim-runc-v2", "containerd"},
        {"ctr", "containerd"},
        {"runc", "runc"},
        {"iptables", "iptables"},
        {"conntrack", "conntrack"},
        {"ipset", "ipset"},
        {"ethtool", "ethtool"},
        {"socat", "socat"},
        {"busybox", "busybox-static"},
        {"mount", "mount"},
        {"nsenter", "util-linux"},
        {"sha256sum", "coreutils"},
        {"tar", "tar"},
    };
    if (s->site.fit)
        return MAG_OK;
    int32_t rc = mag_local_site_check(&s->site, s->base.host, programs, MAG_LEN(programs), err);
    if (rc == MAG_OK)
        rc = mag_local_beside(&s->site, "magnum-local-group", s->group, sizeof s->group, err);
    if (rc == MAG_OK)
        rc = find_cni(s, err);
    if (rc == MAG_OK)
        rc = binaries_find(s, err);
    s->site.fit = rc == MAG_OK;
    return rc;
}

struct mag_kube kube_api(const struct mag_call *c, uint32_t timeout_ms)
{
    return (struct mag_kube){c->self->host, c->op, "cluster", timeout_ms};
}

/* Does the ledger know of a stack? What can't be read is left to the cluster's own words. */
static bool has_stack(const struct mag_call *c)
{
    _mag_json_ json_t *stacks = NULL;
    mag_error e = {.struct_size = sizeof e};
    return mag_ledger_list(&c->self->services, c->op, MAG_HEAT_LEDGER_KIND, &stacks, &e) ==
               MAG_OK &&
           json_array_size(stacks) > 0;
}

/* Nodes on this machine or servers in a cloud: the template says. Where it can't be read any more,
 * a cluster that has a stack is the latter. */
static bool is_local(const struct mag_call *c)
{
    const char *type = mag_json_text(c->spec, "template.server_type", NULL);
    if (type)
        return strcmp(type, "local") == 0;
    return !mag_json_text(c->spec, "cluster.stack_id", NULL) && !has_stack(c);
}

static const struct mag_verbs local = {
    .validate = local_validate,
    .create = local_converge,
    .update = local_converge,
    .remove = local_remove,
    .scale = local_converge,
    .health = local_health,
    .group_create = local_converge,
    .group_update = local_converge,
    .group_remove = local_converge,
    .upgrade = local_converge,
    .upgrade_plan = local_upgrade_plan,
    .ca_prepare = local_rotate_prepare,
    .ca_complete = local_rotate_complete,
    .credential = local_converge, /* local nodes hold nothing of the cloud that could change */
    .client_config = cluster_client_config,
    .stats = local_stats,
    .plan = local_plan,
    .list = workload_list,
    .get = workload_get,
    .make = workload_create,
    .change = workload_update,
    .drop = workload_remove,
};

static const struct mag_verbs heat = {
    .validate = heat_validate,
    .create = heat_converge,
    .update = heat_converge,
    .remove = heat_remove,
    .scale = heat_converge,
    .health = heat_health,
    .group_create = heat_converge,
    .group_update = heat_converge,
    .group_remove = heat_remove_group,
    .upgrade = heat_converge,
    .upgrade_plan = heat_upgrade_plan,
    .ca_prepare = heat_rotate_prepare,
    .ca_complete = heat_rotate_complete,
    .credential = heat_rotate_credential,
    .client_config = cluster_client_config,
    .stats = heat_stats,
    .plan = heat_plan,
    .list = workload_list,
    .get = workload_get,
    .make = workload_create,
    .change = workload_update,
    .drop = workload_remove,
};

static const struct mag_verbs *choose(const struct mag_call *c)
{
    return is_local(c) ? &local : &heat;
}

/* ---- the plugin ---- */

static int32_t start(struct mag_instance *self, mag_error *err)
{
    (void)err;
    mag_local_site_init(&((struct kubernetes *)self)->site, self->host,
                        "/var/lib/magnum/kubernetes");
    return MAG_OK;
}

static void stop(struct mag_instance *self)
{
    mag_heat_cache_done(&((struct kubernetes *)self)->stacks);
}

/* Where there is a cloud, clusters do not need this machine's programs; a request for local nodes
 * is told what is missing when it is checked. */
static int32_t probe(struct mag_instance *self, mag_error *err)
{
    bool cloud = *mag_config(self->host, "auth_url", "") != '\0';
    return cloud ? MAG_OK : kubernetes_machine((struct kubernetes *)self, err);
}

static const struct mag_driver driver = {
    .instance_size = sizeof(struct kubernetes),
    .verbs = &local,
    .choose = choose,
    .start = start,
    .stop = stop,
    .probe = probe,
};
MAG_DRIVER(driver, "org.magnum.kubernetes", "0.1.0", "Magnum") /* version: as in the manifest */
