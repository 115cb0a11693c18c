/* Old history out of the database, by an operator's wish: counted, removed, or moved into a file.
 * In batches of one short transaction each, beside running services and beside each other: rows
 * that somebody else has locked are left for later. Neighbours: magnum-db-manage; conductors trim
 * by age themselves (db_event.h). */
#ifndef MAGNUM_DB_DB_PURGE_H
#define MAGNUM_DB_DB_PURGE_H

#include "db/db.h"

/* What there is to remove, in the order in which it is done. archived: history that archive keeps;
 * the others are states that have no meaning any more. */
struct db_purge_kind {
    const char *name, *about;
    const char *table;
    bool archived;
    const char *count, *remove, *take; /* SQL; take: (table, row as JSON text) of what it removes */
};
extern const struct db_purge_kind db_purge_kinds[];
extern const size_t db_purge_kinds_n;

/* How many there are from before this time. */
int db_purge_count(struct db *db, const struct db_purge_kind *k, int64_t before_us, int64_t *ret,
                   struct err *e) MUST_CHECK;
/* Removes one batch; *ret: how many, less than `batch` when there are no more. */
int db_purge(struct db *db, const struct db_purge_kind *k, int64_t before_us, int64_t batch,
             int64_t *ret, struct err *e) MUST_CHECK;

/* Where archived rows go. The database remembers how much of the file is valid, in the transaction
 * that removes the rows: whatever a crash left behind it is cut off at the next start, and a row is
 * in the database or in the file, never in both or in none. */
struct db_archive {
    const char *id; /* of the file, as its first line says */
    void *ctx;
    /* appends a row */
    int (*put)(void *ctx, const char *table, const char *row, struct err *e);
    /* everything put so far is on disk; *ret_bytes: the file's size */
    int (*sync)(void *ctx, int64_t *ret_bytes, struct err *e);
};
/* How much of the file is valid, -1 = the database doesn't know it. */
int db_archive_size(struct db *db, const char *id, int64_t *ret_bytes, struct err *e) MUST_CHECK;
/* A new file, with so many bytes before the first row. */
int db_archive_begin(struct db *db, const char *id, const char *path, int64_t bytes,
                     struct err *e) MUST_CHECK;
/* Moves one batch. After a failure the file has to be cut to db_archive_size again. */
int db_archive(struct db *db, const struct db_purge_kind *k, int64_t before_us, int64_t batch,
               const struct db_archive *a, int64_t *ret, struct err *e) MUST_CHECK;

#endif
