/* See render.h. */
#include "host/render.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out {
    char *s;
    size_t len, cap;
};

static bool put(struct out *o, const char *p, size_t n, char *why)
{
    if (n > RENDER_MAX - o->len) {
        snprintf(why, RENDER_WHY, "the result is larger than %d bytes", RENDER_MAX);
        return false;
    }
    if (o->len + n + 1 > o->cap) {
        size_t cap = (o->len + n + 1) * 2;
        char *s = realloc(o->s, cap);
        if (!s) {
            snprintf(why, RENDER_WHY, "out of memory");
            return false;
        }
        o->s = s;
        o->cap = cap;
    }
    if (n)
        memcpy(o->s + o->len, p, n);
    o->len += n;
    o->s[o->len] = '\0';
    return true;
}

/* The value of a dotted name, borrowed; NULL when a part is missing. */
static const json_t *lookup(const json_t *values, const char *name, size_t len)
{
    const json_t *v = values;
    while (v) {
        const char *dot = memchr(name, '.', len);
        size_t n = dot ? (size_t)(dot - name) : len;
        char key[128];
        if (n >= sizeof key)
            return NULL;
        memcpy(key, name, n);
        key[n] = '\0';
        v = json_object_get(v, key);
        if (!dot)
            break;
        name += n + 1;
        len -= n + 1;
    }
    return v;
}

static bool put_value(struct out *o, const json_t *v, const char *name, int len, char *why)
{
    if (!v) {
        snprintf(why, RENDER_WHY, "'%.*s' is not defined", len, name);
        return false;
    }
    if (json_is_null(v))
        return true;
    if (json_is_string(v))
        return put(o, json_string_value(v), json_string_length(v), why);
    char *text = json_is_object(v) || json_is_array(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY);
    if (!text) {
        snprintf(why, RENDER_WHY, "'%.*s' is a list or an object", len, name);
        return false;
    }
    bool ok = put(o, text, strlen(text), why);
    free(text);
    return ok;
}

static bool name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

/* At "${": replaces the name; *pos moves behind the '}'. */
static bool substitute(struct out *o, const char *text, size_t len, size_t *pos,
                       const json_t *values, char *why)
{
    size_t a = *pos + 2, b = a;
    while (b < len && name_char(text[b]))
        b++;
    if (b == len || text[b] != '}' || b == a || b - a > 1000) {
        snprintf(why, RENDER_WHY, "malformed name after ${ at byte %zu; write $${ for a plain ${",
                 *pos);
        return false;
    }
    *pos = b + 1;
    int n = (int)(b - a > 100 ? 100 : b - a);
    return put_value(o, lookup(values, text + a, b - a), text + a, n, why);
}

char *render_text(const char *text, size_t len, const json_t *values, size_t *ret_len,
                  char why[RENDER_WHY])
{
    struct out o = {0};
    bool ok = put(&o, "", 0, why);
    for (size_t i = 0; ok && i < len;) {
        const char *dollar = memchr(text + i, '$', len - i);
        size_t plain = dollar ? (size_t)(dollar - text) - i : len - i;
        ok = put(&o, text + i, plain, why);
        i += plain;
        if (!ok || !dollar)
            continue;
        size_t left = len - i;
        if (left >= 3 && memcmp(dollar, "$${", 3) == 0) {
            ok = put(&o, "${", 2, why);
            i += 3;
        } else if (left >= 2 && dollar[1] == '{') {
            ok = substitute(&o, text, len, &i, values, why);
        } else {
            ok = put(&o, "$", 1, why);
            i++;
        }
    }
    if (!ok) {
        free(o.s);
        return NULL;
    }
    *ret_len = o.len;
    return o.s;
}
