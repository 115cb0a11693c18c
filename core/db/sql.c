/* See sql_internal.h. */
#include "sql_internal.h"

#include "base/parse.h"
#include "replica_internal.h"
#include "watch_internal.h"

#include <string.h>

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
    if (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT)
        watch_failed(db_watch_of(db), e);
    pool_give(db, c);
    return rc;
}

int sql_read(struct db *db, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
             struct err *e)
{
    if (db_replica_of(db))
        return replica_read(db_replica_of(db), s, p, ret, e);
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

int tx_open(struct db *db, struct sql_tx *tx, struct err *e)
{
    int rc = pool_take(db, &tx->conn, e);
    if (rc)
        return rc;
    tx->db = db;
    tx->unbegun = true;
    tx->n_queued = 0;
    return 0;
}

int tx_queue(struct sql_tx *tx, const struct sql_stmt *s, const struct sql_params *p,
             PGresult **ret, struct err *e)
{
    if (tx->n_queued == TX_QUEUE_MAX)
        return err_set(e, ERR_INTERNAL, "too many statements at a time");
    tx->queue[tx->n_queued++] = (struct conn_step){s, p, ret};
    return 0;
}

/* The queue between `first` and `last`, either of which may be NULL. */
static int run_queue(struct sql_tx *tx, const struct sql_stmt *first, const struct sql_stmt *last,
                     size_t *ret_failed, struct err *e)
{
    struct conn_step all[TX_QUEUE_MAX + 2];
    size_t n = 0, failed = 0;
    if (first)
        all[n++] = (struct conn_step){first, NULL, NULL};
    memcpy(all + n, tx->queue, tx->n_queued * sizeof *all);
    n += tx->n_queued;
    if (last)
        all[n++] = (struct conn_step){last, NULL, NULL};
    int rc = conn_run_many(tx->conn, all, n, &failed, e);
    if (ret_failed)
        *ret_failed = failed - (first && failed);
    return rc;
}

int tx_flush(struct sql_tx *tx, size_t *ret_failed, struct err *e)
{
    static const struct sql_stmt begin = {"tx_begin", "BEGIN"};
    int rc = run_queue(tx, tx->unbegun ? &begin : NULL, NULL, ret_failed, e);
    /* nothing can have been committed: a second connection may try */
    if (rc == ERR_UNAVAILABLE && tx->unbegun) {
        pool_give(tx->db, TAKE_PTR(tx->conn));
        for (size_t i = 0; i < tx->n_queued; i++)
            if (tx->queue[i].ret)
                result_free(tx->queue[i].ret);
        rc = pool_take(tx->db, &tx->conn, e);
        if (!rc)
            rc = run_queue(tx, &begin, NULL, ret_failed, e);
    }
    tx->unbegun = false;
    tx->n_queued = 0;
    return rc;
}

int tx_run(struct sql_tx *tx, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
           struct err *e)
{
    if (tx->unbegun || tx->n_queued) {
        int queued = tx_queue(tx, s, p, ret, e);
        return queued ? queued : tx_flush(tx, NULL, e);
    }
    _cleanup_result_ PGresult *r = NULL;
    int rc = conn_run(tx->conn, s, p, &r, e);
    if (!rc && ret)
        *ret = TAKE_PTR(r);
    return rc;
}

int tx_commit(struct sql_tx *tx, struct err *e)
{
    static const struct sql_stmt commit = {"tx_commit", "COMMIT"};
    int rc = 0;
    if (tx->unbegun) /* apart, so that losing its connection is no doubtful commit */
        rc = tx_flush(tx, NULL, e);
    if (!rc)
        rc = tx->n_queued ? run_queue(tx, NULL, &commit, NULL, e)
                          : conn_script(tx->conn, "COMMIT", e);
    tx->n_queued = 0;
    if (!rc)
        pool_give(tx->db, TAKE_PTR(tx->conn));
    return rc;
}

void tx_done(struct sql_tx *tx)
{
    if (!tx->conn)
        return;
    struct err ignored = ERR_INIT;
    if (!tx->unbegun && !tx->conn->broken && conn_script(tx->conn, "ROLLBACK", &ignored) != 0)
        tx->conn->broken = true;
    pool_give(tx->db, TAKE_PTR(tx->conn));
}

int64_t sql_changed(const PGresult *r)
{
    int64_t n = 0;
    /* an empty text: not a statement that counts rows */
    return parse_i64(PQcmdTuples((PGresult *)(uintptr_t)r), 0, INT64_MAX, &n) ? n : 0;
}
