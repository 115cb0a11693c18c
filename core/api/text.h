/* Small text work of the API. Pure. Neighbours: query, api, idempotency. */
#ifndef MAGNUM_API_TEXT_H
#define MAGNUM_API_TEXT_H

#include <stdbool.h>
#include <stddef.h>

bool text_utf8(const char *s); /* well formed: no overlong forms, no surrogates */
/* Leaves out the bytes that are no part of a well-formed character: what a cut through one left. */
void text_drop_broken(char *s);
void text_sort(const char **v, size_t n);
/* A fingerprint (128 bits, hex) of pieces of text; equal pieces, equal fingerprint. Not
 * cryptographic: it compares a client's requests with its own earlier ones. */
struct text_mark {
    unsigned long long a, b;
};
void text_mark_init(struct text_mark *m);
void text_mark_add(struct text_mark *m, const void *p, size_t n);
void text_mark_hex(const struct text_mark *m, char ret[33]);
/* "<greek letter>-<1..24>-<suffix>": the names Magnum makes up. */
void text_make_name(const char *suffix, char *ret, size_t size);

#endif
