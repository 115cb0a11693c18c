/* See rules.h. */
#include "api/rules.h"

#include "api/catalog.h"
#include "api/driver_cache.h"
#include "api/driver_select.h"
#include "api/labels_zed.h"
#include "base/parse.h"

#include <string.h>

struct coe_rule {
    const char *coe;
    const char *networks[4], *networks_zed[4];
    const char *volume;
};
static const struct coe_rule coes[] = {
    {"kubernetes", {"flannel", "calico", "cilium"}, {"flannel", "calico"}, "cinder"},
    {"swarm", {"docker", "flannel"}, {NULL}, "rexray"},
    {"swarm-mode", {"docker", "flannel"}, {NULL}, "rexray"},
    {"mesos", {"docker"}, {NULL}, "rexray"},
};

/* 15.0.1 has no Mesos any more: there it is a COE as soon as a driver brings it. */
static int known_to_zed(const struct api_call *c, const char *coe, bool *ret, struct err *e)
{
    _cleanup_drivers_ struct driver_set *set = NULL;
    *ret = true;
    if (!api_zed(c) || strcmp(coe, "mesos") != 0)
        return 0;
    int rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc == 0)
        *ret = driver_serves_coe(c->api->cfg, c->who.project_id, &set->rows, coe);
    return rc;
}

static const struct coe_rule *coe_rule(const char *coe)
{
    for (size_t i = 0; i < ARRAY_LEN(coes); i++)
        if (str_eq(coes[i].coe, coe))
            return &coes[i];
    return NULL;
}

static bool among(const char *const *list, size_t n, const char *s)
{
    for (size_t i = 0; i < n && list[i]; i++)
        if (strcmp(list[i], s) == 0)
            return true;
    return false;
}

static void join(struct str *o, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n && list[i]; i++)
        str_printf(o, "%s/", list[i]);
    str_append(o, "unspecified");
}

static const struct strv *allowed_networks(const struct config *cfg, const char *coe)
{
    if (strcmp(coe, "kubernetes") == 0)
        return &cfg->cluster_template_kubernetes_allowed_network_drivers;
    if (strcmp(coe, "mesos") == 0)
        return &cfg->cluster_template_mesos_allowed_network_drivers;
    return &cfg->cluster_template_swarm_allowed_network_drivers;
}

const char *rule_default_network_driver(const struct api_call *c, const char *coe)
{
    const struct config *cfg = c->api->cfg;
    if (!coe_rule(coe))
        return NULL;
    if (strcmp(coe, "kubernetes") == 0)
        return cfg->cluster_template_kubernetes_default_network_driver;
    if (strcmp(coe, "mesos") == 0)
        return cfg->cluster_template_mesos_default_network_driver;
    return cfg->cluster_template_swarm_default_network_driver;
}

int rule_network_driver(const struct api_call *c, const char *coe, const char *driver,
                        struct err *e)
{
    const struct coe_rule *r = coe_rule(coe);
    _cleanup_str_ struct str list = STR_INIT;
    bool served = false;
    int rc = r ? known_to_zed(c, coe, &served, e) : 0;
    if (rc < 0)
        return rc;
    if (!served)
        return err_set(e, ERR_INVALID, "Requested COE type %s is not supported.",
                       coe ? coe : "None");
    if (!driver)
        return 0;
    const char *const *networks = api_zed(c) && r->networks_zed[0] ? r->networks_zed : r->networks;
    if (!among(networks, ARRAY_LEN(r->networks), driver)) {
        join(&list, networks, ARRAY_LEN(r->networks));
        return err_set(e, ERR_INVALID,
                       "Network driver type %s is not supported, expecting a %s network driver.",
                       driver, str_text(&list));
    }
    const struct strv *allowed = allowed_networks(c->api->cfg, coe);
    if (strv_has(allowed, "all") || strv_has(allowed, driver))
        return 0;
    join(&list, (const char *const *)allowed->v, allowed->n);
    return err_set(e, ERR_INVALID,
                   "Network driver type %s is not allowed, expecting a %s network driver. ", driver,
                   str_text(&list));
}

int rule_volume_driver(const char *coe, const char *driver, struct err *e)
{
    const struct coe_rule *r = coe_rule(coe);
    if (!driver || !r || strcmp(driver, r->volume) == 0)
        return 0;
    return err_set(e, ERR_INVALID,
                   "Volume driver type %s is not supported, expecting a %s/unspecified volume "
                   "driver.",
                   driver, r->volume);
}

int rule_storage_size(const char *storage_driver, int64_t volume_size, struct err *e)
{
    enum { LEAST = 3 };
    char size[24] = "None";
    if (!str_eq(storage_driver, "devicemapper") || volume_size >= LEAST)
        return 0;
    if (volume_size != MODEL_UNSET)
        snprintf(size, sizeof size, "%lld", (long long)volume_size);
    return err_set(e, ERR_INVALID,
                   "docker volume size %s GB is not valid, expecting minimum value 3GB for "
                   "devicemapper storage driver.",
                   size);
}

static int boot_size(const struct api_call *c, const json_t *labels, int64_t *ret, struct err *e)
{
    const char *s = jsonx_str(labels, "boot_volume_size");
    *ret = c->api->cfg->cluster_template_default_boot_volume_size;
    if (s && !parse_i64(s, INT32_MIN, INT32_MAX, ret))
        return err_set(e, ERR_INVALID, "boot_volume_size must be an integer");
    return 0;
}

int rule_root_volume(const struct api_call *c, const char *server_type, const json_t *labels,
                     const char *const *flavors, size_t n, struct err *e)
{
    const struct catalog *cat = c->api->catalog;
    int64_t size = 0;
    /* local nodes have no volumes; 15.0.1 has no such rule */
    if (api_zed(c) || str_eq(server_type, "local"))
        return 0;
    int rc = boot_size(c, labels, &size, e);
    for (size_t i = 0; rc == 0 && size <= 0 && i < n; i++) {
        struct cat_flavor f;
        if (!flavors[i])
            continue;
        rc = cat->ops->flavor(cat->self, &c->who, flavors[i], &f, e);
        if (rc == 0 && f.disk_gb == 0 && size == 0)
            return err_set(e, ERR_INVALID,
                           "Flavor with zero root volume size is not supported when "
                           "boot_volume_size is zero.");
    }
    return rc;
}

void rule_expect(const struct api_call *c, const struct resource_names *r, const char *keypair)
{
    const struct cat_name names[] = {
        {CAT_IMAGE, r->image},
        {CAT_FLAVOR, r->flavor},
        {CAT_FLAVOR, r->master_flavor},
        {CAT_EXTERNAL_NETWORK, r->external_network},
        {CAT_FIXED_NETWORK, api_zed(c) ? NULL : r->fixed_network},
        {CAT_FIXED_SUBNET, api_zed(c) ? NULL : r->fixed_subnet},
        {CAT_KEYPAIR, keypair},
    };
    catalog_expect(c->api->catalog, &c->who, names, ARRAY_LEN(names));
}

int rule_resources(const struct api_call *c, const struct resource_names *r, struct err *e)
{
    const struct catalog *cat = c->api->catalog;
    const char *flavors[] = {r->flavor, r->master_flavor};
    int rc = 0;
    if (r->image) {
        struct cat_image i;
        rc = cat->ops->image(cat->self, &c->who, r->image, &i, e);
        if (rc == 0)
            rc = catalog_check_distro(&i, r->image, e);
        if (rc == 0)
            cat_image_done(&i);
    }
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(flavors); i++) {
        struct cat_flavor f;
        if (flavors[i])
            rc = cat->ops->flavor(cat->self, &c->who, flavors[i], &f, e);
    }
    if (rc == 0 && r->external_network)
        rc = cat->ops->external_network(cat->self, &c->who, r->external_network, e);
    if (rc == 0 && r->fixed_network && !api_zed(c))
        rc = cat->ops->fixed_network(cat->self, &c->who, r->fixed_network, e);
    if (rc == 0 && r->fixed_subnet && !api_zed(c))
        rc = cat->ops->fixed_subnet(cat->self, &c->who, r->fixed_subnet, e);
    if (rc == 0 && api_zed(c))
        rc = labels_zed_check(r->labels, e);
    return rc;
}
