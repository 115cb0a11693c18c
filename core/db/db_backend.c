/* See db_backend.h. */
#include "db/db_backend.h"

#include "sql_internal.h"

#include <string.h>

int db_backend_set(struct db *db, const char *instance, const char *endpoint, const char *state,
                   int64_t failures, const char *reason, struct err *e)
{
    static const struct sql_stmt set = {
        "backend_set",
        "INSERT INTO backend_state (instance, endpoint, state, failures, reason)"
        " VALUES ($1, $2, $3, $4::bigint, $5) ON CONFLICT (instance, endpoint) DO UPDATE SET"
        " state = excluded.state, failures = excluded.failures, reason = excluded.reason,"
        " since = now()"};
    static const struct sql_stmt forget = {
        "backend_forget", "DELETE FROM backend_state WHERE instance = $1 AND endpoint = $2"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, instance);
    param_str(&p, endpoint);
    if (strcmp(state, "closed") == 0)
        return sql_write(db, &forget, &p, NULL, e);
    param_str(&p, state);
    param_int(&p, failures);
    param_str(&p, reason);
    return sql_write(db, &set, &p, NULL, e);
}

int db_backend_list(struct db *db, json_t **ret, struct err *e)
{
    static const struct sql_stmt list = {
        "backend_list", "SELECT coalesce(json_agg(json_build_object('host', m.host, 'endpoint',"
                        " b.endpoint, 'state', b.state, 'failures', b.failures, 'reason', b.reason,"
                        " 'since', b.since) ORDER BY b.endpoint, m.host), '[]')"
                        " FROM backend_state b JOIN magnum_service m ON m.instance = b.instance"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &list, NULL, &r, e);
    return rc ? rc : row_json(r, 0, 0, ret, e);
}

int db_backend_trim(struct db *db, struct err *e)
{
    static const struct sql_stmt gone = {
        "backend_trim", "DELETE FROM backend_state b WHERE NOT EXISTS (SELECT FROM magnum_service m"
                        " WHERE m.instance = b.instance)"};
    return sql_write(db, &gone, NULL, NULL, e);
}
