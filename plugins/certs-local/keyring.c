/* See keyring.h. */
#include "keyring.h"

#include "lib/json.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

enum { NONCE_LEN = 12, TAG_LEN = 16, SALT_LEN = 16, TEXT_MAX = 196608 };
/* About a tenth of a second and 32 MiB; what a file asks for is limited to four times that. */
enum { SCRYPT_N = 32768, SCRYPT_R = 8, SCRYPT_P = 1, SCRYPT_N_MAX = 131072 };
#define KEYRING_NAME "keyring.json"

static void ctx_freep(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
}

static int32_t broken(mag_error *err, const char *what)
{
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "Damaged",
                    "restore the file from a backup", "%s can't be opened: it is damaged", what);
}

static int32_t crypto_failed(mag_error *err)
{
    return mag_fail(err, MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "Crypto", NULL,
                    "the cryptographic library failed");
}

void keyring_wipe(struct keyring *k)
{
    explicit_bzero(k, sizeof *k);
}

/* ---- texts ---- */
static json_t *base64(const unsigned char *data, size_t n)
{
    unsigned char *text = malloc(4 * ((n + 2) / 3) + 1);
    if (!text)
        return NULL;
    (void)EVP_EncodeBlock(text, data, (int)n);
    json_t *j = json_string((const char *)text);
    free(text);
    return j;
}

/* NULL when it is no base64. */
static unsigned char *unbase64(const char *text, size_t *len)
{
    size_t n = text ? strlen(text) : 0;
    if (n == 0 || n % 4 || n > (size_t)2 * TEXT_MAX)
        return NULL;
    unsigned char *raw = malloc(n / 4 * 3);
    if (!raw || EVP_DecodeBlock(raw, (const unsigned char *)text, (int)n) < 0) {
        free(raw);
        return NULL;
    }
    *len = n / 4 * 3 - (size_t)(text[n - 1] == '=') - (size_t)(text[n - 2] == '=');
    return raw;
}

/* ---- AES-256-GCM ---- */
static int32_t encrypt(const unsigned char key[KEY_LEN], const char *context, const void *data,
                       size_t len, json_t **ret_nonce, json_t **ret_data, mag_error *err)
{
    unsigned char nonce[NONCE_LEN];
    int n = 0, tail = 0;
    _mag_free_ unsigned char *out = malloc(len + TAG_LEN);
    _mag_cleanup_(ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!out || !ctx)
        return mag_fail_nomem(err);
    if (RAND_bytes(nonce, sizeof nonce) != 1 ||
        !EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) ||
        !EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *)context, (int)strlen(context)) ||
        !EVP_EncryptUpdate(ctx, out, &n, data, (int)len) ||
        !EVP_EncryptFinal_ex(ctx, out + n, &tail) ||
        !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + len))
        return crypto_failed(err);
    *ret_nonce = base64(nonce, sizeof nonce);
    *ret_data = base64(out, len + TAG_LEN);
    return *ret_nonce && *ret_data ? MAG_OK : mag_fail_nomem(err);
}

/* False: another key, another context, or damaged. */
static bool decrypt(const unsigned char key[KEY_LEN], const char *context, const json_t *sealed,
                    char **ret, size_t *ret_len)
{
    size_t n_nonce = 0, total = 0;
    int n = 0, tail = 0;
    _mag_free_ unsigned char *nonce = unbase64(mag_json_text(sealed, "nonce", NULL), &n_nonce);
    _mag_free_ unsigned char *raw = unbase64(mag_json_text(sealed, "data", NULL), &total);
    _mag_cleanup_(ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!nonce || n_nonce != NONCE_LEN || !raw || total < TAG_LEN || !ctx)
        return false;
    size_t len = total - TAG_LEN;
    char *plain = malloc(len + 1);
    if (!plain)
        return false;
    if (!EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) ||
        !EVP_DecryptUpdate(ctx, NULL, &n, (const unsigned char *)context, (int)strlen(context)) ||
        !EVP_DecryptUpdate(ctx, (unsigned char *)plain, &n, raw, (int)len) ||
        !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, raw + len) ||
        EVP_DecryptFinal_ex(ctx, (unsigned char *)plain + n, &tail) <= 0) {
        wipe_free(&plain, len);
        return false;
    }
    plain[len] = '\0';
    *ret = plain;
    *ret_len = len;
    return true;
}

int32_t keyring_seal(const struct keyring *k, const char *context, const char *text, size_t len,
                     json_t **ret, mag_error *err)
{
    json_t *nonce = NULL, *data = NULL;
    if (len > TEXT_MAX)
        return mag_fail(err, MAG_E_INVALID, 0, "TooLarge", NULL, "the bundle is too large");
    int32_t rc = encrypt(k->keys[k->n - 1].key, context, text, len, &nonce, &data, err);
    if (rc == MAG_OK) {
        *ret =
            json_pack("{s:s,s:o,s:o}", "key", k->keys[k->n - 1].id, "nonce", nonce, "data", data);
        return *ret ? MAG_OK : mag_fail_nomem(err);
    }
    json_decref(nonce);
    json_decref(data);
    return rc;
}

int32_t keyring_unseal(const struct keyring *k, const char *context, const json_t *sealed,
                       char **ret, size_t *len, mag_error *err)
{
    const char *id = mag_json_text(sealed, "key", "");
    for (int i = 0; i < k->n; i++)
        if (strcmp(k->keys[i].id, id) == 0)
            return decrypt(k->keys[i].key, context, sealed, ret, len) ? MAG_OK
                                                                      : broken(err, context);
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "UnknownKey",
                    "restore keyring.json from the same backup as the bundles",
                    "%s is sealed with a key that keyring.json does not have", context);
}

int32_t keyring_add(struct keyring *k, mag_error *err)
{
    unsigned char name[(KEY_ID_MAX - 1) / 2];
    if (k->n == KEYS_MAX)
        return mag_fail(err, MAG_E_PRECONDITION, MAG_ERR_OPERATOR, "TooManyKeys", NULL,
                        "keyring.json holds too many keys");
    if (RAND_bytes(k->keys[k->n].key, KEY_LEN) != 1 || RAND_bytes(name, sizeof name) != 1)
        return crypto_failed(err);
    for (size_t i = 0; i < sizeof name; i++)
        (void)snprintf(k->keys[k->n].id + 2 * i, 3, "%02x", name[i]);
    k->n++;
    return MAG_OK;
}

/* ---- the operator's key ---- */
static bool from_hex(const char *text, unsigned char out[KEY_LEN])
{
    for (size_t i = 0; i < KEY_LEN; i++) {
        unsigned v;
        if (strspn(text + 2 * i, "0123456789abcdefABCDEF") < 2 ||
            sscanf(text + 2 * i, "%2x", &v) != 1)
            return false;
        out[i] = (unsigned char)v;
    }
    return true;
}

static int32_t key_of_file(const char *path, unsigned char ret[KEY_LEN], mag_error *err)
{
    char *text = NULL;
    size_t len = 0;
    int32_t rc = secret_read(path, &text, &len, err);
    if (rc != MAG_OK)
        return rc;
    size_t trimmed = len;
    while (trimmed && (text[trimmed - 1] == '\n' || text[trimmed - 1] == '\r'))
        trimmed--;
    if (len == KEY_LEN)
        memcpy(ret, text, KEY_LEN);
    else if (trimmed != (size_t)2 * KEY_LEN || !from_hex(text, ret))
        rc = mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadKeyFile",
                      "make one: magnum-keygen --seal-key FILE",
                      "%s must hold %d bytes or %d hex digits", path, KEY_LEN, 2 * KEY_LEN);
    wipe_free(&text, len);
    return rc;
}

static int32_t key_of_passphrase(const char *path, const json_t *kdf, unsigned char ret[KEY_LEN],
                                 mag_error *err)
{
    char *text = NULL;
    size_t len = 0, n_salt = 0;
    int64_t n = mag_json_int(kdf, "n", 0), r = mag_json_int(kdf, "r", 0),
            p = mag_json_int(kdf, "p", 0);
    _mag_free_ unsigned char *salt = unbase64(mag_json_text(kdf, "salt", NULL), &n_salt);
    if (!salt || n_salt < SALT_LEN || n < 2 || n > SCRYPT_N_MAX || r < 1 || r > SCRYPT_R || p < 1 ||
        p > 4 * SCRYPT_P)
        return broken(err, KEYRING_NAME);
    int32_t rc = secret_read(path, &text, &len, err);
    if (rc != MAG_OK)
        return rc;
    size_t pass = strcspn(text, "\r\n");
    if (pass < 8)
        rc = mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "WeakPassphrase", NULL,
                      "the passphrase in %s has fewer than 8 characters", path);
    else if (EVP_PBE_scrypt(text, pass, salt, n_salt, (uint64_t)n, (uint64_t)r, (uint64_t)p,
                            (uint64_t)160 << 20, ret, KEY_LEN) != 1)
        rc = crypto_failed(err);
    wipe_free(&text, len);
    return rc;
}

static int32_t master_key(const struct master *m, const json_t *doc, unsigned char ret[KEY_LEN],
                          mag_error *err)
{
    bool scrypt = strcmp(mag_json_text(doc, "kdf.name", ""), "scrypt") == 0;
    if (scrypt && m->passphrase_file)
        return key_of_passphrase(m->passphrase_file, mag_json_at(doc, "kdf"), ret, err);
    if (!scrypt && m->key_file)
        return key_of_file(m->key_file, ret, err);
    return mag_fail(err, MAG_E_DENIED, MAG_ERR_OPERATOR, "WrongKey",
                    scrypt ? "set passphrase_file" : "set key_file",
                    "the sealing keys are kept under a %s", scrypt ? "passphrase" : "key file");
}

/* ---- keyring.json ---- */
static int32_t new_kdf(const struct master *m, json_t **ret, mag_error *err)
{
    unsigned char salt[SALT_LEN];
    if (!m->key_file && !m->passphrase_file)
        return mag_fail(err, MAG_E_PRECONDITION, MAG_ERR_OPERATOR, "NotConfigured",
                        "set key_file or passphrase_file in driver_config, org.magnum.certs-local",
                        "there is no key to seal private keys with");
    if (RAND_bytes(salt, sizeof salt) != 1)
        return crypto_failed(err);
    *ret = m->key_file ? json_pack("{s:s}", "name", "file")
                       : json_pack("{s:s,s:i,s:i,s:i,s:o}", "name", "scrypt", "n", SCRYPT_N, "r",
                                   SCRYPT_R, "p", SCRYPT_P, "salt", base64(salt, sizeof salt));
    return *ret ? MAG_OK : mag_fail_nomem(err);
}

static int32_t add_key(const struct keyring *k, int i, const unsigned char master[KEY_LEN],
                       json_t *list, mag_error *err)
{
    json_t *nonce = NULL, *data = NULL;
    int32_t rc = encrypt(master, k->keys[i].id, k->keys[i].key, KEY_LEN, &nonce, &data, err);
    json_t *one =
        rc == MAG_OK ? json_pack("{s:s,s:o,s:o}", "id", k->keys[i].id, "nonce", nonce, "data", data)
                     : NULL;
    if (rc == MAG_OK && json_array_append_new(list, one) < 0)
        rc = mag_fail_nomem(err);
    return rc;
}

int32_t keyring_store(int dir, const struct master *m, const struct keyring *k, mag_error *err)
{
    unsigned char master[KEY_LEN];
    json_t *kdf = NULL;
    int32_t rc = new_kdf(m, &kdf, err);
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *list = json_array();
    _mag_json_ json_t *doc = json_pack("{s:i,s:o,s:O}", "v", 1, "kdf", kdf, "keys", list);
    rc = doc ? master_key(m, doc, master, err) : mag_fail_nomem(err);
    for (int i = 0; rc == MAG_OK && i < k->n; i++)
        rc = add_key(k, i, master, list, err);
    explicit_bzero(master, sizeof master);
    _mag_free_ char *text = rc == MAG_OK ? json_dumps(doc, JSON_INDENT(1)) : NULL;
    if (rc == MAG_OK && !text)
        rc = mag_fail_nomem(err);
    return rc == MAG_OK ? file_write(dir, KEYRING_NAME, text, strlen(text), true, err) : rc;
}

static int32_t take_key(const json_t *sealed, const unsigned char master[KEY_LEN],
                        struct keyring *k, mag_error *err)
{
    const char *id = mag_json_text(sealed, "id", "");
    char *plain = NULL;
    size_t len = 0;
    if (k->n == KEYS_MAX || strlen(id) != KEY_ID_MAX - 1)
        return broken(err, KEYRING_NAME);
    if (!decrypt(master, id, sealed, &plain, &len) || len != KEY_LEN) {
        wipe_free(&plain, len);
        return mag_fail(err, MAG_E_DENIED, MAG_ERR_OPERATOR, "WrongKey",
                        "give the key file or passphrase that the sealing keys were kept under",
                        KEYRING_NAME " can't be opened with this key, or is damaged");
    }
    memcpy(k->keys[k->n].id, id, KEY_ID_MAX);
    memcpy(k->keys[k->n].key, plain, KEY_LEN);
    k->n++;
    wipe_free(&plain, len);
    return MAG_OK;
}

int32_t keyring_load(int dir, const struct master *m, struct keyring *ret, mag_error *err)
{
    unsigned char master[KEY_LEN];
    struct keyring k = {.n = 0};
    char *text = NULL;
    size_t len = 0, i;
    json_t *v;
    int32_t rc = file_read(dir, KEYRING_NAME, &text, &len, err);
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    const json_t *list = mag_json_at(doc, "keys");
    if (mag_json_int(doc, "v", 0) != 1 || json_array_size(list) == 0)
        return broken(err, KEYRING_NAME);
    rc = master_key(m, doc, master, err);
    json_array_foreach(list, i, v)
    {
        if (rc == MAG_OK)
            rc = take_key(v, master, &k, err);
    }
    explicit_bzero(master, sizeof master);
    if (rc == MAG_OK)
        *ret = k;
    keyring_wipe(&k);
    return rc;
}

int32_t keyring_make(int dir, const struct master *m, struct keyring *ret, mag_error *err)
{
    struct keyring k = {.n = 0};
    _mag_close_ int lock = -1;
    int32_t rc = keyring_load(dir, m, ret, err);
    if (rc != MAG_E_NOT_FOUND)
        return rc;
    rc = dir_lock(dir, true, 5000, &lock, err); /* several processes may start at once */
    if (rc == MAG_OK && faccessat(dir, KEYRING_NAME, F_OK, 0) != 0) {
        rc = keyring_add(&k, err);
        if (rc == MAG_OK)
            rc = keyring_store(dir, m, &k, err);
    }
    keyring_wipe(&k);
    return rc == MAG_OK ? keyring_load(dir, m, ret, err) : rc;
}
