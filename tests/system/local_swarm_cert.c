/* See local_swarm_cert.h. */
#include "system/local_swarm_cert.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static X509 *new_cert(EVP_PKEY *key, const char *cn, X509_NAME *issuer)
{
    X509 *x = X509_new();
    unsigned char serial[8];
    RAND_bytes(serial, sizeof serial);
    serial[0] &= 0x7f;
    BIGNUM *bn = BN_bin2bn(serial, sizeof serial, NULL);
    BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
    BN_free(bn);
    X509_set_version(x, 2);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x, issuer ? issuer : name);
    return x;
}

static void add_extension(X509 *x, X509 *ca, int nid, const char *text)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, ca, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, text);
    if (e)
        X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static FILE *open_in(const char *dir, const char *file, const char *mode)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    return fopen(path, mode);
}

int cert_make_ca(const char *dir)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = new_cert(key, "test-ca", NULL);
    add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
    int ok = X509_sign(x, key, EVP_sha256()) > 0;
    FILE *f = open_in(dir, "ca.key", "w"), *g = open_in(dir, "ca.crt", "w");
    ok = ok && f && g && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) &&
         PEM_write_X509(g, x);
    if (f)
        fclose(f);
    if (g)
        fclose(g);
    X509_free(x);
    EVP_PKEY_free(key);
    return ok ? 0 : -1;
}

static char *bio_text(BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    return strndup(p, (size_t)n);
}

static void append_list(char *out, size_t cap, const json_t *list, const char *format)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        size_t n = strlen(out);
        snprintf(out + n, cap - n, "%s%s:%s", n ? "," : "", format, json_string_value(v));
    }
}

json_t *cert_issue(const char *dir, const json_t *request)
{
    char san[512] = "", eku[128] = "";
    size_t i;
    json_t *v;
    FILE *f = open_in(dir, "ca.key", "r"), *g = open_in(dir, "ca.crt", "r");
    EVP_PKEY *ca_key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    X509 *ca = g ? PEM_read_X509(g, NULL, NULL, NULL) : NULL;
    if (f)
        fclose(f);
    if (g)
        fclose(g);
    if (!ca_key || !ca)
        return NULL;
    append_list(san, sizeof san, json_object_get(request, "dns"), "DNS");
    append_list(san, sizeof san, json_object_get(request, "ip"), "IP");
    json_array_foreach(json_object_get(request, "usages"), i, v)
    {
        strcat(eku, eku[0] ? "," : "");
        strcat(eku, strcmp(json_string_value(v), "server") == 0 ? "serverAuth" : "clientAuth");
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x =
        new_cert(key, json_string_value(json_object_get(request, "cn")), X509_get_subject_name(ca));
    if (san[0])
        add_extension(x, ca, NID_subject_alt_name, san);
    add_extension(x, ca, NID_ext_key_usage, eku);
    X509_sign(x, ca_key, EVP_sha256());
    BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem()), *c = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(a, x);
    PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
    PEM_write_bio_X509(c, ca);
    char *cert_pem = bio_text(a), *key_pem = bio_text(b), *ca_pem = bio_text(c);
    json_t *ret =
        json_pack("{s:s, s:s, s:s}", "certificate", cert_pem, "private_key", key_pem, "ca", ca_pem);
    free(cert_pem);
    free(key_pem);
    free(ca_pem);
    BIO_free(a);
    BIO_free(b);
    BIO_free(c);
    X509_free(x);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return ret;
}
