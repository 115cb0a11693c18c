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
struct sql_tx {
    struct db *db;
    struct conn *conn;
};
#define SQL_TX_INIT                                                                                \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }
int tx_begin(struct db *db, struct sql_tx *tx, struct err *e) MUST_CHECK;
int tx_run(struct sql_tx *tx, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
           struct err *e) MUST_CHECK;
/* ERR_UNAVAILABLE here: nobody knows whether it happened. */
int tx_commit(struct sql_tx *tx, struct err *e) MUST_CHECK;
void tx_done(struct sql_tx *tx);
#define _cleanup_tx_ _cleanup_(tx_done)

/* Rows changed by the statement of this result. */
int64_t sql_changed(const PGresult *r);

void result_free(PGresult **r);
#define _cleanup_result_ _cleanup_(result_free)

#endif
