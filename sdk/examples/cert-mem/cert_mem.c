/* A certificate manager in its process's memory: the smallest one there can be, to be read and for
 * tests. It signs, and never shows the key of a CA. What it keeps ends with the process: run it
 * with drivers.processes = 1 and a large drivers.recycle_calls, and for nothing that matters. */
#include "certificate.h"
#include "lib/cleanup.h"
#include "lib/services.h"

#include <magnum/cert.h>

#include <openssl/pem.h>
#include <string.h>

#define BY_KEY "key:"
enum { SECRETS = MAG_CERT_KEY | MAG_CERT_PASSPHRASE };

struct store {
    json_t *bundles;  /* key to bundle */
    char *signed_pem; /* what the last sign_csr returned */
};

static const char *key_of(const mag_cert_ref *ref)
{
    return strncmp(ref->ref, BY_KEY, strlen(BY_KEY)) == 0 ? ref->ref + strlen(BY_KEY) : ref->ref;
}

static int32_t missing(mag_error *err)
{
    return mag_fail(err, MAG_E_NOT_FOUND, 0, "NotFound", NULL, "there is no such bundle");
}

static int32_t mem_put(void *self, const mag_op *op, const char *key, mag_bytes bytes,
                       mag_cert_ref *out, mag_error *err)
{
    struct store *s = self;
    json_t *bundle = NULL;
    const json_t *there = json_object_get(s->bundles, key);
    (void)op;
    int32_t rc = mag_json_parse(bytes, "the bundle", &bundle, err);
    if (rc == MAG_OK &&
        (!mag_json_text(bundle, "certificate", NULL) || strlen(key) >= sizeof out->ref))
        rc = mag_fail(err, MAG_E_INVALID, 0, "BadBundle", NULL, "this is no bundle");
    if (rc == MAG_OK && there && !json_equal(there, bundle))
        rc = mag_fail(err, MAG_E_EXISTS, 0, "Exists", NULL, "another bundle has this key");
    if (rc == MAG_OK && !there && json_object_set(s->bundles, key, bundle) < 0)
        rc = mag_fail_nomem(err);
    if (rc == MAG_OK)
        memcpy(out->ref, key, strlen(key) + 1);
    json_decref(bundle);
    return rc;
}

static int32_t mem_get(void *self, const mag_op *op, const mag_cert_ref *ref, uint32_t wanted,
                       mag_cert_sink *sink, mag_error *err)
{
    static const struct {
        uint32_t part;
        const char *name;
    } parts[] = {{MAG_CERT_CERTIFICATE, "certificate"},
                 {MAG_CERT_CHAIN, "chain"},
                 {MAG_CERT_KEY, "private_key"},
                 {MAG_CERT_PASSPHRASE, "passphrase"}};
    const struct store *s = self;
    const json_t *bundle = json_object_get(s->bundles, key_of(ref));
    (void)op;
    if (!bundle)
        return missing(err);
    if ((wanted & SECRETS) && !sink->secret)
        return mag_fail(err, MAG_E_DENIED, 0, "NotSecret", NULL, "keys go to a secret sink only");
    if ((wanted & SECRETS) && certificate_is_ca(mag_json_text(bundle, "certificate", "")))
        return mag_fail(err, MAG_E_UNSUPPORTED, 0, "KeyStays", NULL,
                        "the key of a CA is never shown");
    for (size_t i = 0; i < MAG_LEN(parts); i++) {
        const char *text = mag_json_text(bundle, parts[i].name, NULL);
        if (text && (wanted & parts[i].part) &&
            sink->part(sink->ctx, parts[i].part, mag_text(text)) != MAG_OK)
            return mag_fail(err, MAG_E_INTERNAL, 0, "SinkFailed", NULL, "the host took no part");
    }
    return MAG_OK;
}

static int32_t mem_del(void *self, const mag_op *op, const mag_cert_ref *ref, mag_error *err)
{
    struct store *s = self;
    (void)op;
    (void)err;
    (void)json_object_del(s->bundles, key_of(ref));
    return MAG_OK;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, "") : NULL;
    BIO_free(in);
    return key;
}

static int32_t mem_sign(void *self, const mag_op *op, const mag_cert_ref *ref, mag_bytes csr,
                        mag_bytes profile, mag_bytes *ret, mag_error *err)
{
    struct store *s = self;
    const json_t *bundle = json_object_get(s->bundles, key_of(ref));
    X509 *cert = NULL;
    (void)op;
    if (!bundle)
        return missing(err);
    X509 *ca = certificate_read(mag_json_text(bundle, "certificate", ""));
    EVP_PKEY *key = read_key(mag_json_text(bundle, "private_key", ""));
    int32_t rc = ca && key ? certificate_make(ca, csr, profile, &cert, err) : missing(err);
    if (rc == MAG_OK && X509_sign(cert, key, EVP_sha256()) <= 0)
        rc = mag_fail(err, MAG_E_INTERNAL, 0, "SigningFailed", NULL, "the CA can't sign this");
    if (rc == MAG_OK) {
        free(s->signed_pem);
        s->signed_pem = certificate_write(cert);
        *ret = mag_text(s->signed_pem);
        rc = s->signed_pem ? MAG_OK : mag_fail_nomem(err);
    }
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    return rc;
}

static int32_t mem_create(const mag_host *host, void **self, mag_error *err)
{
    struct store *s = calloc(1, sizeof *s);
    (void)host;
    if (!s || !(s->bundles = json_object())) {
        free(s);
        return mag_fail_nomem(err);
    }
    *self = s;
    return MAG_OK;
}

static void mem_destroy(void *self)
{
    struct store *s = self;
    json_decref(s->bundles);
    free(s->signed_pem);
    free(s);
}

static const void *mem_interface(void *self, const char *id)
{
    static const mag_cert_store store = {
        .struct_size = sizeof store, .put = mem_put, .get = mem_get, .del = mem_del};
    static const mag_cert_sign sign = {.struct_size = sizeof sign, .sign_csr = mem_sign};
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
                                      .id = "com.example.cert-mem",
                                      .version = "1.0.0",
                                      .vendor = "Example",
                                      .create = mem_create,
                                      .destroy = mem_destroy,
                                      .get_interface = mem_interface};
    (void)host_minor;
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
