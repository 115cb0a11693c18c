/* See engine.h. The recovery of each error code is data in recovery.c; the stages of each kind of
 * operation are data in stages.c; this file is the control flow. */
#include "operation/engine_internal.h"

#include "base/jsonx.h"
#include "base/str.h"
#include "operation/recovery.h"

#include <string.h>

/* Skips what this operation does not need; the end of the list is a valid place to arrive at. */
static void skip_unneeded(struct engine_state *s)
{
    const struct engine_stage *stage = turn_stage(s);
    for (; stage->name; stage = turn_stage(s)) {
        bool wanted = !(stage->needs_tls && s->tls_disabled) && !(stage->needs_trust && !s->trusts);
        if (wanted)
            break;
        s->stage++;
    }
}

/* ---- loading ---- */
static enum engine_status status_parse(const char *text)
{
    for (int i = ENG_PENDING; text && i <= ENG_CANCELLED; i++)
        if (strcmp(engine_status_name((enum engine_status)i), text) == 0)
            return (enum engine_status)i;
    return ENG_PENDING;
}

static int64_t count_of(int64_t v)
{
    return v == MODEL_UNSET || v < 0 ? 0 : v;
}

int engine_load(struct engine_state *s, const struct operation *op, struct err *e)
{
    bool stopping = s->stopping, trusts = s->trusts;
    int64_t store_failures = s->store_failures;
    *s = (struct engine_state){0};
    s->stopping = stopping;
    s->trusts = trusts;
    s->store_failures = store_failures;

    bool known = op_kind_parse(op->kind, &s->kind);
    s->status = status_parse(op->status);
    if (s->status == ENG_RUNNING && str_blank(op->stage))
        s->status = ENG_PENDING; /* leased before, but nothing was begun */
    for (unsigned i = 0; engine_stages(s->kind)[i].name; i++)
        if (str_eq(engine_stages(s->kind)[i].name, op->stage))
            s->stage = i;
    s->tls_disabled = jsonx_bool(json_object_get(op->spec, "template"), "tls_disabled", false);
    skip_unneeded(s);
    s->rollback = op->rollback;
    s->force = op->force;
    s->gave_up = json_is_object(json_object_get(op->report, "error"));
    s->shown = s->status == ENG_BLOCKED;
    s->cancel = op->cancel_requested;
    s->superseded = !str_blank(op->superseded_by);
    s->attempt = count_of(op->attempt);
    s->host_failures = count_of(op->host_failures);
    s->steps = s->stored_steps = count_of(op->steps);
    s->percent = count_of(op->percent);
    s->accepted_us = op->created_at;
    s->deadline_us = op->deadline_at;
    s->progress_us = op->progress_at;
    SET_TEXT(s->trouble.code, op->code);
    SET_TEXT(s->trouble.reason, op->reason);
    SET_TEXT(s->trouble.remedy, op->remedy);
    SET_TEXT(s->trouble.actor, op->actor);
    SET_TEXT(s->message, op->message);
    s->stored_us = TIME_UNSET;
    s->resumed = op->lease_fence != MODEL_UNSET && op->lease_fence > 1;
    if (!known)
        return err_set(e, ERR_INVALID, "operation kind \"%s\" is not known",
                       op->kind ? op->kind : "");
    return 0;
}

/* ---- going on ---- */
/* May the driver have been called already? The row names its stage before that happens. */
static bool touched(const struct engine_state *s)
{
    return s->status != ENG_PENDING && turn_stage(s)->interface;
}

static void start_stage(struct turn *t)
{
    struct engine_state *s = t->s;
    const struct engine_config *c = t->env->cfg;
    const struct engine_stage *stage = turn_stage(s);
    if (t->store)
        turn_add_store(t);
    struct engine_action *a = turn_add(t, stage->interface ? ACT_CALL : ACT_STAGE);
    a->stage = stage;
    a->attempt = s->attempt < UINT32_MAX ? (uint32_t)(s->attempt + 1) : UINT32_MAX;
    a->flags = (s->resumed ? CALLF_RESUMED : 0u) | (s->cancel ? CALLF_CANCEL : 0u) |
               (s->rollback ? CALLF_ROLLBACK : 0u) | (s->force ? CALLF_FORCE : 0u);
    a->budget_ms = c->step_budget_ms;
    if (s->deadline_us != TIME_UNSET) {
        int64_t left = turn_ms_until(t, s->deadline_us);
        if (left < a->budget_ms)
            a->budget_ms = left < c->min_budget_ms ? c->min_budget_ms : left;
    }
}

static void next_stage(struct turn *t);

/* A forced delete leaves a stage that can't be done undone, and remembers why. */
static bool may_give_up(const struct engine_state *s)
{
    return s->force && s->kind == OP_DELETE;
}

/* The operation can't be done, as the trouble says. */
static void fail(struct turn *t)
{
    struct engine_state *s = t->s;
    if (!may_give_up(s) || !turn_stage(s)->name) {
        turn_finish_failed(t);
        return;
    }
    s->gave_up = true;
    if (!s->given_up.code[0])
        s->given_up = s->trouble;
    turn_note(t, EVENT_GAVE_UP, s->given_up.reason, true, false);
    next_stage(t);
}

static void fail_late(struct turn *t)
{
    turn_set_deadline(t);
    fail(t);
}

/* Decides from the state alone what to do now; no result is outstanding. */
static void go(struct turn *t)
{
    struct engine_state *s = t->s;
    if (s->superseded) {
        turn_finish_superseded(t);
        return;
    }
    /* what the core itself has to clean up gets its try even when the driver had no more time */
    if (turn_deadline_passed(t) && !(s->gave_up && !turn_stage(s)->interface)) {
        fail_late(t);
        return;
    }
    if (s->cancel && !touched(s)) {
        turn_finish_cancelled(t, NULL);
        return;
    }
    if (s->stopping) {
        turn_add_store(t)->release = true;
        return;
    }
    skip_unneeded(s);
    if (!turn_stage(s)->name) {
        turn_set_code(t, CODE_UNKNOWN_KIND,
                      "this conductor does not know how to carry out the operation");
        turn_finish_failed(t);
        return;
    }
    if (s->status == ENG_PENDING) {
        s->status = ENG_RUNNING;
        s->progress_us = t->env->now_us;
        s->progressed = t->store = true;
        turn_note(t, EVENT_STARTED, turn_stage(s)->name, false, false);
    }
    start_stage(t);
}

static void next_stage(struct turn *t)
{
    struct engine_state *s = t->s;
    s->stage++;
    skip_unneeded(s);
    if (!turn_stage(s)->name) {
        turn_finish_succeeded(t);
        return;
    }
    s->attempt = s->host_failures = 0;
    s->auth_tried = s->resumed = false;
    s->status = ENG_RUNNING;
    s->progress_us = t->env->now_us;
    turn_clear_trouble(t);
    s->progressed = t->store = true;
    turn_note(t, EVENT_STAGE, turn_stage(s)->name, false, false);
    go(t);
}

/* ---- results ---- */
static const char *actor_of(uint32_t flags, const struct recovery *r)
{
    return flags & RCF_USER       ? "user"
           : flags & RCF_OPERATOR ? "operator"
                                  : code_info(r->code)->actor;
}

/* True: it waits as BLOCKED. False: a forced delete does not wait, it has gone on. */
static bool block(struct turn *t)
{
    if (may_give_up(t->s)) {
        fail(t);
        return false;
    }
    if (t->s->status == ENG_BLOCKED)
        return true;
    t->s->status = ENG_BLOCKED;
    t->store = true;
    turn_note(t, EVENT_BLOCKED, t->s->trouble.reason, true, true);
    return true;
}

static bool stuck(const struct turn *t)
{
    const struct engine_state *s = t->s;
    return s->progress_us != TIME_UNSET &&
           t->env->now_us - s->progress_us >= t->env->cfg->blocked_after_ms * 1000;
}

static void count_progress(struct turn *t)
{
    struct engine_state *s = t->s;
    const struct engine_event *ev = t->ev;
    int64_t percent = ev->rc < 0 ? 0 : ev->percent > 100 ? 100 : ev->percent;
    if (ev->checkpointed || percent > s->percent) {
        t->progress = s->progressed = true;
        s->progress_us = t->env->now_us;
        s->attempt = 0;
        s->auth_tried = false;
    }
    if (percent > s->percent) { /* a driver that counts backwards is not believed */
        s->percent = percent;
        s->dirty = true;
    }
}

/* It will be tried again: backoff, or slowly once it counts as blocked. */
static void retry(struct turn *t, bool new_code)
{
    struct engine_state *s = t->s;
    int64_t ms = t->ev->retry_after_ms ? turn_spread(t, t->ev->retry_after_ms)
                                       : turn_backoff(t, t->s->attempt);
    t->store = true;
    s->resumed = true; /* what the failed try did is not known */
    /* a long row of retries is told at its powers of two */
    if (new_code || (s->attempt & (s->attempt - 1)) == 0)
        turn_note(t, EVENT_RETRY, s->trouble.reason, true, true);
    if (stuck(t) && !block(t))
        return;
    if (s->status == ENG_BLOCKED)
        ms = turn_slow(t);
    turn_pause(t, ms);
}

/* The step or stage failed in the way `r` describes. */
static void failed(struct turn *t, const struct recovery *r, const char *code, const char *reason)
{
    struct engine_state *s = t->s;
    const struct engine_event *ev = t->ev;
    bool again = false, new_code = strcmp(s->trouble.code, code) != 0;

    turn_set_trouble(t, code, reason,
                     str_blank(ev->remedy) ? code_info(r->code)->remedy : ev->remedy,
                     actor_of(ev->flags, r));
    s->attempt++;
    switch (r->how) {
    case RECOVER_FAIL:
    case RECOVER_CANCEL:
        again = ev->flags & RCF_RETRYABLE;
        break;
    case RECOVER_RETRY:
        again = true;
        break;
    case RECOVER_ONCE: /* the code in the row remembers the first try across leases */
        again = !s->auth_tried && new_code;
        s->auth_tried = true;
        break;
    case RECOVER_COUNTED:
        again = ++s->host_failures < t->env->cfg->host_failures;
        break;
    }
    t->refused = !again && ev->kind == EV_STEP && s->steps == 1 && s->percent == 0 &&
                 !ev->checkpointed && !ev->outputs && !ev->touched && !s->resumed &&
                 !(ev->flags & RCF_MAY_LEAK);
    if (!again)
        fail(t);
    else if (turn_deadline_passed(t))
        fail_late(t);
    else
        retry(t, new_code);
}

static void on_error(struct turn *t)
{
    struct engine_state *s = t->s;
    const struct engine_event *ev = t->ev;
    const struct recovery *r = recovery_for(ev->rc);

    if (r->how != RECOVER_COUNTED)
        s->host_failures = 0;
    if (r->how == RECOVER_CANCEL && s->cancel) {
        turn_finish_cancelled(t, ev->message);
        return;
    }
    if (r->how == RECOVER_CANCEL && s->stopping) { /* the pool asked it to stop, nobody else did */
        s->resumed = true;
        turn_add_store(t)->release = true;
        return;
    }
    if (r->how == RECOVER_CANCEL) /* nobody asked: the driver misbehaves */
        r = recovery_for(RC_INTERNAL);
    failed(t, r, str_blank(ev->reason) ? code_text(r->code) : ev->reason,
           str_blank(ev->message) ? "the driver gave no reason" : ev->message);
}

static void on_again(struct turn *t)
{
    struct engine_state *s = t->s;
    const struct engine_event *ev = t->ev;
    bool had_no_driver = str_eq(s->trouble.code, code_text(CODE_DRIVER_UNAVAILABLE));

    s->host_failures = 0;
    s->resumed = false;
    char message[ENGINE_MSG_MAX];
    SET_TEXT(message, ev->message);
    if (message[0] && strcmp(message, s->message) != 0) {
        memcpy(s->message, message, sizeof message);
        s->dirty = true;
    }
    if (had_no_driver) { /* the time without a driver was not the driver's lack of progress */
        s->progress_us = t->env->now_us;
        s->progressed = true;
    }
    if (s->status == ENG_BLOCKED && (t->progress || had_no_driver)) {
        s->status = ENG_RUNNING;
        t->store = true;
        turn_note(t, EVENT_UNBLOCKED, NULL, false, false);
    }
    if (s->status != ENG_BLOCKED)
        turn_clear_trouble(t);
    if (turn_deadline_passed(t)) {
        fail_late(t);
        return;
    }
    if (stuck(t) && (s->status != ENG_BLOCKED || may_give_up(s))) {
        turn_set_code(t, CODE_NO_PROGRESS, "");
        engine_textf(s->trouble.reason, sizeof s->trouble.reason,
                     "no progress for %lld s; last: %s",
                     (long long)((t->env->now_us - s->progress_us) / 1000000),
                     s->message[0] ? s->message : turn_stage(s)->name);
        if (!block(t))
            return;
    }
    turn_pause(t,
               s->status == ENG_BLOCKED ? turn_slow(t) : turn_spread(t, turn_clip(t, ev->wait_ms)));
}

static void on_step(struct turn *t)
{
    struct engine_state *s = t->s;
    s->steps++;
    if (s->superseded) {
        turn_finish_superseded(t);
        return;
    }
    count_progress(t);
    if (t->ev->rc == RC_OK) { /* done is done, even when it was asked to stop or came late */
        s->host_failures = 0;
        next_stage(t);
        return;
    }
    if (t->ev->rc == RC_AGAIN) {
        on_again(t);
        return;
    }
    if (t->ev->rc == RC_UNSUPPORTED && turn_stage(s)->optional) {
        next_stage(t);
        return;
    }
    on_error(t);
}

/* A stage of the core waits for a time that it knows: that is no lack of progress. */
static void stage_waits(struct turn *t)
{
    struct engine_state *s = t->s;
    s->attempt = 0;
    s->progress_us = t->env->now_us;
    s->progressed = true;
    SET_TEXT(s->message, t->ev->message);
    if (s->status == ENG_BLOCKED) {
        s->status = ENG_RUNNING;
        t->store = true;
        turn_note(t, EVENT_UNBLOCKED, NULL, false, false);
    }
    turn_clear_trouble(t);
    if (turn_deadline_passed(t))
        fail_late(t);
    else
        turn_pause(t, t->ev->wait_ms);
}

static void on_stage(struct turn *t)
{
    if (t->s->superseded)
        turn_finish_superseded(t);
    else if (t->ev->rc == RC_OK)
        next_stage(t);
    else if (t->ev->rc == RC_AGAIN)
        stage_waits(t);
    else
        on_error(t);
}

/* Its process died. When the conductor itself is stopping, that was us: it does not count. */
static void on_death(struct turn *t, bool overrun)
{
    struct engine_state *s = t->s;
    const struct recovery *r = recovery_for(RC_INTERNAL);
    char reason[ENGINE_REASON_MAX];
    if (s->superseded) {
        turn_finish_superseded(t);
        return;
    }
    s->resumed = true;
    if (s->stopping) {
        turn_add_store(t)->release = true;
        return;
    }
    if (t->ev->checkpointed) {
        s->progress_us = t->env->now_us;
        s->progressed = true;
    }
    engine_textf(reason, sizeof reason, "%s in step \"%s\": %.300s",
                 overrun ? "the driver did not answer in time" : "the driver crashed",
                 turn_stage(s)->name ? turn_stage(s)->name : "",
                 str_blank(t->ev->message) ? "no reason known" : t->ev->message);
    failed(t, r, code_text(overrun ? CODE_DRIVER_HUNG : CODE_DRIVER_CRASHED), reason);
}

static void on_no_driver(struct turn *t)
{
    struct engine_state *s = t->s;
    const struct engine_event *ev = t->ev;
    if (s->superseded) {
        turn_finish_superseded(t);
        return;
    }
    if (s->cancel) { /* nobody is there who could stop more cleanly */
        turn_finish_cancelled(t, "the operation was cancelled while its driver was not available");
        return;
    }
    if (turn_deadline_passed(t)) {
        fail_late(t);
        return;
    }
    const struct code_info *c = code_info(CODE_DRIVER_UNAVAILABLE);
    bool changed = !str_eq(s->trouble.code, c->text);
    turn_set_trouble(t, c->text,
                     str_blank(ev->message) ? "the driver is not available" : ev->message,
                     str_blank(ev->remedy) ? c->remedy : ev->remedy, c->actor);
    if (changed)
        s->attempt = 0;
    s->attempt++;
    t->store |= changed;
    if (!block(t))
        return;
    turn_pause(t, turn_backoff(t, t->s->attempt));
}

static void on_store_failed(struct turn *t)
{
    struct engine_state *s = t->s;
    s->stale = true;
    if (s->stopping) { /* the lease runs out by itself */
        turn_add(t, ACT_DROP);
        return;
    }
    turn_add(t, ACT_WAIT)->wait_ms = turn_clip(t, turn_backoff(t, ++s->store_failures));
}

/* Something woke the wait. After a failed write only the row itself tells where we are. */
static void on_wake(struct turn *t)
{
    if (!t->s->stale) {
        go(t);
        return;
    }
    turn_add(t, t->s->stopping ? ACT_DROP : ACT_RELOAD);
}

static void on_leased(struct turn *t)
{
    if (t->s->store_failures > 0) /* read again: the step before may have run */
        t->s->resumed = true;
    t->s->store_failures = 0;
    if (t->s->status >= ENG_SUCCEEDED) /* our own finish was committed, only its answer was lost */
        turn_add(t, ACT_DROP);
    else
        go(t);
}

/* A stop reaches a waiting operation: hand it on with what is left of its wait. */
static void on_stopping(struct turn *t)
{
    if (t->s->stale) {
        turn_add(t, ACT_DROP);
        return;
    }
    struct engine_action *a = turn_add_store(t);
    a->release = true;
    a->due_in_ms = t->ev->wait_ms;
}

void engine_handle(struct engine_state *s, const struct engine_event *ev,
                   const struct engine_env *env, struct engine_plan *ret)
{
    struct turn t = {.s = s, .ev = ev, .env = env, .plan = ret};
    *ret = (struct engine_plan){.n = 0};
    s->cancel |= ev->cancel || ev->kind == EV_CANCEL;
    s->superseded |= ev->superseded || ev->kind == EV_SUPERSEDED;
    s->stopping |= ev->stopping || ev->kind == EV_STOPPING;
    s->force |= ev->force;
    switch (ev->kind) {
    case EV_LEASED:
        on_leased(&t);
        break;
    case EV_STAGE:
        on_stage(&t);
        break;
    case EV_STEP:
        on_step(&t);
        break;
    case EV_DIED:
        on_death(&t, false);
        break;
    case EV_OVERRUN:
        on_death(&t, true);
        break;
    case EV_NO_DRIVER:
        on_no_driver(&t);
        break;
    case EV_TIMER:
    case EV_CANCEL:
    case EV_SUPERSEDED:
        on_wake(&t);
        break;
    case EV_FENCED:
        turn_add(&t, ACT_DROP);
        break;
    case EV_STORE_FAILED:
        on_store_failed(&t);
        break;
    case EV_STOPPING:
        on_stopping(&t);
        break;
    }
}
