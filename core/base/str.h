/* A growing byte string: the only way text is built. Allocation failure is remembered
 * (`oom`) and reported once at the end, so that builders need no check per append.
 * Neighbours: everything. Not thread-safe; one owner. */
#ifndef MAGNUM_BASE_STR_H
#define MAGNUM_BASE_STR_H

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str {
    char *s;    /* NUL-terminated when not NULL; owned */
    size_t len; /* bytes without the NUL */
    size_t cap;
    bool oom; /* an append failed; the content is incomplete */
};
#define STR_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0, false                                                                          \
    }

void str_append(struct str *t, const char *s); /* s may be NULL: nothing is added */
void str_append_n(struct str *t, const void *p, size_t n);
void str_append_c(struct str *t, char c);
/* Makes the text n bytes longer and returns where they begin, to be filled by the caller; NULL when
 * memory is gone. */
char *str_extend(struct str *t, size_t n);
void str_printf(struct str *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_vprintf(struct str *t, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void str_clear(struct str *t); /* length 0, keeps the memory */
void str_free(struct str *t);  /* frees the content; `t` is reusable */
/* The text ("" when empty), caller frees; NULL when an append failed. `t` is reset. */
char *str_take(struct str *t);
/* The text for reading, never NULL. */
const char *str_text(const struct str *t);

/* Formatted into fresh memory; caller frees; NULL when memory is gone. */
char *str_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* strdup that accepts NULL (gives NULL). */
char *str_dup(const char *s);
/* strcmp == 0, where two NULLs are equal. */
bool str_eq(const char *a, const char *b);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_blank(const char *s); /* NULL or empty */

#define _cleanup_str_ _cleanup_(str_free)

/* A list of owned strings. */
struct strv {
    char **v; /* n entries, then NULL when v is not NULL */
    size_t n;
};
#define STRV_INIT                                                                                  \
    {                                                                                              \
        NULL, 0                                                                                    \
    }
int strv_add(struct strv *l, const char *s); /* copies; 0 or ERR_NOMEM */
bool strv_has(const struct strv *l, const char *s);
/* Splits at `sep`, trims blanks, drops empty parts. 0 or ERR_NOMEM. */
int strv_split(struct strv *l, const char *text, char sep);
void strv_free(struct strv *l);
#define _cleanup_strv_ _cleanup_(strv_free)

#endif
