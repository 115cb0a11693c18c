/* Schema migrations: numbered SQL files of db/migrations/, embedded in the binary, applied in
 * order, each in one transaction, under an advisory lock so that several starters do it once.
 * Beside running services: nobody waits long for a table that a migration waits for.
 * Neighbours: cmd/magnum-db-manage, magnum-allinone. */
#ifndef MAGNUM_DB_DB_MIGRATE_H
#define MAGNUM_DB_DB_MIGRATE_H

#include "db/db.h"

struct db_revision {
    int number;       /* 1, 2, ... */
    const char *name; /* "0001_initial", static */
    bool applied;
};
int db_migrate_upgrade(struct db *db, int to /* 0 = newest */, int *ret_applied,
                       struct err *e) MUST_CHECK;
int db_migrate_version(struct db *db, int *ret /* 0 = empty database */, struct err *e) MUST_CHECK;
int db_migrate_stamp(struct db *db, int number, struct err *e) MUST_CHECK; /* no SQL run */
/* All revisions this binary knows; *ret is allocated, caller frees. */
int db_migrate_list(struct db *db, struct db_revision **ret, size_t *n, struct err *e) MUST_CHECK;
/* Compares the real tables with what the migrations make; ERR_CONFIG names the first difference. */
int db_migrate_check(struct db *db, struct err *e) MUST_CHECK;

#endif
