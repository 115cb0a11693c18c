/* The node's first daemon: dockerd and the process that serves its TCP socket. When dockerd ends,
 * all of it ends with dockerd's status; the other one is started again. See front.h. */
#include "front.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

enum { LISTEN_FD = 3, AGAIN_MS = 200 };

/* What talks to strangers has no rights beyond files and sockets of its user. */
static void drop_rights(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)syscall(SYS_capset, &head, none);
}

static void unblock(void)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static pid_t start_front(const char *dir)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    unblock();
    drop_rights();
    _exit(front_serve(LISTEN_FD, dir));
}

static pid_t start_daemon(char **argv)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    unblock();
    (void)close(LISTEN_FD);
    (void)execv(argv[0], argv);
    (void)fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static _Noreturn void live(pid_t daemon, const char *dir, const sigset_t *waited)
{
    const struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};
    pid_t front = start_front(dir);
    for (;;) {
        siginfo_t info;
        int status,
            sig = front > 0 ? sigwaitinfo(waited, &info) : sigtimedwait(waited, &info, &pause);
        if (sig == SIGTERM || sig == SIGHUP || sig == SIGINT)
            (void)kill(daemon, sig);
        for (pid_t dead; (dead = waitpid(-1, &status, WNOHANG)) > 0;) {
            if (dead == daemon)
                _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
            if (dead == front)
                front = -1;
        }
        if (front < 0 && sig < 0)
            front = start_front(dir);
    }
}

int main(int argc, char **argv)
{
    sigset_t waited;
    if (argc < 3 || argv[1][0] != '/' || argv[2][0] != '/') {
        (void)fputs("usage: magnum-swarm-front DIR DAEMON [ARGUMENT]...\n"
                    "Serves the socket that is descriptor 3; started by the swarm driver.\n",
                    stderr);
        return 2;
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    if (fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0) {
        perror("descriptor 3");
        return 1;
    }
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGTERM);
    sigaddset(&waited, SIGHUP);
    sigaddset(&waited, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &waited, NULL);
    pid_t daemon = start_daemon(argv + 2);
    if (daemon < 0) {
        perror("fork");
        return 1;
    }
    live(daemon, argv[1], &waited);
}
