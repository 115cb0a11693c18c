/* Certificates without their signature, for a CA whose key is in a device or another program: what
 * it is asked to sign, and whether it signed just that. See certs.h. */
#include "certs/x509_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

struct cert_draft {
    X509 *cert;
    X509_REQ *req; /* the tenant's, NULL for a request of ours */
    EVP_PKEY *key; /* NULL for a tenant's */
};

void cert_draft_free(struct cert_draft **draft)
{
    struct cert_draft *d = TAKE_PTR(*draft);
    if (!d)
        return;
    X509_free(d->cert);
    X509_REQ_free(d->req);
    EVP_PKEY_free(d->key);
    free(d);
}

static int set_issuer(X509 *cert, const char *ca_pem, struct err *e)
{
    _cleanup_x509_ X509 *ca = NULL;
    int rc = x509_from_pem(ca_pem, &ca, e);
    if (rc == 0 && !X509_set_issuer_name(cert, X509_get_subject_name(ca)))
        rc = x509_fail(e, "cannot set the issuer");
    return rc;
}

static int finish(int rc, const char *ca_pem, struct cert_draft *d, struct cert_draft **ret,
                  struct err *e)
{
    if (rc == 0)
        rc = set_issuer(d->cert, ca_pem, e);
    if (rc < 0)
        cert_draft_free(&d);
    else
        *ret = d;
    return rc;
}

int cert_draft_of_csr(const char *ca_pem, const char *csr_pem, const struct cert_policy *p,
                      struct cert_draft **ret, struct err *e)
{
    struct cert_draft *d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(e);
    return finish(x509_draft_csr(csr_pem, p, &d->cert, &d->req, e), ca_pem, d, ret, e);
}

int cert_draft_of_request(const char *ca_pem, const struct cert_request *rq,
                          const struct cert_policy *p, struct cert_draft **ret, struct err *e)
{
    struct cert_draft *d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(e);
    return finish(x509_draft_request(rq, p, &d->cert, &d->key, e), ca_pem, d, ret, e);
}

/* ---- asking ---- */

static int write_csr(X509_REQ *req, char **ret, struct err *e)
{
    _cleanup_bio_ BIO *out = BIO_new(BIO_s_mem());
    if (!out || !PEM_write_bio_X509_REQ(out, req))
        return x509_fail(e, "cannot write a certificate request");
    *ret = x509_bio_text(out);
    return *ret ? 0 : err_nomem(e);
}

static int own_csr(const struct cert_draft *d, char **ret, struct err *e)
{
    _cleanup_x509_req_ X509_REQ *req = X509_REQ_new();
    if (!req || !X509_REQ_set_subject_name(req, X509_get_subject_name(d->cert)) ||
        !X509_REQ_set_pubkey(req, d->key) || X509_REQ_sign(req, d->key, EVP_sha256()) <= 0)
        return x509_fail(e, "cannot make a certificate request");
    return write_csr(req, ret, e);
}

static json_t *base64(const unsigned char *data, int n)
{
    unsigned char *text = malloc((size_t)(4 * ((n + 2) / 3) + 1));
    if (!text)
        return NULL;
    (void)EVP_EncodeBlock(text, data, n);
    json_t *j = json_string((const char *)text);
    free(text);
    return j;
}

static json_t *extension_json(X509_EXTENSION *x)
{
    char oid[80];
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(x);
    OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(x), 1);
    return json_pack("{s:s,s:b,s:o}", "oid", oid, "critical", X509_EXTENSION_get_critical(x),
                     "value", base64(ASN1_STRING_get0_data(value), ASN1_STRING_length(value)));
}

/* Always the long form, whatever the certificate has. */
static json_t *time_json(const ASN1_TIME *t)
{
    ASN1_GENERALIZEDTIME *g = ASN1_TIME_to_generalizedtime(t, NULL);
    json_t *j =
        g ? json_stringn((const char *)ASN1_STRING_get0_data(g), (size_t)ASN1_STRING_length(g))
          : NULL;
    ASN1_GENERALIZEDTIME_free(g);
    return j;
}

static json_t *serial_json(const X509 *cert)
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = n ? BN_bn2hex(n) : NULL;
    json_t *j = hex ? json_string(hex) : NULL;
    OPENSSL_free(hex);
    BN_free(n);
    return j;
}

int cert_draft_ask(const struct cert_draft *d, char **ret_csr, json_t **ret_profile, struct err *e)
{
    _cleanup_json_ json_t *list = json_array();
    _cleanup_free_ char *csr = NULL;
    int rc = d->req ? write_csr(d->req, &csr, e) : own_csr(d, &csr, e);
    if (rc < 0)
        return rc;
    for (int i = 0; i < X509_get_ext_count(d->cert); i++)
        if (json_array_append_new(list, extension_json(X509_get_ext(d->cert, i))))
            return err_nomem(e);
    json_t *profile = json_pack("{s:o,s:o,s:o,s:O}", "serial", serial_json(d->cert), "not_before",
                                time_json(X509_get0_notBefore(d->cert)), "not_after",
                                time_json(X509_get0_notAfter(d->cert)), "extensions", list);
    if (!profile)
        return err_nomem(e);
    *ret_profile = profile;
    *ret_csr = TAKE_PTR(csr);
    return 0;
}

/* ---- checking ---- */

static bool same_extensions(const X509 *a, const X509 *b)
{
    if (X509_get_ext_count(a) != X509_get_ext_count(b))
        return false;
    for (int i = 0; i < X509_get_ext_count(a); i++) {
        X509_EXTENSION *x = X509_get_ext(a, i);
        int at = X509_get_ext_by_OBJ(b, X509_EXTENSION_get_object(x), -1);
        X509_EXTENSION *y = at < 0 ? NULL : X509_get_ext(b, at);
        if (!y || X509_EXTENSION_get_critical(x) != X509_EXTENSION_get_critical(y) ||
            ASN1_STRING_cmp(X509_EXTENSION_get_data(x), X509_EXTENSION_get_data(y)) != 0)
            return false;
    }
    return true;
}

static const char *difference(const X509 *draft, const X509 *made)
{
    if (X509_NAME_cmp(X509_get_subject_name(draft), X509_get_subject_name(made)) != 0)
        return "subject";
    if (EVP_PKEY_eq(X509_get0_pubkey(draft), X509_get0_pubkey(made)) != 1)
        return "public key";
    if (ASN1_INTEGER_cmp(X509_get0_serialNumber(draft), X509_get0_serialNumber(made)) != 0)
        return "serial number";
    if (ASN1_TIME_compare(X509_get0_notBefore(draft), X509_get0_notBefore(made)) != 0 ||
        ASN1_TIME_compare(X509_get0_notAfter(draft), X509_get0_notAfter(made)) != 0)
        return "validity";
    return same_extensions(draft, made) ? NULL : "extensions";
}

int cert_draft_check(const struct cert_draft *d, const char *ca_pem, const char *signed_pem,
                     struct err *e)
{
    _cleanup_x509_ X509 *made = NULL;
    int rc = x509_from_pem(signed_pem, &made, e);
    if (rc == 0)
        rc = certs_verify(ca_pem, signed_pem, e);
    if (rc < 0) {
        e->code = ERR_PROTOCOL;
        return err_wrap(e, "the certificate manager's answer");
    }
    const char *what = difference(d->cert, made);
    ERR_clear_error();
    return what ? err_set(e, ERR_PROTOCOL,
                          "the certificate manager signed something else: another %s", what)
                : 0;
}

int cert_draft_key(const struct cert_draft *d, struct secret *ret, struct err *e)
{
    return d->key ? x509_key_to_pem(d->key, ret, e)
                  : err_set(e, ERR_INTERNAL, "the key of a request is with its maker");
}
