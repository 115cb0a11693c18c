/* Sealing private keys for the database: AES-256-GCM, a fresh 96-bit nonce each time, the row's
 * identity as associated data so that a sealed text can't be moved to another row. See certs.h. */
#include "certs/certs.h"

#include "base/box.h"
#include "base/io.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_LEN = 32, NONCE_LEN = 12, TAG_LEN = 16, SEALED_MAX = 1 << 20 };
enum { KEYS_MAX = 16, FILE_MAX = 2048 };
static const char prefix[] = "v1:";

static void ctx_freep(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
}

static int wrong_key(const struct secret *key, struct err *e)
{
    return key->len == KEY_LEN
               ? 0
               : err_set(e, ERR_CONFIG, "the sealing key must have %d bytes", KEY_LEN);
}

int certs_seal(const struct secret *key, const char *context, const void *data, size_t len,
               char **ret, struct err *e)
{
    int n = 0, tail = 0, rc = wrong_key(key, e);
    if (rc != 0)
        return rc;
    if (len > SEALED_MAX)
        return err_set(e, ERR_TOO_LARGE, "too much to seal: %zu bytes", len);
    size_t total = NONCE_LEN + len + TAG_LEN;
    _cleanup_free_ unsigned char *raw = malloc(total);
    char *text = malloc(sizeof prefix + 4 * ((total + 2) / 3));
    _cleanup_(ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!raw || !text || !ctx) {
        free(text);
        return err_nomem(e);
    }
    if (RAND_bytes(raw, NONCE_LEN) != 1 ||
        !EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), (const unsigned char *)key->data, raw, NULL) ||
        !EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *)context, (int)strlen(context)) ||
        !EVP_EncryptUpdate(ctx, raw + NONCE_LEN, &n, data, (int)len) ||
        !EVP_EncryptFinal_ex(ctx, raw + NONCE_LEN + n, &tail) ||
        !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, raw + NONCE_LEN + len)) {
        free(text);
        return err_set(e, ERR_INTERNAL, "sealing failed");
    }
    memcpy(text, prefix, sizeof prefix - 1);
    (void)EVP_EncodeBlock((unsigned char *)text + sizeof prefix - 1, raw, (int)total);
    *ret = text;
    return 0;
}

static int broken(struct err *e)
{
    return err_set(e, ERR_INVALID,
                   "a sealed value can't be opened: it is damaged, or certificates.key_file does "
                   "not have the key it was sealed with");
}

/* Base64 to fresh memory; *len without the padding. NULL when malformed. */
static unsigned char *decode(const char *text, size_t *len)
{
    size_t n = strlen(text);
    if (n == 0 || n % 4 || n > 2 * SEALED_MAX)
        return NULL;
    unsigned char *raw = malloc(n / 4 * 3);
    if (!raw || EVP_DecodeBlock(raw, (const unsigned char *)text, (int)n) < 0) {
        free(raw);
        return NULL;
    }
    *len = n / 4 * 3 - (size_t)(text[n - 1] == '=') - (size_t)(text[n - 2] == '=');
    return raw;
}

int certs_unseal(const struct secret *key, const char *context, const char *sealed,
                 struct secret *ret, struct err *e)
{
    size_t total = 0;
    int n = 0, tail = 0, rc = wrong_key(key, e);
    if (rc != 0)
        return rc;
    if (!sealed || strncmp(sealed, prefix, sizeof prefix - 1) != 0)
        return broken(e);
    _cleanup_free_ unsigned char *raw = decode(sealed + sizeof prefix - 1, &total);
    if (!raw || total < NONCE_LEN + TAG_LEN)
        return broken(e);
    size_t len = total - NONCE_LEN - TAG_LEN;
    _cleanup_secret_ struct secret plain = SECRET_INIT;
    _cleanup_(ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx || secret_set(&plain, raw + NONCE_LEN, len) != 0)
        return err_nomem(e);
    if (!EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), (const unsigned char *)key->data, raw, NULL) ||
        !EVP_DecryptUpdate(ctx, NULL, &n, (const unsigned char *)context, (int)strlen(context)) ||
        !EVP_DecryptUpdate(ctx, (unsigned char *)plain.data, &n, raw + NONCE_LEN, (int)len) ||
        !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, raw + NONCE_LEN + len) ||
        EVP_DecryptFinal_ex(ctx, (unsigned char *)plain.data + n, &tail) <= 0)
        return broken(e);
    secret_free(ret);
    *ret = plain;
    plain = (struct secret)SECRET_INIT;
    return 0;
}

/* ---- key files ---- */

struct seal_keys {
    struct shared shared;
    size_t n;
    struct secret v[KEYS_MAX]; /* the first one seals */
};

static void end_keys(void *self)
{
    struct seal_keys *k = self;
    for (size_t i = 0; i < k->n; i++)
        secret_free(&k->v[i]);
    free(k);
}

void seal_keys_unref(struct seal_keys *k)
{
    shared_unref(k);
}

static int from_hex(const char *text, unsigned char out[KEY_LEN])
{
    for (int i = 0; i < KEY_LEN; i++) {
        unsigned v;
        if (strspn(text + 2 * i, "0123456789abcdefABCDEF") < 2 ||
            sscanf(text + 2 * i, "%2x", &v) != 1)
            return -1;
        out[i] = (unsigned char)v;
    }
    return 0;
}

static int add_key(struct seal_keys *k, const void *raw, struct err *e)
{
    if (secret_set(&k->v[k->n], raw, KEY_LEN) != 0)
        return err_nomem(e);
    k->n++;
    return 0;
}

/* Empty lines count for nothing. */
static int parse_keys(const char *path, const char *text, size_t len, struct seal_keys *k,
                      struct err *e)
{
    unsigned char raw[KEY_LEN];
    int rc = 0;
    if (len == KEY_LEN)
        return add_key(k, text, e);
    for (const char *line = text, *stop = text + len; rc == 0 && line < stop;) {
        size_t n = strcspn(line, "\r\n");
        if (n && (n != 2 * KEY_LEN || k->n == KEYS_MAX || from_hex(line, raw) != 0))
            rc = ERR_CONFIG;
        else if (n)
            rc = add_key(k, raw, e);
        line += n + 1;
    }
    secret_wipe(raw, sizeof raw);
    if (rc == ERR_CONFIG || (rc == 0 && k->n == 0))
        return err_set(e, ERR_CONFIG,
                       "certificates.key_file %s must hold %d bytes or %d hex digits, or up to %d "
                       "lines of so many digits",
                       path, KEY_LEN, 2 * KEY_LEN, KEYS_MAX);
    return rc;
}

int seal_keys_load(const char *path, struct seal_keys **ret, struct err *e)
{
    struct stat st;
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    if (stat(path, &st) < 0)
        return err_errno(e, errno, "certificates.key_file %s", path);
    if (st.st_mode & 077)
        return err_set(e, ERR_CONFIG,
                       "certificates.key_file %s can be read by others: run chmod 600 on it", path);
    int rc = io_read_file(path, FILE_MAX, &text, &len, e);
    if (rc != 0)
        return rc;
    _cleanup_seal_keys_ struct seal_keys *k = calloc(1, sizeof *k);
    if (k) {
        shared_init(&k->shared, end_keys);
        rc = parse_keys(path, text, len, k, e);
    } else {
        rc = err_nomem(e);
    }
    secret_wipe(text, len);
    if (rc == 0)
        *ret = TAKE_PTR(k);
    return rc;
}

int certs_key_load(const char *path, struct secret *ret, struct err *e)
{
    _cleanup_seal_keys_ struct seal_keys *k = NULL;
    int rc = seal_keys_load(path, &k, e);
    if (rc != 0)
        return rc;
    return secret_set(ret, k->v[0].data, KEY_LEN) == 0 ? 0 : err_nomem(e);
}

static bool has_key(const struct seal_keys *k, const struct secret *key)
{
    for (size_t i = 0; i < k->n; i++)
        if (memcmp(k->v[i].data, key->data, KEY_LEN) == 0)
            return true;
    return false;
}

bool seal_keys_succeed(const struct seal_keys *k, const struct seal_keys *other, bool *ret_all)
{
    *ret_all = true;
    for (size_t i = 0; i < other->n; i++)
        *ret_all &= has_key(k, &other->v[i]);
    return has_key(k, &other->v[0]);
}

int seal_keys_seal(const struct seal_keys *k, const char *context, const void *data, size_t len,
                   char **ret, struct err *e)
{
    return certs_seal(&k->v[0], context, data, len, ret, e);
}

/* A sealed text does not say by which key: the wrong ones fail on its tag. */
int seal_keys_open(const struct seal_keys *k, const char *context, const char *sealed,
                   struct secret *ret, struct err *e)
{
    int rc = ERR_INVALID;
    for (size_t i = 0; i < k->n && rc == ERR_INVALID; i++)
        rc = certs_unseal(&k->v[i], context, sealed, ret, e);
    return rc;
}

/* Several processes may start at once: the first key stays, whoever made it. */
static int publish(const char *tmp, const char *path, struct err *e)
{
    int rc = 0;
    if (link(tmp, path) < 0 && errno != EEXIST)
        rc = err_errno(e, errno, "cannot make certificates.key_file %s", path);
    (void)unlink(tmp);
    return rc;
}

int certs_key_make(const char *path, struct err *e)
{
    unsigned char raw[KEY_LEN];
    char hex[2 * KEY_LEN + 2];
    if (access(path, F_OK) == 0)
        return 0;
    _cleanup_free_ char *tmp = str_fmt("%s.new.%d", path, (int)getpid());
    if (!tmp)
        return err_nomem(e);
    if (RAND_bytes(raw, sizeof raw) != 1)
        return err_set(e, ERR_INTERNAL, "no random bytes for a key");
    for (int i = 0; i < KEY_LEN; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    hex[2 * KEY_LEN] = '\n';
    int rc = io_write_file(tmp, hex, 2 * KEY_LEN + 1, 0600, e);
    secret_wipe(raw, sizeof raw);
    secret_wipe(hex, sizeof hex);
    return rc == 0 ? publish(tmp, path, e) : rc;
}
