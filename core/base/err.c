/* See err.h. No allocation here: an error must be reportable when memory is gone. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int code, retryable, http;
    const char *token;
} table[] = {
#define E(name, number, tok, retry, status) {number, retry, status, tok},
#include "base/err.def"
#undef E
};
enum { TABLE_LEN = sizeof table / sizeof table[0] };

/* Texts end up in JSON and in logs: one line, and never half a UTF-8 character. */
static void tidy(char *s, size_t cap)
{
    size_t len = strlen(s);
    for (size_t i = 0; i < len; i++)
        if (s[i] == '\n' || s[i] == '\r')
            s[i] = ' ';
    if (len + 1 < cap)
        return;
    size_t cut = len;
    while (cut > 0 && ((unsigned char)s[cut - 1] & 0xC0) == 0x80)
        cut--;
    if (cut > 0 && (unsigned char)s[cut - 1] >= 0xC0)
        s[cut - 1] = '\0';
}

int err_vset(struct err *e, int code, const char *fmt, va_list ap)
{
    if (e) {
        e->code = code;
        vsnprintf(e->msg, sizeof e->msg, fmt, ap);
        tidy(e->msg, sizeof e->msg);
    }
    return code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, code, fmt, ap);
    va_end(ap);
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e)
        return ERR_INTERNAL;
    char old[ERR_MSG_MAX];
    memcpy(old, e->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used + 2 < sizeof e->msg) /* the precision says what is meant: cut where it ends */
        snprintf(e->msg + used, sizeof e->msg - used, ": %.*s", (int)(sizeof e->msg - used - 3),
                 old);
    tidy(e->msg, sizeof e->msg);
    return e->code;
}

int err_nomem(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

int err_errno(struct err *e, int errnum, const char *fmt, ...)
{
    int code = ERR_IO;
    if (errnum == ENOENT)
        code = ERR_NOT_FOUND;
    else if (errnum == ENOSPC || errnum == EDQUOT)
        code = ERR_CANT_STORE;
    else if (errnum == ENOMEM)
        code = ERR_NOMEM;
    if (!e)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, code, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->msg);
    char text[128] = "";
    /* GNU strerror_r may return a static string instead of filling the buffer. */
    const char *why = strerror_r(errnum, text, sizeof text);
    snprintf(e->msg + n, sizeof e->msg - n, ": %s", why);
    tidy(e->msg, sizeof e->msg);
    return code;
}

void err_clear(struct err *e)
{
    if (e) {
        e->code = 0;
        e->msg[0] = '\0';
    }
}

static int find(int code)
{
    for (int i = 0; i < TABLE_LEN; i++)
        if (table[i].code == code)
            return i;
    return -1;
}

const char *err_token(int code)
{
    int i = find(code);
    return i < 0 ? "internal" : table[i].token;
}

bool err_retryable(int code)
{
    int i = find(code);
    return i >= 0 && table[i].retryable;
}

int err_http_status(int code)
{
    int i = find(code);
    return i < 0 ? 500 : table[i].http;
}

int err_from_token(const char *token)
{
    for (int i = 0; token && i < TABLE_LEN; i++)
        if (strcmp(table[i].token, token) == 0)
            return table[i].code;
    return ERR_INTERNAL;
}
