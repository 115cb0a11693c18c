/* db_op_finish: the end of an operation, in one transaction (see db_operation.h). Locks: cluster,
 * then operation, as everywhere. A superseded operation ends CANCELLED whatever it achieved and
 * leaves the cluster to its successor. */
#include "op_internal.h"

#include <string.h>

struct finish {
    struct sql_tx *tx;
    const struct op_guard *guard;
    const struct op_finish *f;
    char *cluster; /* uuid of the locked row, NULL when it is gone; owned */
    char *nodegroup;
    bool superseded, queued; /* queued: another accepted operation waits for this one's end */
};

static int lock_operation(struct finish *x, struct err *e)
{
    static const struct sql_stmt lock = {
        "finish_lock",
        "SELECT o.nodegroup_id, o.superseded_by IS NOT NULL, EXISTS (SELECT FROM operation q"
        " WHERE q.cluster_id = o.cluster_id AND q.id <> o.id AND q.superseded_by IS NULL"
        " AND q.finished_at IS NULL)"
        " FROM operation o WHERE " LEASE_ALIVE " FOR UPDATE"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    guard_params(&p, x->guard);
    int rc = tx_run(x->tx, &lock, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return fenced(x->guard->id, e);
    const char *group = row_str(r, 0, 0);
    x->nodegroup = str_dup(group);
    if (group && !x->nodegroup)
        return err_nomem(e);
    x->superseded = row_bool(r, 0, 1);
    x->queued = row_bool(r, 0, 2);
    return 0;
}

static int end_operation(struct finish *x, struct err *e)
{
    static const struct sql_stmt end = {
        "finish_operation",
        "WITH u AS (UPDATE operation o SET status = CASE WHEN o.superseded_by IS NULL THEN $2"
        " ELSE 'CANCELLED' END, percent = CASE WHEN o.superseded_by IS NULL AND $2 = 'SUCCEEDED'"
        " THEN 100 ELSE greatest(o.percent, $11::bigint) END,"
        " code = CASE WHEN o.superseded_by IS NULL THEN $3 ELSE o.code END,"
        " reason = CASE WHEN o.superseded_by IS NULL THEN $4 ELSE o.reason END,"
        " remedy = $5, actor = $6, blocked_since = NULL, lease_owner = NULL, lease_until = NULL,"
        " token_sealed = NULL,"
        " attempt = coalesce($8::bigint, o.attempt),"
        " host_failures = coalesce($9::bigint, o.host_failures),"
        " steps = coalesce($10::bigint, o.steps), report = " REPORT_ERROR(
            "$12", "$13") ","
                          " finished_at = now(), updated_at = now() WHERE o.id = $1 RETURNING "
                          "o.*) " EVENTS_OF("u", "$7")};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->guard->id);
    param_str(&p, x->f->status);
    param_str(&p, x->f->code);
    param_str(&p, x->f->reason);
    param_str(&p, x->f->remedy);
    param_str(&p, x->f->actor);
    int rc = events_param(&p, x->f->events, x->f->n_events, e);
    param_int(&p, x->f->attempt);
    param_int(&p, x->f->host_failures);
    param_int(&p, x->f->steps);
    param_int(&p, x->f->percent);
    param_str(&p, x->f->gave_up_code);
    param_str(&p, x->f->gave_up_reason);
    return rc ? rc : tx_run(x->tx, &end, &p, NULL, e);
}

/* A driver that said no at once has changed nothing: neither has the request. */
static int undo(struct finish *x, struct err *e)
{
    static const struct sql_stmt back = {
        "finish_undo",
        "WITH o AS (SELECT o.cluster_id, o.nodegroup_id, o.undo FROM operation o JOIN cluster k"
        " ON k.uuid = o.cluster_id AND k.generation = o.generation WHERE o.id = $1"
        " AND o.undo IS NOT NULL), g AS (UPDATE nodegroup n SET"
        " node_count = (o.undo->>'node_count')::bigint, updated_at = now() FROM o"
        " WHERE n.uuid = o.nodegroup_id AND o.undo->>'node_count' IS NOT NULL)"
        " UPDATE cluster c SET cluster_template_id = o.undo->>'template',"
        " labels = o.undo->'labels' FROM o WHERE c.uuid = o.cluster_id"
        " AND o.undo->>'template' IS NOT NULL"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->guard->id);
    return tx_run(x->tx, &back, &p, NULL, e);
}

/* --- the cluster --- */

/* The ledger goes away with the cluster: what it still names is kept with the operation. */
static int report(struct finish *x, struct err *e)
{
    static const struct sql_stmt left = {
        "finish_report",
        "WITH l AS (SELECT count(*) AS n, coalesce(json_agg(json_build_object('kind', kind, 'name',"
        " name, 'state', state, 'external_id', external_id) ORDER BY id), '[]') AS list,"
        " array_to_string((array_agg(kind || ' ' || name ORDER BY id))[1:5], ', ') AS names"
        " FROM ledger WHERE cluster_id = $2),"
        " u AS (UPDATE operation o SET code = $3, actor = $4, remedy = $5,"
        " reason = l.n || ' resources were left behind' || CASE WHEN l.n = 0 THEN ''"
        " WHEN l.n > 5 THEN ': ' || l.names || ', ...' ELSE ': ' || l.names END"
        " || coalesce('; given up: ' || (o.report->'error'->>'reason'), ''),"
        " report = json_build_object('error', o.report->'error', 'left_behind', l.list)"
        " FROM l WHERE o.id = $1 AND (l.n > 0 OR o.report IS NOT NULL) RETURNING o.*)"
        " INSERT INTO operation_event (operation_id, cluster_id, project_id, code, percent, actor,"
        " request_id, message, remedy) SELECT id, cluster_id, project_id, $6, percent, actor,"
        " request_id, reason, remedy FROM u"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->guard->id);
    param_str(&p, x->cluster);
    code_params(&p, CODE_LEFT_BEHIND);
    param_str(&p, event_text(EVENT_ENDED_LEFT_BEHIND));
    return tx_run(x->tx, &left, &p, NULL, e);
}

static int remove_cluster(struct finish *x, struct err *e)
{
    /* key pairs: the ones referred to, and the ones made by a create that died before it said so;
     * '0' follows '/' */
    static const struct sql_stmt remove = {
        "finish_remove",
        "WITH g AS (DELETE FROM nodegroup WHERE cluster_id = $1),"
        " l AS (DELETE FROM ledger WHERE cluster_id = $1),"
        " ob AS (DELETE FROM observation WHERE cluster_id = $1),"
        " ro AS (DELETE FROM cluster_rotation WHERE cluster_id = $1),"
        " tk AS (UPDATE operation SET token_sealed = NULL WHERE cluster_id = $1"
        " AND token_sealed IS NOT NULL),"
        " k AS (DELETE FROM x509keypair WHERE id IN (SELECT x.id FROM x509keypair x"
        " JOIN cluster c ON c.uuid = $1 AND x.uuid IN (c.ca_cert_ref, c.magnum_cert_ref,"
        " c.etcd_ca_cert_ref, c.front_proxy_ca_cert_ref) UNION SELECT y.id FROM x509keypair y"
        " WHERE y.derived_key >= $1 || '/' AND y.derived_key < $1 || '0'))"
        " DELETE FROM cluster WHERE uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->cluster);
    int rc = report(x, e);
    return rc ? rc : tx_run(x->tx, &remove, &p, NULL, e);
}

static int remove_nodegroup(struct finish *x, struct err *e)
{
    static const struct sql_stmt remove = {
        "finish_remove_group",
        "DELETE FROM nodegroup WHERE cluster_id = $1 AND uuid = $2 AND NOT is_default"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->cluster);
    param_str(&p, x->nodegroup);
    return tx_run(x->tx, &remove, &p, NULL, e);
}

/* The groups in progress get the end of what each of them was in: a group of a superseded
 * operation too, since its successor brought the whole cluster to the wanted state. Those of
 * operations still waiting go on. */
static int end_groups(struct finish *x, struct err *e)
{
    static const struct sql_stmt end = {
        "finish_groups",
        "UPDATE nodegroup SET status = CASE WHEN $2 = 'ROLLBACK' AND status ="
        " 'UPDATE_IN_PROGRESS' THEN 'ROLLBACK' ELSE left(status, -12) END || $3,"
        " status_reason = $4, updated_at = now()"
        " WHERE cluster_id = $1 AND right(status, 12) = '_IN_PROGRESS' AND uuid NOT IN"
        " (SELECT q.nodegroup_id FROM operation q WHERE q.cluster_id = $1"
        " AND q.superseded_by IS NULL AND q.finished_at IS NULL"
        " AND q.nodegroup_id IS NOT NULL)"};
    const char *suffix = x->f->nodegroup_status ? strrchr(x->f->nodegroup_status, '_') : NULL;
    if (!suffix)
        return 0;
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->cluster);
    param_str(&p, str_starts(x->f->nodegroup_status, "ROLLBACK_") ? "ROLLBACK" : "");
    param_str(&p, suffix);
    param_str(&p, x->f->status_reason);
    return tx_run(x->tx, &end, &p, NULL, e);
}

/* The cluster's status moves only along the transition table. While another operation waits it
 * stays in progress; the reason is shown already. */
static int end_cluster(struct finish *x, const char *to, const char *reason, struct err *e)
{
    static const struct sql_stmt end = {
        "finish_cluster", "UPDATE cluster SET status = CASE WHEN $5::boolean THEN status ELSE $2"
                          " END, status_reason = $3, updated_at = now()"
                          " WHERE uuid = $1 AND status = ANY ($4::text[])"};
    const char *from[32];
    size_t n = 0;
    for (const char *const *s = status_allowed_from(to); *s && n + 1 < ARRAY_LEN(from); s++)
        from[n++] = *s;
    /* a rollback passes through its own progress without being seen there */
    if (str_starts(to, "ROLLBACK_"))
        from[n++] = "UPDATE_IN_PROGRESS";
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->cluster);
    param_str(&p, to);
    param_str(&p, reason);
    param_list(&p, from, n);
    param_bool(&p, x->queued);
    return tx_run(x->tx, &end, &p, NULL, e);
}

/* An operation that ended well does not hide that a group has failed before. */
static int end_cluster_as_groups(struct finish *x, struct err *e)
{
    static const struct sql_stmt get = {
        "finish_group_statuses",
        "SELECT DISTINCT status, (SELECT string_agg(name || ' failed', ', ' ORDER BY name)"
        " FROM nodegroup WHERE cluster_id = $1 AND right(status, 7) = '_FAILED')"
        " FROM nodegroup WHERE cluster_id = $1"};
    const char *to = x->f->cluster_status, *statuses[32];
    if (!to || !str_ends(to, "_COMPLETE") || str_starts(to, "ROLLBACK_"))
        return to ? end_cluster(x, to, x->f->status_reason, e) : 0;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, x->cluster);
    int rc = tx_run(x->tx, &get, &p, &r, e);
    if (rc)
        return rc;
    size_t n = 0;
    for (int i = 0; i < PQntuples(r) && n < ARRAY_LEN(statuses); i++)
        statuses[n++] = row_str(r, i, 0);
    const char *as = status_from_groups(to, statuses, n);
    const char *reason = status_failed(as) ? row_str(r, 0, 1) : x->f->status_reason;
    return end_cluster(x, status_in_progress(as) ? to : as, reason, e);
}

/* Who waited was accepted against rows that have changed since. */
static int refresh_queued(struct finish *x, struct err *e)
{
    static const struct sql_stmt waiting = {
        "finish_waiting", "SELECT id, kind, spec->'params' FROM operation WHERE cluster_id = $1"
                          " AND superseded_by IS NULL AND finished_at IS NULL ORDER BY generation"};
    static const struct sql_stmt refresh = {
        "finish_refresh", "UPDATE operation SET spec = $2::json, prior = $3::json,"
                          " due_at = least(due_at, now()), updated_at = now() WHERE id = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    _cleanup_json_ json_t *prior = NULL;
    param_str(&p, x->cluster);
    int rc = tx_run(x->tx, &waiting, &p, &r, e);
    if (!rc)
        rc = wanted_prior(x->tx, x->cluster, &prior, e);
    for (int i = 0; !rc && i < PQntuples(r); i++) {
        enum op_kind kind = OP_UPDATE;
        (void)op_kind_parse(row_str(r, i, 1), &kind);
        _cleanup_json_ json_t *params = NULL, *spec = NULL;
        _cleanup_params_ struct sql_params u = {.n = 0};
        rc = row_json(r, i, 2, &params, e);
        if (!rc)
            rc = wanted_spec(x->tx, x->cluster, kind, params, &spec, e);
        if (rc)
            break;
        param_str(&u, row_str(r, i, 0));
        param_json(&u, spec);
        param_json(&u, prior);
        rc = tx_run(x->tx, &refresh, &u, NULL, e);
    }
    return rc;
}

static int look_soon(struct finish *x, struct err *e)
{
    static const struct sql_stmt look = {
        "finish_look", "UPDATE observation SET due_at = now() WHERE cluster_id = $1"
                       " AND due_at > now() AND due_at <> 'infinity'"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, x->cluster);
    return tx_run(x->tx, &look, &p, NULL, e);
}

static int settle_cluster(struct finish *x, struct err *e)
{
    if (x->f->remove_cluster)
        return remove_cluster(x, e);
    int rc = x->f->remove_nodegroup ? remove_nodegroup(x, e) : 0;
    if (!rc && json_object_size(x->f->outputs))
        rc = outputs_store(x->tx, x->cluster, x->guard->id, str_eq(x->f->status, OPS_SUCCEEDED),
                           x->f->outputs, e);
    if (!rc && x->f->refused)
        rc = undo(x, e);
    if (!rc)
        rc = end_groups(x, e);
    if (!rc)
        rc = end_cluster_as_groups(x, e);
    if (!rc && x->queued)
        rc = refresh_queued(x, e);
    return rc ? rc : look_soon(x, e);
}

static int finish(struct finish *x, struct err *e)
{
    int rc = op_lock_cluster(x->tx, x->guard->id, &x->cluster, e);
    if (!rc)
        rc = lock_operation(x, e);
    if (!rc)
        rc = end_operation(x, e);
    if (!rc && x->cluster && !x->superseded)
        rc = settle_cluster(x, e);
    return rc ? rc : tx_commit(x->tx, e);
}

int db_op_finish(struct db *db, const struct op_guard *g, const struct op_finish *f, struct err *e)
{
    if (!op_status_final(f->status))
        return err_set(e, ERR_INTERNAL, "operation %s can't end as \"%s\"", g->id,
                       f->status ? f->status : "");
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    struct finish x = {.tx = &tx, .guard = g, .f = f};
    int rc = tx_begin(db, &tx, e);
    if (!rc)
        rc = finish(&x, e);
    free(x.cluster);
    free(x.nodegroup);
    return rc;
}
