/* Condition variables: the end of a wait, and who sleeps though its signal was lost. */
#include "base/cond.h"
#include "base/clock.h"
#include "support/cunit_main.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond;

static int set_up(void)
{
    cond_init(&cond);
    return 0;
}

static void a_wait_ends_at_its_time_and_not_before(void)
{
    int64_t until = clock_mono_ms() + 20;
    pthread_mutex_lock(&lock);
    while (cond_wait_until(&cond, &lock, until))
        ;
    CU_ASSERT(clock_mono_ms() >= until);
    CU_ASSERT_FALSE(cond_wait_shared(&cond, &lock, until)); /* over already */
    pthread_mutex_unlock(&lock);
}

/* Nobody signals: it comes back by itself, and says that its time is not over. */
static void a_shared_wait_looks_again(void)
{
    int64_t begin = clock_mono_ms();
    pthread_mutex_lock(&lock);
    CU_ASSERT(cond_wait_shared(&cond, &lock, INT64_MAX));
    CU_ASSERT(cond_wait_shared(&cond, &lock, begin + 1000 * COND_AGAIN_MS));
    pthread_mutex_unlock(&lock);
}

TEST_MAIN("cond", set_up, NULL, TEST(a_wait_ends_at_its_time_and_not_before),
          TEST(a_shared_wait_looks_again))
