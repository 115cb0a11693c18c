/* See sql_internal.h. */
#include "sql_internal.h"

#include "base/parse.h"

void result_free(PGresult **r)
{
    PQclear(*r);
    *r = NULL;
}

static int run_borrowed(struct db *db, const struct sql_stmt *s, const struct sql_params *p,
                        PGresult **ret, struct err *e)
{
    struct conn *c = NULL;
    int rc = pool_take(db, &c, e);
    if (rc)
        return rc;
    rc = conn_run(c, s, p, ret, e);
    pool_give(db, c);
    return rc;
}

int sql_read(struct db *db, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
             struct err *e)
{
    int rc = run_borrowed(db, s, p, ret, e);
    return rc == ERR_UNAVAILABLE ? run_borrowed(db, s, p, ret, e) : rc;
}

int sql_write(struct db *db, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
              struct err *e)
{
    _cleanup_result_ PGresult *r = NULL;
    int rc = run_borrowed(db, s, p, &r, e);
    if (!rc && ret)
        *ret = TAKE_PTR(r);
    return rc;
}

int tx_begin(struct db *db, struct sql_tx *tx, struct err *e)
{
    /* nothing has happened yet when BEGIN is lost: a second connection may try */
    for (int attempt = 0;; attempt++) {
        int rc = pool_take(db, &tx->conn, e);
        if (rc)
            return rc;
        tx->db = db;
        rc = conn_script(tx->conn, "BEGIN", e);
        if (!rc)
            return 0;
        pool_give(db, TAKE_PTR(tx->conn));
        if (rc != ERR_UNAVAILABLE || attempt)
            return rc;
    }
}

int tx_run(struct sql_tx *tx, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
           struct err *e)
{
    _cleanup_result_ PGresult *r = NULL;
    int rc = conn_run(tx->conn, s, p, &r, e);
    if (!rc && ret)
        *ret = TAKE_PTR(r);
    return rc;
}

int tx_commit(struct sql_tx *tx, struct err *e)
{
    int rc = conn_script(tx->conn, "COMMIT", e);
    if (!rc)
        pool_give(tx->db, TAKE_PTR(tx->conn));
    return rc;
}

void tx_done(struct sql_tx *tx)
{
    if (!tx->conn)
        return;
    struct err ignored = ERR_INIT;
    if (!tx->conn->broken && conn_script(tx->conn, "ROLLBACK", &ignored) != 0)
        tx->conn->broken = true;
    pool_give(tx->db, TAKE_PTR(tx->conn));
}

int64_t sql_changed(const PGresult *r)
{
    int64_t n = 0;
    /* an empty text: not a statement that counts rows */
    return parse_i64(PQcmdTuples((PGresult *)(uintptr_t)r), 0, INT64_MAX, &n) ? n : 0;
}
