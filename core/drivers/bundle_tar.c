/* The archive of a bundle: POSIX ustar, regular files only, so that any tar can look into it. See
 * bundle_index.h. */
#include "drivers/bundle_index.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct header { /* as POSIX has it */
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is one block");

/* Octal digits, ended by NUL or space. */
static bool octal(const char *s, size_t n, size_t *ret)
{
    size_t v = 0, i = 0;
    for (; i < n && s[i] >= '0' && s[i] <= '7'; i++) {
        if (v > SIZE_MAX / 8)
            return false;
        v = v * 8 + (size_t)(s[i] - '0');
    }
    *ret = v;
    return i > 0 && (i == n || s[i] == '\0' || s[i] == ' ');
}

static size_t sum(const struct header *h)
{
    const unsigned char *p = (const unsigned char *)h;
    size_t s = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        bool own = i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);
        s += own ? ' ' : p[i];
    }
    return s;
}

static bool empty(const char *block)
{
    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

int tar_next(const char *bytes, size_t len, size_t *at, struct tar_entry *ret, bool *end,
             struct err *e)
{
    size_t left = len - *at, size = 0, checksum = 0;
    struct header h;
    *end = left < TAR_BLOCK || empty(bytes + *at);
    if (*end)
        return 0;
    memcpy(&h, bytes + *at, sizeof h);
    if (!octal(h.checksum, sizeof h.checksum, &checksum) || checksum != sum(&h) ||
        memcmp(h.magic, "ustar", 5) != 0)
        return err_set(e, ERR_INVALID, "it is no bundle: no ustar header at byte %zu", *at);
    if (h.type != '0' && h.type != '\0')
        return err_set(e, ERR_INVALID, "%.100s is no regular file", h.name);
    if (!octal(h.size, sizeof h.size, &size) || size > left - TAR_BLOCK)
        return err_set(e, ERR_INVALID, "it ends within %.100s", h.name);
    if (h.prefix[0])
        snprintf(ret->name, sizeof ret->name, "%.155s/%.100s", h.prefix, h.name);
    else
        snprintf(ret->name, sizeof ret->name, "%.100s", h.name);
    ret->data = bytes + *at + TAR_BLOCK;
    ret->size = size;
    size_t blocks = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    *at += TAR_BLOCK + (blocks > left - TAR_BLOCK ? left - TAR_BLOCK : blocks);
    return 0;
}

static void pad(struct str *to)
{
    static const char zeros[TAR_BLOCK];
    str_append_n(to, zeros, (TAR_BLOCK - to->len % TAR_BLOCK) % TAR_BLOCK);
}

int tar_add(struct str *to, const char *name, const void *data, size_t size, struct err *e)
{
    struct header h = {.type = '0', .magic = "ustar", .version = {'0', '0'}};
    size_t n = strlen(name);
    const char *cut = name;
    if (n > sizeof h.name) { /* the front goes into prefix, at a slash */
        cut = strchr(name + n - sizeof h.name - 1, '/');
        if (!cut || (size_t)(cut - name) > sizeof h.prefix)
            return err_set(e, ERR_INVALID, "the name %s is too long", name);
        memcpy(h.prefix, name, (size_t)(cut - name));
        cut++;
    }
    memcpy(h.name, cut, strlen(cut));
    snprintf(h.mode, sizeof h.mode, "%07o", 0644);
    snprintf(h.uid, sizeof h.uid, "%07o", 0);
    snprintf(h.gid, sizeof h.gid, "%07o", 0);
    snprintf(h.size, sizeof h.size, "%011zo", size);
    snprintf(h.mtime, sizeof h.mtime, "%011o", 0); /* the same files give the same bundle */
    snprintf(h.checksum, sizeof h.checksum, "%06zo", sum(&h) & 0777777);
    str_append_n(to, &h, sizeof h);
    str_append_n(to, data, size);
    pad(to);
    return to->oom ? err_nomem(e) : 0;
}

void tar_end(struct str *to)
{
    static const char zeros[2 * TAR_BLOCK];
    str_append_n(to, zeros, sizeof zeros);
}
