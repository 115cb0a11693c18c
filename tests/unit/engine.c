/* Unit tests of core/operation: every decision of the engine, by event and state, without I/O. */
#include "operation/engine.h"

#include "operation/recovery.h"
#include "support/cunit_main.h"

#include <string.h>

#define SECOND 1000000LL
#define MINUTE (60 * SECOND)
#define T0 (1000 * MINUTE) /* the tests' "now" */

/* Half of the range, so that pauses can be told exactly. */
static int64_t half(void *ctx, int64_t n)
{
    (void)ctx;
    return n / 2;
}

struct bench {
    struct engine_config cfg;
    struct engine_env env;
    struct engine_state s;
    struct engine_plan plan;
};

/* A running operation of a kind, in its driver stage, under a fresh lease, with an hour left. */
static struct bench running(enum op_kind kind)
{
    struct bench b = {.cfg = ENGINE_CONFIG_DEFAULT};
    b.env = (struct engine_env){.now_us = T0, .random = half};
    b.s = (struct engine_state){.kind = kind,
                                .status = ENG_RUNNING,
                                .accepted_us = T0,
                                .progress_us = T0,
                                .stored_us = T0,
                                .deadline_us = T0 + 60 * MINUTE};
    while (engine_stages(kind)[b.s.stage].name && !engine_stages(kind)[b.s.stage].interface)
        b.s.stage++;
    return b;
}

static struct bench pending(enum op_kind kind)
{
    struct bench b = running(kind);
    b.s.status = ENG_PENDING;
    b.s.stage = 0;
    b.s.progress_us = b.s.stored_us = TIME_UNSET;
    return b;
}

static const struct engine_plan *handle(struct bench *b, struct engine_event ev)
{
    b->env.cfg = &b->cfg;
    engine_handle(&b->s, &ev, &b->env, &b->plan);
    return &b->plan;
}
#define HANDLE(b, ...) handle(&(b), (struct engine_event){.kind = __VA_ARGS__})

/* The core's own stages that follow a driver's last one, all well. */
static const struct engine_plan *through_stages(struct bench *b, const struct engine_plan *p)
{
    while (p->n && p->v[p->n - 1].kind == ACT_STAGE)
        p = handle(b, (struct engine_event){.kind = EV_STAGE, .rc = RC_OK});
    return p;
}

/* The plan as text: "store wait", ... */
static const char *shape(const struct engine_plan *p)
{
    static char text[128];
    text[0] = '\0';
    for (size_t i = 0; i < p->n; i++) {
        if (i)
            strcat(text, " ");
        strcat(text, engine_action_name(p->v[i].kind));
        if (p->v[i].kind == ACT_STORE && p->v[i].release)
            strcat(text, "+release");
    }
    return text;
}
#define ASSERT_SHAPE(p, expected)                                                                  \
    do {                                                                                           \
        const char *got_ = shape(p);                                                               \
        if (strcmp(got_, (expected)) != 0)                                                         \
            fprintf(stderr, "%s:%d: plan is \"%s\", expected \"%s\"\n", __FILE__, __LINE__, got_,  \
                    (expected));                                                                   \
        CU_ASSERT_STRING_EQUAL_FATAL(got_, (expected));                                            \
    } while (0)

static const struct engine_action *last(const struct engine_plan *p)
{
    return &p->v[p->n - 1];
}

static bool told(const struct engine_plan *p, const char *code)
{
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->v[i].n_notes; k++)
            if (strcmp(p->v[i].notes[k].code, code) == 0)
                return true;
    return false;
}

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

TEST_MAIN(
    "engine", NULL, NULL, TEST(a_create_begins_with_certificates),
    TEST(certificates_are_skipped_without_tls), TEST(each_kind_calls_its_verb),
    TEST(kinds_without_stages_fail_clearly), TEST(trusts_are_made_where_there_are_any),
    TEST(a_stage_may_wait), TEST(the_row_is_read_back),
    TEST(short_waits_stay_short_and_keep_the_lease),
    TEST(long_waits_give_the_lease_back_with_jitter), TEST(progress_is_stored_once_it_settles),
    TEST(percent_never_goes_back), TEST(success_sets_the_final_statuses),
    TEST(a_late_success_is_a_success), TEST(a_verb_that_need_not_be_offered_counts_as_done),
    TEST(every_error_is_met_as_the_table_says), TEST(the_driver_s_words_win),
    TEST(texts_are_made_storable), TEST(auth_is_tried_once_more),
    TEST(backoff_doubles_to_its_ceiling_and_is_reset_by_progress),
    TEST(retry_after_is_obeyed_within_limits), TEST(the_deadline_ends_everything),
    TEST(an_operation_that_nobody_took_in_time_fails_too),
    TEST(waits_and_budgets_end_at_the_deadline), TEST(no_progress_blocks_and_progress_unblocks),
    TEST(errors_without_progress_block_with_who_must_act),
    TEST(a_wait_ends_when_the_operation_counts_as_blocked),
    TEST(a_dying_host_costs_the_attempt_and_three_the_operation),
    TEST(only_consecutive_deaths_count), TEST(a_missing_driver_blocks_at_once_and_comes_back),
    TEST(cancel_before_the_driver_was_called_ends_at_once),
    TEST(cancel_reaches_the_driver_and_is_its_to_end),
    TEST(a_superseded_operation_ends_without_touching_the_cluster),
    TEST(a_fenced_runner_writes_nothing), TEST(a_failed_write_is_waited_out_and_the_row_read_again),
    TEST(a_stopping_conductor_hands_the_operation_on), TEST(user_wishes_reach_the_driver_as_flags),
    TEST(a_failing_core_stage_is_met_like_a_step), TEST(core_errors_have_a_recovery),
    TEST(a_forced_delete_ends_whatever_its_driver_does),
    TEST(force_may_come_later_and_is_told_to_the_driver), TEST(only_a_first_answer_is_a_refusal),
    TEST(being_blocked_is_shown_and_taken_back),
    TEST(every_event_in_every_state_gives_a_sound_plan))
