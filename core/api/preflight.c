/* See preflight.h. Counted is what every driver for virtual machines needs at least: a server and a
 * port per node, a security group, and the floating IPs a cluster asks for. */
#include "api/preflight.h"

#include "api/catalog.h"

static int64_t known(int64_t n)
{
    return n == MODEL_UNSET ? 0 : n;
}

static void count(const struct cluster *cl, const struct nodegroup *groups, size_t n,
                  struct cat_room *ret)
{
    *ret = (struct cat_room){.security_groups = 1};
    for (size_t i = 0; i < n; i++) {
        const struct nodegroup *g = &groups[i];
        ret->instances += g->node_count;
        ret->vcpus += g->node_count * known(g->vcpus);
        ret->ram_mb += g->node_count * known(g->ram_mb);
    }
    ret->ports = ret->instances;
    /* behind a load balancer nodes may do without */
    if (cl->floating_ip_enabled)
        ret->floating_ips = cl->master_lb_enabled ? 1 : ret->instances;
}

int preflight_check(const struct api_call *c, const struct cluster *cl, const struct template *t,
                    const struct nodegroup *groups, size_t n, struct err *e)
{
    const struct catalog *cat = c->api->catalog;
    struct cat_room need, room;
    if (!c->api->cfg->api_preflight_quotas || !cat->ops->room || !str_eq(t->server_type, "vm"))
        return 0;
    count(cl, groups, n, &need);
    cat->ops->room(cat->self, &c->who, &room);
    const struct {
        const char *service, *what;
        int64_t need, room;
    } all[] = {
        {"compute", "instances", need.instances, room.instances},
        {"compute", "VCPUs", need.vcpus, room.vcpus},
        {"compute", "MB of RAM", need.ram_mb, room.ram_mb},
        {"network", "ports", need.ports, room.ports},
        {"network", "floating IPs", need.floating_ips, room.floating_ips},
        {"network", "security groups", need.security_groups, room.security_groups},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].room >= 0 && all[i].need > all[i].room)
            return err_set(e, ERR_QUOTA,
                           "Resource limit exceeded: the cluster needs %lld %s, and the project's "
                           "quota of the %s service has %lld free.",
                           (long long)all[i].need, all[i].what, all[i].service,
                           (long long)all[i].room);
    return 0;
}
