/* What healing remembers: nodes that looks found not to be well and since when, and which
 * were replaced. Neighbours: conductor (heal.c decides and accepts the operation). */
#ifndef MAGNUM_DB_DB_HEAL_H
#define MAGNUM_DB_DB_HEAL_H

#include "db/db.h"

/* Takes over what one look found: `sick` is a list of {node, nodegroup, reason}; groups the cluster
 * does not have are left out, and masters unless the driver replaces them (`masters`); a node that
 * is no longer listed is well again. One that
 * was not looked at for gap_s counts from now. *ret: what a decision needs, as one document:
 * {"status", "busy": an operation is unfinished, "quiet_s": since the last one ended or null,
 * "workers", "masters": so many there shall be, "replaced": within window_s,
 * "sick": [{"node", "nodegroup", "master", "node_count", "reason", "age_s"}], oldest first}.
 * ERR_NOT_FOUND when the cluster is gone. */
int db_heal_note(struct db *db, const char *cluster_uuid, const json_t *sick, bool masters,
                 int64_t gap_s, int64_t window_s, json_t **ret, struct err *e) MUST_CHECK;
/* Counts the nodes of such a list as replaced by this operation, before it is accepted: a process
 * that dies in between has used up some of the limit, never exceeded it. Older than window_s is
 * forgotten. */
int db_heal_count(struct db *db, const char *cluster_uuid, const json_t *nodes,
                  const char *operation_id, int64_t window_s, struct err *e) MUST_CHECK;
/* An event of the operation that says why it was begun. */
int db_heal_tell(struct db *db, const char *operation_id, const char *message,
                 struct err *e) MUST_CHECK;

#endif
