/* A tenant's certificate request: any text is either refused with Magnum's words or signed. Bytes
 * are also wrapped as PEM, and taken as the extensions of a request with a valid signature, so that
 * the fuzzer reaches what lies behind the base64 and behind the signature. */
#include "base/cleanup.h"
#include "certs/certs.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct cert_policy policy;
static struct cert_pair ca;
static EVP_PKEY *key;

static void setup(void)
{
    static struct strv extensions, usages;
    struct err e = ERR_INIT;
    if (strv_split(&extensions,
                   "keyUsage,extendedKeyUsage,subjectAltName,basicConstraints,subjectKeyIdentifier",
                   ',') < 0 ||
        strv_split(&usages, "Digital Signature,Key Encipherment,Non Repudiation", ',') < 0)
        abort();
    policy = (struct cert_policy){.key_type = "ec-p256",
                                  .days = 1825,
                                  .allowed_extensions = &extensions,
                                  .allowed_key_usage = &usages};
    if (certs_ca_make("fuzz", &policy, &ca, &e) < 0 || !(key = EVP_EC_gen("P-256")))
        abort();
}

static char *wrap(const unsigned char *data, size_t size)
{
    char *text = NULL, *pem = NULL;
    BIO *out = BIO_new(BIO_s_mem());
    if (PEM_write_bio(out, "CERTIFICATE REQUEST", "", data, (long)size) > 0) {
        long n = BIO_get_mem_data(out, &text);
        pem = strndup(text, (size_t)n);
    }
    BIO_free(out);
    return pem;
}

/* A good request with these extensions; NULL when the bytes are none. */
static char *with_extensions(const unsigned char *data, size_t size)
{
    const unsigned char *p = data;
    char *text = NULL, *pem = NULL;
    X509_EXTENSIONS *list = d2i_X509_EXTENSIONS(NULL, &p, (long)size);
    X509_REQ *req = X509_REQ_new();
    BIO *out = BIO_new(BIO_s_mem());
    if (list && X509_REQ_set_pubkey(req, key) && X509_REQ_add_extensions(req, list) &&
        X509_REQ_sign(req, key, EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(out, req)) {
        long n = BIO_get_mem_data(out, &text);
        pem = strndup(text, (size_t)n);
    }
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    X509_REQ_free(req);
    BIO_free(out);
    return pem;
}

static void sign(const char *csr)
{
    _cleanup_free_ char *pem = NULL;
    struct err e = ERR_INIT;
    int rc = certs_sign_csr(&ca, csr, &policy, &pem, &e);
    if ((rc < 0) != (pem == NULL) || (rc < 0 && !e.msg[0]))
        abort();
    if (rc < 0 && rc != ERR_INVALID && rc != ERR_NOMEM) /* outside bytes are never our fault */
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (!ca.cert_pem)
        setup();
    _cleanup_free_ char *text = strndup((const char *)data, size), *wrapped = wrap(data, size);
    _cleanup_free_ char *extended = with_extensions(data, size);
    if (text)
        sign(text);
    if (wrapped)
        sign(wrapped);
    if (extended)
        sign(extended);
    return 0;
}
