/* What drivers.c (which drivers there are) and driver_use.c (who gets which work) share. */
#ifndef MAGNUM_CONDUCTOR_DRIVERS_INTERNAL_H
#define MAGNUM_CONDUCTOR_DRIVERS_INTERNAL_H

#include "conductor/conductor_internal.h"

struct driver_state {
    bool probed, ready, quarantined;
    bool current;  /* the version for new clusters */
    char why[512]; /* not ready because */
};
struct driver_set {
    struct plugin_list plugins;
    struct driver_state *states; /* one per plugin; under drivers.lock */
    struct driver_pool *pool;
    size_t refs; /* under drivers.lock */
    struct driver_set *next;
    struct conductor *c;
};
struct drivers {
    /* One at a time reads from the database what is known of drivers and takes it over, or tells it
     * of a quarantine: older knowledge must not replace newer. Before `lock`; held across I/O. */
    pthread_mutex_t learning;
    pthread_mutex_t lock;
    struct driver_set *sets;     /* the present one first, then those still in use */
    struct driver_row_list rows; /* what operators decided, per driver */
    struct strv orphans;         /* ids that no living conductor can run */
    struct strv gone;            /* id@version that no conductor has any more */
    struct strv away;            /* id@version whose conductors are silent or not ready for it */
    int64_t news;                /* of the thread that looks for them alone */
};

/* Under the lock, or on a list of one's own. NULL = none. */
const struct driver_row *drivers_row(const struct driver_row_list *l, const char *id);

#endif
