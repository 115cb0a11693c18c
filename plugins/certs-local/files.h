/* The directory of the local certificate manager: 0700, files 0600, each written whole or not at
 * all. Neighbours: keyring.c, store.c. */
#ifndef CERTS_LOCAL_FILES_H
#define CERTS_LOCAL_FILES_H

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdbool.h>
#include <stddef.h>

enum { FILE_MAX = 262144 };

/* Opens it. Refuses what group or others may enter, and what belongs to somebody else. make: makes
 * it when it is missing (not its parents). */
int32_t dir_open(const char *path, bool make, int *ret_fd, mag_error *err);
/* Shared: many may read and add; exclusive: the keys are being changed. Waits at most wait_ms:
 * MAG_E_BUSY. Given back when *ret_fd is closed. */
int32_t dir_lock(int dir, bool exclusive, int wait_ms, int *ret_fd, mag_error *err);
/* The whole file with a NUL behind it. MAG_E_NOT_FOUND; caller wipes and frees. */
int32_t file_read(int dir, const char *name, char **ret, size_t *len, mag_error *err);
/* Durable under its name before it returns. replace: whatever was there; else MAG_E_EXISTS. */
int32_t file_write(int dir, const char *name, const char *text, size_t len, bool replace,
                   mag_error *err);
/* Absent is fine. Durable. */
int32_t file_remove(int dir, const char *name, mag_error *err);
/* Temporary files of writers that died. */
void dir_tidy(int dir);
/* A secret file anywhere: must not be readable by others. */
int32_t secret_read(const char *path, char **ret, size_t *len, mag_error *err);
void wipe_free(char **text, size_t len);

#endif
