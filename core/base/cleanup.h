/* Scope-exit cleanup attributes, so that every early return frees what it owns.
 * `_cleanup_(fn)` runs fn(&var); TAKE_PTR hands ownership on. Types define their own
 * `<type>_freep` beside their `_free`. Neighbours: everything. */
#ifndef MAGNUM_BASE_CLEANUP_H
#define MAGNUM_BASE_CLEANUP_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cleanup_freep(void *p)
{
    void **v = p;
    free(*v);
    *v = NULL;
}
static inline void cleanup_closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}
static inline void cleanup_fclosep(FILE **f)
{
    if (*f)
        (void)fclose(*f);
    *f = NULL;
}
static inline void cleanup_jsonp(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}

#define _cleanup_free_ _cleanup_(cleanup_freep)
#define _cleanup_close_ _cleanup_(cleanup_closep)
#define _cleanup_fclose_ _cleanup_(cleanup_fclosep)
#define _cleanup_json_ _cleanup_(cleanup_jsonp)

/* The value of a pointer variable, which becomes NULL: ownership moves to the reader. */
#define TAKE_PTR(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) take_ptr_ = (p);                                                             \
        (p) = NULL;                                                                                \
        take_ptr_;                                                                                 \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
