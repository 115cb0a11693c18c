/* POST /v1/clusters/{id}/actions/resize and upgrade (api.md 7). See api_internal.h. */
#include "api/api_internal.h"
#include "api/driver_cache.h"
#include "api/driver_select.h"
#include "api/label_rules.h"
#include "api/labels.h"
#include "db/db_cluster.h"
#include "db/db_template.h"
#include "model/spec.h"

#include <string.h>

/* ---- resize ---- */

/* A driver that can resize its masters says so in its manifest: `resize_master: true`; one that
 * only replaces those that are named: `replace_master: true`. */
static int check_master(struct api_call *c, const struct cluster *cl, const struct nodegroup *n,
                        int64_t wanted, struct err *e)
{
    size_t named = json_array_size(json_object_get(c->body, "nodes_to_remove"));
    _cleanup_drivers_ struct driver_set *set = NULL;
    if (api_zed(c))
        return err_set(e, ERR_UNSUPPORTED, "Resizing a master nodegroup is not supported.");
    int rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc < 0)
        return rc;
    const struct driver_row *d = cl->driver_id ? driver_find(&set->rows, cl->driver_id) : NULL;
    if (d && jsonx_bool(d->manifest, "resize_master", false))
        return 0;
    if (d && jsonx_bool(d->manifest, "replace_master", false))
        return named && wanted == n->node_count
                   ? 0
                   : err_set(e, ERR_UNSUPPORTED,
                             "The number of masters stays at %lld with this driver; those named in "
                             "nodes_to_remove are replaced.",
                             (long long)n->node_count);
    return err_set(e, ERR_UNSUPPORTED,
                   "Resizing the master nodegroup is not supported by this driver.");
}

static int check_bounds(const struct nodegroup *n, int64_t wanted, struct err *e)
{
    char most[24] = "None";
    bool limited = n->max_node_count != MODEL_UNSET && n->max_node_count != 0;
    int64_t least = n->min_node_count == MODEL_UNSET ? 0 : n->min_node_count;
    if (wanted >= least && (!limited || wanted <= n->max_node_count))
        return 0;
    if (n->max_node_count != MODEL_UNSET)
        snprintf(most, sizeof most, "%lld", (long long)n->max_node_count);
    return err_set(e, ERR_INVALID,
                   "Resizing %s outside the allowed range: min_node_count = %lld, "
                   "max_node_count = %s",
                   n->name, (long long)least, most);
}

static int resize(struct api_call *c, struct cluster *cl, struct nodegroup *n,
                  struct idempotency *idem, struct err *e)
{
    struct db_scope scope = scope_own(c);
    struct db_change ch = DB_CHANGE_INIT;
    int64_t wanted = jsonx_int(c->body, "node_count", MODEL_UNSET);
    int rc = db_cluster_get(c->api->db, &scope, c->arg[0], cl, e);
    if (rc == 0)
        rc = enforce(c, "cluster:resize", cl->project_id, cl->user_id, e);
    if (rc == 0)
        rc = db_nodegroup_get(c->api->db, cl->uuid, jsonx_str(c->body, "nodegroup"), n, e);
    if (rc == 0 && wanted == MODEL_UNSET)
        rc = attrs_invalid(e, "node_count", NULL, "Mandatory field missing.");
    if (rc == 0)
        rc = str_eq(n->role, "master") ? check_master(c, cl, n, wanted, e)
                                       : check_bounds(n, wanted, e);
    if (rc < 0)
        return rc;
    _cleanup_json_ json_t *params =
        json_pack("{s:s, s:I, s:O}", "nodegroup", n->uuid, "node_count", (json_int_t)wanted,
                  "nodes_to_remove", json_object_get(c->body, "nodes_to_remove"));
    if (!params)
        return err_nomem(e);
    ch.nodegroup = n->uuid;
    ch.node_count = wanted;
    ch.params = params;
    return operation_accept(c, cl, OP_SCALE, false, &ch, idem, e);
}

int api_cluster_resize(struct api_call *c, struct err *e)
{
    struct idempotency idem;
    struct cluster cl;
    struct nodegroup n;
    if (c->minor < 10 && jsonx_int(c->body, "node_count", 1) == 0)
        return err_set(e, ERR_INVALID,
                       "Resizing a nodegroup to zero is not supported in the provided "
                       "microversion.");
    cluster_init(&cl);
    nodegroup_init(&n);
    int rc = idempotency_read(c, &idem, e);
    if (rc == 0)
        rc = resize(c, &cl, &n, &idem, e);
    if (rc == 0)
        rc = idempotency_mark(c, &idem, e);
    if (rc == 0)
        rc = answer_uuid(c, 202, cl.uuid, e);
    nodegroup_done(&n);
    cluster_done(&cl);
    return rc;
}

/* ---- upgrade ---- */

struct upgrade {
    struct cluster cl;
    struct template from, to;
    struct nodegroup group;
    struct idempotency idem;
    json_t *labels; /* of the cluster afterwards */
    json_t *params;
};

static int find(struct api_call *c, struct upgrade *u, struct err *e)
{
    struct db_scope scope, everywhere = {.all_projects = true, .admin = true};
    const char *to = jsonx_str(c->body, "cluster_template");
    int rc = scope_all(c, "cluster:upgrade_all_projects", &scope, e);
    if (rc == 0)
        rc = db_cluster_get(c->api->db, &scope, c->arg[0], &u->cl, e);
    if (rc == 0)
        rc = enforce(c, "cluster:upgrade", u->cl.project_id, u->cl.user_id, e);
    if (rc == 0 && !to)
        rc = attrs_invalid(e, "cluster_template", NULL, "Mandatory field missing.");
    if (rc == 0)
        rc = db_template_get(c->api->db, &scope, to, false, &u->to, e);
    if (rc == 0)
        rc =
            db_template_get(c->api->db, &everywhere, u->cl.cluster_template_id, false, &u->from, e);
    if (rc == 0)
        rc =
            db_nodegroup_get(c->api->db, u->cl.uuid, jsonx_str(c->body, "nodegroup"), &u->group, e);
    return rc;
}

/* Labels the cluster had from its old template follow to the new one; its own ones stay. */
static int move_labels(struct upgrade *u, struct err *e)
{
    const char *key;
    json_t *v;
    u->labels = labels_merge(u->cl.labels, NULL);
    if (!u->labels)
        return err_nomem(e);
    if (!json_is_object(u->to.labels))
        return 0;
    json_object_foreach(u->to.labels, key, v)
    {
        const json_t *now = json_object_get(u->labels, key);
        if ((!now || json_equal(now, json_object_get(u->from.labels, key))) &&
            json_object_set(u->labels, key, v) < 0)
            return err_nomem(e);
    }
    return 0;
}

static int check(struct api_call *c, struct upgrade *u, struct err *e)
{
    _cleanup_drivers_ struct driver_set *set = NULL;
    bool same = str_eq(u->from.uuid, u->to.uuid);
    if (!u->group.is_default && !same)
        return err_set(e, ERR_CONFLICT,
                       "Cluster Template is not valid for upgrade: Nodegroup %s can be upgraded "
                       "only to match cluster's template (%s).",
                       u->group.name, u->from.name);
    /* a repeated request is answered by the accepting transaction, whatever the state is now */
    if (!u->idem.db.key && !status_updatable(u->cl.status))
        return err_set(e, ERR_UNSUPPORTED,
                       "Upgrading a cluster when status is \"%s\" is not supported.",
                       u->cl.status ? u->cl.status : "None");
    int rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc < 0)
        return rc;
    const struct driver_row *d = u->cl.driver_id ? driver_find(&set->rows, u->cl.driver_id) : NULL;
    const struct driver_triple triple = {u->to.server_type, u->to.cluster_distro, u->to.coe};
    if (!d || !driver_offers(d, "mag.coe.upgrade/1"))
        return err_set(e, ERR_UNSUPPORTED, "'upgrade_cluster' is not supported by this driver.");
    if (!driver_provides(d, &triple))
        return err_set(e, ERR_CONFLICT,
                       "Cluster Template is not valid for upgrade: the cluster's driver %s does "
                       "not serve (%s, %s, %s).",
                       d->name, triple.server_type, triple.distro, triple.coe);
    rc = label_rules_check(c, d, u->labels, e);
    return rc < 0 ? rc : label_rules_change(d->label_schema, u->cl.labels, u->labels, e);
}

/* The driver's own word on the step, before anything is accepted. */
static int ask_driver(struct api_call *c, struct upgrade *u, struct err *e)
{
    struct nodegroup_list groups = {NULL, 0};
    _cleanup_json_ json_t *spec = NULL, *params = NULL, *result = NULL;
    struct cluster wanted = u->cl; /* borrows everything; the labels are the new ones */
    int rc = db_nodegroup_list(c->api->db, u->cl.uuid, NULL, NULL, &groups, e);
    wanted.labels = u->labels;
    wanted.cluster_template_id = u->to.uuid;
    if (rc == 0)
        spec = spec_build(&wanted, &u->to, groups.v, groups.n, u->params);
    nodegroup_list_done(&groups);
    if (rc < 0)
        return rc;
    if (spec)
        params = json_pack("{s:s, s:s?, s:s, s:s, s:O}", "driver_id", u->cl.driver_id,
                           "driver_version", u->cl.driver_version, "cluster", u->cl.uuid, "kind",
                           op_kind_name(OP_UPGRADE), "spec", spec);
    return conductor_call(c, "driver.validate", params, &result, e);
}

static int upgrade(struct api_call *c, struct upgrade *u, struct err *e)
{
    struct db_change ch = DB_CHANGE_INIT;
    int64_t batch = jsonx_int(c->body, "max_batch_size", MODEL_UNSET);
    int rc = find(c, u, e);
    if (rc == 0)
        rc = move_labels(u, e);
    if (rc == 0)
        rc = check(c, u, e);
    if (rc < 0)
        return rc;
    u->params = json_pack("{s:s, s:s, s:s}", "kind", op_kind_name(OP_UPGRADE), "nodegroup",
                          u->group.uuid, "cluster_template", u->to.uuid);
    if (!u->params || (batch != MODEL_UNSET &&
                       json_object_set_new(u->params, "max_batch_size", json_integer(batch)) < 0))
        return err_nomem(e);
    rc = ask_driver(c, u, e);
    if (rc < 0)
        return rc;
    ch.nodegroup = u->group.uuid;
    ch.template_uuid = u->to.uuid;
    ch.labels = u->labels;
    ch.params = u->params;
    return operation_accept(c, &u->cl, OP_UPGRADE, false, &ch, &u->idem, e);
}

int api_cluster_upgrade(struct api_call *c, struct err *e)
{
    struct upgrade u = {.labels = NULL};
    if (c->minor < 8)
        return err_set(e, ERR_INVALID,
                       "Cluster upgrade is not supported in the provided microversion.");
    cluster_init(&u.cl);
    template_init(&u.from);
    template_init(&u.to);
    nodegroup_init(&u.group);
    int rc = idempotency_read(c, &u.idem, e);
    if (rc == 0)
        rc = upgrade(c, &u, e);
    if (rc == 0)
        rc = idempotency_mark(c, &u.idem, e);
    if (rc == 0)
        rc = answer_uuid(c, 202, u.cl.uuid, e);
    cluster_done(&u.cl);
    template_done(&u.from);
    template_done(&u.to);
    nodegroup_done(&u.group);
    json_decref(u.labels);
    json_decref(u.params);
    return rc;
}
