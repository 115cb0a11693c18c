/* The history of operations and clusters: reading it by a cursor, finding out for many waiting
 * readers at once whether there is news, and trimming what is old. Cursors are event ids; an
 * operation's events get their ids in the order in which they become visible. */
#ifndef MAGNUM_DB_DB_EVENT_H
#define MAGNUM_DB_DB_EVENT_H

#include "db/db.h"

/* Events of all operations of a cluster with id > after, oldest first; also of one that is gone. */
int db_cluster_events(struct db *db, const char *cluster_uuid, int64_t after, int64_t limit,
                      struct operation_event_list *ret, struct err *e) MUST_CHECK;
/* The uuid's project and user as its newest operation names them; NOT_FOUND when it never was in
 * the scope. Also for clusters that are gone. */
int db_cluster_had_operations(struct db *db, const struct db_scope *s, const char *cluster_uuid,
                              struct err *e) MUST_CHECK;

/* What somebody waits for: an event of this operation or cluster after `after`. */
struct event_wait {
    const char *id; /* borrowed */
    bool cluster;   /* id is a cluster's, not an operation's */
    int64_t after;
};
enum { EVENT_WAITS_MAX = 1000 };
/* Which of up to EVENT_WAITS_MAX waits are over: there is an event, or the operation has ended (or
 * is gone). One statement. */
int db_events_news(struct db *db, const struct event_wait *v, size_t n, bool *ret_news,
                   struct err *e) MUST_CHECK;

/* One batch each; *ret_n: rows removed. Any number of processes may do it at a time.
 * Events older than `days`; operations that ended before that, together with their events. Kept
 * whatever its age: an operation that has not ended, and of a cluster that still is the newest one
 * and the newest that succeeded (it holds the last state that was reached). */
int db_events_trim(struct db *db, int64_t days, int64_t batch, int64_t *ret_n,
                   struct err *e) MUST_CHECK;
int db_operations_trim(struct db *db, int64_t days, int64_t batch, int64_t *ret_n,
                       struct err *e) MUST_CHECK;

#endif
