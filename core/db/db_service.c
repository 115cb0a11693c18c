/* magnum_service: see db_service.h. */
#include "db/db_service.h"

#include "sql_internal.h"

int db_service_beat(struct db *db, const struct mservice *s, struct err *e)
{
    static const struct sql_stmt beat = {
        "service_beat",
        "INSERT INTO magnum_service AS m (host, \"binary\", last_seen_up, report_count, instance,"
        " endpoint, public_key, version, news_endpoint)"
        " VALUES ($1, $2, CASE WHEN $4::text IS NULL THEN 'epoch'::timestamptz ELSE now() END,"
        " 1, $3, $4, $5, $6, $7)"
        " ON CONFLICT (host, \"binary\") DO UPDATE SET last_seen_up = excluded.last_seen_up,"
        " report_count = m.report_count + 1, instance = excluded.instance,"
        " endpoint = excluded.endpoint, public_key = excluded.public_key,"
        " version = excluded.version, news_endpoint = excluded.news_endpoint, updated_at = now()"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, s->host);
    param_str(&p, s->binary);
    param_str(&p, s->instance);
    param_str(&p, s->endpoint);
    param_str(&p, s->public_key);
    param_str(&p, s->version);
    param_str(&p, s->news_endpoint);
    return sql_write(db, &beat, &p, NULL, e);
}

int db_service_gone(struct db *db, const char *host, const char *binary, struct err *e)
{
    static const struct sql_stmt gone = {
        "service_gone", "UPDATE magnum_service SET endpoint = NULL, public_key = NULL,"
                        " news_endpoint = NULL, last_seen_up = 'epoch', updated_at = now()"
                        " WHERE host = $1 AND \"binary\" = $2"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, host);
    param_str(&p, binary);
    return sql_write(db, &gone, &p, NULL, e);
}

int db_service_list(struct db *db, struct mservice_list *ret, struct err *e)
{
    static const struct sql_stmt list = {"service_list",
                                         "SELECT {m.mservice} FROM magnum_service m ORDER BY m.id"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &list, NULL, &r, e);
    return rc ? rc : ROW_LIST(mservice, r, ret, e);
}

int db_service_live(struct db *db, const char *binary, int64_t max_age_ms,
                    struct mservice_list *ret, struct err *e)
{
    static const struct sql_stmt live = {
        "service_live", "SELECT {m.mservice} FROM magnum_service m WHERE m.\"binary\" = $1"
                        " AND m.endpoint IS NOT NULL AND NOT m.disabled AND NOT m.forced_down"
                        " AND m.last_seen_up > now() - $2::bigint * interval '1 millisecond'"
                        " ORDER BY m.id"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, binary);
    param_int(&p, max_age_ms);
    int rc = sql_read(db, &live, &p, &r, e);
    return rc ? rc : ROW_LIST(mservice, r, ret, e);
}
