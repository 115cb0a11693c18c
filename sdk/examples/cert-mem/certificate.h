/* A certificate as the host asks for it: subject and public key of a CSR, all else of the profile
 * (magnum/cert.h). For managers that sign. Neighbours: cert_mem.c, ../cert-pkcs11. */
#ifndef CERT_MEM_CERTIFICATE_H
#define CERT_MEM_CERTIFICATE_H

#include "lib/fail.h"
#include "lib/json.h"

#include <openssl/x509.h>

/* Everything but the signature; the issuer is that of ca. The caller frees. */
int32_t certificate_make(X509 *ca, mag_bytes csr_pem, mag_bytes profile, X509 **ret,
                         mag_error *err);
/* The first certificate of a text. The caller frees; NULL when there is none. */
X509 *certificate_read(const char *pem);
/* The caller frees. NULL = no memory. */
char *certificate_write(X509 *cert);
/* basicConstraints says CA:TRUE. */
bool certificate_is_ca(const char *pem);

#endif
