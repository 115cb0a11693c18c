/* See files.h. */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

enum { STALE_S = 3600, POLL_MS = 10 };
#define LOCK_NAME ".lock"

void wipe_free(char **text, size_t len)
{
    if (*text)
        explicit_bzero(*text, len);
    free(*text);
    *text = NULL;
}

/* Full or broken disks are the operator's; the host tries again. */
static int32_t io_fail(mag_error *err, const char *what, const char *name)
{
    int saved = errno;
    if (saved == ENOENT)
        return mag_fail(err, MAG_E_NOT_FOUND, 0, "NotFound", NULL, "%s is not there", name);
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "Storage",
                    "check the disk and the rights of certs-local's storage_path", "%s %s: %s",
                    what, name, strerror(saved));
}

static int32_t check_rights(int fd, const char *path, mag_error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return io_fail(err, "cannot look at", path);
    if (st.st_uid != geteuid())
        return mag_fail(err, MAG_E_DENIED, MAG_ERR_OPERATOR, "WrongOwner",
                        "give it to the user that runs magnum-conductor",
                        "%s belongs to another user", path);
    if (st.st_mode & 077)
        return mag_fail(err, MAG_E_DENIED, MAG_ERR_OPERATOR, "OpenToOthers",
                        "take the rights of group and others away: chmod go-rwx",
                        "%s can be read by others", path);
    return MAG_OK;
}

int32_t dir_open(const char *path, bool make, int *ret_fd, mag_error *err)
{
    if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
        return io_fail(err, "cannot make", path);
    _mag_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_fail(err, "cannot open", path);
    int32_t rc = check_rights(fd, path, err);
    if (rc == MAG_OK) {
        *ret_fd = fd;
        fd = -1;
    }
    return rc;
}

int32_t dir_lock(int dir, bool exclusive, int wait_ms, int *ret_fd, mag_error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    _mag_close_ int fd = openat(dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return io_fail(err, "cannot open", LOCK_NAME);
    while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return io_fail(err, "cannot lock", LOCK_NAME);
        if (wait_ms <= 0)
            return mag_fail(err, MAG_E_BUSY, MAG_ERR_RETRYABLE, "Busy", NULL,
                            "the sealing keys are being changed");
        nanosleep(&pause, NULL); /* flock has no deadline of its own */
        wait_ms -= POLL_MS;
    }
    *ret_fd = fd;
    fd = -1;
    return MAG_OK;
}

static int32_t read_all(int fd, const char *name, char **ret, size_t *len, mag_error *err)
{
    char *text = malloc(FILE_MAX + 1);
    size_t used = 0;
    ssize_t n = 1;
    if (!text)
        return mag_fail_nomem(err);
    while (used < FILE_MAX && n > 0) {
        n = read(fd, text + used, FILE_MAX - used);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            used += (size_t)n;
    }
    int32_t rc = n < 0 ? io_fail(err, "cannot read", name) : MAG_OK;
    if (rc == MAG_OK && used == FILE_MAX)
        rc = mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "TooLarge", NULL, "%s is too large",
                      name);
    if (rc != MAG_OK) {
        wipe_free(&text, used);
        return rc;
    }
    text[used] = '\0';
    *ret = text;
    *len = used;
    return MAG_OK;
}

int32_t file_read(int dir, const char *name, char **ret, size_t *len, mag_error *err)
{
    _mag_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? io_fail(err, "cannot open", name) : read_all(fd, name, ret, len, err);
}

int32_t secret_read(const char *path, char **ret, size_t *len, mag_error *err)
{
    _mag_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) /* not NOT_FOUND: the bundles are there, and the operator can help */
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "NoKeyFile",
                        "put the file back, or make a first one: magnum-keygen --seal-key FILE",
                        "cannot open %s: %s", path, strerror(errno));
    int32_t rc = check_rights(fd, path, err);
    return rc == MAG_OK ? read_all(fd, path, ret, len, err) : rc;
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0;
}

/* A file system that has no RENAME_NOREPLACE has hard links. */
static bool publish(int dir, const char *tmp, const char *name, bool replace)
{
    if (replace)
        return renameat(dir, tmp, dir, name) == 0;
    if (renameat2(dir, tmp, dir, name, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL || linkat(dir, tmp, dir, name, 0) < 0)
        return false;
    return unlinkat(dir, tmp, 0) == 0;
}

/* Of this writer alone. Its process id would not do: each driver's process is the first one of its
 * own namespace, and other machines may share the directory. */
static int open_temporary(int dir, const char *name, char *ret, size_t cap)
{
    uint64_t n;
    if (getrandom(&n, sizeof n, 0) != (ssize_t)sizeof n)
        return -1;
    (void)snprintf(ret, cap, ".%s.%016" PRIx64 ".tmp", name, n);
    return openat(dir, ret, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

int32_t file_write(int dir, const char *name, const char *text, size_t len, bool replace,
                   mag_error *err)
{
    char tmp[320] = "";
    _mag_close_ int fd = open_temporary(dir, name, tmp, sizeof tmp);
    if (fd < 0)
        return io_fail(err, "cannot make", tmp);
    bool ok = write_all(fd, text, len) && publish(dir, tmp, name, replace);
    int saved = errno;
    if (!ok)
        (void)unlinkat(dir, tmp, 0);
    errno = saved;
    if (!ok && saved == EEXIST)
        return mag_fail(err, MAG_E_EXISTS, 0, "Exists", NULL, "%s is there already", name);
    if (!ok || fsync(dir) < 0)
        return io_fail(err, "cannot write", name);
    return MAG_OK;
}

int32_t file_remove(int dir, const char *name, mag_error *err)
{
    if (unlinkat(dir, name, 0) < 0)
        return errno == ENOENT ? MAG_OK : io_fail(err, "cannot remove", name);
    return fsync(dir) < 0 ? io_fail(err, "cannot remove", name) : MAG_OK;
}

void dir_tidy(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;
    time_t now = time(NULL);
    while (d && (entry = readdir(d))) {
        size_t n = strlen(entry->d_name);
        struct stat st;
        if (entry->d_name[0] == '.' && n > 4 && strcmp(entry->d_name + n - 4, ".tmp") == 0 &&
            fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            now - st.st_mtime > STALE_S)
            (void)unlinkat(dir, entry->d_name, 0);
    }
    if (d)
        closedir(d);
    else if (copy >= 0)
        close(copy);
}
