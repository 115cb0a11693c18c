/* See trust.h. A file that can't be read or is no key is nobody's. */
#include "drivers/trust.h"

#include "base/io.h"
#include "base/str.h"
#include "drivers/bundle.h"
#include "drivers/bundle_index.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum { KEY_MAX = 16384 };

struct wanted { /* one of the two */
    const char *fingerprint;
    const void *data;
    size_t len;
    const unsigned char *signature;
};

static bool is_it(const struct wanted *w, const char *dir, const char *file)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, file), *pem = NULL;
    char fingerprint[65];
    size_t len = 0;
    struct err unread = ERR_INIT;
    if (!path || io_read_file(path, KEY_MAX, &pem, &len, &unread) != 0)
        return false;
    if (w->signature)
        return sign_matches(pem, len, w->data, w->len, w->signature);
    return bundle_key_check(pem, len, fingerprint, &unread) == 0 &&
           str_eq(fingerprint, w->fingerprint);
}

static int look(const char *keys_dir, const struct wanted *w, char **ret, struct err *e)
{
    DIR *d = opendir(keys_dir);
    bool found = false;
    *ret = NULL;
    if (!d)
        return errno == ENOENT ? 0 : err_errno(e, errno, "cannot read %s", keys_dir);
    for (const struct dirent *x; !found && (x = readdir(d));) {
        if (x->d_name[0] == '.' || !str_ends(x->d_name, ".pem") || !is_it(w, keys_dir, x->d_name))
            continue;
        found = true;
        *ret = strndup(x->d_name, strlen(x->d_name) - strlen(".pem"));
    }
    (void)closedir(d);
    return found && !*ret ? err_nomem(e) : 0;
}

int trust_signer(const char *keys_dir, const void *data, size_t len,
                 const unsigned char signature[SIGNATURE_BYTES], char **ret, struct err *e)
{
    const struct wanted w = {.data = data, .len = len, .signature = signature};
    return look(keys_dir, &w, ret, e);
}

int trust_find(const char *keys_dir, const char *fingerprint, char **ret, struct err *e)
{
    const struct wanted w = {.fingerprint = fingerprint};
    return look(keys_dir, &w, ret, e);
}
