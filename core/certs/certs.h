/* X.509 work with OpenSSL 3, pure functions over PEM texts: CAs, CSR signing by Magnum's rules
 * (conductor.md 4, validation.md 11), node certificates, and sealing of private keys (AES-256-GCM).
 * Where bundles are kept is the business of the cert managers; this folder keeps nothing.
 * Neighbours: conductor (cert stage, rpc), cmd. Thread-safe. */
#ifndef MAGNUM_CERTS_CERTS_H
#define MAGNUM_CERTS_CERTS_H

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"

#include <jansson.h>
#include <stdint.h>

struct cert_policy {      /* borrowed, as a rule from the configuration */
    const char *key_type; /* ec-p256, ec-p384, rsa-2048, rsa-4096 */
    int64_t days;
    bool allow_ca;
    const struct strv *allowed_extensions, *allowed_key_usage;
};
struct cert_pair {
    char *cert_pem; /* owned */
    struct secret key_pem;
};
void cert_pair_done(struct cert_pair *p);

/* A self-signed CA as Magnum makes it (critical CA:TRUE pathlen:0, keyCertSign, SKI), valid from
 * one day ago, 128-bit random serial. cn over 64 characters: ERR_INVALID, X.509's limit. */
int certs_ca_make(const char *cn, const struct cert_policy *p, struct cert_pair *ret,
                  struct err *e) MUST_CHECK;
/* A key and a certificate from a CA: usages "server", "client" (both allowed); dns/ip may be empty.
 */
struct cert_request {
    const char *cn, *o;
    const struct strv *dns, *ip;
    bool server, client;
    int64_t days; /* 0 = the policy's */
};
int certs_issue(const struct cert_pair *ca, const struct cert_request *rq,
                const struct cert_policy *p, struct cert_pair *ret, struct err *e) MUST_CHECK;
/* Signs a PEM CSR by the rules of validation.md 11. Texts are Magnum's: `Received invalid csr ...`
 * and `Extension '...' not allowed`. A private key among the input is refused and never logged. */
int certs_sign_csr(const struct cert_pair *ca, const char *csr_pem, const struct cert_policy *p,
                   char **ret_pem, struct err *e) MUST_CHECK;

/* Sealing: text form "v1:<base64 of nonce|ciphertext|tag>", bound to `context` (e.g. the row's
 * uuid) as associated data. key: 32 bytes. */
int certs_seal(const struct secret *key, const char *context, const void *data, size_t len,
               char **ret, struct err *e) MUST_CHECK;
int certs_unseal(const struct secret *key, const char *context, const char *sealed,
                 struct secret *ret, struct err *e) MUST_CHECK;
/* Reads 32 bytes or 64 hex digits; refuses files that group or others can read. */
int certs_key_load(const char *path, struct secret *ret, struct err *e) MUST_CHECK;
/* Makes such a file (0600) when it does not exist. */
int certs_key_make(const char *path, struct err *e) MUST_CHECK;

#endif
