/* Looking at certificates: what they say, who signed them, and whether what a store gave back is
 * what a bundle should be. See certs.h. */
#include "certs/x509_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <time.h>

enum { PEM_MAX = 262144 };

void cert_info_done(struct cert_info *i)
{
    free(i->subject);
    *i = (struct cert_info){0};
}

static int when(const ASN1_TIME *t, int64_t *ret_us, struct err *e)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(t, &tm))
        return err_set(e, ERR_INVALID, "the certificate has no readable validity");
    *ret_us = (int64_t)timegm(&tm) * INT64_C(1000000);
    return 0;
}

static int subject_text(X509 *cert, char **ret, struct err *e)
{
    _cleanup_bio_ BIO *out = BIO_new(BIO_s_mem());
    /* without ESC_MSB: UTF-8 stays readable */
    if (!out || X509_NAME_print_ex(out, X509_get_subject_name(cert), 0,
                                   XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0)
        return x509_fail(e, "cannot write a subject");
    char *text = x509_bio_text(out);
    *ret = text ? text : str_dup("");
    return *ret ? 0 : err_nomem(e);
}

int certs_info(const char *pem, struct cert_info *ret, struct err *e)
{
    _cleanup_x509_ X509 *cert = NULL;
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct cert_info i = {0};
    int rc = x509_from_pem(pem, &cert, e);
    if (rc == 0)
        rc = when(X509_get0_notBefore(cert), &i.not_before, e);
    if (rc == 0)
        rc = when(X509_get0_notAfter(cert), &i.not_after, e);
    if (rc == 0 && !X509_digest(cert, EVP_sha256(), hash, &n))
        rc = x509_fail(e, "cannot hash a certificate");
    if (rc == 0)
        rc = subject_text(cert, &i.subject, e);
    if (rc < 0)
        return rc;
    for (unsigned k = 0; k < n && 2 * k + 2 < sizeof i.fingerprint; k++)
        (void)snprintf(i.fingerprint + (size_t)2 * k, 3, "%02x", hash[k]);
    i.ca = X509_check_ca(cert) == 1;
    *ret = i;
    return 0;
}

int certs_verify(const char *ca_pem, const char *cert_pem, struct err *e)
{
    _cleanup_x509_ X509 *ca = NULL, *cert = NULL;
    int rc = x509_from_pem(ca_pem, &ca, e);
    if (rc == 0)
        rc = x509_from_pem(cert_pem, &cert, e);
    if (rc < 0)
        return rc;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (!store || !ctx || !X509_STORE_add_cert(store, ca) ||
        !X509_STORE_CTX_init(ctx, store, cert, NULL))
        rc = x509_fail(e, "cannot verify a certificate");
    else if (X509_verify_cert(ctx) != 1)
        rc = err_set(e, ERR_INVALID, "the certificate is not good: %s",
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return rc;
}

static int open_key(const char *pem, const char *passphrase, X509 *cert, struct secret *ret,
                    struct err *e)
{
    size_t len = strnlen(pem, PEM_MAX + 1);
    _cleanup_bio_ BIO *in = BIO_new_mem_buf(pem, (int)len);
    /* OpenSSL asks a terminal when it is given no passphrase at all */
    _cleanup_pkey_ EVP_PKEY *key =
        in && len <= PEM_MAX
            ? PEM_read_bio_PrivateKey(in, NULL, NULL,
                                      (void *)(uintptr_t)(passphrase ? passphrase : ""))
            : NULL;
    int rc = 0;
    if (!key)
        rc = err_set(e, ERR_INVALID, "the stored private key can't be read");
    else if (X509_check_private_key(cert, key) != 1)
        rc = err_set(e, ERR_INVALID, "the stored private key does not belong to its certificate");
    else
        rc = x509_key_to_pem(key, ret, e);
    ERR_clear_error();
    return rc;
}

int certs_pair_open(const char *cert_pem, const char *key_pem, const char *passphrase,
                    struct cert_pair *ret, struct err *e)
{
    _cleanup_x509_ X509 *cert = NULL;
    struct cert_pair p = {NULL, SECRET_INIT};
    if (!cert_pem || strnlen(cert_pem, PEM_MAX + 1) > PEM_MAX)
        return err_set(e, ERR_INVALID, "the stored certificate is missing or too large");
    int rc = x509_from_pem(cert_pem, &cert, e);
    if (rc == 0)
        rc = x509_to_pem(cert, &p.cert_pem, e);
    if (rc == 0 && key_pem)
        rc = open_key(key_pem, passphrase, cert, &p.key_pem, e);
    if (rc < 0) {
        cert_pair_done(&p);
        return rc;
    }
    cert_pair_done(ret);
    *ret = p;
    return 0;
}

bool cert_pair_equal(const struct cert_pair *a, const struct cert_pair *b)
{
    if (!str_eq(a->cert_pem, b->cert_pem))
        return false;
    return !a->key_pem.data || !b->key_pem.data ||
           (a->key_pem.len == b->key_pem.len &&
            CRYPTO_memcmp(a->key_pem.data, b->key_pem.data, a->key_pem.len) == 0);
}
