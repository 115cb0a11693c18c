/* What is known of the database's health and clock: noted by the pool in passing, looked after by a
 * thread of its own (db_watch_start). Neighbours: db.c and sql.c note; db.h is what others see. */
#ifndef MAGNUM_DB_WATCH_INTERNAL_H
#define MAGNUM_DB_WATCH_INTERNAL_H

#include "db/db.h"

struct watch;
struct watch *watch_new(const struct config *cfg); /* NULL: no memory */
/* Ends the thread; the pool is still there. NULL is fine in these two. */
void watch_stop(struct watch *w);
void watch_free(struct watch *w);

void watch_answered(struct watch *w, int64_t at_ms); /* a statement succeeded; 0 = none did */
void watch_refused(struct watch *w);                 /* somebody waited for a connection in vain */
void watch_failed(struct watch *w, const struct err *e);
/* The database said it was now_us, asked at before_us of our monotonic clock. */
void watch_clock(struct watch *w, int64_t now_us, int64_t before_us);

struct watch *db_watch_of(const struct db *db);

#endif
