/* Errors: a negative code from err.def plus one line of text.
 *
 * Convention of the whole core: functions return 0 or a negative ERR_* code and take
 * `struct err *e` last when the text matters. `e` is untouched on success and always filled on
 * failure. Lower layers set the text; upper layers only prefix it (err_wrap), never replace it.
 * Neighbours: everything. The HTTP status of a code stands in err.def and is used only by api/. */
#ifndef MAGNUM_BASE_ERR_H
#define MAGNUM_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

enum err_code {
    ERR_OK = 0,
#define E(name, number, token, retryable, http) ERR_##name = number,
#include "base/err.def"
#undef E
};

enum { ERR_MSG_MAX = 2048 };

/* Caller-allocated. A zero value (`struct err e = ERR_INIT;`) means "no error". */
struct err {
    int code;
    char msg[ERR_MSG_MAX]; /* one line, UTF-8, cut at a character when too long */
};
#define ERR_INIT                                                                                   \
    {                                                                                              \
        .code = 0, .msg = { 0 }                                                                    \
    }

#define MUST_CHECK __attribute__((warn_unused_result))

/* Fills `e` (may be NULL) and returns `code`, so that `return err_set(e, ...)` works. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_vset(struct err *e, int code, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
/* Prefixes the text with "<formatted>: " and returns e->code (ERR_INTERNAL when e is NULL). */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* ERR_NOMEM with its standard text. */
int err_nomem(struct err *e);
/* ERR_IO (or NOT_FOUND for ENOENT, CANT_STORE for ENOSPC/EDQUOT) with "<formatted>: strerror". */
int err_errno(struct err *e, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void err_clear(struct err *e);

/* Token ("not-found"), retryable flag and HTTP status of a code; unknown codes count as INTERNAL.
 */
const char *err_token(int code);
bool err_retryable(int code);
int err_http_status(int code);
/* The code of a token, or ERR_INTERNAL when it is unknown. */
int err_from_token(const char *token);

#endif
