/* The operation queue as the conductors work it: lease, checkpoint, store, finish. Every write is
 * guarded: it names the lease (owner and fence) and happens only while that lease is alive by the
 * database's clock and the operation has not been superseded; else ERR_FENCED and nothing is
 * changed. A superseded one may still write to the ledger and be finished. Neighbours:
 * conductor/runner; reads serve the API. */
#ifndef MAGNUM_DB_DB_OPERATION_H
#define MAGNUM_DB_DB_OPERATION_H

#include "db/db.h"

/* scope as for clusters; NOT_FOUND: "Operation <id> could not be found." */
int db_operation_get(struct db *db, const struct db_scope *s, const char *id, struct operation *ret,
                     struct err *e) MUST_CHECK;
/* Reads for the API: the members of model/operation_shown.def, the others are unset. */
int db_operation_show(struct db *db, const struct db_scope *s, const char *id,
                      struct operation *ret, struct err *e) MUST_CHECK;
/* cluster_uuid NULL = all visible. Newest first; marker = operation id. */
int db_operation_list(struct db *db, const struct db_scope *s, const char *cluster_uuid,
                      const struct db_page *p, struct operation_list *ret,
                      struct err *e) MUST_CHECK;
/* The same of those alone that have not ended. */
int db_operation_list_open(struct db *db, const struct db_scope *s, const struct db_page *p,
                           struct operation_list *ret, struct err *e) MUST_CHECK;
/* Events with id > after, oldest first. */
int db_operation_events(struct db *db, const char *operation_id, int64_t after, int64_t limit,
                        struct operation_event_list *ret, struct err *e) MUST_CHECK;

/* An operation is due for a conductor when its status is PENDING, RUNNING or BLOCKED, due_at is
 * reached, it is not leased (or the lease has expired), not superseded, and its driver is one of
 * `drivers`: by driver_id, with a version "id@version", "id@*" for any, or without a driver; NULL =
 * any. */
struct op_due {
    char *project; /* owned; "" = none */
    size_t n;      /* due ones, counted up to `each` */
};
struct op_due_list {
    struct op_due *v;
    size_t n;
};
/* Up to `projects` projects with something due, by their ids (bytewise), those behind `after` (NULL
 * = from the first on). */
int db_op_due(struct db *db, const char *after, size_t projects, size_t each,
              const struct strv *drivers, struct op_due_list *ret, struct err *e) MUST_CHECK;
/* The same of these projects alone, in this order; those with nothing due are left out. */
int db_op_due_of(struct db *db, const char *const *projects, size_t n, size_t each,
                 const struct strv *drivers, struct op_due_list *ret, struct err *e) MUST_CHECK;
void db_op_due_done(struct op_due_list *l);

struct op_take { /* so many of this project; borrowed */
    const char *project;
    size_t n;
};
/* Leases due operations for `owner` (a conductor's instance id), of each project named (once) up to
 * so many, due longest first; none that an older unfinished operation of the same cluster holds
 * back. fence grows by one each time. FOR UPDATE SKIP LOCKED. The rows come with spec, prior and
 * state. Also ends superseded operations whose lease has expired (CANCELLED, with an event).
 * *ret_next_due_ms (may be NULL): milliseconds until the next known due time, -1 = none. */
int db_op_lease(struct db *db, const char *owner, int64_t lease_ms, const struct strv *drivers,
                const struct op_take *v, size_t n, struct operation_list *ret,
                int64_t *ret_next_due_ms, struct err *e) MUST_CHECK;

/* Gives back every lease that has run out, whoever had it, in one statement: what a dead conductor
 * held is nobody's from then on and due as it was, for any conductor that has room. Fences and due
 * times stay: the former owner's guard names an owner that the row has no more, and the next lease
 * has the next fence. Returns how many of which project. */
int db_op_release_expired(struct db *db, struct op_due_list *ret, struct err *e) MUST_CHECK;

/* Names one lease. Borrowed strings. */
struct op_guard {
    const char *id, *owner;
    int64_t fence;
};
enum { /* what a runner has to hear */
       OP_NEWS_CANCEL = 1 << 0,
       OP_NEWS_SUPERSEDED = 1 << 1,
       OP_NEWS_FORCE = 1 << 2
};
/* Prolongs this owner's live leases of these operations in one statement; those it does not name
 * (the answer to their lease may have been lost) run out. Returns which are still held, and what
 * was asked of them meanwhile: OP_NEWS_* (arrays of n, caller's). */
int db_op_renew(struct db *db, const char *owner, int64_t lease_ms, const char *const *ids,
                size_t n, bool *ret_held, unsigned char *ret_news, struct err *e) MUST_CHECK;

/* The driver's blob (and percent/message when >= 0 / not NULL), committed before it returns. */
int db_op_checkpoint(struct db *db, const struct op_guard *g, const char *state, int64_t percent,
                     const char *message, struct err *e) MUST_CHECK;

/* An event to append; unset members are NULL/MODEL_UNSET. */
struct op_event_new {
    const char *code, *stage, *actor, *backend_request_id, *message, *remedy;
    int64_t percent;
    bool retriable;
};

/* After a step: what changed, in one transaction. One without events, outputs or anything to show
 * may be taken back by a crash of the server, with the lease it was made under: then the step is
 * done again. Everything else is on disk when this returns. */
struct op_store {
    const char *status, *stage, *message;           /* NULL = unchanged */
    int64_t attempt, host_failures, steps, percent; /* MODEL_UNSET = unchanged */
    bool set_reason;                                /* then the next four are stored */
    const char *code, *reason, *remedy, *actor;     /* NULL clears */
    bool progress;                                  /* progress_at = now */
    bool blocked;      /* blocked_since = now unless set; else cleared */
    int64_t due_in_ms; /* from now */
    bool release;      /* give the lease back */
    bool show;         /* status_reason of the cluster (and of the operation's nodegroup) says
                        * that, since when and why it is blocked, or no longer does */
    const char *gave_up_code, *gave_up_reason; /* into report.error; NULL = nothing was given up */
    const json_t *outputs; /* {key: value}, see MAG output keys; or NULL. A group's node_count is
                            * what was asked for until an operation succeeds (db_op_finish) */
    const struct op_event_new *events;
    size_t n_events;
};
int db_op_store(struct db *db, const struct op_guard *g, const struct op_store *s,
                struct err *e) MUST_CHECK;

/* The end, in one transaction: operation, cluster and nodegroup status (conditional on
 * model/status.def), outputs, events, lease. Each group in progress ends what it was in
 * (CREATE_IN_PROGRESS becomes CREATE_COMPLETE or CREATE_FAILED, whatever the prefix given), those
 * of operations still queued excepted; while one is queued the cluster stays in progress. A
 * superseded operation ends CANCELLED and changes nothing else. With remove_cluster: nodegroups,
 * ledger, certificates (x509keypair rows of the cluster) and the cluster row go away; the operation
 * and its events stay. What the ledger still named then, or what was given up, makes its code
 * LeftBehind and fills operation.report (db_accept.h).
 */
struct op_finish {
    const char *status;           /* SUCCEEDED, FAILED, CANCELLED */
    const char *cluster_status;   /* NULL = unchanged */
    const char *nodegroup_status; /* of the groups in progress; NULL = unchanged */
    const char *status_reason;    /* of cluster and groups; NULL clears */
    const char *code, *reason, *remedy, *actor;
    int64_t attempt, host_failures, steps, percent; /* MODEL_UNSET = unchanged */
    bool remove_cluster;
    bool remove_nodegroup; /* nodegroup_delete succeeded */
    bool refused; /* what accepting overwrote (operation.undo) is put back, unless a newer request
                   * was accepted since */
    const char *gave_up_code, *gave_up_reason; /* as in op_store */
    const json_t *outputs;
    const struct op_event_new *events;
    size_t n_events;
};
int db_op_finish(struct db *db, const struct op_guard *g, const struct op_finish *f,
                 struct err *e) MUST_CHECK;

/* Gives every lease of this owner back at once, due now (graceful stop). */
int db_op_release_all(struct db *db, const char *owner, struct err *e) MUST_CHECK;

/* Health: leases clusters whose observation is due (in the states conductor.md 8.2 names), spread
 * over the conductors, each once per interval. The clusters come with derived members. */
int db_observe_lease(struct db *db, const char *owner, size_t max, int64_t lease_ms,
                     const struct strv *drivers, struct cluster_list *ret,
                     struct err *e) MUST_CHECK;
/* Stores the result and the next due time; ignored (0) when the lease was lost. was_read: health_at
 * becomes now, if there is something to store. */
int db_observe_store(struct db *db, const char *owner, const char *cluster_uuid,
                     const char *health_status, const json_t *reason, const json_t *outputs,
                     bool was_read, int64_t next_in_ms, struct err *e) MUST_CHECK;
/* Health that nobody has looked at although it was due for stale_s becomes UNKNOWN with its age:
 * no conductor can, or none is there that has the driver. Up to `batch` clusters. */
int db_observe_decay(struct db *db, int64_t stale_s, int64_t batch, int64_t *ret_n,
                     struct err *e) MUST_CHECK;
/* The full spec of a cluster as the accepting transaction would build it now. Caller owns. */
int db_cluster_spec(struct db *db, const char *cluster_uuid, json_t **ret,
                    struct err *e) MUST_CHECK;

/* Stores the cluster's certificate references and manager, guarded. NULL members are unchanged. */
int db_cluster_set_certs(struct db *db, const struct op_guard *g, const char *manager,
                         const char *ca_ref, const char *client_ref, const char *etcd_ref,
                         const char *front_proxy_ref, struct err *e) MUST_CHECK;

#endif
