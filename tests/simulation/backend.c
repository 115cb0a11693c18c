/* The backend and the drivers. The backend makes a second resource when it is asked twice: only
 * leases, fencing and looking first keep it from that. A driver's step is a row of parts with time
 * between them, so that everything else can happen in the middle. See sim.h. */
#include "simulation/sim.h"

enum { P_LOOK, P_DECLARE, P_ACT, P_CONFIRM, P_CHECKPOINT, P_ANSWER, PARTS };

static const int first_of[M_GROUPS + 1] = {0, 1, 1 + WORKERS_MAX, 1 + WORKERS_MAX + EXTRA_MAX,
                                           M_NODES};
_Static_assert(1 + WORKERS_MAX + EXTRA_MAX + EXTRA2_MAX == M_NODES, "every node has a group");

int backend_count(const struct sim *m, int cluster)
{
    int n = 0;
    for (int i = 0; i < M_NODES; i++)
        n += m->nodes[cluster][i];
    return n;
}

int backend_group_count(const struct sim *m, int cluster, int group)
{
    int n = 0;
    for (int i = first_of[group]; i < first_of[group + 1]; i++)
        n += m->nodes[cluster][i];
    return n;
}

bool backend_wants(const int64_t counts[M_GROUPS], int node)
{
    int g = 0;
    while (node >= first_of[g + 1])
        g++;
    return counts[g] != M_NONE && node - first_of[g] < counts[g];
}

static void answer(struct sim_run *r, int rc, const char *reason, const char *message)
{
    r->ev = (struct engine_event){.kind = EV_STEP, .rc = rc, .reason = reason, .message = message};
    r->ev.checkpointed = r->call.checkpointed;
    r->ev.touched = r->call.touched;
}

void backend_begin(struct sim *m, struct sim_run *r, const struct engine_action *a)
{
    static const enum call_fate fates[] = {FATE_ERROR, FATE_CRASH,    FATE_HANG,   FATE_LATE,
                                           FATE_LIE,   FATE_STUBBORN, FATE_REFUSE, FATE_LIE_DONE};
    r->call = (struct sim_call){.begun = m->now,
                                .budget_end = m->now + (a->budget_ms + 5000) * MS,
                                .flags = a->flags,
                                .at = P_LOOK};
    if (sim_fault(m, 120)) {
        r->call.fate = fates[sim_random(m, (int64_t)(sizeof fates / sizeof fates[0]) - 1)];
        r->call.crash_at = (int)sim_random(m, PARTS - 1);
    }
    if (m->wishes[r->op].doomed) /* whatever the weather */
        r->call.fate = FATE_REFUSE;
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
    struct m_guard g = {r->op, c->name, r->fence};
    int node = r->call.node;
    if (!model_held(store_of(m), &g))
        sim_violated(m, "operation %d changes the backend without a lease", r->op);
    if (!m->store.clusters[cluster].exists)
        sim_violated(m, "operation %d changes the backend of a cluster that is gone", r->op);
    for (int i = 0; i < m->store.n_ops; i++)
        if (m->store.ops[i].cluster == cluster && m_unfinished(&m->store.ops[i]) &&
            m->store.ops[i].generation < m->store.ops[r->op].generation)
            sim_violated(m, "operation %d works before its elder %d has ended", r->op, i);
    if (r->call.removing) {
        m->nodes[cluster][node] = 0;
        sim_trace(m, "backend: node %d of cluster %d is gone", node, cluster);
        return;
    }
    if (m->nodes[cluster][node]++)
        sim_violated(m, "node %d of cluster %d was made twice, by %d", node, cluster, r->op);
    m->serials[cluster][node] = ++m->next_serial;
    if (!store_knows(m, cluster, node))
        sim_violated(m, "operation %d made node %d that the ledger does not know", r->op, node);
    sim_trace(m, "backend: node %d of cluster %d made by %d", node, cluster, r->op);
}

/* Finds the next thing to do; false when the world is as wanted. */
static bool look(struct sim *m, struct sim_run *r, int cluster)
{
    int64_t named = m->wishes[r->op].named_serial;
    for (int n = 0; n < M_NODES; n++) {
        bool known = store_knows(m, cluster, n), have = m->nodes[cluster][n] > 0;
        bool want = m->store.ops[r->op].kind != OP_DELETE && backend_wants(r->counts, n);
        if (n == 1 && named && have && m->serials[cluster][n] == named)
            want = false; /* asked for by name; another one takes its place */
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

/* The driver says how many workers there are. */
static void report_size(struct sim *m, struct sim_run *r, int cluster)
{
    r->workers = backend_group_count(m, cluster, 1);
    r->ev.outputs = true;
}

/* One part in good weather; true = the step ended. */
static bool part(struct sim *m, struct sim_conductor *c, struct sim_run *r)
{
    const struct m_op *o = &m->store.ops[r->op];
    struct m_guard g = {r->op, c->name, r->fence};
    bool confirm_first = m->opt->bug == BUG_CONFIRM_FIRST;
    bool asked = (r->call.flags & CALLF_CANCEL) || r->cancel || r->superseded;
    bool lie = r->call.fate == FATE_LIE_DONE && o->kind == OP_DELETE;
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
        if (r->call.fate == FATE_REFUSE) {
            answer(r, RC_DENIED, NULL, "not like this");
            return true;
        }
        if (!look(m, r, o->cluster) || lie ||
            (m->opt->bug == BUG_EARLY_ANSWER && !r->call.removing && r->call.node == 2)) {
            answer(r, RC_OK, NULL, NULL);
            report_size(m, r, o->cluster);
            return true;
        }
        return false;
    case P_DECLARE:
        r->call.touched = true;
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
        r->ev.percent = (uint32_t)(100 * backend_count(m, o->cluster) / (M_NODES + 1));
        if (sim_chance(m, 100))
            report_size(m, r, o->cluster);
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
