/* See io.h. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int io_read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct err *e)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "cannot open %s", path);
    _cleanup_str_ struct str t = STR_INIT;
    char buf[16384];
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "cannot read %s", path);
        if (n == 0)
            break;
        if (t.len + (size_t)n > max)
            return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
        str_append_n(&t, buf, (size_t)n);
    }
    size_t len = t.len;
    char *s = str_take(&t);
    if (!s)
        return err_nomem(e);
    *ret = s;
    if (ret_len)
        *ret_len = len;
    return 0;
}

int io_write_all(int fd, const void *data, size_t len, struct err *e)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "write failed");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int sync_dir_of(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *dir = slash == path ? strdup("/")
                               : slash       ? strndup(path, (size_t)(slash - path))
                                             : strdup(".");
    if (!dir)
        return err_nomem(e);
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_errno(e, errno, "cannot sync directory %s", dir);
    return 0;
}

int io_write_file(const char *path, const void *data, size_t len, mode_t mode, struct err *e)
{
    _cleanup_free_ char *tmp = str_fmt("%s.XXXXXX", path);
    if (!tmp)
        return err_nomem(e);
    _cleanup_close_ int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "cannot create a file beside %s", path);
    int rc = io_write_all(fd, data, len, e);
    if (rc == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        rc = err_errno(e, errno, "cannot write %s", path);
    if (rc == 0 && rename(tmp, path) < 0)
        rc = err_errno(e, errno, "cannot replace %s", path);
    if (rc != 0) {
        (void)unlink(tmp);
        return rc;
    }
    return sync_dir_of(path, e);
}

int io_mkdirs(const char *path, mode_t mode, struct err *e)
{
    _cleanup_free_ char *p = strdup(path);
    if (!p)
        return err_nomem(e);
    for (char *s = p + 1;; s++) {
        if (*s && *s != '/')
            continue;
        char keep = *s;
        *s = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return err_errno(e, errno, "cannot create directory %s", p);
        *s = keep;
        if (!keep)
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(e, ERR_IO, "%s is not a directory", path);
    return 0;
}
