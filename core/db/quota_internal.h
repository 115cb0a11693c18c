/* Quotas on what clusters consist of, held in the accepting transaction. Under a lock of the
 * project (taken only where something is limited) the rows of the request are written, and then
 * everything is summed up: what is too much takes the rows back with it. See quota_guard.c. */
#ifndef MAGNUM_DB_QUOTA_INTERNAL_H
#define MAGNUM_DB_QUOTA_INTERNAL_H

#include "db/db_service.h"
#include "model/quota_resource.h"
#include "row_internal.h"
#include "sql_internal.h"

/* Of projects without rows of their own. A reload may change them from one question to the next. */
struct quota_limits db_limits_of(struct db *db);
void db_limits_set(struct db *db, const struct quota_limits *l);

struct quota_guard { /* of one question, while its statements may be queued */
    struct sql_params lock_p, sum_p;
    PGresult *lock, *sum;
};
void quota_guard_done(struct quota_guard *g);
#define _cleanup_quota_ _cleanup_(quota_guard_done)

/* Each queues a statement (tx_queue). project NULL: nothing is limited. */
int quota_queue_lock(struct sql_tx *tx, struct quota_guard *g, const char *project,
                     struct err *e) MUST_CHECK;
int quota_queue_sum(struct sql_tx *tx, struct quota_guard *g, const char *project,
                    const char *cluster_uuid, struct err *e) MUST_CHECK;
/* After the flush: ERR_QUOTA when a limit is passed by what this cluster takes more than `before`
 * (NULL: it took nothing). */
int quota_judge(const struct quota_guard *g, const struct quota_guard *before,
                struct err *e) MUST_CHECK;

/* Around a change of a cluster that is there: what it takes, under the lock; then the judgement. */
int quota_before(struct sql_tx *tx, struct quota_guard *g, const char *project,
                 const char *cluster_uuid, struct err *e) MUST_CHECK;
int quota_after(struct sql_tx *tx, const struct quota_guard *before, const char *project,
                const char *cluster_uuid, struct err *e) MUST_CHECK;

#endif
