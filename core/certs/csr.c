/* Signing a tenant's CSR by the rules of Magnum's conductor (validation.md 11); see certs.h.
 * Chosen differences: the CSR's own signature is verified, weak keys are refused, and a subject key
 * identifier in the CSR is replaced instead of making the build fail. */
#include "certs/x509_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

enum {
    CSR_MAX = 65536,
    ECHO_MAX = 1500, /* bytes of the CSR in an error text */
    RSA_MIN_BITS = 2048,
    RSA_MAX_BITS = 8192, /* larger ones only cost time */
    EC_MIN_BITS = 224,
};

static const struct {
    unsigned bit;
    const char *name; /* as in certificates.allowed_key_usage */
    const char *alias;
} usages[] = {
    {KU_DIGITAL_SIGNATURE, "Digital Signature", NULL},
    {KU_NON_REPUDIATION, "Non Repudiation",
     "Content Commitment"}, /* X.509's older and newer name */
    {KU_KEY_ENCIPHERMENT, "Key Encipherment", NULL},
    {KU_DATA_ENCIPHERMENT, "Data Encipherment", NULL},
    {KU_KEY_AGREEMENT, "Key Agreement", NULL},
    {KU_KEY_CERT_SIGN, "Certificate Sign", NULL},
    {KU_CRL_SIGN, "CRL Sign", NULL},
    {KU_ENCIPHER_ONLY, "Encipher Only", NULL},
    {KU_DECIPHER_ONLY, "Decipher Only", NULL},
};

static int invalid(struct err *e, const char *csr_pem)
{
    ERR_clear_error();
    size_t n = strnlen(csr_pem, ECHO_MAX);
    while (csr_pem[n] && ((unsigned char)csr_pem[n] & 0xC0) == 0x80) /* whole characters only */
        n--;
    return err_set(e, ERR_INVALID, "Received invalid csr %.*s.", (int)n, csr_pem);
}

/* A key without its PEM armour: base64 that decodes to one. */
static bool is_bare_key(const char *text)
{
    _cleanup_str_ struct str one_line = STR_INIT;
    for (const char *p = text; *p; p++)
        if (!strchr(" \t\r\n", *p))
            str_append_c(&one_line, *p);
    if (one_line.oom || one_line.len == 0 || one_line.len % 4)
        return false;
    _cleanup_free_ unsigned char *der = malloc(one_line.len);
    int n = der ? EVP_DecodeBlock(der, (const unsigned char *)one_line.s, (int)one_line.len) : -1;
    const unsigned char *p = der;
    _cleanup_pkey_ EVP_PKEY *key = n > 0 ? d2i_AutoPrivateKey(NULL, &p, n) : NULL;
    if (der)
        secret_wipe(der, one_line.len);
    ERR_clear_error();
    return key != NULL;
}

/* Looked for first, so that a key sent by mistake is neither echoed nor logged. */
static bool has_private_key(const char *text)
{
    return strcasestr(text, "PRIVATE KEY") || is_bare_key(text);
}

static int count_blocks(const char *text)
{
    int n = 0;
    while ((text = strstr(text, "-----BEGIN ")) != NULL) {
        n++;
        text += 11;
    }
    return n;
}

static int parse(const char *csr_pem, X509_REQ **ret, struct err *e)
{
    size_t len = strnlen(csr_pem, CSR_MAX + 1);
    if (len > CSR_MAX)
        return err_set(e, ERR_INVALID, "Received invalid csr: it is larger than %d bytes.",
                       CSR_MAX);
    if (has_private_key(csr_pem))
        return err_set(e, ERR_INVALID,
                       "Received invalid csr: it contains a private key. Keep the key to yourself, "
                       "replace it, and send the certificate request alone.");
    if (count_blocks(csr_pem) != 1)
        return invalid(e, csr_pem);
    _cleanup_bio_ BIO *in = BIO_new_mem_buf(csr_pem, (int)len);
    X509_REQ *req = in ? PEM_read_bio_X509_REQ(in, NULL, NULL, NULL) : NULL;
    if (!req)
        return invalid(e, csr_pem);
    *ret = req;
    return 0;
}

/* NULL when the key may be certified, else what is wrong with it. */
static const char *key_problem(const EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
        return bits < RSA_MIN_BITS ? "too weak" : bits > RSA_MAX_BITS ? "too large" : NULL;
    if (EVP_PKEY_is_a(key, "EC"))
        return bits < EC_MIN_BITS ? "too weak" : NULL;
    return EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448") ? NULL : "not supported";
}

static int check_key(X509_REQ *req, const char *csr_pem, EVP_PKEY **ret, struct err *e)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    if (!key)
        return invalid(e, csr_pem);
    const char *problem = key_problem(key); /* before the verification, whose cost grows with it */
    if (problem)
        return err_set(e, ERR_INVALID, "Received invalid csr: its %d bit %s key is %s.",
                       EVP_PKEY_get_bits(key), EVP_PKEY_get0_type_name(key), problem);
    if (X509_REQ_verify(req, key) != 1)
        return invalid(e, csr_pem);
    *ret = key;
    return 0;
}

static bool is_shown(const unsigned char *s, int n)
{
    for (int i = 0; i < n; i++)
        if (s[i] < 0x20 || s[i] == 0x7f)
            return false;
    return true;
}

/* The subject is copied unchanged and read by others: what is no text, or hides something behind a
 * NUL or a control character, is refused. */
static int check_subject(X509_REQ *req, struct err *e)
{
    const X509_NAME *name = X509_REQ_get_subject_name(req);
    bool ok = true;
    for (int i = 0; ok && i < X509_NAME_entry_count(name); i++) {
        unsigned char *text = NULL;
        int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
        ok = n >= 0 && is_shown(text, n);
        OPENSSL_free(text);
    }
    ERR_clear_error();
    return ok ? 0
              : err_set(e, ERR_INVALID,
                        "Received invalid csr: its subject is not text in UTF-8, or has control "
                        "characters.");
}

static const char *ext_name(const X509_EXTENSION *x, char buf[80])
{
    ASN1_OBJECT *o = X509_EXTENSION_get_object((X509_EXTENSION *)(uintptr_t)x);
    int nid = OBJ_obj2nid(o);
    if (nid != NID_undef)
        return OBJ_nid2sn(nid);
    OBJ_obj2txt(buf, 80, o, 1);
    return buf;
}

static int not_allowed(const char *name, struct err *e)
{
    return err_set(e, ERR_INVALID, "Extension '%s' not allowed", name);
}

static int add_key_usage(X509 *cert, X509_EXTENSION *x, const struct cert_policy *p, struct err *e)
{
    bool critical = X509_EXTENSION_get_critical(x);
    ASN1_BIT_STRING *bits = X509V3_EXT_d2i(x);
    if (!bits)
        return not_allowed("keyUsage", e);
    ASN1_BIT_STRING *kept = ASN1_BIT_STRING_new();
    int rc = kept ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(usages); i++) {
        /* KU_* numbers a DER bit string byte-wise; its index counts from the first byte's top */
        int index = 0;
        while (index < 9 && (index < 8 ? 0x80u >> index : 0x8000u) != usages[i].bit)
            index++;
        if (!ASN1_BIT_STRING_get_bit(bits, index))
            continue;
        bool ca = usages[i].bit == KU_KEY_CERT_SIGN || usages[i].bit == KU_CRL_SIGN;
        bool ok = ca ? p->allow_ca
                     : strv_has(p->allowed_key_usage, usages[i].name) ||
                           (usages[i].alias && strv_has(p->allowed_key_usage, usages[i].alias));
        if (ok)
            ASN1_BIT_STRING_set_bit(kept, index, 1);
        else if (critical)
            rc = not_allowed("keyUsage", e);
    }
    if (rc == 0 && X509_add1_ext_i2d(cert, NID_key_usage, kept, critical, X509V3_ADD_DEFAULT) != 1)
        rc = x509_fail(e, "cannot copy keyUsage");
    ASN1_BIT_STRING_free(kept);
    ASN1_BIT_STRING_free(bits);
    return rc;
}

static int add_basic_constraints(X509 *cert, X509_EXTENSION *x, const struct cert_policy *p,
                                 struct err *e)
{
    BASIC_CONSTRAINTS *bc = X509V3_EXT_d2i(x);
    bool critical = X509_EXTENSION_get_critical(x);
    if (!bc)
        return not_allowed("basicConstraints", e);
    bool refused = bc->ca && !p->allow_ca;
    BASIC_CONSTRAINTS_free(bc);
    if (refused && critical)
        return not_allowed("basicConstraints", e);
    if (refused)
        return x509_extend(cert, NID_basic_constraints, "CA:FALSE", e);
    return X509_add_ext(cert, x, -1) ? 0 : x509_fail(e, "cannot copy basicConstraints");
}

/* What is signed must be what it says: an extension OpenSSL knows has to be well-formed. */
static bool is_well_formed(X509_EXTENSION *x)
{
    const X509V3_EXT_METHOD *method = X509V3_EXT_get(x);
    if (!method)
        return true;
    void *value = X509V3_EXT_d2i(x);
    if (value && method->it)
        ASN1_item_free(value, ASN1_ITEM_ptr(method->it));
    else if (value)
        method->ext_free(value);
    ERR_clear_error();
    return value != NULL;
}

static int copy_extensions(X509 *cert, X509_REQ *req, const struct cert_policy *p, struct err *e)
{
    STACK_OF(X509_EXTENSION) *list = X509_REQ_get_extensions(req);
    int rc = 0;
    for (int i = 0; rc == 0 && list && i < sk_X509_EXTENSION_num(list); i++) {
        char buf[80];
        X509_EXTENSION *x = sk_X509_EXTENSION_value(list, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(x));
        const char *name = ext_name(x, buf);
        if (p->usages && nid == NID_ext_key_usage) {
            continue; /* the caller says what it is for */
        } else if (!strv_has(p->allowed_extensions, name)) {
            if (X509_EXTENSION_get_critical(x))
                rc = not_allowed(name, e);
        } else if (X509_get_ext_by_NID(cert, nid, -1) >= 0) {
            rc = err_set(e, ERR_INVALID, "Received invalid csr: it has %s twice.", name);
        } else if (!is_well_formed(x)) {
            rc = err_set(e, ERR_INVALID, "Received invalid csr: its %s is malformed.", name);
        } else if (nid == NID_key_usage) {
            rc = add_key_usage(cert, x, p, e);
        } else if (nid == NID_basic_constraints) {
            rc = add_basic_constraints(cert, x, p, e);
        } else if (nid != NID_subject_key_identifier && !X509_add_ext(cert, x, -1)) {
            rc = x509_fail(e, "cannot copy an extension");
        }
    }
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return rc;
}

/* What the caller wants the certificate to be for, whatever its maker wrote. */
static int force_usages(X509 *cert, const struct strv *wanted, struct err *e)
{
    bool server = strv_has(wanted, "server"), client = strv_has(wanted, "client");
    const char *eku = server && client ? "serverAuth,clientAuth"
                      : server         ? "serverAuth"
                                       : "clientAuth";
    if (!server && !client)
        return err_set(e, ERR_INVALID, "usages are \"server\" and \"client\"");
    int rc = x509_extend(cert, NID_ext_key_usage, eku, e);
    if (rc == 0 && X509_get_ext_by_NID(cert, NID_key_usage, -1) < 0)
        rc = x509_extend(cert, NID_key_usage, "critical,digitalSignature,keyEncipherment", e);
    if (rc == 0 && X509_get_ext_by_NID(cert, NID_basic_constraints, -1) < 0)
        rc = x509_extend(cert, NID_basic_constraints, "critical,CA:FALSE", e);
    return rc;
}

int x509_draft_csr(const char *csr_pem, const struct cert_policy *p, X509 **ret, X509_REQ **ret_req,
                   struct err *e)
{
    _cleanup_x509_req_ X509_REQ *req = NULL;
    _cleanup_x509_ X509 *cert = NULL;
    EVP_PKEY *key = NULL; /* owned by req */
    int rc = parse(csr_pem, &req, e);
    if (rc == 0)
        rc = check_key(req, csr_pem, &key, e);
    if (rc == 0)
        rc = check_subject(req, e);
    if (rc == 0)
        rc = x509_begin(key, p->days, &cert, e);
    if (rc == 0 && !X509_set_subject_name(cert, X509_REQ_get_subject_name(req)))
        rc = x509_fail(e, "cannot set the subject");
    if (rc == 0)
        rc = copy_extensions(cert, req, p, e);
    if (rc == 0 && p->usages)
        rc = force_usages(cert, p->usages, e);
    if (rc == 0)
        rc = x509_add_ski(cert, p, e);
    if (rc == 0) {
        *ret = TAKE_PTR(cert);
        *ret_req = TAKE_PTR(req);
    }
    return rc;
}

int certs_sign_csr(const struct cert_pair *ca, const char *csr_pem, const struct cert_policy *p,
                   char **ret_pem, struct err *e)
{
    _cleanup_x509_req_ X509_REQ *req = NULL;
    _cleanup_x509_ X509 *ca_cert = NULL, *cert = NULL;
    _cleanup_pkey_ EVP_PKEY *ca_key = NULL;
    int rc = x509_draft_csr(csr_pem, p, &cert, &req, e);
    if (rc == 0)
        rc = x509_load_pair(ca, &ca_cert, &ca_key, e);
    if (rc == 0 && !X509_set_issuer_name(cert, X509_get_subject_name(ca_cert)))
        rc = x509_fail(e, "cannot set the names");
    return rc == 0 ? x509_finish(cert, ca_key, ret_pem, e) : rc;
}
