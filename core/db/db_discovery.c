/* See db_discovery.h. */
#include "db/db_discovery.h"

#include "base/uuid.h"
#include "sql_internal.h"

int db_discovery_create(struct db *db, int64_t size, int64_t hours, int64_t max_tokens,
                        char ret_token[37], struct err *e)
{
    static const struct sql_stmt insert = {
        "discovery_insert",
        "INSERT INTO discovery (token, size, expires_at)"
        " SELECT $1, $2::integer, now() + make_interval(hours => $3::integer)"
        " WHERE (SELECT count(*) FROM discovery WHERE expires_at > now()) < $4::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    uuid_make(ret_token);
    param_str(&p, ret_token);
    param_int(&p, size);
    param_int(&p, hours);
    param_int(&p, max_tokens);
    int rc = sql_write(db, &insert, &p, &r, e);
    if (rc < 0 || sql_changed(r) == 1)
        return rc;
    return err_set(e, ERR_QUOTA,
                   "There are %lld discovery tokens already (discovery.max_tokens). They expire by "
                   "themselves; try again later.",
                   (long long)max_tokens);
}

static int unknown(const char *token, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "discovery token %s is unknown or has expired", token);
}

void discovery_view_done(struct discovery_view *v)
{
    json_decref(v->members);
    v->members = NULL;
}

int db_discovery_view(struct db *db, const char *token, struct discovery_view *ret, struct err *e)
{
    static const struct sql_stmt view = {
        "discovery_view",
        "SELECT d.size::bigint, d.next_index - 1, coalesce((SELECT json_agg(json_build_object("
        "'member', m.member, 'value', m.value, 'created', m.created_index, 'modified',"
        " m.modified_index) ORDER BY m.created_index) FROM discovery_member m"
        " WHERE m.token = d.token), '[]') FROM discovery d"
        " WHERE d.token = $1 AND d.expires_at > now()"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, token);
    int rc = sql_read(db, &view, &p, &r, e);
    if (rc == 0 && PQntuples(r) == 0)
        rc = unknown(token, e);
    if (rc < 0)
        return rc;
    ret->size = row_int(r, 0, 0, 0);
    ret->index = row_int(r, 0, 1, 0);
    return row_json(r, 0, 2, &ret->members, e);
}

/* Changes of one token come one after the other: its row is locked. */
static int lock(struct sql_tx *tx, const struct discovery_put *put, int64_t *index, struct err *e)
{
    static const struct sql_stmt take = {
        "discovery_lock", "UPDATE discovery SET next_index = next_index + 1"
                          " WHERE token = $1 AND expires_at > now() RETURNING next_index - 1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, put->token);
    int rc = tx_run(tx, &take, &p, &r, e);
    if (rc == 0 && PQntuples(r) == 0)
        rc = unknown(put->token, e);
    if (rc == 0)
        *index = row_int(r, 0, 0, 0);
    return rc;
}

static int check_room(struct sql_tx *tx, const struct discovery_put *put, struct err *e)
{
    static const struct sql_stmt count = {"discovery_count",
                                          "SELECT count(*) FILTER (WHERE member <> $2),"
                                          " count(*) FILTER (WHERE member = $2)"
                                          " FROM discovery_member WHERE token = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, put->token);
    param_str(&p, put->member);
    int rc = tx_run(tx, &count, &p, &r, e);
    if (rc < 0)
        return rc;
    if (put->only_new && row_int(r, 0, 1, 0))
        return err_set(e, ERR_EXISTS, "member %s exists", put->member);
    if (row_int(r, 0, 0, 0) < put->max_members)
        return 0;
    return err_set(e, ERR_QUOTA, "%lld members have announced themselves under this token already",
                   (long long)put->max_members);
}

static int store(struct sql_tx *tx, const struct discovery_put *put, int64_t index,
                 int64_t *created, struct err *e)
{
    static const struct sql_stmt upsert = {
        "discovery_put",
        "INSERT INTO discovery_member (token, member, value, created_index, modified_index)"
        " VALUES ($1, $2, $3, $4::bigint, $4::bigint) ON CONFLICT (token, member) DO UPDATE"
        " SET value = excluded.value, modified_index = excluded.modified_index"
        " RETURNING created_index"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, put->token);
    param_str(&p, put->member);
    param_str(&p, put->value);
    param_int(&p, index);
    int rc = tx_run(tx, &upsert, &p, &r, e);
    if (rc == 0)
        *created = row_int(r, 0, 0, 0);
    return rc;
}

int db_discovery_put(struct db *db, const struct discovery_put *put, int64_t *created,
                     int64_t *index, struct err *e)
{
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = tx_begin(db, &tx, e);
    if (rc == 0)
        rc = lock(&tx, put, index, e);
    if (rc == 0)
        rc = check_room(&tx, put, e);
    if (rc == 0)
        rc = store(&tx, put, *index, created, e);
    return rc ? rc : tx_commit(&tx, e);
}

int db_discovery_trim(struct db *db, struct err *e)
{
    static const struct sql_stmt trim = {"discovery_trim",
                                         "DELETE FROM discovery WHERE expires_at <= now()"};
    return sql_write(db, &trim, NULL, NULL, e);
}
