/* The store: the guarded transactions of db/db_operation.h and db/db_accept.h over arrays. It
 * checks by itself what must never happen: status jumps, a second end, an end without a reason. */
#include "simulation/sim.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define TAKEOVER (2 * SECOND) /* scans come every second */

static void set(char **dst, const char *value)
{
    free(*dst);
    *dst = str_dup(value);
}

static bool leased(const struct sim *m, const struct sim_op *o)
{
    if (m->opt->bug == BUG_NO_EXPIRY)
        return o->lease_owner != 0;
    return o->lease_owner && o->row.lease_until > m->now;
}

bool store_held(const struct sim *m, const struct sim_guard *g)
{
    const struct sim_op *o = &m->store.ops[g->op];
    return o->lease_owner == g->owner && o->row.lease_fence == g->fence && leased(m, o) &&
           !op_status_final(o->row.status);
}

static int guard(struct sim *m, const struct sim_guard *g, bool any_generation)
{
    const struct sim_op *o = &m->store.ops[g->op];
    if (!store_held(m, g) && m->opt->bug != BUG_NO_FENCE)
        return ERR_FENCED;
    if (!any_generation && m->store.clusters[o->cluster].generation != o->row.generation &&
        m->opt->bug != BUG_NO_GENERATION)
        return ERR_FENCED;
    return 0;
}

/* A fault of the statement: 0 none, 1 not carried out, 2 carried out but the answer is lost. */
static int weather(struct sim *m)
{
    if (!sim_fault(m, 15))
        return 0;
    return sim_chance(m, 500) ? 1 : 2;
}

static void set_status(struct sim *m, int cluster, const char *to)
{
    struct sim_cluster *c = &m->store.clusters[cluster];
    if (!to)
        return;
    if (!status_transition_allowed(c->status[0] ? c->status : NULL, to))
        sim_violated(m, "cluster %d may not go from %s to %s", cluster, c->status, to);
    (void)snprintf(c->status, sizeof c->status, "%s", to);
}

static void end(struct sim *m, struct sim_op *o, const char *status)
{
    if (op_status_final(o->row.status))
        sim_violated(m, "operation %s ended twice: %s, then %s", o->row.id, o->row.status, status);
    set(&o->row.status, status);
    o->row.finished_at = m->now;
    o->lease_owner = 0;
    m->store.clusters[o->cluster].ended_at = m->now;
    o->ended_count++;
    sim_trace(m, "store: %s %s is %s (%s)", o->row.kind, o->row.id, status,
              o->row.code ? o->row.code : "");
}

static void supersede(struct sim *m, int cluster, const char *by)
{
    for (int i = 0; i < OPS; i++) {
        struct sim_op *o = &m->store.ops[i];
        if (!o->used || o->cluster != cluster || op_status_final(o->row.status))
            continue;
        set(&o->row.superseded_by, by);
        o->row.cancel_requested = true;
        if (!leased(m, o)) {
            set(&o->row.code, "Superseded");
            end(m, o, OPS_CANCELLED);
        }
    }
}

bool store_accept(struct sim *m, int cluster, enum op_kind kind, int target, int64_t deadline_us)
{
    struct sim_cluster *c = &m->store.clusters[cluster];
    if (kind == OP_CREATE ? c->was_made : !c->exists)
        return false;
    if ((kind == OP_SCALE && !status_resizable(c->status)) ||
        (kind == OP_UPDATE && !status_updatable(c->status)))
        return false;
    int slot = 0;
    for (int i = 0; i < OPS; i++) {
        struct sim_op *o = &m->store.ops[i];
        if (o->used && o->cluster == cluster && kind == OP_DELETE &&
            str_eq(o->row.kind, "delete") && !op_status_final(o->row.status))
            return false; /* the running delete is the answer */
        if (o->used)
            slot = i + 1;
    }
    if (slot == OPS)
        return false;
    struct sim_op *o = &m->store.ops[slot];
    operation_init(&o->row);
    char id[16];
    (void)snprintf(id, sizeof id, "op%d", slot);
    supersede(m, cluster, id);
    o->used = c->exists = c->was_made = true;
    o->cluster = cluster;
    o->target = c->target = kind == OP_DELETE ? 0 : target;
    c->generation++;
    set(&o->row.id, id);
    set(&o->row.kind, op_kind_name(kind));
    set(&o->row.status, OPS_PENDING);
    o->row.generation = c->generation;
    o->row.created_at = o->row.due_at = m->now;
    o->row.deadline_at = deadline_us;
    o->row.lease_fence = 0;
    set_status(m, cluster, status_on_accept(kind));
    sim_trace(m, "client: %s of cluster %d accepted as %s, target %d", o->row.kind, cluster, id,
              target);
    return true;
}

bool store_cancel(struct sim *m, int op)
{
    struct sim_op *o = &m->store.ops[op];
    if (!o->used || op_status_final(o->row.status))
        return false;
    o->row.cancel_requested = true;
    o->row.due_at = m->now;
    sim_trace(m, "client: cancel of %s", o->row.id);
    return true;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* In fair weather nothing that is due lies about for long, whoever died before. */
static void check_waiting(struct sim *m, const struct sim_op *o)
{
    int64_t since = later(o->row.due_at, o->lease_owner ? o->row.lease_until : 0);
    since = later(since, m->store.clusters[o->cluster].ended_at); /* its elder went first */
    if (m->healed && m->now - later(since, m->healed_at) > TAKEOVER)
        sim_violated(m, "%s has been due for %.1f s and nobody took it", o->row.id,
                     (double)(m->now - since) / 1e6);
}

int store_lease(struct sim *m, int64_t owner, int max, int *ret_ops)
{
    int n = 0, bad = weather(m);
    if (bad == 1)
        return 0;
    for (int i = 0; i < OPS && n < max; i++) {
        struct sim_op *o = &m->store.ops[i];
        if (!o->used || op_status_final(o->row.status))
            continue;
        bool double_lease = m->opt->bug == BUG_DOUBLE_LEASE && o->lease_owner != owner;
        if (leased(m, o) && !double_lease)
            continue;
        if (o->row.superseded_by && m->opt->bug == BUG_SUPERSEDED_STAYS)
            continue;
        if (o->row.superseded_by) { /* its runner died before it could say so */
            set(&o->row.code, "Superseded");
            end(m, o, OPS_CANCELLED);
            continue;
        }
        bool older = false;
        for (int k = 0; k < i; k++)
            older |= m->store.ops[k].cluster == o->cluster && leased(m, &m->store.ops[k]) &&
                     !op_status_final(m->store.ops[k].row.status);
        if (o->row.due_at > m->now || (older && m->opt->bug != BUG_OLDER_LEASED))
            continue;
        if (str_eq(o->row.status, OPS_PENDING))
            set(&o->row.status, OPS_RUNNING);
        check_waiting(m, o);
        o->lease_owner = owner;
        o->row.lease_fence++;
        o->row.lease_until = m->now + LEASE;
        if (!bad) /* the answer was lost: leased, but nobody knows */
            ret_ops[n++] = i;
    }
    return n;
}

int store_renew(struct sim *m, int64_t owner, int op, int64_t fence, bool *held, bool *cancel)
{
    struct sim_op *o = &m->store.ops[op];
    struct sim_guard g = {op, owner, fence};
    int bad = weather(m);
    if (bad == 1)
        return ERR_UNAVAILABLE;
    *held = store_held(m, &g);
    if (*held)
        o->row.lease_until = m->now + LEASE;
    *cancel = o->row.cancel_requested || o->row.superseded_by;
    return bad ? ERR_UNAVAILABLE : 0;
}

int store_reload(struct sim *m, const struct sim_guard *g, struct engine_state *s, bool *superseded)
{
    struct err e = ERR_INIT;
    if (weather(m))
        return ERR_UNAVAILABLE;
    if (!store_held(m, g))
        return ERR_FENCED;
    *superseded = m->store.ops[g->op].row.superseded_by != NULL;
    return engine_load(s, &m->store.ops[g->op].row, &e);
}

int store_checkpoint(struct sim *m, const struct sim_guard *g)
{
    int bad = weather(m);
    if (bad == 1)
        return ERR_UNAVAILABLE;
    int rc = guard(m, g, false);
    return rc ? rc : bad ? ERR_UNAVAILABLE : 0;
}

static void put(struct sim *m, struct sim_op *o, const struct engine_state *s)
{
    if (s->status != ENG_PENDING)
        set(&o->row.stage, engine_stages(s->kind)[s->stage].name);
    set(&o->row.message, s->message);
    o->row.attempt = s->attempt;
    o->row.host_failures = s->host_failures;
    o->row.steps = s->steps;
    if (s->percent < o->row.percent && o->row.percent != MODEL_UNSET)
        sim_violated(m, "percent of %s went back", o->row.id);
    o->row.percent = s->percent;
    set(&o->row.code, s->trouble.code[0] ? s->trouble.code : NULL);
    set(&o->row.reason, s->trouble.reason);
    set(&o->row.remedy, s->trouble.remedy);
    set(&o->row.actor, s->trouble.actor);
    bool ended_badly = s->status == ENG_FAILED || s->status == ENG_BLOCKED;
    if (ended_badly && (!o->row.code || !o->row.reason[0] || !o->row.remedy[0] || !o->row.actor[0]))
        sim_violated(m, "%s is %s without reason, remedy or actor", o->row.id,
                     engine_status_name(s->status));
}

int store_store(struct sim *m, const struct sim_guard *g, const struct engine_state *s,
                const struct engine_action *a)
{
    struct sim_op *o = &m->store.ops[g->op];
    int bad = weather(m);
    if (bad == 1)
        return ERR_UNAVAILABLE;
    int rc = guard(m, g, false);
    if (rc)
        return rc;
    put(m, o, s);
    if (!op_status_final(o->row.status) && s->status != ENG_PENDING)
        set(&o->row.status, engine_status_name(s->status));
    if (a->progress)
        o->row.progress_at = m->now;
    o->row.due_at = m->now + a->due_in_ms * MS;
    if (a->release)
        o->lease_owner = 0;
    return bad ? ERR_UNAVAILABLE : 0;
}

/* What must be true when an operation says that it succeeded. */
static void check_success(struct sim *m, const struct sim_op *o)
{
    int have = backend_count(m, o->cluster);
    if (have != o->target)
        sim_violated(m, "%s succeeded with %d resources instead of %d", o->row.id, have, o->target);
    for (int n = 0; n < NODES; n++)
        if (str_eq(o->row.kind, "delete") && store_ledger_find(m, o->cluster, n))
            sim_violated(m, "%s succeeded but the ledger still has node %d", o->row.id, n);
}

int store_finish(struct sim *m, const struct sim_guard *g, const struct engine_state *s,
                 const struct engine_action *a)
{
    struct sim_op *o = &m->store.ops[g->op];
    struct sim_cluster *c = &m->store.clusters[o->cluster];
    int bad = weather(m);
    if (bad == 1)
        return ERR_UNAVAILABLE;
    int rc = guard(m, g, !a->cluster_status && s->status == ENG_CANCELLED);
    if (rc)
        return rc;
    if (s->status == ENG_SUCCEEDED)
        check_success(m, o);
    put(m, o, s);
    end(m, o, engine_status_name(s->status));
    set_status(m, o->cluster, a->cluster_status);
    if (m->opt->bug == BUG_STATUS_ANYWAY && !a->cluster_status)
        set_status(m, o->cluster, status_on_failure(s->kind));
    if (a->remove_cluster) {
        c->exists = false;
        for (int i = 0; i < CLUSTERS * NODES; i++)
            if (m->store.ledger[i].cluster == o->cluster)
                m->store.ledger[i].used = false;
    }
    return bad ? ERR_UNAVAILABLE : 0;
}

void store_release_all(struct sim *m, int64_t owner)
{
    for (int i = 0; i < OPS; i++)
        if (m->store.ops[i].lease_owner == owner) {
            m->store.ops[i].lease_owner = 0;
            m->store.ops[i].row.due_at = m->now;
        }
}

struct sim_ledger *store_ledger_find(struct sim *m, int cluster, int node)
{
    for (int i = 0; i < CLUSTERS * NODES; i++) {
        struct sim_ledger *l = &m->store.ledger[i];
        if (l->used && l->cluster == cluster && l->node == node)
            return l;
    }
    return NULL;
}

int store_ledger(struct sim *m, const struct sim_guard *g, int node, char verb)
{
    int bad = weather(m), cluster = m->store.ops[g->op].cluster;
    if (bad == 1)
        return ERR_UNAVAILABLE;
    int rc = guard(m, g, false);
    if (rc)
        return rc;
    struct sim_ledger *l = store_ledger_find(m, cluster, node);
    if (verb == 'd' && !l) { /* declare */
        l = m->store.ledger;
        while (l->used)
            l++;
        *l = (struct sim_ledger){.used = true, .cluster = cluster, .node = node};
    }
    if (verb == 'd' && m->opt->bug == BUG_LEDGER_LOST)
        l->used = false;
    if (verb == 'c' && l)
        l->confirmed = true;
    if (verb == 'x' && l)
        l->used = false;
    return bad ? ERR_UNAVAILABLE : 0;
}

void store_done(struct sim *m)
{
    for (int i = 0; i < OPS; i++)
        if (m->store.ops[i].used)
            operation_done(&m->store.ops[i].row);
}
