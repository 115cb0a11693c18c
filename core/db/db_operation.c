/* The reads and the steps of db_operation.h; op_lease.c leases, op_finish.c ends operations,
 * op_outputs.c stores what drivers publish. A statement that changes one operation takes its row
 * lock itself; one that also changes the cluster locks the cluster first, as accepting does, so
 * that the two can't deadlock.
 */
#include "db/db_operation.h"

#include "cluster_internal.h"
#include "op_internal.h"
#include "page_internal.h"
#include "wanted_internal.h"

#include <string.h>

static const char *const not_null[] = {"created_at", NULL};
static const struct page_source operations = {
    .table = "operation",
    .alias = "o",
    .entity = &row_operation,
    .marker = "id",
    .missing_before = "Operation ",
    .missing_after = " could not be found.",
    .not_null = not_null,
};

int fenced(const char *id, struct err *e)
{
    return err_set(e, ERR_FENCED, "operation %s is no longer leased to this conductor", id);
}

void guard_params(struct sql_params *p, const struct op_guard *g)
{
    param_str(p, g->id);
    param_str(p, g->owner);
    param_int(p, g->fence);
}

int guarded(const PGresult *r, const struct op_guard *g, struct err *e)
{
    return row_int(r, 0, 0, 0) ? 0 : fenced(g->id, e);
}

/* --- reads --- */

static int operation_missing(const char *id, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "Operation %s could not be found.", id);
}

int db_operation_get(struct db *db, const struct db_scope *s, const char *id, struct operation *ret,
                     struct err *e)
{
    static const struct sql_stmt get = {"operation_get", "SELECT {o.operation} FROM operation o"
                                                         " WHERE o.id = $1 AND " SCOPE_MATCH("o")};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, id);
    scope_params(&p, s);
    int rc = sql_read(db, &get, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return operation_missing(id, e);
    return ROW_ONE(operation, r, ret, e);
}

int db_operation_show(struct db *db, const struct db_scope *s, const char *id,
                      struct operation *ret, struct err *e)
{
    static const struct sql_stmt show = {"operation_show",
                                         "SELECT {o.operation_shown} FROM operation o"
                                         " WHERE o.id = $1 AND " SCOPE_MATCH("o")};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, id);
    scope_params(&p, s);
    int rc = sql_read(db, &show, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return operation_missing(id, e);
    return ROW_ONE_OF(operation, row_operation_shown, r, ret, e);
}

static int list(struct db *db, const struct db_scope *s, const char *cluster_uuid, bool open,
                const struct db_page *p, struct operation_list *ret, struct err *e)
{
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    /* newest first, whatever the page says */
    struct db_page newest = {
        .limit = p ? p->limit : 0,
        .marker = p ? p->marker : NULL,
        .sort_key = "created_at",
        .desc = true,
    };
    page_scope(&q, "o", s);
    if (cluster_uuid) {
        param_str(&q.params, cluster_uuid);
        str_printf(&q.where, " AND o.cluster_id = $%d::text", q.params.n);
    }
    if (open)
        str_append(&q.where, " AND o.status IN ('PENDING', 'RUNNING', 'BLOCKED')");
    int rc = page_apply(db, &operations, &newest, &q, e);
    if (!rc)
        rc = page_run(db, &operations, &newest, &q, "{o.operation_shown}", &r, e);
    return rc ? rc : ROW_LIST_OF(operation, row_operation_shown, r, ret, e);
}

int db_operation_list(struct db *db, const struct db_scope *s, const char *cluster_uuid,
                      const struct db_page *p, struct operation_list *ret, struct err *e)
{
    return list(db, s, cluster_uuid, false, p, ret, e);
}

int db_operation_list_open(struct db *db, const struct db_scope *s, const struct db_page *p,
                           struct operation_list *ret, struct err *e)
{
    return list(db, s, NULL, true, p, ret, e);
}

int db_operation_events(struct db *db, const char *operation_id, int64_t after, int64_t limit,
                        struct operation_event_list *ret, struct err *e)
{
    static const struct sql_stmt list = {
        "operation_events",
        "SELECT {e.operation_event} FROM operation_event e WHERE e.operation_id = $1"
        " AND e.id > $2::bigint ORDER BY e.id LIMIT $3::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, operation_id);
    param_int(&p, after == MODEL_UNSET ? 0 : after);
    param_int(&p, limit > 0 ? limit : MODEL_UNSET);
    int rc = sql_read(db, &list, &p, &r, e);
    return rc ? rc : ROW_LIST(operation_event, r, ret, e);
}

/* --- leases --- */

void code_params(struct sql_params *p, enum op_code code)
{
    const struct code_info *c = code_info(code);
    param_str(p, c->text);
    param_str(p, c->actor);
    param_str(p, c->remedy);
}

int db_op_renew(struct db *db, const char *owner, int64_t lease_ms, const char *const *ids,
                size_t n, bool *ret_held, unsigned char *ret_news, struct err *e)
{
    static const struct sql_stmt renew = {
        "op_renew",
        "UPDATE operation o SET lease_until = clock_timestamp()"
        " + $2::bigint * interval '1 millisecond' WHERE o.lease_owner = $1"
        " AND o.id = ANY ($3::text[])"
        " AND o.lease_until > clock_timestamp() AND o.finished_at IS NULL"
        " RETURNING o.id, o.cancel_requested, o.superseded_by IS NOT NULL, o.force, " NOT_FLUSHED};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, owner);
    param_int(&p, lease_ms);
    param_list(&p, ids, n);
    int rc = sql_write(db, &renew, &p, &r, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        ret_held[i] = false;
        ret_news[i] = 0;
        for (int row = 0; !ret_held[i] && row < PQntuples(r); row++)
            if (strcmp(row_str(r, row, 0), ids[i]) == 0) {
                ret_held[i] = true;
                ret_news[i] = (unsigned char)((row_bool(r, row, 1) ? OP_NEWS_CANCEL : 0) |
                                              (row_bool(r, row, 2) ? OP_NEWS_SUPERSEDED : 0) |
                                              (row_bool(r, row, 3) ? OP_NEWS_FORCE : 0));
            }
    }
    return 0;
}

int db_op_release_all(struct db *db, const char *owner, struct err *e)
{
    static const struct sql_stmt ops = {
        "op_release_all", "UPDATE operation SET lease_owner = NULL, lease_until = NULL,"
                          " due_at = now(), updated_at = now() WHERE lease_owner = $1"};
    static const struct sql_stmt looks = {
        "observe_release_all", "UPDATE observation SET lease_owner = NULL, lease_until = NULL"
                               " WHERE lease_owner = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, owner);
    int rc = sql_write(db, &ops, &p, NULL, e);
    return rc ? rc : sql_write(db, &looks, &p, NULL, e);
}

/* --- steps --- */

int db_op_checkpoint(struct db *db, const struct op_guard *g, const char *state, int64_t percent,
                     const char *message, struct err *e)
{
    static const struct sql_stmt checkpoint = {
        "op_checkpoint",
        "WITH u AS (UPDATE operation o SET state = $4,"
        " percent = coalesce($5::bigint, o.percent), message = coalesce($6, o.message),"
        " progress_at = CASE WHEN o.state IS DISTINCT FROM $4 THEN now() ELSE o.progress_at END,"
        " updated_at = now() WHERE " LEASE_ALIVE
        " AND o.superseded_by IS NULL RETURNING 1) SELECT count(*) FROM u"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    guard_params(&p, g);
    param_str(&p, state);
    param_int(&p, percent >= 0 ? percent : MODEL_UNSET);
    param_str(&p, message);
    int rc = sql_write(db, &checkpoint, &p, &r, e);
    return rc ? rc : guarded(r, g, e);
}

int events_param(struct sql_params *p, const struct op_event_new *v, size_t n, struct err *e)
{
    if (!n) {
        param_str(p, NULL);
        return 0;
    }
    _cleanup_json_ json_t *list = json_array();
    int bad = !list;
    for (size_t i = 0; !bad && i < n; i++) {
        const struct op_event_new *ev = &v[i];
        json_t *o = json_object();
        const char *const texts[][2] = {
            {"code", ev->code},       {"stage", ev->stage},
            {"actor", ev->actor},     {"backend_request_id", ev->backend_request_id},
            {"message", ev->message}, {"remedy", ev->remedy},
        };
        for (size_t t = 0; t < ARRAY_LEN(texts); t++)
            if (texts[t][1])
                bad |= json_object_set_new(o, texts[t][0], json_string(texts[t][1]));
        if (ev->percent != MODEL_UNSET)
            bad |= json_object_set_new(o, "percent", json_integer(ev->percent));
        bad |= json_object_set_new(o, "retriable", json_boolean(ev->retriable));
        bad |= json_array_append_new(list, o);
    }
    if (bad)
        return err_nomem(e);
    param_json(p, list);
    return 0;
}

/* How long it waits and what it says meanwhile: nobody was told, nothing hangs on it. */
static bool promises_nothing(const struct op_store *s)
{
    return s->n_events == 0 && json_object_size(s->outputs) == 0 && !s->show && !s->gave_up_code;
}

static int store_params(struct sql_params *p, const struct op_guard *g, const struct op_store *s,
                        struct err *e)
{
    guard_params(p, g);
    param_str(p, s->status);
    param_str(p, s->stage);
    param_str(p, s->message);
    param_int(p, s->attempt);
    param_int(p, s->host_failures);
    param_int(p, s->steps);
    param_int(p, s->percent);
    param_bool(p, s->set_reason);
    param_str(p, s->code);
    param_str(p, s->reason);
    param_str(p, s->remedy);
    param_str(p, s->actor);
    param_bool(p, s->progress);
    param_bool(p, s->blocked);
    param_int(p, s->due_in_ms);
    param_bool(p, s->release);
    int rc = events_param(p, s->events, s->n_events, e);
    param_str(p, s->gave_up_code);
    param_str(p, s->gave_up_reason);
    param_bool(p, promises_nothing(s));
    return rc;
}

static const struct sql_stmt store = {
    "op_store",
    "WITH u AS (UPDATE operation o SET status = coalesce($4, o.status),"
    " stage = coalesce($5, o.stage), message = coalesce($6, o.message),"
    " attempt = coalesce($7::bigint, o.attempt),"
    " host_failures = coalesce($8::bigint, o.host_failures),"
    " steps = coalesce($9::bigint, o.steps), percent = coalesce($10::bigint, o.percent),"
    " code = CASE WHEN $11::boolean THEN $12 ELSE o.code END,"
    " reason = CASE WHEN $11::boolean THEN $13 ELSE o.reason END,"
    " remedy = CASE WHEN $11::boolean THEN $14 ELSE o.remedy END,"
    " actor = CASE WHEN $11::boolean THEN $15 ELSE o.actor END,"
    " progress_at = CASE WHEN $16::boolean THEN now() ELSE o.progress_at END,"
    " blocked_since = CASE WHEN $17::boolean THEN coalesce(o.blocked_since, now()) END,"
    " due_at = now() + $18::bigint * interval '1 millisecond',"
    " lease_owner = CASE WHEN $19::boolean THEN NULL ELSE o.lease_owner END,"
    " lease_until = CASE WHEN $19::boolean THEN NULL ELSE o.lease_until END,"
    " report = " REPORT_ERROR(
        "$21", "$22") ","
                      " updated_at = now() WHERE " LEASE_ALIVE
                      " AND o.superseded_by IS NULL RETURNING o.*), ev AS (" EVENTS_OF(
                          "u", "$20") ") SELECT count(*), CASE WHEN $23::boolean THEN " NOT_FLUSHED
                                      " END FROM u"};

/* Old clients know no operations: the cluster's status_reason (and the touched group's) tells them.
 * Only a text of ours is taken back. */
#define BLOCKED_TEXT                                                                               \
    "'BLOCKED since ' || to_char(o.blocked_since AT TIME ZONE 'UTC',"                              \
    " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ' (' || coalesce(o.code, '') || '): '"                  \
    " || coalesce(o.reason, '') || '; the ' || coalesce(o.actor, 'operator')"                      \
    " || ' must act: ' || coalesce(o.remedy, '')"
#define SHOW(table, key, of)                                                                       \
    "UPDATE " table " c SET status_reason = o.shown, updated_at = now()"                           \
    " FROM (SELECT o." of " AS row, CASE WHEN o.status = 'BLOCKED' THEN " BLOCKED_TEXT             \
    " END AS shown FROM operation o WHERE o.id = $1) o WHERE c." key " = o.row"                    \
    " AND right(c.status, 12) = '_IN_PROGRESS' AND c.status_reason IS DISTINCT FROM o.shown"       \
    " AND (o.shown IS NOT NULL OR c.status_reason LIKE 'BLOCKED since %')"
static int show(struct sql_tx *tx, const char *id, struct err *e)
{
    static const struct sql_stmt cluster = {"show_cluster", SHOW("cluster", "uuid", "cluster_id")};
    static const struct sql_stmt group = {"show_group", SHOW("nodegroup", "uuid", "nodegroup_id")};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, id);
    int rc = tx_run(tx, &cluster, &p, NULL, e);
    return rc ? rc : tx_run(tx, &group, &p, NULL, e);
}

int db_op_store(struct db *db, const struct op_guard *g, const struct op_store *s, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    int rc = store_params(&p, g, s, e);
    if (rc)
        return rc;
    if (json_object_size(s->outputs) == 0 && !s->show) {
        rc = sql_write(db, &store, &p, &r, e);
        return rc ? rc : guarded(r, g, e);
    }
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_free_ char *cluster = NULL;
    rc = tx_begin(db, &tx, e);
    if (!rc)
        rc = op_lock_cluster(&tx, g->id, &cluster, e);
    if (!rc)
        rc = tx_run(&tx, &store, &p, &r, e);
    if (!rc)
        rc = guarded(r, g, e);
    if (!rc && cluster && json_object_size(s->outputs))
        rc = outputs_store(&tx, cluster, g->id, false, s->outputs, e);
    if (!rc && cluster && s->show)
        rc = show(&tx, g->id, e);
    return rc ? rc : tx_commit(&tx, e);
}

int db_cluster_set_certs(struct db *db, const struct op_guard *g, const char *manager,
                         const char *ca_ref, const char *client_ref, const char *etcd_ref,
                         const char *front_proxy_ref, struct err *e)
{
    static const struct sql_stmt set = {
        "cluster_set_certs",
        "WITH u AS (UPDATE cluster c SET cert_manager = coalesce($4, c.cert_manager),"
        " ca_cert_ref = coalesce($5, c.ca_cert_ref),"
        " magnum_cert_ref = coalesce($6, c.magnum_cert_ref),"
        " etcd_ca_cert_ref = coalesce($7, c.etcd_ca_cert_ref),"
        " front_proxy_ca_cert_ref = coalesce($8, c.front_proxy_ca_cert_ref), updated_at = now()"
        " FROM operation o WHERE c.uuid = o.cluster_id AND " LEASE_ALIVE
        " AND o.superseded_by IS NULL RETURNING 1) SELECT count(*) FROM u"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    guard_params(&p, g);
    param_str(&p, manager);
    param_str(&p, ca_ref);
    param_str(&p, client_ref);
    param_str(&p, etcd_ref);
    param_str(&p, front_proxy_ref);
    int rc = sql_write(db, &set, &p, &r, e);
    return rc ? rc : guarded(r, g, e);
}
