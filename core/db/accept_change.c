/* db_accept_change: everything accepted for a cluster that exists (see db_accept.h).
 *
 * Two requests for one cluster either replace each other or wait for each other. A delete replaces
 * all. An update or resize replaces unfinished updates and resizes: the rows hold the sum of both
 * wishes and the spec is always the full wanted state, so nothing is lost; only a resize that names
 * the nodes to remove is not replaced, since the names are in no row. Everything else (a group
 * created while another one is, a resize during a rotation) queues: it is leased when its elders
 * have ended, since dropping the elder would lose an accepted request. */
#include "accept_internal.h"
#include "base/uuid.h"
#include "op_internal.h"
#include "quota_internal.h"

#include <string.h>

struct change {
    struct sql_tx *tx;
    struct operation *op;
    const struct db_change *ch;
    enum op_kind kind;
    struct cluster cluster; /* as locked */
    bool dry_run;
    int64_t now;
};

static int lock_cluster(struct change *x, const char *uuid, struct err *e)
{
    static const struct sql_stmt lock = {
        "change_lock", "SELECT {c.cluster}, now() FROM cluster c WHERE c.uuid = $1 FOR UPDATE"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, uuid);
    int rc = tx_run(x->tx, &lock, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Cluster %s could not be found.", uuid);
    x->now = row_time(r, 0, row_cluster.n);
    return row_read(r, 0, 0, &row_cluster, &x->cluster, e);
}

static int load_operation(struct change *x, const char *id, struct err *e)
{
    static const struct sql_stmt get = {"change_replayed",
                                        "SELECT {o.operation} FROM operation o WHERE o.id = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, id);
    int rc = tx_run(x->tx, &get, &p, &r, e);
    if (rc || PQntuples(r) == 0)
        return rc;
    return ROW_ONE(operation, r, x->op, e);
}

/* The delete that is under way, if any, becomes the answer; a forced one forces it. */
static int join_delete(struct change *x, bool *ret_joined, struct err *e)
{
    static const struct sql_stmt join = {
        "change_join_delete",
        "WITH was AS (SELECT id, force FROM operation WHERE cluster_id = $1 AND kind = 'delete'"
        " AND superseded_by IS NULL AND finished_at IS NULL FOR UPDATE),"
        " u AS (UPDATE operation o SET force = o.force OR $2::boolean,"
        " due_at = CASE WHEN $2 AND NOT o.force THEN least(o.due_at, now()) ELSE o.due_at END,"
        " updated_at = now() FROM was WHERE o.id = was.id RETURNING o.*),"
        " ev AS (INSERT INTO operation_event (operation_id, cluster_id, project_id, code, percent,"
        " request_id, message) SELECT u.id, u.cluster_id, u.project_id, $3, u.percent, $4,"
        " 'delete made a forced one' FROM u JOIN was ON was.id = u.id WHERE $2 AND NOT was.force)"
        " SELECT {u.operation} FROM u"};
    *ret_joined = false;
    if (x->kind != OP_DELETE)
        return 0;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, x->cluster.uuid);
    param_bool(&p, x->op->force);
    param_str(&p, event_text(EVENT_FORCE_REQUESTED));
    param_str(&p, x->op->request_id);
    int rc = tx_run(x->tx, &join, &p, &r, e);
    if (rc || PQntuples(r) == 0)
        return rc;
    *ret_joined = true;
    return ROW_ONE(operation, r, x->op, e);
}

/* Magnum's precondition on the cluster's status, and its words (validation.md 10). */
static int check_status(const struct change *x, struct err *e)
{
    const char *s = x->cluster.status;
    switch (x->kind) {
    case OP_DELETE:
        return 0;
    case OP_UPDATE:
    case OP_ROTATE_CA:
    case OP_UPGRADE:
        if (status_updatable(s))
            return 0;
        return err_set(e, ERR_UNSUPPORTED, "%s a cluster when status is \"%s\" is not supported.",
                       x->kind == OP_UPGRADE ? "Upgrading" : "Updating", s);
    case OP_SCALE:
        if (status_resizable(s))
            return 0;
        return err_set(e, ERR_UNSUPPORTED,
                       "Resizing a cluster when status is \"%s\" is not supported.", s);
    case OP_ROTATE_CREDENTIAL:
        if (status_resizable(s))
            return 0;
        return err_set(e, ERR_UNSUPPORTED,
                       "Rotating credentials when cluster status is \"%s\" is not supported.", s);
    case OP_NODEGROUP_CREATE:
    case OP_NODEGROUP_UPDATE:
    case OP_NODEGROUP_DELETE:
        if (status_transition_allowed(s, status_on_accept(x->kind)))
            return 0;
        return err_set(e, ERR_UNSUPPORTED, "%s when nodegroup status is \"%s\" is not supported.",
                       op_kind_name(x->kind), s);
    case OP_CREATE:
    case OP_HEALTH:
    case OP_KIND_END:
        break;
    }
    return err_set(e, ERR_INTERNAL, "operation kind \"%s\" is no change of a cluster", x->op->kind);
}

/* --- what waits and what goes --- */

#define NAMES_NODES                                                                                \
    "coalesce(CASE json_typeof(o.spec->'params'->'nodes_to_remove') WHEN 'array'"                  \
    " THEN json_array_length(o.spec->'params'->'nodes_to_remove') > 0 END, false)"
static int supersede(struct change *x, struct err *e)
{
    /* an operation under a live lease ends when its runner notices; EvalPlanQual looks at the
     * newest version of the row, so a lease taken a moment ago counts */
    static const struct sql_stmt replace = {
        "change_supersede",
        "WITH ended AS (UPDATE operation o SET superseded_by = $2, cancel_requested = true,"
        " updated_at = now(),"
        " status = CASE WHEN o.lease_until > clock_timestamp() THEN o.status ELSE 'CANCELLED' END,"
        " finished_at = CASE WHEN o.lease_until > clock_timestamp() THEN NULL ELSE now() END,"
        " lease_owner = CASE WHEN o.lease_until > clock_timestamp() THEN o.lease_owner END,"
        " lease_until = CASE WHEN o.lease_until > clock_timestamp() THEN o.lease_until END,"
        " blocked_since = CASE WHEN o.lease_until > clock_timestamp() THEN o.blocked_since END,"
        " code = $4, actor = $5, remedy = $6, reason = 'superseded by operation ' || $2"
        " WHERE o.cluster_id = $1 AND o.finished_at IS NULL AND o.superseded_by IS NULL"
        " AND ($3::text[] IS NULL OR o.kind = ANY ($3) AND NOT " NAMES_NODES ") RETURNING o.*)"
        " INSERT INTO operation_event (operation_id, cluster_id, project_id, code, percent,"
        " request_id, message, actor, remedy) SELECT id, cluster_id, project_id,"
        " CASE status WHEN 'CANCELLED' THEN $7 ELSE $8 END, percent,"
        " request_id, reason, actor, remedy FROM ended"};
    static const char *const replaceable[] = {"update", "scale"};
    if (x->kind != OP_DELETE && x->kind != OP_UPDATE && x->kind != OP_SCALE)
        return 0;
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->cluster.uuid);
    param_str(&p, x->op->id);
    if (x->kind == OP_DELETE)
        param_str(&p, NULL);
    else
        param_list(&p, replaceable, ARRAY_LEN(replaceable));
    code_params(&p, CODE_SUPERSEDED);
    param_str(&p, event_text(EVENT_ENDED_CANCELLED));
    param_str(&p, event_text(EVENT_SUPERSEDE_REQUESTED));
    return tx_run(x->tx, &replace, &p, NULL, e);
}

/* --- rows --- */

/* What a refusal puts back (op_finish.c). */
static int remember(struct change *x, json_t *undo, struct err *e)
{
    json_decref(x->op->undo);
    x->op->undo = undo;
    return undo ? 0 : err_nomem(e);
}

static int remember_template(struct change *x, struct err *e)
{
    const struct cluster *c = &x->cluster;
    return remember(
        x, json_pack("{s:s, s:O?}", "template", c->cluster_template_id, "labels", c->labels), e);
}

static int update_cluster(struct change *x, struct err *e)
{
    static const struct sql_stmt update = {
        "change_cluster",
        "UPDATE cluster SET status = $2, generation = $3::bigint,"
        /* why an elder is blocked goes on being shown */
        " status_reason = CASE WHEN EXISTS (SELECT FROM operation o WHERE o.cluster_id = $1"
        " AND o.finished_at IS NULL AND o.superseded_by IS NULL AND o.status = 'BLOCKED')"
        " THEN status_reason END,"
        " cluster_template_id = coalesce($4, cluster_template_id),"
        " labels = coalesce($5::json, labels), updated_at = now() WHERE uuid = $1"};
    /* new labels may name, or no longer name, an agent that reports the health itself */
    static const struct sql_stmt observe = {
        "change_observation",
        "UPDATE observation o SET due_at = CASE WHEN " OBSERVED_BY_AGENT(
            "c.labels") " THEN 'infinity' ELSE least(o.due_at, now() + interval '60 seconds') END"
                        " FROM cluster c WHERE c.uuid = $1 AND o.cluster_id = c.uuid"};
    int rc = 0;
    if (x->ch->template_uuid)
        rc = accept_lock_template(x->tx, x->ch->template_uuid, &x->now, e);
    if (rc)
        return rc;
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->cluster.uuid);
    param_str(&p, status_on_accept(x->kind));
    param_int(&p, x->op->generation);
    param_str(&p, x->ch->template_uuid);
    param_json(&p, x->ch->labels);
    rc = tx_run(x->tx, &update, &p, NULL, e);
    if (!rc && x->kind == OP_UPGRADE)
        rc = remember_template(x, e);
    if (rc || !x->ch->labels)
        return rc;
    _cleanup_params_ struct sql_params uuid = {.n = 0};
    param_str(&uuid, x->cluster.uuid);
    return tx_run(x->tx, &observe, &uuid, NULL, e);
}

/* Every group, each only if the transition table allows it; a delete asks nobody. */
static int mark_all(struct change *x, struct err *e)
{
    static const struct sql_stmt mark = {"change_all_groups",
                                         "UPDATE nodegroup SET status = $2, status_reason = NULL,"
                                         " updated_at = now() WHERE cluster_id = $1"
                                         " AND ($3::text[] IS NULL OR status = ANY ($3))"};
    const char *status = status_on_accept(x->kind);
    const char *const *from = status_allowed_from(status);
    size_t n = 0;
    while (from[n])
        n++;
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->cluster.uuid);
    param_str(&p, status);
    if (x->kind == OP_DELETE)
        param_str(&p, NULL);
    else
        param_list(&p, from, n);
    return tx_run(x->tx, &mark, &p, NULL, e);
}

static int find_group(struct change *x, struct nodegroup *ret, struct err *e)
{
    static const struct sql_stmt named = {
        "change_group", "SELECT {n.nodegroup} FROM nodegroup n WHERE n.cluster_id = $1"
                        " AND (n.uuid = $2 OR n.name = $3)"};
    static const struct sql_stmt worker = {
        "change_worker", "SELECT {n.nodegroup} FROM nodegroup n WHERE n.cluster_id = $1"
                         " AND n.is_default AND n.role <> 'master' ORDER BY n.id LIMIT 1"};
    const char *ident = x->ch->nodegroup;
    char uuid[UUID_TEXT];
    bool is_uuid = ident && uuid_like(ident, uuid);
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, x->cluster.uuid);
    if (ident) {
        param_str(&p, is_uuid ? uuid : NULL);
        param_str(&p, is_uuid ? NULL : ident);
    }
    int rc = tx_run(x->tx, ident ? &named : &worker, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Nodegroup %s could not be found.",
                       ident ? ident : "default-worker");
    return row_read(r, 0, 0, &row_nodegroup, ret, e);
}

static int check_group(const struct change *x, const struct nodegroup *n, struct err *e)
{
    if (x->kind == OP_NODEGROUP_UPDATE && !status_resizable(n->status))
        return err_set(e, ERR_UNSUPPORTED, "%s when nodegroup status is \"%s\" is not supported.",
                       op_kind_name(x->kind), x->cluster.status);
    if (x->kind == OP_NODEGROUP_DELETE && n->is_default)
        return err_set(e, ERR_UNSUPPORTED, "Deleting a default nodegroup is not supported.");
    return 0;
}

/* One group is meant: what the request says about it, and its status where the table allows. */
static int touch_group(struct change *x, struct err *e)
{
    static const struct sql_stmt update = {
        "change_touch_group",
        "UPDATE nodegroup SET node_count = coalesce($2::bigint, node_count),"
        " min_node_count = coalesce($3::bigint, min_node_count),"
        " max_node_count = CASE WHEN $4::boolean THEN NULL"
        " ELSE coalesce($5::bigint, max_node_count) END,"
        " node_labels = coalesce($6::json, node_labels),"
        " node_taints = coalesce($7::json, node_taints),"
        " status = $8, status_reason = CASE WHEN status = $8 THEN status_reason END,"
        " updated_at = now() WHERE uuid = $1"};
    const struct db_change *ch = x->ch;
    struct nodegroup n;
    nodegroup_init(&n);
    int rc = find_group(x, &n, e);
    if (!rc)
        rc = check_group(x, &n, e);
    if (!rc)
        rc = accept_set(&x->op->nodegroup_id, n.uuid, e);
    if (!rc && ch->node_count != MODEL_UNSET)
        rc = remember(x, json_pack("{s:I}", "node_count", (json_int_t)n.node_count), e);
    if (!rc) {
        const char *to =
            x->kind == OP_NODEGROUP_DELETE ? "DELETE_IN_PROGRESS" : status_on_accept(x->kind);
        _cleanup_params_ struct sql_params p = {.n = 0};
        param_str(&p, n.uuid);
        param_int(&p, ch->node_count);
        param_int(&p, ch->min_node_count);
        param_bool(&p, ch->clear_max);
        param_int(&p, ch->max_node_count);
        param_json(&p, ch->node_labels);
        param_json(&p, ch->node_taints);
        param_str(&p, status_transition_allowed(n.status, to) ? to : n.status);
        rc = tx_run(x->tx, &update, &p, NULL, e);
    }
    nodegroup_done(&n);
    return rc;
}

static int add_group(struct change *x, struct err *e)
{
    if (!x->ch->add)
        return err_set(e, ERR_INTERNAL, "nodegroup_create without a nodegroup");
    /* a shallow copy: only the members set here are owned by it */
    struct nodegroup n = *x->ch->add;
    char uuid[UUID_TEXT], status[] = "CREATE_IN_PROGRESS", role[] = "worker";
    if (str_blank(n.uuid)) {
        uuid_make(uuid);
        n.uuid = uuid;
    }
    n.cluster_id = x->cluster.uuid;
    n.project_id = x->cluster.project_id;
    n.status = status;
    n.status_reason = NULL;
    if (!n.role)
        n.role = role;
    int rc = accept_nodegroup(x->tx, &n, x->cluster.name, e);
    return rc ? rc : accept_set(&x->op->nodegroup_id, n.uuid, e);
}

static int change_groups(struct change *x, struct err *e)
{
    switch (x->kind) {
    case OP_DELETE:
        return mark_all(x, e);
    case OP_NODEGROUP_CREATE:
        return add_group(x, e);
    case OP_NODEGROUP_UPDATE:
    case OP_NODEGROUP_DELETE:
    case OP_SCALE:
        return touch_group(x, e);
    case OP_UPGRADE:
        return x->ch->nodegroup ? touch_group(x, e) : mark_all(x, e);
    case OP_UPDATE:
        return x->ch->nodegroup || x->ch->node_count != MODEL_UNSET ? touch_group(x, e) : 0;
    case OP_CREATE:
    case OP_HEALTH:
    case OP_ROTATE_CA:
    case OP_ROTATE_CREDENTIAL:
    case OP_KIND_END:
        break;
    }
    return 0;
}

/* The operation belongs to the cluster's project, whoever asked. */
static int complete_operation(struct change *x, struct err *e)
{
    struct operation *op = x->op;
    const struct cluster *c = &x->cluster;
    int rc = accept_set(&op->cluster_id, c->uuid, e);
    if (!rc)
        rc = accept_set(&op->cluster_name, c->name, e);
    if (!rc)
        rc = accept_set(&op->project_id, c->project_id, e);
    if (!rc && !op->driver_id)
        rc = accept_set(&op->driver_id, c->driver_id, e);
    if (!rc && !op->driver_version)
        rc = accept_set(&op->driver_version, c->driver_version, e);
    op->generation = c->generation + 1;
    return rc;
}

/* change_groups, within the project's quotas. */
static int change_groups_within(struct change *x, struct err *e)
{
    _cleanup_quota_ struct quota_guard before = {.lock = NULL};
    bool grows = x->kind == OP_NODEGROUP_CREATE || x->ch->node_count != MODEL_UNSET;
    int rc = grows ? quota_before(x->tx, &before, x->cluster.project_id, x->cluster.uuid, e) : 0;
    if (!rc)
        rc = change_groups(x, e);
    return rc || !grows ? rc
                        : quota_after(x->tx, &before, x->cluster.project_id, x->cluster.uuid, e);
}

static int apply(struct change *x, struct err *e)
{
    int rc = supersede(x, e);
    if (!rc)
        rc = complete_operation(x, e);
    if (!rc)
        rc = update_cluster(x, e);
    if (!rc)
        rc = change_groups_within(x, e);
    if (rc)
        return rc;
    json_decref(TAKE_PTR(x->op->spec));
    json_decref(TAKE_PTR(x->op->prior));
    rc = wanted_spec(x->tx, x->cluster.uuid, x->kind, x->ch->params, &x->op->spec, e);
    if (!rc)
        rc = wanted_prior(x->tx, x->cluster.uuid, &x->op->prior, e);
    if (!rc)
        rc = accept_operation(x->tx, x->op, x->now, e);
    return rc || x->dry_run ? rc : tx_commit(x->tx, e);
}

static int accept(struct change *x, const char *cluster_uuid, struct db_idempotency *idem,
                  struct err *e)
{
    bool joined = false;
    int rc = accept_uuid(&x->op->id, e);
    if (!rc)
        rc = lock_cluster(x, cluster_uuid, e);
    if (!rc)
        rc = join_delete(x, &joined, e);
    if (!rc)
        rc = accept_claim(x->tx, x->cluster.project_id, x->op->id, idem, e);
    if (rc)
        return rc;
    if (idem && idem->key && idem->replayed)
        return load_operation(x, idem->resource, e);
    if (joined)
        return x->dry_run ? 0 : tx_commit(x->tx, e);
    rc = check_status(x, e);
    return rc ? rc : apply(x, e);
}

int db_accept_change(struct db *db, const char *cluster_uuid, struct operation *op,
                     const struct db_change *ch, struct db_idempotency *idem, struct err *e)
{
    static const struct db_change nothing = DB_CHANGE_INIT;
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    struct change x = {
        .tx = &tx, .op = op, .ch = ch ? ch : &nothing, .dry_run = idem && idem->dry_run};
    if (!op_kind_parse(op->kind, &x.kind))
        return err_set(e, ERR_INTERNAL, "unknown operation kind \"%s\"", op->kind ? op->kind : "");
    int rc = tx_begin(db, &tx, e);
    if (rc)
        return rc;
    cluster_init(&x.cluster);
    rc = accept(&x, cluster_uuid, idem, e);
    cluster_done(&x.cluster);
    return rc;
}
