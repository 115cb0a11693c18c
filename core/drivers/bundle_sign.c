/* Digests and ed25519 signatures of bundles, and the keys for them. See bundle.h. Uses OpenSSL. */
#include "drivers/bundle.h"
#include "drivers/bundle_index.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

enum { KEY_MAX = 16384, SIGNATURE = 64, BASE64 = 88 };

static void free_key(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}
static void free_md(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}
static void free_bio(BIO **b)
{
    BIO_free(*b);
}
#define _cleanup_key_ _cleanup_(free_key)
#define _cleanup_md_ _cleanup_(free_md)
#define _cleanup_bio_ _cleanup_(free_bio)

void sha256_bytes(const void *data, size_t len, char hex[65])
{
    unsigned char sum[EVP_MAX_MD_SIZE] = {0};
    (void)EVP_Digest(data, len, sum, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

static EVP_PKEY *public_key(const char *pem, size_t len)
{
    _cleanup_bio_ BIO *b = len <= KEY_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
    EVP_PKEY *k = b ? PEM_read_bio_PUBKEY(b, NULL, NULL, NULL) : NULL;
    if (k && EVP_PKEY_get_base_id(k) == EVP_PKEY_ED25519)
        return k;
    EVP_PKEY_free(k);
    return NULL;
}

int bundle_key_check(const char *pem, size_t len, char fingerprint[65], struct err *e)
{
    _cleanup_key_ EVP_PKEY *k = public_key(pem, len);
    unsigned char raw[32];
    size_t n = sizeof raw;
    if (!k || EVP_PKEY_get_raw_public_key(k, raw, &n) != 1)
        return err_set(e, ERR_INVALID, "it is no public ed25519 key in PEM");
    sha256_bytes(raw, n, fingerprint);
    return 0;
}

bool sign_decode(const char *base64, unsigned char raw[SIGNATURE])
{
    unsigned char decoded[BASE64];
    if (strcspn(base64, "\r\n") != BASE64 ||
        EVP_DecodeBlock(decoded, (const unsigned char *)base64, BASE64) < SIGNATURE)
        return false;
    memcpy(raw, decoded, SIGNATURE);
    return true;
}

bool sign_matches(const char *pem, size_t len, const void *data, size_t data_len,
                  const unsigned char raw[SIGNATURE])
{
    _cleanup_key_ EVP_PKEY *k = public_key(pem, len);
    _cleanup_md_ EVP_MD_CTX *md = EVP_MD_CTX_new();
    return k && md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, k) == 1 &&
           EVP_DigestVerify(md, raw, SIGNATURE, data, data_len) == 1;
}

static int private_key(const char *path, EVP_PKEY **ret, struct err *e)
{
    char *pem = NULL;
    size_t len = 0;
    int rc = io_read_file(path, KEY_MAX, &pem, &len, e);
    if (rc != 0)
        return rc;
    _cleanup_bio_ BIO *b = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, NULL, NULL) : NULL;
    secret_wipe(pem, len);
    free(pem);
    if (k && EVP_PKEY_get_base_id(k) == EVP_PKEY_ED25519) {
        *ret = k;
        return 0;
    }
    EVP_PKEY_free(k);
    return err_set(e, ERR_INVALID, "%s holds no private ed25519 key in PEM", path);
}

int sign_text(const char *key_path, const char *text, char **ret, struct err *e)
{
    _cleanup_key_ EVP_PKEY *k = NULL;
    _cleanup_md_ EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char raw[SIGNATURE], base64[BASE64 + 1];
    size_t n = sizeof raw;
    int rc = private_key(key_path, &k, e);
    if (rc != 0)
        return rc;
    if (!md || EVP_DigestSignInit(md, NULL, NULL, NULL, k) != 1 ||
        EVP_DigestSign(md, raw, &n, (const unsigned char *)text, strlen(text)) != 1 ||
        n != SIGNATURE)
        return err_set(e, ERR_INTERNAL, "%s can't sign", key_path);
    EVP_EncodeBlock(base64, raw, SIGNATURE);
    *ret = str_fmt("%s\n", (const char *)base64);
    return *ret ? 0 : err_nomem(e);
}

static int write_new(const char *path, mode_t mode, BIO *pem, struct err *e)
{
    char *text = NULL;
    long len = BIO_get_mem_data(pem, &text);
    if (access(path, F_OK) == 0)
        return err_set(e, ERR_EXISTS, "%s is there already", path);
    return io_write_file(path, text, (size_t)len, mode, e);
}

int bundle_key_make(const char *private_path, const char *public_path, struct err *e)
{
    _cleanup_key_ EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    _cleanup_bio_ BIO *priv = BIO_new(BIO_s_secmem()), *pub = BIO_new(BIO_s_mem());
    if (!k || !priv || !pub ||
        PEM_write_bio_PKCS8PrivateKey(priv, k, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_PUBKEY(pub, k) != 1)
        return err_nomem(e);
    int rc = write_new(private_path, 0600, priv, e);
    return rc ? rc : write_new(public_path, 0644, pub, e);
}
