/* CURVE keys: made by magnum-keygen, loaded by client and server. See rpc.h for the files, gate.c
 * for whom they let in. */
#include "base/io.h"
#include "rpc/rpc_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Written beside its place and renamed, so that nobody ever reads half a key. */
static int save(zcert_t *cert, const char *path, bool with_secret, struct err *e)
{
    _cleanup_free_ char *tmp = str_fmt("%s.new", path);
    if (!tmp)
        return err_nomem(e);
    int rc = 0;
    /* Made with its mode first: never readable by others, not even for a moment. */
    _cleanup_close_ int fd =
        open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, with_secret ? 0600 : 0644);
    if (fd < 0 || fchmod(fd, with_secret ? 0600 : 0644) < 0)
        return err_errno(e, errno, "cannot write %s", tmp);
    if ((with_secret ? zcert_save_secret(cert, tmp) : zcert_save_public(cert, tmp)) < 0)
        rc = err_errno(e, errno ? errno : EIO, "cannot write %s", tmp);
    else if (fsync(fd) < 0 || rename(tmp, path) < 0)
        rc = err_errno(e, errno, "cannot write %s", path);
    if (rc < 0)
        (void)unlink(tmp);
    return rc;
}

static int make_one(const char *dir, const char *name, bool force, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name);
    if (!path)
        return err_nomem(e);
    struct stat st;
    if (!force && lstat(path, &st) == 0)
        return 0;
    zcert_t *cert = zcert_new();
    if (!cert)
        return err_set(e, ERR_INTERNAL, "ZeroMQ was built without CURVE");
    zcert_set_meta(cert, "name", "%s", name);
    int rc = save(cert, path, true, e);
    zcert_destroy(&cert);
    return rc;
}

/* The API's public key into authorized/, whether its key is new or was there before. */
static int authorize(const char *dir, struct err *e)
{
    zcert_t *api = NULL;
    int rc = rpc_key_load(dir, "api.key", &api, e);
    if (rc < 0)
        return rc;
    _cleanup_free_ char *path = str_fmt("%s/authorized/api.key", dir);
    rc = path ? save(api, path, false, e) : err_nomem(e);
    zcert_destroy(&api);
    return rc;
}

int rpc_keys_make(const char *dir, bool force, struct err *e)
{
    _cleanup_free_ char *authorized = str_fmt("%s/authorized", dir);
    if (!authorized)
        return err_nomem(e);
    struct stat st;
    bool fresh = stat(dir, &st) < 0;
    int rc = io_mkdirs(authorized, 0755, e);
    if (rc < 0)
        return rc;
    if (fresh && chmod(dir, 0700) < 0)
        return err_errno(e, errno, "cannot set the mode of %s", dir);
    rc = make_one(dir, "conductor.key", force, e);
    if (rc == 0)
        rc = make_one(dir, "api.key", force, e);
    return rc < 0 ? rc : authorize(dir, e);
}

int rpc_key_load(const char *dir, const char *name, zcert_t **ret, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name);
    if (!path)
        return err_nomem(e);
    struct stat st;
    if (stat(path, &st) < 0)
        return err_set(e, ERR_CONFIG, "no key %s (%s): make it with magnum-keygen --dir %s", path,
                       strerror(errno), dir);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_CONFIG, "%s is not a file", path);
    if (st.st_mode & 077)
        return err_set(e, ERR_CONFIG, "%s can be read by others: chmod 600 %s", path, path);
    if (access(path, R_OK) < 0)
        return err_set(e, ERR_CONFIG, "cannot read %s: %s", path, strerror(errno));
    zcert_t *cert = zcert_load(path);
    static const byte none[32];
    if (!cert || memcmp(zcert_secret_key(cert), none, sizeof none) == 0) {
        zcert_destroy(&cert);
        return err_set(e, ERR_CONFIG, "%s is not a key made by magnum-keygen", path);
    }
    *ret = cert;
    return 0;
}

int rpc_key_read_again(const char *dir, const char *name, const zcert_t *used, struct rpc_key **ret,
                       struct err *e)
{
    zcert_t *cert = NULL;
    *ret = NULL;
    int rc = used ? rpc_key_load(dir, name, &cert, e) : 0;
    if (rc < 0)
        return err_wrap(e, "rpc.keys_dir");
    if (!cert || zcert_eq(cert, (zcert_t *)(uintptr_t)used)) {
        zcert_destroy(&cert);
        return 0;
    }
    *ret = malloc(sizeof **ret);
    if (!*ret) {
        zcert_destroy(&cert);
        return err_nomem(e);
    }
    (*ret)->cert = cert;
    return 0;
}

void rpc_key_free(struct rpc_key **kp)
{
    struct rpc_key *k = TAKE_PTR(*kp);
    if (!k)
        return;
    zcert_destroy(&k->cert);
    free(k);
}

int rpc_authorized_check(const char *authorized, const char *dir, struct err *e)
{
    struct stat st;
    if (stat(authorized, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(e, ERR_CONFIG, "no directory %s: make it with magnum-keygen --dir %s",
                       authorized, dir);
    if (st.st_mode & 022)
        return err_set(e, ERR_CONFIG, "%s can be written by others: chmod go-w %s", authorized,
                       authorized);
    return 0;
}

int rpc_keys_check(const char *dir, struct err *e)
{
    static const char *const names[] = {"conductor.key", "api.key"};
    _cleanup_free_ char *authorized = str_fmt("%s/authorized", dir);
    if (!authorized)
        return err_nomem(e);
    size_t there = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *path = str_fmt("%s/%s", dir, names[i]);
        if (!path)
            return err_nomem(e);
        if (access(path, F_OK) < 0 && errno == ENOENT)
            continue;
        zcert_t *cert = NULL;
        int rc = rpc_key_load(dir, names[i], &cert, e);
        zcert_destroy(&cert);
        if (rc == 0 && i == 0) /* a conductor's host */
            rc = rpc_authorized_check(authorized, dir, e);
        if (rc < 0)
            return rc;
        there++;
    }
    return there ? 0
                 : err_set(e, ERR_CONFIG, "no keys in %s: make them with magnum-keygen --dir %s",
                           dir, dir);
}
