/* Published drivers, their enablement and quarantine: see db_service.h. */
#include "db/db_service.h"

#include "sql_internal.h"

/* --- publishing --- */

static int publish_one(struct sql_tx *tx, const char *instance, const struct driver_row *d,
                       struct err *e)
{
    static const struct sql_stmt insert = {
        "driver_publish",
        "INSERT INTO driver (instance, id, name, kind, version, vendor, sha256, manifest,"
        " label_schema, ready, not_ready_reason)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, instance);
    param_str(&p, d->id);
    param_str(&p, d->name);
    param_str(&p, d->kind);
    param_str(&p, d->version);
    param_str(&p, d->vendor);
    param_str(&p, d->sha256);
    param_json(&p, d->manifest);
    param_json(&p, d->label_schema);
    param_bool(&p, d->ready);
    param_str(&p, d->not_ready_reason);
    return tx_run(tx, &insert, &p, NULL, e);
}

int db_driver_publish(struct db *db, const char *instance, const struct driver_row_list *l,
                      struct err *e)
{
    /* an instance that nobody has heard of for an hour is the former life of some conductor */
    static const struct sql_stmt clear = {
        "driver_unpublish", "DELETE FROM driver d WHERE d.instance = $1"
                            " OR (d.updated_at < now() - interval '1 hour' AND NOT EXISTS"
                            " (SELECT FROM magnum_service m WHERE m.instance = d.instance))"};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, instance);
    int rc = tx_begin(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &clear, &p, NULL, e);
    for (size_t i = 0; !rc && i < l->n; i++)
        rc = publish_one(&tx, instance, &l->v[i], e);
    return rc ? rc : tx_commit(&tx, e);
}

int db_driver_list(struct db *db, int64_t max_age_ms, struct driver_row_list *ret, struct err *e)
{
    /* of several versions of one driver the one published last is shown; it is ready when any
     * conductor can run it */
    static const struct sql_stmt list = {
        "driver_list",
        "WITH alive AS (SELECT d.*, coalesce(m.host, d.instance) AS conductor FROM driver d"
        " LEFT JOIN magnum_service m ON m.instance = d.instance"
        " WHERE $1::bigint = 0 OR (NOT m.forced_down"
        " AND m.last_seen_up > now() - $1::bigint * interval '1 millisecond')),"
        " merged AS (SELECT DISTINCT ON (a.id) a.id, a.name, a.kind, a.version, a.vendor,"
        " a.sha256, a.manifest, a.label_schema, a.updated_at, (SELECT bool_or(b.ready)"
        " FROM alive b WHERE b.id = a.id) AS ready, (SELECT min(b.not_ready_reason) FROM alive b"
        " WHERE b.id = a.id) AS not_ready_reason, (SELECT json_agg(DISTINCT b.conductor)"
        " FROM alive b WHERE b.id = a.id) AS conductors"
        " FROM alive a ORDER BY a.id, a.updated_at DESC, a.instance),"
        " r AS (SELECT m.id, m.name, m.kind, m.version, m.vendor, m.sha256, m.manifest,"
        " m.label_schema, coalesce(n.enabled, false) AS enabled, n.sha256 AS enabled_sha256,"
        " n.changed_by AS enabled_by, n.changed_at AS enabled_at, m.ready,"
        " CASE WHEN NOT m.ready THEN m.not_ready_reason END AS not_ready_reason, m.conductors,"
        " m.updated_at FROM merged m LEFT JOIN driver_enablement n ON n.id = m.id)"
        " SELECT {r.driver_row} FROM r ORDER BY r.id"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, max_age_ms > 0 ? max_age_ms : 0);
    int rc = sql_read(db, &list, &p, &r, e);
    return rc ? rc : ROW_LIST(driver_row, r, ret, e);
}

/* --- decisions --- */

int db_driver_enable(struct db *db, const char *id, bool enabled, const char *sha256,
                     const char *by, struct err *e)
{
    static const struct sql_stmt enable = {
        "driver_enable", "INSERT INTO driver_enablement (id, enabled, sha256, changed_by)"
                         " VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET"
                         " enabled = excluded.enabled, sha256 = excluded.sha256,"
                         " changed_by = excluded.changed_by, changed_at = now()"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, id);
    param_bool(&p, enabled);
    param_str(&p, sha256);
    param_str(&p, by);
    return sql_write(db, &enable, &p, NULL, e);
}

int db_driver_enablement_list(struct db *db, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "driver_enablement_list",
        "SELECT coalesce(json_agg(json_build_object('id', id, 'enabled', enabled, 'sha256', sha256,"
        " 'by', changed_by, 'at', to_char(changed_at AT TIME ZONE 'UTC',"
        " 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')) ORDER BY id), '[]'::json)"
        " FROM driver_enablement"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &list, NULL, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

int db_driver_quarantine(struct db *db, const char *id, const char *sha256, const char *reason,
                         struct err *e)
{
    static const struct sql_stmt add = {"driver_quarantine",
                                        "INSERT INTO driver_quarantine (id, sha256, reason)"
                                        " VALUES ($1, $2, $3) ON CONFLICT (sha256) DO UPDATE SET"
                                        " reason = excluded.reason"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, id);
    param_str(&p, sha256);
    param_str(&p, reason);
    return sql_write(db, &add, &p, NULL, e);
}

int db_driver_quarantined(struct db *db, const char *sha256, bool *ret, struct err *e)
{
    static const struct sql_stmt get = {
        "driver_quarantined", "SELECT EXISTS (SELECT FROM driver_quarantine WHERE sha256 = $1)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, sha256);
    int rc = sql_read(db, &get, &p, &r, e);
    if (!rc)
        *ret = row_bool(r, 0, 0);
    return rc;
}

int db_driver_quarantine_list(struct db *db, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "driver_quarantine_list",
        "SELECT coalesce(json_agg(json_build_object('id', id, 'sha256', sha256, 'reason', reason,"
        " 'since', to_char(since, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')) ORDER BY since),"
        " '[]'::json) FROM driver_quarantine"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &list, NULL, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

int db_driver_quarantine_clear(struct db *db, const char *id, struct err *e)
{
    static const struct sql_stmt clear = {
        "driver_quarantine_clear",
        "DELETE FROM driver_quarantine WHERE $1::text IS NULL OR id = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, id);
    return sql_write(db, &clear, &p, NULL, e);
}
