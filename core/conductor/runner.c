/* Carries out the engine's plans for one run: writes to the database under the lease's guard, core
 * stages, driver calls. Decides nothing itself. See operation/engine.h.
 *
 * A write that meets ERR_FENCED reads the row again before it gives up, because a superseded
 * operation is refused in the same way and must be ended by its runner, while it has the lease. */
#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "conductor/conductor_internal.h"
#include "conductor/measure.h"
#include "conductor/writes.h"
#include "model/codes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const struct db_scope all_rows = {.all_projects = true, .admin = true};

/* Jitter needs no secrecy, only different numbers in different processes. */
static int64_t roll(void *ctx, int64_t n)
{
    static _Thread_local uint64_t state;
    (void)ctx;
    if (state == 0 && getrandom(&state, sizeof state, 0) != sizeof state)
        state = (uint64_t)clock_mono_us() | 1;
    state ^= state << 13; /* xorshift64 */
    state ^= state >> 7;
    state ^= state << 17;
    return n <= 0 ? 0 : (int64_t)(state % ((uint64_t)n + 1));
}

bool run_held(const struct run *r)
{
    return !atomic_load(&r->lost) && clock_mono_ms() < atomic_load(&r->held_until_ms);
}

static void set_event(struct run *r, enum engine_event_kind kind, const char *message)
{
    r->ev = (struct engine_event){.kind = kind};
    if (message) {
        (void)snprintf(r->text, sizeof r->text, "%s", message);
        r->ev.message = r->text;
    }
}

static void set_context(const struct run *r)
{
    const struct log_context context = {.request = r->op.request_id,
                                        .cluster = r->op.cluster_id,
                                        .operation = r->op.id,
                                        .driver = r->op.driver_id};
    log_context_set(&context);
}

/* One turn of an operation, within the trace of the request that made it. *ret_ids (or NULL) is
 * what the span borrows from, to be freed once it has ended: r->op may be read again meanwhile. */
static void begin_span(const struct run *r, struct trace_span *s, char **ret_ids)
{
    struct trace_context from;
    *s = (struct trace_span){.kind = TRACE_INTERNAL};
    *ret_ids = str_dup(r->op.traceparent);
    if (!trace_restore(*ret_ids, &from))
        return;
    trace_span_begin(s, &from, TRACE_INTERNAL);
    trace_span_enter(s);
    trace_span_name(s, "operation %s", r->op.kind);
    trace_span_text(s, "magnum.operation.id", r->op.id);
    trace_span_text(s, "magnum.operation.kind", r->op.kind);
    trace_span_text(s, "magnum.operation.stage", engine_stages(r->s.kind)[r->s.stage].name);
    trace_span_number(s, "magnum.operation.steps", r->op.steps);
    trace_span_text(s, "magnum.cluster.id", r->op.cluster_id);
    trace_span_text(s, "magnum.driver.id", r->op.driver_id);
    trace_span_text(s, "magnum.request_id", r->op.request_id);
}

/* ---- writes ---- */
static int store(struct run *r, const struct engine_action *a, struct err *e)
{
    struct op_event_new events[ENGINE_NOTES];
    struct op_store st;
    write_of_store(&r->s, a, events, &st);
    st.outputs = r->outputs;
    int rc = db_op_store(r->c->db, &r->guard, &st, e);
    if (rc == 0 && a->n_notes)
        notify_stored(r, a);
    return rc;
}

static int finish(struct run *r, const struct engine_action *a, struct err *e)
{
    const struct engine_state *s = &r->s;
    struct op_event_new events[ENGINE_NOTES];
    struct op_finish f;
    write_of_finish(s, a, events, &f);
    f.outputs = r->outputs;
    struct notice notice;
    notice_begin(r, &notice);
    int rc = db_op_finish(r->c->db, &r->guard, &f, e);
    notice_end(r, a, rc == 0, &notice);
    if (rc == 0)
        measure_end(r);
    if (rc == 0)
        log_write(s->status == ENG_FAILED ? LOG_WARN : LOG_INFO, "op.finished", "%s %s%s%s",
                  r->op.kind, f.status, f.reason ? ": " : "", f.reason ? f.reason : "");
    return rc;
}

/* ---- reading the row again ---- */
static int reload(struct run *r, struct operation *op, struct err *e)
{
    operation_init(op);
    int rc = db_operation_get(r->c->db, &all_rows, r->op.id, op, e);
    if (rc)
        return rc == ERR_NOT_FOUND ? ERR_FENCED : rc;
    bool ours = str_eq(op->lease_owner, r->c->instance) && op->lease_fence == r->guard.fence &&
                op->lease_until != TIME_UNSET && op->lease_until > conductor_now_us(r->c);
    return ours && !atomic_load(&r->lost) ? 0 : ERR_FENCED;
}

void runner_look_again(struct run *r)
{
    struct operation op;
    struct err e = ERR_INIT;
    int rc = reload(r, &op, &e);
    if (rc == 0) {
        operation_done(&r->op);
        r->op = op;
        operation_init(&op);
        set_context(r);
        set_event(r, EV_LEASED, NULL);
        if (engine_load(&r->s, &r->op, &e))
            log_warn("op.load", "%s", e.msg);
    } else {
        set_event(r, rc == ERR_FENCED ? EV_FENCED : EV_STORE_FAILED, e.msg);
    }
    operation_done(&op);
}

/* True when the plan goes on. */
static bool written(struct run *r, int rc, const struct err *e)
{
    if (rc == 0) {
        json_decref(r->outputs);
        r->outputs = NULL;
        return true;
    }
    if (rc == ERR_FENCED) {
        runner_look_again(r);
        return false;
    }
    log_warn("op.store", "%s; trying again", e->msg);
    set_event(r, EV_STORE_FAILED, e->msg);
    return false;
}

/* ---- actions ---- */
static const struct core_stage {
    const char *name;
    /* positive: it waits for so many ms, and e's text says for what */
    int (*fn)(struct run *r, struct err *e);
    enum op_code failed;
} core_stages[] = {
    {"trust", trust_stage, CODE_TRUST_FAILED},
    {"trust_remove", trust_remove_stage, CODE_TRUST_FAILED},
    {"trust_renew", trust_renew_stage, CODE_TRUST_FAILED},
    {"certificates", certs_stage, CODE_CERTIFICATES_FAILED},
    {"certificates_remove", certs_remove_stage, CODE_CERTIFICATES_FAILED},
    {"ca_new", rotate_new_stage, CODE_ROTATION_FAILED},
    {"ca_switch", rotate_switch_stage, CODE_ROTATION_FAILED},
    {"ca_grace", rotate_grace_stage, CODE_ROTATION_FAILED},
    {"ca_drop", rotate_drop_stage, CODE_ROTATION_FAILED},
};

static const struct core_stage *core_stage_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(core_stages); i++)
        if (str_eq(core_stages[i].name, name))
            return &core_stages[i];
    return NULL;
}

static void run_stage(struct run *r)
{
    struct err e = ERR_INIT;
    const struct core_stage *stage = core_stage_find(engine_stages(r->s.kind)[r->s.stage].name);
    int rc = stage ? stage->fn(r, &e) : err_set(&e, ERR_UNSUPPORTED, "unknown stage");
    if (rc == ERR_FENCED) {
        runner_look_again(r);
        return;
    }
    set_event(r, EV_STAGE, rc ? e.msg : NULL);
    r->ev.rc = rc > 0 ? RC_AGAIN : engine_rc_of(rc);
    r->ev.wait_ms = rc > 0 ? (uint32_t)rc : 0;
    if (rc < 0 && stage)
        r->ev.reason = code_text(stage->failed);
}

enum outcome { GO_ON, NEXT_EVENT, PAUSED, ENDED };

static enum outcome act(struct run *r, const struct engine_action *a)
{
    struct err e = ERR_INIT;
    int64_t begun;
    switch (a->kind) {
    case ACT_STORE:
        if (!written(r, store(r, a, &e), &e))
            return NEXT_EVENT;
        return a->release ? ENDED : GO_ON;
    case ACT_FINISH:
        if (!written(r, finish(r, a, &e), &e))
            return NEXT_EVENT;
        if (r->s.kind == OP_ROTATE_CA && r->s.status != ENG_SUCCEEDED)
            rotate_ended(r);
        return ENDED;
    case ACT_STAGE:
    case ACT_CALL:
        if (!run_held(r)) { /* nothing outside may be touched without a lease we are sure of */
            set_event(r, atomic_load(&r->lost) ? EV_FENCED : EV_STORE_FAILED,
                      "the lease could not be prolonged");
            return NEXT_EVENT;
        }
        begun = clock_mono_us();
        if (a->kind == ACT_STAGE)
            run_stage(r);
        else
            step_call(r, a);
        measure_step(r, a, clock_mono_us() - begun);
        return NEXT_EVENT;
    case ACT_WAIT:
        queue_wait(&r->c->queue, r, a->wait_ms);
        return PAUSED;
    case ACT_RELOAD:
        runner_look_again(r);
        return NEXT_EVENT;
    case ACT_DROP:
        log_info("op.dropped", "the lease was lost or the operation has ended");
        return ENDED;
    }
    return ENDED;
}

/* What a run that was woken has to hear; false: nothing new, it may sleep on. */
static bool wake_event(struct run *r)
{
    int64_t left_ms = r->due_ms - clock_mono_ms();
    if (r->fresh) {
        struct err e = ERR_INIT;
        r->fresh = false;
        r->s.trusts = r->c->makes_trusts;
        if (engine_load(&r->s, &r->op, &e))
            log_warn("op.load", "%s", e.msg);
        set_event(r, EV_LEASED, NULL);
    } else if (atomic_load(&r->lost)) {
        set_event(r, EV_FENCED, NULL);
    } else if (atomic_load(&r->superseded)) {
        set_event(r, EV_SUPERSEDED, NULL);
    } else if (atomic_load(&r->cancel) && !r->s.cancel) {
        set_event(r, EV_CANCEL, NULL);
    } else if (atomic_load(&r->c->stopping)) {
        set_event(r, EV_STOPPING, NULL);
        r->ev.wait_ms = left_ms > 0 ? (uint32_t)left_ms : 0;
    } else if (left_ms > 0) {
        queue_wait(&r->c->queue, r, left_ms);
        return false;
    } else {
        set_event(r, EV_TIMER, NULL);
    }
    return true;
}

void runner_work(struct run *r)
{
    struct conductor *c = r->c;
    struct engine_plan plan;
    enum outcome out = NEXT_EVENT;
    int64_t next_ms = 0; /* when the queue may have something for us after this run */
    if (!wake_event(r))
        return;
    struct trace_span span;
    _cleanup_free_ char *ids = NULL;
    set_context(r);
    begin_span(r, &span, &ids);
    while (out == NEXT_EVENT) {
        const struct engine_env env = {
            .cfg = &c->engine, .now_us = conductor_now_us(c), .random = roll};
        r->ev.cancel |= atomic_load(&r->cancel);
        r->ev.superseded |= atomic_load(&r->superseded);
        r->ev.force |= atomic_load(&r->forced);
        r->ev.stopping |= atomic_load(&c->stopping);
        r->ev.give_way = queue_gives_way(&c->queue, r, c->engine.hold_ms);
        engine_handle(&r->s, &r->ev, &env, &plan);
        out = GO_ON;
        for (size_t i = 0; i < plan.n && out == GO_ON; i++) {
            next_ms = plan.v[i].due_in_ms;
            out = act(r, &plan.v[i]);
        }
        if (out == NEXT_EVENT && r->ev.rc < 0)
            trace_span_fail(&span, r->ev.message);
    }
    trace_span_end(&span);
    log_context_set(NULL);
    if (out == PAUSED)
        return; /* somebody else may have it by now */
    queue_end(&c->queue, r);
    /* its successor may be due now; what waits for longer than the next scan is found by that */
    if (next_ms < c->cfg->conductor_scan_interval_ms)
        sleeper_wake(&c->scheduler);
}
