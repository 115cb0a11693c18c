/* See files.h. */
#include "lib/local/files.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int32_t mag_fail_errno(mag_error *err, int errnum, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    bool full = errnum == ENOSPC || errnum == EDQUOT;
    bool denied = errnum == EACCES || errnum == EPERM || errnum == EROFS;
    return mag_fail(err,
                    full     ? MAG_E_QUOTA
                    : denied ? MAG_E_DENIED
                             : MAG_E_UNAVAILABLE,
                    MAG_ERR_OPERATOR | MAG_ERR_RETRYABLE,
                    full     ? "DiskFull"
                    : denied ? "LocalAccess"
                             : "LocalSystem",
                    full ? "free disk space on the conductor's machine" : NULL, "%s: %s", text,
                    strerror(errnum));
}

int32_t mag_path(char *out, size_t cap, mag_error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, cap, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < cap)
        return MAG_OK;
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "PathTooLong",
                    "set a shorter state_dir for this driver", "A path is too long: %.60s...", out);
}

int32_t mag_mkdirs(const char *path, mode_t mode, mag_error *err)
{
    char part[4096];
    int32_t rc = mag_path(part, sizeof part, err, "%s", path);
    if (rc != MAG_OK)
        return rc;
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return mag_fail_errno(err, errno, "Can't make the directory %s", part);
        if (!was)
            return MAG_OK;
        *p = was;
    }
}

static int write_all(int fd, mag_bytes data)
{
    const char *p = data.data;
    uint64_t left = data.len;
    while (left) {
        ssize_t n = write(fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        left -= (uint64_t)n;
    }
    return fsync(fd);
}

static int sync_parent(const char *path)
{
    char dir[4096];
    (void)snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash)
        return 0;
    slash[slash == dir] = '\0';
    _mag_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

int32_t mag_write_file(const char *path, mag_bytes data, mode_t mode, mag_error *err)
{
    char tmp[4096];
    int32_t rc = mag_path(tmp, sizeof tmp, err, "%s.new", path);
    if (rc != MAG_OK)
        return rc;
    (void)unlink(tmp); /* of an earlier crash, maybe with another mode */
    _mag_close_ int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return mag_fail_errno(err, errno, "Can't write %s", path);
    if (write_all(fd, data) < 0 || rename(tmp, path) < 0 || sync_parent(path) < 0) {
        int saved = errno;
        (void)unlink(tmp);
        return mag_fail_errno(err, saved, "Can't write %s", path);
    }
    return MAG_OK;
}

int32_t mag_read_file(const char *path, size_t max, char **ret, mag_error *err)
{
    _mag_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return mag_fail(err, MAG_E_NOT_FOUND, 0, "NoFile", NULL, "%s does not exist", path);
    if (fd < 0)
        return mag_fail_errno(err, errno, "Can't read %s", path);
    _mag_free_ char *text = malloc(max + 1);
    if (!text)
        return mag_fail_nomem(err);
    size_t used = 0;
    for (;;) {
        ssize_t n = read(fd, text + used, max + 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mag_fail_errno(err, errno, "Can't read %s", path);
        used += (size_t)n;
        if (n == 0)
            break;
        if (used > max)
            return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "FileTooLarge", NULL,
                            "%s is larger than %zu bytes", path, max);
    }
    text[used] = '\0';
    *ret = MAG_TAKE(text);
    return MAG_OK;
}

/* Depth is bounded by what the file system allows; each level keeps one descriptor open. */
static int remove_at(int dirfd, const char *name)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    DIR *d = fdopendir(fd);
    if (!d) {
        (void)close(fd);
        return -1;
    }
    int bad = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            remove_at(fd, e->d_name) < 0)
            bad = errno;
    (void)closedir(d);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (bad)
        errno = bad;
    return -1;
}

int32_t mag_remove_tree(const char *path, mag_error *err)
{
    if (remove_at(AT_FDCWD, path) < 0)
        return mag_fail_errno(err, errno, "Can't remove %s", path);
    return MAG_OK;
}

int mag_lock_take(const char *path, bool create)
{
    _mag_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
    if (fd < 0)
        return -1;
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &l) < 0) {
        if (errno == EACCES)
            errno = EAGAIN;
        return -1;
    }
    struct stat mine, there;
    if (fstat(fd, &mine) < 0 || stat(path, &there) < 0 || mine.st_ino != there.st_ino ||
        mine.st_dev != there.st_dev) {
        errno = ESTALE;
        return -1;
    }
    int out = fd;
    fd = -1;
    return out;
}

bool mag_lock_held(const char *path)
{
    _mag_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}
