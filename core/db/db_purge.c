/* See db_purge.h. */
#include "db/db_purge.h"

#include "purge_internal.h"
#include "sql_internal.h"

#include <string.h>

#define BEFORE "$1::timestamptz"
#define OLD_DRIVER_EVENTS                                                                          \
    " FROM driver_event x WHERE x.created_at < " BEFORE                                            \
    " AND x.id < (SELECT max(id) FROM driver_event)" /* conductors compare the last one's id */
/* Conductors that were taken away; what an operator said about one stays with it. One that was
 * stopped in order, or is just starting, was never seen up: updated_at has its last sign of life.
 */
#define OLD_SERVICES                                                                               \
    " FROM magnum_service x WHERE greatest(x.last_seen_up, x.updated_at, x.created_at) < " BEFORE  \
    " AND NOT x.disabled AND NOT x.forced_down"
/* FOR UPDATE looks at the row's newest version again: what changed meanwhile stays. */
#define OLD(rows, order)                                                                           \
    "WITH old AS (SELECT x.id" rows " ORDER BY " order                                             \
    " LIMIT $2::bigint FOR UPDATE OF x SKIP LOCKED), "
#define GONE(table, what)                                                                          \
    "gone AS (DELETE FROM " table " t USING old WHERE t.id = old.id RETURNING " what ")"
#define COUNTED " SELECT count(*) FROM gone"
#define TAKEN(table) " SELECT '" table "', row FROM gone"
#define ROW_TEXT "to_jsonb(t)::text AS row"
#define HISTORY(what)                                                                              \
    "history AS (DELETE FROM operation_event t USING old"                                          \
    " WHERE t.operation_id = old.id RETURNING " what "), "

/* clang-format off: SQL */
const struct db_purge_kind db_purge_kinds[] = {
    {"operations", "operations that have ended, with their events", "operation", true,
     "SELECT count(*)" OLD_OPERATIONS(BEFORE),
     OLD(OLD_OPERATIONS(BEFORE), "x.finished_at") HISTORY("1") GONE("operation", "1") COUNTED,
     OLD(OLD_OPERATIONS(BEFORE), "x.finished_at") HISTORY("t.id, " ROW_TEXT)
         GONE("operation", "(to_jsonb(t) - 'token_sealed')::text AS row") TAKEN(
             "operation") " UNION ALL (SELECT 'operation_event', row FROM history ORDER BY id)"},
    {"events", "events of operations that stay", "operation_event", true,
     "SELECT count(*)" OLD_EVENTS(BEFORE),
     OLD(OLD_EVENTS(BEFORE), "x.created_at") GONE("operation_event", "1") COUNTED,
     OLD(OLD_EVENTS(BEFORE), "x.created_at") GONE("operation_event", ROW_TEXT)
         TAKEN("operation_event")},
    {"driver-events", "what was decided about drivers", "driver_event", true,
     "SELECT count(*)" OLD_DRIVER_EVENTS,
     OLD(OLD_DRIVER_EVENTS, "x.id") GONE("driver_event", "1") COUNTED,
     OLD(OLD_DRIVER_EVENTS, "x.id") GONE("driver_event", ROW_TEXT) TAKEN("driver_event")},
    {"services", "processes that were not seen since then", "magnum_service", false,
     "SELECT count(*)" OLD_SERVICES, OLD(OLD_SERVICES, "x.id") GONE("magnum_service", "1") COUNTED,
     NULL},
};
/* clang-format on */
const size_t db_purge_kinds_n = ARRAY_LEN(db_purge_kinds);

int db_purge_count(struct db *db, const struct db_purge_kind *k, int64_t before_us, int64_t *ret,
                   struct err *e)
{
    const struct sql_stmt count = {NULL, k->count};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_time(&p, before_us);
    int rc = tx_begin(db, &tx, e);
    if (rc)
        return rc;
    int64_t usual_ms = tx.conn->timeout_ms;
    tx.conn->timeout_ms = 0; /* it may have to look at everything */
    rc = conn_script(tx.conn, "SET LOCAL statement_timeout = 0", e);
    if (!rc)
        rc = tx_run(&tx, &count, &p, &r, e);
    tx.conn->timeout_ms = usual_ms;
    if (!rc)
        *ret = row_int(r, 0, 0, 0);
    return rc;
}

static void batch_params(struct sql_params *p, int64_t before_us, int64_t batch)
{
    param_time(p, before_us);
    param_int(p, batch);
}

int db_purge(struct db *db, const struct db_purge_kind *k, int64_t before_us, int64_t batch,
             int64_t *ret, struct err *e)
{
    const struct sql_stmt remove = {NULL, k->remove};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    batch_params(&p, before_us, batch);
    int rc = sql_write(db, &remove, &p, &r, e);
    if (!rc)
        *ret = row_int(r, 0, 0, 0);
    return rc;
}

/* --- into a file --- */

int db_archive_size(struct db *db, const char *id, int64_t *ret_bytes, struct err *e)
{
    static const struct sql_stmt size = {NULL, "SELECT bytes FROM archive_file WHERE id = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, id);
    int rc = sql_read(db, &size, &p, &r, e);
    if (!rc)
        *ret_bytes = PQntuples(r) ? row_int(r, 0, 0, 0) : -1;
    return rc;
}

int db_archive_begin(struct db *db, const char *id, const char *path, int64_t bytes, struct err *e)
{
    static const struct sql_stmt begin = {
        NULL, "INSERT INTO archive_file (id, path, bytes) VALUES ($1, $2, $3::bigint)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, id);
    param_str(&p, path);
    param_int(&p, bytes);
    return sql_write(db, &begin, &p, NULL, e);
}

static int put_all(const PGresult *r, const struct db_archive *a, int64_t *ret_bytes, struct err *e)
{
    int rc = 0;
    for (int i = 0; !rc && i < PQntuples(r); i++)
        rc = a->put(a->ctx, row_str(r, i, 0), row_str(r, i, 1), e);
    return rc ? rc : a->sync(a->ctx, ret_bytes, e);
}

/* Rows of the kind itself; the history that came along is not counted. */
static int64_t count_of(const PGresult *r, const char *table)
{
    int64_t n = 0;
    for (int i = 0; i < PQntuples(r); i++)
        n += strcmp(row_str(r, i, 0), table) == 0;
    return n;
}

int db_archive(struct db *db, const struct db_purge_kind *k, int64_t before_us, int64_t batch,
               const struct db_archive *a, int64_t *ret, struct err *e)
{
    static const struct sql_stmt mark = {
        NULL, "UPDATE archive_file SET bytes = $2::bigint, row_count = row_count + $3::bigint,"
              " updated_at = now() WHERE id = $1"};
    const struct sql_stmt take = {NULL, k->take};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0}, m = {.n = 0};
    _cleanup_result_ PGresult *r = NULL, *marked = NULL;
    int64_t bytes = 0;
    batch_params(&p, before_us, batch);
    int rc = tx_begin(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &take, &p, &r, e);
    if (!rc && PQntuples(r) == 0)
        return *ret = 0, 0;
    if (!rc)
        rc = put_all(r, a, &bytes, e); /* on disk before the rows are gone */
    param_str(&m, a->id);
    param_int(&m, bytes);
    param_int(&m, rc ? 0 : PQntuples(r));
    if (!rc)
        rc = tx_run(&tx, &mark, &m, &marked, e);
    if (!rc && sql_changed(marked) != 1)
        rc = err_set(e, ERR_NOT_FOUND, "the database no longer knows archive %s", a->id);
    if (!rc)
        rc = tx_commit(&tx, e);
    if (!rc)
        *ret = count_of(r, k->table);
    return rc;
}
