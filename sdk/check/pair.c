/* See pair.h. */
#include "pair.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { DAY_S = 86400, SERIAL_BASE = 4711 };

static bool describe(X509 *x, EVP_PKEY *key, const char *cn, long serial)
{
    X509_NAME *name = X509_get_subject_name(x);
    X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    bool ok = ca && X509_set_version(x, 2) == 1 &&
              ASN1_INTEGER_set(X509_get_serialNumber(x), serial) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(x), 0) &&
              X509_gmtime_adj(X509_getm_notAfter(x), DAY_S) &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1,
                                         -1, 0) == 1 &&
              X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
              X509_add_ext(x, ca, -1) == 1 && X509_sign(x, key, EVP_sha256()) > 0;
    X509_EXTENSION_free(ca);
    return ok;
}

/* What was written to the memory, as a text; frees it. */
static char *text_of(BIO *b, bool ok)
{
    char *data = NULL;
    long n = ok ? BIO_get_mem_data(b, &data) : 0;
    char *text = n > 0 ? strndup(data, (size_t)n) : NULL;
    BIO_free(b);
    return text;
}

/* The second line: the first is the same for all keys of this kind. */
static void take_canary(struct pair *p)
{
    const char *line = p->key ? strchr(p->key, '\n') : NULL;
    line = line ? strchr(line + 1, '\n') : NULL;
    snprintf(p->canary, sizeof p->canary, "%s", line ? line + 1 : "");
}

int pair_make(struct pair *ret, const char *cn, struct err *e)
{
    static long serial = SERIAL_BASE;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *key_out = BIO_new(BIO_s_mem()), *cert_out = BIO_new(BIO_s_mem());
    bool ok = key && x && key_out && cert_out && describe(x, key, cn, serial++);
    bool key_ok = ok && PEM_write_bio_PKCS8PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1;
    bool cert_ok = ok && PEM_write_bio_X509(cert_out, x) == 1;
    *ret =
        (struct pair){.key = text_of(key_out, key_ok), .certificate = text_of(cert_out, cert_ok)};
    X509_free(x);
    EVP_PKEY_free(key);
    take_canary(ret);
    if (ret->key && ret->certificate && *ret->canary)
        return 0;
    pair_done(ret);
    return err_set(e, ERR_INTERNAL, "cannot make a key pair");
}

void pair_done(struct pair *p)
{
    free(p->key);
    free(p->certificate);
    *p = (struct pair){.key = NULL};
}
