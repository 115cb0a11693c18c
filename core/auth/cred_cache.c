/* See auth_internal.h. A bcrypt check takes a tenth of a second and is paid once per TTL. The cache
 * holds no passwords and nothing to guess them from: keys are HMACs under a random key that only
 * this process has. A fixed table of small sets: bounded, nothing is allocated later. */
#include "auth/auth_internal.h"
#include "base/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

enum { MAC_LEN = 32, WAYS = 8 };

struct entry {
    unsigned char mac[MAC_LEN];
    int64_t until_ms; /* 0 = free */
};

struct cred_cache {
    unsigned char key[MAC_LEN];
    int64_t ttl_ms;
    pthread_mutex_t lock;
    size_t n_sets;
    struct entry *entries; /* n_sets * WAYS */
};

int cred_cache_new(size_t entries, int64_t ttl_ms, struct cred_cache **ret, struct err *e)
{
    struct cred_cache *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    pthread_mutex_init(&c->lock, NULL);
    c->ttl_ms = ttl_ms;
    c->n_sets = entries && ttl_ms > 0 ? (entries + WAYS - 1) / WAYS : 0;
    c->entries = c->n_sets ? calloc(c->n_sets * WAYS, sizeof *c->entries) : NULL;
    int rc = 0;
    if (c->n_sets && !c->entries)
        rc = err_nomem(e);
    else if (RAND_bytes(c->key, sizeof c->key) != 1)
        rc = err_set(e, ERR_INTERNAL, "no random numbers for the credential cache");
    if (rc != 0) {
        cred_cache_free(c);
        return rc;
    }
    *ret = c;
    return 0;
}

void cred_cache_free(struct cred_cache *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    secret_wipe(c->key, sizeof c->key);
    free(c->entries);
    free(c);
}

/* The NUL between user and password keeps ("ab","c") and ("a","bc") apart. */
static bool make_mac(const struct cred_cache *c, const char *user, const char *password,
                     unsigned char mac[MAC_LEN])
{
    size_t nu = strlen(user) + 1, np = strlen(password);
    unsigned char *text = malloc(nu + np);
    if (!text)
        return false;
    memcpy(text, user, nu);
    memcpy(text + nu, password, np);
    unsigned len = 0;
    bool ok = HMAC(EVP_sha256(), c->key, sizeof c->key, text, nu + np, mac, &len) && len == MAC_LEN;
    secret_wipe(text, nu + np);
    free(text);
    return ok;
}

static struct entry *set_of(const struct cred_cache *c, const unsigned char mac[MAC_LEN])
{
    uint64_t h;
    memcpy(&h, mac, sizeof h);
    return c->entries + h % c->n_sets * WAYS;
}

static struct entry *find(struct entry *set, const unsigned char mac[MAC_LEN])
{
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].until_ms && CRYPTO_memcmp(set[i].mac, mac, MAC_LEN) == 0)
            return &set[i];
    return NULL;
}

/* Free entries end at 0: they go first. */
static struct entry *ends_first(struct entry *set)
{
    struct entry *first = set;
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].until_ms < first->until_ms)
            first = &set[i];
    return first;
}

bool cred_cache_has(struct cred_cache *c, const char *user, const char *password, int64_t now_ms)
{
    unsigned char mac[MAC_LEN];
    if (!c->n_sets || !make_mac(c, user, password, mac))
        return false;
    pthread_mutex_lock(&c->lock);
    const struct entry *f = find(set_of(c, mac), mac);
    bool has = f && f->until_ms > now_ms;
    pthread_mutex_unlock(&c->lock);
    return has;
}

void cred_cache_add(struct cred_cache *c, const char *user, const char *password, int64_t now_ms)
{
    unsigned char mac[MAC_LEN];
    if (!c->n_sets || !make_mac(c, user, password, mac))
        return;
    pthread_mutex_lock(&c->lock);
    struct entry *set = set_of(c, mac), *to = find(set, mac);
    if (!to)
        to = ends_first(set);
    memcpy(to->mac, mac, MAC_LEN);
    to->until_ms = now_ms + c->ttl_ms;
    pthread_mutex_unlock(&c->lock);
}

void cred_cache_clear(struct cred_cache *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->n_sets)
        memset(c->entries, 0, c->n_sets * WAYS * sizeof *c->entries);
    pthread_mutex_unlock(&c->lock);
}
