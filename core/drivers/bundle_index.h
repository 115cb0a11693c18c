/* Parts of a bundle: the archive around it and the signature. Within core/drivers only.
 * Neighbours: bundle.c. */
#ifndef MAGNUM_DRIVERS_BUNDLE_INDEX_H
#define MAGNUM_DRIVERS_BUNDLE_INDEX_H

#include "base/err.h"
#include "base/str.h"

/* ---- bundle_tar.c ---- */
enum { TAR_BLOCK = 512 };
struct tar_entry {
    char name[257];
    const char *data;
    size_t size;
};
/* The entry at *at, which moves on; *end: there is none any more. Regular files only. */
int tar_next(const char *bytes, size_t len, size_t *at, struct tar_entry *ret, bool *end,
             struct err *e) MUST_CHECK;
int tar_add(struct str *to, const char *name, const void *data, size_t size,
            struct err *e) MUST_CHECK;
void tar_end(struct str *to);

/* ---- bundle_sign.c ---- */
void sha256_bytes(const void *data, size_t len, char hex[65]);
/* Base64 of the signature over text. Caller frees. */
int sign_text(const char *key_path, const char *text, char **ret, struct err *e) MUST_CHECK;
/* The raw signature of a base64 text; false when it is none. */
bool sign_decode(const char *base64, unsigned char raw[64]);
/* Whether this PEM public key made the raw signature. False too when it can't be read. */
bool sign_matches(const char *pem, size_t len, const void *data, size_t data_len,
                  const unsigned char raw[64]);

#endif
