/* See workload.h. Pure. */
#include "workload.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- command lines ---- */

/* One word into out (as long as the line); the place behind it, NULL when a quote stays open. */
static const char *read_word(const char *p, char *out)
{
    char quote = '\0';
    for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
        if (quote && *p == quote) {
            quote = '\0';
        } else if (!quote && (*p == '\'' || *p == '"')) {
            quote = *p;
        } else if (*p == '\\' && quote != '\'' && p[1] && (!quote || p[1] == '"' || p[1] == '\\')) {
            *out++ = *++p;
        } else {
            *out++ = *p;
        }
    }
    *out = '\0';
    return quote ? NULL : p;
}

json_t *workload_words(const char *line)
{
    json_t *words = json_array();
    char *word = malloc(strlen(line) + 1);
    bool bad = !words || !word;
    for (const char *p = line + strspn(line, " \t\r\n"); !bad && *p; p += strspn(p, " \t\r\n")) {
        p = read_word(p, word);
        bad = !p || json_array_append_new(words, json_string(word)) < 0;
        if (bad)
            break;
    }
    free(word);
    if (bad || json_array_size(words) == 0) {
        json_decref(words);
        return NULL;
    }
    return words;
}

/* ---- output ---- */

enum { HEADER = 8 };

/* {stream, 0, 0, 0, length in four bytes, the highest first} */
static bool is_header(const unsigned char *p, size_t len)
{
    return len >= HEADER && p[0] <= 2 && p[1] == 0 && p[2] == 0 && p[3] == 0;
}

/* Length of the UTF-8 character at p, 0 when it is none. */
static size_t character(const unsigned char *p, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    uint32_t v = n == 1 ? *p : *p & (0xffu >> (n + 1));
    if (n == 1)
        return *p != 0;
    if (*p < 0xc2 || *p > 0xf4 || n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3f);
    }
    return v >= least[n] && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff) ? n : 0;
}

static char *to_text(const unsigned char *p, size_t len)
{
    char *text = malloc(len * 3 + 1), *o = text;
    if (!text)
        return NULL;
    for (size_t i = 0; i < len;) {
        size_t n = character(p + i, len - i);
        memcpy(o, n ? (const char *)p + i : "\xef\xbf\xbd", n ? n : 3);
        o += n ? n : 3;
        i += n ? n : 1;
    }
    *o = '\0';
    return text;
}

char *workload_output(const void *data, size_t len)
{
    const unsigned char *p = data;
    unsigned char *joined = malloc(len ? len : 1);
    size_t used = 0;
    if (!joined)
        return NULL;
    while (len) {
        size_t n = len, skip = 0;
        if (is_header(p, len)) {
            skip = HEADER;
            n = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];
            if (n > len - HEADER)
                n = len - HEADER;
        }
        if (n)
            memcpy(joined + used, p + skip, n);
        used += n;
        p += skip + n;
        len -= skip + n;
    }
    char *text = to_text(joined, used);
    free(joined);
    return text;
}

/* ---- images ---- */

const char *workload_tag(const char *image)
{
    const char *slash = strrchr(image, '/'), *colon = strchr(slash ? slash : image, ':');
    const char *end = image + strlen(image);
    if (strchr(image, '@'))
        return end;
    return colon ? colon : end;
}
