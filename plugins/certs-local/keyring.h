/* The sealing keys. Private keys are sealed with AES-256-GCM under keys that lie in keyring.json,
 * themselves sealed under the operator's key: a key file, or a passphrase through scrypt. So the
 * operator's key can be changed, and the sealing keys too, without a moment in which a bundle can't
 * be opened. Neighbours: store.c, rotate.c. */
#ifndef CERTS_LOCAL_KEYRING_H
#define CERTS_LOCAL_KEYRING_H

#include "files.h"

#include <jansson.h>

enum { KEY_LEN = 32, KEYS_MAX = 8, KEY_ID_MAX = 17 };

struct master {                  /* where the operator's key comes from: one of the two; borrowed */
    const char *key_file;        /* 32 bytes, or 64 hex digits */
    const char *passphrase_file; /* its first line */
};
struct keyring {
    struct {
        char id[KEY_ID_MAX];
        unsigned char key[KEY_LEN];
    } keys[KEYS_MAX]; /* the last one seals, all unseal */
    int n;
};
void keyring_wipe(struct keyring *k);

/* Opens keyring.json with the operator's key. MAG_E_NOT_FOUND: there is none; MAG_E_DENIED: that
 * is not its key, or it is damaged. */
int32_t keyring_load(int dir, const struct master *m, struct keyring *ret, mag_error *err);
/* Makes it with one key unless it is there; then as keyring_load. */
int32_t keyring_make(int dir, const struct master *m, struct keyring *ret, mag_error *err);
/* Writes it, sealed under the operator's key. */
int32_t keyring_store(int dir, const struct master *m, const struct keyring *k, mag_error *err);
/* One more key, which seals from then on. */
int32_t keyring_add(struct keyring *k, mag_error *err);

/* {"key": id, "nonce", "data"}; context: what the text belongs to, so that it can't be moved. The
 * caller decrefs. */
int32_t keyring_seal(const struct keyring *k, const char *context, const char *text, size_t len,
                     json_t **ret, mag_error *err);
/* *ret: with a NUL behind it; caller wipes and frees. MAG_E_INVALID. */
int32_t keyring_unseal(const struct keyring *k, const char *context, const json_t *sealed,
                       char **ret, size_t *len, mag_error *err);

#endif
