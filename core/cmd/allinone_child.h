/* One child process of magnum-allinone: started with its own process group, log file, user and
 * death signal (the kernel ends it when magnum-allinone dies, whatever the reason), watched by a
 * pidfd. Neighbours: magnum-allinone.c, allinone_postgres.c. Single-threaded callers only: it
 * forks, because posix_spawn can neither change the user nor set a death signal. */
#ifndef MAGNUM_CMD_ALLINONE_CHILD_H
#define MAGNUM_CMD_ALLINONE_CHILD_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    const char *name; /* borrowed: for messages */
    struct strv argv; /* argv[0] is the program's path */
    struct strv env;  /* NAME=value, on top of this process's environment */
    char *log_path;   /* owned; standard output and error are appended to it */
    char *input;      /* owned; given as standard input, NULL = /dev/null. At most a few KB. */
    bool change_user; /* run as uid and gid */
    uid_t uid;
    gid_t gid;
    int death_signal;                              /* sent when magnum-allinone dies */
    pid_t pid;                                     /* 0 = not running */
    int pidfd;                                     /* -1 = not running */
    int status;                                    /* of the last end, as from waitpid */
    int64_t started_ms, restart_at_ms, backoff_ms; /* kept by the supervisor */
};
void child_init(struct child *c, const char *name, int death_signal);
/* Kills a child that still runs. */
void child_done(struct child *c);
int child_arg(struct child *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))) MUST_CHECK;
/* An earlier value of the same name is replaced. */
int child_setenv(struct child *c, const char *name, const char *value) MUST_CHECK;

/* Failing to execute the program is an error here, not an exit status later. */
int child_start(struct child *c, struct err *e) MUST_CHECK;
/* True once the child has ended; it is reaped and `status` is set. Waits up to timeout_ms;
 * returns early (false) when stop_fd (-1 = none) becomes readable. */
bool child_wait(struct child *c, int stop_fd, int64_t timeout_ms);
/* Sends `signal`, waits `grace_ms` or until hurry_fd (-1 = none) becomes readable, then kills the
 * child's process group. Idempotent. True when it ended by itself. */
bool child_stop(struct child *c, int signal, int64_t grace_ms, int hurry_fd);
/* Runs to the end: 0 when it exited with 0, else ERR_IO with the last line of its log. */
int child_run(struct child *c, int stop_fd, int64_t timeout_ms, struct err *e) MUST_CHECK;
/* "exit status 1" or "signal 9". */
void child_status_text(int status, char *buf, size_t size);
/* The last line of text in the log that says why ("" when there is none); caller frees. */
char *child_last_line(const struct child *c);

#endif
