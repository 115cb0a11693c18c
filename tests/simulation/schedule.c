/* One schedule: clients and faults for a while, then fair weather until everything has ended; then
 * the four promises are checked. See sim.h. */
#include "simulation/sim.h"

#include "base/str.h"

#include <string.h>

/* Fair weather lasts longer than any backoff, wait or blocked pause: who fails at a deadline that
 * is later than this after healing was stuck. */
#define RECOVERY (400 * SECOND)

static void request(struct sim *m)
{
    int cluster = (int)sim_random(m, CLUSTERS - 1), target = (int)sim_random(m, NODES);
    int64_t deadline = m->now + 60 * SECOND + sim_random(m, 2400) * SECOND;
    enum op_kind kind = OP_CREATE;
    if (m->requests++ >= m->opt->max_requests)
        return;
    if (m->store.clusters[cluster].was_made) {
        int64_t dice = sim_random(m, 99);
        kind = dice < 45 ? OP_SCALE : dice < 75 ? OP_DELETE : OP_UPDATE;
        if (dice >= 85) {
            (void)store_cancel(m, (int)sim_random(m, OPS - 1));
            return;
        }
    }
    if (!store_accept(m, cluster, kind, target, deadline))
        return;
    for (int64_t wakes = sim_random(m, 2); wakes > 0; wakes--) { /* lost, sent or doubled */
        int to = (int)sim_random(m, m->n_conductors - 1);
        sim_at(m, m->now + sim_random(m, 50) * MS,
               (struct sim_event){.what = W_SCAN, .conductor = to, .token = 1});
    }
}

static bool all_ended(const struct sim *m)
{
    for (int i = 0; i < OPS; i++)
        if (m->store.ops[i].used && !op_status_final(m->store.ops[i].row.status))
            return false;
    return true;
}

static void check_operation(struct sim *m, const struct sim_op *o, int64_t healed_at)
{
    const struct operation *row = &o->row;
    if (!op_status_final(row->status)) {
        sim_violated(m, "%s %s never ended: %s, %s", row->kind, row->id, row->status,
                     row->code ? row->code : "no code");
        return;
    }
    if (o->ended_count != 1)
        sim_violated(m, "%s ended %d times", row->id, o->ended_count);
    if (!str_eq(row->status, OPS_SUCCEEDED) && str_blank(row->code))
        sim_violated(m, "%s is %s without a code", row->id, row->status);
    if (str_eq(row->code, "DeadlineExceeded") && row->deadline_at > healed_at + RECOVERY)
        sim_violated(m, "%s %s was stuck until its deadline: %s", row->kind, row->id, row->reason);
}

static void check_cluster(struct sim *m, int cluster)
{
    const struct sim_cluster *c = &m->store.clusters[cluster];
    int have = backend_count(m, cluster);
    if (!c->exists) {
        if (have)
            sim_violated(m, "cluster %d is gone but %d of its resources are not", cluster, have);
        return;
    }
    if (status_in_progress(c->status))
        sim_violated(m, "cluster %d is still %s", cluster, c->status);
    if (status_updatable(c->status) && have != c->target)
        sim_violated(m, "cluster %d is %s with %d resources instead of %d", cluster, c->status,
                     have, c->target);
    for (int n = 0; n < NODES; n++)
        if (m->nodes[cluster][n] && !store_ledger_find(m, cluster, n))
            sim_violated(m, "node %d of cluster %d exists but the ledger does not know it", n,
                         cluster);
}

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

static void plan(struct sim *m, int64_t heal_at)
{
    static const enum what troubles[] = {W_CRASH, W_CRASH, W_PAUSE, W_PAUSE, W_STOP};
    int64_t n = 2 + sim_random(m, 10);
    for (int i = 0; i < n; i++)
        sim_at(m, sim_random(m, heal_at), (struct sim_event){.what = W_REQUEST});
    for (int64_t k = sim_random(m, 10); k > 0; k--) {
        struct sim_event ev = {.what = troubles[sim_random(m, 4)]};
        ev.conductor = (int)sim_random(m, m->n_conductors - 1);
        int64_t at = sim_random(m, heal_at);
        if (sim_fault(m, 1000))
            sim_at(m, at, ev);
    }
    sim_at(m, heal_at, (struct sim_event){.what = W_HEAL});
}

bool schedule_run(struct sim *m, uint64_t seed, const struct options *opt, FILE *trace)
{
    *m = (struct sim){.opt = opt, .rng = seed, .trace = trace, .cfg = ENGINE_CONFIG_DEFAULT};
    m->cfg.blocked_after_ms = 60000;
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
        else
            conductor_event(m, &ev);
        if (m->healed && all_ended(m))
            break;
    }
    for (int i = 0; i < OPS; i++)
        if (m->store.ops[i].used)
            check_operation(m, &m->store.ops[i], heal_at);
    for (int i = 0; i < CLUSTERS; i++)
        check_cluster(m, i);
    store_done(m);
    return !m->violation[0];
}
