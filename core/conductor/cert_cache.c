/* Bundles that came from a plugin a moment ago. A reference is for ever one bundle (nothing is
 * overwritten in place), so an entry can be old but not wrong; what a cluster stopped using is
 * wiped when its time is up. A hash table whose slots hold one entry each: two that fall together
 * replace each other. */
#include "conductor/cert_internal.h"

#include "base/clock.h"

#include <string.h>

struct entry {
    char *name; /* "<manager> <ref>", NULL = empty */
    struct cert_pair pair;
    int64_t until_ms;
};
struct cert_cache {
    pthread_mutex_t lock;
    struct entry *slots;
    size_t n;
    int64_t ttl_ms;
};

static void entry_done(struct entry *x)
{
    free(x->name);
    x->name = NULL;
    cert_pair_done(&x->pair);
}

int cert_cache_new(size_t entries, int64_t ttl_ms, struct cert_cache **ret, struct err *e)
{
    struct cert_cache *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    c->n = ttl_ms > 0 ? entries : 0;
    c->ttl_ms = ttl_ms;
    c->slots = calloc(c->n + 1, sizeof *c->slots);
    if (!c->slots || pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c->slots);
        free(c);
        return err_nomem(e);
    }
    *ret = c;
    return 0;
}

void cert_cache_free(struct cert_cache **cache)
{
    struct cert_cache *c = TAKE_PTR(*cache);
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        entry_done(&c->slots[i]);
    pthread_mutex_destroy(&c->lock);
    free(c->slots);
    free(c);
}

/* FNV-1a. Under the lock; NULL when nothing is kept. */
static struct entry *slot_of(struct cert_cache *c, const char *name)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
    return c->n ? &c->slots[h % c->n] : NULL;
}

static struct entry *find(struct cert_cache *c, const char *name)
{
    struct entry *x = slot_of(c, name);
    if (x && x->name && clock_mono_ms() >= x->until_ms)
        entry_done(x);
    return x && str_eq(x->name, name) ? x : NULL;
}

static int copy(const struct cert_pair *from, bool with_key, struct cert_pair *to)
{
    struct cert_pair p = {NULL, SECRET_INIT};
    p.cert_pem = str_dup(from->cert_pem);
    if (!p.cert_pem ||
        (with_key && secret_set(&p.key_pem, from->key_pem.data, from->key_pem.len))) {
        cert_pair_done(&p);
        return ERR_NOMEM;
    }
    *to = p;
    return 0;
}

bool cert_cache_get(struct cert_cache *c, const char *manager, const char *ref, bool with_key,
                    struct cert_pair *ret)
{
    _cleanup_free_ char *name = str_fmt("%s %s", manager, ref);
    if (!name)
        return false;
    pthread_mutex_lock(&c->lock);
    const struct entry *x = find(c, name);
    bool hit = x && (!with_key || x->pair.key_pem.data) && copy(&x->pair, with_key, ret) == 0;
    pthread_mutex_unlock(&c->lock);
    return hit;
}

void cert_cache_add(struct cert_cache *c, const char *manager, const char *ref,
                    const struct cert_pair *pair)
{
    struct entry fresh = {.name = str_fmt("%s %s", manager, ref),
                          .until_ms = clock_mono_ms() + c->ttl_ms};
    if (!fresh.name || c->n == 0 || copy(pair, pair->key_pem.data != NULL, &fresh.pair)) {
        free(fresh.name);
        return;
    }
    pthread_mutex_lock(&c->lock);
    struct entry *x = slot_of(c, fresh.name);
    if (str_eq(x->name, fresh.name) && x->pair.key_pem.data && !pair->key_pem.data) {
        entry_done(&fresh); /* what is there says more */
    } else {
        entry_done(x);
        *x = fresh;
    }
    pthread_mutex_unlock(&c->lock);
}

void cert_cache_drop(struct cert_cache *c, const char *manager, const char *ref)
{
    _cleanup_free_ char *name = str_fmt("%s %s", manager, ref);
    if (!name)
        return;
    pthread_mutex_lock(&c->lock);
    struct entry *x = find(c, name);
    if (x)
        entry_done(x);
    pthread_mutex_unlock(&c->lock);
}
