/* Starts a program as posix_spawn does, and with what that can't: process ids of its own, a
 * session of its own, and a handle on the process from the kernel itself.
 * Neighbours: transport_process.c. */
#ifndef MAGNUM_DRIVERS_SPAWN_H
#define MAGNUM_DRIVERS_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

enum { SPAWN_FDS = 6 };

struct spawn {
    const char *program;
    char *const *argv, *const *env;
    /* What becomes 0, 1, ... in the program; -1 = /dev/null. Each above SPAWN_FDS. Nothing else
     * stays open. */
    int fds[SPAWN_FDS];
    /* Asked for; false afterwards when the kernel does not allow it. Unless the caller is root this
     * takes a user namespace, in which the program is root and has no right outside. */
    bool own_pids;
};
/* Signals must be blocked in the calling thread. 0, or an errno. */
int spawn_program(struct spawn *s, pid_t *ret_pid, int *ret_pidfd);

/* A user namespace in which root is `uid` of ours, so that mounts can show the files of root as
 * those of `uid`. Only root can make one. A descriptor, or -1 with errno. */
int spawn_user_mapping(uid_t uid);

#endif
