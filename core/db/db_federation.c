/* See db_federation.h. */
#include "db/db_federation.h"

#include "base/uuid.h"
#include "page_internal.h"

static const char *const not_null[] = {"uuid", "created_at", NULL};
static const struct page_source federations = {
    .table = "federation",
    .alias = "f",
    .entity = &row_federation,
    .marker = "uuid",
    .missing_before = "Federation ",
    .missing_after = " could not be found.",
    .not_null = not_null,
};

static int not_found(const char *ident, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "Federation %s could not be found.", ident);
}

int db_federation_get(struct db *db, const char *project_id, const char *ident,
                      struct federation *ret, struct err *e)
{
    static const struct sql_stmt by_uuid = {
        "federation_by_uuid",
        "SELECT {f.federation} FROM federation f WHERE f.uuid = $1 AND f.project_id = $2"};
    static const struct sql_stmt by_name = {
        "federation_by_name",
        "SELECT {f.federation} FROM federation f WHERE f.name = $1 AND f.project_id = $2 LIMIT 2"};
    char uuid[UUID_TEXT];
    bool is_uuid = uuid_like(ident, uuid);
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, is_uuid ? uuid : ident);
    param_str(&p, project_id);
    int rc = sql_read(db, is_uuid ? &by_uuid : &by_name, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return not_found(ident, e);
    if (PQntuples(r) > 1)
        return err_set(e, ERR_CONFLICT,
                       "Multiple federations exist with same name. Please use the federation uuid "
                       "instead.");
    return ROW_ONE(federation, r, ret, e);
}

int db_federation_list(struct db *db, const char *project_id, const struct db_page *p,
                       struct federation_list *ret, struct err *e)
{
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    struct db_scope scope = {.project_id = project_id};
    page_scope(&q, "f", &scope);
    int rc = page_apply(db, &federations, p, &q, e);
    if (!rc)
        rc = page_run(db, &federations, p, &q, "{f.federation}", &r, e);
    return rc ? rc : ROW_LIST(federation, r, ret, e);
}

int db_federation_insert(struct db *db, struct federation *f, struct err *e)
{
    static const struct sql_stmt insert = {
        "federation_insert", "INSERT INTO federation ({federation}) VALUES ({$federation})"
                             " RETURNING id, created_at"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_insert(&p, &row_federation, f);
    int rc = sql_write(db, &insert, &p, &r, e);
    if (rc == ERR_EXISTS)
        return err_set(e, rc, "A federation with UUID %s already exists.", f->uuid);
    if (rc)
        return rc;
    f->id = row_int(r, 0, 0, MODEL_UNSET);
    f->created_at = row_time(r, 0, 1);
    return 0;
}

int db_federation_update(struct db *db, struct federation *f, struct err *e)
{
    static const struct sql_stmt update = {
        "federation_update",
        "UPDATE federation SET member_ids = $3::json, properties = $4::json, status = $5,"
        " updated_at = clock_timestamp() WHERE uuid = $1"
        " AND updated_at IS NOT DISTINCT FROM $2::timestamptz RETURNING updated_at"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, f->uuid);
    param_time(&p, f->updated_at);
    param_json(&p, f->member_ids);
    param_json(&p, f->properties);
    param_str(&p, f->status);
    int rc = sql_write(db, &update, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_CONFLICT, "Federation %s was changed by another request. Try again.",
                       f->uuid);
    f->updated_at = row_time(r, 0, 0);
    return 0;
}

int db_federation_delete(struct db *db, const char *uuid, struct err *e)
{
    static const struct sql_stmt del = {"federation_delete",
                                        "DELETE FROM federation WHERE uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, uuid);
    int rc = sql_write(db, &del, &p, &r, e);
    if (rc)
        return rc;
    return sql_changed(r) ? 0 : not_found(uuid, e);
}
