/* The store in bad weather: the model's transactions, some of which are not carried out or lose
 * their answer, and what must be true after every write. See sim.h. */
#include "simulation/sim.h"

#include "base/str.h"
#include "conductor/writes.h"

#include <string.h>

#define TAKEOVER (5 * SECOND) /* scans come every second; the clock may have jumped by two */

struct model *store_of(struct sim *m)
{
    m->store.now = m->now + m->jump;
    return &m->store;
}

/* A fault of the statement: 0 none, 1 not carried out, 2 carried out but the answer is lost. */
static int weather(struct sim *m)
{
    (void)store_of(m);
    if (!sim_fault(m, 15))
        return 0;
    return sim_chance(m, 500) ? 1 : 2;
}

static void on_moved(void *ctx, int cluster, int group, const char *from, const char *to)
{
    struct sim *m = ctx;
    bool same = from && strcmp(from, to) == 0; /* written again, not moved */
    if (!same && !status_transition_allowed(from, to))
        sim_violated(m, "%s %d/%d may not go from %s to %s", group == M_NONE ? "cluster" : "group",
                     cluster, group, from ? from : "(new)", to);
}

static void on_ended(void *ctx, int op, const char *was)
{
    struct sim *m = ctx;
    if (op_status_final(was))
        sim_violated(m, "operation %d ended twice, it was %s", op, was);
    m->wishes[op].ended_count++;
}

void store_begin(struct sim *m)
{
    m->store.bug = m->opt->bug;
    m->store.moved = on_moved;
    m->store.ended = on_ended;
    m->store.ctx = m;
}

/* Old clients see that and why an operation is blocked, for as long as it is. */
static void check_shown(struct sim *m, int cluster)
{
    const struct m_cluster *c = &m->store.clusters[cluster];
    bool blocked = false, busy = false, said = str_starts(c->reason, "BLOCKED since ");
    for (int i = 0; i < m->store.n_ops; i++) {
        const struct m_op *o = &m->store.ops[i];
        bool counts = o->cluster == cluster && o->superseded_by == M_NONE;
        blocked |= counts && str_eq(o->status, OPS_BLOCKED);
        busy |= counts && m_unfinished(o);
    }
    if (c->exists && busy && !status_in_progress(c->status))
        sim_violated(m, "cluster %d is %s while an operation is at work", cluster, c->status);
    if (c->exists && status_in_progress(c->status) && blocked != said)
        sim_violated(m, "cluster %d says \"%s\" and is %sblocked", cluster, c->reason,
                     blocked ? "" : "not ");
}

void store_check(struct sim *m)
{
    for (int i = 0; i < M_CLUSTERS; i++)
        check_shown(m, i);
}

bool store_knows(const struct sim *m, int cluster, int node)
{
    return m->store.clusters[cluster].ledger[node].used;
}

/* ---- leases ---- */
static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* In fair weather nothing that is due lies about for long, whoever died before. */
static void check_waiting(struct sim *m, int op, int64_t lease_until)
{
    const struct m_op *o = &m->store.ops[op];
    int64_t since = later(o->due_at, lease_until);
    for (int i = 0; i < m->store.n_ops; i++) /* its elders went first */
        if (m->store.ops[i].cluster == o->cluster && m->store.ops[i].finished_at != TIME_UNSET)
            since = later(since, m->store.ops[i].finished_at);
    since = later(since, m->healed_at + m->jump);
    if (m->healed && m->store.now - since > TAKEOVER)
        sim_violated(m, "operation %d has been due for %.1f s and nobody took it", op,
                     (double)(m->store.now - since) / 1e6);
}

/* Who waited begins with what is wanted now, not with what was when it was accepted. */
static void check_spec(struct sim *m, int op)
{
    struct m_op *o = &m->store.ops[op], now = *o;
    m_spec(&m->store, &now);
    bool newest = o->generation == m->store.clusters[o->cluster].generation;
    if (newest && o->fence == 1 && memcmp(o->counts, now.counts, sizeof now.counts) != 0)
        sim_violated(m, "operation %d begins with an old spec", op);
}

void store_release_expired(struct sim *m)
{
    if (weather(m) == 1)
        return;
    for (int i = 0; i < m->store.n_ops; i++) {
        const struct m_op *o = &m->store.ops[i];
        if (o->owner[0] && o->lease_until <= m->store.now)
            m->freed_at[i] = o->lease_until;
    }
    (void)model_release_expired(&m->store);
}

int store_lease(struct sim *m, const char *owner, int max, int *ret_ops)
{
    int bad = weather(m);
    int64_t until[M_OPS];
    if (bad == 1)
        return 0;
    for (int i = 0; i < M_OPS; i++)
        until[i] = m->store.ops[i].owner[0] ? m->store.ops[i].lease_until : m->freed_at[i];
    int n = model_lease(&m->store, owner, max, LEASE_MS, ret_ops);
    for (int i = 0; i < n; i++) {
        check_waiting(m, ret_ops[i], until[ret_ops[i]]);
        check_spec(m, ret_ops[i]);
    }
    store_check(m);
    return bad ? 0 : n; /* the answer was lost: leased, but nobody knows */
}

int store_renew(struct sim *m, const char *owner, const int *ops, int n)
{
    int bad = weather(m);
    if (bad == 1)
        return ERR_UNAVAILABLE;
    model_renew(&m->store, owner, LEASE_MS, ops, n);
    return bad ? ERR_UNAVAILABLE : 0;
}

void store_load(struct sim *m, int op, struct engine_state *s)
{
    static json_t *gave_up; /* {"error": {}}: all that the engine reads of a report */
    struct err e = ERR_INIT;
    struct m_op *o = &m->store.ops[op];
    struct operation row;
    char by[] = "somebody";
    if (!gave_up)
        gave_up = json_pack("{s:{}}", "error");
    operation_init(&row); /* all members borrowed: never "done" */
    char kind[32], status[16];
    M_SET(kind, op_kind_name(o->kind));
    M_SET(status, o->status);
    row.kind = kind;
    row.status = status;
    row.stage = o->stage;
    row.force = o->force;
    row.cancel_requested = o->cancel;
    row.superseded_by = o->superseded_by == M_NONE ? NULL : by;
    row.attempt = o->attempt;
    row.host_failures = o->host_failures;
    row.steps = o->steps;
    row.percent = o->percent;
    row.created_at = o->created_at;
    row.deadline_at = o->deadline_at;
    row.progress_at = o->progress_at;
    row.lease_fence = o->fence;
    row.code = o->code;
    row.reason = o->reason;
    row.remedy = o->remedy;
    row.actor = o->actor;
    row.message = o->message;
    row.report = o->reported ? gave_up : NULL;
    if (engine_load(s, &row, &e))
        sim_violated(m, "%s", e.msg);
}

int store_reload(struct sim *m, const struct m_guard *g, struct sim_run *r)
{
    if (weather(m))
        return ERR_UNAVAILABLE;
    if (!model_held(&m->store, g))
        return ERR_FENCED;
    const struct m_op *o = &m->store.ops[g->op];
    r->superseded |= o->superseded_by != M_NONE;
    store_load(m, g->op, &r->s);
    memcpy(r->counts, o->counts, sizeof r->counts);
    return 0;
}

/* ---- writes ---- */
static int answer(struct sim *m, int bad, int rc)
{
    store_check(m);
    return rc ? rc : bad ? ERR_UNAVAILABLE : 0;
}

int store_checkpoint(struct sim *m, const struct m_guard *g)
{
    int bad = weather(m);
    char state[16];
    (void)snprintf(state, sizeof state, "%ld", m->steps);
    return bad == 1 ? ERR_UNAVAILABLE : answer(m, bad, model_checkpoint(&m->store, g, state));
}

static void check_texts(struct sim *m, int op, const struct engine_state *s)
{
    const struct engine_trouble *w = &s->trouble;
    bool badly = s->status == ENG_FAILED || s->status == ENG_BLOCKED;
    if (badly && (!w->code[0] || !w->reason[0] || !w->remedy[0] || !w->actor[0]))
        sim_violated(m, "operation %d is %s without reason, remedy or actor", op,
                     engine_status_name(s->status));
    if (s->percent < m->store.ops[op].percent)
        sim_violated(m, "percent of operation %d went back", op);
}

int store_store(struct sim *m, const struct m_guard *g, struct sim_run *r,
                const struct engine_action *a)
{
    struct op_event_new events[ENGINE_NOTES];
    struct op_store st;
    int bad = weather(m);
    if (bad == 1)
        return ERR_UNAVAILABLE;
    write_of_store(&r->s, a, events, &st);
    int64_t percent = m->store.ops[g->op].percent;
    int rc = model_store(&m->store, g, &st, r->workers);
    if (rc == 0) {
        r->workers = M_NONE;
        if (r->s.percent < percent)
            sim_violated(m, "percent of operation %d went back", g->op);
        check_texts(m, g->op, &r->s);
    }
    return answer(m, bad, rc);
}

/* What must be true when an operation says that it succeeded. */
static void check_success(struct sim *m, const struct m_guard *g, const struct sim_run *r)
{
    const struct m_op *o = &m->store.ops[g->op];
    const struct wish *w = &m->wishes[g->op];
    if (o->superseded_by != M_NONE)
        return;
    for (int n = 0; n < M_NODES && o->kind != OP_DELETE; n++)
        if (backend_wants(r->counts, n) != (m->nodes[o->cluster][n] > 0))
            sim_violated(m, "operation %d succeeded, but node %d %s", g->op, n,
                         m->nodes[o->cluster][n] ? "exists" : "does not exist");
    /* what waited starts with what is wanted by then: a newer request may have said more */
    int have = o->group == M_NONE ? 0 : backend_group_count(m, o->cluster, o->group);
    bool going = o->group != M_NONE && str_eq(m->store.clusters[o->cluster].groups[o->group].status,
                                              "DELETE_IN_PROGRESS");
    if (w->asked != M_NONE && o->group != M_NONE && !going && have != w->asked &&
        have != m->wanted[o->cluster][o->group])
        sim_violated(m, "operation %d succeeded with %d nodes, %lld were asked for", g->op, have,
                     (long long)w->asked);
    if (w->named_serial && m->nodes[o->cluster][1] && m->serials[o->cluster][1] == w->named_serial)
        sim_violated(m, "operation %d succeeded, the node it named is still there", g->op);
}

/* A forced delete does not fail; what a delete leaves is in its report. */
static void check_removed(struct sim *m, int op)
{
    const struct m_op *o = &m->store.ops[op];
    for (int n = 0; n < M_NODES; n++)
        if (m->nodes[o->cluster][n] && !(o->left_behind & 1u << n))
            sim_violated(m, "cluster %d is gone, node %d is not, and the report says nothing",
                         o->cluster, n);
}

static void settle_wish(struct sim *m, const struct sim_run *r, int op,
                        const struct engine_action *a)
{
    const struct m_op *o = &m->store.ops[op];
    const struct wish *w = &m->wishes[op];
    bool sized = o->kind == OP_SCALE || o->kind == OP_UPDATE;
    if (a->refused && sized && w->asked != M_NONE && o->group != M_NONE &&
        o->generation == m->store.clusters[o->cluster].generation)
        m->wanted[o->cluster][o->group] = w->before;
    if (a->remove_group && o->group >= 2)
        m->wanted[o->cluster][o->group] = M_NONE;
    if (str_eq(o->status, OPS_FAILED) && o->force && w->forced_at != TIME_UNSET &&
        w->forced_at < r->decided_at)
        sim_violated(m, "operation %d was forced, its runner could know, and it failed", op);
}

int store_finish(struct sim *m, const struct m_guard *g, struct sim_run *r,
                 const struct engine_action *a)
{
    struct op_event_new events[ENGINE_NOTES];
    struct op_finish f;
    struct m_op *o = &m->store.ops[g->op];
    int bad = weather(m);
    if (bad == 1)
        return ERR_UNAVAILABLE;
    write_of_finish(&r->s, a, events, &f);
    int rc = m_guarded(&m->store, g, true);
    if (rc)
        return rc;
    if (r->s.status == ENG_SUCCEEDED)
        check_success(m, g, r);
    check_texts(m, g->op, &r->s);
    bool superseded = o->superseded_by != M_NONE;
    rc = model_finish(&m->store, g, &f, r->workers);
    sim_trace(m, "store: %s %d is %s (%s)%s", op_kind_name(o->kind), g->op, o->status, o->code,
              o->reported ? " with a report" : "");
    if (!superseded)
        settle_wish(m, r, g->op, a);
    if (a->remove_cluster && !superseded)
        check_removed(m, g->op);
    return answer(m, bad, rc);
}

int store_ledger(struct sim *m, const struct m_guard *g, int node, char verb)
{
    int bad = weather(m);
    return bad == 1 ? ERR_UNAVAILABLE : answer(m, bad, model_ledger(&m->store, g, node, verb));
}
