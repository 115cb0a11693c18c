/* See spawn.h. The child runs in the parent's memory until it has become the program (the parent's
 * thread waits), so it makes raw system calls only: library functions, and what sanitizers put in
 * their place, would change the parent's state. */
#include "drivers/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK = 64 * 1024, KERNEL_SIGSET = 8, SIGNALS = 64 };

/* ThreadSanitizer takes each clone for a fork and changes, in the child, what it knows of the
 * thread: with one memory that would be the parent's. There a failed exec is told by the exit
 * status alone. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { ONE_MEMORY = 0 };
#else
enum { ONE_MEMORY = CLONE_VM };
#endif

struct start {
    const struct spawn *s;
    char uid_map[40], gid_map[40]; /* "" = no user namespace */
    int error;                     /* errno of what failed */
};

static long put(const char *path, const char *text)
{
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY, 0);
    if (fd < 0)
        return fd;
    long n = syscall(SYS_write, fd, text, strlen(text));
    syscall(SYS_close, fd);
    return n < 0 ? -1 : 0;
}

static long enter_user_namespace(const struct start *st)
{
    if (!*st->uid_map)
        return 0;
    if (put("/proc/self/setgroups", "deny") < 0 || put("/proc/self/uid_map", st->uid_map) < 0)
        return -1;
    return put("/proc/self/gid_map", st->gid_map);
}

/* What the parent ignores the program shall not. */
static void default_signals(void)
{
    const unsigned long to_default[4] = {0}, none = 0;
    for (int sig = 1; sig <= SIGNALS; sig++)
        syscall(SYS_rt_sigaction, sig, to_default, NULL, KERNEL_SIGSET);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, KERNEL_SIGSET);
}

static long arrange_fds(const struct spawn *s)
{
    for (int i = 0; i < SPAWN_FDS; i++) {
        long from = s->fds[i];
        if (from < 0)
            from = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
        if (from < 0 || (from != i && syscall(SYS_dup3, from, i, 0) < 0))
            return -1;
    }
    return syscall(SYS_close_range, SPAWN_FDS, ~0U, 0);
}

__attribute__((no_sanitize("address", "thread", "undefined"))) static int child(void *arg)
{
    struct start *st = arg;
    syscall(SYS_setsid);
    default_signals();
    if (enter_user_namespace(st) == 0 && arrange_fds(st->s) == 0)
        syscall(SYS_execve, st->s->program, st->s->argv, st->s->env);
    st->error = errno;
    syscall(SYS_exit_group, 127);
    return 127;
}

static int try(struct start *st, int flags, pid_t *ret_pid, int *ret_pidfd)
{
    _Alignas(16) char stack[STACK];
    st->error = 0;
    pid_t pid = clone(child, stack + sizeof stack,
                      ONE_MEMORY | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | flags, st, ret_pidfd);
    if (pid < 0)
        return errno;
    if (st->error == 0) {
        *ret_pid = pid;
        return 0;
    }
    (void)waitpid(pid, NULL, 0);
    (void)close(*ret_pidfd);
    return st->error;
}

int spawn_program(struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
    struct start st = {.s = s};
    int flags = s->own_pids ? CLONE_NEWPID : 0;
    if (s->own_pids && geteuid() != 0) {
        flags |= CLONE_NEWUSER;
        snprintf(st.uid_map, sizeof st.uid_map, "0 %u 1", (unsigned)geteuid());
        snprintf(st.gid_map, sizeof st.gid_map, "0 %u 1", (unsigned)getegid());
    }
    int bad = try(&st, flags, ret_pid, ret_pidfd);
    if (!bad || !flags)
        return bad;
    s->own_pids = false;
    st.uid_map[0] = '\0';
    return try(&st, 0, ret_pid, ret_pidfd);
}

/* ---- a user namespace ---- */

/* Exists as long as somebody looks at it, and not longer than its parent, which may have died
 * before it could ask to go with it. Its thread state is the parent's: raw calls only. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static int linger(void *arg)
{
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    while (syscall(SYS_getppid) == (intptr_t)arg)
        syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
    return 0;
}

static int put_map(pid_t pid, const char *file, uid_t uid)
{
    char path[48], text[40];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, file);
    int n = snprintf(text, sizeof text, "0 %u 1", (unsigned)uid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int rc = fd >= 0 && write(fd, text, (size_t)n) == n ? 0 : -1;
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

int spawn_user_mapping(uid_t uid)
{
    _Alignas(16) char stack[STACK];
    char path[48];
    int fd = -1, handle = -1, why = 0;
    pid_t pid =
        clone(linger, stack + sizeof stack, ONE_MEMORY | CLONE_NEWUSER | CLONE_PIDFD | SIGCHLD,
              (void *)(intptr_t)getpid(), &handle);
    if (pid < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/%ld/ns/user", (long)pid);
    if (put_map(pid, "uid_map", uid) == 0 && put_map(pid, "gid_map", uid) == 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        why = errno;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)close(handle);
    errno = why;
    return fd;
}
