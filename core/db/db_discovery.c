/* See db_discovery.h. */
#include "db/db_discovery.h"

#include "base/uuid.h"
#include "sql_internal.h"

/* The first eight digits of a token are its project's, so that a project's tokens can be counted by
 * the key alone; the other ninety bits are nobody's to guess. */
int db_discovery_create(struct db *db, const char *project_id, const struct discovery_limits *most,
                        int64_t size, int64_t hours, char ret_token[37], struct err *e)
{
    static const struct sql_stmt insert = {
        "discovery_insert",
        "WITH p AS (SELECT lpad(to_hex(hashtext($1::text)), 8, '0') COLLATE \"C\" AS mark),"
        " n AS (SELECT p.mark, (SELECT count(*) FROM discovery d WHERE d.expires_at > now()) AS"
        " tokens, (SELECT count(*) FROM discovery d WHERE d.token >= p.mark AND d.token < p.mark"
        " || 'g' AND d.expires_at > now()) AS mine FROM p), made AS (INSERT INTO discovery (token,"
        " size, expires_at) SELECT n.mark || substr($2::text, 9), $3::integer,"
        " now() + make_interval(hours => $4::integer) FROM n WHERE n.tokens < $5::bigint"
        " AND n.mine < $6::bigint RETURNING token) SELECT (SELECT token FROM made),"
        " n.mine < $6::bigint FROM n"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    char random[UUID_TEXT];
    uuid_make(random);
    param_str(&p, project_id ? project_id : "");
    param_str(&p, random);
    param_int(&p, size);
    param_int(&p, hours);
    param_int(&p, most->tokens);
    param_int(&p, most->of_project);
    int rc = sql_write(db, &insert, &p, &r, e);
    if (rc < 0)
        return rc;
    const char *token = row_str(r, 0, 0);
    if (token) {
        snprintf(ret_token, UUID_TEXT, "%s", token);
        return 0;
    }
    bool all = row_bool(r, 0, 1);
    return err_set(e, ERR_QUOTA,
                   "%s %lld discovery tokens already (discovery.max_tokens%s). They expire by "
                   "themselves; try again later.",
                   all ? "There are" : "The project has",
                   (long long)(all ? most->tokens : most->of_project), all ? "" : "_per_project");
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
