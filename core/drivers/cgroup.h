/* A cgroup per driver process: how much memory and how many tasks it and all it starts may have,
 * and an end of all of them together. Version 1 (controllers memory and pids) and 2.
 * Where the conductor may not make cgroups there are none, and `why` says so.
 * Neighbours: transport_process.c, supervisor.c; docs/isolation.md. */
#ifndef MAGNUM_DRIVERS_CGROUP_H
#define MAGNUM_DRIVERS_CGROUP_H

#include "base/err.h"
#include "base/str.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroup_place { /* where they are made; one per pool */
    int version;      /* 1, 2; 0 = none */
    char *dirs[2];    /* v1: of memory and of pids; v2: one */
    char why[200];    /* none: the reason */
    pthread_mutex_t lock;
    struct strv left; /* could not be removed yet */
    unsigned next;
};
/* option: drivers.cgroup. Removes what conductors that are no more have left. */
void cgroup_place_find(const char *option, struct cgroup_place *ret);
void cgroup_place_done(struct cgroup_place *p);
/* Tries once more to remove what could not be. */
void cgroup_place_sweep(struct cgroup_place *p);

struct cgroup { /* of one process */
    struct cgroup_place *place;
    pthread_mutex_t lock;
    char *dirs[2];
    bool over; /* nobody joins any more */
    int users; /* who will call cgroup_free */
};
int cgroup_new(struct cgroup_place *p, int64_t memory_mb, int64_t tasks, struct cgroup **ret,
               struct err *e) MUST_CHECK;
/* Puts a process in, unless cgroup_end was there first: then its number may be another's. The
 * kernel may take 10 ms over it. */
int cgroup_join(struct cgroup *c, pid_t pid, struct err *e) MUST_CHECK;
/* Kills who is still in it. To be called before the process it was made for is reaped. */
void cgroup_end(struct cgroup *c);
/* One more who will call cgroup_free. */
void cgroup_share(struct cgroup *c);
/* The last of its users removes it, later when it is still busy. */
void cgroup_free(struct cgroup **c);

#endif
