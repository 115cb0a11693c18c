/* See db_health.h. */
#include "db/db_health.h"

#include "sql_internal.h"

#include <stdio.h>

int db_health_server(struct db *db, struct db_server *ret, struct err *e)
{
    /* A replica that has replayed all it received is not behind, however long nothing happened. */
    static const struct sql_stmt server = {
        "health_server",
        "SELECT current_setting('server_version'), pg_is_in_recovery(),"
        " CASE WHEN NOT pg_is_in_recovery() THEN NULL"
        " WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0"
        " ELSE ceil(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())"
        " * 1000)::bigint END,"
        " (SELECT count(*) FROM pg_stat_replication),"
        " (SELECT ceil(extract(epoch FROM max(replay_lag)) * 1000)::bigint"
        " FROM pg_stat_replication)"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &server, NULL, &r, e);
    if (rc)
        return rc;
    const char *version = row_str(r, 0, 0);
    snprintf(ret->version, sizeof ret->version, "%s", version ? version : "?");
    ret->replica = row_bool(r, 0, 1);
    ret->lag_ms = row_int(r, 0, 2, -1);
    ret->standbys = row_int(r, 0, 3, 0);
    ret->standby_lag_ms = row_int(r, 0, 4, -1);
    return 0;
}

int db_health_blocked(struct db *db, struct db_blocked *ret, struct err *e)
{
    static const struct sql_stmt blocked = {
        "health_blocked",
        "SELECT count(*) OVER (), greatest(extract(epoch FROM now() - blocked_since), 0)::bigint,"
        " id, code, actor FROM operation WHERE status = 'BLOCKED'"
        " ORDER BY blocked_since NULLS LAST, id LIMIT 1"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &blocked, NULL, &r, e);
    *ret = (struct db_blocked){.n = 0};
    if (rc || PQntuples(r) == 0)
        return rc;
    const struct {
        char *to;
        size_t size;
    } texts[] = {
        {ret->id, sizeof ret->id}, {ret->code, sizeof ret->code}, {ret->actor, sizeof ret->actor}};
    ret->n = row_int(r, 0, 0, 0);
    ret->oldest_s = row_int(r, 0, 1, 0);
    for (int i = 0; i < (int)ARRAY_LEN(texts); i++) {
        const char *s = row_str(r, 0, 2 + i);
        snprintf(texts[i].to, texts[i].size, "%s", s ? s : "");
    }
    return 0;
}
