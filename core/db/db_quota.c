/* Quotas: see db_service.h. The check against them is part of accepting (db_accept.c). */
#include "db/db_service.h"

#include "page_internal.h"

static const char *const not_null[] = {"project_id", "resource", "hard_limit", "created_at", NULL};
static const struct page_source quotas = {
    .table = "quotas",
    .alias = "q",
    .entity = &row_quota,
    .marker = "id",
    .missing_before = "Quota could not be found: quota id ",
    .missing_after = " .",
    .not_null = not_null,
};

static int not_found(const char *project_id, const char *resource, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "Quota could not be found: project_id %s resource %s.",
                   project_id, resource);
}

int db_quota_get(struct db *db, const char *project_id, const char *resource, struct quota *ret,
                 struct err *e)
{
    static const struct sql_stmt get = {
        "quota_get", "SELECT {q.quota} FROM quotas q WHERE q.project_id = $1 AND q.resource = $2"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, project_id);
    param_str(&p, resource);
    int rc = sql_read(db, &get, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return not_found(project_id, resource, e);
    return ROW_ONE(quota, r, ret, e);
}

int db_quota_clusters(struct db *db, const char *project_id, int64_t quota_default,
                      int64_t *ret_limit, int64_t *ret_clusters, struct err *e)
{
    static const struct sql_stmt get = {
        "quota_clusters", "SELECT coalesce((SELECT hard_limit FROM quotas WHERE project_id = $1"
                          " AND resource = 'Cluster'), $2::bigint),"
                          " (SELECT count(*) FROM cluster WHERE project_id = $1)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, project_id);
    param_int(&p, quota_default);
    int rc = sql_read(db, &get, &p, &r, e);
    if (rc)
        return rc;
    *ret_limit = row_int(r, 0, 0, 0);
    *ret_clusters = row_int(r, 0, 1, 0);
    return 0;
}

int db_quota_list(struct db *db, const char *project_id, const struct db_page *p,
                  struct quota_list *ret, struct err *e)
{
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    struct db_scope scope = {.project_id = project_id, .all_projects = !project_id};
    page_scope(&q, "q", &scope);
    int rc = page_apply(db, &quotas, p, &q, e);
    if (!rc)
        rc = page_run(db, &quotas, p, &q, "{q.quota}", &r, e);
    return rc ? rc : ROW_LIST(quota, r, ret, e);
}

int db_quota_insert(struct db *db, struct quota *q, struct err *e)
{
    static const struct sql_stmt insert = {
        "quota_insert", "INSERT INTO quotas ({quota}) VALUES ({$quota}) RETURNING id, created_at"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_insert(&p, &row_quota, q);
    int rc = sql_write(db, &insert, &p, &r, e);
    if (rc == ERR_EXISTS)
        return err_set(e, rc, "Quota for project %s already exists for resource %s.", q->project_id,
                       q->resource);
    if (rc)
        return rc;
    q->id = row_int(r, 0, 0, MODEL_UNSET);
    q->created_at = row_time(r, 0, 1);
    return 0;
}

int db_quota_update(struct db *db, struct quota *q, struct err *e)
{
    static const struct sql_stmt update = {
        "quota_update", "UPDATE quotas q SET hard_limit = $3::bigint, updated_at = now()"
                        " WHERE q.project_id = $1 AND q.resource = $2 RETURNING {q.quota}"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, q->project_id);
    param_str(&p, q->resource);
    param_int(&p, q->hard_limit);
    int rc = sql_write(db, &update, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return not_found(q->project_id, q->resource, e);
    return ROW_ONE(quota, r, q, e);
}

int db_quota_delete(struct db *db, const char *project_id, const char *resource, struct err *e)
{
    static const struct sql_stmt del = {
        "quota_delete", "DELETE FROM quotas WHERE project_id = $1 AND resource = $2"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, project_id);
    param_str(&p, resource);
    int rc = sql_write(db, &del, &p, &r, e);
    if (rc)
        return rc;
    return sql_changed(r) ? 0 : not_found(project_id, resource, e);
}
