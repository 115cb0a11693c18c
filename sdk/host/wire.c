/* See wire.h. */
#include "host/wire.h"

#include <stdlib.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at p (at most n bytes), 0 when it is not one. */
static size_t utf8_step(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] >= 0xA0;
    bool beyond = p[0] == 0xF4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : len;
}

bool wire_is_text(const void *data, size_t len)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len;) {
        size_t n = p[i] ? utf8_step(p + i, len - i) : 0;
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *base64_encode(const unsigned char *p, size_t len)
{
    char *out = malloc((len + 2) / 3 * 4 + 1);
    if (!out)
        return NULL;
    char *o = out;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)p[i] << 16;
        if (n > 1)
            v |= (uint32_t)p[i + 1] << 8;
        if (n > 2)
            v |= p[i + 2];
        *o++ = digits[v >> 18];
        *o++ = digits[v >> 12 & 63];
        *o++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *o++ = n > 2 ? digits[v & 63] : '=';
    }
    *o = '\0';
    return out;
}

/* Value of one digit, -1 when it is none. */
static int digit(char c)
{
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

static bool base64_decode(const char *s, size_t len, char **ret, size_t *ret_len)
{
    if (len % 4)
        return false;
    char *out = malloc(len / 4 * 3 + 1);
    if (!out)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < len; i += 4) {
        bool last = i + 4 == len;
        size_t pad = last && s[i + 3] == '=' ? (s[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k >= 4 - pad ? 0 : digit(s[i + k]);
            if (d < 0) {
                free(out);
                return false;
            }
            v = v << 6 | (uint32_t)d;
        }
        out[n++] = (char)(v >> 16);
        if (pad < 2)
            out[n++] = (char)(v >> 8 & 255);
        if (pad < 1)
            out[n++] = (char)(v & 255);
    }
    out[n] = '\0';
    *ret = out;
    *ret_len = n;
    return true;
}

json_t *wire_bytes(const void *data, size_t len)
{
    if (wire_is_text(data, len))
        return json_stringn_nocheck(data ? data : "", len);
    char *text = base64_encode(data, len);
    json_t *j = text ? json_pack("{s:s}", "base64", text) : NULL;
    free(text);
    return j;
}

bool wire_bytes_get(const json_t *v, char **ret, size_t *ret_len)
{
    *ret = NULL;
    *ret_len = 0;
    if (!v || json_is_null(v))
        return true;
    if (json_is_object(v)) {
        const json_t *b = json_object_get(v, "base64");
        return json_is_string(b) &&
               base64_decode(json_string_value(b), json_string_length(b), ret, ret_len);
    }
    if (!json_is_string(v))
        return false;
    size_t len = json_string_length(v);
    char *copy = malloc(len + 1);
    if (!copy)
        return false;
    memcpy(copy, json_string_value(v), len);
    copy[len] = '\0';
    *ret = copy;
    *ret_len = len;
    return true;
}

json_t *wire_error(const mag_error *err)
{
    return json_pack("{s:I,s:I,s:o,s:o,s:o}", "flags", (json_int_t)err->flags, "retry_after_ms",
                     (json_int_t)err->retry_after_ms, "reason",
                     wire_bytes(err->reason, strnlen(err->reason, sizeof err->reason)), "message",
                     wire_bytes(err->message, strnlen(err->message, sizeof err->message)), "remedy",
                     wire_bytes(err->remedy, strnlen(err->remedy, sizeof err->remedy)));
}

static uint32_t get_u32(const json_t *v, const char *key)
{
    const json_t *j = json_object_get(v, key);
    json_int_t n = json_is_integer(j) ? json_integer_value(j) : 0;
    return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

void wire_error_get(const json_t *v, mag_error *err)
{
    err->flags = get_u32(v, "flags");
    err->retry_after_ms = get_u32(v, "retry_after_ms");
    const struct {
        const char *key;
        char *to;
        size_t cap;
    } texts[] = {{"reason", err->reason, sizeof err->reason},
                 {"message", err->message, sizeof err->message},
                 {"remedy", err->remedy, sizeof err->remedy}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *s = json_string_value(json_object_get(v, texts[i].key));
        wire_text_copy(texts[i].to, texts[i].cap, s ? s : "");
    }
}

void wire_text_copy(char *to, size_t cap, const char *from)
{
    size_t n = 0;
    const unsigned char *p = (const unsigned char *)from;
    while (*p) {
        size_t step = utf8_step(p, strnlen((const char *)p, 4));
        if (step == 0 || n + step >= cap)
            break;
        for (size_t i = 0; i < step; i++)
            to[n++] = *p < 0x20 || *p == 0x7F ? ' ' : (char)p[i];
        p += step;
    }
    to[n] = '\0';
}
