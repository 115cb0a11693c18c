/* See keystone_internal.h. Keys are HMACs of the tokens under a random key of this process. A fixed
 * table of small sets: what ends first makes room, and answers that a token is unknown end soon, so
 * that a flood of wrong tokens does not push out right ones. */
#include "auth/keystone_internal.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

enum { MAC_LEN = 32, WAYS = 8, UNKNOWN_TTL_MS = 30000 };

struct entry {
    unsigned char mac[MAC_LEN];
    int64_t until_ms;     /* monotonic; 0 = free */
    bool taken;           /* holds something, be it old */
    struct identity *who; /* NULL: Keystone did not know the token */
};

/* A question that is under way; on the stack of who asks, until nobody waits for it. */
struct flight {
    unsigned char mac[MAC_LEN];
    struct flight *next;
    unsigned waiters;
    bool done;
    int rc;
    struct identity *who;
    struct err e;
};

struct token_cache {
    EVP_MAC_CTX *keyed;   /* the HMAC with its key, to be copied */
    pthread_key_t copies; /* one of each thread: a fresh HMAC costs as much as all else here */
    bool has_copies;
    int64_t ttl_ms;
    pthread_mutex_t lock;
    pthread_cond_t landed;
    struct flight *flights;
    size_t n_sets, n_taken;
    struct entry *entries; /* n_sets * WAYS */
};

static void free_copy(void *ctx)
{
    EVP_MAC_CTX_free(ctx);
}

static int make_key(struct token_cache *c, struct err *e)
{
    unsigned char key[MAC_LEN];
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    c->keyed = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    bool ok = c->keyed && RAND_bytes(key, sizeof key) == 1 &&
              EVP_MAC_init(c->keyed, key, sizeof key, params) == 1;
    secret_wipe(key, sizeof key);
    c->has_copies = ok && pthread_key_create(&c->copies, free_copy) == 0;
    return c->has_copies ? 0 : err_set(e, ERR_INTERNAL, "no keyed hash for the token cache");
}

int token_cache_new(size_t entries, int64_t ttl_ms, struct token_cache **ret, struct err *e)
{
    struct token_cache *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->landed, NULL);
    c->ttl_ms = ttl_ms;
    c->n_sets = entries && ttl_ms > 0 ? (entries + WAYS - 1) / WAYS : 0;
    c->entries = c->n_sets ? calloc(c->n_sets * WAYS, sizeof *c->entries) : NULL;
    int rc = c->n_sets && !c->entries ? err_nomem(e) : make_key(c, e);
    if (rc != 0) {
        token_cache_free(c);
        return rc;
    }
    *ret = c;
    return 0;
}

/* No other thread uses it any more; those that did have ended, and their copies with them. */
void token_cache_free(struct token_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; c->entries && i < c->n_sets * WAYS; i++)
        identity_unref(c->entries[i].who);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->landed);
    if (c->has_copies) {
        free_copy(pthread_getspecific(c->copies));
        (void)pthread_key_delete(c->copies);
    }
    EVP_MAC_CTX_free(c->keyed);
    free(c->entries);
    free(c);
}

static EVP_MAC_CTX *my_copy(const struct token_cache *c)
{
    EVP_MAC_CTX *mine = pthread_getspecific(c->copies);
    if (mine)
        return mine;
    mine = EVP_MAC_CTX_dup(c->keyed);
    if (mine && pthread_setspecific(c->copies, mine) != 0) {
        EVP_MAC_CTX_free(mine);
        return NULL;
    }
    return mine;
}

static bool make_mac(const struct token_cache *c, const char *token, unsigned char mac[MAC_LEN])
{
    EVP_MAC_CTX *m = my_copy(c);
    size_t len = 0;
    return m && EVP_MAC_init(m, NULL, 0, NULL) == 1 && /* from the start, with the same key */
           EVP_MAC_update(m, (const unsigned char *)token, strlen(token)) == 1 &&
           EVP_MAC_final(m, mac, &len, MAC_LEN) == 1 && len == MAC_LEN;
}

static struct entry *set_of(const struct token_cache *c, const unsigned char mac[MAC_LEN])
{
    uint64_t h;
    memcpy(&h, mac, sizeof h);
    return c->entries + h % c->n_sets * WAYS;
}

/* The entry for this token that still counts, or NULL. Under the lock. */
static struct entry *find(const struct token_cache *c, const unsigned char mac[MAC_LEN])
{
    struct entry *set = c->n_sets ? set_of(c, mac) : NULL;
    for (size_t i = 0; set && i < WAYS; i++)
        if (CRYPTO_memcmp(set[i].mac, mac, MAC_LEN) == 0 && set[i].until_ms > clock_mono_ms() &&
            (!set[i].who || set[i].who->expires_us > clock_wall_us()))
            return &set[i];
    return NULL;
}

static struct entry *place(const struct token_cache *c, const unsigned char mac[MAC_LEN])
{
    struct entry *set = set_of(c, mac), *first = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (CRYPTO_memcmp(set[i].mac, mac, MAC_LEN) == 0)
            return &set[i];
        if (set[i].until_ms < first->until_ms)
            first = &set[i];
    }
    return first;
}

/* Under the lock. */
static void remember(struct token_cache *c, const struct flight *f)
{
    if (!c->n_sets || (f->rc != 0 && f->rc != ERR_UNAUTHORIZED))
        return;
    int64_t ttl = f->who || c->ttl_ms < UNKNOWN_TTL_MS ? c->ttl_ms : UNKNOWN_TTL_MS;
    struct entry *to = place(c, f->mac);
    identity_unref(to->who);
    c->n_taken += !to->taken;
    to->taken = true;
    metrics_set(METRIC_TOKEN_CACHE_ENTRIES, (double)c->n_taken, NULL);
    memcpy(to->mac, f->mac, MAC_LEN);
    to->until_ms = clock_mono_ms() + ttl;
    to->who = f->who ? identity_ref(f->who) : NULL;
}

static struct flight *under_way(struct token_cache *c, const unsigned char mac[MAC_LEN])
{
    for (struct flight *f = c->flights; f; f = f->next)
        if (CRYPTO_memcmp(f->mac, mac, MAC_LEN) == 0)
            return f;
    return NULL;
}

/* Under the lock. */
static int join(struct token_cache *c, struct flight *f, struct identity **ret, struct err *e)
{
    f->waiters++;
    while (!f->done)
        pthread_cond_wait(&c->landed, &c->lock);
    int rc = f->rc;
    if (rc == 0)
        *ret = identity_ref(f->who);
    else
        *e = f->e;
    f->waiters--;
    pthread_cond_broadcast(&c->landed);
    return rc;
}

/* Under the lock, which it gives away while it asks. */
static int lead(struct token_cache *c, struct flight *f, const char *token, token_ask_fn ask,
                void *ctx, struct identity **ret, struct err *e)
{
    f->next = c->flights;
    c->flights = f;
    pthread_mutex_unlock(&c->lock);
    f->rc = ask(ctx, token, &f->who, &f->e);
    pthread_mutex_lock(&c->lock);
    remember(c, f);
    struct flight **at = &c->flights;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    f->done = true;
    pthread_cond_broadcast(&c->landed);
    while (f->waiters)
        pthread_cond_wait(&c->landed, &c->lock);
    if (f->rc == 0)
        *ret = f->who;
    else
        *e = f->e;
    return f->rc;
}

int token_cache_get(struct token_cache *c, const char *token, token_ask_fn ask, void *ctx,
                    struct identity **ret, struct err *e)
{
    struct flight own = {.waiters = 0};
    int rc;
    if (!make_mac(c, token, own.mac))
        return err_nomem(e);
    pthread_mutex_lock(&c->lock);
    const struct entry *known = find(c, own.mac);
    struct flight *other = known ? NULL : under_way(c, own.mac);
    metrics_inc(METRIC_TOKEN_CACHE, METRICS_LABELS_OF(known ? "hit" : "miss"));
    if (known && known->who) {
        *ret = identity_ref(known->who);
        rc = 0;
    } else if (known) {
        rc = auth_unknown(e);
    } else if (other) {
        rc = join(c, other, ret, e);
    } else {
        rc = lead(c, &own, token, ask, ctx, ret, e);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

void token_cache_drop(struct token_cache *c, const char *token)
{
    unsigned char mac[MAC_LEN];
    if (!make_mac(c, token, mac))
        return;
    pthread_mutex_lock(&c->lock);
    struct entry *known = find(c, mac);
    if (known)
        known->until_ms = 0;
    pthread_mutex_unlock(&c->lock);
}

bool token_cache_has(struct token_cache *c, const char *token)
{
    unsigned char mac[MAC_LEN];
    if (!make_mac(c, token, mac))
        return false;
    pthread_mutex_lock(&c->lock);
    bool has = find(c, mac) != NULL;
    pthread_mutex_unlock(&c->lock);
    return has;
}
