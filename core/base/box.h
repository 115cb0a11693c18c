/* What many threads read and a reload replaces: a value that is never changed once it is made, is
 * shared by count, and lies in a box that another one of its kind can be put into at any time. Who
 * has taken a reference goes on with what it got. Neighbours: http/tls.h, certs/certs.h. */
#ifndef MAGNUM_BASE_BOX_H
#define MAGNUM_BASE_BOX_H

#include <pthread.h>
#include <stdatomic.h>

/* The first member of what is shared. */
struct shared {
    _Atomic unsigned refs;
    void (*end)(void *self); /* frees it */
};
void shared_init(struct shared *s, void (*end)(void *self)); /* one reference, the caller's */
void shared_unref(void *self); /* a struct that begins with a struct shared; NULL is fine */

struct box {
    pthread_mutex_t lock;
    struct shared *now; /* its own reference; NULL: it is empty */
};
void box_init(struct box *b, void *self); /* takes the reference; NULL: begins empty */
void box_done(struct box *b);
/* A reference to what is in it, for shared_unref; NULL when it is empty. Any thread. */
void *box_get(struct box *b);
/* Puts *self in, whose reference it takes, and gives what was there. Any thread. */
void *box_put(struct box *b, void *self);

#endif
