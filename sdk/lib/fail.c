/* See fail.h. */
#include "lib/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Length of the valid UTF-8 character at p, 0 when there is none. */
static size_t utf8_len(const unsigned char *p)
{
    size_t n = p[0] < 0x80                    ? 1
               : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
               : p[0] >= 0xe0 && p[0] <= 0xef ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

void mag_line(char *out, size_t cap, const char *text)
{
    const unsigned char *p = (const unsigned char *)(text ? text : "");
    size_t used = 0;
    while (*p && cap) {
        size_t n = utf8_len(p), step = n ? n : 1;
        if (used + step + 1 > cap)
            break;
        if (n > 1)
            memcpy(out + used, p, n);
        else
            out[used] = n == 0 ? '?' : (*p < 0x20 || *p == 0x7f) ? ' ' : (char)*p;
        used += step;
        p += step;
    }
    while (used && out[used - 1] == ' ')
        used--;
    if (cap)
        out[used] = '\0';
}

int32_t mag_fail(mag_error *err, int32_t code, uint32_t flags, const char *reason,
                 const char *remedy, const char *fmt, ...)
{
    if (!err)
        return code;
    char text[sizeof err->message * 2];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err->flags = flags;
    err->retry_after_ms = 0;
    err->reserved0 = 0;
    mag_line(err->reason, sizeof err->reason, reason);
    mag_line(err->message, sizeof err->message, text);
    mag_line(err->remedy, sizeof err->remedy, remedy);
    return code;
}

int32_t mag_fail_nomem(mag_error *err)
{
    return mag_fail(err, MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "OutOfMemory", NULL, "Out of memory");
}

int32_t mag_fail_wrap(mag_error *err, int32_t code, const char *fmt, ...)
{
    if (!err)
        return code;
    char text[sizeof err->message * 2], was[sizeof err->message];
    memcpy(was, err->message, sizeof was);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof text)
        (void)snprintf(text + n, sizeof text - (size_t)n, ": %s", was);
    mag_line(err->message, sizeof err->message, text);
    return code;
}
