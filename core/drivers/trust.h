/* Whose signature it is: the public ed25519 keys that the operator trusts, *.pem of one directory
 * (drivers.trusted_keys_dir), each named as its file without .pem.
 * Neighbours: bundle.h, magnum-driver-manage. */
#ifndef MAGNUM_DRIVERS_TRUST_H
#define MAGNUM_DRIVERS_TRUST_H

#include "base/err.h"

#include <stddef.h>

enum { SIGNATURE_BYTES = 64 };

/* Which of them made the raw signature of these bytes; *ret NULL: none. A directory that is not
 * there has no keys. Caller frees. */
int trust_signer(const char *keys_dir, const void *data, size_t len,
                 const unsigned char signature[SIGNATURE_BYTES], char **ret,
                 struct err *e) MUST_CHECK;
/* The one with this fingerprint (bundle_key_check); *ret NULL: none. Caller frees. */
int trust_find(const char *keys_dir, const char *fingerprint, char **ret, struct err *e) MUST_CHECK;

#endif
