/* One schedule: clients and faults for a while, then fair weather until everything has ended; then
 * the four promises are checked. See sim.h. */
#include "simulation/sim.h"

#include "base/str.h"

#include <string.h>

/* Fair weather lasts longer than any backoff, wait or blocked pause: who fails at a deadline that
 * is later than this after healing was stuck. */
#define RECOVERY (400 * SECOND)

/* ---- clients ---- */
static void begin_wish(struct sim *m, int op, int64_t asked, int64_t before)
{
    const struct m_op *o = &m->store.ops[op];
    m->wishes[op] = (struct wish){.asked = asked, .before = before, .forced_at = TIME_UNSET};
    if (o->names)
        m->wishes[op].named_serial = m->nodes[o->cluster][1] ? m->serials[o->cluster][1] : 0;
    m->wishes[op].doomed = sim_fault(m, 60);
}

static bool create(struct sim *m, int cluster, int64_t deadline)
{
    int op = M_NONE;
    int64_t workers = sim_random(m, WORKERS_MAX);
    if (model_create(store_of(m), cluster, workers, deadline, &op))
        return false;
    begin_wish(m, op, workers, M_NONE);
    const int64_t sizes[M_GROUPS] = {1, workers, M_NONE, M_NONE};
    memcpy(m->wanted[cluster], sizes, sizeof sizes);
    sim_trace(m, "client: create of cluster %d accepted as %d, %lld workers", cluster, op,
              (long long)workers);
    return true;
}

/* A kind and what it asks for; refused ones are part of the game. */
static bool change(struct sim *m, int cluster, int64_t deadline)
{
    static const enum op_kind kinds[] = {OP_SCALE,
                                         OP_SCALE,
                                         OP_SCALE,
                                         OP_SCALE,
                                         OP_UPDATE,
                                         OP_DELETE,
                                         OP_DELETE,
                                         OP_UPGRADE,
                                         OP_ROTATE_CA,
                                         OP_NODEGROUP_CREATE,
                                         OP_NODEGROUP_UPDATE,
                                         OP_NODEGROUP_DELETE,
                                         OP_ROTATE_CREDENTIAL};
    static const int64_t room[M_GROUPS] = {1, WORKERS_MAX, EXTRA_MAX, EXTRA2_MAX};
    struct m_change ch = {.node_count = M_NONE, .group = M_NONE, .deadline_at = deadline};
    enum op_kind kind = kinds[sim_random(m, (int64_t)(sizeof kinds / sizeof kinds[0]) - 1)];
    int before = m->store.n_ops, op = M_NONE, group = 1;
    if (kind == OP_NODEGROUP_CREATE || kind == OP_NODEGROUP_UPDATE || kind == OP_NODEGROUP_DELETE ||
        (kind == OP_SCALE && sim_chance(m, 250)))
        ch.group = group = 2 + (int)sim_random(m, 1);
    if (kind == OP_SCALE || kind == OP_NODEGROUP_CREATE ||
        (kind == OP_UPDATE && sim_chance(m, 700)))
        ch.node_count = sim_random(m, room[group]);
    ch.names = kind == OP_SCALE && group == 1 && sim_chance(m, 300);
    ch.force = kind == OP_DELETE && sim_chance(m, 400);
    int64_t was = m->wanted[cluster][group];
    if (model_change(store_of(m), cluster, kind, &ch, &op))
        return false;
    if (op == before)
        begin_wish(m, op, ch.node_count, was);
    if (ch.force && m->wishes[op].forced_at == TIME_UNSET)
        m->wishes[op].forced_at = m->now;
    if (ch.node_count != M_NONE)
        m->wanted[cluster][group] = ch.node_count;
    sim_trace(m, "client: %s of cluster %d%s accepted as %d, group %d, size %lld%s",
              op_kind_name(kind), cluster, ch.force ? " by force" : "", op, ch.group,
              (long long)ch.node_count, ch.names ? ", names a node" : "");
    return true;
}

static bool retry(struct sim *m, int64_t deadline)
{
    int before = m->store.n_ops, op = M_NONE;
    if (before == 0)
        return false;
    int which = (int)sim_random(m, before - 1);
    for (int i = 0; i < before; i++) /* mostly the last that can be */
        if (str_eq(m->store.ops[i].status, OPS_FAILED) && sim_chance(m, 700))
            which = i;
    const struct m_op *old = &m->store.ops[which];
    int64_t newest = m->store.clusters[old->cluster].generation;
    if (model_retry(store_of(m), which, deadline, &op))
        return false;
    sim_trace(m, "client: retry of %d accepted as %d", which, op);
    if (op != before)
        return true;
    if (old->generation != newest)
        sim_violated(m, "a retry of %d was accepted after a newer request", which);
    const struct wish was = m->wishes[which];
    bool sized = old->group != M_NONE && (old->kind == OP_SCALE || old->kind == OP_UPDATE);
    begin_wish(m, op, was.asked, sized ? m->wanted[old->cluster][old->group] : M_NONE);
    m->wishes[op].named_serial = was.named_serial;
    if (sized && was.asked != M_NONE)
        m->wanted[old->cluster][old->group] = was.asked;
    return true;
}

static void request(struct sim *m)
{
    int cluster = (int)sim_random(m, M_CLUSTERS - 1);
    int64_t deadline = m->now + m->jump + 60 * SECOND + sim_random(m, 2400) * SECOND;
    bool accepted;
    if (m->requests++ >= m->opt->max_requests)
        return;
    int64_t dice = sim_random(m, 99);
    if (!m->store.clusters[cluster].was_made)
        accepted = create(m, cluster, deadline);
    else if (dice < 65)
        accepted = change(m, cluster, deadline);
    else if (dice < 85)
        accepted = retry(m, deadline);
    else
        accepted = m->store.n_ops &&
                   model_cancel(store_of(m), (int)sim_random(m, m->store.n_ops - 1)) == 0;
    store_check(m);
    if (!accepted)
        return;
    for (int64_t wakes = sim_random(m, 2); wakes > 0; wakes--) { /* lost, sent or doubled; late */
        int to = (int)sim_random(m, m->n_conductors - 1);
        int64_t delay = sim_chance(m, 100) ? sim_random(m, 30000) : sim_random(m, 50);
        sim_at(m, m->now + delay * MS,
               (struct sim_event){.what = W_SCAN, .conductor = to, .token = 1});
    }
}

/* ---- the end ---- */
static bool all_ended(const struct sim *m)
{
    for (int i = 0; i < m->store.n_ops; i++)
        if (m_unfinished(&m->store.ops[i]))
            return false;
    return true;
}

static void check_operation(struct sim *m, int op, int64_t healed_at)
{
    const struct m_op *o = &m->store.ops[op];
    const struct wish *w = &m->wishes[op];
    const char *kind = op_kind_name(o->kind);
    if (m_unfinished(o)) {
        sim_violated(m, "%s %d never ended: %s, %s", kind, op, o->status, o->code);
        return;
    }
    if (w->ended_count != 1)
        sim_violated(m, "%s %d ended %d times", kind, op, w->ended_count);
    if (!str_eq(o->status, OPS_SUCCEEDED) && !o->code[0])
        sim_violated(m, "%s %d is %s without a code", kind, op, o->status);
    if (str_eq(o->code, "DeadlineExceeded") && o->deadline_at > healed_at + m->jump + RECOVERY)
        sim_violated(m, "%s %d was stuck until its deadline: %s", kind, op, o->reason);
    /* what replaces a request has its wishes in the rows, but for the nodes it named */
    if (w->named_serial && o->superseded_by != M_NONE &&
        m->store.ops[o->superseded_by].kind != OP_DELETE)
        sim_violated(m, "the nodes that operation %d named were forgotten", op);
}

static void check_groups(struct sim *m, int cluster)
{
    const struct m_cluster *c = &m->store.clusters[cluster];
    for (int g = 0; g < M_GROUPS; g++) {
        const struct m_group *n = &c->groups[g];
        if (n->used && status_in_progress(n->status))
            sim_violated(m, "group %d of cluster %d is still %s", g, cluster, n->status);
        if (n->used && n->node_count != m->wanted[cluster][g])
            sim_violated(m, "group %d of cluster %d has size %lld in its row, %lld are wanted", g,
                         cluster, (long long)n->node_count, (long long)m->wanted[cluster][g]);
    }
}

static void check_cluster(struct sim *m, int cluster)
{
    const struct m_cluster *c = &m->store.clusters[cluster];
    int64_t sizes[M_GROUPS];
    if (!c->exists)
        return; /* checked when it went away */
    if (status_in_progress(c->status))
        sim_violated(m, "cluster %d is still %s", cluster, c->status);
    check_groups(m, cluster);
    for (int g = 0; g < M_GROUPS; g++)
        sizes[g] = c->groups[g].used ? c->groups[g].node_count : M_NONE;
    for (int n = 0; n < M_NODES; n++) {
        bool have = m->nodes[cluster][n] > 0;
        bool whole = true; /* a group that could not be removed is another matter */
        for (int g = 0; g < M_GROUPS; g++)
            whole &= !c->groups[g].used || !status_failed(c->groups[g].status);
        if (status_updatable(c->status) && whole && backend_wants(sizes, n) != have)
            sim_violated(m, "cluster %d is %s and node %d %s", cluster, c->status, n,
                         have ? "exists" : "does not exist");
        if (have && !store_knows(m, cluster, n))
            sim_violated(m, "node %d of cluster %d exists but the ledger does not know it", n,
                         cluster);
    }
}

/* ---- faults ---- */
static void heal(struct sim *m)
{
    m->healed = true;
    m->healed_at = m->now;
    sim_trace(m, "---- fair weather from here ----");
    for (int i = 0; i < m->n_conductors; i++) {
        if (m->conductors[i].alive && m->conductors[i].paused_until > m->healed_at)
            m->healed_at = m->conductors[i].paused_until;
        if (!m->conductors[i].alive)
            conductor_start(m, i);
    }
}

/* The store's clock is set: a little ahead, which a conductor must be able to bear, or back, which
 * only makes leases last. */
static void jump(struct sim *m)
{
    if (m->healed)
        return;
    m->jump += m->jump <= 0 && sim_chance(m, 500) ? sim_random(m, (LEASE - BELIEF) / MS) * MS
                                                  : -sim_random(m, 20) * SECOND;
    sim_trace(m, "the store's clock is %.3f s ahead", (double)m->jump / 1e6);
}

static void plan(struct sim *m, int64_t heal_at)
{
    static const enum what troubles[] = {W_CRASH, W_CRASH, W_PAUSE, W_PAUSE, W_STOP};
    int64_t n = 2 + sim_random(m, 14);
    for (int i = 0; i < n; i++)
        sim_at(m, sim_random(m, heal_at), (struct sim_event){.what = W_REQUEST});
    for (int64_t k = sim_random(m, 10); k > 0; k--) {
        struct sim_event ev = {.what = troubles[sim_random(m, 4)]};
        ev.conductor = (int)sim_random(m, m->n_conductors - 1);
        int64_t at = sim_random(m, heal_at);
        if (sim_fault(m, 1000))
            sim_at(m, at, ev);
    }
    int64_t at = sim_random(m, heal_at);
    if (sim_fault(m, 300))
        sim_at(m, at, (struct sim_event){.what = W_JUMP});
    sim_at(m, heal_at, (struct sim_event){.what = W_HEAL});
}

bool schedule_run(struct sim *m, uint64_t seed, const struct options *opt, FILE *trace)
{
    memset(m, 0, sizeof *m);
    m->opt = opt;
    m->rng = seed;
    m->trace = trace;
    m->cfg = (struct engine_config)ENGINE_CONFIG_DEFAULT;
    m->cfg.blocked_after_ms = 60000;
    store_begin(m);
    m->crowded = seed % 3 == 0;
    m->n_conductors = 2 + (int)sim_random(m, CONDUCTORS - 2);
    for (int i = 0; i < m->n_conductors; i++)
        conductor_start(m, i);
    int64_t heal_at = (20 + sim_random(m, 300)) * SECOND, last = heal_at + 3600 * SECOND;
    plan(m, heal_at);

    struct sim_event ev;
    while (!m->violation[0] && sim_next(m, &ev) && m->now < last) {
        if (ev.what == W_REQUEST)
            request(m);
        else if (ev.what == W_HEAL)
            heal(m);
        else if (ev.what == W_JUMP)
            jump(m);
        else
            conductor_event(m, &ev);
        if (m->healed && all_ended(m))
            break;
    }
    for (int i = 0; i < m->store.n_ops; i++)
        check_operation(m, i, heal_at);
    for (int i = 0; i < M_CLUSTERS; i++)
        check_cluster(m, i);
    return !m->violation[0];
}
