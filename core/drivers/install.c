/* See install.h. The order of writes: files, their directories, then the rename, then the directory
 * it went into. */
#include "drivers/install.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "base/uuid.h"
#include "config/config.h"
#include "host/elf_exports.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { OPEN_DIRS = 16, SCHEMA_DEPTH = 32 };
static const char waiting_prefix[] = ".incoming-", leaving_prefix[] = ".leaving-";

/* ---- directories ---- */
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st;
    (void)kind;
    (void)f;
    return remove(path);
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int sync_dir(const char *path, struct err *e)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? err_errno(e, errno, "cannot sync %s", path) : 0;
}

static int sync_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    struct err e = ERR_INIT;
    (void)st;
    (void)f;
    return kind == FTW_D || kind == FTW_DP ? sync_dir(path, &e) : 0;
}

/* What a process that died left behind; under the lock nobody else is at it. */
static void sweep(const char *dir)
{
    DIR *d = opendir(dir);
    for (const struct dirent *x; d && (x = readdir(d));) {
        _cleanup_free_ char *path = str_fmt("%s/%s", dir, x->d_name);
        if (path &&
            (str_starts(x->d_name, waiting_prefix) || str_starts(x->d_name, leaving_prefix)))
            remove_tree(path);
    }
    if (d)
        (void)closedir(d);
}

static int take_lock(const struct config *cfg, int *ret, struct err *e)
{
    const char *dir = cfg->drivers_install_dir;
    _cleanup_free_ char *path = str_fmt("%s/.lock", dir);
    if (str_blank(dir))
        return err_set(e, ERR_CONFIG, "drivers.install_dir is not set");
    int rc = path ? io_mkdirs(dir, 0755, e) : err_nomem(e);
    if (rc != 0)
        return rc;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return err_errno(e, errno, "cannot lock %s", path);
    sweep(dir);
    *ret = fd;
    fd = -1;
    return 0;
}

/* ---- checking ---- */
static int count_entry(void *ctx, const char *name)
{
    *(bool *)ctx = strcmp(name, "mag_plugin_entry") == 0;
    return 0;
}

static int check_schema(const struct bundle *b, const struct plugin *p, const char *key,
                        struct err *e)
{
    const char *name = jsonx_str(p->manifest, key);
    if (str_blank(name))
        return 0;
    const struct bundle_file *f = bundle_find(b, name);
    _cleanup_json_ json_t *doc = NULL;
    if (!f)
        return err_set(e, ERR_INVALID, "the manifest names %s, which is missing", name);
    int rc = jsonx_parse(f->data, f->size, SCHEMA_DEPTH, &doc, e);
    return rc ? err_wrap(e, "%s", name) : 0;
}

int install_check(const struct bundle *b, struct err *e)
{
    const struct bundle_file *m = bundle_find(b, b->manifest);
    struct plugin p = {0};
    char why[ELF_WHY] = "";
    bool entry = false;
    int rc = manifest_parse(m->data, m->size, &p, e);
    if (rc != 0)
        return err_wrap(e, "%s", b->manifest);
    const struct bundle_file *lib = bundle_find(b, p.library_path);
    if (!lib)
        rc = err_set(e, ERR_INVALID, "the manifest names %s, which is missing", p.library_path);
    else if (elf_exports(lib->data, lib->size, count_entry, &entry, why) != 1 || !entry)
        rc = err_set(e, ERR_INVALID, "%s must export mag_plugin_entry and nothing else%s%s",
                     lib->name, *why ? ": " : "", why);
    if (rc == 0)
        rc = check_schema(b, &p, "labels", e);
    if (rc == 0)
        rc = check_schema(b, &p, "config", e);
    plugin_done(&p);
    return rc;
}

/* ---- writing ---- */
static int write_file(const char *dir, const struct bundle_file *f, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, f->name);
    if (!path)
        return err_nomem(e);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int rc = io_mkdirs(path, 0755, e);
    *slash = '/';
    if (rc != 0)
        return rc;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_errno(e, errno, "cannot make %s", path);
    rc = io_write_all(fd, f->data, f->size, e);
    if (rc == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
        rc = err_errno(e, errno, "cannot write %s", path);
    return rc;
}

static int read_back(const struct config *cfg, const struct bundle *b, struct install *i,
                     struct err *e)
{
    _cleanup_free_ char *manifest = str_fmt("%s/%s", i->waiting, b->manifest);
    if (!manifest)
        return err_nomem(e);
    int rc = plugin_read(cfg, i->waiting, manifest, &i->plugin, e);
    if (rc != 0)
        return rc;
    i->plugin.manifest_path = TAKE_PTR(manifest);
    i->plugin.ref = str_fmt("%s@%s", i->plugin.id, i->plugin.version);
    i->target = str_fmt("%s/%s/%s", cfg->drivers_install_dir, i->plugin.id, i->plugin.version);
    return i->plugin.ref && i->target ? 0 : err_nomem(e);
}

/* Is what is installed under this version the same, file by file? */
static bool same_files(const char *dir, const struct bundle *b)
{
    for (size_t i = 0; i < b->n; i++) {
        _cleanup_free_ char *path = str_fmt("%s/%s", dir, b->v[i].name), *data = NULL;
        size_t len = 0;
        struct err unread = ERR_INIT;
        if (!path || io_read_file(path, b->v[i].size + 1, &data, &len, &unread) != 0 ||
            len != b->v[i].size || memcmp(data, b->v[i].data, len) != 0)
            return false;
    }
    return true;
}

int install_stage(const struct config *cfg, const struct bundle *b, struct install *ret, bool *same,
                  struct err *e)
{
    struct install i = {.lock = -1};
    char id[UUID_TEXT];
    uuid_make(id);
    *same = false;
    int rc = take_lock(cfg, &i.lock, e);
    if (rc == 0 && !(i.waiting = str_fmt("%s/%s%s", cfg->drivers_install_dir, waiting_prefix, id)))
        rc = err_nomem(e);
    if (rc == 0)
        rc = io_mkdirs(i.waiting, 0755, e);
    for (size_t k = 0; rc == 0 && k < b->n; k++)
        rc = write_file(i.waiting, &b->v[k], e);
    if (rc == 0)
        rc = read_back(cfg, b, &i, e);
    if (rc == 0 && access(i.target, F_OK) == 0) {
        *same = same_files(i.target, b);
        rc = *same
                 ? 0
                 : err_set(e, ERR_EXISTS,
                           "version %s of %s is installed already, with other files: give the new "
                           "ones a new version",
                           i.plugin.version, i.plugin.id);
    }
    if (rc != 0)
        install_done(&i);
    else
        *ret = i;
    return rc;
}

int install_commit(const struct config *cfg, struct install *i, struct err *e)
{
    _cleanup_free_ char *parent = str_fmt("%s/%s", cfg->drivers_install_dir, i->plugin.id);
    int rc = parent ? io_mkdirs(parent, 0755, e) : err_nomem(e);
    if (rc == 0 && nftw(i->waiting, sync_one, OPEN_DIRS, FTW_PHYS) != 0)
        rc = err_set(e, ERR_IO, "cannot sync %s", i->waiting);
    if (rc == 0)
        rc = sync_dir(cfg->drivers_install_dir, e);
    if (rc == 0 && rename(i->waiting, i->target) < 0)
        rc = err_errno(e, errno, "cannot move %s to %s", i->waiting, i->target);
    if (rc != 0)
        return rc;
    free(TAKE_PTR(i->waiting));
    return sync_dir(parent, e);
}

void install_done(struct install *i)
{
    if (i->waiting)
        remove_tree(i->waiting);
    free(i->waiting);
    free(i->target);
    plugin_done(&i->plugin);
    cleanup_closep(&i->lock);
    *i = (struct install){.lock = -1};
}

int install_remove(const struct config *cfg, const char *id, const char *version, struct err *e)
{
    const char *dir = cfg->drivers_install_dir;
    char unique[UUID_TEXT];
    uuid_make(unique);
    _cleanup_free_ char *parent = str_fmt("%s/%s", dir, id);
    _cleanup_free_ char *from = str_fmt("%s/%s/%s", dir, id, version);
    _cleanup_free_ char *to = str_fmt("%s/%s%s", dir, leaving_prefix, unique);
    _cleanup_close_ int lock = -1;
    int rc = parent && from && to ? take_lock(cfg, &lock, e) : err_nomem(e);
    if (rc != 0)
        return rc;
    if (rename(from, to) < 0)
        return errno == ENOENT
                   ? err_set(e, ERR_NOT_FOUND, "version %s of %s was not installed in %s", version,
                             id, dir)
                   : err_errno(e, errno, "cannot move %s", from);
    rc = sync_dir(parent, e);
    remove_tree(to);
    (void)rmdir(parent); /* stays while it holds other versions */
    return rc;
}
