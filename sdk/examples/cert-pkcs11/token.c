/* See token.h. */
#include "token.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <p11-kit/p11-kit.h>
#include <stdio.h>
#include <string.h>

enum { SLOTS_MAX = 64, BATCH = 16, SIGNATURE_MAX = 1024, NUMBER_MAX = 1024 };

static int32_t failed(mag_error *err, const char *what, CK_RV rv)
{
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "Token",
                    "check the token and its PIN", "the token can't %s: error 0x%lx", what,
                    (unsigned long)rv);
}

/* ---- the session ---- */
static bool same_label(const CK_TOKEN_INFO *info, const char *label)
{
    size_t n = sizeof info->label;
    while (n && info->label[n - 1] == ' ')
        n--;
    return strlen(label) == n && memcmp(info->label, label, n) == 0;
}

static int32_t find_slot(const struct token *t, const char *label, CK_SLOT_ID *ret, mag_error *err)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    CK_TOKEN_INFO info;
    CK_RV rv = t->module->C_GetSlotList(CK_TRUE, slots, &n);
    for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++)
        if (t->module->C_GetTokenInfo(slots[i], &info) == CKR_OK && same_label(&info, label)) {
            *ret = slots[i];
            return MAG_OK;
        }
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "NoToken",
                    "plug it in, or set token in the plugin's configuration",
                    "there is no token labelled %s", label);
}

static int32_t log_in(struct token *t, CK_SLOT_ID slot, const char *pin_file, mag_error *err)
{
    char pin[256] = "";
    FILE *f = fopen(pin_file, "re");
    bool read = f && fgets(pin, sizeof pin, f);
    if (f)
        fclose(f);
    if (!read)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "NoPin", NULL,
                        "cannot read %s", pin_file);
    pin[strcspn(pin, "\r\n")] = '\0';
    CK_RV rv = t->module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                        &t->session);
    if (rv == CKR_OK)
        rv = t->module->C_Login(t->session, CKU_USER, (unsigned char *)pin, strlen(pin));
    explicit_bzero(pin, sizeof pin);
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? MAG_OK : failed(err, "log in", rv);
}

int32_t token_open(struct token *t, const char *module, const char *label, const char *pin_file,
                   mag_error *err)
{
    CK_SLOT_ID slot = 0;
    t->module = p11_kit_module_load(module, 0);
    if (!t->module)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "NoModule",
                        "install the token's PKCS#11 library", "cannot load %s", module);
    CK_RV rv = p11_kit_module_initialize(t->module);
    if (rv != CKR_OK) {
        p11_kit_module_release(t->module);
        t->module = NULL;
        return failed(err, "be initialized", rv);
    }
    int32_t rc = find_slot(t, label, &slot, err);
    if (rc == MAG_OK)
        rc = log_in(t, slot, pin_file, err);
    t->open = true;
    if (rc != MAG_OK)
        token_close(t);
    return rc;
}

void token_close(struct token *t)
{
    if (!t->open)
        return;
    p11_kit_module_finalize(t->module); /* closes all sessions */
    p11_kit_module_release(t->module);
    *t = (struct token){0};
}

/* ---- objects ---- */
static int32_t find_some(const struct token *t, CK_OBJECT_CLASS kind, const char *label,
                         CK_OBJECT_HANDLE ret[BATCH], CK_ULONG *ret_n, mag_error *err)
{
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &kind, sizeof kind},
                             {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
    CK_RV rv = t->module->C_FindObjectsInit(t->session, wanted, MAG_LEN(wanted));
    if (rv == CKR_OK)
        rv = t->module->C_FindObjects(t->session, ret, BATCH, ret_n);
    (void)t->module->C_FindObjectsFinal(t->session);
    return rv == CKR_OK ? MAG_OK : failed(err, "look an object up", rv);
}

int32_t token_find(const struct token *t, CK_OBJECT_CLASS kind, const char *label,
                   CK_OBJECT_HANDLE *ret, mag_error *err)
{
    CK_OBJECT_HANDLE found[BATCH];
    CK_ULONG n = 0;
    int32_t rc = find_some(t, kind, label, found, &n, err);
    if (rc == MAG_OK && n == 0)
        rc = mag_fail(err, MAG_E_NOT_FOUND, 0, "NotFound", NULL, "there is no bundle %s", label);
    if (rc == MAG_OK)
        *ret = found[0];
    return rc;
}

int32_t token_value(const struct token *t, CK_OBJECT_HANDLE o, unsigned char **ret, size_t *len,
                    mag_error *err)
{
    CK_ATTRIBUTE a = {CKA_VALUE, NULL, 0};
    CK_RV rv = t->module->C_GetAttributeValue(t->session, o, &a, 1);
    unsigned char *data = rv == CKR_OK ? malloc(a.ulValueLen + 1) : NULL;
    if (rv == CKR_OK && !data)
        return mag_fail_nomem(err);
    a.pValue = data;
    if (rv == CKR_OK)
        rv = t->module->C_GetAttributeValue(t->session, o, &a, 1);
    if (rv != CKR_OK) {
        free(data);
        return failed(err, "show an object", rv);
    }
    data[a.ulValueLen] = '\0';
    *ret = data;
    *len = a.ulValueLen;
    return MAG_OK;
}

int32_t token_destroy(const struct token *t, CK_OBJECT_CLASS kind, const char *label,
                      mag_error *err)
{
    CK_OBJECT_HANDLE found[BATCH];
    CK_ULONG n = 0;
    do {
        int32_t rc = find_some(t, kind, label, found, &n, err);
        if (rc != MAG_OK)
            return rc;
        for (CK_ULONG i = 0; i < n; i++) {
            CK_RV rv = t->module->C_DestroyObject(t->session, found[i]);
            if (rv != CKR_OK && rv != CKR_OBJECT_HANDLE_INVALID)
                return failed(err, "delete an object", rv);
        }
    } while (n == BATCH);
    return MAG_OK;
}

int32_t token_put_value(const struct token *t, const char *label, const unsigned char *subject,
                        size_t subject_len, const void *value, size_t len, mag_error *err)
{
    CK_OBJECT_CLASS kind = subject ? CKO_CERTIFICATE : CKO_DATA;
    CK_CERTIFICATE_TYPE x509 = CKC_X_509;
    CK_BBOOL yes = CK_TRUE, hidden = subject ? CK_FALSE : CK_TRUE;
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &kind, sizeof kind},
                        {CKA_TOKEN, &yes, sizeof yes},
                        {CKA_PRIVATE, &hidden, sizeof hidden},
                        {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)},
                        {CKA_VALUE, (void *)(uintptr_t)value, len},
                        {CKA_CERTIFICATE_TYPE, &x509, sizeof x509},
                        {CKA_SUBJECT, (void *)(uintptr_t)subject, subject_len}};
    CK_OBJECT_HANDLE made = 0;
    CK_RV rv =
        t->module->C_CreateObject(t->session, a, subject ? MAG_LEN(a) : MAG_LEN(a) - 2, &made);
    return rv == CKR_OK ? MAG_OK : failed(err, "keep an object", rv);
}

/* ---- keys ---- */
struct number {
    unsigned char bytes[NUMBER_MAX];
    size_t len;
};

static bool number_of(const EVP_PKEY *key, const char *name, struct number *ret)
{
    BIGNUM *n = NULL;
    bool ok = EVP_PKEY_get_bn_param(key, name, &n) && BN_num_bytes(n) <= NUMBER_MAX;
    ret->len = ok ? (size_t)BN_bn2bin(n, ret->bytes) : 0;
    BN_clear_free(n);
    return ok;
}

/* Fills the attributes that are the key itself; how many, 0 = not such a key. */
static size_t key_attributes(const EVP_PKEY *key, struct number v[8], CK_ATTRIBUTE *a)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        const char *name;
    } rsa[] = {{CKA_MODULUS, OSSL_PKEY_PARAM_RSA_N},
               {CKA_PUBLIC_EXPONENT, OSSL_PKEY_PARAM_RSA_E},
               {CKA_PRIVATE_EXPONENT, OSSL_PKEY_PARAM_RSA_D},
               {CKA_PRIME_1, OSSL_PKEY_PARAM_RSA_FACTOR1},
               {CKA_PRIME_2, OSSL_PKEY_PARAM_RSA_FACTOR2},
               {CKA_EXPONENT_1, OSSL_PKEY_PARAM_RSA_EXPONENT1},
               {CKA_EXPONENT_2, OSSL_PKEY_PARAM_RSA_EXPONENT2},
               {CKA_COEFFICIENT, OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};
    if (EVP_PKEY_is_a(key, "EC")) {
        char group[64];
        size_t n = 0;
        if (!EVP_PKEY_get_group_name(key, group, sizeof group, &n) ||
            !number_of(key, OSSL_PKEY_PARAM_PRIV_KEY, &v[0]))
            return 0;
        unsigned char *p = v[1].bytes;
        ASN1_OBJECT *curve = OBJ_txt2obj(group, 0);
        int len = curve ? i2d_ASN1_OBJECT(curve, &p) : -1;
        ASN1_OBJECT_free(curve);
        a[0] = (CK_ATTRIBUTE){CKA_VALUE, v[0].bytes, v[0].len};
        a[1] = (CK_ATTRIBUTE){CKA_EC_PARAMS, v[1].bytes, (CK_ULONG)(len > 0 ? len : 0)};
        return len > 0 ? 2 : 0;
    }
    for (size_t i = 0; i < MAG_LEN(rsa); i++) {
        if (!EVP_PKEY_is_a(key, "RSA") || !number_of(key, rsa[i].name, &v[i]))
            return 0;
        a[i] = (CK_ATTRIBUTE){rsa[i].type, v[i].bytes, v[i].len};
    }
    return MAG_LEN(rsa);
}

int32_t token_put_key(const struct token *t, const char *label, EVP_PKEY *key, mag_error *err)
{
    CK_OBJECT_CLASS kind = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = EVP_PKEY_is_a(key, "EC") ? CKK_EC : CKK_RSA;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    struct number *numbers = calloc(8, sizeof *numbers);
    CK_ATTRIBUTE a[16] = {
        {CKA_CLASS, &kind, sizeof kind},   {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &yes, sizeof yes},     {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_SIGN, &yes, sizeof yes},      {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
    CK_OBJECT_HANDLE made = 0;
    if (!numbers)
        return mag_fail_nomem(err);
    size_t n = key_attributes(key, numbers, a + 8);
    CK_RV rv = n ? t->module->C_CreateObject(t->session, a, 8 + n, &made) : CKR_OK;
    explicit_bzero(numbers, 8 * sizeof *numbers);
    free(numbers);
    if (n == 0)
        return mag_fail(err, MAG_E_UNSUPPORTED, 0, "KeyType", NULL,
                        "the token takes RSA and EC keys only");
    return rv == CKR_OK ? MAG_OK : failed(err, "keep a key", rv);
}

/* r and s side by side become the SEQUENCE that X.509 wants. */
static unsigned char *ecdsa_der(const unsigned char *raw, size_t len, size_t *ret_len)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)(len / 2), NULL);
    BIGNUM *s = BN_bin2bn(raw + len / 2, (int)(len / 2), NULL);
    unsigned char *der = NULL;
    if (!sig || !r || !s || !ECDSA_SIG_set0(sig, r, s)) {
        BN_free(r);
        BN_free(s);
    } else {
        int n = i2d_ECDSA_SIG(sig, &der);
        *ret_len = n > 0 ? (size_t)n : 0;
    }
    ECDSA_SIG_free(sig);
    return der;
}

int32_t token_sign(const struct token *t, const char *label, bool ec, const unsigned char *data,
                   size_t len, unsigned char **ret, size_t *ret_len, mag_error *err)
{
    CK_MECHANISM how = {ec ? CKM_ECDSA : CKM_SHA256_RSA_PKCS, NULL, 0};
    CK_OBJECT_HANDLE key = 0;
    unsigned char hash[EVP_MAX_MD_SIZE], raw[SIGNATURE_MAX];
    unsigned n = 0;
    CK_ULONG n_raw = sizeof raw;
    int32_t rc = token_find(t, CKO_PRIVATE_KEY, label, &key, err);
    if (rc != MAG_OK)
        return rc;
    if (ec && !EVP_Digest(data, len, hash, &n, EVP_sha256(), NULL))
        return mag_fail_nomem(err);
    CK_RV rv = t->module->C_SignInit(t->session, &how, key);
    if (rv == CKR_OK)
        rv = t->module->C_Sign(t->session, ec ? hash : (unsigned char *)(uintptr_t)data,
                               ec ? n : len, raw, &n_raw);
    if (rv != CKR_OK)
        return failed(err, "sign", rv);
    *ret = ec ? ecdsa_der(raw, n_raw, ret_len) : OPENSSL_memdup(raw, n_raw);
    if (!ec)
        *ret_len = n_raw;
    return *ret ? MAG_OK : mag_fail_nomem(err);
}
