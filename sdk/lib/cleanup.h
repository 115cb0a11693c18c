/* Scope-exit cleanup attributes for plugin authors, so that every early return frees what it owns.
 * Neighbours: every file of sdk/lib and of the bundled plugins. */
#ifndef MAGNUM_SDK_LIB_CLEANUP_H
#define MAGNUM_SDK_LIB_CLEANUP_H

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#define _mag_cleanup_(fn) __attribute__((cleanup(fn)))

static inline void mag_freep(void *p)
{
    void **v = p;
    free(*v);
    *v = NULL;
}
static inline void mag_closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}
static inline void mag_jsonp(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}

#define _mag_free_ _mag_cleanup_(mag_freep)
#define _mag_close_ _mag_cleanup_(mag_closep)
#define _mag_json_ _mag_cleanup_(mag_jsonp)

#define MAG_TAKE(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) mag_take_ = (p);                                                             \
        (p) = NULL;                                                                                \
        mag_take_;                                                                                 \
    })

#define MAG_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
