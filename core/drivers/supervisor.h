/* The pool of driver hosts: starts them on demand, lends each to one call at a time, replaces them
 * when they are old or fat, buries the dead, closes drivers that die too often.
 *
 * One thread, the keeper, starts and retires all hosts: the parent-death signal of a child is tied
 * to the *thread* that started it, so that thread must live as long as the pool.
 * Neighbours: front_coe.c (the only user), conversation.c, child.h. */
#ifndef MAGNUM_DRIVERS_SUPERVISOR_H
#define MAGNUM_DRIVERS_SUPERVISOR_H

#include "config/config.h"
#include "drivers/child.h"
#include "drivers/front_coe.h"
#include "drivers/quarantine.h"

#include <pthread.h>
#include <stdatomic.h>

struct waiter { /* a call that waits for a free process; on its own stack */
    struct waiter *next;
    pthread_cond_t wake;
    bool turn;
};

struct driver { /* one per plugin of the list */
    const struct plugin *plugin;
    json_t *hello; /* what each new host is told */
    struct confine confine;
    /* below: under the pool's lock */
    bool closed;   /* quarantined */
    bool draining; /* keeps no idle hosts */
    struct child *idle;
    int64_t alive;       /* idle, lent or starting */
    struct child *spare; /* not greeted yet, for the next start; made and taken by the keeper */
    bool spare_wanted;
    struct waiter *first, *last;
    struct death_log deaths;
    json_t *isolation; /* what its last host said about itself; NULL = nothing yet */
    int map_fd;        /* keeper only: see spawn_user_mapping; -1 = not made yet */
    int lib_fd;        /* keeper only: the library as checked; -1 = not opened yet */
    int64_t lib_changed_ns;
};

struct start_request { /* on the caller's stack, answered by the keeper */
    struct start_request *next;
    struct driver *driver;
    struct child *child;
    struct err e;
    int rc;
    bool done;
};

struct driver_pool {
    const struct config *cfg;
    const struct driver_transport *transport;
    char *program;
    struct cgroup_place cgroups;
    struct driver *drivers;
    size_t n;
    driver_quarantine_fn on_quarantine;
    void *on_quarantine_ctx;

    pthread_mutex_t lock;
    pthread_cond_t started; /* some start_request is done */
    struct start_request *starts;
    struct child *retiring;
    bool closing; /* the keeper ends when nothing retires any more */
    pthread_t keeper;
    bool keeper_runs;
    int wake_fd; /* eventfd: the keeper has work */
    int stop_fd; /* eventfd: readable from driver_pool_stop on */
    atomic_bool stopping;
    _Atomic int64_t stop_at_ms; /* hosts in a call are killed then */
};

/* keeper.c */
int keeper_start(struct driver_pool *p, struct err *e) MUST_CHECK;
void keeper_wake(struct driver_pool *p);
/* A host for the driver, not yet greeted. */
int keeper_start_child(struct driver_pool *p, struct driver *d, struct child **ret,
                       struct err *e) MUST_CHECK;
/* The next start of this driver shall find a process that has begun already: most of a start is its
 * program's own. It is shut in and loads the library only when it is used (drivers.spare). */
void keeper_want_spare(struct driver_pool *p, struct driver *d);
/* Hands over a host that is no longer used: it is asked to end, and killed when it does not. */
void keeper_retire(struct driver_pool *p, struct child *c);

/* supervisor.c */
/* By id or name (version NULL: the first one), or by "id@version". */
struct driver *pool_driver(struct driver_pool *p, const char *id);
struct driver *pool_driver_version(struct driver_pool *p, const char *id, const char *version);
/* Lends a greeted host, waiting until deadline_ms for one. *died: a host was started for this call
 * and ended or kept silent. ERR_UNAVAILABLE, ERR_CANCELLED. */
int pool_acquire(struct driver_pool *p, struct driver *d, int64_t deadline_ms, struct child **ret,
                 bool *died, struct err *e) MUST_CHECK;
/* A fresh host outside of the count, for probes. */
int pool_start(struct driver_pool *p, struct driver *d, struct child **ret, bool *died,
               struct err *e) MUST_CHECK;
/* Gives it back; reusable = false retires it. */
void pool_release(struct driver_pool *p, struct child *c, bool reusable);
/* It has died or was killed: buries it, notes the death (counted: towards quarantine). */
void pool_dead(struct driver_pool *p, struct child *c, const char *op_id, bool counted,
               char why[DEATH_WHY]);
/* Counts one end of a host of this driver. */
void pool_note_death(struct driver_pool *p, struct driver *d, const char *op_id, const char *why);

/* driver_pool_new with another transport (tests, debuggers). */
int driver_pool_new_with(const struct config *cfg, const struct plugin_list *plugins,
                         const struct driver_transport *transport, struct driver_pool **ret,
                         struct err *e) MUST_CHECK;

#endif
