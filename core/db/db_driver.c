/* Published drivers, their enablement and quarantine: see db_service.h. */
#include "db/db_service.h"

#include "driver_internal.h"

/* --- publishing --- */

static const struct sql_stmt publish_one_version = {
    "driver_publish_version",
    "INSERT INTO driver_copy (instance, id, name, kind, version, vendor, sha256, manifest,"
    " label_schema, ready, not_ready_reason, version_key)"
    " VALUES ($1, $2, $3, $4, coalesce($5, ''), $6, $7, $8, $9, $10, $11, $12)"
    " ON CONFLICT DO NOTHING"};
/* for programs that know of no versions: the first one named is the one they see */
static const struct sql_stmt publish_driver = {
    "driver_publish",
    "INSERT INTO driver (instance, id, name, kind, version, vendor, sha256, manifest,"
    " label_schema, ready, not_ready_reason)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING"};
/* a verdict is over one file: another one under the same version has none */
static const struct sql_stmt publish_release = {
    "driver_publish_release",
    "INSERT INTO driver_release AS r (id, version, sha256) VALUES ($1, $2, $3)"
    " ON CONFLICT (id, version) DO UPDATE SET sha256 = excluded.sha256, verdict = NULL,"
    " verdict_at = NULL WHERE r.sha256 IS DISTINCT FROM excluded.sha256"};

static void describe(struct sql_params *p, const char *instance, const struct driver_row *d)
{
    param_str(p, instance);
    param_str(p, d->id);
    param_str(p, d->name);
    param_str(p, d->kind);
    param_str(p, d->version);
    param_str(p, d->vendor);
    param_str(p, d->sha256);
    param_json(p, d->manifest);
    param_json(p, d->label_schema);
    param_bool(p, d->ready);
    param_str(p, d->not_ready_reason);
}

static int publish_one(struct sql_tx *tx, const char *instance, const struct driver_row *d,
                       struct err *e)
{
    _cleanup_params_ struct sql_params row = {.n = 0}, copy = {.n = 0}, release = {.n = 0};
    _cleanup_free_ char *key = db_driver_version_key(d->version);
    if (!key)
        return err_nomem(e);
    describe(&row, instance, d);
    describe(&copy, instance, d);
    param_str(&copy, key);
    int rc = tx_run(tx, &publish_driver, &row, NULL, e);
    if (!rc)
        rc = tx_run(tx, &publish_one_version, &copy, NULL, e);
    if (rc || str_blank(d->version) || str_blank(d->sha256))
        return rc;
    param_str(&release, d->id);
    param_str(&release, d->version);
    param_str(&release, d->sha256);
    return tx_run(tx, &publish_release, &release, NULL, e);
}

int db_driver_publish(struct db *db, const char *instance, const struct driver_row_list *l,
                      struct err *e)
{
    /* an instance that nobody has heard of for an hour is the former life of some conductor */
#define FORGET(table)                                                                              \
    "DELETE FROM " table " d WHERE d.instance = $1"                                                \
    " OR (d.updated_at < now() - interval '1 hour' AND NOT EXISTS"                                 \
    " (SELECT FROM magnum_service m WHERE m.instance = d.instance))"
    static const struct sql_stmt clear = {
        "driver_unpublish", "WITH c AS (" FORGET("driver_copy") ") " FORGET("driver")};
#undef FORGET
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
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = driver_decide(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &enable, &p, NULL, e);
    const struct driver_note note = {id, NULL, enabled ? "enabled" : "disabled", NULL, by};
    return rc ? rc : driver_decided(&tx, &note, e);
}

int db_driver_enablement_list(struct db *db, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "driver_enablement_list",
        "SELECT coalesce(json_agg(json_build_object('id', n.id, 'enabled', n.enabled, 'sha256',"
        " n.sha256, 'version', n.version, 'previous_version', n.previous_version, 'beta', n.beta,"
        " 'projects', (SELECT json_object_agg(p.project_id, p.enabled) FROM driver_project p"
        " WHERE p.id = n.id), 'by', n.changed_by, 'at', " ISO(
            "n.changed_at") ") ORDER BY n.id),"
                            " '[]'::json) FROM driver_enablement n"};
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
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = driver_decide(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &add, &p, NULL, e);
    const struct driver_note note = {id, NULL, "quarantined", reason, NULL};
    return rc ? rc : driver_decided(&tx, &note, e);
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
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = driver_decide(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &clear, &p, NULL, e);
    return rc ? rc
              : driver_decided(&tx, &(struct driver_note){.id = id, .event = "unquarantined"}, e);
}
