/* Drivers that crash, hang, lie and break the protocol; quarantine; stopping; kills. */
#include "support/driver_pool.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "magnum/stats.h"
#include "support/cunit_main.h"

#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct test_pool pool;
static struct record rec;

static void begin(void)
{
    test_pool_start(&pool, NULL);
    record_init(&rec);
}

static void begin_default(void)
{
    test_pool_prepare(&pool);
    begin();
}

static void end(void)
{
    record_done(&rec);
    test_pool_end(&pool);
}

static int run_as(const char *op, const char *mode, int64_t budget_ms, struct coe_result *r,
                  struct err *e)
{
    struct coe_services svc = record_services(&rec);
    _cleanup_json_ json_t *spec = json_pack("{s:{s:s}}", "params", "mode", mode);
    struct coe_call c = test_call(PLAIN_ID, "create", spec, "c1", &svc);
    c.op_id = op;
    c.budget_ms = budget_ms;
    *r = (struct coe_result){0};
    return front_coe_call(pool.pool, &c, r, e);
}

static struct coe_result run(const char *mode, int64_t budget_ms)
{
    struct err e = ERR_INIT;
    struct coe_result r;
    ASSERT_OK(run_as("op-1", mode, budget_ms, &r, &e), &e);
    return r;
}

/* The host is lost; the next call gets a new one as if nothing had been. */
static void expect_death(const char *mode, int64_t budget_ms, const char *why)
{
    struct coe_result r = run(mode, budget_ms);
    if (!strstr(r.died_why, why))
        fprintf(stderr, "%s: rc %d, died: %s\n", mode, r.rc, r.died_why);
    CU_ASSERT_EQUAL(r.rc, MAG_E_INTERNAL);
    CU_ASSERT(r.host_died);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.died_why, why));
    CU_ASSERT_PTR_NOT_NULL(strstr(r.err_message, why));
    CU_ASSERT(r.reason[0] != '\0');
    CU_ASSERT(r.err_flags & MAG_ERR_RETRYABLE);
    coe_result_done(&r);
    r = run("ok", 20000);
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    coe_result_done(&r);
}

static void test_deaths(void)
{
    begin_default();
    if (!SANITIZED)
        expect_death("segv", 20000, "killed by signal 11 (Segmentation fault)");
    expect_death("exit", 20000, "exited with status 7");
    expect_death("garbage", 20000, "unknown frame type");
    int64_t start = clock_mono_ms();
    expect_death("hang", 200, "no answer within 300 ms");
    expect_death("stubborn", 200, "no answer within 300 ms"); /* ignores SIGTERM */
    expect_death("spin", 200, "no answer within 300 ms");     /* never stops asking */
    CU_ASSERT(clock_mono_ms() - start < 60000);
    expect_death("close", 20000, "connection closed");
    end();
}

static void test_step_answers(void)
{
    begin_default();
    struct coe_result r = run("again", 20000);
    CU_ASSERT_EQUAL(r.rc, MAG_AGAIN);
    CU_ASSERT_EQUAL(r.wait_ms, 1234);
    CU_ASSERT_EQUAL(r.percent, 42);
    CU_ASSERT_STRING_EQUAL(r.message, "on the way");
    coe_result_done(&r);
    r = run("lie", 20000);
    CU_ASSERT_EQUAL(r.percent, 100);
    coe_result_done(&r);
    r = run("rich_error", 20000);
    CU_ASSERT_EQUAL(r.rc, MAG_E_QUOTA);
    CU_ASSERT_EQUAL(r.err_flags, MAG_ERR_RETRYABLE | MAG_ERR_MAY_LEAK);
    CU_ASSERT_EQUAL(r.retry_after_ms, 777);
    CU_ASSERT_STRING_EQUAL(r.reason, "QuotaExceeded");
    CU_ASSERT_STRING_EQUAL(r.err_message, "two lines");
    CU_ASSERT_STRING_EQUAL(r.remedy, "do this");
    CU_ASSERT_FALSE(r.host_died);
    coe_result_done(&r);
    end();
}

/* What breaks the contract becomes INTERNAL; the process itself may go on. */
static void expect_misbehaviour(const char *mode, const char *text)
{
    struct coe_result r = run(mode, 20000);
    CU_ASSERT_EQUAL(r.rc, MAG_E_INTERNAL);
    CU_ASSERT_STRING_EQUAL(r.reason, "DriverMisbehaved");
    if (!strstr(r.err_message, text))
        fprintf(stderr, "%s: %s\n", mode, r.err_message);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.err_message, text));
    CU_ASSERT_FALSE(r.host_died);
    coe_result_done(&r);
}

static int ask_stats(const char *mode, struct coe_result *r)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *spec = json_pack("{s:{s:s}}", "params", "mode", mode);
    struct coe_call c = test_call(PLAIN_ID, "read", spec, "c1", NULL);
    c.interface = MAG_IFACE_STATS;
    *r = (struct coe_result){0};
    return front_coe_call(pool.pool, &c, r, &e);
}

static void test_contract(void)
{
    begin_default();
    expect_misbehaviour("empty_reason", "failed without a reason");
    expect_misbehaviour("positive", "positive code");
    expect_misbehaviour("bad_utf8", "not UTF-8");
    expect_misbehaviour("bad_utf8_step", "not UTF-8");
    struct coe_result r = run("unknown_code", 20000);
    CU_ASSERT_EQUAL(r.rc, MAG_E_INTERNAL);
    CU_ASSERT_STRING_EQUAL(r.reason, "FromTheFuture");
    coe_result_done(&r);
    r = run("unterminated", 20000); /* texts without an end are cut, never overrun */
    CU_ASSERT_EQUAL(r.rc, MAG_E_INVALID);
    CU_ASSERT_EQUAL(strlen(r.reason), sizeof r.reason - 1);
    coe_result_done(&r);
    static const char *const docs[] = {"no_json", "binary", "huge"};
    for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
        CU_ASSERT_EQUAL(ask_stats(docs[i], &r), 0);
        CU_ASSERT_EQUAL(r.rc, MAG_E_INTERNAL);
        CU_ASSERT_PTR_NULL(r.value);
        CU_ASSERT_FALSE(r.host_died);
        coe_result_done(&r);
    }
    /* AGAIN means nothing outside of a step. */
    struct err e = ERR_INIT;
    struct coe_call c = test_call(PLAIN_ID, "validate", NULL, "c1", NULL);
    ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
    CU_ASSERT_EQUAL(r.rc, MAG_E_INTERNAL);
    coe_result_done(&r);
    end();
}

/* ---- the simulator's faults ---- */

static int32_t simulate(const char *verb, const char *op, const char *labels, int workers,
                        struct coe_result *last)
{
    _cleanup_json_ json_t *spec = test_spec("c1", 1, workers, labels);
    struct coe_call c = test_call(SIM_ID, verb, spec, "c1", NULL);
    c.op_id = op;
    c.budget_ms = 4000; /* what hangs costs it, and what is slow must not */
    return test_walk(pool.pool, c, &rec, NULL, last);
}

static void test_simulated_faults(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.kill_grace_ms", "2000");
    begin();
    struct coe_result last = {0};
    CU_ASSERT_EQUAL(simulate("create", "op-1", "sim_crash_at_step=2,sim_crash_times=2", 3, NULL),
                    MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", ""), 4);
    CU_ASSERT_EQUAL(record_ledger_count(&rec, "node"), 4);
    CU_ASSERT_EQUAL(simulate("scale", "op-2", "sim_hang_at_step=1,sim_fail_kind=scale", 5, NULL),
                    MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "workers"), 5);
    CU_ASSERT_EQUAL(simulate("update", "op-3",
                             "sim_fail_at_step=1,sim_fail_kind=update,sim_fail_code=QUOTA", 5,
                             &last),
                    MAG_E_QUOTA);
    CU_ASSERT_STRING_EQUAL(last.reason, "SimulatedFailure");
    CU_ASSERT(last.err_flags & MAG_ERR_USER);
    coe_result_done(&last);
    /* It failed once; it does not again. */
    CU_ASSERT_EQUAL(simulate("update", "op-4",
                             "sim_fail_at_step=1,sim_fail_kind=update,sim_fail_code=QUOTA", 5,
                             NULL),
                    MAG_OK);
    CU_ASSERT_EQUAL(simulate("remove", "op-5",
                             "sim_crash_at_step=1,sim_fail_kind=delete,sim_steps=not a number", 5,
                             NULL),
                    MAG_OK); /* a delete works whatever the labels say */
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", ""), 0);
    CU_ASSERT_EQUAL(record_ledger_count(&rec, "node"), 0);
    end();
}

/* ---- kills: at the end there is exactly what was asked for, and nothing after the delete ---- */

/* Kills the host within the n-th service call it makes, after the service did its work. */
struct assassin {
    struct record *rec;
    struct coe_services real;
    int calls_left; /* -1 = nobody is killed */
    int kills;
};

static void strike(struct assassin *a)
{
    if (a->calls_left > 0 && --a->calls_left == 0) {
        a->kills++;
        a->calls_left = -1;
        pid_t child = test_newest_child();
        if (child > 0)
            (void)kill(child, SIGKILL);
    }
}
static int a_checkpoint(void *ctx, const char *state, size_t len, struct err *e)
{
    struct assassin *a = ctx;
    int rc = a->real.checkpoint(a->rec, state, len, e);
    strike(a);
    return rc;
}
static int a_output(void *ctx, const char *key, const json_t *value, struct err *e)
{
    struct assassin *a = ctx;
    int rc = a->real.output(a->rec, key, value, e);
    strike(a);
    return rc;
}
static int a_ledger(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e)
{
    struct assassin *a = ctx;
    int rc = a->real.ledger(a->rec, verb, args, ret, e);
    strike(a);
    return rc;
}

/* One operation; every host is killed at its `every`-th service call, the attempts after `mercy`
 * kills live. Stored by the services alone: what a conductor would know. */
static int walk_through_kills(const char *verb, const char *op, int workers, int every)
{
    enum { MERCY = 25 };
    _cleanup_json_ json_t *spec = test_spec("c1", 2, workers, "sim_steps=4,sim_step_ms=0");
    struct assassin a = {.rec = &rec, .real = record_services(&rec)};
    struct coe_services svc = {
        .ctx = &a, .checkpoint = a_checkpoint, .output = a_output, .ledger = a_ledger};
    for (int i = 0; i < 500; i++) {
        struct err e = ERR_INIT;
        struct coe_result r = {0};
        struct coe_call c = test_call(SIM_ID, verb, spec, "c1", &svc);
        c.op_id = op;
        c.state = rec.state;
        a.calls_left = a.kills < MERCY ? every : -1;
        ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
        int32_t answer = r.rc;
        /* The result may have been on its way when the kill came: then it counts. */
        CU_ASSERT(answer == MAG_OK || answer == MAG_AGAIN || r.host_died);
        coe_result_done(&r);
        if (answer == MAG_OK)
            return a.kills;
    }
    CU_FAIL("the operation never ended");
    return a.kills;
}

static void test_kills(void)
{
    begin_default();
    int kills = 0;
    for (int every = 1; every <= 12; every++) {
        char op[3][16];
        for (int i = 0; i < 3; i++)
            snprintf(op[i], sizeof op[i], "op-%d-%d", every, i);
        kills += walk_through_kills("create", op[0], 9, every);
        CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "workers"), 9);
        CU_ASSERT_EQUAL(record_ledger_count(&rec, "node"), 11);
        kills += walk_through_kills("scale", op[1], 3, every);
        CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "workers"), 3);
        CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "masters"), 2);
        kills += walk_through_kills("remove", op[2], 3, every);
        CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", ""), 0);
        CU_ASSERT_EQUAL(record_ledger_count(&rec, "node"), 0);
    }
    CU_ASSERT(kills > 150);
    end();
}

/* Killed from outside at any time, also before its hello and between calls. */
static void *killer(void *arg)
{
    unsigned seed = 12345;
    for (int i = 0; i < 60; i++) {
        pid_t child = test_newest_child();
        if (child > 0)
            (void)kill(child, SIGKILL);
        (void)poll(NULL, 0, 1 + rand_r(&seed) % 20);
    }
    (void)arg;
    return NULL;
}

static void test_kills_at_any_time(void)
{
    begin_default();
    pthread_t id;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&id, NULL, killer, NULL), 0);
    _cleanup_json_ json_t *spec = test_spec("c1", 2, 20, "sim_steps=20,sim_step_ms=0");
    struct coe_services svc = record_services(&rec);
    int32_t answer = MAG_AGAIN;
    for (int i = 0; i < 5000 && answer != MAG_OK; i++) {
        struct err e = ERR_INIT;
        struct coe_result r = {0};
        struct coe_call c = test_call(SIM_ID, "create", spec, "c1", &svc);
        c.state = rec.state;
        int rc = front_coe_call(pool.pool, &c, &r, &e);
        CU_ASSERT(rc == 0 || rc == ERR_UNAVAILABLE); /* killed before its hello */
        answer = rc == 0 ? r.rc : MAG_E_INTERNAL;
        CU_ASSERT(answer == MAG_OK || answer == MAG_AGAIN || rc != 0 || r.host_died);
        coe_result_done(&r);
    }
    pthread_join(id, NULL);
    CU_ASSERT_EQUAL(answer, MAG_OK);
    CU_ASSERT_EQUAL(test_count_nodes(&pool, "c1", "workers"), 20);
    CU_ASSERT_EQUAL(record_ledger_count(&rec, "node"), 22);
    end();
}

/* ---- quarantine ---- */

struct quarantined {
    int times;
    char id[64], sha256[65], why[256];
};

static void on_quarantine(void *ctx, const char *id, const char *sha256, const char *why)
{
    struct quarantined *q = ctx;
    q->times++;
    snprintf(q->id, sizeof q->id, "%s", id);
    snprintf(q->sha256, sizeof q->sha256, "%s", sha256);
    snprintf(q->why, sizeof q->why, "%s", why);
}

static void test_quarantine(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.quarantine_deaths", "3");
    begin();
    struct quarantined q = {0};
    struct err e = ERR_INIT;
    struct coe_result r;
    driver_pool_on_quarantine(pool.pool, on_quarantine, &q);
    for (int i = 0; i < 5; i++) { /* one operation alone does not condemn the driver */
        CU_ASSERT_EQUAL(run_as("op-1", "exit", 20000, &r, &e), 0);
        coe_result_done(&r);
    }
    CU_ASSERT_EQUAL(q.times, 0);
    CU_ASSERT_EQUAL(run_as("op-2", "exit", 20000, &r, &e), 0);
    coe_result_done(&r);
    CU_ASSERT_EQUAL(q.times, 1);
    CU_ASSERT_STRING_EQUAL(q.id, PLAIN_ID);
    CU_ASSERT_STRING_EQUAL(q.sha256, plugin_find(&pool.plugins, PLAIN_ID)->sha256);
    CU_ASSERT_PTR_NOT_NULL(strstr(q.why, "exited with status 7"));
    CU_ASSERT_EQUAL(run_as("op-3", "ok", 20000, &r, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "quarantined"));
    /* Others go on. */
    CU_ASSERT_EQUAL(simulate("create", "op-4", "", 1, NULL), MAG_OK);
    driver_pool_quarantine(pool.pool, PLAIN_ID, false);
    CU_ASSERT_EQUAL(run_as("op-3", "ok", 20000, &r, &e), 0);
    coe_result_done(&r);
    driver_pool_quarantine(pool.pool, PLAIN_ID, true);
    CU_ASSERT_EQUAL(run_as("op-3", "ok", 20000, &r, &e), ERR_UNAVAILABLE);
    end();
}

/* ---- stopping, waiting ---- */

struct call_thread {
    pthread_t id;
    const char *mode;
    int64_t budget_ms;
    int rc;
    struct coe_result r;
    struct err e;
};

static void *call_in_thread(void *arg)
{
    struct call_thread *t = arg;
    t->rc = run_as("op-1", t->mode, t->budget_ms, &t->r, &t->e);
    return NULL;
}

static void start_call(struct call_thread *t, const char *mode, int64_t budget_ms)
{
    *t = (struct call_thread){.mode = mode, .budget_ms = budget_ms};
    CU_ASSERT_EQUAL_FATAL(pthread_create(&t->id, NULL, call_in_thread, t), 0);
}

/* Both calls have reached their drivers: the processes are there and have done with starting. */
static void wait_for_children(int n)
{
    for (int i = 0; i < 12000 && test_count_children() - pool.children < n; i++)
        (void)poll(NULL, 0, 5);
    CU_ASSERT_FATAL(test_count_children() - pool.children >= n);
}

static void test_stop(void)
{
    begin_default();
    struct call_thread hung, polite;
    start_call(&hung, "hang", 600000);
    start_call(&polite, "polite", 600000);
    wait_for_children(2);
    int64_t start = clock_mono_ms();
    driver_pool_stop(pool.pool, 500);
    pthread_join(polite.id, NULL);
    pthread_join(hung.id, NULL);
    CU_ASSERT(clock_mono_ms() - start < 60000);
    /* The polite one heard cancelled() say yes, if it had got that far when the pool stopped. */
    CU_ASSERT(polite.rc == 0 ? polite.r.rc == MAG_E_CANCELLED : polite.rc == ERR_CANCELLED);
    CU_ASSERT_FALSE(polite.r.host_died);
    CU_ASSERT_EQUAL(hung.rc, ERR_CANCELLED);
    struct coe_result r;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(run_as("op-9", "ok", 20000, &r, &e), ERR_CANCELLED);
    coe_result_done(&polite.r);
    coe_result_done(&hung.r);
    end();
}

static void test_all_busy(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.processes", "1");
    begin();
    struct call_thread hung, waits;
    start_call(&hung, "hang", 600000);
    wait_for_children(1);
    struct coe_result r;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(run_as("op-2", "ok", 200, &r, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "all 1 processes"));
    start_call(&waits, "ok", 600000);
    driver_pool_stop(pool.pool, 100); /* wakes the waiting one as well */
    pthread_join(waits.id, NULL);
    pthread_join(hung.id, NULL);
    CU_ASSERT_EQUAL(waits.rc, ERR_CANCELLED);
    CU_ASSERT_EQUAL(hung.rc, ERR_CANCELLED);
    end();
}

/* cancelled() says yes past the budget: a driver that listens ends by itself within the grace. */
static void test_over_budget_but_polite(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.kill_grace_ms", "20000");
    begin();
    struct coe_result r = run("polite", 100);
    CU_ASSERT_EQUAL(r.rc, MAG_E_TIMEOUT); /* nobody cancelled anything */
    CU_ASSERT_STRING_EQUAL(r.reason, "OverBudget");
    CU_ASSERT(r.err_flags & MAG_ERR_RETRYABLE);
    CU_ASSERT_FALSE(r.host_died);
    coe_result_done(&r);
    rec.cancel = true; /* somebody did */
    r = run("polite", 100);
    CU_ASSERT_EQUAL(r.rc, MAG_E_CANCELLED);
    coe_result_done(&r);
    end();
}

/* An idle host that was killed is noticed before it is used. */
static void test_idle_death(void)
{
    begin_default();
    struct coe_result r = run("ok", 20000);
    coe_result_done(&r);
    pid_t child = test_newest_child();
    CU_ASSERT_FATAL(child > 0);
    int end_fd = pidfd_open(child, 0);
    kill(child, SIGKILL);
    struct pollfd p = {.fd = end_fd, .events = POLLIN};
    CU_ASSERT_EQUAL_FATAL(poll(&p, 1, 60000), 1);
    close(end_fd);
    r = run("ok", 20000);
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    coe_result_done(&r);
    end();
}

/* ---- the conductor dies: nothing survives to act without a lease ---- */

static int tell_host(void *ctx, const char *state, size_t len, struct err *e)
{
    pid_t host = test_newest_child();
    (void)state;
    (void)len;
    (void)e;
    return write(*(int *)ctx, &host, sizeof host) > 0 ? 0 : ERR_IO;
}

/* A process with a pool and a driver in the middle of a call; tells the host's pid. */
static void doomed_conductor(int tell)
{
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    struct coe_services svc = {.ctx = &tell, .checkpoint = tell_host};
    begin();
    json_t *spec = json_pack("{s:{s:s}}", "params", "mode", "checkpoint_hang");
    struct coe_call c = test_call(PLAIN_ID, "create", spec, "c1", &svc);
    c.budget_ms = 600000;
    (void)!front_coe_call(pool.pool, &c, &r, &e);
}

static void test_parent_death(void)
{
    int fd[2], status = 0;
    pid_t host = 0;
    test_pool_prepare(&pool);
    CU_ASSERT_EQUAL_FATAL(pipe(fd), 0);
    CU_ASSERT_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* the orphan comes to us */
    pid_t conductor = fork();
    if (conductor == 0) {
        close(fd[0]);
        doomed_conductor(fd[1]);
        _exit(1);
    }
    close(fd[1]);
    CU_ASSERT_EQUAL_FATAL(read(fd[0], &host, sizeof host), (ssize_t)sizeof host);
    close(fd[0]);
    kill(conductor, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(conductor, &status, 0), conductor);
    CU_ASSERT_EQUAL(waitpid(host, &status, 0), host); /* a test timeout when it lives on */
    /* By the parent-death signal, or by itself when it saw the socket close first. */
    CU_ASSERT((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
              (WIFEXITED(status) && WEXITSTATUS(status) == 2));
    CU_ASSERT_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    test_pool_end(&pool);
}

TEST_MAIN("driver_faults", NULL, NULL, TEST(test_deaths), TEST(test_step_answers),
          TEST(test_contract), TEST(test_simulated_faults), TEST(test_kills),
          TEST(test_kills_at_any_time), TEST(test_quarantine), TEST(test_stop), TEST(test_all_busy),
          TEST(test_over_budget_but_polite), TEST(test_idle_death), TEST(test_parent_death))
