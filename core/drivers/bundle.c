/* Reading, checking and making bundles. See bundle.h. */
#include "drivers/bundle.h"

#include "base/io.h"
#include "base/parse.h"
#include "drivers/bundle_index.h"
#include "drivers/trust.h"

#include <ctype.h>
#include <string.h>

enum { INDEX_MAX = 1048576, FILES_MAX = 10000, FILE_MAX = 1 << 30 };
static const char index_name[] = "BUNDLE", signature_name[] = "BUNDLE.sig";
static const char first_line[] = "magnum-driver-bundle 1\n";

void bundle_done(struct bundle *b)
{
    for (size_t i = 0; i < b->n; i++)
        free(b->v[i].name);
    free(b->v);
    free(b->bytes);
    free(b->manifest);
    free(b->index);
    free(b->signature);
    *b = (struct bundle){0};
}

const struct bundle_file *bundle_find(const struct bundle *b, const char *name)
{
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(b->v[i].name, name) == 0)
            return &b->v[i];
    return NULL;
}

/* Stays in its directory on every file system, and hides from nobody. */
static bool good_name(const char *s)
{
    bool begin = true;
    if (!*s || strlen(s) > 255 || str_ends(s, "/"))
        return false;
    for (; *s; s++) {
        if (begin && (*s == '.' || *s == '/' || *s == '-'))
            return false;
        if (!isalnum((unsigned char)*s) && !strchr("._-+@/", *s))
            return false;
        begin = *s == '/';
    }
    return true;
}

/* ---- reading ---- */
static int add_file(struct bundle *b, const struct tar_entry *t, struct err *e)
{
    if (!good_name(t->name) || bundle_find(b, t->name) || b->n >= FILES_MAX)
        return err_set(e, ERR_INVALID, "a file is named '%s': not a name it may have, or twice",
                       t->name);
    struct bundle_file *v = realloc(b->v, (b->n + 1) * sizeof *v);
    if (!v)
        return err_nomem(e);
    b->v = v;
    v[b->n] = (struct bundle_file){.name = str_dup(t->name), .data = t->data, .size = t->size};
    return v[b->n++].name ? 0 : err_nomem(e);
}

static int take_text(const struct tar_entry *t, char **ret, struct err *e)
{
    if (*ret || t->size > INDEX_MAX || memchr(t->data, 0, t->size))
        return err_set(e, ERR_INVALID, "%s is no text, or there twice", t->name);
    *ret = strndup(t->data, t->size);
    return *ret ? 0 : err_nomem(e);
}

static int read_entries(struct bundle *b, size_t len, struct err *e)
{
    size_t at = 0;
    for (;;) {
        struct tar_entry t = {.data = NULL};
        bool end = false;
        int rc = tar_next(b->bytes, len, &at, &t, &end, e);
        if (rc != 0 || end)
            return rc;
        if (strcmp(t.name, index_name) == 0)
            rc = take_text(&t, &b->index, e);
        else if (strcmp(t.name, signature_name) == 0)
            rc = take_text(&t, &b->signature, e);
        else
            rc = add_file(b, &t, e);
        if (rc != 0)
            return rc;
    }
}

/* "file SHA256 SIZE NAME" */
static int check_line(const struct bundle *b, const char *line, struct err *e)
{
    char sum[65], got[65], size_text[24];
    int name_at = 0;
    int64_t size = 0;
    if (sscanf(line, "file %64[0-9a-f] %23[0-9] %n", sum, size_text, &name_at) != 2 || !name_at ||
        !parse_i64(size_text, 0, INT64_MAX, &size))
        return err_set(e, ERR_INVALID, "line '%.100s' of its index is not understood", line);
    const struct bundle_file *f = bundle_find(b, line + name_at);
    if (!f)
        return err_set(e, ERR_INVALID, "file %s is missing", line + name_at);
    sha256_bytes(f->data, f->size, got);
    if ((size_t)size != f->size || strcmp(sum, got) != 0)
        return err_set(e, ERR_INVALID, "file %s was changed: its content is not the index's",
                       f->name);
    return 0;
}

static int check_index(struct bundle *b, struct err *e)
{
    _cleanup_free_ char *copy = NULL;
    size_t files = 0;
    if (!b->index || !str_starts(b->index, first_line))
        return err_set(e, ERR_INVALID, "it is no bundle of a driver: it has no index");
    copy = str_dup(b->index + strlen(first_line));
    if (!copy)
        return err_nomem(e);
    char *rest = NULL;
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        int rc = 0;
        if (str_starts(line, "manifest ") && !b->manifest) {
            b->manifest = str_dup(line + strlen("manifest "));
            rc = b->manifest ? 0 : err_nomem(e);
        } else {
            rc = check_line(b, line, e);
            files++;
        }
        if (rc != 0)
            return rc;
    }
    if (!b->manifest || !bundle_find(b, b->manifest) || strchr(b->manifest, '/') ||
        !str_ends(b->manifest, ".yaml"))
        return err_set(e, ERR_INVALID, "its index names no manifest");
    if (files != b->n)
        return err_set(e, ERR_INVALID, "it holds %zu files, and its index names %zu", b->n, files);
    return 0;
}

int bundle_parse(char *bytes, size_t len, struct bundle *ret, struct err *e)
{
    struct bundle b = {.bytes = bytes};
    int rc = read_entries(&b, len, e);
    if (rc == 0)
        rc = check_index(&b, e);
    if (rc != 0)
        bundle_done(&b);
    else
        *ret = b;
    return rc;
}

int bundle_open(const char *path, size_t max, struct bundle *ret, struct err *e)
{
    char *bytes = NULL;
    size_t len = 0;
    int rc = io_read_file(path, max, &bytes, &len, e);
    if (rc == 0)
        rc = bundle_parse(bytes, len, ret, e);
    return rc == 0 ? 0 : err_wrap(e, "bundle %s", path);
}

/* ---- who signed it ---- */
int bundle_signer(const struct bundle *b, const char *keys_dir, char **ret, struct err *e)
{
    unsigned char raw[SIGNATURE_BYTES];
    *ret = NULL;
    if (!b->signature)
        return 0;
    int rc = sign_decode(b->signature, raw)
                 ? trust_signer(keys_dir, b->index, strlen(b->index), raw, ret, e)
                 : 0;
    if (rc != 0 || *ret)
        return rc;
    return err_set(e, ERR_FORBIDDEN,
                   "its signature was made by none of the keys in %s: trust its maker's key with "
                   "magnum-driver-manage keys trust",
                   keys_dir);
}

/* ---- making ---- */
static int pack(const char *dir, const char *name, struct str *index, struct str *files,
                struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name), *data = NULL;
    size_t len = 0;
    char sum[65];
    if (!path)
        return err_nomem(e);
    if (!good_name(name) || strcmp(name, index_name) == 0 || strcmp(name, signature_name) == 0)
        return err_set(e, ERR_INVALID, "'%s' is no name for a file of a bundle", name);
    int rc = io_read_file(path, FILE_MAX, &data, &len, e);
    if (rc != 0)
        return rc;
    sha256_bytes(data, len, sum);
    str_printf(index, "file %s %zu %s\n", sum, len, name);
    return tar_add(files, name, data, len, e);
}

int bundle_write(const char *out, const char *dir, const char *manifest, const struct strv *files,
                 const char *key, struct err *e)
{
    _cleanup_str_ struct str index = STR_INIT, body = STR_INIT, all = STR_INIT;
    _cleanup_free_ char *signature = NULL;
    str_printf(&index, "%smanifest %s\n", first_line, manifest);
    int rc = pack(dir, manifest, &index, &body, e);
    for (size_t i = 0; rc == 0 && i < files->n; i++)
        rc = pack(dir, files->v[i], &index, &body, e);
    if (rc == 0 && key)
        rc = sign_text(key, str_text(&index), &signature, e);
    if (rc == 0)
        rc = tar_add(&all, index_name, str_text(&index), index.len, e);
    if (rc == 0 && signature)
        rc = tar_add(&all, signature_name, signature, strlen(signature), e);
    if (rc != 0)
        return rc;
    str_append_n(&all, body.s, body.len);
    tar_end(&all);
    if (all.oom || index.oom)
        return err_nomem(e);
    return io_write_file(out, all.s, all.len, 0644, e);
}
