/* See db_event.h. */
#include "db/db_event.h"

#include "cluster_internal.h"
#include "purge_internal.h"

int db_cluster_events(struct db *db, const char *cluster_uuid, int64_t after, int64_t limit,
                      struct operation_event_list *ret, struct err *e)
{
    static const struct sql_stmt list = {
        "cluster_events",
        "SELECT {e.operation_event} FROM operation_event e WHERE e.cluster_id = $1"
        " AND e.id > $2::bigint ORDER BY e.id LIMIT $3::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    param_int(&p, after);
    param_int(&p, limit);
    int rc = sql_read(db, &list, &p, &r, e);
    return rc ? rc : ROW_LIST(operation_event, r, ret, e);
}

int db_cluster_had_operations(struct db *db, const struct db_scope *s, const char *cluster_uuid,
                              struct err *e)
{
    static const struct sql_stmt had = {
        "cluster_had_operations",
        "SELECT 1 FROM operation o WHERE o.cluster_id = $1 AND " SCOPE_MATCH("o") " LIMIT 1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    scope_params(&p, s);
    int rc = sql_read(db, &had, &p, &r, e);
    if (rc || PQntuples(r))
        return rc;
    return err_set(e, ERR_NOT_FOUND, "Cluster %s could not be found.", cluster_uuid);
}

int db_events_news(struct db *db, const struct event_wait *v, size_t n, bool *ret_news,
                   struct err *e)
{
    static const struct sql_stmt news = {
        "events_news",
        "SELECT CASE WHEN w.cluster THEN EXISTS (SELECT FROM operation_event e"
        " WHERE e.cluster_id = w.id AND e.id > w.after)"
        " ELSE EXISTS (SELECT FROM operation_event e WHERE e.operation_id = w.id"
        " AND e.id > w.after) OR NOT EXISTS (SELECT FROM operation o WHERE o.id = w.id"
        " AND o.finished_at IS NULL) END"
        " FROM json_to_recordset($1::json) AS w(id text, cluster boolean, after bigint, n int)"
        " ORDER BY w.n"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    _cleanup_json_ json_t *list = json_array();
    int bad = !list;
    for (size_t i = 0; !bad && i < n; i++)
        bad = json_array_append_new(list, json_pack("{s:s,s:b,s:I,s:i}", "id", v[i].id, "cluster",
                                                    (int)v[i].cluster, "after",
                                                    (json_int_t)v[i].after, "n", (int)i));
    if (bad)
        return err_nomem(e);
    param_json(&p, list);
    int rc = sql_read(db, &news, &p, &r, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        ret_news[i] = (int)i < PQntuples(r) && row_bool(r, (int)i, 0);
    return 0;
}

static int trim(struct db *db, const struct sql_stmt *stmt, int64_t days, int64_t batch,
                int64_t *ret_n, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, days);
    param_int(&p, batch);
    int rc = sql_write(db, stmt, &p, &r, e);
    if (rc == 0)
        *ret_n = row_int(r, 0, 0, 0);
    return rc;
}

int db_events_trim(struct db *db, int64_t days, int64_t batch, int64_t *ret_n, struct err *e)
{
    static const struct sql_stmt events = {
        "events_trim",
        "WITH old AS (SELECT x.id" OLD_EVENTS(
            "now() - $1::bigint * interval '1 day'") " ORDER BY x.created_at"
                                                     " LIMIT $2::bigint FOR UPDATE SKIP LOCKED),"
                                                     " gone AS (DELETE FROM operation_event e "
                                                     "USING old WHERE e.id = old.id"
                                                     " RETURNING 1) SELECT count(*) FROM gone"};
    return trim(db, &events, days, batch, ret_n, e);
}

int db_operations_trim(struct db *db, int64_t days, int64_t batch, int64_t *ret_n, struct err *e)
{
    static const struct sql_stmt operations = {
        "operations_trim",
        "WITH old AS (SELECT x.id" OLD_OPERATIONS(
            "now() - $1::bigint * interval '1 day'") " ORDER BY x.finished_at LIMIT $2::bigint"
                                                     " FOR UPDATE OF x SKIP LOCKED),"
                                                     " events AS (DELETE FROM operation_event e "
                                                     "USING old WHERE e.operation_id = old.id),"
                                                     " gone AS (DELETE FROM operation o USING old "
                                                     "WHERE o.id = old.id RETURNING 1)"
                                                     " SELECT count(*) FROM gone"};
    return trim(db, &operations, days, batch, ret_n, e);
}
