/* Threads that sleep until asked or until a time: no busy waiting anywhere. */
#include "base/clock.h"
#include "conductor/conductor_internal.h"

#include <errno.h>
#include <time.h>

int cond_init(pthread_cond_t *c, struct err *e)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc == 0)
        rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_cond_init(c, &attr);
    (void)pthread_condattr_destroy(&attr);
    return rc ? err_errno(e, rc, "condition variable") : 0;
}

void cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t mono_ms)
{
    struct timespec at = {.tv_sec = mono_ms / 1000, .tv_nsec = mono_ms % 1000 * 1000000};
    if (mono_ms == INT64_MAX)
        (void)pthread_cond_wait(c, m);
    else
        (void)pthread_cond_timedwait(c, m, &at);
}

int sleeper_init(struct sleeper *s, struct err *e)
{
    s->woken = s->stop = false;
    int rc = pthread_mutex_init(&s->lock, NULL);
    return rc ? err_errno(e, rc, "mutex") : cond_init(&s->cond, e);
}

void sleeper_done(struct sleeper *s)
{
    (void)pthread_cond_destroy(&s->cond);
    (void)pthread_mutex_destroy(&s->lock);
}

static void signal_sleeper(struct sleeper *s, bool stop)
{
    pthread_mutex_lock(&s->lock);
    s->woken = true;
    s->stop |= stop;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

void sleeper_wake(struct sleeper *s)
{
    signal_sleeper(s, false);
}

void sleeper_stop(struct sleeper *s)
{
    signal_sleeper(s, true);
}

bool sleeper_wait(struct sleeper *s, int64_t ms)
{
    int64_t until = ms < 0 ? INT64_MAX : clock_mono_ms() + ms;
    pthread_mutex_lock(&s->lock);
    while (!s->woken && !s->stop && clock_mono_ms() < until)
        cond_wait_until(&s->cond, &s->lock, until);
    s->woken = false;
    bool go_on = !s->stop;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}
