/* Changing the sealing keys, and looking at all bundles. See store.h.
 *
 * While the lock is held nobody reads or adds. First the new key is kept beside the old one, then
 * bundle after bundle is sealed anew, then the old key is forgotten: at any moment every bundle can
 * be opened with a key of keyring.json. */
#include "store.h"

#include "lib/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { LOCK_WAIT_MS = 60000 };
#define SUFFIX ".bundle"

/* What is done with one file; text: as read. */
typedef int32_t (*each_fn)(void *ctx, int dir, const char *name, const char *text, size_t len,
                           mag_error *err);

static int32_t one_file(int dir, const char *name, each_fn fn, void *ctx, mag_error *err)
{
    char *text = NULL;
    size_t len = 0;
    int32_t rc = file_read(dir, name, &text, &len, err);
    if (rc == MAG_OK)
        rc = fn(ctx, dir, name, text, len, err);
    free(text);
    return rc;
}

static bool is_bundle(const char *name)
{
    size_t n = strlen(name);
    return name[0] != '.' && n > strlen(SUFFIX) && strcmp(name + n - strlen(SUFFIX), SUFFIX) == 0;
}

/* stop: at the first failure; else the first one is returned at the end. */
static int32_t each(int dir, bool stop, each_fn fn, void *ctx, mag_error *err)
{
    mag_error why = {.struct_size = sizeof why};
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;
    int32_t first = MAG_OK;
    if (!d)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "Storage", NULL,
                        "cannot read the directory");
    while (!(stop && first != MAG_OK) && (entry = readdir(d))) {
        if (!is_bundle(entry->d_name))
            continue;
        int32_t rc = one_file(dir, entry->d_name, fn, ctx, &why);
        if (rc != MAG_OK && first == MAG_OK) {
            first = rc;
            (void)mag_fail(err, rc, why.flags, why.reason, why.remedy, "%s", why.message);
        }
    }
    closedir(d);
    return first;
}

/* The key is in the file; that the name fits it is checked by the readers of single bundles. */
static int32_t key_in(const char *text, size_t len, const char *name, char *ret, size_t cap,
                      mag_error *err)
{
    _mag_json_ json_t *doc = json_loadb(text, len, 0, NULL);
    const char *key = mag_json_text(doc, "key", NULL);
    if (!key || strlen(key) >= cap)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "Damaged",
                        "restore the file from a backup", "%s is damaged", name);
    (void)snprintf(ret, cap, "%s", key);
    return MAG_OK;
}

struct work {
    const struct keyring *keys;
    int n;
};

static int32_t reseal(void *ctx, int dir, const char *name, const char *text, size_t len,
                      mag_error *err)
{
    struct work *w = ctx;
    char key[256];
    _mag_json_ json_t *bundle = NULL;
    _mag_free_ char *fresh = NULL;
    _mag_json_ json_t *doc = json_loadb(text, len, 0, NULL);
    if (strcmp(mag_json_text(doc, "sealed.key", ""), w->keys->keys[w->keys->n - 1].id) == 0)
        return MAG_OK; /* done before the cut */
    int32_t rc = key_in(text, len, name, key, sizeof key, err);
    if (rc == MAG_OK)
        rc = bundle_parse(text, len, key, w->keys, &bundle, err);
    if (rc == MAG_OK)
        rc = bundle_write(bundle, key, w->keys, &fresh, err);
    if (rc == MAG_OK)
        rc = file_write(dir, name, fresh, strlen(fresh), true, err);
    w->n += rc == MAG_OK;
    return rc;
}

static int32_t verify(void *ctx, int dir, const char *name, const char *text, size_t len,
                      mag_error *err)
{
    struct work *w = ctx;
    char key[256];
    _mag_json_ json_t *bundle = NULL;
    (void)dir;
    int32_t rc = key_in(text, len, name, key, sizeof key, err);
    if (rc == MAG_OK)
        rc = bundle_parse(text, len, key, w->keys, &bundle, err);
    w->n += rc == MAG_OK;
    return rc;
}

static int32_t change(const struct store *s, const struct master *next, int dir, struct keyring *k,
                      int *ret, mag_error *err)
{
    struct work w = {.keys = k};
    int32_t rc = k->n > 1 ? MAG_OK : keyring_add(k, err); /* more than one: it was cut off here */
    if (rc == MAG_OK)
        rc = keyring_store(dir, &s->master, k, err);
    if (rc == MAG_OK)
        rc = each(dir, true, reseal, &w, err);
    *ret = w.n;
    if (rc != MAG_OK)
        return rc;
    k->keys[0] = k->keys[k->n - 1];
    k->n = 1;
    return keyring_store(dir, next, k, err);
}

int32_t store_rotate(const struct store *s, const struct master *next, int *ret, mag_error *err)
{
    struct keyring k = {.n = 0};
    _mag_close_ int dir = -1, lock = -1;
    *ret = 0;
    int32_t rc = dir_open(s->path, false, &dir, err);
    if (rc == MAG_OK)
        rc = dir_lock(dir, true, LOCK_WAIT_MS, &lock, err);
    if (rc == MAG_OK)
        rc = keyring_load(dir, &s->master, &k, err);
    if (rc == MAG_OK)
        rc = change(s, next, dir, &k, ret, err);
    keyring_wipe(&k);
    return rc;
}

int32_t store_verify(const struct store *s, int *ret, mag_error *err)
{
    struct keyring k = {.n = 0};
    struct work w = {.keys = &k};
    _mag_close_ int dir = -1, lock = -1;
    *ret = 0;
    int32_t rc = dir_open(s->path, false, &dir, err);
    if (rc == MAG_OK)
        rc = dir_lock(dir, false, LOCK_WAIT_MS, &lock, err);
    if (rc == MAG_OK)
        rc = keyring_load(dir, &s->master, &k, err);
    if (rc == MAG_OK)
        rc = each(dir, false, verify, &w, err);
    *ret = w.n;
    keyring_wipe(&k);
    return rc;
}
