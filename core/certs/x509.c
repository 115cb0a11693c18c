/* CAs and certificates; see certs.h and x509_internal.h. */
#include "certs/x509_internal.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>

enum { SERIAL_BYTES = 16, DAY_S = 86400, CN_MAX = 64 };

int x509_fail(struct err *e, const char *what)
{
    char text[160] = "no reason given";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(e, ERR_INTERNAL, "%s: %s", what, text);
}

void cert_pair_done(struct cert_pair *p)
{
    free(p->cert_pem);
    p->cert_pem = NULL;
    secret_free(&p->key_pem);
}

int x509_make_key(const char *type, EVP_PKEY **ret, struct err *e)
{
    EVP_PKEY *k = NULL;
    if (strcmp(type, "ec-p256") == 0)
        k = EVP_EC_gen("P-256");
    else if (strcmp(type, "ec-p384") == 0)
        k = EVP_EC_gen("P-384");
    else if (strcmp(type, "rsa-2048") == 0)
        k = EVP_RSA_gen(2048);
    else if (strcmp(type, "rsa-4096") == 0)
        k = EVP_RSA_gen(4096);
    else
        return err_set(e, ERR_CONFIG,
                       "certificates.ca_key_type is '%s': use ec-p256, ec-p384, rsa-2048 or "
                       "rsa-4096",
                       type);
    *ret = k;
    return k ? 0 : x509_fail(e, "cannot make a key");
}

int x509_new_key(const struct cert_policy *p, EVP_PKEY **ret, struct err *e)
{
    *ret = p->keys ? key_pool_take(p->keys, p->key_type) : NULL;
    return *ret ? 0 : x509_make_key(p->key_type, ret, e);
}

static int set_serial(X509 *cert)
{
    unsigned char raw[SERIAL_BYTES];
    if (RAND_bytes(raw, sizeof raw) != 1)
        return 0;
    raw[0] &= 0x7f; /* positive in DER */
    BIGNUM *n = BN_bin2bn(raw, sizeof raw, NULL);
    ASN1_INTEGER *serial = n ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
    int ok = serial && X509_set_serialNumber(cert, serial);
    ASN1_INTEGER_free(serial);
    BN_free(n);
    return ok;
}

int x509_begin(EVP_PKEY *subject_key, int64_t days, X509 **ret, struct err *e)
{
    _cleanup_x509_ X509 *cert = X509_new();
    if (!cert || !X509_set_version(cert, X509_VERSION_3) || !set_serial(cert) ||
        !X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) ||
        !X509_time_adj_ex(X509_getm_notAfter(cert), (int)days, 0, NULL) ||
        !X509_set_pubkey(cert, subject_key))
        return x509_fail(e, "cannot prepare a certificate");
    *ret = TAKE_PTR(cert);
    return 0;
}

int x509_extend(X509 *cert, int nid, const char *value, struct err *e)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int ok = x && X509_add_ext(cert, x, -1);
    X509_EXTENSION_free(x);
    return ok ? 0 : x509_fail(e, "cannot add a certificate extension");
}

int x509_add_ski(X509 *cert, const struct cert_policy *p, struct err *e)
{
    if (p->no_key_identifier)
        return 0;
    return x509_extend(cert, NID_subject_key_identifier, "hash", e);
}

char *x509_bio_text(BIO *b)
{
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    while (n > 0 && p[n - 1] == '\n')
        n--;
    /* not strndup: what the BIO holds has no NUL at its end */
    char *text = n > 0 ? malloc((size_t)n + 1) : NULL;
    if (text) {
        memcpy(text, p, (size_t)n);
        text[n] = '\0';
    }
    return text;
}

int x509_to_pem(X509 *cert, char **ret_pem, struct err *e)
{
    _cleanup_bio_ BIO *out = BIO_new(BIO_s_mem());
    if (!out || !PEM_write_bio_X509(out, cert))
        return x509_fail(e, "cannot write a certificate");
    char *pem = x509_bio_text(out);
    if (!pem)
        return err_nomem(e);
    *ret_pem = pem;
    return 0;
}

/* Ed25519 and Ed448 hash by themselves. */
static const EVP_MD *digest_of(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448") ? NULL : EVP_sha256();
}

int x509_finish(X509 *cert, EVP_PKEY *issuer_key, char **ret_pem, struct err *e)
{
    if (X509_sign(cert, issuer_key, digest_of(issuer_key)) <= 0)
        return x509_fail(e, "cannot sign a certificate");
    return x509_to_pem(cert, ret_pem, e);
}

int x509_from_pem(const char *pem, X509 **ret, struct err *e)
{
    _cleanup_bio_ BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    if (!cert) {
        ERR_clear_error();
        return err_set(e, ERR_INVALID, "there is no certificate in the text");
    }
    *ret = cert;
    return 0;
}

int x509_key_to_pem(EVP_PKEY *key, struct secret *ret, struct err *e)
{
    _cleanup_bio_ BIO *out = BIO_new(BIO_s_secmem());
    if (!out || !PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL))
        return x509_fail(e, "cannot write a private key");
    char *p = NULL;
    long n = BIO_get_mem_data(out, &p);
    return n > 0 && secret_set(ret, p, (size_t)n) == 0 ? 0 : err_nomem(e);
}

int x509_load_pair(const struct cert_pair *p, X509 **ret_cert, EVP_PKEY **ret_key, struct err *e)
{
    if (!p->cert_pem || !p->key_pem.data)
        return err_set(e, ERR_INTERNAL, "the CA is incomplete");
    _cleanup_bio_ BIO *cert_in = BIO_new_mem_buf(p->cert_pem, -1);
    _cleanup_bio_ BIO *key_in = BIO_new_mem_buf(p->key_pem.data, (int)p->key_pem.len);
    _cleanup_x509_ X509 *cert = cert_in ? PEM_read_bio_X509(cert_in, NULL, NULL, NULL) : NULL;
    _cleanup_pkey_ EVP_PKEY *key = key_in ? PEM_read_bio_PrivateKey(key_in, NULL, NULL, "") : NULL;
    if (!cert || !key)
        return x509_fail(e, "cannot read the CA");
    if (X509_check_private_key(cert, key) != 1)
        return x509_fail(e, "the CA's key does not belong to its certificate");
    *ret_cert = TAKE_PTR(cert);
    *ret_key = TAKE_PTR(key);
    return 0;
}

/* X.509 limits a common name to 64 characters (ub-common-name), counted as characters. */
static bool name_too_long(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n > CN_MAX;
}

static int set_subject(X509 *cert, const char *cn, const char *o, struct err *e)
{
    X509_NAME *name = X509_get_subject_name(cert);
    if (name_too_long(cn) || (o && name_too_long(o)))
        return err_set(e, ERR_INVALID, "the common name '%s' is longer than %d characters", cn,
                       CN_MAX);
    if (!X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)cn,
                                    -1, -1, 0) ||
        (o && !X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
                                          (const unsigned char *)o, -1, -1, 0)))
        return x509_fail(e, "the subject name can't be used");
    return 0;
}

int certs_ca_make(const char *cn, const struct cert_policy *p, struct cert_pair *ret, struct err *e)
{
    _cleanup_pkey_ EVP_PKEY *key = NULL;
    _cleanup_x509_ X509 *cert = NULL;
    struct cert_pair made = {NULL, SECRET_INIT};
    int rc = x509_new_key(p, &key, e);
    if (rc == 0)
        rc = x509_begin(key, p->days, &cert, e);
    if (rc == 0)
        rc = set_subject(cert, cn, NULL, e);
    if (rc == 0 && !X509_set_issuer_name(cert, X509_get_subject_name(cert)))
        rc = x509_fail(e, "cannot set the issuer");
    if (rc == 0)
        rc = x509_extend(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0", e);
    if (rc == 0)
        rc = x509_extend(cert, NID_key_usage, "critical,keyCertSign", e);
    if (rc == 0)
        rc = x509_add_ski(cert, p, e);
    if (rc == 0)
        rc = x509_finish(cert, key, &made.cert_pem, e);
    if (rc == 0)
        rc = x509_key_to_pem(key, &made.key_pem, e);
    if (rc == 0)
        *ret = made;
    else
        cert_pair_done(&made);
    return rc;
}

/* Names come from drivers: nothing in them may be read as OpenSSL's extension syntax. */
static bool is_dns_name(const char *s)
{
    return !str_blank(s) && !strpbrk(s, ",;:@ \t\r\n");
}

static bool is_ip_address(const char *s)
{
    struct in6_addr any;
    return inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1;
}

static int add_names(struct str *san, const char *kind, bool (*fits)(const char *),
                     const struct strv *names, struct err *e)
{
    for (size_t i = 0; names && i < names->n; i++) {
        if (!fits(names->v[i]))
            return err_set(e, ERR_INVALID, "'%s' can't be a certificate's %s name", names->v[i],
                           kind);
        str_printf(san, "%s%s:%s", san->len ? "," : "", kind, names->v[i]);
    }
    return san->oom ? err_nomem(e) : 0;
}

static int add_leaf_extensions(X509 *cert, const struct cert_request *rq,
                               const struct cert_policy *p, struct err *e)
{
    _cleanup_str_ struct str san = STR_INIT;
    const char *eku = rq->server && rq->client ? "serverAuth,clientAuth"
                      : rq->server             ? "serverAuth"
                                               : "clientAuth";
    int rc = add_names(&san, "DNS", is_dns_name, rq->dns, e);
    if (rc == 0)
        rc = add_names(&san, "IP", is_ip_address, rq->ip, e);
    if (rc == 0 && san.len)
        rc = x509_extend(cert, NID_subject_alt_name, str_text(&san), e);
    if (rc == 0)
        rc = x509_extend(cert, NID_key_usage, "critical,digitalSignature,keyEncipherment", e);
    if (rc == 0 && (rq->server || rq->client))
        rc = x509_extend(cert, NID_ext_key_usage, eku, e);
    if (rc == 0)
        rc = x509_extend(cert, NID_basic_constraints, "critical,CA:FALSE", e);
    return rc == 0 ? x509_add_ski(cert, p, e) : rc;
}

int x509_draft_request(const struct cert_request *rq, const struct cert_policy *p, X509 **ret,
                       EVP_PKEY **ret_key, struct err *e)
{
    _cleanup_x509_ X509 *cert = NULL;
    _cleanup_pkey_ EVP_PKEY *key = NULL;
    int rc = x509_new_key(p, &key, e);
    if (rc == 0)
        rc = x509_begin(key, rq->days > 0 ? rq->days : p->days, &cert, e);
    if (rc == 0)
        rc = set_subject(cert, rq->cn, rq->o, e);
    if (rc == 0)
        rc = add_leaf_extensions(cert, rq, p, e);
    if (rc == 0) {
        *ret = TAKE_PTR(cert);
        *ret_key = TAKE_PTR(key);
    }
    return rc;
}

int certs_issue(const struct cert_pair *ca, const struct cert_request *rq,
                const struct cert_policy *p, struct cert_pair *ret, struct err *e)
{
    _cleanup_x509_ X509 *ca_cert = NULL, *cert = NULL;
    _cleanup_pkey_ EVP_PKEY *ca_key = NULL, *key = NULL;
    struct cert_pair made = {NULL, SECRET_INIT};
    int rc = x509_load_pair(ca, &ca_cert, &ca_key, e);
    if (rc == 0)
        rc = x509_draft_request(rq, p, &cert, &key, e);
    if (rc == 0 && !X509_set_issuer_name(cert, X509_get_subject_name(ca_cert)))
        rc = x509_fail(e, "cannot set the issuer");
    if (rc == 0)
        rc = x509_finish(cert, ca_key, &made.cert_pem, e);
    if (rc == 0)
        rc = x509_key_to_pem(key, &made.key_pem, e);
    if (rc == 0)
        *ret = made;
    else
        cert_pair_done(&made);
    return rc;
}
