/* The driver host as a child process: posix_spawn, a socketpair on fd 3, the library on fd 4, one
 * pipe for what it prints, a clean environment, its own process group. See transport_internal.h.
 * The other end: core/cmd/magnum-driver-host.c. */
#include "drivers/transport_internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { FD_SOCKET = 3, FD_LIBRARY = 4, FD_FREE = 5 };

void transport_close(struct transport_conn *c)
{
    cleanup_closep(&c->sock);
    cleanup_closep(&c->log_fd);
    cleanup_closep(&c->end_fd);
}

/* A copy above the numbers the child uses, so that no dup2 in the child hits another source. */
static int raise_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, FD_FREE);
}

static int spawn(const struct transport_start *s, int sock, int lib, int out, pid_t *ret,
                 struct err *e)
{
    char parent[24];
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    char *const argv[] = {(char *)s->program, parent, s->plugin->library_path, NULL};
    char *const env[] = {
        (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        (char *)"LANG=C", NULL};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int bad = posix_spawn_file_actions_init(&fa);
    if (bad)
        return err_errno(e, bad, "cannot start %s", s->program);
    if ((bad = posix_spawnattr_init(&at)) != 0) {
        posix_spawn_file_actions_destroy(&fa);
        return err_errno(e, bad, "cannot start %s", s->program);
    }
    bad = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0) ||
          posix_spawn_file_actions_adddup2(&fa, out, 1) ||
          posix_spawn_file_actions_adddup2(&fa, out, 2) ||
          posix_spawn_file_actions_adddup2(&fa, sock, FD_SOCKET) ||
          posix_spawn_file_actions_adddup2(&fa, lib, FD_LIBRARY) ||
          posix_spawn_file_actions_addclosefrom_np(&fa, FD_FREE) ||
          posix_spawnattr_setpgroup(&at, 0) || posix_spawnattr_setsigmask(&at, &none) ||
          posix_spawnattr_setsigdefault(&at, &all) ||
          posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF);
    bad = bad ? ENOMEM : posix_spawn(ret, s->program, &fa, &at, argv, env);
    posix_spawnattr_destroy(&at);
    posix_spawn_file_actions_destroy(&fa);
    return bad ? err_errno(e, bad, "cannot start %s", s->program) : 0;
}

static int process_start(const struct transport_start *s, struct transport_conn *ret, struct err *e)
{
    int pair[2], out[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "cannot make a socket pair");
    _cleanup_close_ int ours = pair[0], theirs = pair[1];
    if (pipe2(out, O_CLOEXEC) < 0)
        return err_errno(e, errno, "cannot make a pipe");
    _cleanup_close_ int out_read = out[0], out_write = out[1];
    _cleanup_close_ int sock = raise_fd(theirs), lib = raise_fd(s->lib_fd),
                        log = raise_fd(out_write);
    if (sock < 0 || lib < 0 || log < 0 || fcntl(out_read, F_SETFL, O_NONBLOCK) < 0)
        return err_errno(e, errno, "cannot prepare descriptors for a driver host");
    pid_t pid;
    int rc = spawn(s, sock, lib, log, &pid, e);
    if (rc != 0)
        return rc;
    _cleanup_close_ int end = pidfd_open(pid, 0);
    if (end < 0) {
        rc = err_errno(e, errno, "cannot watch a driver host");
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return rc;
    }
    *ret = (struct transport_conn){.pid = pid};
    ret->sock = ours;
    ret->log_fd = out_read;
    ret->end_fd = end;
    ours = out_read = end = -1;
    return 0;
}

/* The process is our child and not reaped yet, so neither its number nor its group's is another's.
 */
static void process_signal(struct transport_conn *c, int sig)
{
    (void)kill(-c->pid, sig);
    (void)kill(c->pid, sig); /* its group may not exist yet */
}

static void process_reap(struct transport_conn *c, char why[DEATH_WHY])
{
    siginfo_t si = {0};
    why[0] = '\0';
    process_signal(c, SIGKILL); /* helpers it left in its group have no lease to act under */
    if (waitid(P_PIDFD, (id_t)c->end_fd, &si, WEXITED) < 0)
        snprintf(why, DEATH_WHY, "lost (%s)", strerrordesc_np(errno));
    else if (si.si_code == CLD_EXITED && si.si_status != 0)
        snprintf(why, DEATH_WHY, "exited with status %d", si.si_status);
    else if (si.si_code != CLD_EXITED)
        snprintf(why, DEATH_WHY, "killed by signal %d (%s)", si.si_status,
                 sigdescr_np(si.si_status) ? sigdescr_np(si.si_status) : "unknown");
}

const struct driver_transport transport_process = {
    .start = process_start, .signal = process_signal, .reap = process_reap};
