/* See node.h. */
#include "lib/local/node.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cgroup.h"
#include "lib/local/files.h"
#include "lib/local/net.h"
#include "lib/local/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

enum { START_TIMEOUT_MS = 15000, KILL_WAIT_MS = 3000, ARGS_MAX = 64 };

enum mag_node_state mag_node_look(const char *base, struct mag_node_record *ret)
{
    struct mag_node_record r;
    struct stat st;
    char lock[512];
    mag_record_read(base, &r);
    if (ret)
        *ret = r;
    if (stat(base, &st) < 0)
        return MAG_NODE_ABSENT;
    (void)snprintf(lock, sizeof lock, "%s/lock", base);
    bool held = mag_lock_held(lock);
    _mag_close_ int pidfd = mag_record_pidfd(&r);
    if (held && pidfd >= 0)
        return MAG_NODE_RUNNING;
    /* The first process drops the lock just before the kernel ends the others in its namespace;
     * and a starting one holds it before it is recorded. */
    return held || pidfd >= 0 ? MAG_NODE_CHANGING : MAG_NODE_STOPPED;
}

struct start_args { /* everything the helper's command line points to */
    const char *v[ARGS_MAX];
    size_t n;
    char base[MAG_LOCAL_BASE_MAX + 8], netns[96], cgroup[96], memory[24];
};

static void add(struct start_args *a, const char *arg)
{
    if (a->n + 1 < ARGS_MAX)
        a->v[a->n++] = arg;
    a->v[a->n] = NULL;
}

static bool start_command(const struct mag_local_cluster *c, const struct mag_node_start *s,
                          struct start_args *a)
{
    a->n = 0;
    mag_local_base(c, s->index, a->base);
    mag_local_netns(c, s->index, a->netns);
    mag_local_cgroup(c, s->index, a->cgroup);
    (void)snprintf(a->memory, sizeof a->memory, "%llu", (unsigned long long)s->memory_mb);
    const char *const head[] = {c->helper,     "start",    "--base",  a->base,      "--netns",
                                a->netns,      "--cgroup", a->cgroup, "--hostname", s->hostname,
                                "--memory-mb", a->memory,  "--path",  s->path};
    for (size_t i = 0; i < MAG_LEN(head); i++)
        add(a, head[i]);
    if (s->listen)
        add(a, "--listen");
    for (size_t i = 0; s->binds && s->binds[i]; i++) {
        add(a, "--bind");
        add(a, s->binds[i]);
    }
    add(a, "--");
    for (size_t i = 0; s->argv[i]; i++)
        add(a, s->argv[i]);
    return a->n + 1 < ARGS_MAX;
}

int32_t mag_nodes_start(const struct mag_local_cluster *c, const struct mag_node_start *v, size_t n,
                        mag_error *err)
{
    _mag_free_ struct mag_child *children = calloc(n ? n : 1, sizeof *children);
    if (!children)
        return mag_fail_nomem(err);
    int32_t rc = MAG_OK;
    size_t started = 0;
    for (; started < n && rc == MAG_OK; started++) {
        struct start_args a;
        if (!start_command(c, &v[started], &a))
            rc = mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "TooManyArguments", NULL,
                          "The daemon of %s has too many arguments", v[started].hostname);
        else
            rc = mag_child_start(a.v, NULL, c->lock_fd, &children[started], err);
    }
    int64_t until = mag_now_ms() + START_TIMEOUT_MS;
    for (size_t i = 0; i < started; i++) {
        if (!children[i].pid)
            continue;
        mag_error why = {.struct_size = sizeof why};
        int32_t one = mag_child_wait(&children[i], until - mag_now_ms(), NULL, &why);
        if (one != MAG_OK && rc == MAG_OK)
            rc = mag_fail(err, one, why.flags, "NodeStartFailed", why.remedy,
                          "Node %s can't be started: %s", v[i].hostname, why.message);
    }
    return rc;
}

static void wait_all(const int *fds, size_t n, int64_t until)
{
    for (size_t i = 0; i < n; i++) {
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        int64_t left = until - mag_now_ms();
        if (fds[i] >= 0)
            (void)poll(&p, 1, left > 0 ? (int)left : 0);
    }
}

static void signal_all(const int *fds, size_t n, int sig)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            (void)pidfd_send_signal(fds[i], sig, NULL, 0);
}

int32_t mag_nodes_stop(const struct mag_local_cluster *c, const unsigned *index, size_t n,
                       int64_t grace_ms, mag_error *err)
{
    _mag_free_ int *fds = calloc(n ? n : 1, sizeof *fds);
    if (!fds)
        return mag_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        char base[MAG_LOCAL_BASE_MAX + 8];
        struct mag_node_record r;
        mag_local_base(c, index[i], base);
        mag_record_read(base, &r);
        fds[i] = c->dir[0] ? mag_record_pidfd(&r) : -1;
    }
    if (grace_ms > 0) {
        signal_all(fds, n, SIGTERM);
        wait_all(fds, n, mag_now_ms() + grace_ms);
    }
    signal_all(fds, n, SIGKILL);
    wait_all(fds, n, mag_now_ms() + KILL_WAIT_MS);
    int32_t rc = MAG_OK;
    for (size_t i = 0; i < n; i++) {
        char base[MAG_LOCAL_BASE_MAX + 8];
        if (fds[i] >= 0)
            (void)close(fds[i]);
        /* The record may be lost; whoever lives in the node's network belongs to it. */
        int32_t one = mag_net_kill_all(c, index[i], KILL_WAIT_MS, err);
        mag_local_base(c, index[i], base);
        if (one == MAG_OK && c->dir[0] && mag_node_look(base, NULL) > MAG_NODE_STOPPED)
            one = MAG_AGAIN;
        if (one < 0 || rc == MAG_OK)
            rc = rc < 0 ? rc : one;
    }
    return rc;
}

int32_t mag_node_remove(const struct mag_local_cluster *c, unsigned index, mag_error *err)
{
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 16], cgroup[96];
    mag_local_base(c, index, base);
    (void)snprintf(path, sizeof path, "%s/lock", base);
    /* With the lock in hand no start can come in between; without a directory none can begin. */
    _mag_close_ int lock = c->dir[0] ? mag_lock_take(path, false) : -1;
    if (c->dir[0] && lock < 0 && errno != ENOENT)
        return errno == EAGAIN || errno == ESTALE
                   ? MAG_AGAIN
                   : mag_fail_errno(err, errno, "Can't lock %s", path);
    int32_t rc = mag_net_down(c, index, err);
    if (rc != MAG_OK)
        return rc;
    mag_local_cgroup(c, index, cgroup);
    rc = mag_cgroup_remove(cgroup, err);
    if (rc != MAG_OK)
        return rc;
    return c->dir[0] ? mag_remove_tree(base, err) : MAG_OK;
}

void mag_node_last_words(const char *base, char *ret, size_t cap)
{
    char path[512], text[2048];
    ret[0] = '\0';
    (void)snprintf(path, sizeof path, "%s/log", base);
    _mag_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    off_t from = st.st_size > (off_t)sizeof text - 1 ? st.st_size - (off_t)sizeof text + 1 : 0;
    ssize_t n = pread(fd, text, sizeof text - 1, from);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    text[n > 0 ? n : 0] = '\0';
    const char *nl = strrchr(text, '\n');
    mag_line(ret, cap, nl ? nl + 1 : text);
}
