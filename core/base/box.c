/* See box.h. The count is raised under the box's lock, so that nobody takes a reference to what a
 * swap is just giving up; the last one to give back frees, outside of the lock. */
#include "base/box.h"

#include <stddef.h>

void shared_init(struct shared *s, void (*end)(void *self))
{
    atomic_init(&s->refs, 1);
    s->end = end;
}

void shared_unref(void *self)
{
    struct shared *s = self;
    if (s && atomic_fetch_sub(&s->refs, 1) == 1)
        s->end(self);
}

void box_init(struct box *b, void *self)
{
    pthread_mutex_init(&b->lock, NULL);
    b->now = self;
}

void box_done(struct box *b)
{
    shared_unref(b->now);
    b->now = NULL;
    pthread_mutex_destroy(&b->lock);
}

void *box_get(struct box *b)
{
    pthread_mutex_lock(&b->lock);
    struct shared *s = b->now;
    if (s)
        atomic_fetch_add(&s->refs, 1);
    pthread_mutex_unlock(&b->lock);
    return s;
}

void *box_put(struct box *b, void *self)
{
    pthread_mutex_lock(&b->lock);
    struct shared *old = b->now;
    b->now = self;
    pthread_mutex_unlock(&b->lock);
    return old;
}
