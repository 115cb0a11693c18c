/* db_accept_retry: trying an operation again on request (see db_accept.h). A blocked one is moved
 * to the front; a failed one is accepted anew, so that its history stays what it was. */
#include "accept_internal.h"
#include "model/codes.h"
#include "op_internal.h"
#include "quota_internal.h"

#include <string.h>

struct retry {
    struct sql_tx *tx;
    struct operation *op; /* the caller's */
    struct operation old; /* as locked */
    char *cluster;        /* uuid of the locked row, NULL when it is gone; owned */
    char *version;        /* of the driver, that the cluster belongs to; owned */
    const char *actor;
    enum op_kind kind;
};

static int lock_operation(struct retry *x, struct err *e)
{
    static const struct sql_stmt lock = {
        "retry_lock", "SELECT {o.operation} FROM operation o WHERE o.id = $1 FOR UPDATE"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, x->op->id);
    int rc = tx_run(x->tx, &lock, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Operation %s could not be found.", x->op->id);
    return ROW_ONE(operation, r, &x->old, e);
}

/* Under a live lease it is being tried at this moment, and its runner's next write would undo what
 * is written here. */
static int due_now(struct retry *x, struct err *e)
{
    static const struct sql_stmt due = {
        "retry_blocked",
        "WITH u AS (UPDATE operation o SET due_at = now(), attempt = 0, host_failures = 0,"
        " updated_at = now() WHERE o.id = $1 AND (o.lease_until IS NULL"
        " OR o.lease_until <= clock_timestamp()) RETURNING o.*),"
        " ev AS (INSERT INTO operation_event (operation_id, cluster_id, project_id, code, actor,"
        " percent, request_id, message) SELECT o.id, o.cluster_id, o.project_id, $2, $3, o.percent,"
        " $4, 'retry requested' FROM operation o WHERE o.id = $1)"
        " SELECT {u.operation} FROM u"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, x->old.id);
    param_str(&p, event_text(EVENT_RETRY_REQUESTED));
    param_str(&p, x->actor);
    param_str(&p, x->op->request_id);
    int rc = tx_run(x->tx, &due, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r))
        return ROW_ONE(operation, r, x->op, e);
    operation_done(x->op);
    *x->op = x->old;
    operation_init(&x->old);
    return 0;
}

/* Somebody was faster: that retry is the answer while it goes on. */
static int join_retry(struct retry *x, bool *ret_joined, struct err *e)
{
    static const struct sql_stmt join = {
        "retry_join", "SELECT {o.operation} FROM operation o WHERE o.cluster_id = $1"
                      " AND o.retry_of = $2 AND o.finished_at IS NULL AND o.superseded_by IS NULL"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, x->old.cluster_id);
    param_str(&p, x->old.id);
    int rc = tx_run(x->tx, &join, &p, &r, e);
    *ret_joined = !rc && PQntuples(r);
    return *ret_joined ? ROW_ONE(operation, r, x->op, e) : rc;
}

/* ---- a failed one ---- */
static int check_cluster(struct retry *x, int64_t *ret_now, struct err *e)
{
    static const struct sql_stmt get = {
        "retry_cluster",
        "SELECT status, generation, now(), driver_version FROM cluster WHERE uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    if (!x->cluster)
        return err_set(e, ERR_NOT_FOUND, "Cluster %s could not be found.", x->old.cluster_id);
    param_str(&p, x->cluster);
    int rc = tx_run(x->tx, &get, &p, &r, e);
    if (rc)
        return rc;
    if (row_int(r, 0, 1, 0) != x->old.generation)
        return err_set(e, ERR_CONFLICT,
                       "Operation %s is not the newest of its cluster; repeat the request instead.",
                       x->old.id);
    const char *status = row_str(r, 0, 0), *to = status_on_accept(x->kind);
    if (x->kind != OP_DELETE && !status_transition_allowed(status, to))
        return err_set(e, ERR_CONFLICT, "A %s can't be retried when status is \"%s\".", x->old.kind,
                       status);
    *ret_now = row_time(r, 0, 2);
    /* the version the cluster belongs to now: it may have been moved because of the failure */
    return accept_set(&x->version, row_str(r, 0, 3), e);
}

/* The group's wanted size and the cluster's wanted template, as the failed operation had them: a
 * refusal put the earlier ones back. What is there now becomes the new undo. */
static int apply_wishes(struct retry *x, json_t **ret_undo, struct err *e)
{
    static const struct sql_stmt apply = {
        "retry_apply",
        "WITH s AS (SELECT $3::json AS j), was AS (SELECT c.cluster_template_id, c.labels,"
        " (SELECT g.node_count FROM nodegroup g WHERE g.cluster_id = c.uuid AND g.uuid = $2)"
        " AS node_count FROM cluster c WHERE c.uuid = $1),"
        " g AS (UPDATE nodegroup n SET node_count = (v->>'node_count')::bigint, updated_at = now()"
        " FROM s, json_array_elements(s.j->'nodegroups') v WHERE $4::boolean AND n.uuid = $2"
        " AND v->>'uuid' = n.uuid AND v->>'node_count' IS NOT NULL),"
        " c AS (UPDATE cluster k SET cluster_template_id ="
        " coalesce(s.j->'cluster'->>'cluster_template_id', k.cluster_template_id),"
        " labels = coalesce(s.j->'cluster'->'labels', k.labels)"
        " FROM s WHERE $5::boolean AND k.uuid = $1)"
        " SELECT CASE WHEN $4 THEN json_build_object('node_count', node_count)"
        " WHEN $5 THEN json_build_object('template', cluster_template_id, 'labels', labels) END"
        " FROM was"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    bool sized = x->old.nodegroup_id && (x->kind == OP_SCALE || x->kind == OP_UPDATE);
    param_str(&p, x->cluster);
    param_str(&p, x->old.nodegroup_id);
    param_json(&p, x->old.spec);
    param_bool(&p, sized);
    param_bool(&p, x->kind == OP_UPGRADE);
    int rc = tx_run(x->tx, &apply, &p, &r, e);
    return rc || PQntuples(r) == 0 ? rc : row_json(r, 0, 0, ret_undo, e);
}

static int set_statuses(struct retry *x, struct err *e)
{
    static const struct sql_stmt cluster = {
        "retry_status", "UPDATE cluster SET status = $2, status_reason = NULL,"
                        " generation = generation + 1, updated_at = now() WHERE uuid = $1"};
    static const struct sql_stmt groups = {
        "retry_groups", "UPDATE nodegroup SET status = $2, status_reason = NULL, updated_at = now()"
                        " WHERE cluster_id = $1 AND ($3::text IS NULL OR uuid = $3)"
                        " AND ($4::text[] IS NULL OR status = ANY ($4))"};
    const char *to = status_group_on_accept(x->kind);
    const char *const *from = status_allowed_from(to);
    size_t n = 0;
    while (from[n])
        n++;
    _cleanup_params_ struct sql_params c = {.n = 0}, g = {.n = 0};
    param_str(&c, x->cluster);
    param_str(&c, status_on_accept(x->kind));
    int rc = tx_run(x->tx, &cluster, &c, NULL, e);
    bool all = x->kind == OP_CREATE || x->kind == OP_DELETE || x->kind == OP_UPGRADE;
    if (rc || !(all || x->old.nodegroup_id))
        return rc;
    param_str(&g, x->cluster);
    param_str(&g, to);
    param_str(&g, x->old.nodegroup_id);
    if (x->kind == OP_DELETE)
        param_str(&g, NULL);
    else
        param_list(&g, from, n);
    return tx_run(x->tx, &groups, &g, NULL, e);
}

static int copy_members(const struct operation *old, const struct operation *asked,
                        const char *version, struct operation *ret, struct err *e)
{
    int rc = accept_uuid(&ret->id, e);
    const struct {
        char **to;
        const char *from;
    } texts[] = {
        {&ret->cluster_id, old->cluster_id},     {&ret->cluster_name, old->cluster_name},
        {&ret->project_id, old->project_id},     {&ret->kind, old->kind},
        {&ret->driver_id, old->driver_id},       {&ret->driver_version, version},
        {&ret->nodegroup_id, old->nodegroup_id}, {&ret->retry_of, old->id},
        {&ret->user_id, asked->user_id},         {&ret->request_id, asked->request_id},
        {&ret->traceparent, asked->traceparent},
    };
    for (size_t i = 0; !rc && i < ARRAY_LEN(texts); i++)
        rc = accept_set(texts[i].to, texts[i].from, e);
    ret->rollback = old->rollback;
    ret->force = old->force;
    ret->generation = old->generation + 1;
    ret->deadline_at = asked->deadline_at;
    return rc;
}

static int accept_anew(struct retry *x, struct operation *op, struct err *e)
{
    int64_t now = TIME_UNSET;
    _cleanup_quota_ struct quota_guard before = {.lock = NULL};
    int rc = check_cluster(x, &now, e);
    if (!rc)
        rc = copy_members(&x->old, x->op, x->version, op, e);
    if (!rc)
        rc = quota_before(x->tx, &before, x->old.project_id, x->cluster, e);
    if (!rc)
        rc = apply_wishes(x, &op->undo, e);
    if (!rc)
        rc = quota_after(x->tx, &before, x->old.project_id, x->cluster, e);
    if (!rc)
        rc = set_statuses(x, e);
    if (!rc)
        rc = wanted_spec(x->tx, x->cluster, x->kind, json_object_get(x->old.spec, "params"),
                         &op->spec, e);
    if (!rc)
        rc = wanted_prior(x->tx, x->cluster, &op->prior, e);
    return rc ? rc : accept_operation(x->tx, op, now, e);
}

static int repeat_failed(struct retry *x, struct err *e)
{
    struct operation op;
    bool joined = false;
    int rc = join_retry(x, &joined, e);
    if (rc || joined)
        return rc;
    operation_init(&op);
    rc = accept_anew(x, &op, e);
    if (rc == 0) {
        struct operation asked = *x->op;
        *x->op = op;
        op = asked;
    }
    operation_done(&op);
    return rc;
}

static int retry(struct retry *x, struct err *e)
{
    int rc = op_lock_cluster(x->tx, x->op->id, &x->cluster, e);
    if (!rc)
        rc = lock_operation(x, e);
    if (rc)
        return rc;
    bool blocked = str_eq(x->old.status, OPS_BLOCKED) && !x->old.superseded_by;
    bool failed = str_eq(x->old.status, OPS_FAILED) && op_kind_parse(x->old.kind, &x->kind);
    if (!blocked && !failed)
        return err_set(e, ERR_CONFLICT,
                       "Operation %s can't be retried: only one that failed or is blocked can.",
                       x->old.id);
    rc = blocked ? due_now(x, e) : repeat_failed(x, e);
    return rc ? rc : tx_commit(x->tx, e);
}

int db_accept_retry(struct db *db, struct operation *op, const char *actor, struct err *e)
{
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    struct retry x = {.tx = &tx, .op = op, .actor = actor};
    operation_init(&x.old);
    int rc = tx_begin(db, &tx, e);
    if (!rc)
        rc = retry(&x, e);
    operation_done(&x.old);
    free(x.cluster);
    free(x.version);
    return rc;
}
