/* Whole-buffer reads and writes, bounded file reading, atomic file replacement.
 * Neighbours: config, certs, drivers, cmd. All descriptors are O_CLOEXEC. */
#ifndef MAGNUM_BASE_IO_H
#define MAGNUM_BASE_IO_H

#include "base/err.h"
#include "base/str.h"

#include <sys/types.h>

/* The file's content, at most `max` bytes (more: ERR_TOO_LARGE). Caller frees *ret. */
int io_read_file(const char *path, size_t max, char **ret, size_t *ret_len,
                 struct err *e) MUST_CHECK;
/* Writes a temporary neighbour, fsync, rename, fsync of the directory: the file is old or new,
 * never half. `mode` as for open. */
int io_write_file(const char *path, const void *data, size_t len, mode_t mode,
                  struct err *e) MUST_CHECK;
/* All `len` bytes or an error; retries EINTR and short counts. */
int io_write_all(int fd, const void *data, size_t len, struct err *e) MUST_CHECK;
/* mkdir -p; existing directories are fine. */
int io_mkdirs(const char *path, mode_t mode, struct err *e) MUST_CHECK;

#endif
