/* The queue: leases, guarded writes of steps, the ledger, as db/db_operation.c does it, and what
 * the files of the model share. See model.h. */
#include "simulation/model.h"

#include "base/str.h"

#include <string.h>

const char *bug_name(enum bug b)
{
    static const char *const names[] = {
        "none",          "no-fence",      "no-generation",    "broker-unfenced", "confirm-first",
        "double-lease",  "older-leased",  "no-reload",        "no-expiry",       "ledger-lost",
        "status-anyway", "no-scan",       "superseded-stays", "early-answer",    "names-dropped",
        "spec-stale",    "reason-stays",  "reason-hidden",    "report-lost",     "undo-anyway",
        "output-wins",   "force-unheard", "groups-stuck",     "retry-old",       "renew-all",
        "stop-early",    "free-early",
    };
    return b < BUGS ? names[b] : "?";
}

bool m_unfinished(const struct m_op *o)
{
    return o->used && !op_status_final(o->status);
}

bool m_leased(const struct model *m, const struct m_op *o)
{
    return o->owner[0] && (o->lease_until > m->now || m->bug == BUG_NO_EXPIRY);
}

bool m_others(const struct model *m, const struct m_op *o)
{
    for (int i = 0; i < m->n_ops; i++) {
        const struct m_op *q = &m->ops[i];
        if (q != o && q->cluster == o->cluster && m_unfinished(q) && q->superseded_by == M_NONE)
            return true;
    }
    return false;
}

void m_event(struct m_op *o, const char *code)
{
    if (o->n_events < M_EVENTS)
        o->events[o->n_events++] = code;
}

void m_code(struct m_op *o, enum op_code code)
{
    const struct code_info *c = code_info(code);
    o->has_code = true;
    M_SET(o->code, c->text);
    M_SET(o->actor, c->actor);
    M_SET(o->remedy, c->remedy);
}

void m_end(struct model *m, struct m_op *o, const char *status)
{
    if (m->ended)
        m->ended(m->ctx, (int)(o - m->ops), o->status);
    o->status = status;
    o->finished_at = m->now;
    o->owner[0] = '\0';
    o->lease_until = o->blocked_since = TIME_UNSET;
}

void m_cluster_status(struct model *m, int cluster, const char *to)
{
    struct m_cluster *c = &m->clusters[cluster];
    if (m->moved)
        m->moved(m->ctx, cluster, M_NONE, c->status, to);
    c->status = to;
}

void m_group_status(struct model *m, int cluster, int group, const char *to)
{
    struct m_group *g = &m->clusters[cluster].groups[group];
    if (m->moved)
        m->moved(m->ctx, cluster, group, g->status, to);
    g->status = to;
}

void m_spec(struct model *m, struct m_op *o)
{
    const struct m_cluster *c = &m->clusters[o->cluster];
    for (int g = 0; g < M_GROUPS; g++) {
        const struct m_group *n = &c->groups[g];
        bool wanted = n->used && (o->kind == OP_DELETE || !str_eq(n->status, "DELETE_IN_PROGRESS"));
        o->counts[g] = wanted ? n->node_count : M_NONE;
    }
}

void m_worker_count(struct model *m, const struct m_op *o, int64_t count)
{
    if (count != M_NONE && (!m_others(m, o) || m->bug == BUG_OUTPUT_WINS))
        m->clusters[o->cluster].groups[1].node_count = count;
}

void m_give_up(struct m_op *o, const char *code, const char *reason)
{
    if (!code || o->reported)
        return;
    o->reported = true;
    M_SET(o->report_error, code);
    M_SET(o->report_reason, reason);
}

/* ---- leases ---- */
static bool elder(const struct model *m, int op)
{
    for (int i = 0; i < m->n_ops; i++)
        if (m->ops[i].cluster == m->ops[op].cluster && m_unfinished(&m->ops[i]) &&
            m->ops[i].generation < m->ops[op].generation)
            return true;
    return false;
}

static void end_abandoned(struct model *m)
{
    for (int i = 0; i < m->n_ops && m->bug != BUG_SUPERSEDED_STAYS; i++) {
        struct m_op *o = &m->ops[i];
        if (o->superseded_by == M_NONE || !m_unfinished(o) || m_leased(m, o))
            continue;
        m_code(o, CODE_SUPERSEDED);
        snprintf(o->reason, sizeof o->reason, "superseded by operation #%d", o->superseded_by);
        m_event(o, event_text(EVENT_ENDED_CANCELLED));
        m_end(m, o, OPS_CANCELLED);
    }
}

static bool due(const struct model *m, int op, const char *owner)
{
    const struct m_op *o = &m->ops[op];
    bool taken = m_leased(m, o);
    if (m->bug == BUG_DOUBLE_LEASE && !str_eq(o->owner, owner))
        taken = false;
    return m_unfinished(o) && o->superseded_by == M_NONE && o->due_at <= m->now && !taken &&
           (!elder(m, op) || m->bug == BUG_OLDER_LEASED);
}

int model_lease(struct model *m, const char *owner, int max, int64_t lease_ms, int *ret_ops)
{
    int n = 0;
    bool can[M_OPS];
    end_abandoned(m);
    for (int i = 0; i < m->n_ops; i++)
        can[i] = due(m, i, owner);
    while (n < max) {
        int next = M_NONE; /* the one that has waited longest */
        for (int i = 0; i < m->n_ops; i++)
            if (can[i] && (next == M_NONE || m->ops[i].due_at < m->ops[next].due_at))
                next = i;
        if (next == M_NONE)
            break;
        struct m_op *o = &m->ops[next];
        can[next] = false;
        M_SET(o->owner, owner);
        o->fence++;
        o->lease_until = m->now + lease_ms * 1000;
        if (str_eq(o->status, OPS_PENDING))
            o->status = OPS_RUNNING;
        if (o->started_at == TIME_UNSET)
            o->started_at = m->now;
        ret_ops[n++] = next;
    }
    return n;
}

void model_renew(struct model *m, const char *owner, int64_t lease_ms, const int *ops, int n)
{
    for (int i = 0; i < (m->bug == BUG_RENEW_ALL ? m->n_ops : n); i++) {
        struct m_op *o = &m->ops[m->bug == BUG_RENEW_ALL ? i : ops[i]];
        if (m_unfinished(o) && str_eq(o->owner, owner) && m_leased(m, o))
            o->lease_until = m->now + lease_ms * 1000;
    }
}

bool model_held(const struct model *m, const struct m_guard *g)
{
    const struct m_op *o = &m->ops[g->op];
    return m_unfinished(o) && str_eq(o->owner, g->owner) && o->fence == g->fence && m_leased(m, o);
}

unsigned char model_news(const struct model *m, int op)
{
    const struct m_op *o = &m->ops[op];
    return (unsigned char)((o->cancel ? OP_NEWS_CANCEL : 0) |
                           (o->superseded_by != M_NONE ? OP_NEWS_SUPERSEDED : 0) |
                           (o->force ? OP_NEWS_FORCE : 0));
}

int m_guarded(const struct model *m, const struct m_guard *g, bool superseded_too)
{
    if (!model_held(m, g) && !(m->bug == BUG_NO_FENCE && m_unfinished(&m->ops[g->op])))
        return ERR_FENCED;
    if (!superseded_too && m->ops[g->op].superseded_by != M_NONE && m->bug != BUG_NO_GENERATION)
        return ERR_FENCED;
    return 0;
}

void model_release_all(struct model *m, const char *owner)
{
    for (int i = 0; i < m->n_ops; i++) {
        struct m_op *o = &m->ops[i];
        if (!str_eq(o->owner, owner))
            continue;
        o->owner[0] = '\0';
        o->lease_until = TIME_UNSET;
        o->due_at = m->now;
    }
}

int model_release_expired(struct model *m)
{
    int n = 0;
    for (int i = 0; i < m->n_ops && m->bug != BUG_NO_EXPIRY; i++) {
        struct m_op *o = &m->ops[i];
        if (!o->owner[0] || (m_leased(m, o) && m->bug != BUG_FREE_EARLY))
            continue;
        o->owner[0] = '\0';
        o->lease_until = TIME_UNSET;
        n++;
    }
    return n;
}

/* ---- writes of a step ---- */
int model_checkpoint(struct model *m, const struct m_guard *g, const char *state)
{
    struct m_op *o = &m->ops[g->op];
    int rc = m_guarded(m, g, false);
    if (rc)
        return rc;
    if (strcmp(o->state, state) != 0)
        o->progress_at = m->now;
    M_SET(o->state, state);
    return 0;
}

static void put(int64_t *member, int64_t value)
{
    if (value != MODEL_UNSET)
        *member = value;
}

static void put_reason(struct m_op *o, const struct op_store *s)
{
    if (!s->set_reason)
        return;
    o->has_code = s->code != NULL;
    M_SET(o->code, s->code);
    M_SET(o->reason, s->reason);
    M_SET(o->remedy, s->remedy);
    M_SET(o->actor, s->actor);
}

static void show_at(struct model *m, const struct m_op *o, const char *status, char *reason,
                    size_t size)
{
    bool blocked = str_eq(o->status, OPS_BLOCKED);
    if (!status || !str_ends(status, "_IN_PROGRESS"))
        return;
    if (blocked && m->bug != BUG_REASON_HIDDEN)
        snprintf(reason, size, "BLOCKED since (%s): %s; the %s must act: %s", o->code, o->reason,
                 o->actor[0] ? o->actor : "operator", o->remedy);
    else if (!blocked && str_starts(reason, "BLOCKED since ") && m->bug != BUG_REASON_STAYS)
        reason[0] = '\0';
}

static void show(struct model *m, const struct m_op *o)
{
    struct m_cluster *c = &m->clusters[o->cluster];
    if (!c->exists)
        return;
    show_at(m, o, c->status, c->reason, sizeof c->reason);
    if (o->group == M_NONE || !c->groups[o->group].used)
        return;
    struct m_group *g = &c->groups[o->group];
    show_at(m, o, g->status, g->reason, sizeof g->reason);
}

int model_store(struct model *m, const struct m_guard *g, const struct op_store *s,
                int64_t worker_count)
{
    struct m_op *o = &m->ops[g->op];
    int rc = m_guarded(m, g, false);
    if (rc)
        return rc;
    if (s->status)
        o->status = s->status;
    if (s->stage)
        M_SET(o->stage, s->stage);
    if (s->message) {
        o->has_message = true;
        M_SET(o->message, s->message);
    }
    put(&o->attempt, s->attempt);
    put(&o->host_failures, s->host_failures);
    put(&o->steps, s->steps);
    put(&o->percent, s->percent);
    put_reason(o, s);
    if (s->progress)
        o->progress_at = m->now;
    if (!s->blocked)
        o->blocked_since = TIME_UNSET;
    else if (o->blocked_since == TIME_UNSET)
        o->blocked_since = m->now;
    o->due_at = m->now + s->due_in_ms * 1000;
    if (s->release) {
        o->owner[0] = '\0';
        o->lease_until = TIME_UNSET;
    }
    m_give_up(o, s->gave_up_code, s->gave_up_reason);
    for (size_t i = 0; i < s->n_events; i++)
        m_event(o, s->events[i].code);
    if (m->clusters[o->cluster].exists && m->bug == BUG_OUTPUT_WINS)
        m_worker_count(m, o, worker_count);
    if (s->show)
        show(m, o);
    return 0;
}

int model_ledger(struct model *m, const struct m_guard *g, int node, char verb)
{
    struct m_cluster *c = &m->clusters[m->ops[g->op].cluster];
    int rc = m_guarded(m, g, true);
    if (rc)
        return rc;
    bool was = c->ledger[node].used;
    c->ledger[node].used = verb != 'x' && !(verb == 'd' && m->bug == BUG_LEDGER_LOST);
    c->ledger[node].confirmed = verb == 'c' || (verb == 'd' && was && c->ledger[node].confirmed);
    return 0;
}
