/* See db_objects.h. */
#include "db/db_objects.h"

#include "base/uuid.h"
#include "page_internal.h"

#include <string.h>

static const char *const object_not_null[] = {"uuid",  "kind",       "cluster_id",
                                              "phase", "created_at", NULL};
static const char *const node_not_null[] = {"uuid", "created_at", NULL};
static const struct page_source nodes = {
    .table = "node",
    .alias = "n",
    .entity = &row_node,
    .marker = "uuid",
    .missing_before = "Node ",
    .missing_after = " could not be found.",
    .not_null = node_not_null,
};

/* How messages call a kind; one word for "a ... with UUID" and for the title. */
static const struct object_kind {
    const char *kind, *title, *one, *many;
} kinds[] = {
    {"pod", "Pod ", "pod", "pods"},
    {"service", "Service ", "service", "services"},
    {"rc", "ReplicationController ", "replication controller", "rcs"},
    {"container", "Container ", "container", "containers"},
};

static const struct object_kind *kind_of(const char *kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].kind, kind) == 0)
            return &kinds[i];
    return &kinds[0];
}

/* ---- objects in clusters ---- */

int db_object_get(struct db *db, const struct db_scope *s, const char *kind, const char *ident,
                  struct coe_object *ret, struct err *e)
{
    char uuid[UUID_TEXT];
    bool is_uuid = uuid_like(ident, uuid);
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    page_scope(&q, "o", s);
    param_str(&q.params, kind);
    str_printf(&q.where, " AND o.kind = $%d", q.params.n);
    param_str(&q.params, is_uuid ? uuid : ident);
    str_printf(&q.where, " AND o.%s = $%d", is_uuid ? "uuid" : "name", q.params.n);
    _cleanup_free_ char *sql =
        str_fmt("SELECT {o.coe_object} FROM coe_object o WHERE %s LIMIT 2", str_text(&q.where));
    if (!sql || q.where.oom)
        return err_nomem(e);
    int rc = sql_read(db, &(struct sql_stmt){NULL, sql}, &q.params, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "%s%s could not be found.", kind_of(kind)->title, ident);
    if (PQntuples(r) > 1)
        return err_set(e, ERR_CONFLICT,
                       "Multiple %s exist with same name. Please use the %s uuid instead.",
                       kind_of(kind)->many, kind_of(kind)->one);
    return ROW_ONE(coe_object, r, ret, e);
}

int db_object_list(struct db *db, const struct db_scope *s, const char *kind, const char *cluster,
                   const struct db_page *p, struct coe_object_list *ret, struct err *e)
{
    const struct page_source objects = {
        .table = "coe_object",
        .alias = "o",
        .entity = &row_coe_object,
        .marker = "uuid",
        .missing_before = kind_of(kind)->title,
        .missing_after = " could not be found.",
        .not_null = object_not_null,
    };
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    page_scope(&q, "o", s);
    param_str(&q.params, kind);
    str_printf(&q.where, " AND o.kind = $%d::text", q.params.n);
    if (cluster) {
        param_str(&q.params, cluster);
        str_printf(&q.where, " AND o.cluster_id = $%d::text", q.params.n);
    }
    int rc = page_apply(db, &objects, p, &q, e);
    if (!rc)
        rc = page_run(db, &objects, p, &q, "{o.coe_object}", &r, e);
    return rc ? rc : ROW_LIST(coe_object, r, ret, e);
}

int db_object_insert(struct db *db, struct coe_object *o, struct err *e)
{
    static const struct sql_stmt insert = {
        "object_insert", "INSERT INTO coe_object ({coe_object}) VALUES ({$coe_object})"
                         " RETURNING id, created_at"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_insert(&p, &row_coe_object, o);
    int rc = sql_write(db, &insert, &p, &r, e);
    if (rc == ERR_EXISTS)
        return err_set(e, rc, "A %s with UUID %s already exists.", kind_of(o->kind)->one, o->uuid);
    if (rc == ERR_NOT_FOUND)
        return err_set(e, rc, "Bay %s could not be found.", o->cluster_id);
    if (rc)
        return rc;
    o->id = row_int(r, 0, 0, MODEL_UNSET);
    o->created_at = row_time(r, 0, 1);
    return 0;
}

int db_object_update(struct db *db, const struct coe_object *o, struct err *e)
{
    static const struct sql_stmt update = {
        "object_update", "UPDATE coe_object SET {=coe_object:2}, updated_at = clock_timestamp()"
                         " WHERE uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, o->uuid);
    param_update(&p, &row_coe_object, o);
    int rc = sql_write(db, &update, &p, &r, e);
    if (rc || sql_changed(r))
        return rc;
    return err_set(e, ERR_NOT_FOUND, "%s%s could not be found.", kind_of(o->kind)->title, o->uuid);
}

int db_object_delete(struct db *db, const char *uuid, struct err *e)
{
    static const struct sql_stmt del = {"object_delete", "DELETE FROM coe_object WHERE uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, uuid);
    return sql_write(db, &del, &p, NULL, e);
}

/* ---- nodes ---- */

static int node_missing(const char *uuid, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "Node %s could not be found.", uuid);
}

int db_node_get(struct db *db, const struct db_scope *s, const char *ident, struct node *ret,
                struct err *e)
{
    char uuid[UUID_TEXT];
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    if (!uuid_like(ident, uuid))
        return node_missing(ident, e);
    page_scope(&q, "n", s);
    param_str(&q.params, uuid);
    _cleanup_free_ char *sql = str_fmt("SELECT {n.node} FROM node n WHERE %s AND n.uuid = $%d",
                                       str_text(&q.where), q.params.n);
    if (!sql || q.where.oom)
        return err_nomem(e);
    int rc = sql_read(db, &(struct sql_stmt){NULL, sql}, &q.params, &r, e);
    if (rc)
        return rc;
    return PQntuples(r) ? ROW_ONE(node, r, ret, e) : node_missing(ident, e);
}

int db_node_list(struct db *db, const struct db_scope *s, const struct db_page *p,
                 struct node_list *ret, struct err *e)
{
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    page_scope(&q, "n", s);
    int rc = page_apply(db, &nodes, p, &q, e);
    if (!rc)
        rc = page_run(db, &nodes, p, &q, "{n.node}", &r, e);
    return rc ? rc : ROW_LIST(node, r, ret, e);
}

static int node_taken(const struct node *n, struct err *e)
{
    return err_set(e, ERR_EXISTS, "A node with instance ID %s is already associated with another.",
                   n->ironic_node_id ? n->ironic_node_id : n->uuid);
}

int db_node_insert(struct db *db, struct node *n, struct err *e)
{
    static const struct sql_stmt insert = {
        "node_insert", "INSERT INTO node ({node}) VALUES ({$node}) RETURNING id, created_at"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_insert(&p, &row_node, n);
    int rc = sql_write(db, &insert, &p, &r, e);
    if (rc == ERR_EXISTS)
        return node_taken(n, e);
    if (rc)
        return rc;
    n->id = row_int(r, 0, 0, MODEL_UNSET);
    n->created_at = row_time(r, 0, 1);
    return 0;
}

int db_node_update(struct db *db, struct node *n, struct err *e)
{
    static const struct sql_stmt update = {
        "node_update", "UPDATE node SET {=node:2}, updated_at = clock_timestamp() WHERE uuid = $1"
                       " RETURNING updated_at"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, n->uuid);
    param_update(&p, &row_node, n);
    int rc = sql_write(db, &update, &p, &r, e);
    if (rc == ERR_EXISTS)
        return node_taken(n, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return node_missing(n->uuid, e);
    n->updated_at = row_time(r, 0, 0);
    return 0;
}

int db_node_delete(struct db *db, const char *uuid, struct err *e)
{
    static const struct sql_stmt del = {"node_delete", "DELETE FROM node WHERE uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, uuid);
    int rc = sql_write(db, &del, &p, &r, e);
    return rc || sql_changed(r) ? rc : node_missing(uuid, e);
}
