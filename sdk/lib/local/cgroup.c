/* See cgroup.h. */
#include "lib/local/cgroup.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { HIERARCHIES_MAX = 24, FULL_MAX = 1024 };

struct hierarchy {
    char at[256];
    bool v2, memory, cpuset;
};

static bool has_option(const char *options, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = options; p && *p; p += strcspn(p, ",\n")) {
        p += *p == ',';
        if (strncmp(p, name, n) == 0 && strchr(",\n", p[n]))
            return true;
    }
    return false;
}

/* Lines of mountinfo: "... mount point options - type source super-options". Only mounts of a
 * hierarchy's own root are of use. */
static size_t find_hierarchies(struct hierarchy *v)
{
    size_t n = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    while (f && n < HIERARCHIES_MAX && fgets(line, sizeof line, f)) {
        char root[256], at[256], type[64], super[512];
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*s %*s %*s %255s %255s", root, at) != 2 ||
            sscanf(dash + 3, "%63s %*s %511s", type, super) != 2 || strcmp(root, "/") != 0)
            continue;
        bool v2 = strcmp(type, "cgroup2") == 0;
        if (!v2 && strcmp(type, "cgroup") != 0)
            continue;
        struct hierarchy *h = &v[n++];
        memcpy(h->at, at, sizeof at);
        h->v2 = v2;
        h->memory = !v2 && has_option(super, "memory");
        h->cpuset = !v2 && has_option(super, "cpuset");
    }
    if (f)
        (void)fclose(f);
    return n;
}

/* <hierarchy><path>[/<file>]; what does not fit becomes "", which no call below accepts. */
static void join(char out[FULL_MAX], const char *at, const char *path, const char *file)
{
    if (snprintf(out, FULL_MAX, "%s%s%s%s", at, path, file ? "/" : "", file ? file : "") >=
        FULL_MAX)
        out[0] = '\0';
}

static int write_text(const char *path, const char *text)
{
    _mag_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static bool v2_memory(const char *at)
{
    char path[FULL_MAX];
    _mag_free_ char *text = NULL;
    join(path, at, "", "cgroup.controllers");
    return mag_read_file(path, 4096, &text, NULL) == MAG_OK && strstr(text, "memory") != NULL;
}

bool mag_cgroup_has_memory(void)
{
    struct hierarchy v[HIERARCHIES_MAX];
    size_t n = find_hierarchies(v);
    for (size_t i = 0; i < n; i++)
        if (v[i].memory || (v[i].v2 && v2_memory(v[i].at)))
            return true;
    return false;
}

/* One level: the directory `path` of the hierarchy. In v2 its parent hands the controllers down;
 * where it can't, limits by them are not there. */
static int make_level(const struct hierarchy *h, const char *path)
{
    char full[FULL_MAX], control[FULL_MAX], parent[FULL_MAX];
    join(full, h->at, path, NULL);
    if (h->v2) {
        join(parent, "", path, NULL);
        *strrchr(parent, '/') = '\0';
        join(control, h->at, parent, "cgroup.subtree_control");
        (void)write_text(control, "+memory");
        (void)write_text(control, "+pids");
    }
    return mkdir(full, 0755) < 0 && errno != EEXIST ? errno : 0;
}

/* mkdir -p below the hierarchy. A neighbour's removal of an empty parent may come in between, so
 * it is tried again. */
static int make_path(const struct hierarchy *h, const char *path)
{
    char part[FULL_MAX];
    int bad = ENOENT;
    for (int tries = 0; tries < 5 && bad == ENOENT; tries++) {
        bad = 0;
        for (const char *p = path; *p && !bad;) {
            p += 1 + strcspn(p + 1, "/");
            (void)snprintf(part, sizeof part, "%.*s", (int)(p - path), path);
            bad = make_level(h, part);
        }
    }
    errno = bad;
    return bad ? -1 : 0;
}

static int32_t set_limit(const struct hierarchy *h, const char *path, uint64_t memory_mb,
                         mag_error *err)
{
    char full[FULL_MAX], value[32];
    join(full, h->at, path, h->v2 ? "memory.max" : "memory.limit_in_bytes");
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)memory_mb << 20);
    if (write_text(full, value) < 0)
        return mag_fail_errno(err, errno, "Can't limit the node's memory (%s)", full);
    return MAG_OK;
}

int32_t mag_cgroup_enter(const char *path, uint64_t memory_mb, mag_error *err)
{
    struct hierarchy v[HIERARCHIES_MAX];
    size_t n = find_hierarchies(v);
    char leaf[FULL_MAX], full[FULL_MAX];
    bool limited = false;
    join(leaf, "", path, "daemon");
    for (size_t i = 0; i < n; i++) {
        struct hierarchy *h = &v[i];
        if (h->cpuset) /* a new cpuset is empty and takes no process; runc makes its own */
            continue;
        if (make_path(h, leaf) < 0)
            return mag_fail_errno(err, errno, "Can't make the cgroup %s%s", h->at, leaf);
        if (memory_mb && (h->memory || (h->v2 && v2_memory(h->at)))) {
            int32_t rc = set_limit(h, path, memory_mb, err);
            if (rc != MAG_OK)
                return rc;
            limited = true;
        }
        join(full, h->at, leaf, "cgroup.procs");
        if (write_text(full, "0") < 0)
            return mag_fail_errno(err, errno, "Can't enter the cgroup %s%s", h->at, leaf);
    }
    if (memory_mb && !limited)
        return mag_fail(err, MAG_E_UNSUPPORTED, MAG_ERR_OPERATOR, "NoMemoryController",
                        "enable the memory cgroup controller, or leave the label away",
                        "This machine can't limit a node's memory");
    return MAG_OK;
}

/* A new cpuset is empty; what its parent has is copied down, level by level. */
static int fill_cpuset(const struct hierarchy *h, const char *path)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    char part[FULL_MAX], parent[FULL_MAX], from[FULL_MAX], to[FULL_MAX];
    for (const char *p = path; *p;) {
        (void)snprintf(parent, sizeof parent, "%.*s", (int)(p - path), path);
        p += 1 + strcspn(p + 1, "/");
        (void)snprintf(part, sizeof part, "%.*s", (int)(p - path), path);
        for (size_t i = 0; i < MAG_LEN(files); i++) {
            _mag_free_ char *text = NULL, *own = NULL;
            join(to, h->at, part, files[i]);
            join(from, h->at, parent, files[i]);
            if (mag_read_file(to, 4096, &own, NULL) == MAG_OK && own[0] && own[0] != '\n')
                continue;
            if (mag_read_file(from, 4096, &text, NULL) != MAG_OK || write_text(to, text) < 0)
                return -1;
        }
    }
    return 0;
}

int32_t mag_cgroup_prepare(const char *path, mag_error *err)
{
    struct hierarchy v[HIERARCHIES_MAX];
    size_t n = find_hierarchies(v);
    for (size_t i = 0; i < n; i++)
        if (make_path(&v[i], path) < 0 || (v[i].cpuset && fill_cpuset(&v[i], path) < 0))
            return mag_fail_errno(err, errno, "Can't make the cgroup %s%s", v[i].at, path);
    return MAG_OK;
}

static int remove_below(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? 0 : -1;
    char child[FULL_MAX];
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        join(child, path, "", e->d_name);
        (void)remove_below(child); /* a child that stays makes the rmdir below fail */
    }
    (void)closedir(d);
    return rmdir(path) == 0 || errno == ENOENT ? 0 : -1;
}

int32_t mag_cgroup_remove(const char *path, mag_error *err)
{
    struct hierarchy v[HIERARCHIES_MAX];
    size_t n = find_hierarchies(v);
    char full[FULL_MAX];
    bool busy = false;
    for (size_t i = 0; i < n; i++) {
        join(full, v[i].at, path, NULL);
        if (remove_below(full) < 0) {
            if (errno != EBUSY && errno != ENOTEMPTY)
                return mag_fail_errno(err, errno, "Can't remove the cgroup %s", full);
            busy = true;
        }
        join(full, v[i].at, "/magnum", NULL);
        (void)rmdir(full); /* others may still be in it */
    }
    return busy ? MAG_AGAIN : MAG_OK;
}

bool mag_cgroup_memory_used(const char *path, uint64_t *ret)
{
    struct hierarchy v[HIERARCHIES_MAX];
    size_t n = find_hierarchies(v);
    char full[FULL_MAX];
    for (size_t i = 0; i < n; i++) {
        _mag_free_ char *text = NULL;
        join(full, v[i].at, path, v[i].v2 ? "memory.current" : "memory.usage_in_bytes");
        if (mag_read_file(full, 64, &text, NULL) != MAG_OK)
            continue;
        *ret = strtoull(text, NULL, 10);
        return true;
    }
    return false;
}
