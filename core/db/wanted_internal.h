/* A cluster with everything that belongs to its wanted state, read inside a transaction, and the
 * spec made of it. Neighbours: accepting, finishing. */
#ifndef MAGNUM_DB_WANTED_INTERNAL_H
#define MAGNUM_DB_WANTED_INTERNAL_H

#include "model/status.h"
#include "sql_internal.h"

/* The spec an operation of this kind gets, from the rows as the transaction sees them. Groups that
 * are being deleted are no longer wanted, except for a delete, which must see everything.
 * NOT_FOUND when the cluster is gone. Caller owns *ret. */
int wanted_spec(struct sql_tx *tx, const char *cluster_uuid, enum op_kind kind,
                const json_t *params, json_t **ret, struct err *e) MUST_CHECK;
/* The spec that last completed, or NULL. */
int wanted_prior(struct sql_tx *tx, const char *cluster_uuid, json_t **ret,
                 struct err *e) MUST_CHECK;

/* An operation that has not ended: finished_at IS NULL. Only the queue's own statements say it by
 * status, which is what the partial indexes of the queue are made of: a statement about one
 * operation or one cluster must never be planned as a walk through the queue. */
/* The predicate for "$1 id, $2 owner, $3 fence name a lease that is alive", on alias o. Server
 * time of now, not of the transaction's begin: it may have waited for a lock. */
#define LEASE_ALIVE                                                                                \
    "o.id = $1 AND o.lease_owner = $2 AND o.lease_fence = $3::bigint"                              \
    " AND o.lease_until > clock_timestamp() AND o.finished_at IS NULL"
/* Clusters whose health is reported by an agent of their own are never looked at. */
#define OBSERVED_BY_AGENT(labels)                                                                  \
    "(coalesce(lower(" labels "->>'auto_healing_enabled'), '') = 'true'"                           \
    " AND coalesce(" labels "->>'auto_healing_controller', '') = 'magnum-auto-healer')"

#endif
