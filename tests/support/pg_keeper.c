/* The keeper of support/pg.h: parent of the server, so that nobody else has to reap it. It ends
 * when the test says so, closes its socket (by dying, too) or is gone as a parent. */
#include "support/pg_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 60000, POLL_MS = 5 };

/* PostgreSQL refuses to run as root. */
static bool become_postgres(void)
{
    if (geteuid() != 0)
        return true;
    const struct passwd *pw = getpwnam("postgres");
    return pw && initgroups("postgres", pw->pw_gid) == 0 && setgid(pw->pw_gid) == 0 &&
           setuid(pw->pw_uid) == 0;
}

static pid_t run(const struct pg_setup *s, const char *program, char *const argv[])
{
    char path[512], log[128];
    snprintf(path, sizeof path, "%s/%s", s->bin, program);
    snprintf(log, sizeof log, "%s/log", s->dir);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    /* after the change of user, which would clear the signal */
    if (!become_postgres() || prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0)
        _exit(126);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (out < 0 || in < 0 || chdir(s->dir) != 0)
        _exit(126);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    execv(path, argv);
    _exit(127);
}

static bool run_to_end(const struct pg_setup *s, const char *program, char *const argv[])
{
    pid_t pid = run(s, program, argv);
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static bool init_data(const struct pg_setup *s)
{
    char data[128], conf[160];
    snprintf(data, sizeof data, "%s/data", s->dir);
    char *argv[] = {"initdb", "-D", data,   "-U",        "postgres",         "-A",
                    "trust",  "-E", "UTF8", "--no-sync", "--locale=C.UTF-8", "--no-instructions",
                    NULL};
    if (!run_to_end(s, "initdb", argv))
        return false;
    snprintf(conf, sizeof conf, "%s/postgresql.conf", data);
    FILE *f = fopen(conf, "ae");
    if (!f)
        return false;
    fprintf(f,
            "listen_addresses = ''\nunix_socket_directories = '%s'\nshared_buffers = 64MB\n"
            "max_connections = 100\nfsync = %s\nfull_page_writes = %s\n%s\n",
            s->dir, s->durable ? "on" : "off", s->durable ? "on" : "off", s->extra ? s->extra : "");
    return fclose(f) == 0;
}

/* Ready when its pid file says so: the line PostgreSQL itself keeps for pg_ctl. */
static bool says_ready(const struct pg_setup *s)
{
    char path[128], line[256];
    snprintf(path, sizeof path, "%s/data/postmaster.pid", s->dir);
    FILE *f = fopen(path, "re");
    bool ready = false;
    while (f && fgets(line, sizeof line, f))
        ready = strncmp(line, "ready", 5) == 0;
    if (f)
        fclose(f);
    return ready;
}

static pid_t start(const struct pg_setup *s)
{
    char data[128], pidfile[160];
    snprintf(data, sizeof data, "%s/data", s->dir);
    snprintf(pidfile, sizeof pidfile, "%s/postmaster.pid", data);
    (void)unlink(pidfile); /* of one that was killed: it is not the ready one */
    char *argv[] = {"postgres", "-D", data, NULL};
    pid_t pid = run(s, "postgres", argv);
    int64_t until = clock_mono_ms() + START_MS;
    while (pid > 0 && !says_ready(s)) {
        bool ended = waitpid(pid, NULL, WNOHANG) != 0;
        if (ended || clock_mono_ms() > until) {
            if (!ended)
                kill(pid, SIGKILL);
            return -1;
        }
        (void)poll(NULL, 0, POLL_MS);
    }
    return pid;
}

/* Sessions of a killed postmaster end by themselves when they notice; a start waits for them, since
 * they hold the shared memory segment. */
static pid_t start_again(const struct pg_setup *s)
{
    int64_t until = clock_mono_ms() + START_MS;
    pid_t pid;
    while ((pid = start(s)) < 0 && clock_mono_ms() < until)
        (void)poll(NULL, 0, 50);
    return pid;
}

static void end(pid_t *pid, int sig)
{
    if (*pid > 0 && kill(*pid, sig) == 0)
        waitpid(*pid, NULL, 0);
    *pid = -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

static void remove_dir(const char *dir)
{
    /* a session that is still ending may write a file behind our back */
    for (int i = 0; i < 20 && access(dir, F_OK) == 0; i++)
        if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
            (void)poll(NULL, 0, 20);
}

static void show_log(const struct pg_setup *s)
{
    char path[128], buf[4096];
    snprintf(path, sizeof path, "%s/log", s->dir);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(buf, 1, sizeof buf, f) : 0;
    if (f)
        fclose(f);
    fprintf(stderr, "the private PostgreSQL did not start:\n%.*s\n", (int)n, buf);
}

_Noreturn void pg_keep(const struct pg_setup *s, int fd)
{
    /* the keeper outlives a Ctrl-C of the test by as long as it takes to clean up */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    pid_t pid = -1;
    bool made = init_data(s);
    for (char command; read(fd, &command, 1) == 1 && command != PG_END;) {
        if (command == PG_KILL)
            end(&pid, SIGKILL);
        else if (made && command == PG_START)
            pid = start_again(s);
        struct pg_answer a = {.ok = command == PG_KILL || pid > 0, .pid = pid};
        if (!a.ok)
            show_log(s);
        if (write(fd, &a, sizeof a) != (ssize_t)sizeof a)
            break;
    }
    end(&pid, SIGQUIT); /* at once: nobody needs the data */
    remove_dir(s->dir);
    struct pg_answer a = {.ok = true, .pid = -1};
    (void)!write(fd, &a, sizeof a);
    _exit(0);
}
