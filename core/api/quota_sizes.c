/* See quota_sizes.h. */
#include "api/quota_sizes.h"

#include "api/catalog.h"
#include "base/parse.h"

/* A label with a size; text that is none was refused before. */
static int64_t gb_of(const json_t *labels, const char *label, int64_t missing)
{
    const char *s = jsonx_str(labels, label);
    int64_t gb = missing;
    return !s || parse_i64(s, 0, INT32_MAX, &gb) ? gb : missing;
}

static int64_t positive(int64_t gb)
{
    return gb > 0 ? gb : 0;
}

void quota_size_group(const struct api_call *c, struct nodegroup *n)
{
    const struct catalog *cat = c->api->catalog;
    struct err unused = ERR_INIT; /* names were checked; without an answer nothing is known */
    struct cat_flavor f;
    n->vcpus = n->ram_mb = MODEL_UNSET;
    if (n->flavor_id && cat->ops->flavor(cat->self, &c->who, n->flavor_id, &f, &unused) == 0) {
        n->vcpus = f.vcpus;
        n->ram_mb = f.ram_mb;
    }
    int64_t boot = c->api->cfg->cluster_template_default_boot_volume_size;
    n->volume_gb =
        positive(n->docker_volume_size) + positive(gb_of(n->labels, "boot_volume_size", boot));
    if (str_eq(n->role, "master"))
        n->volume_gb += positive(gb_of(n->labels, "etcd_volume_size", 0));
}

void quota_limits_of(const struct config *cfg, struct quota_limits *ret)
{
    *ret = (struct quota_limits){
        .most = {[QUOTA_MASTERS] = cfg->quotas_max_masters_per_project,
                 [QUOTA_NODES] = cfg->quotas_max_nodes_per_project,
                 [QUOTA_VCPUS] = cfg->quotas_max_vcpus_per_project,
                 [QUOTA_RAM] = cfg->quotas_max_ram_mb_per_project,
                 [QUOTA_VOLUMES] = cfg->quotas_max_volumes_gb_per_project,
                 [QUOTA_LOAD_BALANCERS] = cfg->quotas_max_load_balancers_per_project}};
}
