/* See db_cluster.h. The derived members come as one JSON text per cluster, aggregated over its
 * nodegroups by the statement that reads it: measured, this is the cheapest form that keeps a
 * cluster with any number of groups one row and one round trip. */
#include "db/db_cluster.h"

#include "base/uuid.h"
#include "cluster_internal.h"
#include "model/status.h"
#include "page_internal.h"

#include <string.h>

static const char *const not_null[] = {
    "uuid", "name", "cluster_template_id", "status", "generation", "created_at", NULL};
static const char *const unsortable[] = {"trust_id", "trustee_username", "trustee_user_id",
                                         "trustee_password", NULL};
const struct page_source cluster_source = {
    .table = "cluster",
    .alias = "c",
    .entity = &row_cluster,
    .marker = "uuid",
    .missing_before = "Cluster ",
    .missing_after = " could not be found.",
    .not_null = not_null,
    .unsortable = unsortable,
};
static const char *const group_not_null[] = {
    "uuid",           "name",       "cluster_id", "node_count", "role",
    "min_node_count", "is_default", "status",     "created_at", NULL};
static const struct page_source nodegroups = {
    .table = "nodegroup",
    .alias = "n",
    .entity = &row_nodegroup,
    .marker = "uuid",
    .missing_before = "Nodegroup ",
    .missing_after = " could not be found.",
    .not_null = group_not_null,
};

/* One row of CLUSTER_DERIVED's groups: [name, role, node_count, addresses, status, reason]. */
static int add_group(struct cluster *c, const json_t *g)
{
    const char *role = json_string_value(json_array_get(g, 1));
    bool master = role && strcmp(role, "master") == 0;
    const json_t *addresses = json_array_get(g, 3);
    const char *status = json_string_value(json_array_get(g, 4));
    int64_t count = json_integer_value(json_array_get(g, 2));
    if (master)
        c->master_count += count;
    else
        c->node_count += count;
    if (json_is_array(addresses) &&
        json_array_extend(master ? c->master_addresses : c->node_addresses, (json_t *)addresses))
        return ERR_NOMEM;
    if (status_failed(status) &&
        json_object_set(c->faults, json_string_value(json_array_get(g, 0)), json_array_get(g, 5)))
        return ERR_NOMEM;
    return 0;
}

int cluster_read(const PGresult *r, int row, int first, struct cluster *c, struct err *e)
{
    int rc = row_read(r, row, first, &row_cluster, c, e);
    if (rc)
        return rc;
    _cleanup_json_ json_t *groups = NULL;
    first += row_cluster.n;
    rc = row_json(r, row, first, &groups, e);
    if (!rc)
        rc = row_json(r, row, first + 1, &c->template_labels, e);
    if (rc)
        return rc;
    c->node_addresses = json_array();
    c->master_addresses = json_array();
    c->faults = json_object();
    if (!c->node_addresses || !c->master_addresses || !c->faults)
        return err_nomem(e);
    for (size_t i = 0; i < json_array_size(groups); i++)
        if (add_group(c, json_array_get(groups, i)))
            return err_nomem(e);
    return 0;
}

int cluster_read_list(const PGresult *r, int first, struct cluster_list *ret, struct err *e)
{
    struct cluster_list list = {NULL, 0};
    int rc = 0;
    for (int i = 0; !rc && i < PQntuples(r); i++) {
        struct cluster *c = cluster_list_add(&list);
        rc = c ? cluster_read(r, i, first, c, e) : err_nomem(e);
    }
    if (rc) {
        cluster_list_done(&list);
        return rc;
    }
    cluster_list_done(ret);
    *ret = list;
    return 0;
}

void scope_params(struct sql_params *p, const struct db_scope *s)
{
    param_bool(p, s->all_projects);
    param_str(p, s->project_id);
    param_str(p, s->user_id);
}

int cluster_only_one(int rows, const char *ident, struct err *e)
{
    if (rows == 0)
        return err_set(e, ERR_NOT_FOUND, "Cluster %s could not be found.", ident);
    if (rows > 1)
        return err_set(e, ERR_CONFLICT,
                       "Multiple clusters exist with same name. Please use the "
                       "cluster uuid instead.");
    return 0;
}

int db_cluster_get(struct db *db, const struct db_scope *s, const char *ident, struct cluster *ret,
                   struct err *e)
{
    static const struct sql_stmt by_uuid = {
        "cluster_by_uuid", "SELECT {c.cluster}, " CLUSTER_DERIVED
                           " FROM cluster c WHERE c.uuid = $1 AND " SCOPE_MATCH("c")};
    static const struct sql_stmt by_name = {
        "cluster_by_name", "SELECT {c.cluster}, " CLUSTER_DERIVED
                           " FROM cluster c WHERE c.name = $1 AND " SCOPE_MATCH("c") " LIMIT 2"};
    static const struct sql_stmt by_case = {
        "cluster_by_case",
        "SELECT {c.cluster}, " CLUSTER_DERIVED
        " FROM cluster c WHERE lower(c.name) = lower($1::text) AND " SCOPE_MATCH("c") " LIMIT 2"};
    char uuid[UUID_TEXT];
    bool is_uuid = uuid_like(ident, uuid);
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, is_uuid ? uuid : ident);
    scope_params(&p, s);
    int rc = sql_read(db, is_uuid ? &by_uuid : &by_name, &p, &r, e);
    if (!rc && !is_uuid && s->any_case && PQntuples(r) == 0) {
        result_free(&r);
        rc = sql_read(db, &by_case, &p, &r, e);
    }
    if (rc)
        return rc;
    rc = cluster_only_one(PQntuples(r), ident, e);
    if (rc)
        return rc;
    struct cluster c;
    cluster_init(&c);
    rc = cluster_read(r, 0, 0, &c, e);
    if (rc) {
        cluster_done(&c);
        return rc;
    }
    cluster_done(ret);
    *ret = c;
    return 0;
}

int db_cluster_stats(struct db *db, const char *project_id, int64_t *ret_clusters,
                     int64_t *ret_nodes, struct err *e)
{
    static const struct sql_stmt all = {
        "stats_all", "SELECT (SELECT count(*) FROM cluster),"
                     " (SELECT coalesce(sum(node_count), 0)::bigint FROM nodegroup)"};
    static const struct sql_stmt one = {
        "stats_project", "SELECT (SELECT count(*) FROM cluster WHERE project_id = $1),"
                         " (SELECT coalesce(sum(node_count), 0)::bigint FROM nodegroup"
                         " WHERE project_id = $1)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    if (project_id)
        param_str(&p, project_id);
    int rc = sql_read(db, project_id ? &one : &all, &p, &r, e);
    if (rc)
        return rc;
    *ret_clusters = row_int(r, 0, 0, 0);
    *ret_nodes = row_int(r, 0, 1, 0);
    return 0;
}

/* --- nodegroups --- */

#define GROUP_COLUMNS "{n.nodegroup}, (SELECT o.labels FROM cluster o WHERE o.uuid = n.cluster_id)"

static int read_group(const PGresult *r, int row, struct nodegroup *n, struct err *e)
{
    int rc = row_read(r, row, 0, &row_nodegroup, n, e);
    return rc ? rc : row_json(r, row, row_nodegroup.n, &n->cluster_labels, e);
}

int db_nodegroup_get(struct db *db, const char *cluster_uuid, const char *ident,
                     struct nodegroup *ret, struct err *e)
{
    static const struct sql_stmt by_uuid = {
        "nodegroup_by_uuid",
        "SELECT " GROUP_COLUMNS " FROM nodegroup n WHERE n.cluster_id = $1 AND n.uuid = $2"};
    static const struct sql_stmt by_name = {
        "nodegroup_by_name",
        "SELECT " GROUP_COLUMNS " FROM nodegroup n WHERE n.cluster_id = $1 AND n.name = $2"};
    static const struct sql_stmt worker = {
        "nodegroup_worker",
        "SELECT " GROUP_COLUMNS " FROM nodegroup n WHERE n.cluster_id = $1 AND n.is_default"
        " AND n.role <> 'master' ORDER BY n.id LIMIT 1"};
    char uuid[UUID_TEXT];
    bool is_uuid = ident && uuid_like(ident, uuid);
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    if (ident)
        param_str(&p, is_uuid ? uuid : ident);
    int rc = sql_read(db, !ident ? &worker : is_uuid ? &by_uuid : &by_name, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Nodegroup %s could not be found.",
                       ident ? ident : "default-worker");
    struct nodegroup n;
    nodegroup_init(&n);
    rc = read_group(r, 0, &n, e);
    if (rc) {
        nodegroup_done(&n);
        return rc;
    }
    nodegroup_done(ret);
    *ret = n;
    return 0;
}

int db_nodegroup_list(struct db *db, const char *cluster_uuid, const char *role,
                      const struct db_page *p, struct nodegroup_list *ret, struct err *e)
{
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    param_str(&q.params, cluster_uuid);
    str_append(&q.where, "n.cluster_id = $1::text");
    if (role) {
        param_str(&q.params, role);
        str_append(&q.where, " AND n.role = $2::text");
    }
    int rc = page_apply(db, &nodegroups, p, &q, e);
    if (!rc)
        rc = page_run(db, &nodegroups, p, &q, GROUP_COLUMNS, &r, e);
    struct nodegroup_list list = {NULL, 0};
    for (int i = 0; !rc && i < PQntuples(r); i++) {
        struct nodegroup *n = nodegroup_list_add(&list);
        rc = n ? read_group(r, i, n, e) : err_nomem(e);
    }
    if (rc) {
        nodegroup_list_done(&list);
        return rc;
    }
    nodegroup_list_done(ret);
    *ret = list;
    return 0;
}
