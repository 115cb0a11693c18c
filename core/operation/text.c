/* Texts that drivers hand over, made fit to be stored and shown. See engine_internal.h. */
#include "operation/engine_internal.h"

#include <stdio.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at p (at most n bytes), 0 = not valid. */
static size_t sequence(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char mask, value;
        size_t len;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 1, 0},
                 {0xe0, 0xc0, 2, 0x80},
                 {0xf0, 0xe0, 3, 0x800},
                 {0xf8, 0xf0, 4, 0x10000}};
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        if ((p[0] & forms[f].mask) != forms[f].value)
            continue;
        uint32_t code = p[0] & (unsigned char)~forms[f].mask;
        if (forms[f].len > n)
            return 0;
        for (size_t i = 1; i < forms[f].len; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (p[i] & 0x3fu);
        }
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        return code < forms[f].least || code > 0x10ffff || surrogate ? 0 : forms[f].len;
    }
    return 0;
}

void engine_text(char *dst, size_t size, const char *src)
{
    size_t out = 0, len = src ? strlen(src) : 0;
    for (size_t i = 0; i < len;) {
        const unsigned char *p = (const unsigned char *)src + i;
        size_t n = sequence(p, len - i);
        if (out + (n ? n : 1) >= size)
            break; /* cut between characters */
        if (n == 0 || *p < 0x20 || *p == 0x7f)
            dst[out++] = n == 0 ? '?' : ' ';
        else
            for (size_t k = 0; k < n; k++)
                dst[out++] = (char)p[k];
        i += n ? n : 1;
    }
    dst[out] = '\0';
}

void engine_textf(char *dst, size_t size, const char *fmt, ...)
{
    char text[2 * ENGINE_REASON_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    engine_text(dst, size, text);
}
