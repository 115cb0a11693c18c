/* How a driver host is started and ended. Production has one kind: a child process
 * (transport_process.c). Tests and debuggers have another: a thread that serves the same frames
 * (tests/support/transport_inprocess.c). Everything above sees a socket and an end.
 * Neighbours: child.c, supervisor.c. */
#ifndef MAGNUM_DRIVERS_TRANSPORT_INTERNAL_H
#define MAGNUM_DRIVERS_TRANSPORT_INTERNAL_H

#include "drivers/cgroup.h"
#include "drivers/confine.h"

#include <sys/types.h>

enum { DEATH_WHY = 160 };

struct transport_conn {
    int sock;              /* frames; blocking mode does not matter */
    int log_fd;            /* read end of what the host prints, non-blocking; -1 = none */
    int end_fd;            /* readable once the host has ended */
    pid_t pid;             /* 0 = not a process */
    bool own_pids;         /* the process sees none but its own */
    struct cgroup *cgroup; /* NULL = none */
    void *impl;
};
struct transport_start {
    const struct plugin *plugin;
    int lib_fd;          /* borrowed: the checked library */
    const char *program; /* magnum-driver-host */
    const struct confine *confine;
    int map_fd;                   /* of spawn_user_mapping, borrowed; -1 = none */
    struct cgroup_place *cgroups; /* they outlive the host */
};
struct driver_transport {
    /* May be called from one thread only, which must outlive the hosts it started. */
    int (*start)(const struct transport_start *s, struct transport_conn *ret, struct err *e);
    /* What is left of a start and may take a while; the host runs already, and may have ended and
     * been reaped by another thread. NULL = nothing. c: a copy. */
    void (*settle)(const struct transport_conn *c, const struct confine *confine);
    /* SIGTERM or SIGKILL, to the host and what it started in its process group. */
    void (*signal)(struct transport_conn *c, int sig);
    /* After end_fd became readable: how it ended, in words ("" = a clean exit). Closes nothing. */
    void (*reap)(struct transport_conn *c, char why[DEATH_WHY]);
};
extern const struct driver_transport transport_process;

/* Closes the descriptors. */
void transport_close(struct transport_conn *c);

#endif
