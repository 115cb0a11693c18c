/* The little of PKCS#11 that is needed: objects of one token, found by label, and one signature.
 * Neighbours: cert_pkcs11.c. */
#ifndef CERT_PKCS11_TOKEN_H
#define CERT_PKCS11_TOKEN_H

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>

struct token {
    CK_FUNCTION_LIST *module;
    CK_SESSION_HANDLE session;
    bool open;
};
/* module: path of the vendor's library; pin_file: its first line. Keeps one session. */
int32_t token_open(struct token *t, const char *module, const char *label, const char *pin_file,
                   mag_error *err);
void token_close(struct token *t);

/* The first object of that class and label; MAG_E_NOT_FOUND. */
int32_t token_find(const struct token *t, CK_OBJECT_CLASS kind, const char *label,
                   CK_OBJECT_HANDLE *ret, mag_error *err);
/* Its CKA_VALUE with a NUL behind it; the caller wipes and frees. */
int32_t token_value(const struct token *t, CK_OBJECT_HANDLE o, unsigned char **ret, size_t *len,
                    mag_error *err);
/* All objects of the class and label; absent is fine. */
int32_t token_destroy(const struct token *t, CK_OBJECT_CLASS kind, const char *label,
                      mag_error *err);
/* A private key that can sign and never leaves the token any more (EC or RSA). */
int32_t token_put_key(const struct token *t, const char *label, EVP_PKEY *key, mag_error *err);
/* subject NULL: CKO_DATA, else an X.509 certificate. */
int32_t token_put_value(const struct token *t, const char *label, const unsigned char *subject,
                        size_t subject_len, const void *value, size_t len, mag_error *err);
/* Signs with SHA-256. *ret: as X.509 wants it; the caller frees. */
int32_t token_sign(const struct token *t, const char *label, bool ec, const unsigned char *data,
                   size_t len, unsigned char **ret, size_t *ret_len, mag_error *err);

#endif
