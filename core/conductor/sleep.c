/* Threads that sleep until asked or until a time: no busy waiting anywhere. */
#include "base/clock.h"
#include "base/cond.h"
#include "conductor/conductor_internal.h"

int sleeper_init(struct sleeper *s, struct err *e)
{
    s->woken = s->stop = false;
    int rc = pthread_mutex_init(&s->lock, NULL);
    cond_init(&s->cond);
    return rc ? err_errno(e, rc, "mutex") : 0;
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
