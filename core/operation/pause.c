/* How long an operation waits, and whether it keeps its lease meanwhile. See engine_internal.h. */
#include "operation/engine_internal.h"

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t turn_clip(const struct turn *t, int64_t ms)
{
    const struct engine_config *c = t->env->cfg;
    return ms < c->min_wait_ms ? c->min_wait_ms : min64(ms, c->max_wait_ms);
}

/* Spreads the waits of many operations; below a second the delay would be felt, the herd is not. */
int64_t turn_spread(const struct turn *t, int64_t ms)
{
    return ms > 1000 ? ms + t->env->random(t->env->ctx, ms / 10) : ms;
}

/* Full jitter over a ceiling that doubles; tries = 1 is the first retry. */
int64_t turn_backoff(const struct turn *t, int64_t tries)
{
    const struct engine_config *c = t->env->cfg;
    int64_t ceiling = c->backoff_ms;
    for (int64_t i = 1; i < tries && ceiling < c->backoff_max_ms; i++)
        ceiling *= 2;
    return t->env->random(t->env->ctx, min64(ceiling, c->backoff_max_ms));
}

/* A blocked operation is looked at now and then. */
int64_t turn_slow(const struct turn *t)
{
    int64_t half = t->env->cfg->backoff_max_ms / 2;
    return half + t->env->random(t->env->ctx, half);
}

int64_t turn_ms_until(const struct turn *t, int64_t us)
{
    return us <= t->env->now_us ? 0 : (us - t->env->now_us + 999) / 1000;
}

/* Waits `ms`, but not past the deadline nor past the moment it counts as blocked. Short waits keep
 * the lease, and write nothing when nothing is new; long ones give it back, as do all when others
 * wait for the place. */
void turn_pause(struct turn *t, int64_t ms)
{
    struct engine_state *s = t->s;
    const struct engine_config *c = t->env->cfg;
    ms = turn_clip(t, ms);
    if (s->deadline_us != TIME_UNSET)
        ms = min64(ms, turn_ms_until(t, s->deadline_us));
    if (s->status == ENG_RUNNING && s->progress_us != TIME_UNSET)
        ms = min64(ms,
                   turn_ms_until(t, s->progress_us + c->blocked_after_ms * 1000) + c->min_wait_ms);
    if (s->stopping || t->ev->give_way || ms > c->hold_ms) {
        struct engine_action *a = turn_add_store(t);
        a->release = true;
        a->due_in_ms = ms;
        return;
    }
    int64_t age_ms =
        s->stored_us == TIME_UNSET ? INT64_MAX : (t->env->now_us - s->stored_us) / 1000;
    if (t->store || t->ev->outputs || (s->dirty && age_ms >= c->settle_ms) ||
        (s->steps != s->stored_steps && age_ms >= c->store_ms))
        turn_add_store(t)->due_in_ms = ms;
    turn_add(t, ACT_WAIT)->wait_ms = ms;
}
