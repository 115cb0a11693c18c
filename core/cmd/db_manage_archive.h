/* The file that magnum-db-manage archive writes: lines of JSON, the first names the archive, each
 * other one is a row that was in the database: {"table": ..., "row": {...}}. Neighbours:
 * db_manage_history.c; db/db_purge says which part of it is valid. */
#ifndef MAGNUM_CMD_DB_MANAGE_ARCHIVE_H
#define MAGNUM_CMD_DB_MANAGE_ARCHIVE_H

#include "db/db_purge.h"

struct archive_file;
/* Makes it, or goes on with it: whatever the database doesn't know of is cut off. path is borrowed.
 * One process at a time: ERR_BUSY. */
int archive_open(const char *path, struct db *db, struct archive_file **ret,
                 struct err *e) MUST_CHECK;
void archive_close(struct archive_file **f); /* NULL is fine */
struct db_archive archive_sink(struct archive_file *f);

#endif
