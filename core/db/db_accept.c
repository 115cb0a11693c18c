/* Accepting a create, and the small accepted changes without a driver (health, cancel); see
 * db_accept.h. accept_change.c does the rest. */
#include "db/db_accept.h"

#include "accept_internal.h"
#include "base/uuid.h"
#include "model/codes.h"
#include "model/spec.h"
#include "quota_internal.h"

#include <string.h>

int accept_uuid(char **member, struct err *e)
{
    if (!str_blank(*member))
        return 0;
    char uuid[UUID_TEXT];
    uuid_make(uuid);
    return accept_set(member, uuid, e);
}

int accept_set(char **member, const char *value, struct err *e)
{
    char *copy = str_dup(value);
    if (value && !copy)
        return err_nomem(e);
    free(*member);
    *member = copy;
    return 0;
}

/* --- idempotency --- */

static int recall(struct sql_tx *tx, const struct sql_params *key, struct db_idempotency *idem,
                  struct err *e)
{
    static const struct sql_stmt get = {
        "idem_get", "SELECT hash, resource FROM idempotency WHERE project_id = $1 AND key = $2"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = tx_run(tx, &get, key, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0) /* expired and swept between the two statements */
        return err_set(e, ERR_BUSY, "the Idempotency-Key was just released; try again");
    if (!str_eq(row_str(r, 0, 0), idem->hash))
        return err_set(e, ERR_CONFLICT, "The Idempotency-Key %s was used for another request.",
                       idem->key);
    idem->replayed = true;
    snprintf(idem->resource, sizeof idem->resource, "%s", row_str(r, 0, 1));
    return 0;
}

static int sweep(struct sql_tx *tx, struct err *e)
{
    static const struct sql_stmt expired = {
        "idem_sweep", "DELETE FROM idempotency WHERE (project_id, key) IN"
                      " (SELECT project_id, key FROM idempotency WHERE expires_at < now()"
                      " ORDER BY expires_at LIMIT 16 FOR UPDATE SKIP LOCKED)"};
    return tx_run(tx, &expired, NULL, NULL, e);
}

int accept_claim(struct sql_tx *tx, const char *project_id, const char *resource,
                 struct db_idempotency *idem, struct err *e)
{
    static const struct sql_stmt claim = {
        "idem_claim",
        "INSERT INTO idempotency AS i (project_id, key, hash, resource, expires_at)"
        " VALUES ($1, $2, $3, $4, now() + $5::bigint * interval '1 hour')"
        " ON CONFLICT (project_id, key) DO UPDATE SET hash = excluded.hash,"
        " resource = excluded.resource, created_at = now(), expires_at = excluded.expires_at"
        " WHERE i.expires_at <= now()"};
    if (!idem || !idem->key)
        return 0;
    idem->replayed = false;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, project_id ? project_id : "");
    param_str(&p, idem->key);
    param_str(&p, idem->hash ? idem->hash : "");
    param_str(&p, resource);
    param_int(&p, idem->keep_hours);
    int rc = tx_run(tx, &claim, &p, &r, e);
    if (rc)
        return rc;
    if (sql_changed(r) == 1)
        return sweep(tx, e);
    p.n = 2; /* the key alone */
    return recall(tx, &p, idem, e);
}

/* --- rows --- */

static void default_int(int64_t *member, int64_t value)
{
    if (*member == MODEL_UNSET)
        *member = value;
}

/* Completes the group and queues its row; *ret gets id and created_at. */
static int queue_nodegroup(struct sql_tx *tx, struct nodegroup *n, struct sql_params *p,
                           PGresult **ret, struct err *e)
{
    static const struct sql_stmt insert = {
        "nodegroup_insert", "INSERT INTO nodegroup ({nodegroup}) VALUES ({$nodegroup})"
                            " RETURNING id, created_at"};
    int rc = accept_uuid(&n->uuid, e);
    if (!rc && !n->role)
        rc = accept_set(&n->role, "worker", e);
    if (rc)
        return rc;
    default_int(&n->node_count, 1);
    default_int(&n->min_node_count, 0);
    param_insert(p, &row_nodegroup, n);
    return tx_queue(tx, &insert, p, ret, e);
}

static void read_nodegroup(const PGresult *r, struct nodegroup *n)
{
    n->id = row_int(r, 0, 0, MODEL_UNSET);
    n->created_at = row_time(r, 0, 1);
}

int accept_nodegroup(struct sql_tx *tx, struct nodegroup *n, const char *cluster_name,
                     struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    int rc = queue_nodegroup(tx, n, &p, &r, e);
    if (!rc)
        rc = tx_flush(tx, NULL, e);
    if (rc == ERR_EXISTS)
        return err_set(e, rc, "A node group with name %s already exists in the cluster %s.",
                       n->name, cluster_name);
    if (!rc)
        read_nodegroup(r, n);
    return rc;
}

/* Completes the operation and queues its row and event; *ret gets created_at. */
static int queue_operation(struct sql_tx *tx, struct operation *op, int64_t now,
                           struct sql_params *p, PGresult **ret, struct err *e)
{
    static const struct sql_stmt insert = {
        "operation_insert",
        "WITH o AS (INSERT INTO operation ({operation}) VALUES ({$operation:2}) RETURNING *),"
        " ev AS (INSERT INTO operation_event (operation_id, cluster_id, project_id, code, percent,"
        " request_id, message) SELECT id, cluster_id, project_id, $1, 0, request_id,"
        " kind || ' accepted' FROM o) SELECT created_at FROM o"};
    int rc = accept_set(&op->status, OPS_PENDING, e);
    if (rc)
        return rc;
    default_int(&op->attempt, 0);
    default_int(&op->host_failures, 0);
    default_int(&op->steps, 0);
    default_int(&op->percent, 0);
    default_int(&op->lease_fence, 0);
    if (op->due_at == TIME_UNSET)
        op->due_at = now;
    param_str(p, event_text(EVENT_ACCEPTED));
    param_insert(p, &row_operation, op);
    return tx_queue(tx, &insert, p, ret, e);
}

int accept_operation(struct sql_tx *tx, struct operation *op, int64_t now, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    int rc = queue_operation(tx, op, now, &p, &r, e);
    if (!rc)
        rc = tx_flush(tx, NULL, e);
    if (!rc)
        op->created_at = row_time(r, 0, 0);
    return rc;
}

static int queue_template(struct sql_tx *tx, const char *uuid, struct sql_params *p, PGresult **ret,
                          struct err *e)
{
    static const struct sql_stmt lock = {
        "accept_template", "SELECT now() FROM cluster_template WHERE uuid = $1 FOR KEY SHARE"};
    param_str(p, uuid);
    return tx_queue(tx, &lock, p, ret, e);
}

static int read_template(const PGresult *r, const char *uuid, int64_t *ret_now, struct err *e)
{
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "ClusterTemplate %s could not be found.", uuid);
    *ret_now = row_time(r, 0, 0);
    return 0;
}

int accept_lock_template(struct sql_tx *tx, const char *uuid, int64_t *ret_now, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    int rc = queue_template(tx, uuid, &p, &r, e);
    if (!rc)
        rc = tx_flush(tx, NULL, e);
    return rc ? rc : read_template(r, uuid, ret_now, e);
}

/* --- create --- */

/* A create in work. What the first round trip asks, and what it answers, lives here meanwhile. */
struct create {
    struct cluster *c;
    const struct template *t;
    struct nodegroup *ngs;
    size_t n_ngs;
    struct operation *op;
    const json_t *params;
    int64_t quota_default;
    struct db_idempotency *idem;
};
struct create_trip {
    struct sql_params template_p, room_p, count_p, cluster_p, *group_p;
    PGresult *template, *room, *count, *cluster, **groups;
    struct quota_guard guard;
};

static void trip_done(struct create_trip *trip, size_t n_ngs)
{
    param_done(&trip->template_p);
    param_done(&trip->room_p);
    param_done(&trip->count_p);
    param_done(&trip->cluster_p);
    result_free(&trip->template);
    result_free(&trip->room);
    result_free(&trip->count);
    result_free(&trip->cluster);
    quota_guard_done(&trip->guard);
    for (size_t i = 0; i < n_ngs; i++) {
        if (trip->group_p)
            param_done(&trip->group_p[i]);
        if (trip->groups)
            result_free(&trip->groups[i]);
    }
    free(trip->group_p);
    free(trip->groups);
}

/* --- quota --- */

/* Near the limit the creates of a project go one after another, under an exclusive lock; far from
 * it side by side, under the shared one. "Far" is exact: every create in flight holds a
 * connection (max_connections bounds them), so when the committed clusters and all connections
 * together fit, so does whatever is committed after the last such count; and nobody counts
 * exclusively while one of them is in flight. The count is a statement of its own: it sees what was
 * committed while the lock was waited for. */
static int queue_quota(struct sql_tx *tx, const struct create *x, bool alone,
                       struct create_trip *trip, struct err *e)
{
    static const struct sql_stmt room = {
        "quota_room",
        "WITH q AS MATERIALIZED (SELECT coalesce((SELECT hard_limit FROM quotas"
        " WHERE project_id = $1::text AND resource = 'Cluster'), $3::bigint) AS most,"
        " current_setting('max_connections')::bigint AS connections,"
        " hashtextextended(coalesce($1::text, $2::text), 7881) AS lock),"
        " way AS MATERIALIZED (SELECT *, NOT $4::boolean AND most > 2 * connections AS shared"
        " FROM q) SELECT most, connections, shared, CASE WHEN shared"
        " THEN pg_advisory_xact_lock_shared(lock) ELSE pg_advisory_xact_lock(lock) END FROM way"};
    static const struct sql_stmt of_project = {
        "quota_project", "SELECT count(*) FROM cluster WHERE project_id = $1"};
    static const struct sql_stmt of_user = {
        "quota_user", "SELECT count(*) FROM cluster WHERE user_id = $1 AND project_id IS NULL"};
    const struct cluster *c = x->c;
    param_str(&trip->room_p, c->project_id);
    param_str(&trip->room_p, c->user_id);
    param_int(&trip->room_p, x->quota_default);
    param_bool(&trip->room_p, alone);
    param_str(&trip->count_p, c->project_id ? c->project_id : c->user_id);
    int rc = tx_queue(tx, &room, &trip->room_p, &trip->room, e);
    return rc ? rc
              : tx_queue(tx, c->project_id ? &of_project : &of_user, &trip->count_p, &trip->count,
                         e);
}

/* *ret_near: it was not as far as hoped; again from the start, with `alone`. */
static int judge_quota(const struct create_trip *trip, bool *ret_near, struct err *e)
{
    int64_t most = row_int(trip->room, 0, 0, 0), connections = row_int(trip->room, 0, 1, 0);
    int64_t clusters = row_int(trip->count, 0, 0, 0);
    if (row_bool(trip->room, 0, 2) && clusters + connections > most) {
        *ret_near = true;
        return err_set(e, ERR_BUSY, "the project is near its quota");
    }
    if (clusters < most)
        return 0;
    return err_set(e, ERR_QUOTA,
                   "Resource limit exceeded: You have reached the maximum clusters per project, "
                   "%lld. You may delete a cluster to make room for a new one.",
                   (long long)most);
}

/* --- rows of a create --- */

static int queue_cluster(struct sql_tx *tx, const struct cluster *c, struct create_trip *trip,
                         struct err *e)
{
    /* the first look at its health comes a minute after, or when the create has ended */
    static const struct sql_stmt insert = {
        "cluster_insert",
        "WITH c AS (INSERT INTO cluster ({cluster}) VALUES ({$cluster}) RETURNING *),"
        " o AS (INSERT INTO observation (cluster_id, due_at) SELECT uuid, CASE"
        " WHEN " OBSERVED_BY_AGENT("labels") " THEN 'infinity'"
                                             " ELSE now() + interval '60 seconds' END FROM c) "
                                             "SELECT id, created_at FROM c"};
    param_insert(&trip->cluster_p, &row_cluster, c);
    return tx_queue(tx, &insert, &trip->cluster_p, &trip->cluster, e);
}

/* Locks, counts and rows in one round trip: what was found wrong is only looked at afterwards, and
 * takes the rows back with it. */
static int first_trip(struct sql_tx *tx, const struct create *x, bool alone,
                      struct create_trip *trip, struct err *e)
{
    trip->group_p = calloc(x->n_ngs + 1, sizeof *trip->group_p);
    trip->groups = calloc(x->n_ngs + 1, sizeof(PGresult *));
    if (!trip->group_p || !trip->groups)
        return err_nomem(e);
    int rc = queue_template(tx, x->c->cluster_template_id, &trip->template_p, &trip->template, e);
    if (!rc)
        rc = queue_quota(tx, x, alone, trip, e);
    if (!rc)
        rc = quota_queue_lock(tx, &trip->guard, x->c->project_id, e);
    if (!rc)
        rc = queue_cluster(tx, x->c, trip, e);
    for (size_t i = 0; !rc && i < x->n_ngs; i++)
        rc = queue_nodegroup(tx, &x->ngs[i], &trip->group_p[i], &trip->groups[i], e);
    if (!rc)
        rc = quota_queue_sum(tx, &trip->guard, x->c->project_id, x->c->uuid, e);
    if (!rc)
        rc = tx_flush(tx, NULL, e);
    if (rc == ERR_EXISTS)
        return err_set(e, rc, "A cluster with UUID %s already exists.", x->c->uuid);
    return rc;
}

static int read_trip(const struct create *x, const struct create_trip *trip, int64_t *ret_now,
                     bool *ret_near, struct err *e)
{
    int rc = read_template(trip->template, x->c->cluster_template_id, ret_now, e);
    if (!rc)
        rc = judge_quota(trip, ret_near, e);
    if (!rc)
        rc = quota_judge(&trip->guard, NULL, e);
    if (rc)
        return rc;
    x->c->id = row_int(trip->cluster, 0, 0, MODEL_UNSET);
    x->c->created_at = row_time(trip->cluster, 0, 1);
    for (size_t i = 0; i < x->n_ngs; i++)
        read_nodegroup(trip->groups[i], &x->ngs[i]);
    return 0;
}

/* What the caller left to this function: identity, status, ownership. */
static int complete(struct cluster *c, struct nodegroup *ngs, size_t n_ngs, struct operation *op,
                    struct err *e)
{
    const char *status = status_on_accept(OP_CREATE);
    int rc = accept_uuid(&c->uuid, e);
    if (!rc)
        rc = accept_set(&c->status, status, e);
    if (!rc)
        rc = accept_set(&c->status_reason, NULL, e);
    c->generation = 1;
    for (size_t i = 0; !rc && i < n_ngs; i++) {
        rc = accept_set(&ngs[i].cluster_id, c->uuid, e);
        if (!rc)
            rc = accept_set(&ngs[i].project_id, c->project_id, e);
        if (!rc)
            rc = accept_set(&ngs[i].status, status, e);
    }
    if (!rc)
        rc = accept_uuid(&op->id, e);
    if (!rc)
        rc = accept_set(&op->kind, op_kind_name(OP_CREATE), e);
    if (!rc)
        rc = accept_set(&op->cluster_id, c->uuid, e);
    if (!rc)
        rc = accept_set(&op->cluster_name, c->name, e);
    if (!rc)
        rc = accept_set(&op->project_id, c->project_id, e);
    if (!rc && !op->user_id)
        rc = accept_set(&op->user_id, c->user_id, e);
    if (!rc && !op->driver_id)
        rc = accept_set(&op->driver_id, c->driver_id, e);
    if (!rc && !op->driver_version)
        rc = accept_set(&op->driver_version, c->driver_version, e);
    op->generation = c->generation;
    return rc;
}

static int last_trip(struct sql_tx *tx, const struct create *x, int64_t now, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    json_decref(x->op->spec);
    x->op->spec = spec_build(x->c, x->t, x->ngs, x->n_ngs, x->params);
    if (!x->op->spec)
        return err_nomem(e);
    int rc = queue_operation(tx, x->op, now, &p, &r, e);
    if (!rc)
        rc = x->idem && x->idem->dry_run ? tx_flush(tx, NULL, e) : tx_commit(tx, e);
    if (!rc)
        x->op->created_at = row_time(r, 0, 0);
    return rc;
}

static int create_once(struct db *db, const struct create *x, bool alone, bool *ret_near,
                       struct err *e)
{
    int64_t now = TIME_UNSET;
    *ret_near = false;
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = tx_open(db, &tx, e);
    if (!rc)
        rc = accept_claim(&tx, x->c->project_id, x->c->uuid, x->idem, e);
    if (rc || (x->idem && x->idem->key && x->idem->replayed))
        return rc;
    struct create_trip trip = {.group_p = NULL};
    rc = first_trip(&tx, x, alone, &trip, e);
    if (!rc)
        rc = read_trip(x, &trip, &now, ret_near, e);
    trip_done(&trip, x->n_ngs);
    return rc ? rc : last_trip(&tx, x, now, e);
}

int db_accept_create(struct db *db, struct cluster *c, const struct template *t,
                     struct nodegroup *ngs, size_t n_ngs, struct operation *op,
                     const json_t *params, int64_t quota_default, struct db_idempotency *idem,
                     struct err *e)
{
    struct create x = {c, t, ngs, n_ngs, op, params, quota_default, idem};
    bool near = false;
    int rc = complete(c, ngs, n_ngs, op, e);
    if (!rc)
        rc = create_once(db, &x, false, &near, e);
    return near ? create_once(db, &x, true, &near, e) : rc;
}

/* --- without a driver --- */

int db_accept_health(struct db *db, const char *cluster_uuid, const char *health_status,
                     const json_t *reason, struct err *e)
{
    static const struct sql_stmt lock = {"health_lock",
                                         "SELECT status FROM cluster WHERE uuid = $1 FOR UPDATE"};
    static const struct sql_stmt update = {
        "health_set", "UPDATE cluster SET health_status = $2, health_status_reason = $3::json,"
                      " health_at = now(), updated_at = now() WHERE uuid = $1"};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    int rc = tx_begin(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &lock, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Cluster %s could not be found.", cluster_uuid);
    if (!status_updatable(row_str(r, 0, 0)))
        return err_set(e, ERR_UNSUPPORTED,
                       "Updating a cluster when status is \"%s\" is not supported.",
                       row_str(r, 0, 0));
    param_str(&p, health_status);
    param_json(&p, reason);
    rc = tx_run(&tx, &update, &p, NULL, e);
    return rc ? rc : tx_commit(&tx, e);
}

int db_accept_cancel(struct db *db, const char *operation_id, const char *actor, struct err *e)
{
    static const struct sql_stmt cancel = {
        "cancel",
        "WITH o AS (SELECT id, finished_at IS NULL AS unfinished FROM operation"
        " WHERE id = $1 FOR UPDATE),"
        " u AS (UPDATE operation p SET cancel_requested = true, due_at = now(), updated_at = now()"
        " FROM o WHERE p.id = o.id AND o.unfinished AND NOT p.cancel_requested RETURNING p.*),"
        " ev AS (INSERT INTO operation_event (operation_id, cluster_id, project_id, code, actor,"
        " percent, message) SELECT id, cluster_id, project_id, $3::text, $2::text,"
        " percent, 'cancel requested' FROM u)"
        " SELECT unfinished FROM o"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, operation_id);
    param_str(&p, actor);
    param_str(&p, event_text(EVENT_CANCEL_REQUESTED));
    int rc = sql_write(db, &cancel, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Operation %s could not be found.", operation_id);
    if (!row_bool(r, 0, 0))
        return err_set(e, ERR_CONFLICT, "Operation %s has ended already.", operation_id);
    return 0;
}
