/* See cgroup.h. */
#include "drivers/cgroup.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "magnum-driver-"

enum { PROC_MAX = 1 << 20, KILL_ROUNDS = 8, HEADROOM_MB = 16 };

/* ---- where ---- */

/* One write(2): the kernel takes a value whole or not at all. */
static int put(const char *dir, const char *file, const char *value)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, file);
    _cleanup_close_ int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    return fd >= 0 && write(fd, value, strlen(value)) >= 0 ? 0 : -1;
}

/* The mount point of a hierarchy: by controller (v1) or the one that has them all (v2, NULL). */
static char *mount_of(const char *mounts, const char *controller)
{
    _cleanup_free_ char *copy = str_dup(mounts);
    char *save = NULL;
    for (char *line = copy ? strtok_r(copy, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        char device[256], dir[1024], type[64], options[1024];
        if (sscanf(line, "%255s %1023s %63s %1023s", device, dir, type, options) != 4)
            continue;
        if (!controller && strcmp(type, "cgroup2") == 0)
            return str_dup(dir);
        _cleanup_strv_ struct strv words = STRV_INIT;
        if (controller && strcmp(type, "cgroup") == 0 && strv_split(&words, options, ',') == 0 &&
            strv_has(&words, controller))
            return str_dup(dir);
    }
    return NULL;
}

/* The conductor's own place in a hierarchy: lines of "number:controllers:path". */
static char *own_path(const char *own, const char *controller)
{
    _cleanup_free_ char *copy = str_dup(own);
    char *save = NULL;
    for (char *line = copy ? strtok_r(copy, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        _cleanup_strv_ struct strv words = STRV_INIT;
        bool fits = controller
                        ? strv_split(&words, list + 1, ',') == 0 && strv_has(&words, controller)
                        : list[1] == '\0';
        if (fits)
            return str_dup(path);
    }
    return NULL;
}

/* In a container the path may be one of outside: then the mount itself is our place. */
static char *place_in(const char *mounts, const char *own, const char *controller,
                      const char *option)
{
    _cleanup_free_ char *mount = mount_of(mounts, controller);
    _cleanup_free_ char *path = str_blank(option) ? own_path(own, controller) : str_dup(option);
    if (!mount || !path)
        return NULL;
    char *dir = str_fmt("%s/%s", mount, path[0] == '/' ? path + 1 : path);
    if (dir && access(dir, W_OK) == 0)
        return dir;
    free(dir);
    return str_blank(option) ? TAKE_PTR(mount) : NULL;
}

/* Both controllers are handed down, or can be: not where processes live beside the children. */
static bool v2_usable(const char *dir)
{
    _cleanup_free_ char *path = str_fmt("%s/cgroup.subtree_control", dir), *text = NULL;
    (void)put(dir, "cgroup.subtree_control", "+memory +pids");
    return path && io_read_file(path, PROC_MAX, &text, NULL, NULL) == 0 && strstr(text, "memory") &&
           strstr(text, "pids");
}

/* Named by the process that made it: of one that is no more it is in nobody's use. */
static void remove_stale(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        long pid = 0;
        if (sscanf(entry->d_name, PREFIX "%ld-", &pid) != 1 || pid <= 0 ||
            kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        _cleanup_free_ char *path = str_fmt("%s/%s", dir, entry->d_name);
        if (path)
            (void)rmdir(path);
    }
    if (d)
        closedir(d);
}

static void none(struct cgroup_place *p, const char *why)
{
    p->version = 0;
    snprintf(p->why, sizeof p->why, "%s", why);
}

void cgroup_place_find(const char *option, struct cgroup_place *ret)
{
    _cleanup_free_ char *mounts = NULL, *own = NULL;
    *ret = (struct cgroup_place){.left = STRV_INIT};
    pthread_mutex_init(&ret->lock, NULL);
    if (io_read_file("/proc/self/mounts", PROC_MAX, &mounts, NULL, NULL) != 0 ||
        io_read_file("/proc/self/cgroup", PROC_MAX, &own, NULL, NULL) != 0) {
        none(ret, "/proc says nothing about cgroups");
        return;
    }
    _cleanup_free_ char *v2 = place_in(mounts, own, NULL, option);
    if (v2 && access(v2, W_OK) == 0 && v2_usable(v2)) {
        ret->version = 2;
        ret->dirs[0] = TAKE_PTR(v2);
    } else {
        ret->version = 1;
        ret->dirs[0] = place_in(mounts, own, "memory", option);
        ret->dirs[1] = place_in(mounts, own, "pids", option);
        if (!ret->dirs[0] || !ret->dirs[1])
            none(ret, v2 ? "the conductor's cgroup does not hand down memory and pids: name one "
                           "that does in drivers.cgroup"
                         : "no cgroups with memory and pids here");
        else if (access(ret->dirs[0], W_OK) < 0 || access(ret->dirs[1], W_OK) < 0)
            none(ret, "the conductor may not make cgroups");
    }
    for (size_t i = 0; ret->version && i < ARRAY_LEN(ret->dirs) && ret->dirs[i]; i++)
        remove_stale(ret->dirs[i]);
}

void cgroup_place_sweep(struct cgroup_place *p)
{
    struct strv still = STRV_INIT;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->left.n; i++)
        if (rmdir(p->left.v[i]) < 0 && errno == EBUSY)
            (void)strv_add(&still, p->left.v[i]);
    strv_free(&p->left);
    p->left = still;
    pthread_mutex_unlock(&p->lock);
}

void cgroup_place_done(struct cgroup_place *p)
{
    cgroup_place_sweep(p);
    strv_free(&p->left);
    free(p->dirs[0]);
    free(p->dirs[1]);
    pthread_mutex_destroy(&p->lock);
    *p = (struct cgroup_place){0};
}

/* ---- one ---- */

static int limit(const struct cgroup *c, int version, int64_t memory_mb, int64_t tasks)
{
    char memory[32], count[32];
    snprintf(memory, sizeof memory, "%lld", (long long)(memory_mb + HEADROOM_MB) << 20);
    snprintf(count, sizeof count, "%lld", (long long)tasks);
    if (version == 1)
        return put(c->dirs[0], "memory.limit_in_bytes", memory) |
               put(c->dirs[1], "pids.max", count);
    (void)put(c->dirs[0], "memory.swap.max", "0"); /* not there without swap */
    return put(c->dirs[0], "memory.max", memory) | put(c->dirs[0], "pids.max", count);
}

int cgroup_new(struct cgroup_place *p, int64_t memory_mb, int64_t tasks, struct cgroup **ret,
               struct err *e)
{
    struct cgroup *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    pthread_mutex_init(&c->lock, NULL);
    c->place = p;
    c->users = 1;
    unsigned number = ++p->next;
    int bad = 0;
    for (size_t i = 0; !bad && i < ARRAY_LEN(p->dirs) && p->dirs[i]; i++) {
        c->dirs[i] =
            str_fmt("%s/" PREFIX "%ld-%p-%u", p->dirs[i], (long)getpid(), (void *)p, number);
        bad = !c->dirs[i] ? ENOMEM : mkdir(c->dirs[i], 0755) < 0 ? errno : 0;
    }
    if (!bad && limit(c, p->version, memory_mb, tasks) != 0)
        bad = errno ? errno : EIO;
    if (!bad) {
        *ret = c;
        return 0;
    }
    cgroup_free(&c);
    return err_errno(e, bad, "cannot make a cgroup");
}

int cgroup_join(struct cgroup *c, pid_t pid, struct err *e)
{
    char text[24];
    int bad = 0;
    snprintf(text, sizeof text, "%ld", (long)pid);
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; !c->over && !bad && i < ARRAY_LEN(c->dirs) && c->dirs[i]; i++)
        if (put(c->dirs[i], "cgroup.procs", text) < 0 && errno != ESRCH)
            bad = errno ? errno : EIO;
    pthread_mutex_unlock(&c->lock);
    return bad ? err_errno(e, bad, "cannot put a process into %s", c->dirs[0]) : 0;
}

/* How many were still there. */
static int kill_members(const char *dir)
{
    _cleanup_free_ char *path = str_fmt("%s/cgroup.procs", dir), *text = NULL;
    int n = 0;
    char *save = NULL;
    if (!path || io_read_file(path, PROC_MAX, &text, NULL, NULL) != 0)
        return 0;
    for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
        int64_t pid;
        if (!parse_i64(p, 1, INT32_MAX, &pid))
            continue;
        n++;
        (void)kill((pid_t)pid, SIGKILL);
    }
    return n;
}

void cgroup_end(struct cgroup *c)
{
    pthread_mutex_lock(&c->lock);
    c->over = true;
    pthread_mutex_unlock(&c->lock);
    /* Each round sees what the last one's victims had started; they can't start for ever, for
     * pids.max counts them. */
    for (size_t i = 0; i < ARRAY_LEN(c->dirs) && c->dirs[i]; i++)
        for (int round = 0; round < KILL_ROUNDS && put(c->dirs[i], "cgroup.kill", "1") < 0 &&
                            kill_members(c->dirs[i]) > 0;
             round++)
            continue;
}

void cgroup_share(struct cgroup *c)
{
    pthread_mutex_lock(&c->lock);
    c->users++;
    pthread_mutex_unlock(&c->lock);
}

void cgroup_free(struct cgroup **cp)
{
    struct cgroup *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    bool last = --c->users == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    pthread_mutex_lock(&c->place->lock);
    for (size_t i = 0; i < ARRAY_LEN(c->dirs); i++) {
        if (c->dirs[i] && rmdir(c->dirs[i]) < 0 && errno == EBUSY)
            (void)strv_add(&c->place->left, c->dirs[i]);
        free(c->dirs[i]);
    }
    pthread_mutex_unlock(&c->place->lock);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
