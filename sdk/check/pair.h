/* A real key pair for certificate managers: some read what they keep. Neighbours: cases_cert.c. */
#ifndef MAGNUM_CHECK_PAIR_H
#define MAGNUM_CHECK_PAIR_H

#include "base/err.h"

#include <stdbool.h>
#include <stdlib.h>

struct pair {
    char *certificate, *key; /* PEM; the certificate is a CA's, signed by itself */
    char canary[40];         /* a part of the key that no other key has */
};
int pair_make(struct pair *ret, const char *cn, struct err *e) MUST_CHECK;
void pair_done(struct pair *p);

#endif
