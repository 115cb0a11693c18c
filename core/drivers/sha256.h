/* SHA-256 of an open file, the identity of a plugin library.
 * Neighbours: registry, transport_process. Uses OpenSSL. */
#ifndef MAGNUM_DRIVERS_SHA256_H
#define MAGNUM_DRIVERS_SHA256_H

#include "base/err.h"

enum { SHA256_HEX = 65 };
/* Reads from the start with pread: the descriptor's offset is not moved. */
int sha256_fd(int fd, char hex[SHA256_HEX], struct err *e) MUST_CHECK;

#endif
