/* POST /v1/clusters (api.md 6.2, 6.3): the checks in Magnum's order, then one accepting
 * transaction. /v1/bays does the same for less (api.md 16). See api_internal.h. */
#include "api/api_internal.h"
#include "api/catalog.h"
#include "api/clusters.h"
#include "api/driver_cache.h"
#include "api/driver_select.h"
#include "api/etcd_discovery.h"
#include "api/label_rules.h"
#include "api/labels.h"
#include "api/preflight.h"
#include "api/quota_sizes.h"
#include "api/rules.h"
#include "api/text.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/uuid.h"
#include "db/db_cluster.h"
#include "db/db_service.h"
#include "db/db_template.h"

#include <string.h>

/* One create in work. */
struct create {
    struct cluster cl;
    struct template t;
    struct nodegroup groups[2]; /* default-master, default-worker */
    struct operation op;
    struct driver_set *drivers;
    const struct driver_row *driver; /* borrowed from drivers */
    struct idempotency idem;
};

static void create_init(struct create *k)
{
    memset(k, 0, sizeof *k);
    cluster_init(&k->cl);
    template_init(&k->t);
    nodegroup_init(&k->groups[0]);
    nodegroup_init(&k->groups[1]);
    operation_init(&k->op);
}

static void create_done(struct create *k)
{
    cluster_done(&k->cl);
    template_done(&k->t);
    nodegroup_done(&k->groups[0]);
    nodegroup_done(&k->groups[1]);
    operation_done(&k->op);
    driver_set_put(&k->drivers);
}

static int find_template(struct api_call *c, struct create *k, struct err *e)
{
    struct db_scope scope = scope_own(c);
    const char *ident = jsonx_str(c->body, "cluster_template_id");
    int rc = ident ? db_template_get(c->api->db, &scope, ident, true, &k->t, e)
                   : err_set(e, ERR_NOT_FOUND, "ClusterTemplate None could not be found.");
    /* until 1.9 a wrong reference in the body is the body's fault */
    if (rc == ERR_NOT_FOUND && (c->minor < 10 || api_old_names(c)))
        rc = e->code = ERR_INVALID;
    return rc;
}

/* The driver that the template names, as long as it may be used; else the one for the triple. */
static int find_driver(struct api_call *c, struct create *k, struct err *e)
{
    const struct driver_triple triple = {k->t.server_type, k->t.cluster_distro, k->t.coe};
    struct err unused = ERR_INIT;
    int rc = driver_cache_get(c->api->drivers, &k->drivers, e);
    if (rc < 0)
        return rc;
    if (k->t.driver && *k->t.driver &&
        driver_named(c->api->cfg, c->who.project_id, &k->drivers->rows, k->t.driver, &k->driver,
                     &unused) == 0 &&
        driver_provides(k->driver, &triple))
        return 0;
    return driver_for_triple(c->api->cfg, c->who.project_id, &k->drivers->rows, &triple, &k->driver,
                             e);
}

static int check_sizes(struct api_call *c, const struct create *k, struct err *e)
{
    int64_t masters = jsonx_int(c->body, "master_count", 1);
    int64_t volume = jsonx_int(c->body, "docker_volume_size", k->t.docker_volume_size);
    int rc = rule_storage_size(k->t.docker_storage_driver, volume, e);
    if (rc == 0)
        rc = cluster_check_bay(c, jsonx_int(c->body, "node_count", 1), e);
    if (rc < 0)
        return rc;
    if (!api_zed(c) && masters % 2 == 0)
        return err_set(e, ERR_INVALID,
                       "master nodegroup size of %lld is invalid, size cannot be an even number.",
                       (long long)masters);
    if (c->minor < 10 && jsonx_int(c->body, "node_count", 1) == 0)
        return err_set(e, ERR_INVALID,
                       "Resizing a nodegroup to zero is not supported in the provided "
                       "microversion.");
    return 0;
}

/* Asked early, because Magnum answers it before anything that is looked up elsewhere; what counts
 * is the check inside the accepting transaction. A repeated request must not run into the limit
 * that its first answer has filled. */
static int check_quota(struct api_call *c, const struct create *k, struct err *e)
{
    int64_t limit = 0, clusters = 0;
    if (k->idem.db.key)
        return 0;
    int rc = db_quota_clusters(c->api->db, c->who.project_id ? c->who.project_id : "",
                               c->api->cfg->quotas_max_clusters_per_project, &limit, &clusters, e);
    if (rc < 0 || clusters < limit)
        return rc;
    return err_set(e, ERR_QUOTA,
                   "Resource limit exceeded: You have reached the maximum clusters per project, "
                   "%lld. You may delete a cluster to make room for a new one.",
                   (long long)limit);
}

static char *own_or(const json_t *body, const char *key, const char *inherited, bool *oom)
{
    const char *own = jsonx_str(body, key);
    return copy(own ? own : inherited, oom);
}

static json_t *effective_labels(const json_t *body, const struct template *t)
{
    const json_t *own = json_object_get(body, "labels");
    if (!json_is_object(own) || labels_empty(own))
        return labels_merge(t->labels, NULL);
    if (jsonx_bool(body, "merge_labels", false))
        return labels_merge(t->labels, own);
    return labels_merge(own, NULL);
}

static int inherit(struct api_call *c, struct create *k, struct err *e)
{
    const json_t *b = c->body;
    const struct template *t = &k->t;
    struct cluster *cl = &k->cl;
    char uuid[UUID_TEXT], name[64];
    bool oom = false;
    uuid_make(uuid);
    text_make_name(api_old_names(c) ? "bay" : "cluster", name, sizeof name);
    cl->uuid = copy(uuid, &oom);
    cl->name = own_or(b, "name", name, &oom);
    cl->project_id = copy(c->who.project_id, &oom);
    cl->user_id = copy(c->who.user_id, &oom);
    cl->cluster_template_id = copy(t->uuid, &oom);
    cl->keypair = own_or(b, "keypair", t->keypair_id, &oom);
    cl->docker_volume_size = jsonx_int(b, "docker_volume_size", t->docker_volume_size);
    cl->labels = effective_labels(b, t);
    cl->master_flavor_id = own_or(b, "master_flavor_id", t->master_flavor_id, &oom);
    cl->flavor_id = own_or(b, "flavor_id", t->flavor_id, &oom);
    cl->create_timeout = jsonx_int(b, "create_timeout", 60);
    cl->discovery_url = own_or(b, "discovery_url", NULL, &oom);
    cl->fixed_network = own_or(b, "fixed_network", t->fixed_network, &oom);
    cl->fixed_subnet = own_or(b, "fixed_subnet", t->fixed_subnet, &oom);
    cl->floating_ip_enabled = jsonx_bool(b, "floating_ip_enabled", t->floating_ip_enabled);
    cl->master_lb_enabled = jsonx_bool(b, "master_lb_enabled", t->master_lb_enabled);
    cl->driver_id = copy(k->driver->id, &oom);
    cl->driver_version = copy(k->driver->version, &oom);
    cl->status = copy(status_on_accept(OP_CREATE), &oom);
    return oom || !cl->labels ? err_nomem(e) : 0;
}

static int check_resources(struct api_call *c, const struct create *k, struct err *e)
{
    const struct catalog *cat = c->api->catalog;
    const struct cluster *cl = &k->cl;
    const char *flavors[] = {cl->flavor_id, cl->master_flavor_id};
    const struct resource_names r = {k->t.image_id,
                                     cl->flavor_id,
                                     cl->master_flavor_id,
                                     k->t.external_network_id,
                                     cl->fixed_network,
                                     cl->fixed_subnet,
                                     cl->labels};
    rule_expect(c, &r, cl->keypair);
    int rc = rule_root_volume(c, k->t.server_type, cl->labels, flavors, ARRAY_LEN(flavors), e);
    if (rc == 0)
        rc = rule_resources(c, &r, e);
    if (rc == 0)
        rc = label_rules_check(c, k->driver, cl->labels, e);
    if (rc == 0 && cl->keypair)
        rc = cat->ops->keypair(cat->self, &c->who, cl->keypair, e);
    if (rc == 0 && !cl->master_lb_enabled && jsonx_int(c->body, "master_count", 1) > 1)
        rc = err_set(e, ERR_INVALID, "master_count must be 1 when master_lb_enabled is False");
    return rc;
}

/* data-model.md 3. */
static int make_group(const struct create *k, bool master, int64_t count, struct nodegroup *n,
                      struct err *e)
{
    const struct cluster *cl = &k->cl;
    const char *least = jsonx_str(cl->labels, "min_node_count");
    char uuid[UUID_TEXT];
    bool oom = false;
    uuid_make(uuid);
    n->uuid = copy(uuid, &oom);
    n->name = copy(master ? "default-master" : "default-worker", &oom);
    n->role = copy(master ? "master" : "worker", &oom);
    n->cluster_id = copy(cl->uuid, &oom);
    n->project_id = copy(cl->project_id, &oom);
    n->docker_volume_size = cl->docker_volume_size;
    n->labels = json_deep_copy(cl->labels);
    n->flavor_id = copy(master ? cl->master_flavor_id : cl->flavor_id, &oom);
    n->image_id = copy(k->t.image_id, &oom);
    n->node_addresses = json_array();
    n->node_count = count;
    n->min_node_count = 0;
    if (!master && least)
        (void)parse_i64(least, 0, INT32_MAX, &n->min_node_count);
    n->is_default = true;
    n->status = copy(status_on_accept(OP_CREATE), &oom);
    n->node_labels = json_object();
    n->node_taints = json_array();
    return oom || !n->labels || !n->node_addresses || !n->node_labels || !n->node_taints
               ? err_nomem(e)
               : 0;
}

static int accept(struct api_call *c, struct create *k, struct err *e)
{
    int rc = make_group(k, true, jsonx_int(c->body, "master_count", 1), &k->groups[0], e);
    if (rc == 0)
        rc = make_group(k, false, jsonx_int(c->body, "node_count", 1), &k->groups[1], e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(k->groups); i++)
        quota_size_group(c, &k->groups[i]);
    if (rc == 0)
        rc = preflight_check(c, &k->cl, &k->t, k->groups, ARRAY_LEN(k->groups), e);
    if (rc == 0)
        rc = operation_prepare(c, OP_CREATE, &k->cl, k->cl.create_timeout, &k->op, e);
    if (c->plan)
        k->idem.db = (struct db_idempotency){.dry_run = true};
    if (rc == 0 && !c->plan)
        rc = operation_seal_token(c, OP_CREATE, &k->op, e);
    if (rc == 0)
        rc = db_accept_create(c->api->db, &k->cl, &k->t, k->groups, 2, &k->op, NULL,
                              c->api->cfg->quotas_max_clusters_per_project, &k->idem.db, e);
    if (rc == 0 && c->plan)
        return plan_note(c, &k->op, e);
    if (rc == 0 && !k->idem.db.replayed) {
        log_context_add(&(struct log_context){.cluster = k->cl.uuid});
        operation_wake(c, "op.due", k->op.id);
    }
    return rc;
}

static int create(struct api_call *c, struct create *k, struct err *e)
{
    int rc = find_template(c, k, e);
    if (rc == 0)
        rc = find_driver(c, k, e);
    if (rc == 0)
        rc = check_sizes(c, k, e);
    if (rc == 0)
        rc = enforce_self(c, api_old_names(c) ? "bay:create" : "cluster:create", e);
    if (rc == 0)
        rc = check_quota(c, k, e);
    if (rc == 0 && k->t.hidden && !c->who.is_admin && !api_zed(c))
        rc = err_set(e, ERR_FORBIDDEN, "Not authorized.");
    if (rc == 0)
        rc = labels_no_null(json_object_get(c->body, "labels"), e);
    if (rc == 0)
        rc = inherit(c, k, e);
    if (rc == 0)
        rc = check_resources(c, k, e);
    if (rc == 0)
        rc = etcd_discovery_for(c, k->driver, &k->cl, jsonx_int(c->body, "master_count", 1), e);
    if (rc == 0)
        rc = accept(c, k, e);
    return rc;
}

static int created(struct api_call *c, const char *uuid, struct err *e)
{
    char location[400];
    snprintf(location, sizeof location, "%s/v1/bays/%s", c->base, uuid);
    if (api_old_names(c) && c->minor == 1 && http_response_header(c->rp, "Location", location) < 0)
        return err_nomem(e);
    return cluster_changed(c, 201, uuid, e);
}

int api_cluster_create(struct api_call *c, struct err *e)
{
    struct create k;
    if (api_old_names(c) && cluster_rename(c->body, true) < 0)
        return err_nomem(e);
    create_init(&k);
    int rc = idempotency_read(c, &k.idem, e);
    if (rc == 0)
        rc = create(c, &k, e);
    if (rc == 0)
        rc = idempotency_mark(c, &k.idem, e);
    if (rc == 0)
        rc = created(c, k.idem.db.replayed ? k.idem.db.resource : k.cl.uuid, e);
    create_done(&k);
    return rc;
}
