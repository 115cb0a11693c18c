/* See db_trust.h. */
#include "db/db_trust.h"

#include "op_internal.h"

#define OF_LIVE_OPERATION " FROM operation o WHERE c.uuid = o.cluster_id AND " LEASE_ALIVE

static int run(struct db *db, const struct op_guard *g, const struct sql_stmt *s, const char *a,
               const char *b, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    guard_params(&p, g);
    if (a)
        param_str(&p, a);
    if (b)
        param_str(&p, b);
    int rc = sql_write(db, s, &p, &r, e);
    return rc ? rc : guarded(r, g, e);
}

int db_trust_intend(struct db *db, const struct op_guard *g, const char *username,
                    const char *password_sealed, struct err *e)
{
    static const struct sql_stmt intend = {
        "trust_intend", "WITH u AS (UPDATE cluster c SET trustee_username = $4,"
                        " trustee_password = $5, updated_at = now()" OF_LIVE_OPERATION
                        " AND o.superseded_by IS NULL RETURNING 1) SELECT count(*) FROM u"};
    return run(db, g, &intend, username, password_sealed, e);
}

int db_trust_made(struct db *db, const struct op_guard *g, const char *user_id,
                  const char *trust_id, struct err *e)
{
    static const struct sql_stmt made = {
        "trust_made",
        "WITH u AS (UPDATE cluster c SET trustee_user_id = $4, trust_id = $5, updated_at = "
        "now()" OF_LIVE_OPERATION " AND o.superseded_by IS NULL RETURNING o.id),"
        " t AS (UPDATE operation p SET token_sealed = NULL FROM u WHERE p.id = u.id)"
        " SELECT count(*) FROM u"};
    return run(db, g, &made, user_id, trust_id, e);
}

int db_trust_gone(struct db *db, const struct op_guard *g, struct err *e)
{
    static const struct sql_stmt gone = {
        "trust_gone",
        "WITH u AS (UPDATE cluster c SET trustee_username = NULL, trustee_user_id = NULL,"
        " trustee_password = NULL, trust_id = NULL, updated_at = now()" OF_LIVE_OPERATION
        " RETURNING 1) SELECT count(*) FROM u"};
    return run(db, g, &gone, NULL, NULL, e);
}
