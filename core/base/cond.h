/* Condition variables on the monotonic clock: a step of the wall clock neither ends a wait nor
 * makes it longer. All functions are called with the mutex held, as pthread_cond_wait, and may
 * return though nothing happened: callers look at what they wait for. Times are those of
 * clock_mono_ms; INT64_MAX is for ever. Neighbours: everything that has threads. */
#ifndef MAGNUM_BASE_COND_H
#define MAGNUM_BASE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Longest a thread sleeps in cond_wait_shared before it looks by itself. */
enum { COND_AGAIN_MS = 2000 };

void cond_init(pthread_cond_t *c);
/* False when the time is over. */
bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t mono_ms);
/* For a condition that several threads wait for and of which one is signalled: returns at the
 * latest after COND_AGAIN_MS. The C library may lose one signal to several waiters (glibc before
 * 2.41, its bug 25847), and what it was for may be the only one for hours. */
bool cond_wait_shared(pthread_cond_t *c, pthread_mutex_t *m, int64_t mono_ms);

#endif
