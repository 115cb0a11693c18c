/* See db_manage_archive.h. */
#include "cmd/db_manage_archive.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/jsonx.h"
#include "base/uuid.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "{\"magnum-archive\":1,\"id\":\"%s\"}\n"
enum { HEAD_LEN = sizeof HEAD - 3 + UUID_TEXT - 1 };

struct archive_file {
    int fd;
    const char *path; /* borrowed */
    char id[UUID_TEXT];
    int64_t bytes;   /* on disk */
    struct str text; /* behind them, not written yet */
};

static int failed(const struct archive_file *f, const char *what, struct err *e)
{
    return err_errno(e, errno, "cannot %s %s", what, f->path);
}

/* One process at a time, and the file that has this name now. */
static int open_locked(struct archive_file *f, struct err *e)
{
    struct stat here, named;
    f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->fd < 0)
        return failed(f, "open", e);
    if (flock(f->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? err_set(e, ERR_BUSY, "another process archives into %s", f->path)
                   : failed(f, "lock", e);
    if (fstat(f->fd, &here) < 0 || stat(f->path, &named) < 0)
        return failed(f, "look at", e);
    if (here.st_ino != named.st_ino || here.st_dev != named.st_dev)
        return err_set(e, ERR_BUSY, "%s was replaced meanwhile", f->path);
    if (!S_ISREG(here.st_mode))
        return err_set(e, ERR_INVALID, "%s is no ordinary file", f->path);
    f->bytes = here.st_size;
    return 0;
}

/* The name of a new file is on disk as well as its content. */
static int sync_directory(const struct archive_file *f, struct err *e)
{
    _cleanup_free_ char *real = realpath(f->path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;
    if (!slash)
        return failed(f, "look at", e);
    slash[1] = '\0';
    _cleanup_close_ int fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? failed(f, "sync the directory of", e) : 0;
}

static int cut(struct archive_file *f, int64_t bytes, struct err *e)
{
    if (ftruncate(f->fd, bytes) < 0 || lseek(f->fd, bytes, SEEK_SET) < 0)
        return failed(f, "cut", e);
    f->bytes = bytes;
    return 0;
}

static int sync_rows(void *ctx, int64_t *ret_bytes, struct err *e)
{
    struct archive_file *f = ctx;
    if (f->text.oom)
        return err_nomem(e);
    int rc = io_write_all(f->fd, str_text(&f->text), f->text.len, e);
    if (!rc && fsync(f->fd) < 0)
        rc = failed(f, "write", e);
    if (rc)
        return rc;
    f->bytes += (int64_t)f->text.len;
    str_free(&f->text);
    *ret_bytes = f->bytes;
    return 0;
}

static int put_row(void *ctx, const char *table, const char *row, struct err *e)
{
    struct archive_file *f = ctx;
    str_append(&f->text, "{\"table\":\"");
    str_append(&f->text, table);
    str_append(&f->text, "\",\"row\":");
    str_append(&f->text, row);
    str_append(&f->text, "}\n");
    return f->text.oom ? err_nomem(e) : 0;
}

/* The first line: whole, or the beginning of one that a crash cut off; anything else belongs to
 * somebody else. */
static int read_head(struct archive_file *f, bool *ret_whole, struct err *e)
{
    const size_t before_id = (size_t)(strstr(HEAD, "%s") - HEAD);
    char text[HEAD_LEN + 1] = "", want[HEAD_LEN + 1], same[UUID_TEXT];
    ssize_t n = pread(f->fd, text, HEAD_LEN, 0);
    if (n < 0)
        return failed(f, "read", e);
    memcpy(f->id, text + before_id, UUID_TEXT - 1);
    f->id[UUID_TEXT - 1] = '\0';
    snprintf(want, sizeof want, HEAD, f->id);
    *ret_whole = n == HEAD_LEN && strcmp(text, want) == 0 && uuid_like(f->id, same);
    size_t known = (size_t)n < before_id ? (size_t)n : before_id;
    if (*ret_whole || (n < HEAD_LEN && memcmp(text, HEAD, known) == 0))
        return 0;
    return err_set(e, ERR_INVALID, "%s is there and is no archive", f->path);
}

static int write_head(struct archive_file *f, struct err *e)
{
    int64_t bytes;
    uuid_make(f->id);
    int rc = cut(f, 0, e);
    str_printf(&f->text, HEAD, f->id);
    if (!rc)
        rc = sync_rows(f, &bytes, e);
    return rc ? rc : sync_directory(f, e);
}

/* As far as the database says it is valid. */
static int resume(struct archive_file *f, struct db *db, struct err *e)
{
    int64_t valid = 0;
    bool whole = false;
    int rc = read_head(f, &whole, e);
    if (!rc && !whole)
        rc = write_head(f, e);
    if (!rc)
        rc = db_archive_size(db, f->id, &valid, e);
    if (!rc && valid < 0 && f->bytes == HEAD_LEN) {
        valid = f->bytes;
        rc = db_archive_begin(db, f->id, f->path, valid, e);
    }
    if (rc)
        return rc;
    if (valid < 0)
        return err_set(e, ERR_INVALID, "%s is an archive of another database", f->path);
    if (f->bytes < valid)
        return err_set(e, ERR_INVALID, "%s lacks %lld bytes of what was archived; use a new file",
                       f->path, (long long)(valid - f->bytes));
    return cut(f, valid, e);
}

void archive_close(struct archive_file **fp)
{
    struct archive_file *f = *fp;
    *fp = NULL;
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    str_free(&f->text);
    free(f);
}

int archive_open(const char *path, struct db *db, struct archive_file **ret, struct err *e)
{
    _cleanup_(archive_close) struct archive_file *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(e);
    *f = (struct archive_file){.fd = -1, .path = path, .text = STR_INIT};
    int rc = open_locked(f, e);
    if (!rc)
        rc = resume(f, db, e);
    if (!rc)
        *ret = TAKE_PTR(f);
    return rc;
}

struct db_archive archive_sink(struct archive_file *f)
{
    return (struct db_archive){.id = f->id, .ctx = f, .put = put_row, .sync = sync_rows};
}
