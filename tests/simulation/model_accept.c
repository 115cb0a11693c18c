/* Accepting, as db/db_accept.c, accept_change.c and accept_retry.c do it. See model.h. */
#include "simulation/model.h"

#include "base/str.h"

#include <string.h>

static int fresh(struct model *m, int cluster, enum op_kind kind, int64_t deadline_at)
{
    struct m_op *o = &m->ops[m->n_ops];
    *o = (struct m_op){.used = true,
                       .cluster = cluster,
                       .group = M_NONE,
                       .kind = kind,
                       .status = OPS_PENDING,
                       .superseded_by = M_NONE,
                       .retry_of = M_NONE,
                       .undo_count = M_NONE,
                       .lease_until = TIME_UNSET,
                       .due_at = m->now,
                       .created_at = m->now,
                       .deadline_at = deadline_at,
                       .progress_at = TIME_UNSET,
                       .started_at = TIME_UNSET,
                       .finished_at = TIME_UNSET,
                       .blocked_since = TIME_UNSET};
    m_event(o, event_text(EVENT_ACCEPTED));
    return m->n_ops++;
}

int model_create(struct model *m, int cluster, int64_t workers, int64_t deadline_at, int *ret_op)
{
    struct m_cluster *c = &m->clusters[cluster];
    if (m->n_ops == M_OPS || c->was_made)
        return ERR_QUOTA;
    *c = (struct m_cluster){.exists = true, .was_made = true, .generation = 1};
    m_cluster_status(m, cluster, status_on_accept(OP_CREATE));
    for (int g = 0; g < 2; g++) {
        c->groups[g] = (struct m_group){.used = true, .node_count = g == 0 ? 1 : workers};
        m_group_status(m, cluster, g, status_on_accept(OP_CREATE));
    }
    *ret_op = fresh(m, cluster, OP_CREATE, deadline_at);
    m->ops[*ret_op].generation = 1;
    m_spec(m, &m->ops[*ret_op]);
    return 0;
}

static int check_status(const struct m_cluster *c, enum op_kind kind)
{
    bool fine = kind == OP_DELETE;
    if (kind == OP_UPDATE || kind == OP_UPGRADE || kind == OP_ROTATE_CA)
        fine = status_updatable(c->status);
    if (kind == OP_SCALE || kind == OP_ROTATE_CREDENTIAL)
        fine = status_resizable(c->status);
    if (kind == OP_NODEGROUP_CREATE || kind == OP_NODEGROUP_UPDATE || kind == OP_NODEGROUP_DELETE)
        fine = status_transition_allowed(c->status, status_on_accept(kind));
    return fine ? 0 : ERR_UNSUPPORTED;
}

static int check_group(const struct m_cluster *c, enum op_kind kind, int group)
{
    const struct m_group *g = &c->groups[group];
    if (kind == OP_NODEGROUP_CREATE)
        return g->used ? ERR_EXISTS : 0;
    if (!g->used)
        return ERR_NOT_FOUND;
    if (kind == OP_NODEGROUP_UPDATE && !status_resizable(g->status))
        return ERR_UNSUPPORTED;
    return kind == OP_NODEGROUP_DELETE && group < 2 ? ERR_UNSUPPORTED : 0;
}

static bool replaced(const struct model *m, const struct m_op *o, enum op_kind kind)
{
    if (kind == OP_DELETE)
        return true;
    return (o->kind == OP_UPDATE || o->kind == OP_SCALE) &&
           (!o->names || m->bug == BUG_NAMES_DROPPED);
}

static void supersede(struct model *m, int cluster, enum op_kind kind, int by)
{
    if (kind != OP_DELETE && kind != OP_UPDATE && kind != OP_SCALE)
        return;
    for (int i = 0; i < m->n_ops; i++) {
        struct m_op *o = &m->ops[i];
        if (o->cluster != cluster || !m_unfinished(o) || o->superseded_by != M_NONE || i == by ||
            !replaced(m, o, kind))
            continue;
        o->superseded_by = by;
        o->cancel = true;
        m_code(o, CODE_SUPERSEDED);
        snprintf(o->reason, sizeof o->reason, "superseded by operation #%d", by);
        if (m_leased(m, o)) {
            m_event(o, event_text(EVENT_SUPERSEDE_REQUESTED));
            continue;
        }
        m_event(o, event_text(EVENT_ENDED_CANCELLED));
        m_end(m, o, OPS_CANCELLED);
    }
}

static bool blocked_elder(const struct model *m, int cluster)
{
    for (int i = 0; i < m->n_ops; i++) {
        const struct m_op *o = &m->ops[i];
        if (o->cluster == cluster && m_unfinished(o) && o->superseded_by == M_NONE &&
            str_eq(o->status, OPS_BLOCKED))
            return true;
    }
    return false;
}

static void mark_all(struct model *m, int cluster, const char *to, bool any)
{
    struct m_cluster *c = &m->clusters[cluster];
    for (int g = 0; g < M_GROUPS; g++) {
        if (!c->groups[g].used || !(any || status_transition_allowed(c->groups[g].status, to)))
            continue;
        m_group_status(m, cluster, g, to);
        c->groups[g].reason[0] = '\0';
    }
}

static void touch(struct model *m, struct m_op *o, const struct m_change *ch, int group)
{
    struct m_group *g = &m->clusters[o->cluster].groups[group];
    const char *to =
        o->kind == OP_NODEGROUP_DELETE ? "DELETE_IN_PROGRESS" : status_on_accept(o->kind);
    o->group = group;
    if (ch->node_count != M_NONE) {
        o->undo_count = g->node_count;
        g->node_count = ch->node_count;
    }
    if (!status_transition_allowed(g->status, to))
        return;
    if (!str_eq(g->status, to))
        g->reason[0] = '\0';
    m_group_status(m, o->cluster, group, to);
}

static void change_groups(struct model *m, struct m_op *o, const struct m_change *ch, int group)
{
    struct m_cluster *c = &m->clusters[o->cluster];
    switch (o->kind) {
    case OP_DELETE:
        mark_all(m, o->cluster, status_on_accept(OP_DELETE), true);
        break;
    case OP_UPGRADE:
        mark_all(m, o->cluster, status_on_accept(OP_UPGRADE), false);
        break;
    case OP_NODEGROUP_CREATE:
        c->groups[group] = (struct m_group){.used = true, .node_count = ch->node_count};
        o->group = group;
        m_group_status(m, o->cluster, group, "CREATE_IN_PROGRESS");
        break;
    case OP_UPDATE:
        if (ch->node_count != M_NONE)
            touch(m, o, ch, group);
        break;
    case OP_SCALE:
    case OP_NODEGROUP_UPDATE:
    case OP_NODEGROUP_DELETE:
        touch(m, o, ch, group);
        break;
    default:
        break;
    }
}

static int join_delete(struct model *m, int cluster, const struct m_change *ch)
{
    for (int i = 0; i < m->n_ops; i++) {
        struct m_op *o = &m->ops[i];
        if (o->cluster != cluster || o->kind != OP_DELETE || !m_unfinished(o) ||
            o->superseded_by != M_NONE)
            continue;
        if (ch->force && !o->force) {
            o->force = true;
            o->due_at = o->due_at < m->now ? o->due_at : m->now;
            m_event(o, event_text(EVENT_FORCE_REQUESTED));
        }
        return i;
    }
    return M_NONE;
}

int model_change(struct model *m, int cluster, enum op_kind kind, const struct m_change *ch,
                 int *ret_op)
{
    struct m_cluster *c = &m->clusters[cluster];
    int group = ch->group == M_NONE ? 1 : ch->group;
    if (!c->exists)
        return ERR_NOT_FOUND;
    *ret_op = kind == OP_DELETE ? join_delete(m, cluster, ch) : M_NONE;
    if (*ret_op != M_NONE)
        return 0;
    if (m->n_ops == M_OPS)
        return ERR_QUOTA;
    bool grouped = kind == OP_SCALE || kind == OP_NODEGROUP_CREATE || kind == OP_NODEGROUP_UPDATE ||
                   kind == OP_NODEGROUP_DELETE || (kind == OP_UPDATE && ch->node_count != M_NONE);
    int rc = check_status(c, kind);
    if (!rc && grouped)
        rc = check_group(c, kind, group);
    if (rc)
        return rc;
    int id = *ret_op = fresh(m, cluster, kind, ch->deadline_at);
    struct m_op *o = &m->ops[id];
    o->force = ch->force && kind == OP_DELETE;
    o->names = ch->names;
    supersede(m, cluster, kind, id);
    o->generation = ++c->generation;
    m_cluster_status(m, cluster, status_on_accept(kind));
    if (!blocked_elder(m, cluster))
        c->reason[0] = '\0';
    if (kind == OP_UPGRADE) {
        o->undo_template = true;
        o->undo_moved = c->moved;
        c->moved = true;
    }
    change_groups(m, o, ch, group);
    m_spec(m, o);
    return 0;
}

/* ---- retry ---- */
static int anew(struct model *m, int op, int64_t deadline_at, int *ret_op)
{
    const struct m_op *old = &m->ops[op];
    struct m_cluster *c = &m->clusters[old->cluster];
    for (int i = 0; i < m->n_ops; i++)
        if (m->ops[i].retry_of == op && m_unfinished(&m->ops[i]) &&
            m->ops[i].superseded_by == M_NONE) {
            *ret_op = i;
            return 0;
        }
    if (!c->exists)
        return ERR_NOT_FOUND;
    if (c->generation != old->generation && m->bug != BUG_RETRY_OLD)
        return ERR_CONFLICT;
    if (old->kind != OP_DELETE && m->bug != BUG_RETRY_OLD &&
        !status_transition_allowed(c->status, status_on_accept(old->kind)))
        return ERR_CONFLICT;
    if (m->n_ops == M_OPS)
        return ERR_QUOTA;
    int id = *ret_op = fresh(m, old->cluster, old->kind, deadline_at);
    struct m_op *o = &m->ops[id];
    o->group = old->group;
    o->force = old->force;
    o->names = old->names;
    o->retry_of = op;
    if (o->group != M_NONE && (o->kind == OP_SCALE || o->kind == OP_UPDATE)) {
        o->undo_count = c->groups[o->group].node_count;
        if (old->counts[o->group] != M_NONE)
            c->groups[o->group].node_count = old->counts[o->group];
    }
    if (o->kind == OP_UPGRADE) {
        o->undo_template = true;
        o->undo_moved = c->moved;
        c->moved = true;
    }
    o->generation = ++c->generation;
    m_cluster_status(m, o->cluster, status_on_accept(o->kind));
    c->reason[0] = '\0';
    const char *to = status_group_on_accept(o->kind);
    bool all = o->kind == OP_CREATE || o->kind == OP_DELETE || o->kind == OP_UPGRADE;
    for (int g = 0; g < M_GROUPS && (all || o->group != M_NONE); g++) {
        if (!c->groups[g].used || (o->group != M_NONE && g != o->group) ||
            !(o->kind == OP_DELETE || status_transition_allowed(c->groups[g].status, to)))
            continue;
        m_group_status(m, o->cluster, g, to);
        c->groups[g].reason[0] = '\0';
    }
    m_spec(m, o);
    return 0;
}

int model_retry(struct model *m, int op, int64_t deadline_at, int *ret_op)
{
    struct m_op *o = &m->ops[op];
    if (str_eq(o->status, OPS_FAILED))
        return anew(m, op, deadline_at, ret_op);
    if (!str_eq(o->status, OPS_BLOCKED) || o->superseded_by != M_NONE)
        return ERR_CONFLICT;
    *ret_op = op;
    m_event(o, event_text(EVENT_RETRY_REQUESTED));
    if (m_leased(m, o))
        return 0;
    o->due_at = m->now;
    o->attempt = o->host_failures = 0;
    return 0;
}

int model_cancel(struct model *m, int op)
{
    struct m_op *o = &m->ops[op];
    if (!m_unfinished(o))
        return ERR_CONFLICT;
    if (o->cancel)
        return 0;
    o->cancel = true;
    o->due_at = m->now;
    m_event(o, event_text(EVENT_CANCEL_REQUESTED));
    return 0;
}
