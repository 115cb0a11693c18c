/* One libpq connection: opening within a deadline, session settings, running one statement within
 * a deadline, and the one map from libpq's and PostgreSQL's errors to ours. Not thread-safe: the
 * pool (db.c) lends a connection to one thread at a time. */
#ifndef MAGNUM_DB_CONN_INTERNAL_H
#define MAGNUM_DB_CONN_INTERNAL_H

#include "base/err.h"

#include <libpq-fe.h>
#include <stdint.h>

/* A statement. `sql` may hold the placeholders of row_expand (row_internal.h). With a name it is
 * prepared once per connection, without one it is parsed each time; instances are static. */
struct sql_stmt {
    const char *name, *sql;
};

enum { SQL_PARAMS_MAX = 72, CONN_STMTS = 512 };

/* Parameters $1... in order of appending (sql.c); done frees what they own. */
struct sql_params {
    int n;
    bool bad; /* no memory, or too many */
    const char *value[SQL_PARAMS_MAX];
    int length[SQL_PARAMS_MAX], format[SQL_PARAMS_MAX];
    char *owned[SQL_PARAMS_MAX];
    char small[SQL_PARAMS_MAX][24];
};

struct conn_settings { /* borrowed by every connection */
    const char *conninfo;
    int64_t connect_timeout_ms, statement_timeout_ms;
    bool no_session; /* a pooler gives another server connection to each transaction */
};

struct conn {
    PGconn *pg;
    bool broken;         /* must be replaced before the next use */
    bool no_session;     /* nothing may outlast a transaction: no prepared statements */
    int64_t timeout_ms;  /* to wait for an answer; 0 = for ever */
    int64_t answered_ms; /* clock_mono_ms() of the last statement that succeeded; 0 = none */
    char detail[200];    /* what the server said about the last failed statement */
    const struct sql_stmt *prepared[CONN_STMTS];
    unsigned n_prepared;
};

int conn_open(const struct conn_settings *s, struct conn **ret, struct err *e) MUST_CHECK;
void conn_close(struct conn **c);
/* False when the server has closed or written to the idle connection. */
bool conn_alive(struct conn *c);
/* Runs one statement; *ret (rows in binary format) is the caller's. p may be NULL. ERR_UNAVAILABLE
 * marks the connection broken. */
int conn_run(struct conn *c, const struct sql_stmt *s, const struct sql_params *p, PGresult **ret,
             struct err *e) MUST_CHECK;
/* Several statements in one round trip; none after a failed one is run. Each *ret is the caller's,
 * and may be filled although a later one failed; a NULL ret wants no rows. *ret_failed: which one
 * failed, n when that is not known. */
struct conn_step {
    const struct sql_stmt *stmt;
    const struct sql_params *params; /* borrowed, may be NULL */
    PGresult **ret;
};
int conn_run_many(struct conn *c, const struct conn_step *v, size_t n, size_t *ret_failed,
                  struct err *e) MUST_CHECK;
/* Runs text with any number of statements by the simple protocol, discarding rows. */
int conn_script(struct conn *c, const char *sql, struct err *e) MUST_CHECK;

#endif
