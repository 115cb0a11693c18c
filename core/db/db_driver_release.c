/* Which versions of drivers there are, where, and who belongs to them: see db_driver.h. */
#include "db/db_service.h"
#include "driver_internal.h"

#include <ctype.h>
#include <string.h>

enum { DIGITS = 10 };

/* Each number gets leading zeros; what follows the numbers ("-rc1") comes before its absence. */
char *db_driver_version_key(const char *version)
{
    struct str key = STR_INIT;
    const char *s = version ? version : "";
    while (isdigit((unsigned char)*s)) {
        size_t n = strspn(s, "0123456789");
        for (size_t i = n; i < DIGITS; i++)
            str_append_c(&key, '0');
        str_append_n(&key, s, n);
        str_append_c(&key, '.');
        s += n;
        if (s[0] != '.' || !isdigit((unsigned char)s[1]))
            break;
        s++;
    }
    str_append(&key, *s ? s : "~");
    return str_take(&key);
}

/* What the living conductors have, and those that know of no versions. */
#define ALIVE                                                                                      \
    "WITH d AS (SELECT instance, id, version, version_key, name, kind, vendor, sha256, manifest,"  \
    " label_schema, ready, not_ready_reason, updated_at FROM driver_copy UNION ALL"                \
    " SELECT instance, id, coalesce(version, ''), '', name, kind, vendor, sha256, manifest,"       \
    " label_schema, ready, not_ready_reason, updated_at FROM driver o WHERE NOT EXISTS"            \
    " (SELECT FROM driver_copy y WHERE y.instance = o.instance)),"                                 \
    " alive AS (SELECT d.*, coalesce(m.host, d.instance) AS conductor FROM d"                      \
    " LEFT JOIN magnum_service m ON m.instance = d.instance"                                       \
    " WHERE $1::bigint = 0 OR (NOT m.forced_down"                                                  \
    " AND m.last_seen_up > now() - $1::bigint * interval '1 millisecond'))"

int db_driver_list(struct db *db, int64_t max_age_ms, struct driver_row_list *ret, struct err *e)
{
    /* one row per driver, of its current version; it is ready when any conductor can run that */
    static const struct sql_stmt list = {
        "driver_list",
        ALIVE ", merged AS (SELECT DISTINCT ON (d.id) d.*, n.version AS wanted_version,"
              " coalesce(n.enabled, false) AS enabled, n.sha256 AS enabled_sha256,"
              " n.changed_by AS enabled_by, n.changed_at AS enabled_at,"
              " coalesce(n.beta, false) AS beta FROM alive d"
              " LEFT JOIN driver_enablement n ON n.id = d.id ORDER BY d.id, " CURRENT_FIRST "),"
              " found AS (SELECT b.id, b.version, bool_or(b.ready) AS ready,"
              " min(b.not_ready_reason) AS reason, json_agg(DISTINCT b.conductor) AS conductors"
              " FROM alive b GROUP BY b.id, b.version),"
              " r AS (SELECT m.id, m.name, m.kind, m.version, m.vendor, m.sha256, m.manifest,"
              " m.label_schema, m.enabled, m.enabled_sha256, m.enabled_by, m.enabled_at, m.beta,"
              " (SELECT json_object_agg(p.project_id, p.enabled) FROM driver_project p"
              " WHERE p.id = m.id) AS projects, (SELECT json_agg(json_build_object('server_type',"
              " f.server_type, 'os', f.os, 'coe', f.coe)) FROM driver_default f WHERE f.id = m.id)"
              " AS default_for, m.wanted_version, x.ready,"
              " CASE WHEN NOT x.ready THEN x.reason END AS not_ready_reason, x.conductors,"
              " m.updated_at FROM merged m JOIN found x ON x.id = m.id AND x.version = m.version)"
              " SELECT {r.driver_row} FROM r ORDER BY r.id"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, max_age_ms > 0 ? max_age_ms : 0);
    int rc = sql_read(db, &list, &p, &r, e);
    return rc ? rc : ROW_LIST(driver_row, r, ret, e);
}

int db_driver_releases(struct db *db, int64_t max_age_ms, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "driver_releases", ALIVE
        ", known AS (SELECT id, version FROM driver_release UNION SELECT id, version FROM"
        " alive UNION SELECT driver_id, driver_version FROM cluster WHERE driver_version IS"
        " NOT NULL GROUP BY driver_id, driver_version),"
        " present AS (SELECT DISTINCT ON (d.id) d.id, d.version FROM alive d LEFT JOIN"
        " driver_enablement n ON n.id = d.id ORDER BY d.id, " CURRENT_FIRST "),"
        " x AS (SELECT DISTINCT ON (a.id, a.version) a.* FROM alive a"
        " ORDER BY a.id, a.version, a.updated_at DESC)"
        " SELECT coalesce(json_agg(json_build_object('id', k.id, 'version', k.version, 'name',"
        " x.name, 'kind', x.kind, 'vendor', x.vendor, 'sha256', coalesce(x.sha256, r.sha256),"
        " 'manifest', x.manifest, 'conductors', coalesce((SELECT json_agg(DISTINCT"
        " a.conductor) FROM alive a WHERE a.id = k.id AND a.version = k.version),"
        " '[]'::json), 'ready', coalesce((SELECT bool_or(a.ready) FROM alive a WHERE"
        " a.id = k.id AND a.version = k.version), false), 'not_ready_reason', (SELECT"
        " min(a.not_ready_reason) FROM alive a WHERE a.id = k.id AND a.version = k.version"
        " AND NOT a.ready), 'files', (SELECT count(DISTINCT a.sha256) FROM alive a WHERE"
        " a.id = k.id AND a.version = k.version), 'clusters', (SELECT count(*) FROM cluster c"
        " WHERE c.driver_id = k.id AND c.driver_version = k.version), 'operations',"
        " (SELECT count(*) FROM operation o WHERE o.driver_id = k.id AND o.driver_version ="
        " k.version AND o.finished_at IS NULL), 'verdict', CASE WHEN r.sha256 IS NOT DISTINCT"
        " FROM coalesce(x.sha256, r.sha256) THEN r.verdict END, 'verdict_at', " ISO(
            "r.verdict_at") ", 'current', EXISTS (SELECT FROM present t WHERE t.id = k.id"
                            " AND t.version = k.version)) ORDER BY k.id, x.version_key"
                            " DESC NULLS LAST, k.version DESC), '[]'::json)"
                            " FROM known k LEFT JOIN x ON x.id = k.id AND x.version ="
                            " k.version LEFT JOIN driver_release r ON r.id = k.id"
                            " AND r.version = k.version"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, max_age_ms > 0 ? max_age_ms : 0);
    int rc = sql_read(db, &list, &p, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

int db_driver_missing(struct db *db, int64_t max_age_ms, struct strv *gone, struct strv *away,
                      struct err *e)
{
    /* a conductor that is down still owns what it published: its row of magnum_service names the
     * instance; gone is what no such row stands behind */
    static const struct sql_stmt list = {
        "driver_missing",
        "SELECT r.id || '@' || r.version, EXISTS (SELECT FROM driver_copy c JOIN magnum_service m"
        " ON m.instance = c.instance WHERE c.id = r.id AND c.version = r.version)"
        " FROM driver_release r WHERE NOT EXISTS (SELECT FROM driver_copy c JOIN magnum_service m"
        " ON m.instance = c.instance WHERE c.id = r.id AND c.version = r.version AND c.ready"
        " AND NOT m.forced_down"
        " AND m.last_seen_up > now() - $1::bigint * interval '1 millisecond')"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, max_age_ms);
    int rc = sql_read(db, &list, &p, &r, e);
    for (int i = 0; !rc && i < PQntuples(r); i++)
        if (strv_add(row_bool(r, i, 1) ? away : gone, row_str(r, i, 0)) != 0)
            rc = err_nomem(e);
    return rc;
}
