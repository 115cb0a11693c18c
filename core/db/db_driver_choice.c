/* Decisions about drivers, each with its event: see db_driver.h. What there is to decide about is
 * read in db_driver_release.c. */
#include "driver_internal.h"

/* --- events --- */

int db_driver_news(struct db *db, int64_t *ret, struct err *e)
{
    static const struct sql_stmt last = {"driver_news",
                                         "SELECT coalesce(max(id), 0) FROM driver_event"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &last, NULL, &r, e);
    if (!rc)
        *ret = row_int(r, 0, 0, 0);
    return rc;
}

int db_driver_events(struct db *db, const char *id, int64_t limit, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "driver_events",
        "SELECT coalesce(json_agg(json_build_object('id', v.id, 'driver', v.driver_id, 'version',"
        " v.version, 'event', v.event, 'detail', v.detail, 'by', v.changed_by, 'at', " ISO(
            "v.created_at") ") ORDER BY v.id DESC), '[]'::json) FROM (SELECT * FROM driver_event"
                            " WHERE $1::text IS NULL OR driver_id = $1 ORDER BY id DESC"
                            " LIMIT $2::bigint) v"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, id);
    param_int(&p, limit);
    int rc = sql_read(db, &list, &p, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

/* One decision at a time: then events become visible in the order of their ids, and nobody who
 * looks at the last one alone misses any. */
int driver_decide(struct db *db, struct sql_tx *tx, struct err *e)
{
    static const struct sql_stmt lock = {
        "driver_decide", "SELECT pg_advisory_xact_lock(hashtext('magnum.drivers'))"};
    int rc = tx_begin(db, tx, e);
    return rc ? rc : tx_run(tx, &lock, NULL, NULL, e);
}

int driver_decided(struct sql_tx *tx, const struct driver_note *n, struct err *e)
{
    static const struct sql_stmt note = {"driver_note",
                                         "INSERT INTO driver_event (driver_id, version, event,"
                                         " detail, changed_by) VALUES ($1, $2, $3, $4, $5)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, n->id);
    param_str(&p, n->version);
    param_str(&p, n->event);
    param_str(&p, n->detail);
    param_str(&p, n->by);
    int rc = tx_run(tx, &note, &p, NULL, e);
    return rc ? rc : tx_commit(tx, e);
}

int db_driver_event(struct db *db, const char *id, const char *version, const char *event,
                    const char *detail, const char *by, struct err *e)
{
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = driver_decide(db, &tx, e);
    return rc ? rc : driver_decided(&tx, &(struct driver_note){id, version, event, detail, by}, e);
}

/* One statement and its event. *changed: how many rows it changed. */
static int decide(struct db *db, const struct sql_stmt *s, const struct sql_params *p,
                  const struct driver_note *n, int64_t *changed, struct err *e)
{
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_result_ PGresult *r = NULL;
    int rc = driver_decide(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, s, p, &r, e);
    if (rc)
        return rc;
    *changed = sql_changed(r);
    return *changed ? driver_decided(&tx, n, e) : tx_commit(&tx, e);
}

/* --- versions --- */

/* *ret NULL: nobody has it. Caller frees. */
static int current_version(struct sql_tx *tx, const char *id, char **ret, struct err *e)
{
    static const struct sql_stmt present = {"driver_present",
                                            "SELECT DISTINCT ON (d.id) d.version FROM driver_copy d"
                                            " LEFT JOIN driver_enablement n ON n.id = d.id"
                                            " WHERE d.id = $1 ORDER BY d.id, " CURRENT_FIRST};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, id);
    int rc = tx_run(tx, &present, &p, &r, e);
    if (rc || PQntuples(r) == 0)
        return rc;
    *ret = str_dup(row_str(r, 0, 0));
    return *ret ? 0 : err_nomem(e);
}

int db_driver_hold(struct db *db, const char *id, struct err *e)
{
    static const struct sql_stmt hold = {
        "driver_hold",
        "UPDATE driver_enablement SET version = $2 WHERE id = $1 AND version IS NULL"};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_free_ char *now = NULL;
    int rc = driver_decide(db, &tx, e);
    if (!rc)
        rc = current_version(&tx, id, &now, e);
    if (rc || !now)
        return rc;
    param_str(&p, id);
    param_str(&p, now);
    rc = tx_run(&tx, &hold, &p, NULL, e);
    return rc ? rc : tx_commit(&tx, e);
}

int db_driver_choose(struct db *db, const char *id, const char *version, const char *sha256,
                     const char *event, const char *by, struct err *e)
{
    static const struct sql_stmt choose = {
        "driver_choose",
        "UPDATE driver_enablement SET previous_version = $5, version = $2, sha256 ="
        " CASE WHEN sha256 IS NULL THEN NULL ELSE $3 END, changed_by = $4, changed_at = now()"
        " WHERE id = $1"};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    _cleanup_free_ char *from = NULL;
    int rc = driver_decide(db, &tx, e);
    if (!rc)
        rc = current_version(&tx, id, &from, e);
    if (rc)
        return rc;
    if (str_eq(from, version))
        return err_set(e, ERR_CONFLICT, "driver %s is at version %s already", id, version);
    param_str(&p, id);
    param_str(&p, version);
    param_str(&p, sha256);
    param_str(&p, by);
    param_str(&p, from);
    rc = tx_run(&tx, &choose, &p, &r, e);
    if (!rc && sql_changed(r) == 0)
        rc = err_set(e, ERR_NOT_FOUND, "driver %s was never enabled: enable it first", id);
    if (rc)
        return rc;
    _cleanup_free_ char *detail = str_fmt("from %s", from ? from : "none");
    return driver_decided(&tx, &(struct driver_note){id, version, event, detail, by}, e);
}

/* Which clusters of a driver are to move to a version: those named, or all. */
static void moving_params(struct sql_params *p, const char *id, const char *version,
                          const struct strv *clusters)
{
    param_str(p, id);
    param_str(p, version);
    if (clusters && clusters->n)
        param_list(p, (const char *const *)clusters->v, clusters->n);
    else
        param_str(p, NULL);
}

int db_driver_movable(struct db *db, const char *id, const char *version,
                      const struct strv *clusters, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "driver_movable",
        "SELECT coalesce(json_agg(json_build_object('version', v.version, 'clusters', v.n,"
        " 'example', v.example) ORDER BY v.version), '[]'::json) FROM (SELECT driver_version AS"
        " version, count(*) AS n, min(name) AS example FROM cluster WHERE driver_id = $1"
        " AND driver_version <> $2 AND ($3::text[] IS NULL OR uuid = ANY ($3) OR name = ANY ($3))"
        " GROUP BY driver_version) v"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    moving_params(&p, id, version, clusters);
    int rc = sql_read(db, &list, &p, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

int db_driver_move(struct db *db, const char *id, const char *version, const struct strv *clusters,
                   const char *by, int64_t *ret_n, struct err *e)
{
    static const struct sql_stmt move = {
        "driver_move", "UPDATE cluster SET driver_version = $2 WHERE driver_id = $1"
                       " AND driver_version IS DISTINCT FROM $2"
                       " AND ($3::text[] IS NULL OR uuid = ANY ($3) OR name = ANY ($3))"};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    moving_params(&p, id, version, clusters);
    int rc = driver_decide(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &move, &p, &r, e);
    if (rc)
        return rc;
    *ret_n = sql_changed(r);
    _cleanup_free_ char *detail = str_fmt("%lld clusters", (long long)*ret_n);
    return *ret_n ? driver_decided(&tx, &(struct driver_note){id, version, "moved", detail, by}, e)
                  : tx_commit(&tx, e);
}

int db_driver_pin(struct db *db, const char *operation, const char *old, const char *version,
                  struct err *e)
{
    static const struct sql_stmt pin = {
        "driver_pin", "WITH o AS (UPDATE operation SET driver_version = $3 WHERE id = $1"
                      " AND driver_version IS NOT DISTINCT FROM $2::text RETURNING cluster_id)"
                      " UPDATE cluster c SET driver_version = $3 FROM o WHERE c.uuid = o.cluster_id"
                      " AND c.driver_version IS NOT DISTINCT FROM $2::text"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, operation);
    param_str(&p, old);
    param_str(&p, version);
    return sql_write(db, &pin, &p, NULL, e);
}

int db_driver_forget(struct db *db, const char *id, const char *version, const char *by,
                     struct err *e)
{
    static const struct sql_stmt used = {
        "driver_used", "SELECT (SELECT count(*) FROM cluster WHERE driver_id = $1"
                       " AND driver_version = $2), (SELECT count(*) FROM operation"
                       " WHERE driver_id = $1 AND driver_version = $2 AND finished_at IS NULL)"};
    static const struct sql_stmt forget = {
        "driver_forget", "DELETE FROM driver_release WHERE id = $1 AND version = $2"};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, id);
    param_str(&p, version);
    int rc = driver_decide(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &used, &p, &r, e);
    if (rc)
        return rc;
    int64_t clusters = row_int(r, 0, 0, 0), operations = row_int(r, 0, 1, 0);
    if (clusters || operations)
        return err_set(e, ERR_CONFLICT,
                       "%lld clusters and %lld open operations belong to version %s of %s: move "
                       "them first (magnum-driver-manage migrate-clusters)",
                       (long long)clusters, (long long)operations, version, id);
    rc = tx_run(&tx, &forget, &p, NULL, e);
    return rc ? rc
              : driver_decided(&tx, &(struct driver_note){id, version, "uninstalled", NULL, by}, e);
}

int db_driver_verdict(struct db *db, const char *id, const char *version, const char *sha256,
                      const json_t *verdict, const char *by, struct err *e)
{
    static const struct sql_stmt store = {
        "driver_verdict",
        "INSERT INTO driver_release (id, version, sha256, verdict, verdict_at)"
        " VALUES ($1, $2, $3, $4, now()) ON CONFLICT (id, version) DO UPDATE SET"
        " sha256 = excluded.sha256, verdict = excluded.verdict, verdict_at = now()"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    int64_t n = 0;
    param_str(&p, id);
    param_str(&p, version);
    param_str(&p, sha256);
    param_json(&p, verdict);
    const char *result = json_string_value(json_object_get(verdict, "result"));
    return decide(db, &store, &p, &(struct driver_note){id, version, "checked", result, by}, &n, e);
}

/* --- who may use it --- */

int db_driver_beta(struct db *db, const char *id, bool beta, const char *by, struct err *e)
{
    static const struct sql_stmt set = {
        "driver_beta", "INSERT INTO driver_enablement (id, enabled, beta, changed_by)"
                       " VALUES ($1, false, $2, $3) ON CONFLICT (id) DO UPDATE SET"
                       " beta = excluded.beta, changed_by = excluded.changed_by,"
                       " changed_at = now() WHERE driver_enablement.beta <> excluded.beta"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    int64_t n = 0;
    param_str(&p, id);
    param_bool(&p, beta);
    param_str(&p, by);
    const char *event = beta ? "beta accepted" : "beta refused";
    return decide(db, &set, &p, &(struct driver_note){id, NULL, event, NULL, by}, &n, e);
}

int db_driver_project(struct db *db, const char *id, const char *project, bool enabled,
                      const char *by, struct err *e)
{
    static const struct sql_stmt set = {
        "driver_project", "INSERT INTO driver_project (id, project_id, enabled, changed_by)"
                          " VALUES ($1, $2, $3, $4) ON CONFLICT (id, project_id) DO UPDATE SET"
                          " enabled = excluded.enabled, changed_by = excluded.changed_by,"
                          " changed_at = now()"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    int64_t n = 0;
    param_str(&p, id);
    param_str(&p, project);
    param_bool(&p, enabled);
    param_str(&p, by);
    _cleanup_free_ char *detail = str_fmt("project %s", project);
    const char *event = enabled ? "enabled" : "disabled";
    return decide(db, &set, &p, &(struct driver_note){id, NULL, event, detail, by}, &n, e);
}

int db_driver_defaults(struct db *db, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "driver_defaults",
        "SELECT coalesce(json_agg(json_build_object('server_type', server_type, 'os', os,"
        " 'coe', coe, 'id', id, 'by', changed_by, 'at', " ISO(
            "changed_at") ")"
                          " ORDER BY server_type, os, coe), '[]'::json) FROM driver_default"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &list, NULL, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

int db_driver_default(struct db *db, const char *server_type, const char *os, const char *coe,
                      const char *id, const char *by, struct err *e)
{
    static const struct sql_stmt set = {
        "driver_default", "INSERT INTO driver_default (server_type, os, coe, id, changed_by)"
                          " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (server_type, os, coe)"
                          " DO UPDATE SET id = excluded.id, changed_by = excluded.changed_by,"
                          " changed_at = now()"};
    static const struct sql_stmt unset = {
        "driver_no_default", "DELETE FROM driver_default WHERE server_type = $1 AND os = $2"
                             " AND coe = $3"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    int64_t n = 0;
    param_str(&p, server_type);
    param_str(&p, os);
    param_str(&p, coe);
    if (id) {
        param_str(&p, id);
        param_str(&p, by);
    }
    _cleanup_free_ char *detail = str_fmt("(%s, %s, %s)", server_type, os, coe);
    const struct driver_note note = {id, NULL, id ? "default" : "no default", detail, by};
    int rc = decide(db, id ? &set : &unset, &p, &note, &n, e);
    return rc || n ? rc
                   : err_set(e, ERR_NOT_FOUND, "no driver is chosen for %s",
                             detail ? detail : "this kind of cluster");
}

/* --- settings --- */

int db_driver_settings(struct db *db, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "driver_settings",
        "SELECT coalesce(json_object_agg(s.id, s.v ORDER BY s.id), '{}'::json) FROM (SELECT id,"
        " json_object_agg(key, value ORDER BY key) AS v FROM driver_setting GROUP BY id) s"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &list, NULL, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

int db_driver_set(struct db *db, const char *id, const char *key, const json_t *value,
                  const char *by, struct err *e)
{
    static const struct sql_stmt set = {
        "driver_set", "INSERT INTO driver_setting (id, key, changed_by, value)"
                      " VALUES ($1, $2, $3, $4) ON CONFLICT (id, key) DO UPDATE SET"
                      " value = excluded.value, changed_by = excluded.changed_by,"
                      " changed_at = now()"};
    static const struct sql_stmt unset = {"driver_unset",
                                          "DELETE FROM driver_setting WHERE id = $1 AND key = $2"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    int64_t n = 0;
    param_str(&p, id);
    param_str(&p, key);
    if (value) {
        param_str(&p, by);
        param_json(&p, value);
    }
    const struct driver_note note = {id, NULL, value ? "set" : "unset", key, by};
    int rc = decide(db, value ? &set : &unset, &p, &note, &n, e);
    return rc || n ? rc : err_set(e, ERR_NOT_FOUND, "%s of driver %s is not set", key, id);
}
