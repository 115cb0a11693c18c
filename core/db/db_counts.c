/* See db_counts.h. */
#include "db/db_counts.h"

#include "op_internal.h"

enum { GROUP_MAX = 3 };

/* Rows of `n` texts and a number. */
static void give(const PGresult *r, int n, db_count_fn fn, void *ctx)
{
    for (int i = 0; i < PQntuples(r); i++) {
        const char *group[GROUP_MAX];
        for (int k = 0; k < n; k++) {
            const char *text = row_str(r, i, k);
            group[k] = text ? text : "";
        }
        fn(ctx, group, row_int(r, i, n, 0));
    }
}

int db_count_operations(struct db *db, db_count_fn fn, void *ctx, struct err *e)
{
    static const struct sql_stmt count = {
        "count_operations", "SELECT kind, status, coalesce(driver_id, 'core'), count(*)"
                            " FROM operation WHERE finished_at IS NULL GROUP BY 1, 2, 3"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &count, NULL, &r, e);
    if (rc == 0)
        give(r, 3, fn, ctx);
    return rc;
}

int db_count_due(struct db *db, int64_t *ret_n, int64_t *ret_age_ms, struct err *e)
{
    /* an elder of the same cluster that has not ended holds the others back: they are not late */
    static const struct sql_stmt count = {
        "count_due", "SELECT count(*), (extract(epoch FROM now() - min(o.due_at)) * 1000)::bigint"
                     " FROM operation o WHERE o.status IN ('PENDING', 'RUNNING', 'BLOCKED')"
                     " AND o.superseded_by IS NULL AND o.due_at <= now()"
                     " AND (o.lease_until IS NULL OR o.lease_until <= now())"
                     " AND NOT EXISTS (SELECT FROM operation x WHERE x.cluster_id = o.cluster_id"
                     " AND x.generation < o.generation AND x.finished_at IS NULL OFFSET 0)"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &count, NULL, &r, e);
    if (rc)
        return rc;
    *ret_n = row_int(r, 0, 0, 0);
    *ret_age_ms = row_int(r, 0, 1, 0);
    return 0;
}

int db_count_clusters(struct db *db, db_count_fn fn, void *ctx, struct err *e)
{
    /* all rows are wanted: in the order of the table, which sessions are told to avoid */
    static const struct sql_stmt scan = {NULL, "SET LOCAL enable_seqscan = on"};
    static const struct sql_stmt count = {
        NULL, "SELECT status, coalesce(health_status, 'UNKNOWN'), count(*) FROM cluster"
              " GROUP BY 1, 2"};
    _cleanup_result_ PGresult *r = NULL;
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = tx_begin(db, &tx, e);
    if (rc == 0)
        rc = tx_run(&tx, &scan, NULL, NULL, e);
    if (rc == 0)
        rc = tx_run(&tx, &count, NULL, &r, e);
    if (rc == 0)
        rc = tx_commit(&tx, e);
    if (rc == 0)
        give(r, 2, fn, ctx);
    return rc;
}

int db_count_services(struct db *db, int64_t down_s, db_count_fn fn, void *ctx, struct err *e)
{
    static const struct sql_stmt count = {
        "count_services",
        "SELECT \"binary\", CASE WHEN NOT forced_down"
        " AND last_seen_up > now() - $1::bigint * interval '1 second' THEN 'up' ELSE 'down' END,"
        " count(*) FROM magnum_service WHERE last_seen_up > now() - interval '1 day'"
        " GROUP BY 1, 2"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, down_s);
    int rc = sql_read(db, &count, &p, &r, e);
    if (rc == 0)
        give(r, 2, fn, ctx);
    return rc;
}

int db_count_certificates(struct db *db, db_count_fn fn, void *ctx, struct err *e)
{
    static const struct sql_stmt count = {
        "count_certificates",
        "SELECT d.days::text, (SELECT count(*) FROM certificate c WHERE c.ref IS NOT NULL"
        " AND c.not_after <= now() + d.days * interval '1 day'"
        " AND (d.days = 0 OR c.not_after > now()))"
        " FROM (VALUES (0), (1), (7), (30)) AS d(days)"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &count, NULL, &r, e);
    if (rc == 0)
        give(r, 1, fn, ctx);
    return rc;
}
