/* Bundles as files: one file per bundle, certificate and chain readable, the keys sealed. The name
 * of the file is the derived key with its slashes replaced, so a bundle is found by its key.
 * Neighbours: certs_local.c, rotate.c. */
#ifndef CERTS_LOCAL_STORE_H
#define CERTS_LOCAL_STORE_H

#include "keyring.h"

struct store { /* borrowed texts */
    const char *path;
    struct master master;
};

/* bundle: as mag_cert_store.put. MAG_E_EXISTS: another one is there. */
int32_t store_put(const struct store *s, const char *key, const json_t *bundle, mag_error *err);
/* The bundle; secrets: with private_key and passphrase. The caller decrefs (and wipes). */
int32_t store_get(const struct store *s, const char *key, bool secrets, json_t **ret,
                  mag_error *err);
int32_t store_delete(const struct store *s, const char *key, mag_error *err);
/* Is everything as it should be? Makes nothing. */
int32_t store_check(const struct store *s, mag_error *err);

/* The file's text; *ret as store_get. Outside bytes: for tests and the fuzzer, too. k NULL: without
 * the secrets. */
int32_t bundle_parse(const char *text, size_t len, const char *key, const struct keyring *k,
                     json_t **ret, mag_error *err);
/* The text of a file; caller frees. */
int32_t bundle_write(const json_t *bundle, const char *key, const struct keyring *k, char **ret,
                     mag_error *err);

/* Changes the sealing keys: all bundles are sealed anew, then the old keys are forgotten and the
 * new ones kept under `next`. May be cut off anywhere and repeated. *ret: bundles sealed anew. */
int32_t store_rotate(const struct store *s, const struct master *next, int *ret, mag_error *err);
/* Opens every bundle. *ret: how many were good. Goes on after a bad one and returns its error. */
int32_t store_verify(const struct store *s, int *ret, mag_error *err);

#endif
