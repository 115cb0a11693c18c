/* /v1/clusters/{id}/nodegroups (api.md 8). See api_internal.h; rules of node labels and taints are
 * in nodegroup_rules.c. */
#include "api/api_internal.h"
#include "api/driver_cache.h"
#include "api/driver_select.h"
#include "api/label_rules.h"
#include "api/labels.h"
#include "api/nodegroup_rules.h"
#include "api/quota_sizes.h"
#include "api/rules.h"
#include "api/views.h"
#include "base/uuid.h"
#include "db/db_cluster.h"
#include "db/db_template.h"

#include <string.h>

/* ---- list, show ---- */

static int find_cluster(struct api_call *c, const char *rule, const char *all_rule,
                        struct cluster *cl, struct err *e)
{
    struct db_scope scope = scope_own(c);
    int rc = enforce_self(c, rule, e);
    if (rc == 0 && all_rule)
        rc = scope_all(c, all_rule, &scope, e);
    if (rc == 0)
        rc = db_cluster_get(c->api->db, &scope, c->arg[0], cl, e);
    return rc;
}

int api_nodegroup_list(struct api_call *c, struct err *e)
{
    struct nodegroup_list l = {NULL, 0};
    struct cluster cl;
    struct page p;
    char path[96];
    cluster_init(&cl);
    int rc = find_cluster(c, "nodegroup:get_all", "nodegroup:get_all_all_projects", &cl, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc == 0)
        rc = db_nodegroup_list(db_for_lists(c->api->db), cl.uuid, query_get(&c->query, "role"),
                               &p.db, &l, e);
    if (rc == 0) {
        snprintf(path, sizeof path, "clusters/%s/nodegroups", cl.uuid);
        str_append(&c->rp->body, "{\"nodegroups\":[");
        for (size_t i = 0; i < l.n; i++)
            view_nodegroup(c, &l.v[i], VIEW_SUMMARY, false);
        page_close(c, &p, path, l.n, l.n ? l.v[l.n - 1].uuid : "");
        rc = answer(c, 200, e);
    }
    nodegroup_list_done(&l);
    cluster_done(&cl);
    return rc;
}

static int show(struct api_call *c, int status, const struct cluster *cl, struct nodegroup *n,
                struct err *e)
{
    if (!n->cluster_labels)
        n->cluster_labels = json_incref(cl->labels);
    view_nodegroup(c, n, VIEW_FULL, false);
    return answer(c, status, e);
}

int api_nodegroup_show(struct api_call *c, struct err *e)
{
    struct cluster cl;
    struct nodegroup n;
    cluster_init(&cl);
    nodegroup_init(&n);
    int rc = find_cluster(c, "nodegroup:get", "nodegroup:get_one_all_projects", &cl, e);
    if (rc == 0)
        rc = db_nodegroup_get(c->api->db, cl.uuid, c->arg[1], &n, e);
    if (rc == 0)
        rc = show(c, 200, &cl, &n, e);
    nodegroup_done(&n);
    cluster_done(&cl);
    return rc;
}

/* ---- create ---- */

struct make {
    struct cluster cl;
    struct template t;
    struct nodegroup n;
    struct idempotency idem;
};

static int fill(struct api_call *c, struct make *m, struct err *e)
{
    const json_t *b = c->body, *own = json_object_get(b, "labels");
    struct nodegroup *n = &m->n;
    char uuid[UUID_TEXT];
    const char *image = jsonx_str(b, "image_id"), *flavor = jsonx_str(b, "flavor_id");
    bool oom = false, merge = jsonx_bool(b, "merge_labels", false);
    uuid_make(uuid);
    n->uuid = copy(uuid, &oom);
    n->name = copy(jsonx_str(b, "name"), &oom);
    n->cluster_id = copy(m->cl.uuid, &oom);
    n->project_id = copy(m->cl.project_id, &oom);
    n->docker_volume_size = jsonx_int(b, "docker_volume_size", MODEL_UNSET);
    n->labels = labels_merge(json_is_object(own) && !merge ? NULL : m->cl.labels, own);
    n->flavor_id = copy(flavor ? flavor : m->cl.flavor_id, &oom);
    n->image_id = copy(image ? image : m->t.image_id, &oom);
    n->node_addresses = json_array();
    n->node_count = jsonx_int(b, "node_count", 1);
    n->role = copy(jsonx_str(b, "role"), &oom);
    n->min_node_count = jsonx_int(b, "min_node_count", 0);
    n->max_node_count = jsonx_int(b, "max_node_count", MODEL_UNSET);
    n->status = copy("CREATE_IN_PROGRESS", &oom);
    n->node_labels = json_is_object(json_object_get(b, "node_labels"))
                         ? json_incref(json_object_get(b, "node_labels"))
                         : NULL;
    n->node_taints = json_is_array(json_object_get(b, "node_taints"))
                         ? json_incref(json_object_get(b, "node_taints"))
                         : NULL;
    n->cluster_labels = json_incref(m->cl.labels);
    return oom || !n->labels || !n->node_addresses ? err_nomem(e) : 0;
}

/* A repeated request finds its own group under the name; the accepting transaction knows. */
static int check_name(struct api_call *c, const struct make *m, const char *name, struct err *e)
{
    struct nodegroup other;
    struct err unused = ERR_INIT;
    if (m->idem.db.key)
        return 0;
    nodegroup_init(&other);
    int rc = db_nodegroup_get(c->api->db, m->cl.uuid, name, &other, &unused);
    /* a name may look like the uuid of another group */
    bool taken = rc == 0 && str_eq(other.name, name);
    nodegroup_done(&other);
    if (taken)
        return err_set(e, ERR_EXISTS, "A node group with name %s already exists in the cluster %s.",
                       name, m->cl.name);
    return rc == 0 || rc == ERR_NOT_FOUND ? 0 : err_set(e, rc, "%s", unused.msg);
}

static int check_driver(struct api_call *c, const struct make *m, struct err *e)
{
    _cleanup_drivers_ struct driver_set *set = NULL;
    int rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc < 0)
        return rc;
    const struct driver_row *d = m->cl.driver_id ? driver_find(&set->rows, m->cl.driver_id) : NULL;
    if (!d || !driver_offers(d, "mag.coe.nodegroups/1"))
        return err_set(e, ERR_UNSUPPORTED, "'create_nodegroup' is not supported by this driver.");
    return label_rules_check(c, d, m->n.labels, e);
}

static int check_create(struct api_call *c, struct make *m, struct err *e)
{
    struct nodegroup *n = &m->n;
    int rc = nodegroup_check_counts(n, e);
    if (rc == 0)
        rc = nodegroup_check_node_attributes(n, e);
    if (rc == 0 && str_eq(n->role, "master"))
        rc = err_set(e, ERR_UNSUPPORTED, "Creating master nodegroups is currently not supported.");
    if (rc == 0)
        rc = rule_root_volume(c, m->t.server_type, n->labels, (const char *[]){n->flavor_id}, 1, e);
    if (rc == 0)
        rc = check_driver(c, m, e);
    return rc;
}

static int prepare(struct api_call *c, struct make *m, struct err *e)
{
    const struct db_scope everywhere = {.all_projects = true, .admin = true};
    const char *name = jsonx_str(c->body, "name");
    int rc = find_cluster(c, "nodegroup:create", NULL, &m->cl, e);
    if (rc == 0 && str_blank(m->cl.api_address))
        rc = err_set(e, ERR_CONFLICT, "Cluster API address is not available yet");
    if (rc == 0 && !name)
        rc = attrs_invalid(e, "name", NULL, "Mandatory field missing.");
    if (rc == 0)
        rc = check_name(c, m, name, e);
    if (rc == 0)
        rc = labels_no_null(json_object_get(c->body, "labels"), e);
    if (rc == 0)
        rc = db_template_get(c->api->db, &everywhere, m->cl.cluster_template_id, false, &m->t, e);
    if (rc == 0)
        rc = fill(c, m, e);
    if (rc == 0)
        rc = check_create(c, m, e);
    return rc;
}

static int accept(struct api_call *c, struct make *m, struct err *e)
{
    struct db_change ch = DB_CHANGE_INIT;
    _cleanup_json_ json_t *params = json_pack("{s:s}", "nodegroup", m->n.uuid);
    if (!params)
        return err_nomem(e);
    quota_size_group(c, &m->n);
    ch.nodegroup = m->n.uuid;
    ch.add = &m->n;
    ch.params = params;
    int rc = operation_accept(c, &m->cl, OP_NODEGROUP_CREATE, false, &ch, &m->idem, e);
    if (rc < 0 || !m->idem.db.replayed)
        return rc;
    /* the group of the first request is the answer */
    struct nodegroup first;
    nodegroup_init(&first);
    rc = db_nodegroup_get(c->api->db, m->cl.uuid, m->n.name, &first, e);
    if (rc == 0) {
        char *uuid = m->n.uuid;
        m->n.uuid = first.uuid;
        first.uuid = uuid;
    }
    nodegroup_done(&first);
    return rc;
}

int api_nodegroup_create(struct api_call *c, struct err *e)
{
    struct make m;
    cluster_init(&m.cl);
    template_init(&m.t);
    nodegroup_init(&m.n);
    int rc = idempotency_read(c, &m.idem, e);
    if (rc == 0)
        rc = prepare(c, &m, e);
    if (rc == 0)
        rc = accept(c, &m, e);
    if (rc == 0)
        rc = idempotency_mark(c, &m.idem, e);
    if (rc == 0) {
        view_nodegroup(c, &m.n, VIEW_FULL, true);
        rc = answer(c, 202, e);
    }
    nodegroup_done(&m.n);
    template_done(&m.t);
    cluster_done(&m.cl);
    return rc;
}

/* ---- patch ---- */

static int apply(struct api_call *c, const struct nodegroup *n, json_t **ret_delta, struct err *e)
{
    _cleanup_json_ json_t *columns = nodegroup_json(n), *before = NULL, *after = NULL;
    before = attrs_document(&attrs_nodegroup, api_zed(c), columns);
    if (!before)
        return err_nomem(e);
    int rc = patch_apply(before, c->body, &patch_nodegroup, &after, e);
    if (rc < 0)
        return rc;
    return attrs_delta(&attrs_nodegroup, api_zed(c), before, after, ret_delta, e);
}

/* Only these four may change; a removed map or list is an empty one. */
static int take(struct nodegroup *n, const json_t *delta, struct db_change *ch, struct err *e)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)delta, key, v)
    {
        if (strcmp(key, "min_node_count") == 0) {
            n->min_node_count = ch->min_node_count = json_integer_value(v);
        } else if (strcmp(key, "max_node_count") == 0) {
            ch->clear_max = json_is_null(v);
            n->max_node_count = ch->clear_max ? MODEL_UNSET : json_integer_value(v);
            ch->max_node_count = n->max_node_count;
        } else if (strcmp(key, "node_labels") == 0) {
            json_decref(n->node_labels);
            n->node_labels = json_is_null(v) ? json_object() : json_incref(v);
            ch->node_labels = n->node_labels;
        } else if (strcmp(key, "node_taints") == 0) {
            json_decref(n->node_taints);
            n->node_taints = json_is_null(v) ? json_array() : json_incref(v);
            ch->node_taints = n->node_taints;
        } else {
            return err_set(e, ERR_INVALID, "cannot change nodegroup property(ies) %s.", key);
        }
    }
    return 0;
}

/* The answer to a removal shows null, though the map or list is kept as an empty one. */
static void show_removed(struct nodegroup *n, const json_t *delta)
{
    json_t **const members[] = {&n->node_labels, &n->node_taints};
    static const char *const names[] = {"node_labels", "node_taints"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!json_is_null(json_object_get(delta, names[i])))
            continue;
        json_decref(*members[i]);
        *members[i] = json_null();
    }
}

static int patch(struct api_call *c, struct cluster *cl, struct nodegroup *n, struct err *e)
{
    _cleanup_json_ json_t *delta = NULL, *params = NULL;
    struct db_change ch = DB_CHANGE_INIT;
    int rc = find_cluster(c, "nodegroup:update", NULL, cl, e);
    if (rc == 0)
        rc = db_nodegroup_get(c->api->db, cl->uuid, c->arg[1], n, e);
    if (rc == 0)
        rc = apply(c, n, &delta, e);
    if (rc == 0)
        rc = take(n, delta, &ch, e);
    if (rc == 0)
        rc = nodegroup_check_counts(n, e);
    if (rc == 0 && (ch.node_labels || ch.node_taints))
        rc = nodegroup_check_node_attributes(n, e);
    if (rc < 0 || json_object_size(delta) == 0)
        return rc;
    params = json_pack("{s:s}", "nodegroup", n->uuid);
    if (!params)
        return err_nomem(e);
    ch.nodegroup = n->uuid;
    ch.params = params;
    rc = operation_accept(c, cl, OP_NODEGROUP_UPDATE, false, &ch, NULL, e);
    if (rc < 0)
        return rc;
    nodegroup_done(n); /* as it is stored now; the path still names it */
    rc = db_nodegroup_get(c->api->db, cl->uuid, c->arg[1], n, e);
    if (rc == 0)
        show_removed(n, delta);
    return rc;
}

int api_nodegroup_patch(struct api_call *c, struct err *e)
{
    struct cluster cl;
    struct nodegroup n;
    cluster_init(&cl);
    nodegroup_init(&n);
    int rc = patch(c, &cl, &n, e);
    if (rc == 0)
        rc = show(c, 202, &cl, &n, e);
    nodegroup_done(&n);
    cluster_done(&cl);
    return rc;
}

/* ---- delete ---- */

int api_nodegroup_delete(struct api_call *c, struct err *e)
{
    _cleanup_json_ json_t *params = NULL;
    struct db_change ch = DB_CHANGE_INIT;
    struct cluster cl;
    struct nodegroup n;
    cluster_init(&cl);
    nodegroup_init(&n);
    int rc = find_cluster(c, "nodegroup:delete", NULL, &cl, e);
    if (rc == 0)
        rc = db_nodegroup_get(c->api->db, cl.uuid, c->arg[1], &n, e);
    if (rc == 0 && n.is_default)
        rc = err_set(e, ERR_UNSUPPORTED, "Deleting a default nodegroup is not supported.");
    if (rc == 0) {
        params = json_pack("{s:s}", "nodegroup", n.uuid);
        rc = params ? 0 : err_nomem(e);
    }
    if (rc == 0) {
        ch.nodegroup = n.uuid;
        ch.params = params;
        rc = operation_accept(c, &cl, OP_NODEGROUP_DELETE, false, &ch, NULL, e);
    }
    if (rc == 0)
        rc = answer_nothing(c);
    nodegroup_done(&n);
    cluster_done(&cl);
    return rc;
}
