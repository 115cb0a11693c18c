/* See db_sweep.h. */
#include "db/db_sweep.h"

#include "op_internal.h"

int db_sweep_lease(struct db *db, const char *owner, const struct strv *drivers, int64_t lease_ms,
                   char **ret_driver, int64_t *ret_began, struct err *e)
{
    static const struct sql_stmt known = {
        "sweep_known", "INSERT INTO sweep (driver_id) SELECT d FROM unnest($1::text[]) AS d"
                       " WHERE NOT EXISTS (SELECT FROM sweep s WHERE s.driver_id = d)"
                       " ON CONFLICT DO NOTHING"};
    static const struct sql_stmt lease = {
        "sweep_lease", "WITH due AS (SELECT driver_id FROM sweep WHERE driver_id = ANY ($3::text[])"
                       " AND due_at <= now() AND (lease_until IS NULL OR lease_until <= now())"
                       " ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
                       " UPDATE sweep s SET lease_owner = $1,"
                       " lease_until = now() + $2::bigint * interval '1 millisecond'"
                       " FROM due WHERE s.driver_id = due.driver_id RETURNING s.driver_id, now()"};
    _cleanup_params_ struct sql_params list = {.n = 0}, p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    *ret_driver = NULL;
    if (!drivers->n)
        return 0;
    drivers_param(&list, drivers);
    param_str(&p, owner);
    param_int(&p, lease_ms);
    drivers_param(&p, drivers);
    int rc = sql_write(db, &known, &list, NULL, e);
    if (!rc)
        rc = sql_write(db, &lease, &p, &r, e);
    if (rc || PQntuples(r) == 0)
        return rc;
    *ret_driver = str_dup(row_str(r, 0, 0));
    *ret_began = row_time(r, 0, 1);
    return *ret_driver ? 0 : err_nomem(e);
}

int db_sweep_page(struct db *db, const char *driver, const json_t *items, struct err *e)
{
    /* while an operation works on the cluster its resources come and go */
    static const struct sql_stmt page = {
        "sweep_page",
        "INSERT INTO leak AS k (driver_id, kind, name, cluster_id, external_id)"
        " SELECT DISTINCT ON (i.kind, i.name, i.cluster_id) $1, i.kind, i.name, i.cluster_id,"
        " i.external_id FROM json_to_recordset($2::json)"
        " AS i(kind text, name text, cluster_id text, external_id text)"
        " WHERE i.kind <> '' AND i.name <> '' AND i.cluster_id IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM ledger l WHERE l.cluster_id = i.cluster_id"
        " AND l.kind = i.kind AND l.name = i.name)"
        " AND NOT EXISTS (SELECT FROM operation o WHERE o.cluster_id = i.cluster_id"
        " AND o.finished_at IS NULL)"
        " ON CONFLICT (driver_id, kind, name, cluster_id) DO UPDATE SET last_seen = now(),"
        " external_id = coalesce(excluded.external_id, k.external_id)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, driver);
    param_json(&p, items);
    return sql_write(db, &page, &p, NULL, e);
}

int db_sweep_done(struct db *db, const char *owner, const char *driver, int64_t began,
                  const char *problem, int64_t next_in_ms, struct err *e)
{
    static const struct sql_stmt done = {
        "sweep_done",
        "WITH s AS (UPDATE sweep SET lease_owner = NULL, lease_until = NULL,"
        " due_at = now() + $5::bigint * interval '1 millisecond', problem = $4,"
        " swept_at = CASE WHEN $4::text IS NULL THEN now() ELSE swept_at END"
        " WHERE driver_id = $2 AND lease_owner = $1 RETURNING driver_id)"
        " DELETE FROM leak k USING s WHERE k.driver_id = s.driver_id AND $4::text IS NULL"
        " AND k.last_seen < $3::timestamptz"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, owner);
    param_str(&p, driver);
    param_time(&p, began);
    param_str(&p, problem);
    param_int(&p, next_in_ms);
    return sql_write(db, &done, &p, NULL, e);
}

/* One JSON document, made by the server. */
static int document(struct db *db, const struct sql_stmt *stmt, const struct sql_params *p,
                    json_t **ret, struct err *e)
{
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, stmt, p, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

#define CERTAIN(grace) "k.last_seen - k.first_seen >= " grace "::bigint * interval '1 second'"
#define CLUSTER_IS "EXISTS (SELECT FROM cluster c WHERE c.uuid = k.cluster_id)"

int db_leak_due(struct db *db, const char *driver, bool all, int64_t grace_s, json_t **ret,
                struct err *e)
{
    static const struct sql_stmt due = {
        "leak_due",
        "SELECT coalesce(json_agg(json_build_object('id', k.id, 'kind', k.kind, 'name', k.name,"
        " 'cluster_id', k.cluster_id) ORDER BY k.id), '[]') FROM leak k WHERE k.driver_id = $1"
        " AND " CERTAIN("$3") " AND (k.remove OR ($2::boolean AND NOT " CLUSTER_IS "))"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, driver);
    param_bool(&p, all);
    param_int(&p, grace_s);
    return document(db, &due, &p, ret, e);
}

int db_leak_removed(struct db *db, int64_t id, struct err *e)
{
    static const struct sql_stmt removed = {"leak_removed",
                                            "DELETE FROM leak WHERE id = $1::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_int(&p, id);
    return sql_write(db, &removed, &p, NULL, e);
}

int db_leak_list(struct db *db, int64_t grace_s, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "leak_list",
        "SELECT coalesce(json_agg(json_build_object('id', k.id, 'driver_id', k.driver_id,"
        " 'kind', k.kind, 'name', k.name, 'cluster_id', k.cluster_id, 'external_id',"
        " k.external_id, 'cluster', " CLUSTER_IS ", 'first_seen', k.first_seen, 'last_seen',"
        " k.last_seen, 'certain', " CERTAIN("$1") ", 'remove', k.remove) ORDER BY k.id), '[]')"
                                                  " FROM leak k"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_int(&p, grace_s);
    return document(db, &list, &p, ret, e);
}

int db_sweep_list(struct db *db, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "sweep_list", "SELECT coalesce(json_agg(json_build_object('driver_id', driver_id,"
                      " 'swept_at', swept_at, 'problem', problem) ORDER BY driver_id), '[]')"
                      " FROM sweep"};
    return document(db, &list, NULL, ret, e);
}

int db_leak_ask(struct db *db, int64_t id, int64_t grace_s, int64_t *ret_n, struct err *e)
{
    static const struct sql_stmt ask = {
        "leak_ask", "WITH asked AS (UPDATE leak k SET remove = true WHERE k.id = $1::bigint"
                    " OR ($1::bigint = 0 AND " CERTAIN(
                        "$2") ") RETURNING k.driver_id),"
                              " due AS (UPDATE sweep s SET due_at = now()"
                              " WHERE s.driver_id IN (SELECT driver_id FROM asked))"
                              " SELECT count(*) FROM asked"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, id);
    param_int(&p, grace_s);
    int rc = sql_write(db, &ask, &p, &r, e);
    if (!rc)
        *ret_n = row_int(r, 0, 0, 0);
    return rc;
}
