/* Text that must never be printed: no format string takes a struct secret, and its memory is
 * wiped on free. Neighbours: config (passwords), certs (private keys), auth, rpc. */
#ifndef MAGNUM_BASE_SECRET_H
#define MAGNUM_BASE_SECRET_H

#include "base/cleanup.h"

#include <stddef.h>

struct secret {
    char *data; /* NUL-terminated, owned; NULL = empty */
    size_t len;
};
#define SECRET_INIT                                                                                \
    {                                                                                              \
        NULL, 0                                                                                    \
    }
int secret_set(struct secret *s, const void *data, size_t len); /* copies; 0 or ERR_NOMEM */
void secret_free(struct secret *s);                             /* wipes, frees, resets */
void secret_wipe(void *p, size_t len);                          /* explicit_bzero */
#define _cleanup_secret_ _cleanup_(secret_free)

#endif
