/* Files and locks of local nodes: directories, atomic replacement, bounded reading, removal of a
 * whole tree, and open-file-description locks, which say "someone lives here" without a pid.
 * Neighbours: the rest of sdk/lib/local, plugins/swarm. */
#ifndef MAGNUM_SDK_LIB_LOCAL_FILES_H
#define MAGNUM_SDK_LIB_LOCAL_FILES_H

#include <magnum/host.h>

#include <stdbool.h>
#include <sys/types.h>

/* errno as a mag_error: no space is QUOTA, no right is DENIED, else UNAVAILABLE; all of them the
 * operator's and retryable. */
int32_t mag_fail_errno(mag_error *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Like snprintf, but a text that does not fit is an error. */
int32_t mag_path(char *out, size_t cap, mag_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* mkdir -p; existing directories are fine. */
int32_t mag_mkdirs(const char *path, mode_t mode, mag_error *err);
/* Old or new content, never half of it, also after a power failure. */
int32_t mag_write_file(const char *path, mag_bytes data, mode_t mode, mag_error *err);
/* At most `max` bytes, zero-terminated; MAG_E_NOT_FOUND when absent. The caller frees. */
int32_t mag_read_file(const char *path, size_t max, char **ret, mag_error *err);
/* rm -rf that follows no symbolic link; absent is fine. */
int32_t mag_remove_tree(const char *path, mag_error *err);

/* Opens (makes) the lock file and takes its lock: the descriptor, or -1 with errno: EAGAIN when
 * another description holds it, ESTALE when the file was removed meanwhile. The lock is held until
 * the last copy of the descriptor (fork, spawn) is closed. */
int mag_lock_take(const char *path, bool create);
/* Does any process hold it? Never takes it, so that two lookers don't fool each other. */
bool mag_lock_held(const char *path);

#endif
