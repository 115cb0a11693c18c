/* Running statements: a read or a single write on a borrowed connection, or a transaction.
 * Neighbours: conn.c below, every db_*.c above. */
#ifndef MAGNUM_DB_SQL_INTERNAL_H
#define MAGNUM_DB_SQL_INTERNAL_H

#include "db/db.h"
#include "row_internal.h"

int pool_take(struct db *db, struct conn **ret, struct err *e) MUST_CHECK;
void pool_give(struct db *db, struct conn *c); /* NULL is fine; a broken one is closed */

/* One statement that changes nothing: repeated once when the connection is lost. */
int sql_read(struct db *db, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
             struct err *e) MUST_CHECK;
/* One statement that is a transaction by itself. ret may be NULL. */
int sql_write(struct db *db, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
              struct err *e) MUST_CHECK;

/* A transaction: rolled back at scope end unless committed. */
enum { TX_QUEUE_MAX = 8 };
struct sql_tx {
    struct db *db;
    struct conn *conn;
    bool unbegun; /* BEGIN goes out with the first statement */
    struct conn_step queue[TX_QUEUE_MAX];
    size_t n_queued;
};
#define SQL_TX_INIT                                                                                \
    {                                                                                              \
        .db = NULL, .conn = NULL                                                                   \
    }
int tx_begin(struct db *db, struct sql_tx *tx, struct err *e) MUST_CHECK;
/* The same without a round trip of its own. */
int tx_open(struct db *db, struct sql_tx *tx, struct err *e) MUST_CHECK;
/* A statement that needs no answer before the next one is sent. It, its parameters and ret are
 * borrowed until tx_flush, tx_run or tx_commit sends the queue, in which it fails like them. */
int tx_queue(struct sql_tx *tx, const struct sql_stmt *s, const struct sql_params *p,
             PGresult **ret, struct err *e) MUST_CHECK;
/* Runs the queue in one round trip. *ret_failed (may be NULL): which of it failed. */
int tx_flush(struct sql_tx *tx, size_t *ret_failed, struct err *e) MUST_CHECK;
int tx_run(struct sql_tx *tx, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
           struct err *e) MUST_CHECK;
/* With the queue, in one round trip. ERR_UNAVAILABLE here: nobody knows whether it happened. */
int tx_commit(struct sql_tx *tx, struct err *e) MUST_CHECK;
void tx_done(struct sql_tx *tx);
#define _cleanup_tx_ _cleanup_(tx_done)

/* Rows changed by the statement of this result. */
int64_t sql_changed(const PGresult *r);

void result_free(PGresult **r);
#define _cleanup_result_ _cleanup_(result_free)

#endif
