/* The database handle: a pool of libpq connections with prepared statements. The only folder with
 * SQL and the only one that includes libpq. Every function of db_*.h takes the handle, borrows one
 * connection for its duration, and is safe to call from any thread.
 *
 * Errors: ERR_UNAVAILABLE when the server can't be reached or the connection was lost (the
 * statement was not acknowledged: repeat only what is idempotent), ERR_TIMEOUT for a statement that
 * took too long, ERR_SERVICE_DOWN when no connection of the pool became free, ERR_CANT_STORE for a
 * full disk, ERR_INTERNAL for anything that is our bug. A lost
 * connection is replaced on the next use; reads are retried once by themselves.
 * Neighbours: api reads and accepts, conductor works the queue, cmd opens it. */
#ifndef MAGNUM_DB_DB_H
#define MAGNUM_DB_DB_H

#include "base/err.h"
#include "base/str.h"
#include "model/entity.h"

struct config;
struct db;

/* Opens the pool (connections are made on demand; the first one here, so that a wrong connection
 * string is an error now). database_connection must be set. */
int db_open(const struct config *cfg, struct db **ret, struct err *e) MUST_CHECK;
void db_close(struct db **db); /* NULL is fine */
int db_ping(struct db *db, struct err *e) MUST_CHECK;
/* ERR_CONFIG "run magnum-db-manage upgrade" unless the schema is one this binary can work with. */
int db_schema_check(struct db *db, struct err *e) MUST_CHECK;
/* The handle that lists may be read with, and nothing else: with database.replica_connection they
 * come from there while the replica has everything that was committed when it is asked, else from
 * the primary. Valid as long as db. See docs/adr/0012-lists-from-a-replica.md. */
struct db *db_for_lists(struct db *db);
/* Time the database server says it is; leases and due times are decided by that clock alone. */
int db_now(struct db *db, int64_t *ret_us, struct err *e) MUST_CHECK;

/* The same without asking it: reckoned from its last answer by our monotonic clock, so that it goes
 * on evenly when this machine's wall clock jumps. */
int64_t db_clock_us(const struct db *db);

/* Asks the database now and then (several times within database.health_ms) until db_close, and
 * writes into the log when its health changes. */
int db_watch_start(struct db *db, struct err *e) MUST_CHECK;
/* False, and why (fit for anybody's eyes), when the database has not answered for
 * database.health_ms, or requests waited in vain for a connection meanwhile. Never waits. Without
 * db_watch_start: true. Any thread. */
enum { DB_WHY_MAX = 256 };
bool db_healthy(struct db *db, char why[DB_WHY_MAX]);

/* The pool at this moment. Any thread. */
struct db_pool_counts {
    size_t open, idle, max;
};
void db_pool_count(struct db *db, struct db_pool_counts *ret);

/* Whose rows are visible: all_projects, or those of project_id, or (project NULL) of user_id. */
struct db_scope {
    const char *project_id, *user_id;
    bool all_projects;
    bool admin;    /* templates: public hidden ones are visible too */
    bool any_case; /* a name no row has exactly finds those that differ in case alone */
};

/* Paging (api.md 5.2). sort_key must be a column: else ERR_INVALID with Magnum's text. Keyset:
 * a page costs the same wherever it is. */
struct db_page {
    int64_t limit;
    const char *marker;   /* uuid of the last item seen, or NULL */
    const char *sort_key; /* NULL = id */
    bool desc;
};

#endif
