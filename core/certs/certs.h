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
#include <stdbool.h>
#include <stdint.h>

struct cert_policy {      /* borrowed, as a rule from the configuration */
    const char *key_type; /* ec-p256, ec-p384, rsa-2048, rsa-4096 */
    int64_t days;
    bool allow_ca;
    bool no_key_identifier; /* certificates without one, as 15.0.1 makes them */
    const struct strv *allowed_extensions, *allowed_key_usage;
    /* Of a signed CSR: "server", "client" in place of what it asks for; NULL = what it asks for. */
    const struct strv *usages;
    struct key_pool *keys; /* keys made ahead; NULL = made when needed */
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

/* The same in two halves, for a CA whose key is elsewhere (mag.cert.sign/1): a draft is a
 * certificate with everything but its signature. */
struct cert_draft;
void cert_draft_free(struct cert_draft **d);
int cert_draft_of_csr(const char *ca_pem, const char *csr_pem, const struct cert_policy *p,
                      struct cert_draft **ret, struct err *e) MUST_CHECK;
/* Makes the key, too. */
int cert_draft_of_request(const char *ca_pem, const struct cert_request *rq,
                          const struct cert_policy *p, struct cert_draft **ret,
                          struct err *e) MUST_CHECK;
/* What the signer gets: a CSR (PEM) with subject and public key, and the profile {serial: hex,
 * not_before, not_after: "YYYYMMDDHHMMSSZ", extensions: [{oid, critical, value: base64 of the
 * DER}]}. Caller frees both. */
int cert_draft_ask(const struct cert_draft *d, char **ret_csr, json_t **ret_profile,
                   struct err *e) MUST_CHECK;
/* Is this the draft, signed by that CA, and nothing else? ERR_PROTOCOL when not. */
int cert_draft_check(const struct cert_draft *d, const char *ca_pem, const char *signed_pem,
                     struct err *e) MUST_CHECK;
/* The key of a draft of a request, as PKCS#8. */
int cert_draft_key(const struct cert_draft *d, struct secret *ret, struct err *e) MUST_CHECK;

/* ---- what a certificate says ---- */
struct cert_info {
    char *subject;                 /* owned: RFC 2253 */
    char fingerprint[65];          /* SHA-256, hex */
    int64_t not_before, not_after; /* microseconds UTC */
    bool ca;
};
void cert_info_done(struct cert_info *i);
/* Of the first certificate in the text. */
int certs_info(const char *pem, struct cert_info *ret, struct err *e) MUST_CHECK;
/* Signed by that CA, now valid, and the CA may do that. ERR_INVALID with OpenSSL's reason. */
int certs_verify(const char *ca_pem, const char *cert_pem, struct err *e) MUST_CHECK;
/* From what a store gave back: the key (may be NULL) is decrypted when it has a passphrase,
 * written as plain PKCS#8, and must belong to the certificate. Limited in size. ERR_INVALID. */
int certs_pair_open(const char *cert_pem, const char *key_pem, const char *passphrase,
                    struct cert_pair *ret, struct err *e) MUST_CHECK;
/* The same certificate and the same key (when both have one)? */
bool cert_pair_equal(const struct cert_pair *a, const struct cert_pair *b);

/* ---- keys made ahead ---- */
/* A thread of low priority keeps up to `size` keys of one type ready; size 0 = none. Keys of other
 * types are made on the spot. */
struct key_pool;
int key_pool_new(const char *key_type, size_t size, struct key_pool **ret,
                 struct err *e) MUST_CHECK;
void key_pool_free(struct key_pool **p);
/* How many are ready; for tests and metrics. */
size_t key_pool_ready(struct key_pool *p);

/* Sealing: text form "v1:<base64 of nonce|ciphertext|tag>", bound to `context` (e.g. the row's
 * uuid) as associated data. key: 32 bytes. */
int certs_seal(const struct secret *key, const char *context, const void *data, size_t len,
               char **ret, struct err *e) MUST_CHECK;
int certs_unseal(const struct secret *key, const char *context, const char *sealed,
                 struct secret *ret, struct err *e) MUST_CHECK;
/* The key that a key file seals with. The file: 32 bytes, or lines of 64 hex digits, of which the
 * first one is it and the others only open what they sealed before. Refuses files that group or
 * others can read. */
int certs_key_load(const char *path, struct secret *ret, struct err *e) MUST_CHECK;

/* All keys of such a file, shared by count (base/box.h) and never changed. */
struct seal_keys;
int seal_keys_load(const char *path, struct seal_keys **ret, struct err *e) MUST_CHECK;
void seal_keys_unref(struct seal_keys *k); /* NULL is fine */
static inline void seal_keys_unrefp(struct seal_keys **k)
{
    seal_keys_unref(*k);
    *k = NULL;
}
#define _cleanup_seal_keys_ _cleanup_(seal_keys_unrefp)
/* Does it open what `other` seals? And all that `other` opens? */
bool seal_keys_succeed(const struct seal_keys *k, const struct seal_keys *other, bool *ret_all);
/* As certs_seal with the first key, as certs_unseal with whichever fits. */
int seal_keys_seal(const struct seal_keys *k, const char *context, const void *data, size_t len,
                   char **ret, struct err *e) MUST_CHECK;
int seal_keys_open(const struct seal_keys *k, const char *context, const char *sealed,
                   struct secret *ret, struct err *e) MUST_CHECK;
/* Makes such a file (0600) when it does not exist. */
int certs_key_make(const char *path, struct err *e) MUST_CHECK;

#endif
