/* A bundle: one version of a driver as one file, to hand over and to install. An uncompressed ustar
 * archive of an index, its signature (ed25519) and the files the index names:
 *
 *   BUNDLE       magnum-driver-bundle 1
 *                manifest NAME
 *                file SHA256 SIZE NAME       one line per file, the manifest among them
 *   BUNDLE.sig   base64 of the signature over the bytes of BUNDLE; missing when it is unsigned
 *
 * Names are relative, with slashes for folders; no file may be missing, be of another content or
 * stand there unnamed. Everything is checked in memory; nothing is written.
 * Neighbours: install.h puts it in place, magnum-driver-manage. */
#ifndef MAGNUM_DRIVERS_BUNDLE_H
#define MAGNUM_DRIVERS_BUNDLE_H

#include "base/err.h"
#include "base/str.h"

struct bundle_file {
    char *name;       /* owned */
    const char *data; /* in the bundle's bytes */
    size_t size;
};
struct bundle {
    char *bytes; /* the whole file */
    struct bundle_file *v;
    size_t n;
    char *manifest;  /* name of the manifest among the files */
    char *index;     /* the bytes of BUNDLE, */
    char *signature; /* and of BUNDLE.sig, NULL = unsigned */
};
/* ERR_INVALID says what is wrong with it, ERR_TOO_LARGE. */
int bundle_open(const char *path, size_t max, struct bundle *ret, struct err *e) MUST_CHECK;
/* The same of bytes in memory, which it takes over. */
int bundle_parse(char *bytes, size_t len, struct bundle *ret, struct err *e) MUST_CHECK;
void bundle_done(struct bundle *b);
const struct bundle_file *bundle_find(const struct bundle *b, const char *name); /* or NULL */
/* Whose key (*.pem in keys_dir, named without .pem) has signed it; *ret NULL: it is unsigned.
 * FORBIDDEN: signed, but by nobody who is trusted. */
int bundle_signer(const struct bundle *b, const char *keys_dir, char **ret,
                  struct err *e) MUST_CHECK;
/* Makes one of the files of a directory. key: PEM file of a private key, NULL = unsigned. */
int bundle_write(const char *out, const char *dir, const char *manifest, const struct strv *files,
                 const char *key, struct err *e) MUST_CHECK;
/* A new ed25519 pair as two PEM files; the private one is for its owner alone. Neither may exist.
 */
int bundle_key_make(const char *private_path, const char *public_path, struct err *e) MUST_CHECK;
/* Whether a PEM text is a public ed25519 key, and its fingerprint (sha256 of it). */
int bundle_key_check(const char *pem, size_t len, char fingerprint[65], struct err *e) MUST_CHECK;

#endif
