/* Filling a mag_error in one line, with the limits of its fields kept: one line of valid UTF-8 in
 * each text, never cut inside a character. Neighbours: everything in plugins. */
#ifndef MAGNUM_SDK_LIB_FAIL_H
#define MAGNUM_SDK_LIB_FAIL_H

#include <magnum/error.h>

#include <stddef.h>

/* Fills *err and returns `code`. flags: MAG_ERR_*; reason: a stable token; remedy: what to do next
 * and who, or NULL. err may be NULL. */
int32_t mag_fail(mag_error *err, int32_t code, uint32_t flags, const char *reason,
                 const char *remedy, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* Out of memory, said the same way everywhere: INTERNAL and retryable. */
int32_t mag_fail_nomem(mag_error *err);
/* Puts "text: " before a message that is there already; returns `code`. */
int32_t mag_fail_wrap(mag_error *err, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Copies `text` into cap bytes: control characters become spaces, invalid UTF-8 '?', a cut falls
 * between characters. */
void mag_line(char *out, size_t cap, const char *text);

#endif
