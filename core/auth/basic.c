/* The strategy `http_basic`: user and password of RFC 7617 against the htpasswd file. The file is
 * looked at on every request (one stat) and read again when it is another one; a file that cannot
 * be read leaves the users as they were. Neighbours: auth_internal.h. */
#include "auth/auth_internal.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"
#include "config/config.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum {
    FILE_MAX = 4 * 1024 * 1024,
    HEADER_MAX = 2048,
    HASHES_AT_A_TIME = 2, /* a flood of wrong passwords must not take every processor */
    HASH_WAIT_MS = 5000,
};

struct basic {
    char *path;
    struct cred_cache *cache;
    pthread_mutex_t lock;  /* file, its refs, seen */
    struct htpasswd *file; /* replaced as a whole; who checks a password holds a reference */
    struct stat seen;
    pthread_mutex_t hash_lock;
    pthread_cond_t hash_free;
    int hashing;
};

/* ---- the file ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void warn_of_mode(const char *path, const struct stat *st)
{
    if (st->st_mode & (S_IWGRP | S_IRWXO))
        log_warn("auth.file_mode",
                 "%s has mode %04o: others can read or change it; use 0640 or less", path,
                 (unsigned)(st->st_mode & 07777));
}

static int load(const char *path, struct stat *seen, struct htpasswd **ret, struct err *e)
{
    *seen = (struct stat){0};
    if (stat(path, seen) < 0)
        return err_errno(e, errno, "auth.http_basic_file %s", path);
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int rc = io_read_file(path, FILE_MAX, &text, &len, e);
    if (rc != 0)
        return err_wrap(e, "auth.http_basic_file");
    rc = strlen(text) == len ? htpasswd_parse(path, text, ret, e)
                             : err_set(e, ERR_CONFIG, "%s is no text file", path);
    secret_wipe(text, len);
    if (rc == 0)
        warn_of_mode(path, seen);
    return rc;
}

static void unref(struct basic *b, struct htpasswd *file)
{
    pthread_mutex_lock(&b->lock);
    bool last = --file->refs == 0;
    pthread_mutex_unlock(&b->lock);
    if (last)
        htpasswd_free(file);
}

/* Under the lock. */
static void reload(struct basic *b)
{
    struct htpasswd *fresh = NULL, *old = b->file;
    struct err e = ERR_INIT;
    if (load(b->path, &b->seen, &fresh, &e) != 0) {
        log_error("auth.reload", "keeping the users known so far: %s", e.msg);
        return;
    }
    b->file = fresh;
    cred_cache_clear(b->cache);
    log_info("auth.reloaded", "%s has %zu users", b->path, fresh->n);
    if (--old->refs == 0)
        htpasswd_free(old);
}

/* The users as the file says now; give back with unref. */
static struct htpasswd *current(struct basic *b)
{
    struct stat now = {0}; /* a missing file is all zero: also a change, once */
    (void)stat(b->path, &now);
    pthread_mutex_lock(&b->lock);
    if (!same_file(&now, &b->seen))
        reload(b);
    struct htpasswd *file = b->file;
    file->refs++;
    pthread_mutex_unlock(&b->lock);
    return file;
}

/* A password that was right in a file that is gone meanwhile must not be remembered. */
static void remember(struct basic *b, const struct htpasswd *file, const char *name,
                     const char *password)
{
    pthread_mutex_lock(&b->lock);
    if (file == b->file)
        cred_cache_add(b->cache, name, password, clock_mono_ms());
    pthread_mutex_unlock(&b->lock);
}

/* ---- the header ---- */

static int sextet(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

/* Strict base64 of text without NUL; out holds strlen(in) bytes. */
static bool decode(const char *in, char *out)
{
    size_t n = strlen(in), pad = 0;
    while (pad < 2 && pad < n && in[n - 1 - pad] == '=')
        pad++;
    if (n == 0 || n % 4 != 0)
        return false;
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < n - pad; i++) {
        int v = sextet(in[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (unsigned)v;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        *out = (char)(bits >> have & 0xff);
        if (!*out++)
            return false;
    }
    *out = '\0';
    return true;
}

/* buf: HEADER_MAX bytes, holds user and password after. False: no usable credentials. */
static bool read_header(const struct auth_ask *ask, char *buf, char **ret_password)
{
    const char *h = ask->header(ask->req, "Authorization");
    if (!h || strncasecmp(h, "Basic ", 6) != 0 || strlen(h) >= HEADER_MAX)
        return false;
    h += 6 + strspn(h + 6, " ");
    if (!decode(h, buf))
        return false;
    char *colon = strchr(buf, ':');
    if (!colon)
        return false;
    *colon = '\0';
    *ret_password = colon + 1;
    return auth_id_ok(buf);
}

/* ---- the check ---- */

static bool hash_enter(struct basic *b)
{
    int64_t until = clock_mono_ms() + HASH_WAIT_MS;
    pthread_mutex_lock(&b->hash_lock);
    while (b->hashing == HASHES_AT_A_TIME && cond_wait_shared(&b->hash_free, &b->hash_lock, until))
        ;
    bool in = b->hashing < HASHES_AT_A_TIME;
    b->hashing += in;
    pthread_mutex_unlock(&b->hash_lock);
    return in;
}

static void hash_leave(struct basic *b)
{
    pthread_mutex_lock(&b->hash_lock);
    b->hashing--;
    pthread_cond_signal(&b->hash_free);
    pthread_mutex_unlock(&b->hash_lock);
}

static int fill(const struct htpasswd_user *u, struct auth_context *ret, struct err *e)
{
    const char *project = u->project ? u->project : "default";
    ret->user_id = strdup(u->name);
    ret->user_name = strdup(u->name);
    ret->project_id = strdup(project);
    ret->project_name = strdup(project);
    ret->domain_id = strdup("default");
    if (!ret->user_id || !ret->user_name || !ret->project_id || !ret->project_name ||
        !ret->domain_id)
        return err_nomem(e);
    for (size_t i = 0; i < u->roles.n; i++)
        if (strv_add(&ret->roles, u->roles.v[i]) != 0)
            return err_nomem(e);
    return 0;
}

static int check_user(struct basic *b, const struct htpasswd *file, const char *name,
                      const char *password, struct auth_context *ret, struct err *e)
{
    const struct htpasswd_user *u = htpasswd_find(file, name);
    if (!u || !cred_cache_has(b->cache, name, password, clock_mono_ms())) {
        if (!hash_enter(b))
            return err_set(e, ERR_UNAVAILABLE, "too many logins at a time; try again");
        bool ok = htpasswd_verify(file, u, password);
        hash_leave(b);
        if (!ok)
            return auth_unknown(e);
        remember(b, file, name, password);
    }
    return fill(u, ret, e);
}

static int check(void *state, const struct auth_ask *ask, struct auth_context *ret, struct err *e)
{
    struct basic *b = state;
    char buf[HEADER_MAX], *password = NULL;
    int rc = ERR_UNAUTHORIZED;
    if (read_header(ask, buf, &password)) {
        struct htpasswd *file = current(b);
        rc = check_user(b, file, buf, password, ret, e);
        unref(b, file);
    } else {
        auth_unknown(e);
    }
    secret_wipe(buf, sizeof buf);
    return rc;
}

static bool may_wait(void *state, const struct auth_ask *ask)
{
    struct basic *b = state;
    char buf[HEADER_MAX], *password = NULL;
    bool waits = read_header(ask, buf, &password) &&
                 !cred_cache_has(b->cache, buf, password, clock_mono_ms());
    secret_wipe(buf, sizeof buf);
    return waits;
}

static void stop(void *state)
{
    struct basic *b = state;
    htpasswd_free(b->file);
    cred_cache_free(b->cache);
    pthread_mutex_destroy(&b->lock);
    pthread_mutex_destroy(&b->hash_lock);
    pthread_cond_destroy(&b->hash_free);
    free(b->path);
    free(b);
}

static int check_file(void *state, struct err *e)
{
    const struct basic *b = state;
    struct htpasswd *file = NULL;
    struct stat seen;
    int rc = load(b->path, &seen, &file, e);
    htpasswd_free(file);
    return rc;
}

static int start(const struct config *cfg, void **ret_state, struct err *e)
{
    struct basic *b = calloc(1, sizeof *b);
    if (!b)
        return err_nomem(e);
    pthread_mutex_init(&b->lock, NULL);
    pthread_mutex_init(&b->hash_lock, NULL);
    cond_init(&b->hash_free);
    b->path = strdup(cfg->auth_http_basic_file);
    int rc = b->path ? load(b->path, &b->seen, &b->file, e) : err_nomem(e);
    if (rc == 0 && b->file->n == 0)
        rc = err_set(e, ERR_CONFIG, "%s has no users; add one with `htpasswd -B -c`", b->path);
    if (rc == 0)
        rc = cred_cache_new((size_t)cfg->auth_cache_entries, cfg->auth_cache_seconds * 1000,
                            &b->cache, e);
    if (rc != 0) {
        stop(b);
        return rc;
    }
    *ret_state = b;
    return 0;
}

const struct auth_strategy auth_basic = {.name = "http_basic",
                                         .challenge = "Basic realm=\"magnum\"",
                                         .start = start,
                                         .check = check,
                                         .may_wait = may_wait,
                                         .check_file = check_file,
                                         .stop = stop};
