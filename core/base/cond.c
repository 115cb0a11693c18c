#include "base/cond.h"

#include "base/clock.h"

#include <errno.h>
#include <time.h>

void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t mono_ms)
{
    if (mono_ms == INT64_MAX) {
        (void)pthread_cond_wait(c, m);
        return true;
    }
    const struct timespec at = {.tv_sec = mono_ms / 1000, .tv_nsec = mono_ms % 1000 * 1000000};
    return pthread_cond_timedwait(c, m, &at) != ETIMEDOUT;
}

bool cond_wait_shared(pthread_cond_t *c, pthread_mutex_t *m, int64_t mono_ms)
{
    int64_t again_ms = clock_mono_ms() + COND_AGAIN_MS;
    return cond_wait_until(c, m, mono_ms < again_ms ? mono_ms : again_ms) || again_ms < mono_ms;
}
