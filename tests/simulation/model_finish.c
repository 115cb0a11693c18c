/* The end of an operation, as db/op_finish.c does it. See model.h. */
#include "simulation/model.h"

#include "base/str.h"

#include <string.h>

/* The statuses are static texts: the result must be one of them too. */
static const char *known(const char *text)
{
    static const char *const all[] = {
        "CREATE_COMPLETE", "CREATE_FAILED", "UPDATE_COMPLETE",   "UPDATE_FAILED",
        "DELETE_COMPLETE", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED",
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (strcmp(all[i], text) == 0)
            return all[i];
    return "?";
}

static bool waits_for(const struct model *m, const struct m_op *o, int group)
{
    for (int i = 0; i < m->n_ops; i++) {
        const struct m_op *q = &m->ops[i];
        if (q != o && q->cluster == o->cluster && q->group == group && m_unfinished(q) &&
            q->superseded_by == M_NONE)
            return true;
    }
    return false;
}

static void end_groups(struct model *m, const struct m_op *o, const struct op_finish *f)
{
    struct m_cluster *c = &m->clusters[o->cluster];
    const char *suffix = f->nodegroup_status ? strrchr(f->nodegroup_status, '_') : NULL;
    for (int g = 0; suffix && g < M_GROUPS; g++) {
        struct m_group *n = &c->groups[g];
        if (!n->used || !str_ends(n->status, "_IN_PROGRESS") || waits_for(m, o, g) ||
            (m->bug == BUG_GROUPS_STUCK && o->group != M_NONE && o->group != g))
            continue;
        char text[32];
        bool back =
            str_starts(f->nodegroup_status, "ROLLBACK_") && str_eq(n->status, "UPDATE_IN_PROGRESS");
        snprintf(text, sizeof text, "%.*s%s", back ? 8 : (int)strlen(n->status) - 12,
                 back ? "ROLLBACK" : n->status, suffix);
        m_group_status(m, o->cluster, g, known(text));
        M_SET(n->reason, f->status_reason);
    }
}

/* The same pure rule as the real store's. */
static const char *as_groups(const struct m_cluster *c, const char *ended, char *failed,
                             size_t size)
{
    static const char *const names[M_GROUPS] = {"default-master", "default-worker", "g2", "g3"};
    const char *statuses[M_GROUPS];
    size_t n = 0, len = 0;
    for (int g = 0; g < M_GROUPS; g++)
        if (c->groups[g].used)
            statuses[n++] = c->groups[g].status;
    for (int g = 0; g < M_GROUPS; g++)
        if (c->groups[g].used && status_failed(c->groups[g].status) && len < size)
            len += (size_t)snprintf(failed + len, size - len, "%s%s failed", len ? ", " : "",
                                    names[g]);
    return status_from_groups(ended, statuses, n);
}

static void end_cluster(struct model *m, const struct m_op *o, const struct op_finish *f,
                        bool queued)
{
    struct m_cluster *c = &m->clusters[o->cluster];
    const char *to = f->cluster_status, *reason = f->status_reason;
    char failed[128] = "";
    if (!to)
        return;
    if (str_ends(to, "_COMPLETE") && !str_starts(to, "ROLLBACK_")) {
        to = as_groups(c, to, failed, sizeof failed);
        if (status_failed(to))
            reason = failed;
        else if (status_in_progress(to))
            to = f->cluster_status;
    }
    bool rollback = str_starts(to, "ROLLBACK_") && str_eq(c->status, "UPDATE_IN_PROGRESS");
    if (!status_transition_allowed(c->status, to) && !rollback)
        return;
    if (!queued)
        m_cluster_status(m, o->cluster, known(to));
    M_SET(c->reason, reason);
}

static void undo(struct model *m, const struct m_op *o)
{
    struct m_cluster *c = &m->clusters[o->cluster];
    if (c->generation != o->generation && m->bug != BUG_UNDO_ANYWAY)
        return;
    if (o->undo_count != M_NONE && o->group != M_NONE)
        c->groups[o->group].node_count = o->undo_count;
    if (o->undo_template)
        c->moved = o->undo_moved;
}

static void report(struct model *m, struct m_op *o)
{
    const struct m_cluster *c = &m->clusters[o->cluster];
    int n = 0;
    char names[96] = "";
    unsigned left = 0;
    for (int i = 0; i < M_NODES; i++) {
        if (!c->ledger[i].used)
            continue;
        left |= 1u << i;
        n++;
    }
    (void)names;
    if ((n == 0 && !o->reported) || m->bug == BUG_REPORT_LOST)
        return;
    o->reported = true;
    o->left_behind = left;
    m_code(o, CODE_LEFT_BEHIND);
    snprintf(o->reason, sizeof o->reason, "%d resources were left behind", n);
    m_event(o, event_text(EVENT_ENDED_LEFT_BEHIND));
}

static void remove_cluster(struct model *m, struct m_op *o)
{
    struct m_cluster *c = &m->clusters[o->cluster];
    report(m, o);
    bool was_made = c->was_made;
    *c = (struct m_cluster){.was_made = was_made, .generation = c->generation, .status = c->status};
}

static void refresh_queued(struct model *m, const struct m_op *o)
{
    for (int i = 0; i < m->n_ops; i++) {
        struct m_op *q = &m->ops[i];
        if (q->cluster != o->cluster || !m_unfinished(q) || q->superseded_by != M_NONE)
            continue;
        if (m->bug != BUG_SPEC_STALE)
            m_spec(m, q);
        q->due_at = q->due_at < m->now ? q->due_at : m->now;
    }
}

static void settle(struct model *m, struct m_op *o, const struct op_finish *f, int64_t worker_count,
                   bool queued)
{
    struct m_cluster *c = &m->clusters[o->cluster];
    if (f->remove_cluster) {
        remove_cluster(m, o);
        return;
    }
    if (f->remove_nodegroup && o->group >= 2)
        c->groups[o->group] = (struct m_group){.used = false};
    if (str_eq(f->status, OPS_SUCCEEDED))
        m_worker_count(m, o, worker_count);
    if (f->refused)
        undo(m, o);
    end_groups(m, o, f);
    end_cluster(m, o, f, queued);
    if (queued)
        refresh_queued(m, o);
}

int model_finish(struct model *m, const struct m_guard *g, const struct op_finish *f,
                 int64_t worker_count)
{
    struct m_op *o = &m->ops[g->op];
    int rc = m_guarded(m, g, true);
    if (rc)
        return rc;
    bool superseded = o->superseded_by != M_NONE, queued = m_others(m, o);
    if (!superseded) {
        o->has_code = f->code != NULL;
        M_SET(o->code, f->code);
        M_SET(o->reason, f->reason);
    }
    M_SET(o->remedy, f->remedy);
    M_SET(o->actor, f->actor);
    o->attempt = f->attempt;
    o->host_failures = f->host_failures;
    o->steps = f->steps;
    if (!superseded && str_eq(f->status, OPS_SUCCEEDED))
        o->percent = 100;
    else if (f->percent > o->percent)
        o->percent = f->percent;
    m_give_up(o, f->gave_up_code, f->gave_up_reason);
    for (size_t i = 0; i < f->n_events; i++)
        m_event(o, f->events[i].code);
    m_end(m, o, superseded ? OPS_CANCELLED : f->status);
    if (m->clusters[o->cluster].exists &&
        (!superseded || (m->bug == BUG_STATUS_ANYWAY && !f->cluster_status))) {
        struct op_finish anyway = *f;
        if (superseded)
            anyway.cluster_status = status_on_failure(o->kind);
        settle(m, o, &anyway, worker_count, queued && !superseded);
    }
    return 0;
}
