/* The driver host as a child process: a socketpair on fd 3, the library on fd 4, one pipe for what
 * it prints, on fd 5 the users its own files are shown as, a clean environment, its own session,
 * process ids and cgroup where these can be had. See transport_internal.h. The other end:
 * core/cmd/magnum-driver-host.c. */
#include "drivers/transport_internal.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "drivers/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { SIGNALLED = 128 };

void transport_close(struct transport_conn *c)
{
    cleanup_closep(&c->sock);
    cleanup_closep(&c->log_fd);
    cleanup_closep(&c->end_fd);
}

/* A copy above the numbers the child uses, so that no dup in the child hits another source. */
static int raise_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_FDS);
}

static int spawn(const struct transport_start *s, const int fds[SPAWN_FDS],
                 struct transport_conn *ret, struct err *e)
{
    char parent[24];
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    char *const argv[] = {(char *)s->program, parent, s->plugin->library_path, NULL};
    char *const env[] = {
        (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        (char *)"LANG=C", NULL};
    struct spawn sp = {
        .program = s->program, .argv = argv, .env = env, .own_pids = confine_own_pids(s->confine)};
    memcpy(sp.fds, fds, sizeof sp.fds);
    int bad = spawn_program(&sp, &ret->pid, &ret->end_fd);
    ret->own_pids = sp.own_pids;
    /* Our memory is not for a driver that has our user and sees us. Of a user namespace our own
     * user must be able to write the map, so there it has to be readable; there it is not seen. */
    if (confine_own_pids(s->confine) && (geteuid() == 0 || !sp.own_pids))
        (void)prctl(PR_SET_DUMPABLE, 0);
    return bad ? err_errno(e, bad, "cannot start %s", s->program) : 0;
}

/* A program that may start others joins before it runs, for they would stay outside. All others can
 * join while they run: where the kernel takes its time over it nobody waits. */
static int give_cgroup(const struct transport_start *s, struct transport_conn *c, struct err *e)
{
    if (!s->cgroups || !s->cgroups->version || !confine_own_pids(s->confine))
        return 0;
    int rc = cgroup_new(s->cgroups, s->confine->memory_mb, s->confine->tasks, &c->cgroup, e);
    if (rc == 0 && s->confine->exec)
        return cgroup_join(c->cgroup, c->pid, e);
    if (rc == 0)
        cgroup_share(c->cgroup); /* process_settle */
    return rc;
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
                        map = s->map_fd < 0 ? -1 : raise_fd(s->map_fd), log = raise_fd(out_write);
    if (sock < 0 || lib < 0 || log < 0 || fcntl(out_read, F_SETFL, O_NONBLOCK) < 0)
        return err_errno(e, errno, "cannot prepare descriptors for a driver host");
    struct transport_conn c = {.sock = -1, .log_fd = -1, .end_fd = -1};
    struct err why = ERR_INIT;
    const int fds[SPAWN_FDS] = {-1, log, log, sock, lib, map};
    int rc = spawn(s, fds, &c, e);
    if (rc != 0)
        return rc;
    rc = give_cgroup(s, &c, &why);
    if (rc != 0 && !s->confine->strict)
        log_warn("driver.isolation", "%s goes without its own cgroup: %s", s->plugin->id, why.msg);
    if (rc != 0 && s->confine->strict) {
        char ignored[DEATH_WHY];
        transport_process.signal(&c, SIGKILL);
        transport_process.reap(&c, ignored);
        transport_close(&c);
        return err_set(e, ERR_UNAVAILABLE, "%s", why.msg);
    }
    c.sock = ours;
    c.log_fd = out_read;
    ours = out_read = -1;
    *ret = c;
    return 0;
}

static void process_settle(const struct transport_conn *c, const struct confine *confine)
{
    struct cgroup *group = c->cgroup;
    struct err e = ERR_INIT;
    if (!group || confine->exec)
        return;
    if (cgroup_join(group, c->pid, &e) != 0)
        log_warn("driver.isolation", "ignoring: %s", e.msg);
    cgroup_free(&group);
}

/* The process is our child and not reaped yet, so neither its number nor its group's is another's.
 */
static void process_signal(struct transport_conn *c, int sig)
{
    (void)kill(-c->pid, sig);
    (void)kill(c->pid, sig); /* its group may not exist yet */
}

static void tell_signal(char why[DEATH_WHY], int sig)
{
    snprintf(why, DEATH_WHY, "killed by signal %d (%s)", sig,
             sigdescr_np(sig) ? sigdescr_np(sig) : "unknown");
}

static void process_reap(struct transport_conn *c, char why[DEATH_WHY])
{
    siginfo_t si = {0};
    why[0] = '\0';
    process_signal(c, SIGKILL); /* helpers it left in its group have no lease to act under */
    if (c->cgroup)
        cgroup_end(c->cgroup);
    if (waitid(P_PIDFD, (id_t)c->end_fd, &si, WEXITED) < 0)
        snprintf(why, DEATH_WHY, "lost (%s)", strerrordesc_np(errno));
    else if (si.si_code == CLD_EXITED && c->own_pids && si.si_status > SIGNALLED)
        tell_signal(why, si.si_status - SIGNALLED); /* see core/cmd/host_confine.c */
    else if (si.si_code == CLD_EXITED && si.si_status != 0)
        snprintf(why, DEATH_WHY, "exited with status %d", si.si_status);
    else if (si.si_code != CLD_EXITED)
        tell_signal(why, si.si_status);
    cgroup_free(&c->cgroup);
}

const struct driver_transport transport_process = {.start = process_start,
                                                   .settle = process_settle,
                                                   .signal = process_signal,
                                                   .reap = process_reap};
