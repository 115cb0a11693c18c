/* See spawn.h. */
#include "lib/local/spawn.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { OUTPUT_MAX = 1 << 20 };

bool mag_find_program(const char *path, const char *name, char *ret, size_t cap)
{
    while (path && *path) {
        size_t n = strcspn(path, ":");
        char full[4096];
        int m = snprintf(full, sizeof full, "%.*s/%s", (int)n, path, name);
        if (n && m > 0 && (size_t)m < sizeof full && (size_t)m < cap && access(full, X_OK) == 0) {
            memcpy(ret, full, (size_t)m + 1);
            return true;
        }
        path += n + (path[n] == ':');
    }
    return false;
}

static void child_done(struct mag_child *c)
{
    mag_closep(&c->pidfd);
    mag_closep(&c->out_fd);
    mag_closep(&c->err_fd);
    c->pid = 0;
}

/* stdin, stdout and stderr are memory files: no pipe can fill up, nothing has to be polled. */
static int plan_files(posix_spawn_file_actions_t *fa, int in, int out, int errfd, int keep_fd)
{
    int bad = posix_spawn_file_actions_adddup2(fa, in, 0);
    bad |= posix_spawn_file_actions_adddup2(fa, out, 1);
    bad |= posix_spawn_file_actions_adddup2(fa, errfd, 2);
    if (keep_fd >= 0)
        bad |= posix_spawn_file_actions_adddup2(fa, keep_fd, 3);
    bad |= posix_spawn_file_actions_addclosefrom_np(fa, keep_fd >= 0 ? 4 : 3);
    return bad;
}

static int plan_signals(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int bad = posix_spawnattr_setsigmask(attr, &none);
    bad |= posix_spawnattr_setsigdefault(attr, &all);
    bad |= posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return bad;
}

int32_t mag_child_start(const char *const argv[], const char *input, int keep_fd,
                        struct mag_child *ret, mag_error *err)
{
    static char *const env[] = {(char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                (char *)(uintptr_t) "LC_ALL=C", NULL};
    _mag_close_ int in = memfd_create("in", MFD_CLOEXEC);
    struct mag_child c = {.out_fd = memfd_create("out", MFD_CLOEXEC),
                          .err_fd = memfd_create("err", MFD_CLOEXEC),
                          .pidfd = -1};
    size_t len = input ? strlen(input) : 0;
    if (in < 0 || c.out_fd < 0 || c.err_fd < 0 || write(in, input ? input : "", len) < 0 ||
        lseek(in, 0, SEEK_SET) < 0) {
        child_done(&c);
        return mag_fail_errno(err, errno, "Can't start %s", argv[0]);
    }
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    int bad = posix_spawn_file_actions_init(&fa);
    if (bad == 0) {
        bad = posix_spawnattr_init(&attr);
        if (bad == 0) {
            bad = plan_files(&fa, in, c.out_fd, c.err_fd, keep_fd) | plan_signals(&attr);
            if (bad == 0)
                bad = posix_spawn(&c.pid, argv[0], &fa, &attr, (char *const *)(uintptr_t)argv, env);
            (void)posix_spawnattr_destroy(&attr);
        }
        (void)posix_spawn_file_actions_destroy(&fa);
    }
    if (bad == 0)
        c.pidfd = pidfd_open(c.pid, 0);
    if (bad || c.pidfd < 0) {
        bad = bad ? bad : errno;
        child_done(&c);
        return mag_fail_errno(err, bad, "Can't start %s", argv[0]);
    }
    *ret = c;
    return MAG_OK;
}

static char *read_memory(int fd)
{
    struct stat st;
    size_t n = fstat(fd, &st) == 0 && st.st_size < OUTPUT_MAX ? (size_t)st.st_size : 0;
    char *text = calloc(1, n + 1);
    if (text && n && pread(fd, text, n, 0) != (ssize_t)n)
        text[0] = '\0';
    return text;
}

/* The last line that is not empty: programs say last why they gave up. */
static const char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        text[--n] = '\0';
    char *nl = strrchr(text, '\n');
    return nl ? nl + 1 : text;
}

static int32_t ended(struct mag_child *c, int status, char **ret_out, mag_error *err)
{
    if (status == 0) {
        if (ret_out)
            *ret_out = read_memory(c->out_fd);
        return !ret_out || *ret_out ? MAG_OK : mag_fail_nomem(err);
    }
    _mag_free_ char *text = read_memory(c->err_fd);
    const char *why = text ? last_line(text) : "";
    if (WIFSIGNALED(status))
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR,
                        "HelperKilled", NULL, "killed by signal %d", WTERMSIG(status));
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "HelperFailed",
                    NULL, "%s", *why ? why : "failed without a message");
}

int32_t mag_child_wait(struct mag_child *c, int64_t timeout_ms, char **ret_out, mag_error *err)
{
    if (ret_out)
        *ret_out = NULL;
    int64_t until = mag_now_ms() + timeout_ms;
    bool late = false;
    for (;;) {
        struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
        int64_t left = until - mag_now_ms();
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            break;
        if (n == 0 && !late) {
            late = true;
            (void)kill(c->pid, SIGKILL); /* our own child, not yet waited for: the pid is its */
            until = mag_now_ms() + 2000;
        } else if (n == 0) {
            child_done(c);
            return mag_fail(err, MAG_E_TIMEOUT, MAG_ERR_RETRYABLE, "HelperStuck", NULL,
                            "can't be killed");
        }
    }
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    int32_t rc = late ? mag_fail(err, MAG_E_TIMEOUT, MAG_ERR_RETRYABLE, "HelperTimeout", NULL,
                                 "did not end within %lld ms", (long long)timeout_ms)
                      : ended(c, status, ret_out, err);
    child_done(c);
    return rc;
}

int32_t mag_run(const char *const argv[], const char *input, int keep_fd, int64_t timeout_ms,
                char **ret_out, mag_error *err)
{
    struct mag_child c = MAG_CHILD_INIT;
    int32_t rc = mag_child_start(argv, input, keep_fd, &c, err);
    if (rc == MAG_OK)
        rc = mag_child_wait(&c, timeout_ms, ret_out, err);
    return rc;
}
