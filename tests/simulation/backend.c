/* The backend and the drivers. The backend makes a second resource when it is asked twice: only
 * leases, fencing and looking first keep it from that. A driver's step is a row of parts with time
 * between them, so that everything else can happen in the middle. See sim.h. */
#include "simulation/sim.h"

enum { P_LOOK, P_DECLARE, P_ACT, P_CONFIRM, P_CHECKPOINT, P_ANSWER, PARTS };

int backend_count(const struct sim *m, int cluster)
{
    int n = 0;
    for (int i = 0; i < NODES; i++)
        n += m->nodes[cluster][i];
    return n;
}

static void answer(struct sim_run *r, int rc, const char *reason, const char *message)
{
    r->ev = (struct engine_event){.kind = EV_STEP, .rc = rc, .reason = reason, .message = message};
    r->ev.checkpointed = r->call.checkpointed;
}

void backend_begin(struct sim *m, struct sim_run *r, const struct engine_action *a)
{
    static const enum call_fate fates[] = {FATE_ERROR, FATE_CRASH, FATE_HANG,
                                           FATE_LATE,  FATE_LIE,   FATE_STUBBORN};
    r->call = (struct sim_call){.begun = m->now,
                                .budget_end = m->now + (a->budget_ms + 5000) * MS,
                                .flags = a->flags,
                                .at = P_LOOK};
    if (sim_fault(m, 120)) {
        r->call.fate = fates[sim_random(m, (int64_t)(sizeof fates / sizeof fates[0]) - 1)];
        r->call.crash_at = (int)sim_random(m, PARTS - 1);
    }
    m->steps++;
}

/* A call to the backend goes through the conductor, which stops it when the lease is gone. */
static bool brokered(struct sim *m, struct sim_run *r)
{
    if (m->opt->bug == BUG_BROKER_UNFENCED)
        return true;
    return !r->lost && m->now < r->held_until;
}

static void mutate(struct sim *m, const struct sim_conductor *c, struct sim_run *r, int cluster)
{
    struct sim_guard g = {r->op, c->owner, r->fence};
    const struct sim_op *o = &m->store.ops[r->op];
    int node = r->call.node;
    if (!store_held(m, &g))
        sim_violated(m, "%s changes the backend without a lease", o->row.id);
    if (!m->store.clusters[cluster].exists)
        sim_violated(m, "%s changes the backend of a cluster that is gone", o->row.id);
    if (r->call.removing) {
        m->nodes[cluster][node] = 0;
        sim_trace(m, "backend: node %d of cluster %d is gone", node, cluster);
        return;
    }
    if (m->nodes[cluster][node]++)
        sim_violated(m, "node %d of cluster %d was made twice, by %s", node, cluster, o->row.id);
    if (!store_ledger_find(m, cluster, node))
        sim_violated(m, "%s made node %d that the ledger does not know", o->row.id, node);
    sim_trace(m, "backend: node %d of cluster %d made by %s", node, cluster, o->row.id);
}

/* Finds the next thing to do; false when the world is as wanted. */
static bool look(struct sim *m, struct sim_run *r, int cluster, int target)
{
    for (int n = 0; n < NODES; n++) {
        bool known = store_ledger_find(m, cluster, n);
        bool want = n<target, have = m->nodes[cluster][n]> 0;
        if (want == have && (want || !known))
            continue;
        r->call.node = n;
        r->call.removing = !want;
        return true;
    }
    return false;
}

static bool upcall(struct sim_run *r, int rc)
{
    if (rc == ERR_FENCED)
        answer(r, RC_PRECONDITION, "Fenced", "fenced");
    else if (rc)
        answer(r, RC_UNAVAILABLE, "StoreDown", "the store does not answer");
    r->rc = rc;
    return rc != 0;
}

/* One part in good weather; true = the step ended. */
static bool part(struct sim *m, struct sim_conductor *c, struct sim_run *r)
{
    const struct sim_op *o = &m->store.ops[r->op];
    struct sim_guard g = {r->op, c->owner, r->fence};
    bool confirm_first = m->opt->bug == BUG_CONFIRM_FIRST;
    bool asked = (r->call.flags & CALLF_CANCEL) || r->cancel || r->superseded;
    switch (r->call.at++) {
    case P_LOOK:
        if (asked && r->call.fate != FATE_STUBBORN) {
            answer(r, RC_CANCELLED, "Cancelled", "stopped on request");
            return true;
        }
        if (!brokered(m, r)) {
            answer(r, RC_UNAVAILABLE, "NoBroker", "the conductor has lost the lease");
            return true;
        }
        if (!look(m, r, o->cluster, o->target) ||
            (m->opt->bug == BUG_EARLY_ANSWER && r->call.node + 1 == o->target)) {
            answer(r, RC_OK, NULL, NULL);
            return true;
        }
        return false;
    case P_DECLARE:
        return !r->call.removing && !confirm_first &&
               upcall(r, store_ledger(m, &g, r->call.node, 'd'));
    case P_ACT:
        if (!brokered(m, r)) {
            answer(r, RC_UNAVAILABLE, "NoBroker", "the conductor has lost the lease");
            return true;
        }
        mutate(m, c, r, o->cluster);
        return false;
    case P_CONFIRM:
        if (confirm_first && !r->call.removing && upcall(r, store_ledger(m, &g, r->call.node, 'd')))
            return true;
        return upcall(r, store_ledger(m, &g, r->call.node, r->call.removing ? 'x' : 'c'));
    case P_CHECKPOINT:
        if (upcall(r, store_checkpoint(m, &g)))
            return true;
        r->call.checkpointed = true;
        return false;
    default:
        answer(r, RC_AGAIN, NULL, r->call.removing ? "removing nodes" : "making nodes");
        r->ev.percent = (uint32_t)(100 * backend_count(m, o->cluster) / (NODES + 1));
        r->ev.wait_ms = (uint32_t)(sim_chance(m, 200) ? sim_random(m, 20000) : sim_random(m, 900));
        return true;
    }
}

static bool misfortune(struct sim *m, struct sim_run *r)
{
    static const int codes[] = {RC_INVALID,  RC_NOT_FOUND,   RC_EXISTS,      RC_BUSY,
                                RC_DENIED,   RC_AUTH,        RC_QUOTA,       RC_UNAVAILABLE,
                                RC_TIMEOUT,  RC_CANCELLED,   RC_UNSUPPORTED, RC_PRECONDITION,
                                RC_INTERNAL, RC_UNAVAILABLE, RC_TIMEOUT,     -77,
                                12};
    if (r->call.fate == FATE_ERROR) {
        answer(r, codes[sim_random(m, (int64_t)(sizeof codes / sizeof codes[0]) - 1)], NULL,
               "the backend says no");
        if (sim_chance(m, 600))
            r->ev.flags = RCF_RETRYABLE;
        if (sim_chance(m, 200))
            r->ev.retry_after_ms = (uint32_t)sim_random(m, 90000);
    } else {
        answer(r, 0, NULL, "killed by signal 11");
        r->ev.kind = EV_DIED;
    }
    return true;
}

bool backend_part(struct sim *m, struct sim_conductor *c, struct sim_run *r, int64_t *ret_wait_us)
{
    *ret_wait_us = sim_random(m, 20) * MS;
    if (m->now >= r->call.budget_end) { /* past its budget and the grace: killed */
        answer(r, 0, NULL, "no answer in time");
        r->ev.kind = EV_OVERRUN;
        return true;
    }
    bool here = r->call.at == r->call.crash_at;
    if (here && r->call.fate == FATE_HANG) {
        *ret_wait_us = r->call.budget_end - m->now;
        return false;
    }
    if (here && r->call.fate == FATE_LATE) {
        r->call.fate = FATE_FINE;
        *ret_wait_us = sim_random(m, 40000) * MS;
        return false;
    }
    if (here && (r->call.fate == FATE_ERROR || r->call.fate == FATE_CRASH))
        return misfortune(m, r);
    bool over = part(m, c, r);
    if (over && r->call.fate == FATE_LIE && r->ev.rc == RC_AGAIN)
        r->ev.percent = (uint32_t)sim_random(m, 300);
    return over;
}
