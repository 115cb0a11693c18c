/* See certificate.h. */
#include "certificate.h"

#include "lib/cleanup.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

static int32_t bad_profile(mag_error *err)
{
    return mag_fail(err, MAG_E_INVALID, 0, "BadProfile", NULL, "the profile can't be read");
}

X509 *certificate_read(const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    return cert;
}

char *certificate_write(X509 *cert)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *data = NULL, *text = NULL;
    if (out && PEM_write_bio_X509(out, cert)) {
        long n = BIO_get_mem_data(out, &data);
        text = strndup(data, (size_t)n);
    }
    BIO_free(out);
    return text;
}

bool certificate_is_ca(const char *pem)
{
    X509 *cert = certificate_read(pem);
    bool ca = cert && X509_check_ca(cert) == 1;
    X509_free(cert);
    return ca;
}

static X509_EXTENSION *extension(const json_t *j)
{
    const char *text = mag_json_text(j, "value", "");
    size_t n = strlen(text);
    unsigned char *der = malloc(n + 4);
    ASN1_OBJECT *oid = OBJ_txt2obj(mag_json_text(j, "oid", ""), 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *x = NULL;
    int len =
        der && n && n % 4 == 0 ? EVP_DecodeBlock(der, (const unsigned char *)text, (int)n) : -1;
    if (len >= 0)
        len -= (text[n - 1] == '=') + (text[n - 2] == '=');
    if (oid && value && len >= 0 && ASN1_OCTET_STRING_set(value, der, len))
        x = X509_EXTENSION_create_by_OBJ(NULL, oid, mag_json_bool(j, "critical", false), value);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    free(der);
    return x;
}

static bool add_extensions(X509 *cert, const json_t *list)
{
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        X509_EXTENSION *x = extension(json_array_get(list, i));
        ok = x && X509_add_ext(cert, x, -1);
        X509_EXTENSION_free(x);
    }
    return ok;
}

static bool set_serial(X509 *cert, const char *hex)
{
    BIGNUM *n = NULL;
    ASN1_INTEGER *serial = hex && BN_hex2bn(&n, hex) ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
    bool ok = serial && X509_set_serialNumber(cert, serial);
    ASN1_INTEGER_free(serial);
    BN_free(n);
    return ok;
}

static bool set_times(X509 *cert, const json_t *p)
{
    /* X.509 wants the short form up to 2049: ASN1_TIME_set_string_X509 makes it of the long one */
    return ASN1_TIME_set_string_X509(X509_getm_notBefore(cert),
                                     mag_json_text(p, "not_before", "")) &&
           ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), mag_json_text(p, "not_after", ""));
}

int32_t certificate_make(X509 *ca, mag_bytes csr_pem, mag_bytes profile, X509 **ret, mag_error *err)
{
    _mag_json_ json_t *p = NULL;
    int32_t rc = mag_json_parse(profile, "the profile", &p, err);
    BIO *in = BIO_new_mem_buf(csr_pem.data, (int)csr_pem.len);
    X509_REQ *req = in ? PEM_read_bio_X509_REQ(in, NULL, NULL, NULL) : NULL;
    X509 *cert = X509_new();
    if (rc == MAG_OK && (!req || !cert))
        rc = mag_fail(err, MAG_E_INVALID, 0, "BadCsr", NULL, "the request can't be read");
    if (rc == MAG_OK &&
        (!X509_set_version(cert, X509_VERSION_3) ||
         !X509_set_subject_name(cert, X509_REQ_get_subject_name(req)) ||
         !X509_set_issuer_name(cert, X509_get_subject_name(ca)) ||
         !X509_set_pubkey(cert, X509_REQ_get0_pubkey(req)) ||
         !set_serial(cert, mag_json_text(p, "serial", NULL)) || !set_times(cert, p) ||
         !add_extensions(cert, mag_json_at(p, "extensions"))))
        rc = bad_profile(err);
    X509_REQ_free(req);
    BIO_free(in);
    if (rc == MAG_OK)
        *ret = cert;
    else
        X509_free(cert);
    return rc;
}
