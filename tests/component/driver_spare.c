/* A process of a driver that is kept ready for its next start: it is taken, it has nothing of the
 * driver before, it is shut in as any other, there is never one too many, and it goes when it can't
 * be used any more. Neighbours: core/drivers/keeper.c. */
#include "base/clock.h"
#include "base/io.h"
#include "drivers/isolation.h"
#include "drivers/supervisor.h"
#include "support/cunit_main.h"
#include "support/driver_pool.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

static struct test_pool pool;
static struct driver *driver;

static void prepare(const char *processes, const char *calls)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.spare", "true");
    test_pool_set(&pool, "drivers.processes", processes);
    test_pool_set(&pool, "drivers.recycle_calls", calls);
}

static void begin(void)
{
    test_pool_start(&pool, NULL);
    driver = pool_driver(pool.pool, PLAIN_ID);
    CU_ASSERT_PTR_NOT_NULL_FATAL(driver);
}

/* A call that is answered well, or refused with *e filled. *ret_pid: who answered. */
static int call(pid_t *ret_pid, struct err *e)
{
    struct coe_result r = {0};
    json_t *spec = json_pack("{s:{s:s}}", "params", "mode", "ok");
    struct coe_call c = test_call(PLAIN_ID, "create", spec, "c1", NULL);
    c.ret_pid = ret_pid;
    int rc = front_coe_call(pool.pool, &c, &r, e);
    CU_ASSERT(rc != 0 || r.rc == MAG_OK);
    coe_result_done(&r);
    json_decref(spec);
    return rc;
}

static pid_t good_call(void)
{
    struct err e = ERR_INIT;
    pid_t pid = 0;
    ASSERT_OK(call(&pid, &e), &e);
    return pid;
}

/* 0 = none at this moment. */
static pid_t spare_now(void)
{
    pthread_mutex_lock(&pool.pool->lock);
    pid_t pid = driver->spare ? driver->spare->conn.pid : 0;
    pthread_mutex_unlock(&pool.pool->lock);
    return pid;
}

static size_t deaths(void)
{
    pthread_mutex_lock(&pool.pool->lock);
    size_t n = driver->deaths.n;
    pthread_mutex_unlock(&pool.pool->lock);
    return n;
}

static size_t deaths_wanted;

static bool has_died(void)
{
    return deaths() >= deaths_wanted;
}

static bool waits_for(bool (*fn)(void))
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    while (!fn() && clock_mono_ms() < until)
        (void)poll(NULL, 0, 5);
    return fn();
}

static bool has_spare(void)
{
    return spare_now() > 0;
}

static bool has_no_spare(void)
{
    return spare_now() == 0;
}

static pid_t spare(void)
{
    CU_ASSERT_FATAL(waits_for(has_spare));
    return spare_now();
}

static void end_process(pid_t pid)
{
    int fd = pidfd_open(pid, 0);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(kill(pid, SIGKILL), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CU_ASSERT_EQUAL_FATAL(poll(&p, 1, PATIENCE_MS), 1);
    (void)close(fd);
}

static bool has_library(pid_t pid)
{
    char path[48];
    struct err e = ERR_INIT;
    _cleanup_free_ char *text = NULL;
    snprintf(path, sizeof path, "/proc/%ld/maps", (long)pid);
    ASSERT_OK(io_read_file(path, 1 << 20, &text, NULL, &e), &e);
    return text && strstr(text, "fixture_plain.so");
}

/* Each call takes a process of its own: the second one the spare, which is shut in as the first. */
static void test_taken(void)
{
    prepare("2", "1");
    begin();
    pid_t first = good_call(), ready = spare();
    CU_ASSERT_NOT_EQUAL(ready, first);
    CU_ASSERT_FALSE(has_library(ready));
    json_t *before = driver_pool_isolation(pool.pool, PLAIN_ID);
    CU_ASSERT_EQUAL(good_call(), ready);
    json_t *after = driver_pool_isolation(pool.pool, PLAIN_ID);
    CU_ASSERT(json_array_size(before) > 0 && json_equal(before, after));
    json_decref(before);
    json_decref(after);
    CU_ASSERT_NOT_EQUAL(spare(), ready);
    test_pool_end(&pool);
}

/* With as many as there may be at work there is none besides. */
static void test_never_too_many(void)
{
    struct err e = ERR_INIT;
    char why[512];
    bool ready;
    prepare("1", "1000");
    begin();
    pid_t only = good_call();
    /* between two starts the keeper has looked whether one is wanted */
    for (int i = 0; i < 2; i++)
        ASSERT_OK(front_coe_probe(pool.pool, PLAIN_ID, &ready, why, &e), &e);
    CU_ASSERT_EQUAL(spare_now(), 0);
    CU_ASSERT_EQUAL(good_call(), only);
    test_pool_end(&pool);
}

static void test_leaves(void)
{
    prepare("3", "1");
    begin();
    (void)good_call();
    pid_t old = spare();
    driver_pool_drain(pool.pool, PLAIN_ID, true);
    CU_ASSERT(waits_for(has_no_spare));
    CU_ASSERT(test_wait_gone(old));
    (void)good_call(); /* what is left of its work is done, without one more in store */
    CU_ASSERT_EQUAL(spare_now(), 0);
    driver_pool_drain(pool.pool, PLAIN_ID, false);
    (void)good_call();
    old = spare();
    driver_pool_quarantine(pool.pool, PLAIN_ID, true);
    CU_ASSERT(waits_for(has_no_spare));
    CU_ASSERT(test_wait_gone(old));
    test_pool_end(&pool);
}

/* One that died is not used, and its death counts as that of any other. */
static void test_dead(void)
{
    prepare("2", "1");
    begin();
    (void)good_call();
    for (size_t i = 0; i < 2; i++) {
        pid_t dead = spare();
        CU_ASSERT_EQUAL(deaths(), i);
        end_process(dead);
        CU_ASSERT_NOT_EQUAL(good_call(), dead);
        deaths_wanted = i + 1; /* it may be the keeper who saw it, and who writes it down now */
        CU_ASSERT(waits_for(has_died));
        CU_ASSERT_EQUAL(deaths(), i + 1);
    }
    test_pool_end(&pool);
}

static void copy(const char *from, const char *name)
{
    struct err e = ERR_INIT;
    size_t len;
    _cleanup_free_ char *data = NULL, *to = str_fmt("%s/%s", pool.dir, name),
                        *path = str_fmt("%s/%s", from, name);
    ASSERT_OK(io_read_file(path, 64 << 20, &data, &len, &e), &e);
    ASSERT_OK(io_write_file(to, data, len, 0644, &e), &e);
}

/* The file was written to since: the process that holds it open does not load it. */
static void test_changed_library(void)
{
    struct err e = ERR_INIT;
    prepare("2", "1");
    _cleanup_free_ char *from = str_dup(pool.cfg->drivers_plugin_dirs.v[1]),
                        *so = str_fmt("%s/fixture_plain.so", pool.dir);
    copy(from, "fixture_plain.so");
    copy(from, "fixture_plain.yaml");
    test_pool_set(&pool, "drivers.plugin_dirs", pool.dir);
    begin();
    (void)good_call();
    pid_t ready = spare(), pid = 0;
    FILE *f = fopen(so, "r+");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fseek(f, -1, SEEK_END);
    fputc('x', f);
    fclose(f);
    CU_ASSERT_EQUAL(call(&pid, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "is not the file that was found"));
    CU_ASSERT_EQUAL(spare_now(), 0);
    CU_ASSERT(test_wait_gone(ready));
    test_pool_end(&pool);
}

/* It does not outlive the conductor. */
static void test_parent_death(void)
{
    int fd[2], status = 0;
    pid_t ready = 0;
    prepare("2", "1000");
    CU_ASSERT_EQUAL_FATAL(pipe(fd), 0);
    CU_ASSERT_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* the orphan comes to us */
    pid_t conductor = fork();
    if (conductor == 0) {
        (void)close(fd[0]);
        begin();
        (void)good_call();
        ready = spare();
        (void)!write(fd[1], &ready, sizeof ready);
        for (;;)
            (void)pause();
    }
    (void)close(fd[1]);
    CU_ASSERT_EQUAL_FATAL(read(fd[0], &ready, sizeof ready), (ssize_t)sizeof ready);
    (void)close(fd[0]);
    (void)kill(conductor, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(conductor, &status, 0), conductor);
    CU_ASSERT_EQUAL(waitpid(ready, &status, 0), ready); /* a test timeout when it lives on */
    while (waitpid(-1, &status, 0) > 0)                 /* the one that had served */
        continue;
    CU_ASSERT_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    test_pool_end(&pool);
}

TEST_MAIN("driver_spare", NULL, NULL, TEST(test_taken), TEST(test_never_too_many),
          TEST(test_leaves), TEST(test_dead), TEST(test_changed_library), TEST(test_parent_death))
