/* magnum/cert.h - "mag.cert.store/1" and "mag.cert.sign/1": certificate managers.
 * `key` is derived (<cluster_id>/<role>/<serial>, at most 200 characters of [A-Za-z0-9/_.-]): put
 * twice with equal content returns the same reference, with other content MAG_E_EXISTS. del of the
 * absent is MAG_OK. A bundle is there whole or not at all, also after a crash in the middle of put.
 *
 * A reference is what put returned, or "key:" and the key: the host that died between put and
 * keeping the reference asks so. Therefore a manager finds a bundle by its key alone. */
#ifndef MAGNUM_CERT_H
#define MAGNUM_CERT_H

#include "magnum/plugin.h"

#define MAG_IFACE_CERT_STORE "mag.cert.store/1"
#define MAG_IFACE_CERT_SIGN "mag.cert.sign/1"

typedef struct mag_cert_ref {
    uint32_t struct_size;
    uint32_t reserved0;
    char ref[256];
} mag_cert_ref;

#define MAG_CERT_CERTIFICATE (1u << 0)
#define MAG_CERT_CHAIN (1u << 1)
#define MAG_CERT_KEY (1u << 2)
#define MAG_CERT_PASSPHRASE (1u << 3)

/* The host copies inside part(), and takes only what `parts` asked for. A key or passphrase goes
 * only to a sink with secret = 1. */
typedef struct mag_cert_sink {
    uint32_t struct_size;
    uint32_t secret;
    void *ctx;
    int32_t (*part)(void *ctx, uint32_t which, mag_bytes pem);
} mag_cert_sink;

typedef struct mag_cert_store {
    uint32_t struct_size;
    uint32_t reserved0;
    /* bundle: {"certificate", "chain", "private_key", "passphrase"} (texts, absent = none). */
    int32_t (*put)(void *self, const mag_op *op, const char *key, mag_bytes bundle,
                   mag_cert_ref *out, mag_error *err);
    /* MAG_E_NOT_FOUND; MAG_E_UNSUPPORTED when a key is asked for that this manager never shows. */
    int32_t (*get)(void *self, const mag_op *op, const mag_cert_ref *ref, uint32_t parts,
                   mag_cert_sink *sink, mag_error *err);
    int32_t (*del)(void *self, const mag_op *op, const mag_cert_ref *ref, mag_error *err);
} mag_cert_store;

/* For managers that never show the key of a CA. The host has checked the CSR and says in `profile`
 * all that the certificate shall be; the CSR gives subject and public key only:
 *   {"serial": "<hex>", "not_before": "YYYYMMDDHHMMSSZ", "not_after": "YYYYMMDDHHMMSSZ",
 *    "extensions": [{"oid": "2.5.29.15", "critical": true, "value": "<base64 of the DER>"}]}
 * It refuses a certificate that is anything else. *ret_pem is valid until the next call. */
typedef struct mag_cert_sign {
    uint32_t struct_size;
    uint32_t reserved0;
    int32_t (*sign_csr)(void *self, const mag_op *op, const mag_cert_ref *ca, mag_bytes csr_pem,
                        mag_bytes profile, mag_bytes *ret_pem, mag_error *err);
} mag_cert_sign;

#endif
