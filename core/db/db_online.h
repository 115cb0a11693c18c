/* Data migrations that run beside the services: what a revision of the schema added a column or a
 * table for, and programs fill in as they come by it. Running them to the end makes that certain,
 * so that a later revision may rely on it. Each batch is one short transaction. Neighbours:
 * magnum-db-manage online_data_migrations; a new one is a line in the table of db_online.c. */
#ifndef MAGNUM_DB_DB_ONLINE_H
#define MAGNUM_DB_DB_ONLINE_H

#include "db/db.h"

struct db_online {
    const char *name, *about;
    const char *count; /* SQL: how many rows it has to do, and how many it can't do yet */
    const char *run;   /* SQL: does up to $1 of them; how many it did */
    const char *waits; /* for what those wait that can't be done yet; NULL = there are none */
};
extern const struct db_online db_online[];
extern const size_t db_online_n;

int db_online_count(struct db *db, const struct db_online *m, int64_t *ret_needed,
                    int64_t *ret_waiting, struct err *e) MUST_CHECK;
/* *ret: rows done, 0 = nothing is left that can be. */
int db_online_run(struct db *db, const struct db_online *m, int64_t batch, int64_t *ret,
                  struct err *e) MUST_CHECK;

#endif
