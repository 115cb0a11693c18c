/* Unit tests of core/operation: the course of an operation, from its beginning through waits,
 * errors, backoff and deadlines to its end or to BLOCKED. See engine.h; what cuts in:
 * engine_trouble.c. */
#include "unit/engine.h"

/* ---- the beginning ---- */
static void a_create_begins_with_certificates(void)
{
    struct bench b = pending(OP_CREATE);
    const struct engine_plan *p = HANDLE(b, EV_LEASED);
    ASSERT_SHAPE(p, "store stage");
    CU_ASSERT_STRING_EQUAL(last(p)->stage->name, "certificates");
    CU_ASSERT(told(p, "started"));
    CU_ASSERT(p->v[0].progress);
    CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
    p = HANDLE(b, EV_STAGE, .rc = RC_OK);
    ASSERT_SHAPE(p, "store call");
    CU_ASSERT(told(p, "stage"));
    CU_ASSERT_STRING_EQUAL(last(p)->stage->verb, "create");
    CU_ASSERT_EQUAL(last(p)->attempt, 1);
    CU_ASSERT_EQUAL(last(p)->flags, 0);
    CU_ASSERT_EQUAL(last(p)->budget_ms, b.cfg.step_budget_ms);
}

static void certificates_are_skipped_without_tls(void)
{
    struct operation op;
    operation_init(&op);
    op.kind = strdup("create");
    op.status = strdup("PENDING");
    op.spec = json_pack("{s:{s:b}}", "template", "tls_disabled", 1);
    struct bench b = pending(OP_CREATE);
    struct err e = ERR_INIT;
    ASSERT_OK(engine_load(&b.s, &op, &e), &e);
    operation_done(&op);
    ASSERT_SHAPE(HANDLE(b, EV_LEASED), "store call");
}

static void each_kind_calls_its_verb(void)
{
    static const struct {
        enum op_kind kind;
        const char *interface, *verb;
    } expected[] = {
        {OP_CREATE, "mag.coe.lifecycle/1", "create"},
        {OP_UPDATE, "mag.coe.lifecycle/1", "update"},
        {OP_DELETE, "mag.coe.lifecycle/1", "remove"},
        {OP_SCALE, "mag.coe.lifecycle/1", "scale"},
        {OP_UPGRADE, "mag.coe.upgrade/1", "upgrade"},
        {OP_ROTATE_CREDENTIAL, "mag.coe.rotate/1", "credential"},
        {OP_NODEGROUP_CREATE, "mag.coe.nodegroups/1", "create"},
        {OP_NODEGROUP_UPDATE, "mag.coe.nodegroups/1", "update"},
        {OP_NODEGROUP_DELETE, "mag.coe.nodegroups/1", "remove"},
    };
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        struct bench b = running(expected[i].kind);
        const struct engine_plan *p = HANDLE(b, EV_LEASED);
        ASSERT_SHAPE(p, "call");
        CU_ASSERT_STRING_EQUAL(last(p)->stage->interface, expected[i].interface);
        CU_ASSERT_STRING_EQUAL(last(p)->stage->verb, expected[i].verb);
    }
}

static void trusts_are_made_where_there_are_any(void)
{
    struct bench b = pending(OP_CREATE);
    b.s.trusts = true;
    const struct engine_plan *p = HANDLE(b, EV_LEASED);
    ASSERT_SHAPE(p, "store stage");
    CU_ASSERT_STRING_EQUAL(last(p)->stage->name, "trust");
    p = HANDLE(b, EV_STAGE, .rc = RC_OK);
    CU_ASSERT_STRING_EQUAL(last(p)->stage->name, "certificates");
}

/* A wait of the core's own is no lack of progress, however long it is; and it ends. */
static void a_stage_may_wait(void)
{
    struct bench b = pending(OP_ROTATE_CA);
    const struct engine_plan *p = HANDLE(b, EV_LEASED);
    CU_ASSERT_STRING_EQUAL(last(p)->stage->name, "ca_new");
    p = HANDLE(b, EV_STAGE, .rc = RC_OK);
    CU_ASSERT_STRING_EQUAL(last(p)->stage->verb, "ca_prepare");
    p = HANDLE(b, EV_STEP, .rc = RC_OK);
    CU_ASSERT_STRING_EQUAL(last(p)->stage->name, "ca_switch");
    p = HANDLE(b, EV_STAGE, .rc = RC_OK);
    CU_ASSERT_STRING_EQUAL(last(p)->stage->name, "ca_grace");
    for (int i = 0; i < 20; i++) {
        p = HANDLE(b, EV_STAGE, .rc = RC_AGAIN, .wait_ms = 3600000, .message = "until noon");
        ASSERT_SHAPE(p, "store+release");
        CU_ASSERT(last(p)->due_in_ms <= b.cfg.max_wait_ms + b.cfg.min_wait_ms);
        CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
        CU_ASSERT_STRING_EQUAL(b.s.message, "until noon");
        b.env.now_us += b.cfg.max_wait_ms * 1000;
        p = HANDLE(b, EV_LEASED);
        CU_ASSERT_STRING_EQUAL(last(p)->stage->name, "ca_grace");
    }
    p = HANDLE(b, EV_STAGE, .rc = RC_OK);
    CU_ASSERT_STRING_EQUAL(last(p)->stage->verb, "ca_complete");
    p = HANDLE(b, EV_STEP, .rc = RC_OK);
    CU_ASSERT_STRING_EQUAL(last(p)->stage->name, "ca_drop");
    ASSERT_SHAPE(HANDLE(b, EV_STAGE, .rc = RC_OK), "finish");
    CU_ASSERT_EQUAL(b.s.status, ENG_SUCCEEDED);
}

static void kinds_without_stages_fail_clearly(void)
{
    static const enum op_kind kinds[] = {OP_HEALTH, OP_KIND_END, (enum op_kind)0};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct bench b = pending(kinds[i]);
        ASSERT_SHAPE(HANDLE(b, EV_LEASED), "finish");
        CU_ASSERT_EQUAL(b.s.status, ENG_FAILED);
        CU_ASSERT_PTR_NOT_NULL(strstr(b.s.trouble.remedy, "upgrade"));
    }
}

static void the_row_is_read_back(void)
{
    struct operation op;
    operation_init(&op);
    op.kind = strdup("scale");
    op.status = strdup("BLOCKED");
    op.stage = strdup("scale");
    op.attempt = 4;
    op.steps = 9;
    op.percent = 40;
    op.code = strdup("Unavailable");
    op.actor = strdup("operator");
    op.superseded_by = strdup("x");
    op.cancel_requested = op.rollback = op.force = true;
    op.lease_fence = 2;
    op.deadline_at = 77;
    struct engine_state s = {.stopping = true, .store_failures = 3, .stale = true};
    struct err e = ERR_INIT;
    ASSERT_OK(engine_load(&s, &op, &e), &e);
    CU_ASSERT_EQUAL(s.kind, OP_SCALE);
    CU_ASSERT_EQUAL(s.status, ENG_BLOCKED);
    CU_ASSERT(s.cancel && s.superseded && s.rollback && s.force && s.resumed);
    CU_ASSERT(s.stopping && s.store_failures == 3);
    CU_ASSERT_FALSE(s.stale);
    CU_ASSERT_EQUAL(s.attempt, 4);
    CU_ASSERT_EQUAL(s.host_failures, 0);
    CU_ASSERT_EQUAL(s.percent, 40);
    CU_ASSERT_EQUAL(s.deadline_us, 77);
    CU_ASSERT_EQUAL(s.progress_us, TIME_UNSET);
    CU_ASSERT_STRING_EQUAL(s.trouble.code, "Unavailable");
    free(op.stage);
    op.stage = NULL;
    free(op.status);
    op.status = strdup("RUNNING"); /* leased, but its runner died before it began */
    ASSERT_OK(engine_load(&s, &op, &e), &e);
    CU_ASSERT_EQUAL(s.status, ENG_PENDING);
    free(op.kind);
    op.kind = strdup("dance");
    CU_ASSERT_EQUAL(engine_load(&s, &op, &e), ERR_INVALID);
    operation_done(&op);
}

/* ---- AGAIN ---- */
static void short_waits_stay_short_and_keep_the_lease(void)
{
    struct bench b = running(OP_CREATE);
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 100);
    ASSERT_SHAPE(p, "wait"); /* nothing new: nothing is written */
    CU_ASSERT_EQUAL(last(p)->wait_ms, 100);
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 0);
    CU_ASSERT_EQUAL(last(p)->wait_ms, b.cfg.min_wait_ms);
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 1000);
    CU_ASSERT_EQUAL(last(p)->wait_ms, 1000);
    CU_ASSERT_EQUAL(b.s.steps, 3);
    ASSERT_SHAPE(HANDLE(b, EV_TIMER), "call");
}

static void long_waits_give_the_lease_back_with_jitter(void)
{
    struct bench b = running(OP_CREATE);
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 10000);
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 10500);
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = UINT32_MAX);
    CU_ASSERT_EQUAL(last(p)->due_in_ms, b.cfg.max_wait_ms);
}

/* With what it has, and with when it goes on; work itself is not put off. */
static void short_waits_give_way_to_others(void)
{
    struct bench b = running(OP_CREATE);
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 100, .percent = 30,
                                         .message = "a third", .give_way = true);
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 100);
    CU_ASSERT_EQUAL(b.s.percent, 30);
    CU_ASSERT_EQUAL(b.s.steps, 1);
    ASSERT_SHAPE(HANDLE(b, EV_TIMER, .give_way = true), "call");
    ASSERT_SHAPE(HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 100), "wait"); /* asked each time */
    b = pending(OP_CREATE);
    ASSERT_SHAPE(HANDLE(b, EV_LEASED, .give_way = true), "store stage");
}

static void progress_is_stored_once_it_settles(void)
{
    struct bench b = running(OP_CREATE);
    ASSERT_SHAPE(HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 5, .message = "one"), "wait");
    b.env.now_us += b.cfg.settle_ms * 1000;
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 5);
    ASSERT_SHAPE(p, "store wait");
    CU_ASSERT(p->v[0].progress);
    CU_ASSERT_STRING_EQUAL(b.s.message, "one");
    b.env.now_us += b.cfg.settle_ms * 1000;
    ASSERT_SHAPE(HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 5), "wait");
    b.env.now_us += b.cfg.store_ms * 1000;
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 5);
    ASSERT_SHAPE(p, "store wait"); /* steps are counted now and then */
    CU_ASSERT_FALSE(p->v[0].progress);
    ASSERT_SHAPE(HANDLE(b, EV_STEP, .rc = RC_AGAIN, .outputs = true), "store wait");
}

static void percent_never_goes_back(void)
{
    struct bench b = running(OP_CREATE);
    HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 60);
    HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 10);
    CU_ASSERT_EQUAL(b.s.percent, 60);
    HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 4000000000u);
    CU_ASSERT_EQUAL(b.s.percent, 100);
    int64_t then = b.s.progress_us;
    b.env.now_us += MINUTE;
    HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 100);
    CU_ASSERT_EQUAL(b.s.progress_us, then); /* repeating a number is no progress */
}

/* ---- success ---- */
static void success_sets_the_final_statuses(void)
{
    static const struct {
        enum op_kind kind;
        const char *cluster, *group;
        bool remove_cluster, remove_group;
    } expected[] = {
        {OP_CREATE, "CREATE_COMPLETE", "CREATE_COMPLETE", false, false},
        {OP_UPDATE, "UPDATE_COMPLETE", "UPDATE_COMPLETE", false, false},
        {OP_DELETE, "DELETE_COMPLETE", "DELETE_COMPLETE", true, false},
        {OP_SCALE, "UPDATE_COMPLETE", "UPDATE_COMPLETE", false, false},
        {OP_NODEGROUP_CREATE, "UPDATE_COMPLETE", "CREATE_COMPLETE", false, false},
        {OP_NODEGROUP_UPDATE, "UPDATE_COMPLETE", "UPDATE_COMPLETE", false, false},
        {OP_NODEGROUP_DELETE, "UPDATE_COMPLETE", "DELETE_COMPLETE", false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        struct bench b = running(expected[i].kind);
        const struct engine_plan *p = through_stages(&b, HANDLE(b, EV_STEP, .rc = RC_OK));
        ASSERT_SHAPE(p, "finish");
        CU_ASSERT(told(p, "succeeded"));
        CU_ASSERT_EQUAL(b.s.status, ENG_SUCCEEDED);
        CU_ASSERT_EQUAL(b.s.percent, 100);
        CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, expected[i].cluster);
        CU_ASSERT_STRING_EQUAL(last(p)->group_status, expected[i].group);
        CU_ASSERT_PTR_NULL(last(p)->status_reason);
        CU_ASSERT_EQUAL(last(p)->remove_cluster, expected[i].remove_cluster);
        CU_ASSERT_EQUAL(last(p)->remove_group, expected[i].remove_group);
    }
}

static void a_late_success_is_a_success(void)
{
    struct bench b = running(OP_CREATE);
    b.env.now_us = b.s.deadline_us + SECOND;
    HANDLE(b, EV_STEP, .rc = RC_OK);
    CU_ASSERT_EQUAL(b.s.status, ENG_SUCCEEDED);
}

static void a_verb_that_need_not_be_offered_counts_as_done(void)
{
    struct bench b = running(OP_NODEGROUP_UPDATE);
    HANDLE(b, EV_STEP, .rc = RC_UNSUPPORTED);
    CU_ASSERT_EQUAL(b.s.status, ENG_SUCCEEDED);
    b = running(OP_NODEGROUP_CREATE);
    HANDLE(b, EV_STEP, .rc = RC_UNSUPPORTED);
    CU_ASSERT_EQUAL(b.s.status, ENG_FAILED);
}

/* ---- errors: the table of the ABI, written down a second time on purpose ---- */
enum outcome { FAILS, RETRIES };
static const struct {
    int rc;
    enum outcome plain, retryable; /* without and with the retryable flag */
    const char *code, *actor;
} table[] = {
    {RC_INVALID, FAILS, RETRIES, "Invalid", "user"},
    {RC_NOT_FOUND, FAILS, RETRIES, "NotFound", "user"},
    {RC_EXISTS, FAILS, RETRIES, "Exists", "operator"},
    {RC_BUSY, RETRIES, RETRIES, "Busy", "operator"},
    {RC_DENIED, FAILS, RETRIES, "Denied", "operator"},
    {RC_AUTH, RETRIES, RETRIES, "AuthRefused", "operator"}, /* once: see below */
    {RC_QUOTA, FAILS, RETRIES, "QuotaExceeded", "user"},
    {RC_UNAVAILABLE, RETRIES, RETRIES, "Unavailable", "operator"},
    {RC_TIMEOUT, RETRIES, RETRIES, "Timeout", "operator"},
    {RC_CANCELLED, RETRIES, RETRIES, "DriverError", "vendor"}, /* nobody asked: a driver bug */
    {RC_UNSUPPORTED, FAILS, RETRIES, "Unsupported", "operator"},
    {RC_PRECONDITION, FAILS, RETRIES, "Precondition", "user"},
    {RC_INTERNAL, RETRIES, RETRIES, "DriverError", "vendor"},
    {-99, FAILS, RETRIES, "UnknownCode", "vendor"},
    {42, FAILS, RETRIES, "UnknownCode", "vendor"},
};

static void every_error_is_met_as_the_table_says(void)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        for (int flag = 0; flag < 2; flag++)
            for (enum op_kind k = OP_CREATE; k < OP_KIND_END; k++) {
                if (!engine_stages(k)[0].name ||
                    (k == OP_NODEGROUP_UPDATE && table[i].rc == RC_UNSUPPORTED))
                    continue;
                struct bench b = running(k);
                b.s.steps = 1; /* not the first answer, which may be a refusal */
                const struct engine_plan *p =
                    HANDLE(b, EV_STEP, .rc = table[i].rc, .flags = flag ? RCF_RETRYABLE : 0u);
                bool retries = (flag ? table[i].retryable : table[i].plain) == RETRIES;
                CU_ASSERT_STRING_EQUAL(b.s.trouble.code, table[i].code);
                CU_ASSERT_STRING_EQUAL(b.s.trouble.actor, table[i].actor);
                CU_ASSERT(b.s.trouble.reason[0] && b.s.trouble.remedy[0]);
                CU_ASSERT_EQUAL(b.s.attempt, 1);
                if (retries) {
                    ASSERT_SHAPE(p, "store wait"); /* 500 ms: half of the first ceiling */
                    CU_ASSERT_EQUAL(last(p)->wait_ms, 500);
                    CU_ASSERT(told(p, "retry"));
                    p = HANDLE(b, EV_TIMER);
                    CU_ASSERT_EQUAL(last(p)->attempt, 2);
                    CU_ASSERT(last(p)->flags & CALLF_RESUMED);
                } else {
                    ASSERT_SHAPE(p, "finish");
                    CU_ASSERT(told(p, "failed"));
                    CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, status_on_failure(k));
                    CU_ASSERT_STRING_EQUAL(last(p)->group_status, status_group_on_failure(k));
                    CU_ASSERT_STRING_EQUAL(last(p)->status_reason, b.s.trouble.reason);
                    CU_ASSERT_FALSE(last(p)->remove_cluster || last(p)->remove_group);
                }
            }
}

static void the_driver_s_words_win(void)
{
    struct bench b = running(OP_CREATE);
    HANDLE(b, EV_STEP, .rc = RC_QUOTA, .reason = "TooManyCores", .message = "cores: 9 of 8\nused",
           .remedy = "ask for cores", .flags = RCF_OPERATOR);
    CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "TooManyCores");
    CU_ASSERT_STRING_EQUAL(b.s.trouble.reason, "cores: 9 of 8 used");
    CU_ASSERT_STRING_EQUAL(b.s.trouble.remedy, "ask for cores");
    CU_ASSERT_STRING_EQUAL(b.s.trouble.actor, "operator");
    b = running(OP_CREATE);
    HANDLE(b, EV_STEP, .rc = RC_UNAVAILABLE, .flags = RCF_USER);
    CU_ASSERT_STRING_EQUAL(b.s.trouble.actor, "user");
}

static void texts_are_made_storable(void)
{
    struct bench b = running(OP_CREATE);
    char text[2000];
    memset(text, 'x', sizeof text);
    for (size_t i = 1; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof text - 1] = '\0';
    HANDLE(b, EV_STEP, .rc = RC_INVALID, .message = text);
    size_t n = strlen(b.s.trouble.reason);
    CU_ASSERT(n < ENGINE_REASON_MAX && (unsigned char)b.s.trouble.reason[n - 1] == 0xa9);
    b = running(OP_CREATE);
    HANDLE(b, EV_STEP, .rc = RC_INVALID, .message = "a\xff\xc3(\xed\xa0\x80\x01z");
    CU_ASSERT_STRING_EQUAL(b.s.trouble.reason, "a?"
                                               "?(?"
                                               "?? z");
}

static void auth_is_tried_once_more(void)
{
    struct bench b = running(OP_CREATE);
    HANDLE(b, EV_STEP, .rc = RC_AUTH, .retry_after_ms = 500);
    CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
    HANDLE(b, EV_STEP, .rc = RC_AUTH, .reason = "Other");
    CU_ASSERT_EQUAL(b.s.status, ENG_FAILED);
    b = running(OP_CREATE); /* the first try was under another lease */
    strcpy(b.s.trouble.code, "AuthRefused");
    HANDLE(b, EV_STEP, .rc = RC_AUTH);
    CU_ASSERT_EQUAL(b.s.status, ENG_FAILED);
    b = running(OP_CREATE); /* progress between them: a new matter */
    HANDLE(b, EV_STEP, .rc = RC_AUTH);
    HANDLE(b, EV_STEP, .rc = RC_AGAIN, .percent = 10);
    HANDLE(b, EV_STEP, .rc = RC_AUTH);
    CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
}

/* ---- backoff ---- */
static void backoff_doubles_to_its_ceiling_and_is_reset_by_progress(void)
{
    static const int64_t pauses[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    struct bench b = running(OP_CREATE);
    b.cfg.hold_ms = 0;
    for (size_t i = 0; i < ARRAY_LEN(pauses); i++) {
        const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_UNAVAILABLE);
        ASSERT_SHAPE(p, "store+release");
        CU_ASSERT_EQUAL(last(p)->due_in_ms, pauses[i]);
        CU_ASSERT_EQUAL(told(p, "retry"), i == 0 || i == 1 || i == 3 || i == 7);
    }
    HANDLE(b, EV_STEP, .rc = RC_AGAIN, .checkpointed = true);
    CU_ASSERT_EQUAL(b.s.attempt, 0);
    CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "");
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_UNAVAILABLE);
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 500);
    HANDLE(b, EV_STEP, .rc = RC_AGAIN); /* no progress: goes on from there */
    p = HANDLE(b, EV_STEP, .rc = RC_UNAVAILABLE);
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 1000);
}

static void retry_after_is_obeyed_within_limits(void)
{
    struct bench b = running(OP_CREATE);
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_BUSY, .retry_after_ms = 7000);
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 7350);
    p = HANDLE(b, EV_STEP, .rc = RC_BUSY, .retry_after_ms = 4000000000u);
    CU_ASSERT_EQUAL(last(p)->due_in_ms, b.cfg.max_wait_ms);
}

/* ---- deadline ---- */
static void the_deadline_ends_everything(void)
{
    static const struct engine_event events[] = {
        {.kind = EV_LEASED},
        {.kind = EV_TIMER},
        {.kind = EV_STEP, .rc = RC_AGAIN, .percent = 99, .checkpointed = true},
        {.kind = EV_STEP, .rc = RC_UNAVAILABLE, .message = "backend is down"},
        {.kind = EV_DIED, .message = "killed by signal 11"},
        {.kind = EV_OVERRUN, .message = "no answer"},
        {.kind = EV_NO_DRIVER, .message = "not installed"},
    };
    for (enum op_kind k = OP_CREATE; k < OP_KIND_END; k++)
        for (size_t i = 0; engine_stages(k)[0].name && i < ARRAY_LEN(events); i++) {
            struct bench b = running(k);
            b.env.now_us = b.s.deadline_us;
            const struct engine_plan *p = handle(&b, events[i]);
            ASSERT_SHAPE(p, "finish");
            CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "DeadlineExceeded");
            CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, status_on_failure(k));
            CU_ASSERT_PTR_NOT_NULL(strstr(b.s.trouble.reason, "60 minutes"));
            if (events[i].kind == EV_STEP && events[i].message)
                CU_ASSERT_PTR_NOT_NULL(strstr(b.s.trouble.reason, "backend is down"));
        }
}

static void an_operation_that_nobody_took_in_time_fails_too(void)
{
    struct bench b = pending(OP_DELETE);
    b.env.now_us = b.s.deadline_us + 1;
    const struct engine_plan *p = HANDLE(b, EV_LEASED);
    CU_ASSERT_STRING_EQUAL(last(p)->cluster_status, "DELETE_FAILED");
}

static void waits_and_budgets_end_at_the_deadline(void)
{
    struct bench b = running(OP_CREATE);
    b.env.now_us = b.s.deadline_us - 5 * SECOND;
    b.s.progress_us = b.env.now_us;
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 30000);
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 5000);
    p = HANDLE(b, EV_TIMER);
    CU_ASSERT_EQUAL(last(p)->budget_ms, 5000);
    b.env.now_us = b.s.deadline_us - 1;
    p = HANDLE(b, EV_TIMER);
    CU_ASSERT_EQUAL(last(p)->budget_ms, b.cfg.min_budget_ms);
    b.s.deadline_us = TIME_UNSET;
    p = HANDLE(b, EV_TIMER);
    CU_ASSERT_EQUAL(last(p)->budget_ms, b.cfg.step_budget_ms);
}

/* ---- BLOCKED ---- */
static void no_progress_blocks_and_progress_unblocks(void)
{
    struct bench b = running(OP_CREATE);
    b.env.now_us += b.cfg.blocked_after_ms * 1000;
    const struct engine_plan *p =
        HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 50, .message = "waiting for the stack");
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 45000); /* slowly */
    CU_ASSERT(told(p, "blocked"));
    CU_ASSERT_EQUAL(b.s.status, ENG_BLOCKED);
    CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "NoProgress");
    CU_ASSERT_PTR_NOT_NULL(strstr(b.s.trouble.reason, "waiting for the stack"));
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 50);
    CU_ASSERT_EQUAL(b.s.status, ENG_BLOCKED);
    CU_ASSERT_FALSE(told(p, "blocked")); /* said once */
    b.env.now_us += SECOND;
    p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 50, .percent = 1);
    ASSERT_SHAPE(p, "store wait");
    CU_ASSERT(told(p, "unblocked"));
    CU_ASSERT(p->v[0].progress);
    CU_ASSERT_EQUAL(b.s.status, ENG_RUNNING);
    CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "");
}

static void errors_without_progress_block_with_who_must_act(void)
{
    struct bench b = running(OP_DELETE);
    b.env.now_us += b.cfg.blocked_after_ms * 1000;
    const struct engine_plan *p =
        HANDLE(b, EV_STEP, .rc = RC_QUOTA, .flags = RCF_RETRYABLE | RCF_USER, .reason = "NoCores");
    ASSERT_SHAPE(p, "store+release");
    CU_ASSERT_EQUAL(b.s.status, ENG_BLOCKED);
    CU_ASSERT_STRING_EQUAL(b.s.trouble.code, "NoCores");
    CU_ASSERT_STRING_EQUAL(b.s.trouble.actor, "user");
    p = through_stages(&b, HANDLE(b, EV_STEP, .rc = RC_OK)); /* and it may still succeed */
    CU_ASSERT(told(p, "succeeded"));
    CU_ASSERT_EQUAL(b.s.status, ENG_SUCCEEDED);
}

static void a_wait_ends_when_the_operation_counts_as_blocked(void)
{
    struct bench b = running(OP_CREATE);
    b.env.now_us += b.cfg.blocked_after_ms * 1000 - 3 * SECOND;
    const struct engine_plan *p = HANDLE(b, EV_STEP, .rc = RC_AGAIN, .wait_ms = 60000);
    CU_ASSERT_EQUAL(last(p)->due_in_ms, 3000 + b.cfg.min_wait_ms);
}

TEST_MAIN("engine", NULL, NULL, TEST(a_create_begins_with_certificates),
          TEST(certificates_are_skipped_without_tls), TEST(each_kind_calls_its_verb),
          TEST(kinds_without_stages_fail_clearly), TEST(trusts_are_made_where_there_are_any),
          TEST(a_stage_may_wait), TEST(the_row_is_read_back),
          TEST(short_waits_stay_short_and_keep_the_lease),
          TEST(long_waits_give_the_lease_back_with_jitter), TEST(short_waits_give_way_to_others),
          TEST(progress_is_stored_once_it_settles), TEST(percent_never_goes_back),
          TEST(success_sets_the_final_statuses), TEST(a_late_success_is_a_success),
          TEST(a_verb_that_need_not_be_offered_counts_as_done),
          TEST(every_error_is_met_as_the_table_says), TEST(the_driver_s_words_win),
          TEST(texts_are_made_storable), TEST(auth_is_tried_once_more),
          TEST(backoff_doubles_to_its_ceiling_and_is_reset_by_progress),
          TEST(retry_after_is_obeyed_within_limits), TEST(the_deadline_ends_everything),
          TEST(an_operation_that_nobody_took_in_time_fails_too),
          TEST(waits_and_budgets_end_at_the_deadline),
          TEST(no_progress_blocks_and_progress_unblocks),
          TEST(errors_without_progress_block_with_who_must_act),
          TEST(a_wait_ends_when_the_operation_counts_as_blocked))
