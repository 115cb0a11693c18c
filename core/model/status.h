/* Cluster, nodegroup and operation status: the names, the sets Magnum tests against, and the one
 * transition table (status.def). Nobody else compares status texts or decides a transition;
 * db/ enforces the same table by conditional UPDATE (status_allowed_from gives its WHERE list).
 * Pure. Neighbours: operation (engine), api (preconditions), db (conditional updates). */
#ifndef MAGNUM_MODEL_STATUS_H
#define MAGNUM_MODEL_STATUS_H

#include <stdbool.h>
#include <stddef.h>

/* Operation kinds, in the order of MAG_OP_*: the text stored in operation.kind. */
enum op_kind {
    OP_CREATE = 1,
    OP_UPDATE,
    OP_DELETE,
    OP_SCALE,
    OP_HEALTH, /* never stored: the periodic look */
    OP_UPGRADE,
    OP_ROTATE_CA,
    OP_ROTATE_CREDENTIAL,
    OP_NODEGROUP_CREATE,
    OP_NODEGROUP_UPDATE,
    OP_NODEGROUP_DELETE,
    OP_KIND_END
};
const char *op_kind_name(enum op_kind k);                /* "create", "nodegroup_create", ... */
bool op_kind_parse(const char *name, enum op_kind *ret); /* false: unknown */

/* operation.status. PENDING: accepted, nobody worked on it yet; RUNNING: in progress (leased or
 * waiting for its due time); BLOCKED: no progress, `actor` must act, still retried slowly;
 * the other three are final. */
#define OPS_PENDING "PENDING"
#define OPS_RUNNING "RUNNING"
#define OPS_BLOCKED "BLOCKED"
#define OPS_SUCCEEDED "SUCCEEDED"
#define OPS_FAILED "FAILED"
#define OPS_CANCELLED "CANCELLED"
bool op_status_final(const char *s);

/* Magnum's sets (conductor.md 2, validation.md 10). */
bool status_updatable(const char *cluster_status); /* update, upgrade, rotate CA */
bool status_resizable(
    const char *cluster_status); /* the above + UPDATE_FAILED, UPDATE_IN_PROGRESS */
bool status_in_progress(const char *s);
bool status_failed(const char *s); /* for `faults` */
bool status_known(const char *s);

/* What an accepted / succeeded / failed operation makes of the cluster's and of the touched
 * nodegroups' status; NULL = unchanged. DELETE success means the rows go away. */
const char *status_on_accept(enum op_kind k);
const char *status_on_success(enum op_kind k);
const char *status_on_failure(enum op_kind k);
/* The same for the touched nodegroups where it differs from the cluster's: a group that is being
 * added or removed has its own CREATE_ or DELETE_ status while the cluster is updating. */
const char *status_group_on_accept(enum op_kind k);
const char *status_group_on_success(enum op_kind k);
const char *status_group_on_failure(enum op_kind k);

/* What the cluster's status is when an operation on it has ended well, in the way `ended`, and its
 * groups have these statuses now (data-model.md 4): one that is still in progress, else one that
 * has failed, whoever's doing it was, decides before the operation does. Static. */
const char *status_from_groups(const char *ended, const char *const *groups, size_t n);

/* May a cluster or nodegroup go from `from` to `to`? from NULL = just made. */
bool status_transition_allowed(const char *from, const char *to);
/* All statuses from which `to` may be entered: NULL-terminated static list. */
const char *const *status_allowed_from(const char *to);

#endif
