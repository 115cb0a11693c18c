/* See text.h. */
#include "api/text.h"

#include "base/clock.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Bytes of the well-formed character at p, or 0. */
static size_t character(const unsigned char *p)
{
    if (*p < 0x80)
        return 1;
    if (*p < 0xc2 || *p > 0xf4)
        return 0;
    size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    uint32_t c = *p & (0x7fu >> n), least = n == 4 ? 0x10000 : n == 3 ? 0x800 : 0x80;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    return c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

bool text_utf8(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    while (*p) {
        size_t n = character(p);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

void text_drop_broken(char *s)
{
    char *to = s;
    while (*s) {
        size_t n = character((const unsigned char *)s);
        memmove(to, s, n);
        to += n;
        s += n ? n : 1;
    }
    *to = '\0';
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void text_sort(const char **v, size_t n)
{
    qsort(v, n, sizeof *v, by_text);
}

/* Two FNV-1a sums with different starts; each piece is preceded by its length. */
void text_mark_init(struct text_mark *m)
{
    m->a = 0xcbf29ce484222325ull;
    m->b = 0x9ae16a3b2f90404full;
}

static void mix(struct text_mark *m, unsigned char c)
{
    m->a = (m->a ^ c) * 0x100000001b3ull;
    m->b = (m->b ^ c ^ (m->b >> 47)) * 0x9ddfea08eb382d69ull;
}

void text_mark_add(struct text_mark *m, const void *p, size_t n)
{
    const unsigned char *bytes = p;
    for (int i = 0; i < 8; i++)
        mix(m, (unsigned char)((unsigned long long)n >> (8 * i)));
    for (size_t i = 0; i < n; i++)
        mix(m, bytes[i]);
}

void text_mark_hex(const struct text_mark *m, char ret[33])
{
    snprintf(ret, 33, "%016llx%016llx", m->a, m->b);
}

void text_make_name(const char *suffix, char *ret, size_t size)
{
    static const char *const letters[] = {
        "alpha", "beta",  "gamma",  "delta",   "epsilon", "zeta", "eta",     "theta",
        "iota",  "kappa", "lambda", "mu",      "nu",      "xi",   "omicron", "pi",
        "rho",   "sigma", "tau",    "upsilon", "phi",     "chi",  "psi",     "omega"};
    uint32_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r)
        r = (uint32_t)clock_wall_us();
    snprintf(ret, size, "%s-%u-%s", letters[r % 24], (r / 24) % 24 + 1, suffix);
}
