/* See jw.h. */
#include "api/jw.h"

#include "base/clock.h"
#include "model/entity.h"

#include <string.h>

static void escape(struct str *o, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "\"\\bfnrt", source[] = "\"\\\b\f\n\r\t";
    const char *at = strchr(source, c);
    char out[6] = {'\\', 0, '0', '0', hex[c >> 4], hex[c & 15]};
    if (c && at) {
        out[1] = plain[at - source];
        str_append_n(o, out, 2);
        return;
    }
    out[1] = 'u';
    str_append_n(o, out, 6);
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

void jw_text(struct str *o, const char *s)
{
    if (!s) {
        str_append_n(o, "null", 4);
        return;
    }
    size_t n = 0;
    while (plain((unsigned char)s[n])) /* NUL is not */
        n++;
    char *p = str_extend(o, n + 1);
    if (!p)
        return;
    *p = '"';
    memcpy(p + 1, s, n);
    const char *start = s + n;
    for (s += n; *s; s++) {
        if (plain((unsigned char)*s))
            continue;
        str_append_n(o, start, (size_t)(s - start));
        escape(o, (unsigned char)*s);
        start = s + 1;
    }
    str_append_n(o, start, (size_t)(s - start));
    str_append_c(o, '"');
}

void jw_number(struct str *o, int64_t v)
{
    char buf[24], *p = buf + sizeof buf;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *--p = '-';
    str_append_n(o, p, (size_t)(buf + sizeof buf - p));
}

static int append(const char *text, size_t n, void *ctx)
{
    str_append_n(ctx, text, n);
    return 0;
}

void jw_document(struct str *o, const json_t *j)
{
    if (!j)
        str_append_n(o, "null", 4);
    else if (json_is_string(j))
        jw_text(o, json_string_value(j));
    else if (json_is_object(j) && json_object_size(j) == 0)
        str_append_n(o, "{}", 2);
    else if (json_is_array(j) && json_array_size(j) == 0)
        str_append_n(o, "[]", 2);
    else if (json_dump_callback(j, append, o, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
        o->oom = true;
}

void jw_next(struct str *o)
{
    if (o->len == 0)
        return;
    char last = o->s[o->len - 1];
    if (last != '{' && last != '[' && last != ':')
        str_append_c(o, ',');
}

void jw_key(struct str *o, const char *key)
{
    jw_next(o);
    size_t n = strlen(key);
    char *p = str_extend(o, n + 3);
    if (!p)
        return;
    *p = '"';
    memcpy(p + 1, key, n);
    memcpy(p + 1 + n, "\":", 2);
}

void jw_str(struct str *o, const char *key, const char *s)
{
    jw_key(o, key);
    jw_text(o, s);
}

void jw_int(struct str *o, const char *key, int64_t v)
{
    jw_key(o, key);
    if (v == MODEL_UNSET)
        str_append_n(o, "null", 4);
    else
        jw_number(o, v);
}

void jw_bool(struct str *o, const char *key, bool v)
{
    jw_key(o, key);
    str_append(o, v ? "true" : "false");
}

void jw_time(struct str *o, const char *key, int64_t us)
{
    char iso[CLOCK_ISO_MAX];
    jw_key(o, key);
    if (us == TIME_UNSET) {
        str_append_n(o, "null", 4);
        return;
    }
    clock_iso(us, iso);
    jw_text(o, iso);
}

void jw_json(struct str *o, const char *key, const json_t *j, const char *missing)
{
    jw_key(o, key);
    if (!j || json_is_null(j))
        str_append(o, missing);
    else
        jw_document(o, j);
}

void jw_raw(struct str *o, const char *key, const char *json, const char *missing)
{
    jw_key(o, key);
    str_append(o, json && strcmp(json, "null") != 0 ? json : missing);
}

void jw_items(struct str *o, const char *key, const char *items)
{
    jw_key(o, key);
    str_append_c(o, '[');
    str_append(o, items);
    str_append_c(o, ']');
}
