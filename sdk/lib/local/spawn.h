/* Running a helper program from a plugin: posix_spawn only, no shell, clean environment, bounded
 * time, output kept in memory. Neighbours: net, node, check. */
#ifndef MAGNUM_SDK_LIB_LOCAL_SPAWN_H
#define MAGNUM_SDK_LIB_LOCAL_SPAWN_H

#include "lib/services.h"

#include <stdbool.h>
#include <sys/types.h>

struct mag_child {
    pid_t pid; /* 0 = none */
    int pidfd, out_fd, err_fd;
};
#define MAG_CHILD_INIT                                                                             \
    (struct mag_child)                                                                             \
    {                                                                                              \
        .pidfd = -1, .out_fd = -1, .err_fd = -1                                                    \
    }

/* Starts argv[0] (an absolute path) with `input` (may be NULL) on stdin. keep_fd (or -1) becomes
 * descriptor 3 of the child; every other one is closed there. */
int32_t mag_child_start(const char *const argv[], const char *input, int keep_fd,
                        struct mag_child *ret, mag_error *err);
/* Waits until it ended, at most timeout_ms, after which it is killed: MAG_E_TIMEOUT. An exit status
 * other than 0 is MAG_E_UNAVAILABLE with the last line it wrote to stderr. Frees everything.
 * ret_out (may be NULL): its stdout, to be freed. */
int32_t mag_child_wait(struct mag_child *c, int64_t timeout_ms, char **ret_out, mag_error *err);
/* Both in one. */
int32_t mag_run(const char *const argv[], const char *input, int keep_fd, int64_t timeout_ms,
                char **ret_out, mag_error *err);

/* Finds an executable on a colon-separated list of directories; false: ret is untouched. */
bool mag_find_program(const char *path, const char *name, char *ret, size_t cap);

#endif
