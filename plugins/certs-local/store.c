/* See store.h. */
#include "store.h"

#include "lib/json.h"

#include <stdio.h>
#include <string.h>

enum { KEY_MAX = 200, LOCK_WAIT_MS = 10000 };
#define SUFFIX ".bundle"

static const char *const open_parts[] = {"certificate", "chain"};
static const char *const sealed_parts[] = {"private_key", "passphrase"};

/* "<cluster>/<role>/<serial>" as one name. '~' is in no key, so two keys never meet. */
static int32_t file_name(const char *key, char ret[KEY_MAX + 16], mag_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "/_.-";
    size_t n = strlen(key);
    if (n == 0 || n > KEY_MAX || key[0] == '.' || strspn(key, allowed) != n)
        return mag_fail(err, MAG_E_INVALID, 0, "BadKey", NULL, "this is no key of a bundle");
    (void)snprintf(ret, KEY_MAX + 16, "%s%s", key, SUFFIX);
    for (char *p = ret; *p; p++)
        if (*p == '/')
            *p = '~';
    return MAG_OK;
}

/* ---- one file ---- */
/* The certificate is part of the context: a key can't be put beside another certificate. */
static char *context_of(const char *key, const json_t *bundle)
{
    const char *certificate = mag_json_text(bundle, "certificate", "");
    size_t n = strlen(key) + strlen(certificate) + 2;
    char *text = malloc(n);
    if (text)
        (void)snprintf(text, n, "%s\n%s", key, certificate);
    return text;
}

/* A damaged file is named by its key, not by the whole context. */
static int32_t named(int32_t rc, const char *key, mag_error *err)
{
    if (rc == MAG_E_INVALID)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "Damaged",
                        "restore the file and keyring.json from a backup",
                        "bundle %s can't be opened: it is damaged, or sealed with another key",
                        key);
    return rc;
}

static int copy_parts(const json_t *from, json_t *to, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_object_get(from, names[i]);
        if (json_is_string(v) && json_object_set(to, names[i], v) < 0)
            return -1;
    }
    return 0;
}

int32_t bundle_write(const json_t *bundle, const char *key, const struct keyring *k, char **ret,
                     mag_error *err)
{
    _mag_json_ json_t *doc = json_pack("{s:i,s:s}", "v", 1, "key", key);
    _mag_json_ json_t *secrets = json_object();
    _mag_free_ char *context = context_of(key, bundle);
    json_t *sealed = NULL;
    if (!doc || !context || copy_parts(bundle, doc, open_parts, MAG_LEN(open_parts)) ||
        copy_parts(bundle, secrets, sealed_parts, MAG_LEN(sealed_parts)))
        return mag_fail_nomem(err);
    char *plain = json_dumps(secrets, JSON_COMPACT);
    if (!plain)
        return mag_fail_nomem(err);
    int32_t rc = keyring_seal(k, context, plain, strlen(plain), &sealed, err);
    wipe_free(&plain, strlen(plain));
    if (rc == MAG_OK && json_object_set_new(doc, "sealed", sealed) < 0)
        rc = mag_fail_nomem(err);
    if (rc != MAG_OK)
        return rc;
    *ret = json_dumps(doc, JSON_INDENT(1));
    return *ret ? MAG_OK : mag_fail_nomem(err);
}

static int32_t open_secrets(const json_t *doc, const char *key, const struct keyring *k,
                            json_t *bundle, mag_error *err)
{
    _mag_free_ char *context = context_of(key, doc);
    char *plain = NULL;
    size_t len = 0;
    if (!context)
        return mag_fail_nomem(err);
    int32_t rc = keyring_unseal(k, context, mag_json_at(doc, "sealed"), &plain, &len, err);
    if (rc != MAG_OK)
        return named(rc, key, err);
    _mag_json_ json_t *secrets = json_loadb(plain, len, 0, NULL);
    wipe_free(&plain, len);
    if (!secrets)
        return named(MAG_E_INVALID, key, err);
    return copy_parts(secrets, bundle, sealed_parts, MAG_LEN(sealed_parts)) ? mag_fail_nomem(err)
                                                                            : MAG_OK;
}

int32_t bundle_parse(const char *text, size_t len, const char *key, const struct keyring *k,
                     json_t **ret, mag_error *err)
{
    _mag_json_ json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    _mag_json_ json_t *bundle = json_object();
    if (!bundle)
        return mag_fail_nomem(err);
    if (mag_json_int(doc, "v", 0) != 1 || strcmp(mag_json_text(doc, "key", ""), key) != 0 ||
        !mag_json_text(doc, "certificate", NULL))
        return named(MAG_E_INVALID, key, err);
    int32_t rc =
        copy_parts(doc, bundle, open_parts, MAG_LEN(open_parts)) ? mag_fail_nomem(err) : MAG_OK;
    if (rc == MAG_OK && k)
        rc = open_secrets(doc, key, k, bundle, err);
    if (rc == MAG_OK)
        *ret = MAG_TAKE(bundle);
    return rc;
}

/* ---- the directory ---- */
struct opened {
    int dir, lock;
    struct keyring keys;
};

static void leave(struct opened *o)
{
    keyring_wipe(&o->keys);
    mag_closep(&o->lock);
    mag_closep(&o->dir);
}

/* make: the directory and the first key are made when they are missing. */
static int32_t enter(const struct store *s, bool make, bool keys, struct opened *o, mag_error *err)
{
    *o = (struct opened){.dir = -1, .lock = -1};
    int32_t rc = dir_open(s->path, make, &o->dir, err);
    if (rc == MAG_OK && make)
        rc = keyring_make(o->dir, &s->master, &o->keys, err);
    if (rc == MAG_OK)
        rc = dir_lock(o->dir, false, LOCK_WAIT_MS, &o->lock, err);
    if (rc == MAG_OK && keys) /* under the lock: they may have been changed */
        rc = keyring_load(o->dir, &s->master, &o->keys, err);
    if (rc != MAG_OK)
        leave(o);
    return rc;
}

static int32_t read_bundle(const struct opened *o, const char *name, const char *key, bool secrets,
                           json_t **ret, mag_error *err)
{
    char *text = NULL;
    size_t len = 0;
    int32_t rc = file_read(o->dir, name, &text, &len, err);
    if (rc == MAG_OK)
        rc = bundle_parse(text, len, key, secrets ? &o->keys : NULL, ret, err);
    free(text);
    return rc;
}

static bool same(const json_t *a, const json_t *b)
{
    bool equal = true;
    for (size_t i = 0; i < MAG_LEN(open_parts); i++)
        equal = equal && strcmp(mag_json_text(a, open_parts[i], ""),
                                mag_json_text(b, open_parts[i], "")) == 0;
    for (size_t i = 0; i < MAG_LEN(sealed_parts); i++)
        equal = equal && strcmp(mag_json_text(a, sealed_parts[i], ""),
                                mag_json_text(b, sealed_parts[i], "")) == 0;
    return equal;
}

/* The first one stays, whoever is asked to put another. */
static int32_t compare(const struct opened *o, const char *name, const char *key,
                       const json_t *bundle, mag_error *err)
{
    _mag_json_ json_t *there = NULL;
    int32_t rc = read_bundle(o, name, key, true, &there, err);
    if (rc == MAG_OK && !same(there, bundle))
        rc = mag_fail(err, MAG_E_EXISTS, 0, "Exists", NULL, "another bundle is stored as %s", key);
    return rc;
}

int32_t store_put(const struct store *s, const char *key, const json_t *bundle, mag_error *err)
{
    char name[KEY_MAX + 16];
    struct opened o;
    _mag_free_ char *text = NULL;
    if (!mag_json_text(bundle, "certificate", NULL))
        return mag_fail(err, MAG_E_INVALID, 0, "NoCertificate", NULL,
                        "a bundle has a certificate at least");
    int32_t rc = file_name(key, name, err);
    if (rc == MAG_OK)
        rc = enter(s, true, true, &o, err);
    if (rc != MAG_OK)
        return rc;
    rc = faccessat(o.dir, name, F_OK, 0) == 0 ? MAG_E_EXISTS : MAG_OK;
    if (rc == MAG_OK)
        rc = bundle_write(bundle, key, &o.keys, &text, err);
    if (rc == MAG_OK)
        rc = file_write(o.dir, name, text, strlen(text), false, err);
    if (rc == MAG_E_EXISTS)
        rc = compare(&o, name, key, bundle, err);
    leave(&o);
    return rc;
}

int32_t store_get(const struct store *s, const char *key, bool secrets, json_t **ret,
                  mag_error *err)
{
    char name[KEY_MAX + 16];
    struct opened o;
    int32_t rc = file_name(key, name, err);
    if (rc == MAG_OK)
        rc = enter(s, false, secrets, &o, err);
    if (rc != MAG_OK)
        return rc;
    rc = read_bundle(&o, name, key, secrets, ret, err);
    leave(&o);
    return rc;
}

int32_t store_delete(const struct store *s, const char *key, mag_error *err)
{
    char name[KEY_MAX + 16];
    struct opened o;
    int32_t rc = file_name(key, name, err);
    if (rc == MAG_OK)
        rc = enter(s, false, false, &o, err);
    if (rc != MAG_OK)
        return rc == MAG_E_NOT_FOUND ? MAG_OK : rc; /* no directory, no bundle */
    rc = file_remove(o.dir, name, err);
    leave(&o);
    return rc;
}

int32_t store_check(const struct store *s, mag_error *err)
{
    struct opened o;
    char *text = NULL;
    size_t len = 0;
    if (!s->master.key_file && !s->master.passphrase_file)
        return mag_fail(err, MAG_E_PRECONDITION, MAG_ERR_OPERATOR, "NotConfigured",
                        "set key_file or passphrase_file in driver_config, org.magnum.certs-local",
                        "there is no key to seal private keys with");
    int32_t rc = secret_read(s->master.key_file ? s->master.key_file : s->master.passphrase_file,
                             &text, &len, err);
    wipe_free(&text, len);
    if (rc != MAG_OK)
        return rc;
    rc = dir_open(s->path, false, &o.dir, err);
    if (rc == MAG_E_NOT_FOUND) /* made with the first bundle */
        return MAG_OK;
    if (rc != MAG_OK)
        return rc;
    dir_tidy(o.dir);
    rc = keyring_load(o.dir, &s->master, &o.keys, err);
    keyring_wipe(&o.keys);
    close(o.dir);
    return rc == MAG_E_NOT_FOUND ? MAG_OK : rc;
}
