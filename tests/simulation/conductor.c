/* The conductors: scan, renew, and runners that carry out the engine's plans as the real one does
 * (core/conductor/runner.c), with a virtual instant after each action. See sim.h. */
#include "simulation/sim.h"

#include <string.h>

static int64_t roll(void *ctx, int64_t n)
{
    return sim_random(ctx, n);
}

static void wake_run(struct sim *m, int ci, int ri, int64_t at)
{
    struct sim_conductor *c = &m->conductors[ci];
    struct sim_run *r = &c->runs[ri];
    r->wake_at = at;
    sim_at(m, at,
           (struct sim_event){
               .what = W_RUN, .conductor = ci, .run = ri, .owner = c->owner, .token = ++r->token});
}

static void tell(struct sim *m, int ci, int ri, enum engine_event_kind kind)
{
    struct sim_run *r = &m->conductors[ci].runs[ri];
    r->ev = (struct engine_event){.kind = kind};
    r->phase = RUN_HANDLE;
    wake_run(m, ci, ri, m->now);
}

/* The lease is gone, or only the generation is: the row knows. */
static void look_again(struct sim *m, int ci, int ri)
{
    struct sim_conductor *c = &m->conductors[ci];
    struct sim_run *r = &c->runs[ri];
    struct m_guard g = {r->op, c->name, r->fence};
    int rc = store_reload(m, &g, r);
    tell(m, ci, ri, rc == ERR_UNAVAILABLE ? EV_STORE_FAILED : rc ? EV_FENCED : EV_LEASED);
}

static void written(struct sim *m, int ci, int ri, int rc)
{
    struct sim_run *r = &m->conductors[ci].runs[ri];
    r->rc = rc;
    r->phase = RUN_STORED;
    wake_run(m, ci, ri, m->now + (1 + sim_random(m, sim_fault(m, 10) ? 12000 : 5)) * MS);
}

static void act(struct sim *m, int ci, int ri)
{
    struct sim_conductor *c = &m->conductors[ci];
    struct sim_run *r = &c->runs[ri];
    struct m_guard g = {r->op, c->name, r->fence};
    const struct engine_action *a = &r->plan.v[r->action];
    sim_trace(m, "conductor %d: op%d %s %s", ci, r->op, engine_action_name(a->kind),
              a->stage     ? a->stage->name
              : a->release ? "release"
                           : "");
    switch (a->kind) {
    case ACT_STORE:
        written(m, ci, ri, store_store(m, &g, r, a));
        return;
    case ACT_FINISH:
        written(m, ci, ri, store_finish(m, &g, r, a));
        return;
    case ACT_STAGE: /* idempotent, now and then not to be had */
        tell(m, ci, ri, EV_STAGE);
        if (sim_fault(m, 80))
            r->ev.rc = sim_chance(m, 800) ? RC_UNAVAILABLE : RC_INVALID;
        return;
    case ACT_CALL:
        if (sim_fault(m, 20)) {
            tell(m, ci, ri, EV_NO_DRIVER);
            return;
        }
        backend_begin(m, r, a);
        r->phase = RUN_CALL;
        wake_run(m, ci, ri, m->now);
        return;
    case ACT_WAIT:
        r->phase = RUN_WAIT;
        wake_run(m, ci, ri, m->now + a->wait_ms * MS);
        return;
    case ACT_RELOAD:
        if (m->opt->bug == BUG_NO_RELOAD) {
            r->s.stale = false;
            tell(m, ci, ri, EV_TIMER);
            return;
        }
        look_again(m, ci, ri);
        return;
    case ACT_DROP:
        r->used = false;
        return;
    }
}

static void handle(struct sim *m, int ci, int ri)
{
    struct sim_conductor *c = &m->conductors[ci];
    struct sim_run *r = &c->runs[ri];
    struct engine_env env = {
        .cfg = &m->cfg, .now_us = m->now + c->known_jump + c->skew_us, .random = roll, .ctx = m};
    r->ev.cancel |= r->cancel;
    r->ev.superseded |= r->superseded;
    r->ev.force |= r->forced;
    r->ev.stopping |= c->stopping;
    r->ev.give_way = m->crowded && sim_chance(m, 100);
    sim_trace(m, "conductor %d: op%d <- %s rc %d%s%s", ci, r->op, engine_event_name(r->ev.kind),
              r->ev.rc, r->ev.cancel ? " cancel" : "", r->ev.superseded ? " superseded" : "");
    r->decided_at = r->renewed_at;
    engine_handle(&r->s, &r->ev, &env, &r->plan);
    r->action = 0;
    r->phase = RUN_ACT;
    act(m, ci, ri);
}

static void run(struct sim *m, int ci, int ri)
{
    struct sim_run *r = &m->conductors[ci].runs[ri];
    const struct engine_action *a;
    int64_t wait = 0;
    switch (r->phase) {
    case RUN_ACT:
        act(m, ci, ri);
        return;
    case RUN_STORED:
        a = &r->plan.v[r->action];
        if (r->rc == ERR_FENCED)
            look_again(m, ci, ri);
        else if (r->rc)
            tell(m, ci, ri, EV_STORE_FAILED);
        else if (a->kind == ACT_FINISH || a->release)
            r->used = false;
        else {
            r->action++;
            act(m, ci, ri);
        }
        return;
    case RUN_CALL:
        r->rc = 0;
        if (!backend_part(m, &m->conductors[ci], r, &wait)) {
            wake_run(m, ci, ri, m->now + wait);
        } else if (r->lost) {
            tell(m, ci, ri, EV_FENCED);
        } else if (m->now >= r->held_until) {
            tell(m, ci, ri, EV_STORE_FAILED);
        } else if (r->rc == ERR_FENCED) {
            look_again(m, ci, ri);
        } else {
            handle(m, ci, ri);
        }
        return;
    case RUN_WAIT:
        tell(m, ci, ri, EV_TIMER);
        return;
    case RUN_HANDLE:
        handle(m, ci, ri);
        return;
    }
}

static void scan(struct sim *m, int ci)
{
    struct sim_conductor *c = &m->conductors[ci];
    int free_slots[RUNS], n_free = 0, ops[RUNS];
    for (int i = 0; i < RUNS; i++)
        if (!c->runs[i].used)
            free_slots[n_free++] = i;
    if (c->stopping)
        return;
    store_release_expired(m);
    int64_t asked = m->now;
    c->known_jump = m->jump;
    int n = store_lease(m, c->name, n_free, ops);
    for (int i = 0; i < n; i++) {
        struct sim_run *r = &c->runs[free_slots[i]];
        const struct m_op *o = &m->store.ops[ops[i]];
        int64_t token = r->token;
        *r = (struct sim_run){.used = true, .op = ops[i], .token = token, .workers = M_NONE};
        r->fence = o->fence;
        r->held_until = asked + (m->opt->bug == BUG_STOP_EARLY ? 2 * LEASE : BELIEF);
        memcpy(r->counts, o->counts, sizeof r->counts);
        store_load(m, ops[i], &r->s);
        tell(m, ci, free_slots[i], EV_LEASED);
        if (sim_fault(m, 10)) /* the answer comes late */
            wake_run(m, ci, free_slots[i], m->now + sim_random(m, 12000) * MS);
    }
}

static void renew(struct sim *m, int ci)
{
    struct sim_conductor *c = &m->conductors[ci];
    int ops[RUNS], n = 0;
    for (int i = 0; i < RUNS; i++)
        if (c->runs[i].used)
            ops[n++] = c->runs[i].op;
    if (store_renew(m, c->name, ops, n))
        return;
    for (int i = 0; i < RUNS; i++) {
        struct sim_run *r = &c->runs[i];
        struct m_guard g = {r->op, c->name, r->fence};
        if (!r->used)
            continue;
        bool held = model_held(&m->store, &g);
        unsigned char news = model_news(&m->store, r->op);
        if (m->opt->bug == BUG_FORCE_UNHEARD)
            news &= (unsigned char)~OP_NEWS_FORCE;
        bool cancel = news & OP_NEWS_CANCEL, superseded = news & OP_NEWS_SUPERSEDED;
        bool told = (r->cancel || !cancel) && (r->superseded || !superseded);
        if (held)
            r->held_until = m->now + (m->opt->bug == BUG_STOP_EARLY ? 2 * LEASE : BELIEF);
        r->renewed_at = m->now;
        r->lost |= !held;
        r->superseded |= superseded;
        r->cancel |= cancel;
        r->forced |= (news & OP_NEWS_FORCE) != 0;
        if ((held && told) || r->phase != RUN_WAIT)
            continue;
        tell(m, ci, i, !held ? EV_FENCED : superseded ? EV_SUPERSEDED : EV_CANCEL);
    }
}

void conductor_start(struct sim *m, int i)
{
    struct sim_conductor *c = &m->conductors[i];
    for (int k = 0; k < RUNS; k++)
        c->runs[k].used = false;
    c->alive = true;
    c->stopping = false;
    c->paused_until = 0;
    c->owner = ++m->next_owner;
    (void)snprintf(c->name, sizeof c->name, "c%lld", (long long)c->owner);
    c->known_jump = m->jump;
    c->skew_us = sim_random(m, 4000) * MS - 2 * SECOND;
    sim_trace(m, "conductor %d: up as %lld", i, (long long)c->owner);
    struct sim_event ev = {.what = W_SCAN, .conductor = i, .owner = c->owner};
    sim_at(m, m->now + sim_random(m, 1000) * MS, ev);
    ev.what = W_RENEW;
    sim_at(m, m->now + LEASE / 3, ev);
}

static void stop(struct sim *m, int ci)
{
    struct sim_conductor *c = &m->conductors[ci];
    bool busy = false;
    c->stopping = true;
    for (int i = 0; i < RUNS; i++) {
        struct sim_run *r = &c->runs[i];
        if (r->used && r->phase == RUN_WAIT) {
            int64_t left = (r->wake_at - m->now) / MS;
            tell(m, ci, i, EV_STOPPING);
            r->ev.wait_ms = left > 0 ? (uint32_t)left : 0;
        }
        busy |= r->used;
    }
    struct sim_event again = {.what = W_STOP, .conductor = ci, .owner = c->owner};
    if (busy) {
        sim_at(m, m->now + 100 * MS, again);
        return;
    }
    sim_trace(m, "conductor %d: stopped", ci);
    model_release_all(store_of(m), c->name);
    c->alive = false;
    sim_at(m, m->now + (m->healed ? 0 : sim_random(m, 20) * SECOND),
           (struct sim_event){.what = W_START, .conductor = ci});
}

void conductor_event(struct sim *m, const struct sim_event *ev)
{
    struct sim_conductor *c = &m->conductors[ev->conductor];
    struct sim_event again = *ev;
    if (ev->what == W_START) {
        if (!c->alive)
            conductor_start(m, ev->conductor);
        return;
    }
    if (!c->alive || (ev->owner && ev->owner != c->owner))
        return; /* meant for a process that is gone */
    if (c->paused_until > m->now && ev->what != W_CRASH) {
        sim_at(m, c->paused_until, again);
        return;
    }
    if (m->healed && (ev->what == W_PAUSE || (ev->what == W_STOP && !c->stopping)))
        return; /* put off into fair weather by a pause */
    switch (ev->what) {
    case W_SCAN:
        scan(m, ev->conductor);
        if (ev->token == 0 && m->opt->bug != BUG_NO_SCAN) /* a wake-up scans once */
            sim_at(m, m->now + SECOND, again);
        return;
    case W_RENEW:
        renew(m, ev->conductor);
        sim_at(m, m->now + LEASE / 3, again);
        return;
    case W_RUN:
        if (c->runs[ev->run].used && c->runs[ev->run].token == ev->token)
            run(m, ev->conductor, ev->run);
        return;
    case W_PAUSE:
        c->paused_until = m->now + sim_random(m, 30) * SECOND;
        sim_trace(m, "conductor %d: paused until %.3f", ev->conductor,
                  (double)c->paused_until / 1e6);
        return;
    case W_CRASH:
        c->alive = false;
        sim_trace(m, "conductor %d: killed", ev->conductor);
        sim_at(m, m->now + sim_random(m, 20) * SECOND,
               (struct sim_event){.what = W_START, .conductor = ev->conductor});
        return;
    case W_STOP:
        stop(m, ev->conductor);
        return;
    default:
        return;
    }
}
