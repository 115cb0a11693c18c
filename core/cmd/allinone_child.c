/* See allinone_child.h. */
#include "cmd/allinone_child.h"

#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

enum { LOG_ROTATE_BYTES = 16 << 20, LOG_TAIL_BYTES = 4096 };

void child_init(struct child *c, const char *name, int death_signal)
{
    *c = (struct child){.name = name, .death_signal = death_signal, .pidfd = -1};
}

void child_done(struct child *c)
{
    (void)child_stop(c, SIGKILL, 5000, -1);
    strv_free(&c->argv);
    strv_free(&c->env);
    free(TAKE_PTR(c->log_path));
    free(TAKE_PTR(c->input));
}

int child_arg(struct child *c, const char *fmt, ...)
{
    _cleanup_str_ struct str t = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_vprintf(&t, fmt, ap);
    va_end(ap);
    _cleanup_free_ char *s = str_take(&t);
    return s ? strv_add(&c->argv, s) : ERR_NOMEM;
}

static size_t name_length(const char *assignment)
{
    const char *eq = strchr(assignment, '=');
    return eq ? (size_t)(eq - assignment) + 1 : strlen(assignment);
}

int child_setenv(struct child *c, const char *name, const char *value)
{
    _cleanup_free_ char *s = str_fmt("%s=%s", name, value);
    if (!s)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->env.n; i++)
        if (strncmp(c->env.v[i], s, name_length(s)) == 0) {
            free(c->env.v[i]);
            c->env.v[i] = TAKE_PTR(s);
            return 0;
        }
    return strv_add(&c->env, s);
}

/* This process's environment without what `own` sets, then `own`. */
static int merged_env(const struct strv *own, struct strv *ret)
{
    for (char **v = environ; *v; v++) {
        bool replaced = false;
        for (size_t i = 0; i < own->n && !replaced; i++)
            replaced = strncmp(*v, own->v[i], name_length(own->v[i])) == 0;
        if (!replaced && strv_add(ret, *v) != 0)
            return ERR_NOMEM;
    }
    for (size_t i = 0; i < own->n; i++)
        if (strv_add(ret, own->v[i]) != 0)
            return ERR_NOMEM;
    return 0;
}

/* A log that grew large is kept once as .1, so that a restart loop can't fill the disk. */
static int open_log(const struct child *c, struct err *e)
{
    struct stat st;
    if (stat(c->log_path, &st) == 0 && st.st_size > LOG_ROTATE_BYTES) {
        _cleanup_free_ char *old = str_fmt("%s.1", c->log_path);
        if (old)
            (void)rename(c->log_path, old); /* ignoring: then it goes on growing */
    }
    int fd = open(c->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(e, errno, "cannot open log %s", c->log_path);
    return fd;
}

/* Standard input: /dev/null, or a pipe that already holds `input`. */
static int open_input(const struct child *c, struct err *e)
{
    if (!c->input) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return fd < 0 ? err_errno(e, errno, "cannot open /dev/null") : fd;
    }
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(e, errno, "cannot make a pipe");
    _cleanup_close_ int wr = p[1];
    int rc = io_write_all(wr, c->input, strlen(c->input), e);
    if (rc != 0) {
        (void)close(p[0]);
        return rc;
    }
    return p[0];
}

/* Between fork and exec: async-signal-safe calls only. Returns errno of the call that failed. */
static int become(const struct child *c, pid_t parent, int in, int log, char **env)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < NSIG; s++)
        (void)signal(s, SIG_DFL);
    (void)setpgid(0, 0);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        return errno;
    if (c->change_user && (setgroups(1, &c->gid) < 0 || setgid(c->gid) < 0 || setuid(c->uid) < 0))
        return errno;
    /* After setuid, which clears it. The parent may have died before this took hold. */
    if (prctl(PR_SET_PDEATHSIG, c->death_signal) < 0)
        return errno;
    if (getppid() != parent)
        return ESRCH;
    (void)execve(c->argv.v[0], c->argv.v, env);
    return errno;
}

int child_start(struct child *c, struct err *e)
{
    _cleanup_strv_ struct strv env = STRV_INIT;
    if (merged_env(&c->env, &env) != 0)
        return err_nomem(e);
    _cleanup_close_ int log = open_log(c, e);
    if (log < 0)
        return log;
    _cleanup_close_ int in = open_input(c, e);
    if (in < 0)
        return in;
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(e, errno, "cannot make a pipe");
    _cleanup_close_ int rd = p[0];
    _cleanup_close_ int wr = p[1];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(e, errno, "cannot start %s", c->name);
    if (pid == 0) {
        int why = become(c, parent, in, log, env.v);
        (void)!write(wr, &why, sizeof why);
        _exit(127);
    }
    cleanup_closep(&wr);
    int why = 0;
    ssize_t n;
    do {
        n = read(rd, &why, sizeof why);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        (void)waitpid(pid, NULL, 0);
        return err_errno(e, why, "cannot start %s", c->argv.v[0]);
    }
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        int saved = errno;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return err_errno(e, saved, "cannot watch %s (a kernel of 5.3 or newer is needed)", c->name);
    }
    c->pid = pid;
    c->pidfd = fd;
    c->started_ms = clock_mono_ms();
    return 0;
}

static bool reap(struct child *c)
{
    if (waitpid(c->pid, &c->status, WNOHANG) != c->pid)
        return false;
    c->pid = 0;
    cleanup_closep(&c->pidfd);
    return true;
}

bool child_wait(struct child *c, int stop_fd, int64_t timeout_ms)
{
    if (c->pid == 0)
        return true;
    int64_t until = clock_mono_ms() + timeout_ms;
    for (;;) {
        if (reap(c))
            return true;
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            return false;
        struct pollfd fds[] = {{.fd = c->pidfd, .events = POLLIN},
                               {.fd = stop_fd, .events = POLLIN}};
        int n = poll(fds, 2, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0 && fds[1].revents)
            return reap(c);
    }
}

bool child_stop(struct child *c, int signal, int64_t grace_ms, int hurry_fd)
{
    if (c->pid == 0)
        return true;
    (void)kill(c->pid, signal);
    if (child_wait(c, hurry_fd, grace_ms))
        return true;
    (void)kill(-c->pid, SIGKILL);
    (void)kill(c->pid, SIGKILL);
    (void)child_wait(c, -1, 5000);
    return false;
}

void child_status_text(int status, char *buf, size_t size)
{
    if (WIFSIGNALED(status))
        (void)snprintf(buf, size, "signal %d", WTERMSIG(status));
    else
        (void)snprintf(buf, size, "exit status %d", WEXITSTATUS(status));
}

/* Of PostgreSQL's "... FATAL:  text" and of our own "program: text" alike, the text. */
static const char *without_prefix(const struct child *c, const char *line)
{
    size_t n = strlen(c->name);
    if (strncmp(line, c->name, n) == 0 && line[n] == ':' && line[n + 1] == ' ')
        return line + n + 2;
    static const char *const marks[] = {"PANIC:  ", "FATAL:  ", "ERROR:  ", "error: "};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        const char *at = strstr(line, marks[i]);
        if (at)
            return at + strlen(marks[i]);
    }
    return line;
}

/* Of the last lines, the last that carries an error mark; else the very last. */
char *child_last_line(const struct child *c)
{
    _cleanup_close_ int fd = open(c->log_path, O_RDONLY | O_CLOEXEC);
    char buf[LOG_TAIL_BYTES + 1];
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    off_t from = size > LOG_TAIL_BYTES ? size - LOG_TAIL_BYTES : 0;
    ssize_t n = size < 0 ? -1 : pread(fd, buf, LOG_TAIL_BYTES, from);
    if (n <= 0)
        return str_dup("");
    buf[n] = '\0';
    const char *last = "", *marked = NULL;
    char *save = NULL;
    for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        last = line;
        if (without_prefix(c, line) != line)
            marked = without_prefix(c, line);
    }
    return str_dup(marked ? marked : last);
}

int child_run(struct child *c, int stop_fd, int64_t timeout_ms, struct err *e)
{
    int rc = child_start(c, e);
    if (rc != 0)
        return rc;
    if (!child_wait(c, stop_fd, timeout_ms)) {
        bool late = clock_mono_ms() - c->started_ms >= timeout_ms;
        (void)child_stop(c, SIGKILL, 5000, -1);
        return late ? err_set(e, ERR_TIMEOUT, "%s did not end within %lld ms", c->name,
                              (long long)timeout_ms)
                    : err_set(e, ERR_CANCELLED, "%s was stopped", c->name);
    }
    if (WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0)
        return 0;
    char why[32];
    child_status_text(c->status, why, sizeof why);
    _cleanup_free_ char *line = child_last_line(c);
    return err_set(e, ERR_IO, "%s failed (%s): %s", c->name, why, line ? line : "");
}
