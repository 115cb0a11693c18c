/* The simulator's store (tests/simulation/model.h) is worth what it has in common with the real
 * one: random calls are played against PostgreSQL and the model side by side, and every answer and
 * every row must be the same.
 *
 * Time: the model's clock is turned in ticks of a hundred seconds; PostgreSQL's is turned by moving
 * all the times in its rows back. A run takes far less than a tick, so times are compared in ticks.
 * A failing run prints its seed and its calls; MAGNUM_MODEL_SEED replays one. */
#include "component/db_fixture.h"

#include "base/parse.h"
#include "base/str.h"
#include "simulation/model.h"

#include <libpq-fe.h>
#include <string.h>

enum { RUNS = 60, CALLS = 70, OWNERS = 3, TICK_S = 100 };
#define TICK (TICK_S * 1000000LL)

static struct model model;
static char ids[M_OPS][40], clusters[M_CLUSTERS][40];
static uint64_t rng;
static bool quiet;       /* differences are expected */
static int64_t freed;    /* leases given back because they had run out */
static struct str calls; /* what was done, for the report of a difference */

static int64_t roll(int64_t n) /* in [0, n) */
{
    uint64_t z = rng += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (int64_t)((z ^ z >> 31) % (uint64_t)n);
}

static const char *owner_name(int64_t i)
{
    static const char *const names[OWNERS] = {"w0", "w1", "w2"};
    return names[i];
}

/* ---- the rows as text ---- */
static const char rows_sql[] =
    "SELECT coalesce((SELECT string_agg(concat_ws(' ', '#' || rank, kind, status, generation,"
    " 's=' || coalesce((SELECT r2.rank - 1 FROM ranked r2 WHERE r2.id ="
    " o.superseded_by)::text, '-'), 'r=' || coalesce((SELECT r2.rank - 1 FROM ranked r2 WHERE"
    " r2.id = o.retry_of)::text, '-'), cancel_requested::int, force::int, 'stage=' ||"
    " coalesce(stage, ''), 'state=' || coalesce(state, ''), 'm=' || coalesce(message, '-'),"
    " attempt, host_failures, steps, percent, 'code=' || coalesce(code, '-'), 'by=' ||"
    " coalesce(actor, ''), 'why=' || CASE WHEN code = 'Superseded' THEN '' WHEN code ="
    " 'LeftBehind' THEN substring(reason FROM '^[0-9]+') ELSE coalesce(reason, '') END,"
    " 'own=' || coalesce(lease_owner, ''), lease_fence, 'until=' ||"
    " coalesce(ticks(lease_until)::text, '-'), 'due=' || ticks(due_at), 'prog=' ||"
    " coalesce(ticks(progress_at)::text, '-'), 'start=' || coalesce(ticks(started_at)::text,"
    " '-'), 'end=' || coalesce(ticks(finished_at)::text, '-'), 'since=' ||"
    " coalesce(ticks(blocked_since)::text, '-'), 'spec=' || (SELECT"
    " string_agg(coalesce((SELECT v->>'node_count' FROM"
    " json_array_elements(spec->'nodegroups') v WHERE v->>'name' = n), '-'), ',' ORDER BY i)"
    " FROM unnest(ARRAY['default-master', 'default-worker', 'g2', 'g3']) WITH ORDINALITY t(n,"
    " i)), 'names=' || coalesce(json_array_length(spec->'params'->'nodes_to_remove'), 0),"
    " 'undo=' || coalesce(undo->>'node_count', CASE WHEN undo->>'template' IS NULL THEN '-'"
    " WHEN undo->>'template' = 'newer' THEN 'newer' ELSE 'older' END), 'report=' || CASE WHEN"
    " report IS NULL THEN '-' ELSE coalesce(report->'error'->>'code', '') || '/' ||"
    " coalesce((SELECT string_agg(v->>'name', ',' ORDER BY v->>'name') FROM"
    " json_array_elements(report->'left_behind') v), '') END, 'events=' || (SELECT"
    " string_agg(code, ',' ORDER BY e.id) FROM operation_event e WHERE e.operation_id ="
    " o.id)), E'\\n' ORDER BY rank) FROM ranked o), '') || E'\\n' || coalesce((SELECT"
    " string_agg(concat_ws(' ', c.name, c.status, c.generation, CASE WHEN"
    " c.cluster_template_id = 'newer' THEN 'newer' ELSE 'older' END, 'why=' ||"
    " regexp_replace(coalesce(c.status_reason, ''), 'since [^ ]* ', 'since '), (SELECT"
    " string_agg(concat_ws(' ', g.name, g.status, g.node_count, 'why=' ||"
    " regexp_replace(coalesce(g.status_reason, ''), 'since [^ ]* ', 'since ')), '; ' ORDER BY"
    " CASE g.name WHEN 'default-master' THEN 0 WHEN 'default-worker' THEN 1 WHEN 'g2' THEN 2"
    " ELSE 3 END) FROM nodegroup g WHERE g.cluster_id = c.uuid), 'ledger=' ||"
    " coalesce((SELECT string_agg(l.name || left(l.state, 1), ',' ORDER BY l.name) FROM"
    " ledger l WHERE l.cluster_id = c.uuid), '')), E'\\n' ORDER BY c.name) FROM cluster c),"
    " '')";

static void ticks(struct str *t, const char *name, int64_t us)
{
    if (us == TIME_UNSET)
        str_printf(t, " %s=-", name);
    else
        str_printf(t, " %s=%lld", name, (long long)((us - model.now) / TICK));
}

static void index_text(struct str *t, const char *name, int i)
{
    if (i == M_NONE)
        str_printf(t, " %s=-", name);
    else
        str_printf(t, " %s=%d", name, i);
}

static void op_text(struct str *t, const struct m_op *o, int i)
{
    bool superseded = str_eq(o->code, "Superseded"), left = str_eq(o->code, "LeftBehind");
    str_printf(t, "#%d %s %s %lld", i + 1, op_kind_name(o->kind), o->status,
               (long long)o->generation);
    index_text(t, "s", o->superseded_by);
    index_text(t, "r", o->retry_of);
    str_printf(t, " %d %d stage=%s state=%s m=%s %lld %lld %lld %lld code=%s by=%s why=", o->cancel,
               o->force, o->stage, o->state, o->has_message ? o->message : "-",
               (long long)o->attempt, (long long)o->host_failures, (long long)o->steps,
               (long long)o->percent, o->has_code ? o->code : "-", o->actor);
    if (left)
        str_printf(t, "%.*s", (int)strspn(o->reason, "0123456789"), o->reason);
    else if (!superseded)
        str_append(t, o->reason);
    str_printf(t, " own=%s %lld", o->owner, (long long)o->fence);
    ticks(t, "until", o->lease_until);
    ticks(t, "due", o->due_at);
    ticks(t, "prog", o->progress_at);
    ticks(t, "start", o->started_at);
    ticks(t, "end", o->finished_at);
    ticks(t, "since", o->blocked_since);
    for (int g = 0; g < M_GROUPS; g++) {
        str_append(t, g ? "," : " spec=");
        if (o->counts[g] == M_NONE)
            str_append(t, "-");
        else
            str_printf(t, "%lld", (long long)o->counts[g]);
    }
    str_printf(t, " names=%d undo=", o->names);
    if (o->undo_count != M_NONE)
        str_printf(t, "%lld", (long long)o->undo_count);
    else
        str_append(t, !o->undo_template ? "-" : o->undo_moved ? "newer" : "older");
    str_append(t, " report=");
    if (!o->reported)
        str_append(t, "-");
    else
        str_printf(t, "%s/", o->report_error);
    for (int n = 0, first = 1; o->reported && n < M_NODES; n++)
        if (o->left_behind & 1u << n) {
            str_printf(t, "%sn%d", first ? "" : ",", n);
            first = 0;
        }
    for (int e = 0; e < o->n_events; e++)
        str_printf(t, "%s%s", e ? "," : " events=", o->events[e]);
}

static void cluster_text(struct str *t, const struct m_cluster *c, int i)
{
    static const char *const names[M_GROUPS] = {"default-master", "default-worker", "g2", "g3"};
    str_printf(t, "c%d %s %lld %s why=%s", i, c->status, (long long)c->generation,
               c->moved ? "newer" : "older", c->reason);
    for (int g = 0, first = 1; g < M_GROUPS; g++)
        if (c->groups[g].used) {
            str_printf(t, "%s %s %s %lld why=%s", first ? "" : ";", names[g], c->groups[g].status,
                       (long long)c->groups[g].node_count, c->groups[g].reason);
            first = 0;
        }
    str_append(t, " ledger=");
    for (int n = 0, first = 1; n < M_NODES; n++)
        if (c->ledger[n].used) {
            str_printf(t, "%sn%d%c", first ? "" : ",", n, c->ledger[n].confirmed ? 'c' : 'i');
            first = 0;
        }
}

static char *model_rows(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    for (int i = 0; i < model.n_ops; i++) {
        op_text(&t, &model.ops[i], i);
        str_append(&t, "\n");
    }
    if (model.n_ops == 0)
        str_append(&t, "\n");
    for (int i = 0, first = 1; i < M_CLUSTERS; i++)
        if (model.clusters[i].exists) {
            str_append(&t, first ? "" : "\n");
            cluster_text(&t, &model.clusters[i], i);
            first = 0;
        }
    return str_take(&t);
}

static void told(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void told(const char *fmt, ...)
{
    char line[200];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    str_printf(&calls, "  %s\n", line);
}

static void first_difference(const char *a, const char *b)
{
    if (quiet)
        return;
    while (*a && *b) {
        size_t n = strcspn(a, "\n"), k = strcspn(b, "\n");
        if (n != k || memcmp(a, b, n) != 0)
            break;
        a += n + (a[n] != '\0');
        b += k + (b[k] != '\0');
    }
    fprintf(stderr, "database: %.*s\nmodel:    %.*s\n", (int)strcspn(a, "\n"), a,
            (int)strcspn(b, "\n"), b);
}

static PGconn *pg; /* of its own: thousands of statements */

/* One value, or "" for a statement without rows; valid until the next call. */
static const char *quick(const char *statement)
{
    static PGresult *last;
    PQclear(last);
    last = PQexec(pg, statement);
    ExecStatusType how = PQresultStatus(last);
    if (how != PGRES_TUPLES_OK && how != PGRES_COMMAND_OK)
        fprintf(stderr, "%s: %s\n", statement, PQerrorMessage(pg));
    CU_ASSERT_FATAL(how == PGRES_TUPLES_OK || how == PGRES_COMMAND_OK);
    return PQntuples(last) ? PQgetvalue(last, 0, 0) : "";
}

static bool same_rows(void)
{
    _cleanup_free_ char *have = model_rows();
    const char *real = quick(rows_sql);
    bool same = str_eq(real, have);
    if (!same)
        first_difference(real, have);
    return same;
}

/* ---- the calls ---- */
static bool same_rc(int real, int ours, const struct err *e)
{
    told("  -> %d", real);
    if (real != ours && !quiet)
        fprintf(stderr, "database answers %d (%s), the model %d\n", real, real ? e->msg : "", ours);
    return real == ours;
}

static int64_t deadline(void)
{
    return 4102444800000000;
}

static bool do_create(void)
{
    struct err e = ERR_INIT;
    struct made m;
    int cluster = (int)roll(M_CLUSTERS), op = M_NONE;
    int64_t workers = roll(6);
    char name[8];
    if (model.clusters[cluster].was_made || model.n_ops == M_OPS)
        return true;
    snprintf(name, sizeof name, "c%d", cluster);
    told("create %s with %lld", name, (long long)workers);
    int real = accept_cluster(&m, "p", name, workers, 1000, NULL, &e);
    int ours = model_create(&model, cluster, workers, deadline(), &op);
    snprintf(clusters[cluster], sizeof clusters[cluster], "%s", m.c.uuid);
    if (op != M_NONE)
        snprintf(ids[op], sizeof ids[op], "%s", m.op.id);
    made_done(&m);
    return same_rc(real, ours, &e);
}

static bool do_change(void)
{
    static const enum op_kind kinds[] = {OP_UPDATE,
                                         OP_SCALE,
                                         OP_SCALE,
                                         OP_SCALE,
                                         OP_DELETE,
                                         OP_UPGRADE,
                                         OP_ROTATE_CREDENTIAL,
                                         OP_NODEGROUP_CREATE,
                                         OP_NODEGROUP_CREATE,
                                         OP_NODEGROUP_UPDATE,
                                         OP_NODEGROUP_DELETE};
    static char group_names[M_GROUPS][16] = {"default-master", "default-worker", "g2", "g3"};
    enum op_kind kind = kinds[roll((int64_t)ARRAY_LEN(kinds))];
    struct m_change mc = {.node_count = M_NONE, .group = M_NONE, .deadline_at = deadline()};
    struct db_change ch = DB_CHANGE_INIT;
    struct nodegroup add;
    struct operation op;
    struct err e = ERR_INIT;
    int cluster = (int)roll(M_CLUSTERS), ours_op = M_NONE;
    if (!clusters[cluster][0] || model.n_ops == M_OPS)
        return true;
    if (kind == OP_DELETE && roll(3) == 0)
        mc.force = true;
    _cleanup_json_ json_t *params = NULL;
    nodegroup_init(&add);
    if (kind == OP_SCALE || (kind == OP_UPDATE && roll(2)))
        ch.node_count = mc.node_count = roll(8);
    if (kind == OP_SCALE && roll(2)) {
        mc.group = (int)roll(M_GROUPS);
        ch.nodegroup = group_names[mc.group];
    }
    if (kind == OP_SCALE && roll(3) == 0) {
        mc.names = true;
        ch.params = params = json_pack("{s:[s]}", "nodes_to_remove", "n1");
    }
    if (kind == OP_NODEGROUP_CREATE) {
        mc.group = 2 + (int)roll(2);
        add.name = str_dup(group_names[mc.group]);
        add.node_count = mc.node_count = roll(4);
        ch.add = &add;
    } else if (kind == OP_NODEGROUP_UPDATE || kind == OP_NODEGROUP_DELETE) {
        mc.group = (int)roll(M_GROUPS);
        ch.nodegroup = group_names[mc.group];
    }
    if (kind == OP_UPGRADE)
        ch.template_uuid = "newer";
    told("%s of c%d, count %lld, group %d%s%s", op_kind_name(kind), cluster,
         (long long)mc.node_count, mc.group, mc.names ? ", names" : "", mc.force ? ", force" : "");
    operation_init(&op);
    op.kind = str_dup(op_kind_name(kind));
    op.force = mc.force;
    op.deadline_at = deadline();
    int real = db_accept_change(db, clusters[cluster], &op, &ch, NULL, &e);
    int before = model.n_ops, ours = model_change(&model, cluster, kind, &mc, &ours_op);
    bool same = same_rc(real, ours, &e);
    if (same && real == 0 && ours_op == before)
        snprintf(ids[ours_op], sizeof ids[ours_op], "%s", op.id);
    if (same && real == 0)
        same = str_eq(ids[ours_op], op.id);
    nodegroup_done(&add);
    operation_done(&op);
    return same;
}

static bool do_retry(void)
{
    struct operation op;
    struct err e = ERR_INIT;
    int ours_op = M_NONE, before = model.n_ops, which;
    if (before == 0 || before == M_OPS)
        return true;
    which = (int)roll(before);
    for (int i = 0; i < before && roll(4); i++) /* mostly one that can be */
        if (str_eq(model.ops[i].status, OPS_FAILED) || str_eq(model.ops[i].status, OPS_BLOCKED))
            which = i;
    told("retry #%d", which + 1);
    operation_init(&op);
    op.id = str_dup(ids[which]);
    op.deadline_at = deadline();
    int real = db_accept_retry(db, &op, "x", &e);
    int ours = model_retry(&model, which, deadline(), &ours_op);
    bool same = same_rc(real, ours, &e);
    if (same && real == 0 && ours_op == before)
        snprintf(ids[ours_op], sizeof ids[ours_op], "%s", op.id);
    if (same && real == 0)
        same = str_eq(ids[ours_op], op.id);
    operation_done(&op);
    return same;
}

static bool do_cancel(void)
{
    struct err e = ERR_INIT;
    if (model.n_ops == 0)
        return true;
    int which = (int)roll(model.n_ops);
    told("cancel #%d", which + 1);
    int real = db_accept_cancel(db, ids[which], "x", &e);
    return same_rc(real, model_cancel(&model, which), &e);
}

static int op_of(const char *id)
{
    for (int i = 0; i < model.n_ops; i++)
        if (str_eq(ids[i], id))
            return i;
    return M_NONE;
}

static bool do_lease(void)
{
    struct operation_list l = {NULL, 0};
    struct err e = ERR_INIT;
    int ops[M_OPS];
    const char *owner = owner_name(roll(OWNERS));
    told("%s leases", owner);
    ASSERT_OK(lease_any(db, owner, M_OPS, 3 * TICK_S * 1000, NULL, &l, NULL, &e), &e);
    int n = model_lease(&model, owner, M_OPS, 3 * TICK_S * 1000, ops);
    bool same = (size_t)n == l.n;
    for (int i = 0; same && i < n; i++) {
        bool found = false;
        for (size_t k = 0; k < l.n; k++)
            found |= op_of(l.v[k].id) == ops[i];
        same = found;
    }
    told("  -> %zu", l.n);
    if (!same && !quiet)
        fprintf(stderr, "database leases %zu, the model %d\n", l.n, n);
    operation_list_done(&l);
    return same;
}

/* Mostly the present lease of an operation, now and then one that is over or another's. */
static bool pick(struct m_guard *g, struct op_guard *real)
{
    int which = M_NONE;
    if (model.n_ops == 0)
        return false;
    for (int i = 0; i < 4 * model.n_ops && which == M_NONE; i++) {
        int k = (int)roll(model.n_ops);
        if (model.ops[k].owner[0] || roll(8) == 0)
            which = k;
    }
    if (which == M_NONE)
        return false;
    const struct m_op *o = &model.ops[which];
    const char *owner = owner_name(roll(OWNERS));
    for (int i = 0; i < OWNERS; i++)
        if (str_eq(o->owner, owner_name(i)) && roll(12))
            owner = owner_name(i);
    *g = (struct m_guard){which, owner, o->fence - (roll(12) == 0)};
    *real = (struct op_guard){ids[which], owner, g->fence};
    return true;
}

static bool do_renew(void)
{
    struct err e = ERR_INIT;
    const char *list[M_OPS];
    int named[M_OPS], n = 0;
    bool held[M_OPS], same = true;
    unsigned char news[M_OPS];
    const char *owner = owner_name(roll(OWNERS));
    for (int i = 0; i < model.n_ops; i++)
        if (roll(4)) {
            list[n] = ids[i];
            named[n++] = i;
        }
    told("%s renews", owner);
    ASSERT_OK(db_op_renew(db, owner, 3 * TICK_S * 1000, list, (size_t)n, held, news, &e), &e);
    model_renew(&model, owner, 3 * TICK_S * 1000, named, n);
    for (int i = 0; same && i < n; i++) {
        struct m_guard g = {named[i], owner, model.ops[named[i]].fence};
        same = held[i] == model_held(&model, &g) &&
               (!held[i] || news[i] == model_news(&model, named[i]));
        if (!same && !quiet)
            fprintf(stderr, "#%d: database held %d news %d\n", named[i] + 1, held[i], news[i]);
    }
    return same;
}

/* A size that an operation reports for the default workers. */
static json_t *worker_output(int64_t count, const struct m_op *o)
{
    char key[96], query[200];
    if (count == M_NONE)
        return NULL;
    snprintf(query, sizeof query,
             "SELECT uuid FROM nodegroup WHERE cluster_id = '%s' AND name = 'default-worker'",
             clusters[o->cluster]);
    snprintf(key, sizeof key, "nodegroup/%s/node_count",
             model.clusters[o->cluster].exists ? quick(query) : "gone");
    return json_pack("{s:I}", key, (json_int_t)count);
}

static bool do_store(void)
{
    static const char *const statuses[] = {NULL, OPS_RUNNING, OPS_BLOCKED, OPS_BLOCKED};
    struct m_guard g;
    struct op_guard real;
    struct err e = ERR_INIT;
    if (!pick(&g, &real))
        return true;
    struct op_event_new ev = {.code = event_text(EVENT_RETRY), .percent = MODEL_UNSET};
    struct op_store s = {.status = statuses[roll(4)],
                         .stage = roll(2) ? "create" : NULL,
                         .message = roll(2) ? "going on" : NULL,
                         .attempt = roll(2) ? roll(9) : MODEL_UNSET,
                         .host_failures = roll(2) ? roll(3) : MODEL_UNSET,
                         .steps = roll(2) ? roll(90) : MODEL_UNSET,
                         .percent = roll(2) ? roll(101) : MODEL_UNSET,
                         .set_reason = roll(2),
                         .progress = roll(2),
                         .due_in_ms = roll(3) * TICK_S * 1000,
                         .release = roll(3) == 0,
                         .events = &ev,
                         .n_events = (size_t)roll(2)};
    s.blocked = str_eq(s.status ? s.status : model.ops[g.op].status, OPS_BLOCKED);
    s.show = s.blocked || roll(3) == 0;
    s.set_reason |= s.blocked;
    if (s.set_reason && (s.blocked || roll(2))) {
        s.code = "Busy";
        s.reason = "it is busy";
        s.actor = roll(2) ? "user" : "operator";
        s.remedy = "wait";
    }
    if (roll(6) == 0) {
        s.gave_up_code = "Denied";
        s.gave_up_reason = "403";
    }
    int64_t count = roll(4) == 0 ? roll(7) : M_NONE;
    _cleanup_json_ json_t *outputs = worker_output(count, &model.ops[g.op]);
    s.outputs = outputs;
    told("store #%d by %s/%lld: %s%s%s%s", g.op + 1, g.owner, (long long)g.fence,
         s.status ? s.status : "-", s.show ? " show" : "", s.release ? " release" : "",
         outputs ? " output" : "");
    int rc = db_op_store(db, &real, &s, &e);
    return same_rc(rc, model_store(&model, &g, &s, count), &e);
}

static bool do_finish(void)
{
    struct m_guard g;
    struct op_guard real;
    struct err e = ERR_INIT;
    if (!pick(&g, &real))
        return true;
    const struct m_op *o = &model.ops[g.op];
    static const char *const ends[] = {OPS_SUCCEEDED, OPS_SUCCEEDED, OPS_FAILED, OPS_CANCELLED};
    struct op_event_new ev = {.code = event_text(EVENT_SUCCEEDED), .percent = MODEL_UNSET};
    struct op_finish f = {.status = ends[roll(4)],
                          .steps = roll(90),
                          .attempt = roll(9),
                          .host_failures = roll(3),
                          .percent = roll(101),
                          .events = &ev,
                          .n_events = 1};
    bool fine = str_eq(f.status, OPS_SUCCEEDED);
    f.cluster_status = fine ? status_on_success(o->kind) : status_on_failure(o->kind);
    f.nodegroup_status = fine ? status_group_on_success(o->kind) : status_group_on_failure(o->kind);
    if (!fine) {
        f.code = f.status[0] == 'F' ? "Denied" : "Cancelled";
        f.reason = f.status_reason = "it broke";
        f.actor = "operator";
        f.remedy = "mend it";
        f.refused = roll(2);
    }
    if (!fine && roll(8) == 0)
        f.cluster_status = f.nodegroup_status = "ROLLBACK_COMPLETE";
    if (roll(o->superseded_by == M_NONE ? 10 : 2) == 0)
        f.cluster_status = f.nodegroup_status = NULL;
    f.remove_cluster = fine && o->kind == OP_DELETE;
    f.remove_nodegroup = fine && o->kind == OP_NODEGROUP_DELETE;
    if (fine && o->force && roll(2)) {
        f.gave_up_code = "DriverUnavailable";
        f.gave_up_reason = "nobody has it";
    }
    int64_t count = roll(4) == 0 ? roll(7) : M_NONE;
    _cleanup_json_ json_t *outputs = worker_output(count, o);
    f.outputs = outputs;
    told("finish #%d by %s/%lld: %s%s%s", g.op + 1, g.owner, (long long)g.fence, f.status,
         f.refused ? " refused" : "", outputs ? " output" : "");
    int rc = db_op_finish(db, &real, &f, &e);
    return same_rc(rc, model_finish(&model, &g, &f, count), &e);
}

static bool do_small(void)
{
    struct m_guard g;
    struct op_guard real;
    struct err e = ERR_INIT;
    char name[8];
    if (!pick(&g, &real))
        return true;
    int node = (int)roll(M_NODES);
    snprintf(name, sizeof name, "n%d", node);
    switch (roll(4)) {
    case 0:
        told("checkpoint of #%d: %s", g.op + 1, name);
        return same_rc(db_op_checkpoint(db, &real, name, -1, NULL, &e),
                       model_checkpoint(&model, &g, name), &e);
    case 1:
        told("declare by #%d: %s", g.op + 1, name);
        return same_rc(db_ledger_declare(db, &real, "node", name, NULL, &e),
                       model_ledger(&model, &g, node, 'd'), &e);
    case 2:
        told("confirm by #%d: %s", g.op + 1, name);
        return same_rc(db_ledger_confirm(db, &real, "node", name, NULL, &e),
                       model_ledger(&model, &g, node, 'c'), &e);
    default:
        told("drop by #%d: %s", g.op + 1, name);
        return same_rc(db_ledger_drop(db, &real, "node", name, &e),
                       model_ledger(&model, &g, node, 'x'), &e);
    }
}

static bool do_release(void)
{
    struct err e = ERR_INIT;
    const char *owner = owner_name(roll(OWNERS));
    told("%s releases all", owner);
    ASSERT_OK(db_op_release_all(db, owner, &e), &e);
    model_release_all(&model, owner);
    return true;
}

static bool do_release_expired(void)
{
    struct op_due_list l = {NULL, 0};
    struct err e = ERR_INIT;
    size_t n = 0;
    ASSERT_OK(db_op_release_expired(db, &l, &e), &e);
    for (size_t i = 0; i < l.n; i++)
        n += l.v[i].n;
    db_op_due_done(&l);
    told("leases that have run out are given back: %zu", n);
    freed += (int64_t)n;
    return (size_t)model_release_expired(&model) == n;
}

static bool do_time(void)
{
    int64_t n = 1 + roll(2);
    char query[600];
    told("%lld ticks pass", (long long)n);
    model.now += n * TICK;
    snprintf(
        query, sizeof query,
        "UPDATE operation SET (lease_until, due_at, progress_at, started_at, finished_at,"
        " blocked_since) = (lease_until - i, due_at - i, progress_at - i, started_at - i,"
        " finished_at - i, blocked_since - i) FROM (SELECT %lld * interval '100 seconds') t(i)",
        (long long)n);
    (void)quick(query);
    return true;
}

/* ---- a run ---- */
/* Both clusters are there and complete: most calls are about such. */
static bool warm_up(void)
{
    struct operation_list l = {NULL, 0};
    struct err e = ERR_INIT;
    int ops[M_OPS];
    for (int i = 0; i < 20; i++)
        if (!do_create())
            return false;
    ASSERT_OK(lease_any(db, "w0", M_OPS, 3 * TICK_S * 1000, NULL, &l, NULL, &e), &e);
    int n = model_lease(&model, "w0", M_OPS, 3 * TICK_S * 1000, ops);
    for (int i = 0; i < n; i++) {
        struct op_guard real = {ids[ops[i]], "w0", 1};
        struct m_guard ours = {ops[i], "w0", 1};
        struct op_finish f = {.status = OPS_SUCCEEDED,
                              .cluster_status = "CREATE_COMPLETE",
                              .nodegroup_status = "CREATE_COMPLETE"};
        ASSERT_OK(db_op_finish(db, &real, &f, &e), &e);
        CU_ASSERT_EQUAL(model_finish(&model, &ours, &f, M_NONE), 0);
    }
    operation_list_done(&l);
    return true;
}

static bool one_call(void)
{
    static bool (*const what[])(void) = {
        do_create, do_change, do_change,  do_change, do_retry, do_cancel,         do_lease,
        do_lease,  do_lease,  do_renew,   do_store,  do_store, do_finish,         do_finish,
        do_small,  do_small,  do_release, do_time,   do_time,  do_release_expired};
    int64_t dice = roll((int64_t)ARRAY_LEN(what));
    if (what[dice] == do_release && roll(3)) /* it would end most leases */
        return true;
    return what[dice]();
}

static bool play(uint64_t seed, enum bug bug)
{
    rng = seed;
    quiet = bug != BUG_NONE;
    model = (struct model){.now = 1000 * TICK, .bug = bug};
    memset(ids, 0, sizeof ids);
    memset(clusters, 0, sizeof clusters);
    calls.len = 0;
    (void)quick(
        "TRUNCATE cluster, nodegroup, operation, operation_event, ledger, observation CASCADE");
    if (roll(4) && !warm_up())
        return false;
    for (int i = 0; i < CALLS; i++)
        /* a mistake stays to be seen: looking now and then finds it as well */
        if (!one_call() || ((!quiet || i % 8 == 7) && !same_rows())) {
            if (quiet)
                return false;
            fprintf(stderr, "seed %llu, call %d; the calls were:\n%s", (unsigned long long)seed, i,
                    calls.s ? calls.s : "");
            return false;
        }
    return true;
}

static void the_model_and_the_database_agree(void)
{
    const char *given = getenv("MAGNUM_MODEL_SEED");
    int64_t only = 0, retried = 0, blocked = 0, removed = 0, queued = 0;
    fresh_db();
    exec("INSERT INTO cluster_template (uuid, name) VALUES ('newer', 'newer');"
         " CREATE VIEW ranked AS SELECT *, row_number() OVER (ORDER BY created_at, generation, id)"
         " AS rank FROM operation;"
         " CREATE FUNCTION ticks(at timestamptz) RETURNS text LANGUAGE sql VOLATILE AS"
         " 'SELECT round(extract(epoch FROM at - clock_timestamp()) / 100)::text'");
    pg = PQconnectdb(conninfo);
    CU_ASSERT_FATAL(PQstatus(pg) == CONNECTION_OK);
    (void)quick("SET client_min_messages = warning");
    if (given && parse_i64(given, 0, INT64_MAX, &only)) {
        CU_ASSERT_TRUE(play((uint64_t)only, BUG_NONE));
        return;
    }
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        CU_ASSERT_TRUE_FATAL(play(seed, BUG_NONE));
        for (int i = 0; i < model.n_ops; i++) {
            const struct m_op *o = &model.ops[i];
            retried += o->retry_of != M_NONE;
            blocked += o->blocked_since != TIME_UNSET;
            removed += o->left_behind != 0;
            queued += m_unfinished(o) && m_others(&model, o);
        }
    }
    fprintf(stderr, "%d runs: %lld retries, %lld blocked, %lld left something, %lld waiting\n",
            RUNS, (long long)retried, (long long)blocked, (long long)removed, (long long)queued);
    /* the calls got somewhere */
    CU_ASSERT(retried > 3 && blocked > 5 && removed > 0 && queued > 10 && freed > 10);
}

/* A comparison that can't fail tells nothing: each mistake of the store must be a difference. */
static void mistakes_are_noticed(void)
{
    static const enum bug bugs[] = {BUG_NO_FENCE,      BUG_NO_GENERATION,    BUG_DOUBLE_LEASE,
                                    BUG_OLDER_LEASED,  BUG_NO_EXPIRY,        BUG_LEDGER_LOST,
                                    BUG_STATUS_ANYWAY, BUG_SUPERSEDED_STAYS, BUG_NAMES_DROPPED,
                                    BUG_SPEC_STALE,    BUG_REASON_STAYS,     BUG_REASON_HIDDEN,
                                    BUG_REPORT_LOST,   BUG_UNDO_ANYWAY,      BUG_OUTPUT_WINS,
                                    BUG_RETRY_OLD,     BUG_RENEW_ALL,        BUG_FREE_EARLY};
    for (size_t i = 0; i < ARRAY_LEN(bugs); i++) {
        uint64_t seed = 1;
        while (seed <= 4 * RUNS && play(seed, bugs[i]))
            seed++;
        if (seed > 4 * RUNS)
            fprintf(stderr, "%s was not noticed\n", bug_name(bugs[i]));
        CU_ASSERT(seed <= 4 * RUNS);
    }
}

static int stop(void)
{
    str_free(&calls);
    PQfinish(pg);
    return fixture_stop();
}

TEST_MAIN("db_model", fixture_start, stop, TEST(the_model_and_the_database_agree),
          TEST(mistakes_are_noticed))
