/* What a driver sees of the file system: a copy of the conductor's mounts that nobody can write to,
 * without the places where secrets, sockets and other drivers' files are, with a /tmp of its own
 * and with the paths that operators gave it. Files of those keep their owner on disk: their mounts
 * show them as the driver's (idmapped mounts). See host_confine.h. */
#include "cmd/host_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OWN_MAX = 32, MODE_SEEN = 0755 };

struct own { /* a path of the driver's */
    const char *path;
    int tree; /* a copy of its mount, not placed yet */
    bool dir;
};

/* Every directory above `path` that is missing; with last: path itself too. Through those above
 * anybody may pass: others have theirs there, like the database of magnum-allinone. */
static int make_dirs(const char *path, mode_t mode, bool last)
{
    char at[PATH_MAX];
    snprintf(at, sizeof at, "%s", path);
    for (char *p = at + 1;; p++) {
        if (*p && *p != '/')
            continue;
        bool end = *p == '\0';
        *p = '\0';
        mode_t its = end ? mode : mode | S_IXGRP | S_IXOTH;
        if ((!end || last) && mkdir(at, its) < 0 && errno != EEXIST && errno != EROFS)
            return -1;
        if (end)
            return 0;
        *p = '/';
    }
}

/* Takes hold of each before anything is hidden. Those that are not there are left out. */
static size_t take_own(const json_t *list, struct own v[OWN_MAX])
{
    size_t n = 0, i;
    json_t *o;
    json_array_foreach(list, i, o)
    {
        const char *path = json_string_value(json_object_get(o, "path"));
        struct stat st;
        if (!path || n == OWN_MAX)
            continue;
        if (json_is_true(json_object_get(o, "create")))
            (void)make_dirs(path, S_IRWXU, true);
        int tree =
            stat(path, &st) < 0 || !(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
                ? -1
                : open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (tree >= 0)
            v[n++] = (struct own){.path = path, .tree = tree, .dir = S_ISDIR(st.st_mode)};
    }
    return n;
}

/* Files are to be read only. Where the file system can't be mapped the driver keeps our user: it
 * could not use its files otherwise. */
static void adapt_own(struct shut_in *s, struct own *v, size_t n)
{
    for (size_t i = 0; i < n && s->uid; i++) {
        struct mount_attr map = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)s->map_fd};
        if (mount_setattr(v[i].tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &map, sizeof map) == 0)
            continue;
        shut_note(s, "user", false, "%s can't be shown as another user's: %s", v[i].path,
                  strerror(errno));
        s->uid = 0;
    }
    for (size_t i = 0; i < n; i++) {
        struct mount_attr a = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
        if (!v[i].dir)
            a.attr_set |= MOUNT_ATTR_RDONLY;
        (void)mount_setattr(v[i].tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof a);
    }
}

static int cover(const char *path, const char *options)
{
    return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options);
}

static int hide(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return 0;
    if (S_ISDIR(st.st_mode))
        return cover(path, "size=256k,mode=0755");
    return mount("/dev/null", path, NULL, MS_BIND, NULL);
}

static int hide_all(const json_t *list, const char **failed)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        *failed = json_string_value(v);
        if (*failed && hide(*failed) < 0)
            return -1;
    }
    return 0;
}

/* A directory above it that the driver's user may not pass is covered by an empty one. */
static int open_way(const struct shut_in *s, const char *path)
{
    char at[PATH_MAX];
    struct stat st;
    snprintf(at, sizeof at, "%s", path);
    for (char *p = strchr(at + 1, '/'); s->uid && p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (stat(at, &st) == 0 && !(st.st_mode & S_IXOTH) && st.st_uid != s->uid)
            return cover(at, "size=256k,mode=0755");
        *p = '/';
    }
    return 0;
}

static int place_own(const struct shut_in *s, struct own *o)
{
    if (open_way(s, o->path) < 0 || make_dirs(o->path, MODE_SEEN, o->dir) < 0)
        return -1;
    int fd = o->dir ? -1 : open(o->path, O_CREAT | O_RDONLY | O_CLOEXEC, 0644);
    if (fd >= 0)
        (void)close(fd);
    return move_mount(o->tree, "", AT_FDCWD, o->path, MOVE_MOUNT_F_EMPTY_PATH);
}

static int own_tmp(const json_t *c)
{
    char options[64];
    snprintf(options, sizeof options, "size=%lldm,mode=1777",
             (long long)json_integer_value(json_object_get(c, "tmp_mb")));
    if (cover("/tmp", options) < 0)
        return -1;
    if (access("/dev/shm", F_OK) == 0 && cover("/dev/shm", options) < 0)
        return -1;
    if (mkdir("/var/tmp", 01777) < 0 && errno != EEXIST)
        return 0; /* no place for it: nothing is hidden there */
    return mount("/tmp", "/var/tmp", NULL, MS_BIND, NULL);
}

static int own_proc(void)
{
    if (getpid() != 1)
        return 0;
    return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static int build(struct shut_in *s, const json_t *c, struct own *own, size_t n, const char **step)
{
    struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    *step = "read-only";
    if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &ro, sizeof ro) < 0)
        return -1;
    if (hide_all(json_object_get(c, "hide"), step) < 0)
        return -1;
    *step = "/tmp";
    if (own_tmp(c) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        *step = own[i].path;
        if (place_own(s, &own[i]) < 0)
            return -1;
    }
    *step = "/proc";
    return own_proc();
}

void host_view(struct shut_in *s, const json_t *c)
{
    struct own own[OWN_MAX];
    const char *step = "namespace";
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        shut_note(s, "file system", false, "no mounts of its own here: %s", strerror(errno));
        if (s->uid && json_array_size(json_object_get(c, "own"))) {
            shut_note(s, "user", false, "it could not use its own files");
            s->uid = 0;
        }
        return;
    }
    size_t n = take_own(json_object_get(c, "own"), own);
    adapt_own(s, own, n);
    int rc = build(s, c, own, n, &step);
    int why = errno;
    for (size_t i = 0; i < n; i++)
        (void)close(own[i].tree);
    s->own_view = rc == 0;
    if (rc == 0)
        shut_note(s, "file system", true, "read-only, private /tmp, %zu paths of its own", n);
    else
        shut_note(s, "file system", false, "%s: %s", step, strerror(why));
    if (chdir("/") < 0)
        shut_note(s, "file system", false, "cannot go to /: %s", strerror(errno));
}
