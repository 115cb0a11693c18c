/* What x509.c and csr.c share: OpenSSL objects with scope-exit cleanup, names, times, serials.
 * Inside certs/ only. */
#ifndef MAGNUM_CERTS_X509_INTERNAL_H
#define MAGNUM_CERTS_X509_INTERNAL_H

#include "certs/certs.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static inline void x509_freep(X509 **p)
{
    X509_free(*p);
}
static inline void x509_req_freep(X509_REQ **p)
{
    X509_REQ_free(*p);
}
static inline void pkey_freep(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static inline void bio_freep(BIO **p)
{
    BIO_free(*p);
}
#define _cleanup_x509_ _cleanup_(x509_freep)
#define _cleanup_x509_req_ _cleanup_(x509_req_freep)
#define _cleanup_pkey_ _cleanup_(pkey_freep)
#define _cleanup_bio_ _cleanup_(bio_freep)

/* ERR_INTERNAL with "<what>: <OpenSSL's newest error>"; empties OpenSSL's queue. */
int x509_fail(struct err *e, const char *what);
/* A certificate with version, random 128-bit serial, validity (one day back, `days` ahead) and
 * public key, not signed yet. Caller frees. */
int x509_begin(EVP_PKEY *subject_key, int64_t days, X509 **ret, struct err *e) MUST_CHECK;
/* Adds one extension from OpenSSL's text form ("critical,CA:FALSE"). */
int x509_extend(X509 *cert, int nid, const char *value, struct err *e) MUST_CHECK;
/* Subject key identifier: SHA-1 of the key, not critical. */
int x509_add_ski(X509 *cert, const struct cert_policy *p, struct err *e) MUST_CHECK;
/* Signs with SHA-256 and writes PEM (without a trailing newline, as Magnum stores it). */
int x509_finish(X509 *cert, EVP_PKEY *issuer_key, char **ret_pem, struct err *e) MUST_CHECK;
/* The signed certificate as PEM; key as PKCS#8. */
int x509_to_pem(X509 *cert, char **ret_pem, struct err *e) MUST_CHECK;
int x509_key_to_pem(EVP_PKEY *key, struct secret *ret, struct err *e) MUST_CHECK;
/* What a BIO in memory holds as text, without newlines at its end. NULL = nothing, or no memory. */
char *x509_bio_text(BIO *b);
/* The first certificate of a text. Caller frees. */
int x509_from_pem(const char *pem, X509 **ret, struct err *e) MUST_CHECK;
/* A key of the policy's type, from its pool or made now. Caller frees. */
int x509_new_key(const struct cert_policy *p, EVP_PKEY **ret, struct err *e) MUST_CHECK;
/* keys.c: one of the pool's, NULL = none ready, or of another type. */
EVP_PKEY *key_pool_take(struct key_pool *p, const char *type);
int x509_make_key(const char *type, EVP_PKEY **ret, struct err *e) MUST_CHECK;
/* Everything but issuer and signature. */
int x509_draft_csr(const char *csr_pem, const struct cert_policy *p, X509 **ret, X509_REQ **ret_req,
                   struct err *e) MUST_CHECK;
int x509_draft_request(const struct cert_request *rq, const struct cert_policy *p, X509 **ret,
                       EVP_PKEY **ret_key, struct err *e) MUST_CHECK;
/* Reads a pair back. Caller frees both. */
int x509_load_pair(const struct cert_pair *p, X509 **ret_cert, EVP_PKEY **ret_key,
                   struct err *e) MUST_CHECK;

#endif
