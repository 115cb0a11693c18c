/* What storing and finishing operations share. */
#ifndef MAGNUM_DB_OP_INTERNAL_H
#define MAGNUM_DB_OP_INTERNAL_H

#include "db/db_operation.h"
#include "model/codes.h"
#include "wanted_internal.h"

/* $1..$3 of LEASE_ALIVE. */
void guard_params(struct sql_params *p, const struct op_guard *g);
int fenced(const char *id, struct err *e) MUST_CHECK;
/* The statement answered with the number of guarded rows: ERR_FENCED when there was none. */
int guarded(const PGresult *r, const struct op_guard *g, struct err *e) MUST_CHECK;

/* Inserts the events of a JSON parameter for the operation row in CTE `from`, in their order. */
#define EVENTS_OF(from, param)                                                                     \
    "INSERT INTO operation_event (operation_id, cluster_id, project_id, code, stage, percent,"     \
    " actor, request_id, backend_request_id, retriable, message, remedy)"                          \
    " SELECT f.id, f.cluster_id, f.project_id, v.j->>'code', coalesce(v.j->>'stage', f.stage),"    \
    " coalesce((v.j->>'percent')::bigint, f.percent), v.j->>'actor', f.request_id,"                \
    " v.j->>'backend_request_id', (v.j->>'retriable')::boolean, v.j->>'message', v.j->>'remedy'"   \
    " FROM " from " f, json_array_elements(" param "::json) WITH ORDINALITY AS v(j, n)"            \
    " ORDER BY v.n"
int events_param(struct sql_params *p, const struct op_event_new *v, size_t n,
                 struct err *e) MUST_CHECK;

/* In a statement's answer: its commit does not wait for the disk. For writes that promise nothing,
 * as leases and plain waits: a crash of the server may take them back, and whatever is promised
 * later is written after them, so it can't outlive them. */
#define NOT_FLUSHED "set_config('synchronous_commit', 'off', true)"

/* Text, actor and remedy of a code, as three parameters. */
void code_params(struct sql_params *p, enum op_code code);
/* operation.report (alias o) with the first thing that was given up, if any. */
#define REPORT_ERROR(code, reason)                                                                 \
    "coalesce(o.report, CASE WHEN " code "::text IS NOT NULL THEN"                                 \
    " json_build_object('error', json_build_object('code', " code "::text, 'reason', " reason      \
    "::text)) END)"

/* A text[] of driver ids, NULL = any. */
void drivers_param(struct sql_params *p, const struct strv *drivers);

/* Locks the cluster row of an operation; *ret_uuid (caller frees) is NULL when it is gone. */
int op_lock_cluster(struct sql_tx *tx, const char *operation_id, char **ret_uuid,
                    struct err *e) MUST_CHECK;
/* Maps published facts (magnum/host.h, mag_host.output) to columns of the locked cluster and its
 * groups. Unknown keys and values of another type are passed over: a driver must not be able to
 * make its own operation unstorable. `sizes`: whether node_count may be stored; while an operation
 * other than operation_id (may be NULL) is unfinished it is not, since the row holds what was asked
 * for last. */
int outputs_store(struct sql_tx *tx, const char *cluster_uuid, const char *operation_id, bool sizes,
                  const json_t *outputs, struct err *e) MUST_CHECK;

#endif
