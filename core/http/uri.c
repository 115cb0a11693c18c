/* See uri_internal.h. */
#include "http/server.h"
#include "http/uri_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int hex(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    int low = tolower((unsigned char)ch);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

size_t uri_decode(char *s, bool *bad)
{
    char *out = strchr(s, '%');
    if (!out)
        return strlen(s);
    for (const char *in = out; *in; in++) {
        int hi = *in == '%' ? hex(in[1]) : -1;
        int lo = hi >= 0 ? hex(in[2]) : -1;
        int byte = lo >= 0 ? hi * 16 + lo : 0;
        if (*in == '%' && byte == 0)
            *bad = true;
        *out++ = byte ? (char)byte : *in;
        if (byte)
            in += 2;
    }
    *out = '\0';
    return (size_t)(out - s);
}

char *http_form_value(const char *body, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = body; p; p = (p = strchr(p, '&')) ? p + 1 : NULL) {
        if (strncmp(p, name, n) != 0 || p[n] != '=')
            continue;
        char *value = strndup(p + n + 1, strcspn(p + n + 1, "&"));
        bool bad = false;
        for (char *q = value; q && *q; q++)
            *q = *q == '+' ? ' ' : *q;
        if (value)
            (void)uri_decode(value, &bad);
        if (bad) {
            free(value);
            value = NULL;
        }
        return value;
    }
    return NULL;
}

bool uri_is_utf8(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    while (*p) {
        unsigned more = 0, cp = *p++, min = 0;
        if (cp < 0x80)
            continue;
        if (cp >= 0xC2 && cp <= 0xDF)
            more = 1, cp &= 0x1F, min = 0x80;
        else if (cp >= 0xE0 && cp <= 0xEF)
            more = 2, cp &= 0x0F, min = 0x800;
        else if (cp >= 0xF0 && cp <= 0xF4)
            more = 3, cp &= 0x07, min = 0x10000;
        else
            return false;
        for (; more; more--, p++) {
            if ((*p & 0xC0) != 0x80)
                return false;
            cp = cp << 6 | (*p & 0x3F);
        }
        if (cp < min || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
            return false;
    }
    return true;
}
