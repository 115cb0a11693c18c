/* Calls that wait for a free process of their driver: nobody waits beside one, or for a driver that
 * is closed. Threads are held up at the worst moment: woken, but not running yet. */
#include "support/driver_pool.h"

#include "base/clock.h"
#include "drivers/supervisor.h"
#include "support/cunit_main.h"

#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { HANG_MS = 60000 };

static struct test_pool pool;
static struct driver *driver;

static void begin(const char *processes)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "drivers.processes", processes);
    test_pool_set(&pool, "drivers.quarantine_deaths", "2");
    test_pool_start(&pool, NULL);
    driver = pool_driver(pool.pool, PLAIN_ID);
    CU_ASSERT_FATAL(driver != NULL);
}

static struct child *acquire(void)
{
    struct child *c = NULL;
    bool died;
    struct err e = ERR_INIT;
    ASSERT_OK(pool_acquire(pool.pool, driver, clock_mono_ms() + HANG_MS, &c, &died, &e), &e);
    return c;
}

/* ---- a thread that waits for a process ---- */

struct waiting {
    pthread_t id;
    int64_t patience_ms;
    int gate[2]; /* held up until there is something to read */
    sem_t held;
    struct child *child;
    int rc;
    struct err e;
};
static _Thread_local struct waiting *self;

static void hold(int sig)
{
    char go;
    (void)sig;
    (void)sem_post(&self->held);
    (void)!read(self->gate[0], &go, 1);
}

static void *wait_in_thread(void *arg)
{
    bool died;
    self = arg;
    self->rc = pool_acquire(pool.pool, driver, clock_mono_ms() + self->patience_ms, &self->child,
                            &died, &self->e);
    return NULL;
}

static int queued(void)
{
    int n = 0;
    pthread_mutex_lock(&pool.pool->lock);
    for (const struct waiter *w = driver->first; w; w = w->next)
        n++;
    pthread_mutex_unlock(&pool.pool->lock);
    return n;
}

/* Returns once it is the n-th in the queue. */
static void start_waiting(struct waiting *w, int64_t patience_ms, int n)
{
    *w = (struct waiting){.patience_ms = patience_ms};
    CU_ASSERT_EQUAL_FATAL(pipe(w->gate), 0);
    CU_ASSERT_EQUAL_FATAL(sem_init(&w->held, 0, 0), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&w->id, NULL, wait_in_thread, w), 0);
    int64_t until = clock_mono_ms() + HANG_MS;
    while (queued() < n && clock_mono_ms() < until)
        sched_yield();
    CU_ASSERT_EQUAL_FATAL(queued(), n);
}

static void hold_up(struct waiting *w)
{
    const struct sigaction a = {.sa_handler = hold};
    CU_ASSERT_EQUAL_FATAL(sigaction(SIGUSR1, &a, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_kill(w->id, SIGUSR1), 0);
    while (sem_wait(&w->held) < 0)
        continue;
}

static void let_go(struct waiting *w)
{
    CU_ASSERT_EQUAL_FATAL(write(w->gate[1], "g", 1), 1);
}

static void join(struct waiting *w)
{
    pthread_join(w->id, NULL);
    close(w->gate[0]);
    close(w->gate[1]);
    sem_destroy(&w->held);
}

/* ---- */

/* Two processes become free before the first in the queue runs; who comes in between does not wait
 * for its end. */
static void test_both_free_processes_are_used(void)
{
    begin("2");
    struct waiting first, second;
    struct child *a = acquire(), *b = acquire();
    start_waiting(&first, HANG_MS, 1);
    hold_up(&first);
    pool_release(pool.pool, a, true);
    pool_release(pool.pool, b, true);
    start_waiting(&second, HANG_MS, 2);
    let_go(&first);
    join(&first);
    join(&second);
    CU_ASSERT_EQUAL(first.rc, 0);
    CU_ASSERT_EQUAL(second.rc, 0);
    if (first.rc == 0)
        pool_release(pool.pool, first.child, true);
    if (second.rc == 0)
        pool_release(pool.pool, second.child, true);
    test_pool_end(&pool);
}

/* Whose turn it was is sent away while the driver is closed: the turn is the next one's. */
static void test_unused_turn_is_passed_on(void)
{
    begin("1");
    struct waiting first, second;
    struct child *a = acquire();
    start_waiting(&first, HANG_MS, 1);
    start_waiting(&second, HANG_MS, 2);
    hold_up(&first);
    hold_up(&second);
    pool_release(pool.pool, a, true);
    driver_pool_quarantine(pool.pool, PLAIN_ID, true);
    let_go(&first);
    join(&first);
    CU_ASSERT_EQUAL(first.rc, ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(first.e.msg, "quarantined"));
    driver_pool_quarantine(pool.pool, PLAIN_ID, false);
    let_go(&second);
    join(&second);
    CU_ASSERT_EQUAL(second.rc, 0);
    if (second.rc == 0)
        pool_release(pool.pool, second.child, true);
    test_pool_end(&pool);
}

/* A driver that closes itself sends away who waits for it. */
static void test_nobody_waits_for_a_closed_driver(void)
{
    begin("1");
    struct waiting w;
    struct child *a = acquire();
    start_waiting(&w, 10 * HANG_MS, 1);
    pool_note_death(pool.pool, driver, "op-1", "a test");
    pool_note_death(pool.pool, driver, "op-2", "a test");
    int64_t until = clock_mono_ms() + HANG_MS;
    while (queued() > 0 && clock_mono_ms() < until)
        sched_yield();
    CU_ASSERT_EQUAL(queued(), 0);
    pool_release(pool.pool, a, true); /* ends its wait in any case */
    join(&w);
    CU_ASSERT_EQUAL(w.rc, ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(w.e.msg, "quarantined"));
    test_pool_end(&pool);
}

TEST_MAIN("driver_queue", NULL, NULL, TEST(test_both_free_processes_are_used),
          TEST(test_unused_turn_is_passed_on), TEST(test_nobody_waits_for_a_closed_driver))
