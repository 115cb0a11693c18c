/* A certificate manager in a PKCS#11 token: an HSM, or SoftHSM. The key of a CA goes in once and
 * never comes out; everything else is kept as a private data object. Configuration: module (the
 * vendor's library), token (its label), pin_file. Neighbours: token.h, ../cert-mem/certificate.h.
 */
#include "../cert-mem/certificate.h"
#include "lib/services.h"
#include "token.h"

#include <magnum/cert.h>

#include <openssl/pem.h>
#include <string.h>

#define BY_KEY "key:"
#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"
enum { SECRETS = MAG_CERT_KEY | MAG_CERT_PASSPHRASE };

struct manager {
    const mag_host *host;
    struct token token;
    char *signed_pem; /* what the last sign_csr returned */
};

static const char *key_of(const mag_cert_ref *ref)
{
    return strncmp(ref->ref, BY_KEY, strlen(BY_KEY)) == 0 ? ref->ref + strlen(BY_KEY) : ref->ref;
}

/* Opened with the first call: probe and create must not fail for a token that is away. */
static int32_t ready(struct manager *m, mag_error *err)
{
    const mag_host *h = m->host;
    return m->token.open
               ? MAG_OK
               : token_open(&m->token, mag_config(h, "module", SOFTHSM),
                            mag_config(h, "token", "magnum"), mag_config(h, "pin_file", ""), err);
}

/* ---- put ---- */
/* The key first: what has no certificate in the token is no bundle. */
static int32_t put_ca(const struct token *t, const char *key, X509 *cert, const json_t *bundle,
                      mag_error *err)
{
    BIO *in = BIO_new_mem_buf(mag_json_text(bundle, "private_key", ""), -1);
    EVP_PKEY *pkey = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, "") : NULL;
    unsigned char *der = NULL, *subject = NULL;
    int n = i2d_X509(cert, &der), n_subject = i2d_X509_NAME(X509_get_subject_name(cert), &subject);
    int32_t rc = pkey && n > 0 && n_subject > 0
                     ? token_destroy(t, CKO_PRIVATE_KEY, key, err) /* of a try that was cut off */
                     : mag_fail(err, MAG_E_INVALID, 0, "BadBundle", NULL, "the key can't be read");
    if (rc == MAG_OK)
        rc = token_put_key(t, key, pkey, err);
    if (rc == MAG_OK)
        rc = token_put_value(t, key, subject, (size_t)n_subject, der, (size_t)n, err);
    OPENSSL_free(der);
    OPENSSL_free(subject);
    EVP_PKEY_free(pkey);
    BIO_free(in);
    return rc;
}

static int32_t put_data(const struct token *t, const char *key, mag_bytes bundle, mag_error *err)
{
    return token_put_value(t, key, NULL, 0, bundle.data, (size_t)bundle.len, err);
}

static int32_t exists(const char *key, mag_error *err)
{
    return mag_fail(err, MAG_E_EXISTS, 0, "Exists", NULL, "another bundle is stored as %s", key);
}

/* MAG_OK: this very bundle is there. MAG_E_NOT_FOUND, MAG_E_EXISTS. */
static int32_t compare(const struct token *t, const char *key, X509 *ca, const json_t *bundle,
                       mag_error *err)
{
    CK_OBJECT_HANDLE o = 0;
    unsigned char *value = NULL;
    size_t len = 0;
    int32_t rc = token_find(t, ca ? CKO_CERTIFICATE : CKO_DATA, key, &o, err);
    if (rc == MAG_OK)
        rc = token_value(t, o, &value, &len, err);
    if (rc != MAG_OK)
        return rc;
    const unsigned char *p = value;
    X509 *there = ca ? d2i_X509(NULL, &p, (long)len) : NULL;
    json_t *doc = ca ? NULL : json_loadb((const char *)value, len, 0, NULL);
    bool same = ca ? there && X509_cmp(there, ca) == 0 : doc && json_equal(doc, bundle);
    X509_free(there);
    mag_wipe_json(&doc);
    explicit_bzero(value, len);
    free(value);
    return same ? MAG_OK : exists(key, err);
}

static int32_t p11_put(void *self, const mag_op *op, const char *key, mag_bytes bytes,
                       mag_cert_ref *out, mag_error *err)
{
    struct manager *m = self;
    json_t *bundle = NULL;
    (void)op;
    int32_t rc = strlen(key) < sizeof out->ref ? ready(m, err)
                                               : mag_fail(err, MAG_E_INVALID, 0, "BadKey", NULL,
                                                          "the key of the bundle is too long");
    if (rc == MAG_OK)
        rc = mag_json_parse(bytes, "the bundle", &bundle, err);
    const char *pem = mag_json_text(bundle, "certificate", "");
    X509 *cert = certificate_read(pem);
    if (rc == MAG_OK && !cert)
        rc = mag_fail(err, MAG_E_INVALID, 0, "NoCertificate", NULL, "there is no certificate");
    X509 *ca = cert && certificate_is_ca(pem) ? cert : NULL;
    if (rc == MAG_OK)
        rc = compare(&m->token, key, ca, bundle, err);
    if (rc == MAG_E_NOT_FOUND)
        rc = ca ? put_ca(&m->token, key, ca, bundle, err) : put_data(&m->token, key, bytes, err);
    if (rc == MAG_OK)
        memcpy(out->ref, key, strlen(key) + 1);
    X509_free(cert);
    mag_wipe_json(&bundle);
    return rc;
}

/* ---- get, del ---- */
static int32_t read_ca(const struct token *t, const char *key, X509 **ret, mag_error *err)
{
    CK_OBJECT_HANDLE o = 0;
    unsigned char *der = NULL;
    size_t len = 0;
    int32_t rc = token_find(t, CKO_CERTIFICATE, key, &o, err);
    if (rc == MAG_OK)
        rc = token_value(t, o, &der, &len, err);
    const unsigned char *p = der;
    if (rc == MAG_OK && !(*ret = d2i_X509(NULL, &p, (long)len)))
        rc = mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "Damaged", NULL,
                      "the certificate in the token can't be read");
    free(der);
    return rc;
}

static int32_t hand(mag_cert_sink *sink, uint32_t wanted, uint32_t part, const char *text,
                    mag_error *err)
{
    if (!text || !(wanted & part) || sink->part(sink->ctx, part, mag_text(text)) == MAG_OK)
        return MAG_OK;
    return mag_fail(err, MAG_E_INTERNAL, 0, "SinkFailed", NULL, "the host took no part");
}

static int32_t get_data(const struct token *t, const char *key, uint32_t wanted,
                        mag_cert_sink *sink, mag_error *err)
{
    CK_OBJECT_HANDLE o = 0;
    unsigned char *value = NULL;
    size_t len = 0;
    int32_t rc = token_find(t, CKO_DATA, key, &o, err);
    if (rc == MAG_OK)
        rc = token_value(t, o, &value, &len, err);
    json_t *doc = rc == MAG_OK ? json_loadb((const char *)value, len, 0, NULL) : NULL;
    if (rc == MAG_OK)
        rc = hand(sink, wanted, MAG_CERT_CERTIFICATE, mag_json_text(doc, "certificate", NULL), err);
    if (rc == MAG_OK)
        rc = hand(sink, wanted, MAG_CERT_CHAIN, mag_json_text(doc, "chain", NULL), err);
    if (rc == MAG_OK)
        rc = hand(sink, wanted, MAG_CERT_KEY, mag_json_text(doc, "private_key", NULL), err);
    if (rc == MAG_OK)
        rc = hand(sink, wanted, MAG_CERT_PASSPHRASE, mag_json_text(doc, "passphrase", NULL), err);
    mag_wipe_json(&doc);
    if (value)
        explicit_bzero(value, len);
    free(value);
    return rc;
}

static int32_t p11_get(void *self, const mag_op *op, const mag_cert_ref *ref, uint32_t wanted,
                       mag_cert_sink *sink, mag_error *err)
{
    struct manager *m = self;
    X509 *ca = NULL;
    (void)op;
    if ((wanted & SECRETS) && !sink->secret)
        return mag_fail(err, MAG_E_DENIED, 0, "NotSecret", NULL, "keys go to a secret sink only");
    int32_t rc = ready(m, err);
    if (rc == MAG_OK)
        rc = read_ca(&m->token, key_of(ref), &ca, err);
    if (rc == MAG_E_NOT_FOUND)
        return get_data(&m->token, key_of(ref), wanted, sink, err);
    if (rc == MAG_OK && (wanted & SECRETS))
        rc = mag_fail(err, MAG_E_UNSUPPORTED, 0, "KeyStays", NULL,
                      "the key of a CA is never shown: it is in a token");
    char *pem = rc == MAG_OK ? certificate_write(ca) : NULL;
    if (rc == MAG_OK)
        rc = hand(sink, wanted, MAG_CERT_CERTIFICATE, pem, err);
    free(pem);
    X509_free(ca);
    return rc;
}

static int32_t p11_del(void *self, const mag_op *op, const mag_cert_ref *ref, mag_error *err)
{
    static const CK_OBJECT_CLASS kinds[] = {CKO_PRIVATE_KEY, CKO_CERTIFICATE, CKO_DATA};
    struct manager *m = self;
    (void)op;
    int32_t rc = ready(m, err);
    for (size_t i = 0; rc == MAG_OK && i < MAG_LEN(kinds); i++)
        rc = token_destroy(&m->token, kinds[i], key_of(ref), err);
    return rc;
}

/* ---- sign ---- */
/* SEQUENCE { what is signed, algorithm, BIT STRING }, put together by hand: OpenSSL has the key for
 * every signature that it makes itself. */
static int32_t assemble(const unsigned char *tbs, size_t n_tbs, int algorithm,
                        const unsigned char *sig, size_t n_sig, X509 **ret, mag_error *err)
{
    unsigned char *alg = NULL, *bits = NULL;
    X509_ALGOR *a = X509_ALGOR_new();
    ASN1_BIT_STRING *b = ASN1_BIT_STRING_new();
    bool ok =
        a && b &&
        X509_ALGOR_set0(a, OBJ_nid2obj(algorithm),
                        algorithm == NID_ecdsa_with_SHA256 ? V_ASN1_UNDEF : V_ASN1_NULL, NULL) &&
        ASN1_BIT_STRING_set(b, (unsigned char *)(uintptr_t)sig, (int)n_sig);
    if (ok)
        b->flags = (b->flags & ~0x07L) | ASN1_STRING_FLAG_BITS_LEFT; /* no unused bits */
    int n_alg = ok ? i2d_X509_ALGOR(a, &alg) : -1, n_bits = ok ? i2d_ASN1_BIT_STRING(b, &bits) : -1;
    int body = (int)n_tbs + n_alg + n_bits;
    int total = n_alg > 0 && n_bits > 0 ? ASN1_object_size(1, body, V_ASN1_SEQUENCE) : -1;
    unsigned char *der = total > 0 ? malloc((size_t)total) : NULL, *p = der;
    if (der) {
        ASN1_put_object(&p, 1, body, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
        memcpy(p, tbs, n_tbs);
        memcpy(p + n_tbs, alg, (size_t)n_alg);
        memcpy(p + n_tbs + n_alg, bits, (size_t)n_bits);
        const unsigned char *from = der;
        *ret = d2i_X509(NULL, &from, total);
    }
    free(der);
    OPENSSL_free(alg);
    OPENSSL_free(bits);
    X509_ALGOR_free(a);
    ASN1_BIT_STRING_free(b);
    return *ret ? MAG_OK
                : mag_fail(err, MAG_E_INTERNAL, 0, "SigningFailed", NULL,
                           "the certificate can't be put together");
}

static int32_t sign_in_token(const struct token *t, const char *key, X509 *ca, X509 *draft,
                             X509 **ret, mag_error *err)
{
    bool ec = EVP_PKEY_is_a(X509_get0_pubkey(ca), "EC");
    int algorithm = ec ? NID_ecdsa_with_SHA256 : NID_sha256WithRSAEncryption;
    unsigned char *tbs = NULL, *sig = NULL;
    size_t n_sig = 0;
    if (!X509_ALGOR_set0((X509_ALGOR *)(uintptr_t)X509_get0_tbs_sigalg(draft),
                         OBJ_nid2obj(algorithm), ec ? V_ASN1_UNDEF : V_ASN1_NULL, NULL))
        return mag_fail_nomem(err);
    int n = i2d_re_X509_tbs(draft, &tbs);
    int32_t rc =
        n > 0 ? token_sign(t, key, ec, tbs, (size_t)n, &sig, &n_sig, err) : mag_fail_nomem(err);
    if (rc == MAG_OK)
        rc = assemble(tbs, (size_t)n, algorithm, sig, n_sig, ret, err);
    OPENSSL_free(tbs);
    OPENSSL_free(sig);
    return rc;
}

static int32_t p11_sign(void *self, const mag_op *op, const mag_cert_ref *ref, mag_bytes csr,
                        mag_bytes profile, mag_bytes *ret, mag_error *err)
{
    struct manager *m = self;
    X509 *ca = NULL, *draft = NULL, *made = NULL;
    (void)op;
    int32_t rc = ready(m, err);
    if (rc == MAG_OK)
        rc = read_ca(&m->token, key_of(ref), &ca, err);
    if (rc == MAG_OK)
        rc = certificate_make(ca, csr, profile, &draft, err);
    if (rc == MAG_OK)
        rc = sign_in_token(&m->token, key_of(ref), ca, draft, &made, err);
    if (rc == MAG_OK) {
        free(m->signed_pem);
        m->signed_pem = certificate_write(made);
        *ret = mag_text(m->signed_pem);
        rc = m->signed_pem ? MAG_OK : mag_fail_nomem(err);
    }
    X509_free(made);
    X509_free(draft);
    X509_free(ca);
    return rc;
}

/* ---- the plugin ---- */
static int32_t p11_create(const mag_host *host, void **self, mag_error *err)
{
    struct manager *m = calloc(1, sizeof *m);
    if (!m)
        return mag_fail_nomem(err);
    m->host = host;
    *self = m;
    return MAG_OK;
}

static void p11_destroy(void *self)
{
    struct manager *m = self;
    token_close(&m->token);
    free(m->signed_pem);
    free(m);
}

static int32_t p11_probe(void *self, mag_error *err)
{
    return ready(self, err);
}

static const void *p11_interface(void *self, const char *id)
{
    static const mag_cert_store store = {
        .struct_size = sizeof store, .put = p11_put, .get = p11_get, .del = p11_del};
    static const mag_cert_sign sign = {.struct_size = sizeof sign, .sign_csr = p11_sign};
    (void)self;
    return strcmp(id, MAG_IFACE_CERT_STORE) == 0  ? (const void *)&store
           : strcmp(id, MAG_IFACE_CERT_SIGN) == 0 ? (const void *)&sign
                                                  : NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {.magic = MAG_PLUGIN_MAGIC,
                                      .struct_size = sizeof plugin,
                                      .abi_major = MAG_ABI_MAJOR,
                                      .abi_minor = MAG_ABI_MINOR,
                                      .id = "com.example.cert-pkcs11",
                                      .version = "1.0.0",
                                      .vendor = "Example",
                                      .create = p11_create,
                                      .destroy = p11_destroy,
                                      .probe = p11_probe,
                                      .get_interface = p11_interface};
    (void)host_minor;
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
