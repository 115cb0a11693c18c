/* Accepting: the one transaction in which a request becomes durable. Cluster, nodegroups, quota
 * reservation, operation (with its full spec), first event and idempotency record are committed
 * together or not at all; only then may the API answer 202 (DESIGN 1 and 3).
 *
 * The cluster row is locked first, so requests for one cluster are accepted one after another; its
 * status is checked against model/status.h inside the transaction and the answer is Magnum's text.
 * A delete supersedes all unfinished operations of the cluster, an update or scale the unfinished
 * updates and scales: they get superseded_by and cancel_requested; those not under a live lease end
 * CANCELLED at once, a leased one ends when its runner notices. A resize that names nodes to remove
 * is not replaced by another resize, since its nodes would be forgotten: that one waits.
 * Anything else queues behind what is
 * unfinished, so that no accepted request is lost; its spec is rebuilt when its elder ends. Either
 * way the new one is not leased before the older ones have ended (db_op_lease). cluster.generation
 * grows by one and is the operation's generation.
 * Neighbours: api calls it; conductor picks the operation up. */
#ifndef MAGNUM_DB_DB_ACCEPT_H
#define MAGNUM_DB_DB_ACCEPT_H

#include "db/db.h"
#include "model/status.h"

/* An Idempotency-Key: same key and same request within the project return the first answer. */
struct db_idempotency {
    const char *key;  /* NULL = none given */
    const char *hash; /* of method, path and body; another hash under the same key: ERR_CONFLICT */
    int64_t keep_hours;
    bool dry_run;      /* everything but the commit: the operation is filled, nothing is stored */
    bool replayed;     /* out: nothing was changed, `resource` is the first answer's */
    char resource[40]; /* out when replayed: uuid of the cluster (or operation) made then */
};

/* Creates a cluster. c, ngs and op are completed by the caller (uuids, names, counts, op->kind,
 * op->deadline_at, op->request_id, op->driver_id); this fills ids, generation, spec, times.
 * `params` is borrowed (NULL = {}). quota_default: hard limit when the project has no row; the
 * check and the insert are atomic even for parallel creates: ERR_QUOTA with Magnum's text. */
int db_accept_create(struct db *db, struct cluster *c, const struct template *t,
                     struct nodegroup *ngs, size_t n_ngs, struct operation *op,
                     const json_t *params, int64_t quota_default, struct db_idempotency *idem,
                     struct err *e) MUST_CHECK;

/* What an accepted change writes besides the operation itself. Unset members change nothing. */
struct db_change {
    const char *nodegroup;                  /* uuid of the touched group, or NULL */
    int64_t node_count;                     /* its new size, or MODEL_UNSET */
    const struct nodegroup *add;            /* a new group (nodegroup_create) */
    int64_t min_node_count, max_node_count; /* nodegroup_update; MODEL_UNSET = unchanged */
    bool clear_max;
    const json_t *node_labels, *node_taints; /* nodegroup_update */
    const char *template_uuid;               /* upgrade: the cluster's new template */
    const json_t *labels;                    /* upgrade: the cluster's new labels */
    const json_t *params;                    /* goes into spec.params */
};
#define DB_CHANGE_INIT                                                                             \
    {                                                                                              \
        .node_count = MODEL_UNSET, .min_node_count = MODEL_UNSET, .max_node_count = MODEL_UNSET    \
    }

/* Accepts update, scale, delete, upgrade, rotate_*, nodegroup_* for a cluster (op->kind). Fills the
 * operation's id if empty, nodegroup_id (the touched group), project_id (the cluster's),
 * generation, spec, prior, times. In the spec of a nodegroup_delete the group is gone already. A
 * replayed key gives the first operation back in *op. ERR_UNSUPPORTED with Magnum's text
 * (`Updating a cluster when status is "<S>" is not supported.` and its kin) when the status forbids
 * it: nothing is changed then. A delete while a delete is in progress gives the running operation
 * back in *op (no second one); a forced one (op->force) makes it a forced one. Delete is accepted
 * in every status. A forced delete ends even if its driver fails, hangs or is missing: where a
 * plain one would fail or block it ends SUCCEEDED with code LeftBehind, the cluster is gone, and
 * operation.report lists what the ledger still named ({"error": {code, reason} or null,
 * "left_behind": [{kind, name, state, external_id}]}). A plain delete that succeeds with something
 * left in the ledger gets the same report. */
int db_accept_change(struct db *db, const char *cluster_uuid, struct operation *op,
                     const struct db_change *ch, struct db_idempotency *idem,
                     struct err *e) MUST_CHECK;

/* PATCH of the health pair alone: no operation. Refused like an update when the status forbids. */
int db_accept_health(struct db *db, const char *cluster_uuid, const char *health_status,
                     const json_t *reason, struct err *e) MUST_CHECK;

/* Tries an operation again. Only the id, request_id, traceparent, user_id and deadline_at of *op
 * are read; *op becomes the operation that is at work then. BLOCKED: the same one, due now, its
 * counters of failures at zero (one that is being tried at this moment is left as it is). FAILED: a
 * new one of the same kind, spec and nodegroup, with retry_of, when it is the newest of the
 * cluster: what a refusal had put back is applied again, and the status goes the way of the
 * transition table. ERR_CONFLICT for anything else: not FAILED or BLOCKED, superseded, or a newer
 * operation was accepted since. ERR_NOT_FOUND without the operation or, for a FAILED one, its
 * cluster. `actor` names who asked, for the event. */
int db_accept_retry(struct db *db, struct operation *op, const char *actor,
                    struct err *e) MUST_CHECK;

/* Asks the runner to cancel; ERR_CONFLICT when it has ended already. */
int db_accept_cancel(struct db *db, const char *operation_id, const char *actor,
                     struct err *e) MUST_CHECK;

#endif
