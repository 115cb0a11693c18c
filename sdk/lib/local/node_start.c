/* magnum-local-node start: from the caller's process to a running node.
 * Order: lock, socket in the host's network, cgroups, namespaces, fork, record, go. Until the "go"
 * the new process has done nothing; without it (we died) it ends by itself. So there is never a
 * node that nobody can find. Neighbours: node_init, record, cgroup. */
#include "lib/local/node_spec.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cgroup.h"
#include "lib/local/files.h"
#include "lib/local/record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { LOG_KEEP = 4 << 20, OLD_WAIT_MS = 5000, HIGH_FD = 10 };

static int complain(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

static int complain_mag(const mag_error *e)
{
    (void)fprintf(stderr, "%s\n", e->message);
    return 1;
}

/* Moves a descriptor out of the way of the ones the daemon gets. */
static int lift(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (fd >= 0)
        (void)close(fd);
    return high;
}

/* The caller's limits are those of a plugin's process; a node is a machine of its own. */
static void raise_limits(void)
{
    static const int which[] = {RLIMIT_AS,    RLIMIT_DATA,  RLIMIT_NPROC,   RLIMIT_MEMLOCK,
                                RLIMIT_FSIZE, RLIMIT_CPU,   RLIMIT_NOFILE,  RLIMIT_SIGPENDING,
                                RLIMIT_RSS,   RLIMIT_LOCKS, RLIMIT_MSGQUEUE};
    for (size_t i = 0; i < MAG_LEN(which); i++) {
        struct rlimit l, want = {RLIM_INFINITY, RLIM_INFINITY};
        if (which[i] == RLIMIT_NOFILE)
            want = (struct rlimit){1 << 20, 1 << 20};
        if (getrlimit((__rlimit_resource_t)which[i], &l) < 0)
            continue;
        if (l.rlim_max >= want.rlim_max)
            want.rlim_max = l.rlim_max;
        if (setrlimit((__rlimit_resource_t)which[i], &want) < 0) {
            l.rlim_cur = l.rlim_max;
            (void)setrlimit((__rlimit_resource_t)which[i], &l);
        }
    }
}

/* The port the node had, when nobody took it meanwhile; else the kernel's choice. */
static int open_socket(unsigned *port)
{
    for (int tries = 0; tries < 2; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
        if (fd < 0)
            return -1;
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)(tries ? 0 : *port)),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t len = sizeof a;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 128) == 0 &&
            getsockname(fd, (struct sockaddr *)&a, &len) == 0) {
            *port = ntohs(a.sin_port);
            return lift(fd);
        }
        (void)close(fd);
    }
    return -1;
}

/* The lock is free, so the node's first process is dead or dying: wait until all of it is gone. */
static int wait_old(const struct mag_node_record *old)
{
    _mag_close_ int fd = mag_record_pidfd(old);
    if (fd < 0)
        return 0;
    (void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, OLD_WAIT_MS) > 0)
        return 0;
    errno = EBUSY;
    return complain("the node's last process does not end");
}

static int enter_namespaces(const struct node_spec *s)
{
    char path[512];
    (void)snprintf(path, sizeof path, "/run/netns/%s", s->netns);
    _mag_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return complain(path);
    if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID) < 0)
        return complain("unshare of mount, UTS, IPC and PID namespaces");
    return 0;
}

static int open_log(const char *base)
{
    char path[512], old[512];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/log", base);
    (void)snprintf(old, sizeof old, "%s/log.1", base);
    if (stat(path, &st) == 0 && st.st_size > LOG_KEEP)
        (void)rename(path, old);
    return lift(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
}

/* Parent's side after the fork: record, say go, and pass on what went wrong, if anything. */
static int see_off(const struct node_spec *s, pid_t pid, unsigned port, int go, int report)
{
    mag_error e = {.struct_size = sizeof e};
    struct mag_node_record r = {.port = port};
    if (mag_record_of(pid, &r, &e) != MAG_OK || mag_record_write(s->base, &r, &e) != MAG_OK)
        return complain_mag(&e);
    if (write(go, "g", 1) != 1)
        return complain("the node's first process died at once");
    char text[1024];
    size_t used = 0;
    for (ssize_t n; used < sizeof text - 1; used += (size_t)n) {
        n = read(report, text + used, sizeof text - 1 - used);
        if (n < 0 && errno == EINTR)
            n = 0;
        else if (n <= 0)
            break;
    }
    text[used] = '\0';
    if (used)
        (void)fprintf(stderr, "%s\n", text);
    return used ? 1 : 0;
}

static int fork_node(const struct node_spec *s, int listen_fd, unsigned port, int log)
{
    int go[2], report[2];
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
        return complain("pipe");
    for (int i = 0; i < 2; i++) {
        go[i] = lift(go[i]);
        report[i] = lift(report[i]);
    }
    pid_t pid = fork();
    if (pid < 0)
        return complain("fork");
    if (pid == 0) {
        (void)close(go[1]);
        (void)close(report[0]);
        if (dup2(log, 1) < 0 || dup2(log, 2) < 0)
            _exit(1);
        node_init(s, (struct node_pipes){listen_fd, go[0], report[1]});
    }
    (void)close(go[0]);
    (void)close(report[1]);
    return see_off(s, pid, port, go[1], report[0]);
}

int node_start(const struct node_spec *s)
{
    mag_error e = {.struct_size = sizeof e};
    struct mag_node_record old;
    char path[512];
    (void)prctl(PR_SET_PDEATHSIG, 0);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(path, sizeof path, "%s/lock", s->base);
    int lock = lift(mag_lock_take(path, true));
    if (lock < 0) /* someone lives there: the node runs, or is just being started by another */
        return errno == EAGAIN ? 0 : complain(path);
    /* From here on the node's own lock speaks for us: the cluster's, which the caller handed down
     * as descriptor 3, must not be kept by the node for its life. */
    (void)close_range(3, HIGH_FD - 1, 0);
    mag_record_read(s->base, &old);
    if (wait_old(&old) != 0)
        return 1;
    unsigned port = old.port;
    int listen_fd = s->listen ? open_socket(&port) : -1;
    if (s->listen && listen_fd < 0)
        return complain("socket on 127.0.0.1");
    int log = open_log(s->base);
    if (log < 0)
        return complain("log");
    if (mag_cgroup_enter(s->cgroup, s->memory_mb, &e) != MAG_OK)
        return complain_mag(&e);
    raise_limits();
    if (enter_namespaces(s) != 0)
        return 1;
    return fork_node(s, listen_fd, port, log);
}
