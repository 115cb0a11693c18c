/* How much a driver's process is shut in: decided here, once per driver, from its manifest and the
 * operator's options; done by the process itself before it loads the library
 * (core/cmd/host_confine.c) and, for process ids and cgroups, by who starts it.
 * Neighbours: supervisor.c, transport_process.c, cgroup.h; docs/isolation.md. */
#ifndef MAGNUM_DRIVERS_CONFINE_H
#define MAGNUM_DRIVERS_CONFINE_H

#include "config/config.h"
#include "drivers/manifest.h"

struct confine {
    bool on;         /* drivers.isolation is not off */
    bool strict;     /* a measure that can't be taken refuses the driver */
    bool privileged; /* asked for and granted: none of it */
    bool exec;       /* it may start programs */
    uint32_t uid;    /* 0 = the conductor's */
    int64_t memory_mb, tasks;
};

/* plugins: all there are, for no two of them share a user id while there are enough. */
struct confine confine_decide(const struct config *cfg, const struct plugin_list *plugins,
                              const struct plugin *p);
/* Adds what the process is told to its hello. */
int confine_tell(const struct config *cfg, const struct plugin *p, const struct confine *c,
                 json_t *hello, struct err *e) MUST_CHECK;

/* True when the process shall have its own process ids. */
static inline bool confine_own_pids(const struct confine *c)
{
    return c && c->on && !c->privileged;
}

#endif
