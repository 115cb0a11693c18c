/* See db_ledger.h. A superseded operation may still write here while its lease is alive: what it
 * made must be known to whoever deletes it. */
#include "db/db_ledger.h"

#include "op_internal.h"

/* The leased operation, named g; every statement answers how many there were. */
#define LEASED "WITH g AS (SELECT o.id, o.cluster_id FROM operation o WHERE " LEASE_ALIVE ")"

static int run(struct db *db, const struct sql_stmt *stmt, const struct op_guard *g,
               struct sql_params *p, struct err *e)
{
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_write(db, stmt, p, &r, e);
    return rc ? rc : guarded(r, g, e);
}

int db_ledger_declare(struct db *db, const struct op_guard *g, const char *kind, const char *name,
                      const json_t *data, struct err *e)
{
    static const struct sql_stmt declare = {
        "ledger_declare",
        LEASED ", x AS (INSERT INTO ledger AS l (cluster_id, kind, name, data, operation_id)"
               " SELECT g.cluster_id, $4::text, $5::text, $6::json, g.id FROM g"
               " ON CONFLICT (cluster_id, kind, name) DO UPDATE SET"
               " data = coalesce(excluded.data, l.data), operation_id = excluded.operation_id,"
               " updated_at = now()) SELECT count(*) FROM g"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    guard_params(&p, g);
    param_str(&p, kind);
    param_str(&p, name);
    param_json(&p, data);
    return run(db, &declare, g, &p, e);
}

int db_ledger_confirm(struct db *db, const struct op_guard *g, const char *kind, const char *name,
                      const char *external_id, struct err *e)
{
    /* one that was never declared is recorded all the same */
    static const struct sql_stmt confirm = {
        "ledger_confirm", LEASED
        ", x AS (INSERT INTO ledger AS l (cluster_id, kind, name, state, external_id, operation_id)"
        " SELECT g.cluster_id, $4::text, $5::text, 'confirmed', $6::text, g.id FROM g"
        " ON CONFLICT (cluster_id, kind, name) DO UPDATE SET state = 'confirmed',"
        " external_id = coalesce(excluded.external_id, l.external_id),"
        " operation_id = excluded.operation_id, updated_at = now()) SELECT count(*) FROM g"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    guard_params(&p, g);
    param_str(&p, kind);
    param_str(&p, name);
    param_str(&p, external_id);
    return run(db, &confirm, g, &p, e);
}

int db_ledger_drop(struct db *db, const struct op_guard *g, const char *kind, const char *name,
                   struct err *e)
{
    static const struct sql_stmt drop = {
        "ledger_drop", LEASED ", x AS (DELETE FROM ledger l USING g WHERE l.cluster_id ="
                              " g.cluster_id AND l.kind = $4::text AND l.name = $5::text)"
                              " SELECT count(*) FROM g"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    guard_params(&p, g);
    param_str(&p, kind);
    param_str(&p, name);
    return run(db, &drop, g, &p, e);
}

int db_ledger_list(struct db *db, const char *cluster_uuid, const char *kind,
                   struct ledger_entry_list *ret, struct err *e)
{
    static const struct sql_stmt list = {
        "ledger_list", "SELECT {l.ledger_entry} FROM ledger l WHERE l.cluster_id = $1"
                       " AND ($2::text IS NULL OR l.kind = $2) ORDER BY l.id"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    param_str(&p, kind);
    int rc = sql_read(db, &list, &p, &r, e);
    return rc ? rc : ROW_LIST(ledger_entry, r, ret, e);
}
