/* Unit tests of core/operation: what cuts into the course of an operation (dying drivers, cancels,
 * lost leases, stops, failing core stages, force), and that every event has a sound plan in every
 * state. See engine.h. */
#include "unit/engine.h"

/* ---- dying drivers ---- */
static void a_dying_host_costs_the_attempt_and_three_the_operation(void)
{
    static const struct {
        enum engine_event_kind kind;
        const char *code, *words;
    } ways[] = {{EV_DIED, "DriverCrashed", "killed by signal 11"},
                {EV_OVERRUN, "DriverHung", "did not answer in time"}};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct bench b = running(OP_CREATE);
        for (int try = 1; try <= 2; try++) {
            const struct engine_plan *p = HANDLE(b, ways[i].kind, .message = "killed by signal 11");
            CU_ASSERT_STRING_NOT_EQUAL(shape(p), "finish");
            CU_ASSERT(told(p, "retry"));
            CU_ASSERT_EQUAL(b.s.host_failures, try);
        }
        const struct engine_plan *p = HANDLE(b, ways[i].kind, .message = "killed by signal 11");
        ASSERT_SHAPE(p, "finish");
        CU_ASSERT_STRING_EQUAL(b.s.trouble.code, ways[i].code);
        CU_ASSERT_STRING_EQUAL(b.s.trouble.actor, "vendor");
        CU_ASSERT_PTR_NOT_NULL(strstr(b.s.trouble.reason, ways[i].words));
        CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, "CREATE_FAILED");
    }
}

static void only_consecutive_deaths_count(void)
{
    struct bench b = running(OP_CREATE);
    for (int round = 0; round < 5; round++) {
        HANDLE(b, EV_DIED);
        HANDLE(b, EV_STEP, .rc = RC_INTERNAL);
        CU_ASSERT_EQUAL(b.s.host_failures, 2);
        HANDLE(b, EV_STEP, .rc = RC_AGAIN);
        CU_ASSERT_EQUAL(b.s.host_failures, 0);
    }
    HANDLE(b, EV_DIED);
    HANDLE(b, EV_DIED);
    HANDLE(b, EV_STEP, .rc = RC_UNAVAILABLE);
    CU_ASSERT_EQUAL(b.s.host_failures, 0);
    /* a checkpoint just before each crash does not save it */
    HANDLE(b, EV_DIED, .checkpointed = true);
    HANDLE(b, EV_DIED, .checkpointed = true);
    HANDLE(b, EV_DIED, .checkpointed = true);
    CU_ASSERT_EQUAL(b.s.status, ENG_FAILED);
}

static void a_missing_driver_blocks_at_once_and_comes_back(void)
{
    struct bench b = pending(OP_DELETE);
    HANDLE(b, EV_LEASED);
    const struct engine_plan *p =
        HANDLE(b, EV_NO_DRIVER, .message = "driver x is quarantined", .remedy = "clear it");
    ASSERT_SHAPE(p, "store wait");
    CU_ASSERT(told(p, "blocked"));
    CU_ASSERT_EQUAL(b.s.status, ENG_BLOCKED);
    CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "DriverUnavailable");
    CU_ASSERT_STRING_EQUAL(b.s.trouble.remedy, "clear it");
    for (int i = 0; i < 10; i++)
        p = HANDLE(b, EV_NO_DRIVER);
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 30000);
    b.env.now_us += 20 * MINUTE;
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN);
    CU_ASSERT(told(p, "unblocked"));
    CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
}

/* ---- cancel, supersede, fence, stop ---- */
static void cancel_before_the_driver_was_called_ends_at_once(void)
{
    struct bench b = pending(OP_SCALE);
    const struct engine_plan *p = HANDLE(b, EV_LEASED, .cancel = true);
    ASSERT_SHAPE(p, "finish");
    CU_ASSERT_EQUAL(b.s.status, ENG_CANCELLED);
    CU_ASSERT(told(p, "cancelled"));
    CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, "UPDATE_FAILED");
    b = pending(OP_CREATE);
    HANDLE(b, EV_LEASED);
    p = HANDLE(b, EV_STAGE, .rc = RC_UNAVAILABLE, .cancel = true);
    ASSERT_SHAPE(p, "store wait");
    ASSERT_SHAPE(HANDLE(b, EV_TIMER), "finish"); /* still in the core's own stage */
    CU_ASSERT_EQUAL(b.s.status, ENG_CANCELLED);
}

static void cancel_reaches_the_driver_and_is_its_to_end(void)
{
    struct bench b = running(OP_CREATE);
    const struct engine_plan *p = HANDLE(b, EV_CANCEL);
    ASSERT_SHAPE(p, "call");
    CU_ASSERT(last(p)->flags & CALLF_CANCEL);
    ASSERT_SHAPE(HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 30), "wait"); /* still stopping */
    p = HANDLE(b, EV_TIMER);
    CU_ASSERT(last(p)->flags & CALLF_CANCEL);
    p = HANDLE(b, EV_STEP, .rc = RC_CANCELLED, .message = "stopped at node 2");
    ASSERT_SHAPE(p, "finish");
    CU_ASSERT_EQUAL(b.s.status, ENG_CANCELLED);
    CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, "CREATE_FAILED");
    CU_ASSERT_STRING_EQUAL(last(p)->status_reason, "stopped at node 2");
    b = running(OP_CREATE); /* it was done before it noticed */
    HANDLE(b, EV_STEP, .rc = RC_OK, .cancel = true);
    CU_ASSERT_EQUAL(b.s.status, ENG_SUCCEEDED);
    b = running(OP_CREATE); /* it noticed during the call */
    HANDLE(b, EV_STEP, .rc = RC_CANCELLED, .cancel = true);
    CU_ASSERT_EQUAL(b.s.status, ENG_CANCELLED);
    b = running(OP_CREATE); /* nobody there to ask */
    HANDLE(b, EV_NO_DRIVER, .cancel = true);
    CU_ASSERT_EQUAL(b.s.status, ENG_CANCELLED);
}

static void a_superseded_operation_ends_without_touching_the_cluster(void)
{
    static const struct engine_event events[] = {
        {.kind = EV_SUPERSEDED},
        {.kind = EV_LEASED, .superseded = true},
        {.kind = EV_TIMER, .superseded = true},
        {.kind = EV_STEP, .rc = RC_OK, .superseded = true},
        {.kind = EV_STEP, .rc = RC_AGAIN, .superseded = true},
        {.kind = EV_STEP, .rc = RC_INVALID, .superseded = true},
        {.kind = EV_STEP, .rc = RC_CANCELLED, .superseded = true, .cancel = true},
        {.kind = EV_STAGE, .rc = RC_OK, .superseded = true},
        {.kind = EV_STAGE, .rc = RC_UNAVAILABLE, .superseded = true},
        {.kind = EV_DIED, .superseded = true},
        {.kind = EV_OVERRUN, .superseded = true},
        {.kind = EV_NO_DRIVER, .superseded = true},
    };
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        struct bench b = running(OP_CREATE);
        const struct engine_plan *p = handle(&b, events[i]);
        ASSERT_SHAPE(p, "finish");
        CU_ASSERT_EQUAL(b.s.status, ENG_CANCELLED);
        CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "Superseded");
        CU_ASSERT_PTR_NULL(last(p)->cluster_status);
        CU_ASSERT_PTR_NULL(last(p)->group_status);
        CU_ASSERT_FALSE(last(p)->remove_cluster);
    }
}

static void a_fenced_runner_writes_nothing(void)
{
    struct bench b = running(OP_CREATE);
    ASSERT_SHAPE(HANDLE(b, EV_FENCED, .superseded = true), "drop");
}

static void a_failed_write_is_waited_out_and_the_row_read_again(void)
{
    struct bench b = running(OP_CREATE);
    HANDLE(b, EV_STEP, .rc = RC_OK);
    const struct engine_plan *p = HANDLE(b, EV_STORE_FAILED, .message = "database is down");
    ASSERT_SHAPE(p, "wait");
    CU_ASSERT_EQUAL(last(p)->wait_ms, 500);
    ASSERT_SHAPE(HANDLE(b, EV_TIMER), "reload");
    p = HANDLE(b, EV_STORE_FAILED);
    CU_ASSERT_EQUAL(last(p)->wait_ms, 1000);
    for (int i = 0; i < 80; i++)
        p = HANDLE(b, EV_STORE_FAILED);
    CU_ASSERT_EQUAL(last(p)->wait_ms, 30000);
    ASSERT_SHAPE(HANDLE(b, EV_CANCEL), "reload");

    struct operation op; /* the finish was not committed: the step is done again */
    operation_init(&op);
    op.kind = strdup("create");
    op.status = strdup("RUNNING");
    op.stage = strdup("create");
    struct err e = ERR_INIT;
    ASSERT_OK(engine_load(&b.s, &op, &e), &e);
    p = HANDLE(b, EV_LEASED);
    ASSERT_SHAPE(p, "call");
    CU_ASSERT(last(p)->flags & CALLF_RESUMED);
    CU_ASSERT_EQUAL(b.s.store_failures, 0);
    free(op.status); /* it was: nothing is left to do */
    op.status = strdup("SUCCEEDED");
    ASSERT_OK(engine_load(&b.s, &op, &e), &e);
    ASSERT_SHAPE(HANDLE(b, EV_LEASED), "drop");
    operation_done(&op);
}

static void a_stopping_conductor_hands_the_operation_on(void)
{
    struct bench b = running(OP_CREATE);
    const struct engine_plan *p = HANDLE(b, EV_STOPPING, .wait_ms = 250);
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 250);
    b = running(OP_CREATE); /* a step in flight ends first */
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 50, .stopping = true);
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 50);
    b = running(OP_CREATE); /* it was told to stop by us: that is no result */
    p = HANDLE(b, EV_STEP, .rc = RC_CANCELLED, .stopping = true);
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
    CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "");
    b = running(OP_CREATE); /* killed by us: no attempt of the driver's */
    p = HANDLE(b, EV_DIED, .stopping = true);
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(b.s.host_failures, 0);
    b = pending(OP_CREATE); /* no new stage is begun */
    p = HANDLE(b, EV_LEASED, .stopping = true);
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(b.s.status, ENG_PENDING);
    b = running(OP_CREATE); /* a result that is final is kept */
    ASSERT_SHAPE(HANDLE(b, EV_STEP, .rc = RC_OK, .stopping = true), "finish");
    b = running(OP_CREATE); /* the database is away as well: the lease runs out by itself */
    HANDLE(b, EV_STORE_FAILED);
    ASSERT_SHAPE(HANDLE(b, EV_STOPPING), "drop");
}

static void user_wishes_reach_the_driver_as_flags(void)
{
    struct bench b = running(OP_DELETE);
    b.s.force = b.s.rollback = true;
    const struct engine_plan *p = HANDLE(b, EV_LEASED);
    CU_ASSERT_EQUAL(last(p)->flags, CALLF_FORCE | CALLF_ROLLBACK);
}

/* ---- core stages ---- */
static void a_failing_core_stage_is_met_like_a_step(void)
{
    struct bench b = pending(OP_CREATE);
    HANDLE(b, EV_LEASED);
    const struct engine_plan *p = HANDLE(b, EV_STAGE, .rc = engine_rc_of(ERR_UNAVAILABLE));
    ASSERT_SHAPE(p, "store wait");
    ASSERT_SHAPE(HANDLE(b, EV_TIMER), "stage");
    p = HANDLE(b, EV_STAGE, .rc = engine_rc_of(ERR_INVALID), .reason = "CertificatesFailed",
               .message = "Failed to create certificates for Cluster: u");
    ASSERT_SHAPE(p, "finish");
    CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, "CREATE_FAILED");
    CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "CertificatesFailed");
}

static void core_errors_have_a_recovery(void)
{
    static const struct {
        int code, rc;
    } expected[] = {{0, RC_OK},
                    {ERR_INVALID, RC_INVALID},
                    {ERR_NOT_FOUND, RC_NOT_FOUND},
                    {ERR_EXISTS, RC_EXISTS},
                    {ERR_BUSY, RC_BUSY},
                    {ERR_FORBIDDEN, RC_DENIED},
                    {ERR_UNAUTHORIZED, RC_AUTH},
                    {ERR_QUOTA, RC_QUOTA},
                    {ERR_UNAVAILABLE, RC_UNAVAILABLE},
                    {ERR_CANT_STORE, RC_UNAVAILABLE},
                    {ERR_TIMEOUT, RC_TIMEOUT},
                    {ERR_CANCELLED, RC_CANCELLED},
                    {ERR_UNSUPPORTED, RC_UNSUPPORTED},
                    {ERR_FENCED, RC_PRECONDITION},
                    {ERR_INTERNAL, RC_INTERNAL},
                    {-12345, RC_INTERNAL}};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        CU_ASSERT_EQUAL(engine_rc_of(expected[i].code), expected[i].rc);
    size_t n = 0;
    const struct recovery *rows = recovery_table(&n);
    CU_ASSERT_EQUAL(n, 13);
    for (size_t i = 0; i < n; i++)
        CU_ASSERT(rows[i].rc == -(int)(i + 1) && code_info(rows[i].code)->remedy[0]);
}

/* ---- force, refusal, what old clients see ---- */
/* Every way a plain delete fails or blocks in: a forced one ends well, and remembers why. */
static void a_forced_delete_ends_whatever_its_driver_does(void)
{
    static const struct {
        struct engine_event ev;
        int64_t after_us;
        const char *code;
    } ways[] = {
        {{.kind = EV_STEP, .rc = RC_DENIED, .message = "no"}, 0, "Denied"},
        {{.kind = EV_STEP, .rc = RC_UNSUPPORTED}, 0, "Unsupported"},
        {{.kind = EV_STEP, .rc = RC_UNAVAILABLE}, 6 * MINUTE, "Unavailable"},
        {{.kind = EV_STEP, .rc = RC_AGAIN}, 6 * MINUTE, "NoProgress"},
        {{.kind = EV_STEP, .rc = RC_AGAIN}, 61 * MINUTE, "DeadlineExceeded"},
        {{.kind = EV_TIMER}, 61 * MINUTE, "DeadlineExceeded"},
        {{.kind = EV_NO_DRIVER, .message = "driver x is not installed"}, 0, "DriverUnavailable"},
    };
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct bench b = running(OP_DELETE);
        b.s.force = true;
        b.env.now_us += ways[i].after_us;
        const struct engine_plan *p = handle(&b, ways[i].ev);
        while (last(p)->kind == ACT_STAGE) /* what the core cleans up itself is not given up */
            p = HANDLE(b, EV_STAGE, .rc = RC_OK);
        ASSERT_SHAPE(p, "finish");
        CU_ASSERT_EQUAL(b.s.status, ENG_SUCCEEDED);
        CU_ASSERT(last(p)->remove_cluster);
        CU_ASSERT_PTR_NOT_NULL_FATAL(last(p)->gave_up);
        CU_ASSERT_STRING_EQUAL(last(p)->gave_up->code, ways[i].code);
        CU_ASSERT(last(p)->gave_up->reason[0]);
    }
    struct bench b = running(OP_DELETE); /* deaths count up to the limit first */
    b.s.force = true;
    HANDLE(b, EV_DIED);
    HANDLE(b, EV_DIED);
    CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
    HANDLE(b, EV_OVERRUN);
    CU_ASSERT(b.s.gave_up);
    CU_ASSERT_STRING_EQUAL(b.s.given_up.code, "DriverHung");
}

static void force_may_come_later_and_is_told_to_the_driver(void)
{
    struct bench b = running(OP_DELETE);
    b.s.status = ENG_BLOCKED;
    b.s.progress_us = T0 - 10 * MINUTE;
    const struct engine_plan *p = HANDLE(b, EV_TIMER, .force = true);
    CU_ASSERT(last(p)->flags & CALLF_FORCE);
    HANDLE(b, EV_STEP, .rc = RC_AGAIN); /* it had its chance */
    CU_ASSERT(b.s.gave_up);
    b = running(OP_SCALE); /* only a delete can be forced */
    b.s.force = true;
    HANDLE(b, EV_STEP, .rc = RC_DENIED);
    CU_ASSERT_EQUAL(b.s.status, ENG_FAILED);
    b = running(OP_DELETE); /* done is done: nothing was given up */
    b.s.force = true;
    p = HANDLE(b, EV_STEP, .rc = RC_OK);
    CU_ASSERT_PTR_NULL(p->v[0].gave_up);
}

static void only_a_first_answer_is_a_refusal(void)
{
    static const struct {
        struct engine_event ev;
        bool refused;
    } answers[] = {
        {{.kind = EV_STEP, .rc = RC_INVALID}, true},
        {{.kind = EV_STEP, .rc = RC_QUOTA}, true},
        {{.kind = EV_STEP, .rc = RC_UNSUPPORTED}, true},
        {{.kind = EV_STEP, .rc = RC_INVALID, .flags = RCF_MAY_LEAK}, false},
        {{.kind = EV_STEP, .rc = RC_INVALID, .checkpointed = true}, false},
        {{.kind = EV_STEP, .rc = RC_INVALID, .outputs = true}, false},
        {{.kind = EV_STEP, .rc = RC_INVALID, .touched = true}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        for (int later = 0; later < 2; later++) {
            struct bench b = running(OP_SCALE);
            if (later)
                HANDLE(b, EV_STEP, .rc = RC_AGAIN);
            const struct engine_plan *p = handle(&b, answers[i].ev);
            ASSERT_SHAPE(p, "finish");
            CU_ASSERT_EQUAL(last(p)->refused, answers[i].refused && !later);
            CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, "UPDATE_FAILED");
        }
    struct bench b = running(OP_UPGRADE); /* the cluster is as good as before */
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_PRECONDITION, .message = "too old");
    CU_ASSERT(last(p)->refused);
    CU_ASSERT_EQUAL(b.s.status, ENG_FAILED);
    CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, "UPDATE_COMPLETE");
    CU_ASSERT_STRING_EQUAL(last(p)->status_reason, "too old");
    b = running(OP_UPGRADE);
    HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 10);
    p = HANDLE(b, EV_STEP, .rc = RC_PRECONDITION);
    CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, "UPDATE_FAILED");
}

/* Every write while it is blocked shows why; the first one after takes it back; no other does. */
static void being_blocked_is_shown_and_taken_back(void)
{
    struct bench b = running(OP_CREATE);
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_UNAVAILABLE);
    CU_ASSERT_FALSE(p->v[0].show);
    b.env.now_us += 6 * MINUTE;
    for (int i = 0; i < 2; i++) {
        p = HANDLE(b, EV_STEP, .rc = RC_UNAVAILABLE, .message = "503");
        CU_ASSERT_EQUAL(b.s.status, ENG_BLOCKED);
        CU_ASSERT(p->v[0].kind == ACT_STORE && p->v[0].show);
    }
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 50, .wait_ms = 20);
    ASSERT_SHAPE(p, "store wait");
    CU_ASSERT(p->v[0].show);
    CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
    b.env.now_us += SECOND;
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 60, .wait_ms = 20);
    ASSERT_SHAPE(p, "store wait");
    CU_ASSERT_FALSE(p->v[0].show);
}

/* Whatever comes in whatever state: a plan that ends in exactly one step to go on from. */
static void every_event_in_every_state_gives_a_sound_plan(void)
{
    static const int rcs[] = {0, 1, -1, -4, -6, -8, -10, -11, -12, -13, -50, 9};
    size_t seen = 0;
    for (int k = 0; k <= OP_KIND_END; k++)
        for (int status = ENG_PENDING; status <= ENG_BLOCKED; status++)
            for (int ev = EV_LEASED; ev <= EV_STOPPING; ev++)
                for (size_t r = 0; r < ARRAY_LEN(rcs); r++)
                    for (int bits = 0; bits < 128; bits++) {
                        struct bench b = running((enum op_kind)k);
                        b.s.force = bits & 64;
                        b.s.status = (enum engine_status)status;
                        b.s.stale = bits & 8;
                        if (bits & 16)
                            b.env.now_us = b.s.deadline_us + 1;
                        else if (bits & 32)
                            b.env.now_us += b.cfg.blocked_after_ms * 1000;
                        if (!engine_stages(b.s.kind)[0].name &&
                            (ev == EV_STEP || ev == EV_STAGE)) /* can't happen: nothing was run */
                            continue;
                        const struct engine_plan *p =
                            handle(&b, (struct engine_event){.kind = (enum engine_event_kind)ev,
                                                             .rc = rcs[r],
                                                             .cancel = bits & 1,
                                                             .superseded = bits & 2,
                                                             .stopping = bits & 4});
                        seen++;
                        CU_ASSERT_FATAL(p->n >= 1 && p->n <= 2);
                        const struct engine_action *a = last(p);
                        bool end = a->kind == ACT_FINISH || a->kind == ACT_DROP ||
                                   (a->kind == ACT_STORE && a->release);
                        bool goes_on = a->kind == ACT_CALL || a->kind == ACT_STAGE ||
                                       a->kind == ACT_WAIT || a->kind == ACT_RELOAD;
                        CU_ASSERT_FATAL(end || goes_on);
                        if (p->n == 2)
                            CU_ASSERT_FATAL(p->v[0].kind == ACT_STORE && !p->v[0].release &&
                                            a->kind != ACT_STORE);
                        if (a->kind == ACT_FINISH) {
                            CU_ASSERT_FATAL(b.s.status >= ENG_SUCCEEDED);
                            CU_ASSERT_FATAL(b.s.status == ENG_SUCCEEDED || b.s.trouble.code[0]);
                        } else {
                            CU_ASSERT_FATAL(b.s.status < ENG_SUCCEEDED);
                        }
                        if (b.s.status == ENG_BLOCKED && status != ENG_BLOCKED)
                            CU_ASSERT_FATAL(b.s.trouble.code[0] && b.s.trouble.actor[0]);
                        if (b.s.stopping)
                            CU_ASSERT_FATAL(end);
                    }
    CU_ASSERT(seen > 100000);
}

TEST_MAIN("engine_trouble", NULL, NULL,
          TEST(a_dying_host_costs_the_attempt_and_three_the_operation),
          TEST(only_consecutive_deaths_count), TEST(a_missing_driver_blocks_at_once_and_comes_back),
          TEST(cancel_before_the_driver_was_called_ends_at_once),
          TEST(cancel_reaches_the_driver_and_is_its_to_end),
          TEST(a_superseded_operation_ends_without_touching_the_cluster),
          TEST(a_fenced_runner_writes_nothing),
          TEST(a_failed_write_is_waited_out_and_the_row_read_again),
          TEST(a_stopping_conductor_hands_the_operation_on),
          TEST(user_wishes_reach_the_driver_as_flags),
          TEST(a_failing_core_stage_is_met_like_a_step), TEST(core_errors_have_a_recovery),
          TEST(a_forced_delete_ends_whatever_its_driver_does),
          TEST(force_may_come_later_and_is_told_to_the_driver),
          TEST(only_a_first_answer_is_a_refusal), TEST(being_blocked_is_shown_and_taken_back),
          TEST(every_event_in_every_state_gives_a_sound_plan))
