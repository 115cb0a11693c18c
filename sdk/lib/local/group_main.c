/* magnum-local-group: the daemons of one node. Starts the parts in their order, each when the one
 * before is ready, keeps them running, says in a file what became of them, ends them in the reverse
 * order. See group.h for the file it reads. */
#include "lib/local/group.h"

#include "lib/cleanup.h"
#include "lib/services.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum {
    LOOK_MS = 30,         /* between looks whether a part listens */
    IDLE_MS = 60000,      /* between looks at the size of logs */
    GOOD_RUN_MS = 20000,  /* a daemon that ran so long had a good start */
    PAUSE_MIN_MS = 250,   /* before a daemon is started again; doubled each time */
    PAUSE_MAX_MS = 10000, /*  up to this */
    STOP_MS = 8000,       /* for all daemons together */
    LOG_KEEP = 16 << 20,  /* a log that is larger is put aside */
    PARTS_MAX = 32,
};

struct part {
    char name[32];
    json_t *spec;
    pid_t pid; /* 0: does not run */
    int listen_fd;
    int64_t since_ms, retry_ms;
    time_t since; /* the same as a date, for readers */
    unsigned runs, fails;
    char why[64]; /* how it ended last */
    bool done;    /* a "once" part that ended well */
    bool ready;   /* listens, as its entry wants */
};
struct group {
    const char *file;
    json_t *doc;
    char dir[PATH_MAX];
    struct part v[PARTS_MAX];
    size_t n;
};

static bool is_once(const struct part *p)
{
    return mag_json_bool(p->spec, "once", false);
}

static bool wants_wait(const struct part *p, const char **ret)
{
    *ret = mag_json_text(p->spec, "wait_unix", mag_json_text(p->spec, "wait_tcp", NULL));
    return *ret != NULL;
}

/* Old or new, never half; a lost one is written again with the next change. */
static void write_status(const struct group *g)
{
    char path[PATH_MAX + 32], tmp[PATH_MAX + 40];
    _mag_json_ json_t *doc = json_object();
    for (size_t i = 0; i < g->n; i++) {
        const struct part *p = &g->v[i];
        const char *where;
        json_t *one =
            json_pack("{s:i, s:I, s:i, s:i, s:s, s:b, s:b}", "pid", (int)p->pid, "since",
                      (json_int_t)p->since, "runs", (int)p->runs, "fails", (int)p->fails, "why",
                      p->why, "waits", wants_wait(p, &where), "ready", p->ready || p->done);
        json_t *stamp = json_object_get(p->spec, "stamp");
        if (one && stamp)
            (void)json_object_set(one, "stamp", stamp);
        (void)json_object_set_new(doc, p->name, one);
    }
    (void)snprintf(path, sizeof path, "%s/daemons.json", g->dir);
    (void)snprintf(tmp, sizeof tmp, "%s.new", path);
    if (json_dump_file(doc, tmp, JSON_COMPACT) == 0)
        (void)rename(tmp, path);
}

/* ---- one part ---- */

static int open_log(const struct group *g, const struct part *p)
{
    char path[PATH_MAX + 48];
    (void)snprintf(path, sizeof path, "%s/%s.log", g->dir, p->name);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* The daemon holds the file open: it is copied and cut, not renamed. */
static void trim_log(const struct group *g, const struct part *p)
{
    char path[PATH_MAX + 48], old[PATH_MAX + 56];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s.log", g->dir, p->name);
    (void)snprintf(old, sizeof old, "%s.1", path);
    if (stat(path, &st) < 0 || st.st_size <= LOG_KEEP)
        return;
    _mag_close_ int from = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    _mag_close_ int to = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (ssize_t n = 1; from >= 0 && to >= 0 && n > 0;)
        n = copy_file_range(from, NULL, to, NULL, LOG_KEEP, 0);
    if (from >= 0 && ftruncate(from, 0) < 0)
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
}

static _Noreturn void run_part(const struct part *p, int log)
{
    char *argv[128];
    size_t i, n = 0;
    json_t *j;
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(127);
    if (p->listen_fd >= 0)
        group_forward(p->listen_fd, json_object_get(p->spec, "to"));
    (void)setsid();
    (void)close_range(3, ~0U, 0);
    json_array_foreach(json_object_get(p->spec, "argv"), i, j)
    {
        if (json_is_string(j) && n + 1 < MAG_LEN(argv))
            argv[n++] = (char *)(uintptr_t)json_string_value(j);
    }
    argv[n] = NULL;
    if (n)
        (void)execv(argv[0], argv);
    (void)dprintf(2, "%s: %s\n", n ? argv[0] : "no program", strerror(errno));
    _exit(127);
}

static void failed(struct part *p)
{
    p->fails++;
    int64_t pause = PAUSE_MIN_MS;
    for (unsigned i = 1; i < p->fails && pause < PAUSE_MAX_MS; i++)
        pause *= 2;
    p->retry_ms = mag_now_ms() + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
}

static void start(struct group *g, struct part *p)
{
    const char *listen_at = mag_json_text(p->spec, "listen", NULL);
    p->runs++;
    if (listen_at && p->listen_fd < 0 && (p->listen_fd = group_listen(listen_at)) < 0) {
        (void)snprintf(p->why, sizeof p->why, "can't listen: %.40s", strerror(errno));
        failed(p);
        write_status(g);
        return;
    }
    _mag_close_ int log = open_log(g, p);
    pid_t pid = log < 0 ? -1 : fork();
    if (pid == 0)
        run_part(p, log);
    if (pid < 0) {
        (void)snprintf(p->why, sizeof p->why, "can't start: %.40s", strerror(errno));
        failed(p);
    } else {
        p->pid = pid;
        p->since_ms = mag_now_ms();
        p->since = time(NULL);
        p->ready = false;
    }
    write_status(g);
}

static void ended(struct group *g, struct part *p, int status)
{
    p->pid = 0;
    p->ready = false;
    if (mag_now_ms() - p->since_ms > GOOD_RUN_MS)
        p->fails = 0;
    (void)snprintf(p->why, sizeof p->why, "%s %d",
                   WIFEXITED(status) ? "exit status" : "killed by signal",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    p->done = is_once(p) && status == 0;
    if (!p->done)
        failed(p);
    write_status(g);
}

static void reap(struct group *g)
{
    int status;
    for (pid_t dead; (dead = waitpid(-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < g->n; i++)
            if (g->v[i].pid == dead)
                ended(g, &g->v[i], status);
}

/* ---- all of them ---- */

/* Starts what is due, in order; returns how long to wait for a signal at most. */
static int64_t advance(struct group *g)
{
    int64_t wait = IDLE_MS;
    for (size_t i = 0; i < g->n; i++) {
        struct part *p = &g->v[i];
        const char *where;
        int64_t left = p->retry_ms - mag_now_ms();
        if (p->done)
            continue;
        if (!p->pid && left <= 0)
            start(g, p);
        else if (!p->pid && left < wait)
            wait = left;
        if (is_once(p))
            return wait;
        if (p->pid && p->fails) {
            int64_t to_good = p->since_ms + GOOD_RUN_MS - mag_now_ms();
            if (to_good <= 0) {
                p->fails = 0;
                write_status(g);
            } else if (to_good < wait) {
                wait = to_good;
            }
        }
        if (!wants_wait(p, &where) || p->ready)
            continue;
        if (!p->pid)
            return wait;
        if (!group_listens(where))
            return LOOK_MS;
        p->ready = true;
        p->fails = 0;
        write_status(g);
    }
    return wait;
}

static void stop_parts(struct group *g, const bool *which)
{
    int64_t until = mag_now_ms() + STOP_MS;
    for (size_t k = g->n; k-- > 0;)
        if (which[k] && g->v[k].pid)
            (void)kill(g->v[k].pid, SIGTERM);
    for (size_t k = 0; k < g->n; k++) {
        while (which[k] && g->v[k].pid) {
            const struct timespec tick = {.tv_nsec = 20000000};
            if (mag_now_ms() >= until)
                (void)kill(g->v[k].pid, SIGKILL);
            (void)nanosleep(&tick, NULL);
            reap(g);
        }
    }
}

static void apply_settings(const struct group *g)
{
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(g->doc, "env"), key, v)
    {
        if (json_is_string(v))
            (void)setenv(key, json_string_value(v), 1);
    }
    json_object_foreach(json_object_get(g->doc, "sysctl"), key, v)
    {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "/proc/sys/%s", key);
        _mag_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        const char *text = json_string_value(v);
        if (!text || fd < 0 || write(fd, text, strlen(text)) < 0)
            (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
    }
}

static struct part *find(struct group *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++)
        if (strcmp(g->v[i].name, name) == 0)
            return &g->v[i];
    return NULL;
}

/* The entries of the new document, each with its place in the old one, or -1: new or changed. */
static void match(struct group *g, struct group *next, int was[PARTS_MAX], bool gone[PARTS_MAX])
{
    size_t i;
    json_t *j;
    for (i = 0; i < g->n; i++)
        gone[i] = true;
    json_array_foreach(json_object_get(next->doc, "parts"), i, j)
    {
        if (next->n == PARTS_MAX)
            return;
        const char *name = mag_json_text(j, "name", "part");
        const struct part *old = find(g, name);
        bool same = old && json_equal(old->spec, j);
        was[next->n] = same ? (int)(old - g->v) : -1;
        if (same)
            gone[old - g->v] = false;
        struct part *p = &next->v[next->n++];
        *p = (struct part){.listen_fd = -1, .spec = j};
        (void)snprintf(p->name, sizeof p->name, "%.31s", name);
    }
}

/* One that was handed over is not its part's: the next entry that names it listens there too. */
static void close_socket(const struct part *p)
{
    if (p->listen_fd >= 0 && strncmp(mag_json_text(p->spec, "listen", ""), "fd:", 3) != 0)
        (void)close(p->listen_fd);
}

/* Takes over what runs and has not changed, ends the rest. */
static bool load(struct group *g)
{
    json_error_t je;
    json_t *doc = json_load_file(g->file, JSON_REJECT_DUPLICATES, &je);
    struct group next = {.file = g->file, .doc = doc};
    bool gone[PARTS_MAX];
    int was[PARTS_MAX];
    if (!doc || !mag_json_text(doc, "dir", NULL)) {
        (void)fprintf(stderr, "%s: %s\n", g->file, doc ? "no dir" : je.text);
        json_decref(doc);
        return false;
    }
    (void)snprintf(next.dir, sizeof next.dir, "%s", mag_json_text(doc, "dir", ""));
    match(g, &next, was, gone);
    stop_parts(g, gone);
    for (size_t i = 0; i < g->n; i++)
        if (gone[i])
            close_socket(&g->v[i]);
    for (size_t i = 0; i < next.n; i++) {
        json_t *spec = next.v[i].spec;
        if (was[i] >= 0)
            next.v[i] = g->v[was[i]];
        next.v[i].spec = spec;
    }
    json_decref(g->doc);
    *g = next;
    apply_settings(g);
    write_status(g);
    return true;
}

static _Noreturn void live(struct group *g, const sigset_t *waited)
{
    for (;;) {
        int64_t ms = advance(g);
        struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
        int sig = sigtimedwait(waited, NULL, &t);
        if (sig == SIGTERM || sig == SIGINT) {
            bool all[PARTS_MAX];
            memset(all, 1, sizeof all);
            stop_parts(g, all);
            exit(0);
        }
        if (sig == SIGHUP)
            (void)load(g); /* a file that can't be read changes nothing */
        reap(g);
        for (size_t i = 0; i < g->n && ms == IDLE_MS; i++)
            trim_log(g, &g->v[i]);
    }
}

int main(int argc, char **argv)
{
    struct group g = {.n = 0};
    sigset_t waited;
    if (argc != 2) {
        (void)fputs("usage: magnum-local-group FILE\n", stderr);
        return 2;
    }
    g.file = argv[1];
    (void)unsetenv("LISTEN_PID"); /* the socket is for a forwarding part, not for a daemon */
    (void)unsetenv("LISTEN_FDS");
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGTERM);
    sigaddset(&waited, SIGINT);
    sigaddset(&waited, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &waited, NULL);
    if (!load(&g))
        return 1;
    if (mag_json_bool(g.doc, "shared_mounts", false) &&
        mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0) {
        perror("share mounts");
        return 1;
    }
    live(&g, &waited);
}
