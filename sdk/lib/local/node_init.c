/* The first process of a node: builds the node's own view of the file system, starts the daemon
 * with the listening socket as descriptor 3, reaps, and ends with the daemon's status. It is pid 1
 * of a PID namespace, so its end is the end of everything in the node.
 * Neighbours: node_start. */
#include "lib/local/node_spec.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char fast_resolver[] = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

__attribute__((format(printf, 2, 3))) static _Noreturn void give_up(int report, const char *fmt,
                                                                    ...)
{
    char text[512];
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)dprintf(report, "%s: %s", text, strerror(saved));
    _exit(1);
}

static int put_file(const char *path, const char *text)
{
    _mag_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

/* mkdir -p without the file itself. */
static void make_parents(const char *path)
{
    char part[PATH_MAX];
    (void)snprintf(part, sizeof part, "%s", path);
    for (char *p = strchr(part + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void)mkdir(part, 0755);
        *p = '/';
    }
}

/* /etc/resolv.conf is a link into /run on many machines, and /run is the node's own by now: then
 * the file is made where the link points to. */
static int own_resolver(void)
{
    static const char at[] = "/etc/resolv.conf";
    char target[PATH_MAX], full[PATH_MAX + 8];
    if (put_file("/run/resolv.conf.node", fast_resolver) < 0)
        return -1;
    if (mount("/run/resolv.conf.node", at, NULL, MS_BIND, NULL) == 0)
        return 0;
    if (errno != ENOENT)
        return -1;
    ssize_t n = readlink(at, target, sizeof target - 1);
    if (n < 0) /* no such file at all: resolvers then ask 127.0.0.1, which refuses at once */
        return 0;
    target[n] = '\0';
    (void)snprintf(full, sizeof full, "%s%s", target[0] == '/' ? "" : "/etc/", target);
    if (strncmp(full, "/run/", 5) != 0 && strncmp(full, "/etc/../run/", 12) != 0)
        return 0;
    make_parents(full);
    return put_file(full, fast_resolver);
}

static int own_hosts(const char *hostname)
{
    char text[256];
    (void)snprintf(text, sizeof text, "127.0.0.1 localhost\n127.0.1.1 %s\n", hostname);
    if (put_file("/run/hosts.node", text) < 0)
        return -1;
    if (mount("/run/hosts.node", "/etc/hosts", NULL, MS_BIND, NULL) == 0 || errno == ENOENT)
        return 0;
    return -1;
}

/* A /sys that shows this network namespace, with the cgroup mounts of the host moved over. */
static int own_sys(void)
{
    const unsigned long quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mkdir("/run/cgroup.node", 0700) < 0 ||
        mount("/sys/fs/cgroup", "/run/cgroup.node", NULL, MS_BIND | MS_REC, NULL) < 0 ||
        mount("sysfs", "/sys", "sysfs", quiet, NULL) < 0 ||
        mount("/run/cgroup.node", "/sys/fs/cgroup", NULL, MS_MOVE, NULL) < 0)
        return -1;
    return rmdir("/run/cgroup.node");
}

static void own_binds(const struct node_spec *s, int report)
{
    char target[PATH_MAX], source[PATH_MAX];
    for (unsigned i = 0; i < s->n_binds; i++) {
        const char *eq = strchr(s->binds[i], '=');
        (void)snprintf(target, sizeof target, "%.*s", (int)(eq - s->binds[i]), s->binds[i]);
        (void)snprintf(source, sizeof source, "%s/%s", s->base, eq + 1);
        make_parents(target);
        if ((mkdir(source, 0711) < 0 && errno != EEXIST) ||
            (mkdir(target, 0711) < 0 && errno != EEXIST) ||
            mount(source, target, NULL, MS_BIND, NULL) < 0)
            give_up(report, "own %s", target);
    }
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || !path[n]);
}

/* A mount namespace begins as a copy of the host's, and what is mounted in a copy stays alive:
 * network namespaces of other nodes, images of a Docker on the host. They would outlast their
 * removal for as long as this node lives, so the copies go first. Mount points of ours hold no
 * blanks; one that does is written with an escape, is not found, and stays. */
static int let_go_of_others(void)
{
    static const char *const dirs[] = {"/run", "/var/run", "/var/lib/docker", "/var/lib/containerd",
                                       "/var/lib/containers"};
    _mag_free_ char *line = NULL, *all = NULL;
    size_t cap = 0, size = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re"), *found = open_memstream(&all, &size);
    if (!f || !found)
        return -1;
    while (getline(&line, &cap, f) > 0) {
        char at[PATH_MAX];
        bool other = strstr(line, " - nsfs ") != NULL;
        if (sscanf(line, "%*s %*s %*s %*s %4095s", at) != 1)
            continue;
        for (size_t i = 0; i < MAG_LEN(dirs); i++)
            other |= is_below(at, dirs[i]);
        if (other)
            (void)fprintf(found, "%s\n", at);
    }
    (void)fclose(f);
    if (fclose(found) != 0)
        return -1;
    char *save = NULL; /* a detached parent takes its children along: those then fail, harmlessly */
    for (char *at = strtok_r(all, "\n", &save); at; at = strtok_r(NULL, "\n", &save))
        (void)umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW);
    return 0;
}

static void build_view(const struct node_spec *s, int report)
{
    const unsigned long quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        give_up(report, "make mounts private");
    if (let_go_of_others() < 0)
        give_up(report, "read the list of mounts");
    if (sethostname(s->hostname, strlen(s->hostname)) < 0)
        give_up(report, "set the host name");
    if (mount("proc", "/proc", "proc", quiet, NULL) < 0)
        give_up(report, "own /proc");
    own_binds(s, report);
    /* Sockets, pid files and the daemon's run state live here and are gone with the node: nothing
     * stale is ever met at the next start. It also hides a containerd of the host. */
    if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=256m") < 0)
        give_up(report, "own /run");
    if (own_sys() < 0)
        give_up(report, "own /sys");
    if (own_resolver() < 0)
        give_up(report, "own /etc/resolv.conf");
    if (own_hosts(s->hostname) < 0)
        give_up(report, "own /etc/hosts");
}

static _Noreturn void exec_daemon(const struct node_spec *s, struct node_pipes p)
{
    char path[PATH_MAX + 8], pid[48];
    char *env[5] = {path, (char *)(uintptr_t) "HOME=/"};
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)snprintf(path, sizeof path, "PATH=%s", s->path);
    if (p.listen_fd >= 0) {
        if (dup2(p.listen_fd, 3) < 0)
            give_up(p.report_fd, "pass the socket");
        (void)snprintf(pid, sizeof pid, "LISTEN_PID=%d", (int)getpid());
        env[2] = pid;
        env[3] = (char *)(uintptr_t) "LISTEN_FDS=1";
    }
    (void)execve(s->argv[0], s->argv, env);
    give_up(p.report_fd, "execute %s", s->argv[0]);
}

/* Signals are taken synchronously: a blocked one reaches even pid 1 of a namespace. */
static _Noreturn void live(pid_t kid, const sigset_t *waited)
{
    for (;;) {
        siginfo_t info;
        int sig = sigwaitinfo(waited, &info);
        if (sig == SIGTERM || sig == SIGHUP || sig == SIGINT)
            (void)kill(kid, sig);
        int status;
        for (pid_t dead; (dead = waitpid(-1, &status, WNOHANG)) > 0;)
            if (dead == kid)
                _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
}

_Noreturn void node_init(const struct node_spec *s, struct node_pipes p)
{
    char go;
    sigset_t waited;
    (void)setsid();
    (void)umask(022);
    if (read(p.go_fd, &go, 1) != 1)
        _exit(1);
    (void)close(p.go_fd);
    _mag_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || chdir("/") < 0)
        give_up(p.report_fd, "/dev/null");
    build_view(s, p.report_fd);
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGTERM);
    sigaddset(&waited, SIGHUP);
    sigaddset(&waited, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &waited, NULL);
    pid_t kid = fork();
    if (kid < 0)
        give_up(p.report_fd, "fork");
    if (kid == 0)
        exec_daemon(s, p);
    (void)close(p.report_fd);
    if (p.listen_fd >= 0)
        (void)close(p.listen_fd);
    live(kid, &waited);
}
