/* See str.h. */
#include "base/str.h"

#include "base/err.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

static bool grow(struct str *t, size_t more)
{
    if (t->oom)
        return false;
    if (more > SIZE_MAX / 4 - t->len) {
        t->oom = true;
        return false;
    }
    size_t need = t->len + more + 1;
    if (need <= t->cap)
        return true;
    size_t cap = t->cap ? t->cap : 64;
    while (cap < need)
        cap *= 2;
    char *p = realloc(t->s, cap);
    if (!p) {
        t->oom = true;
        return false;
    }
    t->s = p;
    t->cap = cap;
    return true;
}

void str_append_n(struct str *t, const void *p, size_t n)
{
    if (!grow(t, n))
        return;
    if (n)
        memcpy(t->s + t->len, p, n);
    t->len += n;
    t->s[t->len] = '\0';
}

char *str_extend(struct str *t, size_t n)
{
    if (!grow(t, n))
        return NULL;
    char *p = t->s + t->len;
    t->len += n;
    t->s[t->len] = '\0';
    return p;
}

void str_append(struct str *t, const char *s)
{
    if (s)
        str_append_n(t, s, strlen(s));
}

void str_append_c(struct str *t, char c)
{
    str_append_n(t, &c, 1);
}

void str_vprintf(struct str *t, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0) {
        t->oom = true;
        return;
    }
    if (!grow(t, (size_t)n))
        return;
    vsnprintf(t->s + t->len, (size_t)n + 1, fmt, ap);
    t->len += (size_t)n;
}

void str_printf(struct str *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    str_vprintf(t, fmt, ap);
    va_end(ap);
}

void str_clear(struct str *t)
{
    t->len = 0;
    t->oom = false;
    if (t->s)
        t->s[0] = '\0';
}

void str_free(struct str *t)
{
    free(t->s);
    *t = (struct str)STR_INIT;
}

char *str_take(struct str *t)
{
    if (!grow(t, 0)) {
        str_free(t);
        return NULL;
    }
    t->s[t->len] = '\0';
    char *s = t->s;
    *t = (struct str)STR_INIT;
    return s;
}

const char *str_text(const struct str *t)
{
    return t->s ? t->s : "";
}

char *str_fmt(const char *fmt, ...)
{
    struct str t = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_vprintf(&t, fmt, ap);
    va_end(ap);
    return str_take(&t);
}

char *str_dup(const char *s)
{
    return s ? strdup(s) : NULL;
}

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_starts(const char *s, const char *prefix)
{
    return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = s ? strlen(s) : 0, m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_blank(const char *s)
{
    return !s || !*s;
}

int strv_add(struct strv *l, const char *s)
{
    char **v = realloc(l->v, (l->n + 2) * sizeof *v);
    if (!v)
        return ERR_NOMEM;
    l->v = v;
    l->v[l->n + 1] = NULL;
    l->v[l->n] = strdup(s);
    if (!l->v[l->n])
        return ERR_NOMEM;
    l->n++;
    return 0;
}

bool strv_has(const struct strv *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], s) == 0)
            return true;
    return false;
}

int strv_split(struct strv *l, const char *text, char sep)
{
    while (text && *text) {
        const char *end = strchr(text, sep);
        size_t n = end ? (size_t)(end - text) : strlen(text);
        const char *a = text, *b = text + n;
        while (a < b && isspace((unsigned char)*a))
            a++;
        while (b > a && isspace((unsigned char)b[-1]))
            b--;
        if (b > a) {
            _cleanup_free_ char *part = strndup(a, (size_t)(b - a));
            if (!part || strv_add(l, part) != 0)
                return ERR_NOMEM;
        }
        text += n + (end ? 1 : 0);
    }
    return 0;
}

void strv_free(struct strv *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (struct strv)STRV_INIT;
}
