/* See userdata.h. Cloud-config is written as YAML that needs no library: keys of our own, values as
 * JSON strings (which are YAML) or as literal blocks. Facts: cloud-init's modules write_files and
 * runcmd; Ignition's specification 3.0.0. */
#include "lib/userdata.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define BOOT_UNIT "magnum-boot.service"
#define VALUES_PREFIX "magnum-values-"        /* units that carry a file with placeholders */
#define BUNDLE "/var/lib/magnum-files.tar.gz" /* of all files, unpacked before the script runs */
#define VALUES_SECTION "[X-Magnum]" /* systemd passes over sections whose names begin so */
#define IGNITION_VERSION "3.0.0"    /* all that is needed, and every image since 2020 reads it */

enum { PATH_LEN = 99, FILE_SIZE = 64 << 20 }; /* what fits into an archive's header, and more */

struct buf {
    char *text;
    size_t len, cap;
    bool failed; /* no memory */
};

static void put(struct buf *b, const char *text, size_t len)
{
    if (b->failed)
        return;
    if (b->len + len + 1 > b->cap) {
        size_t cap = (b->cap + len + 1) * 2;
        char *more = realloc(b->text, cap);
        if (!more) {
            b->failed = true;
            return;
        }
        b->text = more;
        b->cap = cap;
    }
    memcpy(b->text + b->len, text, len);
    b->len += len;
    b->text[b->len] = '\0';
}

static void puts_(struct buf *b, const char *text)
{
    put(b, text, strlen(text));
}

static void buf_done(struct buf *b)
{
    free(b->text);
    *b = (struct buf){0};
}
#define _buf_ _mag_cleanup_(buf_done)

static int32_t bad(mag_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int32_t bad(mag_error *err, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadUserData",
                    "Correct the driver's boot files.", "%s", text);
}

int32_t mag_userdata_format_of(const char *os_distro, enum mag_userdata_format *ret, mag_error *err)
{
    static const struct {
        const char *distro;
        enum mag_userdata_format format;
    } known[] = {
        {"debian", MAG_USERDATA_CLOUD_CONFIG},        {"fedora", MAG_USERDATA_CLOUD_CONFIG},
        {"fedora-atomic", MAG_USERDATA_CLOUD_CONFIG}, {"ubuntu", MAG_USERDATA_CLOUD_CONFIG},
        {"fedora-coreos", MAG_USERDATA_IGNITION},     {"flatcar", MAG_USERDATA_IGNITION},
    };
    for (size_t i = 0; os_distro && i < MAG_LEN(known); i++)
        if (strcmp(os_distro, known[i].distro) == 0) {
            *ret = known[i].format;
            return MAG_OK;
        }
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "UnknownDistro",
                    "Set the image's os_distro to debian, fedora, fedora-atomic, fedora-coreos, "
                    "flatcar or ubuntu.",
                    "How an image with os_distro '%s' takes its first configuration isn't known",
                    os_distro ? os_distro : "");
}

/* ---- encodings ------------------------------------------------------------------------------ */

static void put_base64(struct buf *b, const unsigned char *data, size_t len)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0) |
                     (i + 2 < len ? (uint32_t)data[i + 2] : 0);
        char four[4] = {set[v >> 18], set[v >> 12 & 63], i + 1 < len ? set[v >> 6 & 63] : '=',
                        i + 2 < len ? set[v & 63] : '='};
        put(b, four, sizeof four);
    }
}

/* gzip, then base64; the same bytes gives the same result always (no time in the header), since a
 * stack whose user data differs would replace its servers. */
static bool put_packed_bytes(struct buf *b, const char *data, size_t len)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    uLong cap = deflateBound(&z, (uLong)len);
    _mag_free_ unsigned char *out = malloc(cap);
    bool ok = false;
    if (out) {
        z.next_in = (Bytef *)(uintptr_t)data;
        z.avail_in = (uInt)len;
        z.next_out = out;
        z.avail_out = (uInt)cap;
        ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
        if (ok)
            put_base64(b, out, z.total_out);
    }
    (void)deflateEnd(&z);
    return ok && !b->failed;
}

static bool put_packed(struct buf *b, const char *text)
{
    return put_packed_bytes(b, text, strlen(text));
}

/* One file of a tar archive (POSIX ustar), root's and of no time. */
static void put_tar_file(struct buf *b, const struct mag_userdata_file *f)
{
    static const char zero[512];
    char head[512] = {0};
    size_t len = strlen(f->text);
    unsigned sum = 0;
    (void)snprintf(head, 100, "%s", f->path + 1);
    (void)snprintf(head + 100, 8, "%07o", f->mode);
    (void)snprintf(head + 108, 8, "%07o", 0U);
    (void)snprintf(head + 116, 8, "%07o", 0U);
    (void)snprintf(head + 124, 12, "%011o", (unsigned)len);
    (void)snprintf(head + 136, 12, "%011o", 0U);
    memset(head + 148, ' ', 8);
    head[156] = '0';
    memcpy(head + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof head; i++)
        sum += (unsigned char)head[i];
    (void)snprintf(head + 148, 8, "%06o", sum);
    put(b, head, sizeof head);
    put(b, f->text, len);
    put(b, zero, (512 - len % 512) % 512);
}

/* All files that are complete, as an archive: together they pack far better than one by one. */
static bool put_bundle(struct buf *b, const struct mag_userdata *want)
{
    static const char zero[1024];
    _buf_ struct buf tar = {0};
    for (size_t i = 0; i < want->n_files; i++)
        if (!want->files[i].placeholders)
            put_tar_file(&tar, &want->files[i]);
    put(&tar, zero, sizeof zero);
    return !tar.failed && put_packed_bytes(b, tar.text, tar.len);
}

/* A JSON string, which is a YAML scalar too. */
static void put_quoted(struct buf *b, const char *text)
{
    _mag_json_ json_t *j = json_string(text);
    _mag_free_ char *s = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    if (s)
        puts_(b, s);
    else
        b->failed = true;
}

/* A literal block, indented by four more than its key: nothing in it is an escape. */
static void put_block(struct buf *b, const char *text)
{
    puts_(b, "|4\n");
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n) {
            puts_(b, "      ");
            put(b, text, n);
        }
        puts_(b, "\n");
        text += n + (text[n] == '\n');
    }
}

/* ---- checks --------------------------------------------------------------------------------- */

/* NAME='text' in each line, or a comment, or nothing: fits YAML's literal block, a shell and a
 * section of a unit alike (Ignition reads units, with lines of at most 2,048 characters). */
static bool is_values(const char *text)
{
    if (!*text || *text == '\n')
        return false;
    while (*text) {
        size_t n = strcspn(text, "\n"), key = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
        if (n > 1024 || text[n] != '\n')
            return false;
        for (size_t i = 0; i < n; i++)
            if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '\\')
                return false;
        bool pair = key && key + 3 <= n && text[key] == '=' && text[key + 1] == '\'' &&
                    strcspn(text + key + 2, "'\n") == n - key - 3 && text[n - 1] == '\'';
        if (n && !pair && *text != '#')
            return false;
        if (!n && !text[1])
            return false;
        text += n + 1;
    }
    return true;
}

static bool is_utf8(const char *text)
{
    _mag_json_ json_t *j = json_string(text);
    return j != NULL;
}

static bool plain_path(const char *path)
{
    return path && path[0] == '/' && path[1] && !strstr(path, "//") && !strstr(path, "/../") &&
           !strstr(path, "/./") && path[strlen(path) - 1] != '/' && strlen(path) <= PATH_LEN &&
           is_utf8(path);
}

static bool unit_name(const char *name)
{
    static const char *const kinds[] = {".service", ".timer", ".mount", ".path", ".socket"};
    const char *dot = name ? strrchr(name, '.') : NULL;
    if (!dot || dot == name || strchr(name, '/') || strcmp(name, BOOT_UNIT) == 0 ||
        strncmp(name, VALUES_PREFIX, strlen(VALUES_PREFIX)) == 0 || !is_utf8(name))
        return false;
    for (size_t i = 0; i < MAG_LEN(kinds); i++)
        if (strcmp(dot, kinds[i]) == 0)
            return true;
    return false;
}

static int32_t check(const struct mag_userdata *want, mag_error *err)
{
    bool script = !want->script;
    for (size_t i = 0; i < want->n_files; i++) {
        const struct mag_userdata_file *f = &want->files[i];
        if (!plain_path(f->path))
            return bad(err, "File path '%s' is not absolute and plain", f->path ? f->path : "");
        if (!f->text || !is_utf8(f->text))
            return bad(err, "%s: the text is not UTF-8", f->path);
        if (strlen(f->text) > FILE_SIZE)
            return bad(err, "%s: larger than 64 MiB", f->path);
        if (f->mode == 0 || f->mode > 0777)
            return bad(err, "%s: mode %o is not one of a file", f->path, f->mode);
        if (f->placeholders && (!is_values(f->text) || strpbrk(f->path, " 	"
                                                                        "\"'\\$%&;|<>()`*?#")))
            return bad(err, "%s: a file with placeholders has NAME='text' lines only", f->path);
        if (f->placeholders && !want->script)
            return bad(err, "%s: placeholders need a script that reads them", f->path);
        for (size_t k = 0; k < i; k++)
            if (strcmp(want->files[k].path, f->path) == 0)
                return bad(err, "%s: there twice", f->path);
        script = script || strcmp(f->path, want->script) == 0;
    }
    if (!script || (want->script && strpbrk(want->script, " \t\"'\\$%")))
        return bad(err, "The script '%s' is not one of the files", want->script);
    for (size_t i = 0; i < want->n_units; i++) {
        const struct mag_userdata_unit *u = &want->units[i];
        if (!unit_name(u->name))
            return bad(err, "'%s' is not a name of a unit", u->name ? u->name : "");
        if (!u->text || !is_utf8(u->text))
            return bad(err, "%s: the text is not UTF-8", u->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(want->units[k].name, u->name) == 0)
                return bad(err, "%s: there twice", u->name);
    }
    return MAG_OK;
}

static void values_unit_name(size_t i, char ret[48])
{
    (void)snprintf(ret, 48, VALUES_PREFIX "%zu.service", i);
}

/* Makes the file of a unit that carries it; the unit holds secrets too. */
static void put_unpack(struct buf *b, size_t i, const struct mag_userdata_file *f)
{
    char name[48], octal[8];
    values_unit_name(i, name);
    (void)snprintf(octal, sizeof octal, "%04o", f->mode);
    const char *const parts[] = {"ExecStartPre=/bin/bash -ec 'umask 077; u=/etc/systemd/system/",
                                 name,
                                 "; chmod 600 $$u; mkdir -p $$(dirname ",
                                 f->path,
                                 "); sed 1,/X-Magnum/d $$u >",
                                 f->path,
                                 "; chmod ",
                                 octal,
                                 " ",
                                 f->path,
                                 "'\n"};
    for (size_t k = 0; k < MAG_LEN(parts); k++)
        puts_(b, parts[k]);
}

/* The unit that runs the script. Through bash: a file that the first boot wrote need not carry a
 * label that SELinux lets the service manager execute. */
static void put_boot_unit(struct buf *b, const struct mag_userdata *want, bool unpack)
{
    puts_(b, "[Unit]\n"
             "Description=Node set-up by OpenStack Magnum\n"
             "Wants=network-online.target\n"
             "After=network-online.target\n"
             "[Service]\n"
             "Type=oneshot\n"
             "RemainAfterExit=yes\n"
             "Environment=HOME=/root\n");
    puts_(b, "ExecStartPre=/bin/bash -ec 'tar -xzf " BUNDLE " -C /'\n");
    for (size_t i = 0; unpack && i < want->n_files; i++)
        if (want->files[i].placeholders)
            put_unpack(b, i, &want->files[i]);
    puts_(b, "ExecStart=/bin/bash ");
    puts_(b, want->script);
    puts_(b, "\n"
             "[Install]\n"
             "WantedBy=multi-user.target\n");
}

/* ---- cloud-config --------------------------------------------------------------------------- */

static bool put_entry(struct buf *b, const char *path, unsigned mode, const char *text,
                      bool readable)
{
    char octal[8];
    (void)snprintf(octal, sizeof octal, "%04o", mode);
    puts_(b, "- path: ");
    put_quoted(b, path);
    puts_(b, "\n  permissions: \"");
    puts_(b, octal);
    puts_(b, "\"\n");
    if (readable) {
        puts_(b, "  content: ");
        put_block(b, text);
        return !b->failed;
    }
    puts_(b, "  encoding: gz+b64\n  content: \"");
    bool ok = put_packed(b, text);
    puts_(b, "\"\n");
    return ok;
}

static bool put_unit_entry(struct buf *b, const char *name, const char *text)
{
    _buf_ struct buf path = {0};
    puts_(&path, "/etc/systemd/system/");
    puts_(&path, name);
    return !path.failed && put_entry(b, path.text, 0644, text, false);
}

static void put_start(struct buf *b, const char *name)
{
    puts_(b, "- [systemctl, enable, --now, --no-block, ");
    put_quoted(b, name);
    puts_(b, "]\n");
}

static bool cloud_config(const struct mag_userdata *want, const char *boot_unit, struct buf *b)
{
    bool ok = true;
    puts_(b, "#cloud-config\n");
    if (want->n_files + want->n_units)
        puts_(b, "write_files:\n");
    for (size_t i = 0; ok && i < want->n_files; i++) {
        const struct mag_userdata_file *f = &want->files[i];
        if (f->placeholders || !boot_unit)
            ok = put_entry(b, f->path, f->mode, f->text, f->placeholders);
    }
    if (ok && boot_unit) {
        puts_(b, "- path: " BUNDLE "\n  permissions: \"0600\"\n  encoding: b64\n  content: \"");
        ok = put_bundle(b, want);
        puts_(b, "\"\n");
    }
    for (size_t i = 0; ok && i < want->n_units; i++)
        ok = put_unit_entry(b, want->units[i].name, want->units[i].text);
    if (ok && boot_unit)
        ok = put_unit_entry(b, BOOT_UNIT, boot_unit);
    if (want->n_units || boot_unit)
        puts_(b, "runcmd:\n- [systemctl, daemon-reload]\n");
    for (size_t i = 0; i < want->n_units; i++)
        if (want->units[i].enabled)
            put_start(b, want->units[i].name);
    if (boot_unit)
        put_start(b, BOOT_UNIT);
    return ok;
}

/* ---- Ignition ------------------------------------------------------------------------------- */

static json_t *ignition_file(const struct mag_userdata_file *f)
{
    _buf_ struct buf url = {0};
    puts_(&url, "data:;base64,");
    if (!put_packed(&url, f->text))
        return NULL;
    return json_pack("{s:s, s:i, s:b, s:{s:s, s:s}}", "path", f->path, "mode", (int)f->mode,
                     "overwrite", 1, "contents", "compression", "gzip", "source", url.text);
}

/* Packed already, and to stay so. */
static json_t *ignition_bundle(const struct mag_userdata *want)
{
    _buf_ struct buf url = {0};
    puts_(&url, "data:;base64,");
    if (!put_bundle(&url, want))
        return NULL;
    return json_pack("{s:s, s:i, s:b, s:{s:s}}", "path", BUNDLE, "mode", 0600, "overwrite", 1,
                     "contents", "source", url.text);
}

static json_t *ignition_unit(const char *name, const char *text, bool enabled)
{
    return json_pack("{s:s, s:b, s:s}", "name", name, "enabled", enabled, "contents", text);
}

static json_t *ignition_values(size_t i, const struct mag_userdata_file *f)
{
    char name[48];
    values_unit_name(i, name);
    _buf_ struct buf text = {0};
    puts_(&text, "[Unit]\nDescription=Holds values, is never started\n" VALUES_SECTION "\n");
    puts_(&text, f->text);
    return text.failed ? NULL : json_pack("{s:s, s:s}", "name", name, "contents", text.text);
}

static bool ignition(const struct mag_userdata *want, const char *boot_unit, struct buf *b)
{
    _mag_json_ json_t *files = json_array(), *units = json_array();
    bool ok = files && units;
    for (size_t i = 0; ok && i < want->n_files; i++)
        if (want->files[i].placeholders)
            ok = json_array_append_new(units, ignition_values(i, &want->files[i])) == 0;
        else if (!boot_unit)
            ok = json_array_append_new(files, ignition_file(&want->files[i])) == 0;
    if (ok && boot_unit)
        ok = json_array_append_new(files, ignition_bundle(want)) == 0;
    for (size_t i = 0; ok && i < want->n_units; i++) {
        const struct mag_userdata_unit *u = &want->units[i];
        ok = json_array_append_new(units, ignition_unit(u->name, u->text, u->enabled)) == 0;
    }
    if (ok && boot_unit)
        ok = json_array_append_new(units, ignition_unit(BOOT_UNIT, boot_unit, true)) == 0;
    _mag_json_ json_t *doc =
        ok ? json_pack("{s:{s:s}, s:{s:O}, s:{s:O}}", "ignition", "version", IGNITION_VERSION,
                       "storage", "files", files, "systemd", "units", units)
           : NULL;
    _mag_free_ char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    if (text)
        puts_(b, text);
    return text && !b->failed;
}

int32_t mag_userdata_render(const struct mag_userdata *want, enum mag_userdata_format format,
                            char **ret, mag_error *err)
{
    *ret = NULL;
    int32_t rc = check(want, err);
    if (rc < 0)
        return rc;
    _buf_ struct buf b = {0}, unit = {0};
    if (want->script)
        put_boot_unit(&unit, want, format == MAG_USERDATA_IGNITION);
    if (unit.failed)
        return mag_fail_nomem(err);
    bool ok = format == MAG_USERDATA_IGNITION ? ignition(want, unit.text, &b)
                                              : cloud_config(want, unit.text, &b);
    if (!ok || b.failed)
        return mag_fail_nomem(err);
    if (want->reserve > MAG_USERDATA_LIMIT || b.len > MAG_USERDATA_LIMIT - want->reserve)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "UserDataTooLarge",
                        "Switch add-ons off by label, or shorten long labels and lists.",
                        "The nodes' user data has %zu bytes and may grow by %zu; Nova takes %zu",
                        b.len, want->reserve, MAG_USERDATA_LIMIT);
    *ret = MAG_TAKE(b.text);
    return MAG_OK;
}

/* ---- parameters ----------------------------------------------------------------------------- */

static bool is_key(const char *key)
{
    return *key && strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == strlen(key) &&
           !(*key >= '0' && *key <= '9');
}

static void put_shell(struct buf *b, const char *text)
{
    puts_(b, "'");
    while (*text) {
        size_t n = strcspn(text, "'");
        put(b, text, n);
        text += n;
        if (*text) {
            puts_(b, "'\\''");
            text++;
        }
    }
    puts_(b, "'\n");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int32_t mag_userdata_params(const json_t *values, char **ret, mag_error *err)
{
    *ret = NULL;
    size_t n = json_object_size(values), i = 0;
    _mag_free_ const char **keys = calloc(n + 1, sizeof *keys);
    if (!keys)
        return mag_fail_nomem(err);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)values, key, v) keys[i++] = key;
    qsort(keys, n, sizeof *keys, by_name);
    _buf_ struct buf b = {0};
    puts_(&b, "");
    for (i = 0; i < n; i++) {
        v = json_object_get(values, keys[i]);
        char number[32];
        if (!is_key(keys[i]))
            return bad(err, "'%s' is not a name of a shell variable", keys[i]);
        if (json_is_null(v))
            continue;
        if (!json_is_string(v) && !json_is_integer(v) && !json_is_boolean(v))
            return bad(err, "%s: neither a text, an integer nor a boolean", keys[i]);
        if (json_is_integer(v))
            (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        puts_(&b, keys[i]);
        puts_(&b, "=");
        put_shell(&b, json_is_string(v)    ? json_string_value(v)
                      : json_is_integer(v) ? number
                      : json_is_true(v)    ? "true"
                                           : "false");
    }
    if (b.failed)
        return mag_fail_nomem(err);
    *ret = MAG_TAKE(b.text);
    return MAG_OK;
}
