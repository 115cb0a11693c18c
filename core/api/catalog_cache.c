/* See catalog_internal.h. Answers belong to a user in a project: what another one sees may differ.
 * A fixed table of small sets; what ends first makes room, and what has ended is dropped as the
 * table is used. */
#include "api/catalog_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { WAYS = 8, REQUEST_MS = 60000, SWEEP_MS = 1000 };

struct entry {
    char *key; /* NULL = free; owned */
    struct cat_answer *answer;
    int64_t until_ms; /* for everybody */
    int64_t end_ms;   /* for the request that asked */
    char request[sizeof((struct auth_context *)NULL)->request_id];
};

struct cat_cache {
    int64_t ttl_ms;
    pthread_mutex_t lock; /* the rest */
    int64_t sweep_ms;
    size_t n_sets;
    struct entry *entries; /* n_sets * WAYS */
};

struct cat_answer *cat_answer_new(void)
{
    struct cat_answer *a = calloc(1, sizeof *a);
    if (a)
        atomic_init(&a->refs, 1);
    return a;
}

struct cat_answer *cat_answer_ref(struct cat_answer *a)
{
    atomic_fetch_add(&a->refs, 1);
    return a;
}

void cat_answer_unref(struct cat_answer *a)
{
    if (!a || atomic_fetch_sub(&a->refs, 1) != 1)
        return;
    cat_image_done(&a->image);
    for (size_t i = 0; i < a->n_flavors; i++) {
        free(a->flavors[i].id);
        free(a->flavors[i].name);
    }
    free(a->flavors);
    free(a);
}

static void drop(struct entry *x)
{
    free(x->key);
    cat_answer_unref(x->answer);
    *x = (struct entry){.key = NULL};
}

int cat_cache_new(size_t entries, int64_t ttl_ms, struct cat_cache **ret, struct err *e)
{
    struct cat_cache *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    pthread_mutex_init(&c->lock, NULL);
    c->ttl_ms = ttl_ms;
    c->n_sets = (entries + WAYS - 1) / WAYS;
    c->entries = c->n_sets ? calloc(c->n_sets * WAYS, sizeof *c->entries) : NULL;
    if (c->n_sets && !c->entries) {
        cat_cache_free(c);
        return err_nomem(e);
    }
    *ret = c;
    return 0;
}

void cat_cache_free(struct cat_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; c->entries && i < c->n_sets * WAYS; i++)
        drop(&c->entries[i]);
    pthread_mutex_destroy(&c->lock);
    free(c->entries);
    free(c);
}

/* No part can hold a line break but the last. */
static char *key_of(const struct auth_context *who, const struct cat_question *q)
{
    return str_fmt("%s\n%s\n%d\n%s", who->project_id ? who->project_id : "",
                   who->user_id ? who->user_id : "", (int)q->kind,
                   q->kind == CAT_FLAVOR ? "" : q->ident);
}

/* FNV-1a. */
static struct entry *set_of(const struct cat_cache *c, const char *key)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
    return c->entries + h % c->n_sets * WAYS;
}

struct cat_answer *cat_cache_get(struct cat_cache *c, const struct auth_context *who,
                                 const struct cat_question *q)
{
    _cleanup_free_ char *key = c->n_sets ? key_of(who, q) : NULL;
    struct cat_answer *found = NULL;
    int64_t now = clock_mono_ms();
    if (!key)
        return NULL;
    pthread_mutex_lock(&c->lock);
    struct entry *set = set_of(c, key);
    for (size_t i = 0; i < WAYS && !found; i++) {
        struct entry *x = &set[i];
        bool mine = x->end_ms > now && strcmp(x->request, who->request_id) == 0;
        if (x->key && strcmp(x->key, key) == 0 && (x->until_ms > now || mine))
            found = cat_answer_ref(x->answer);
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void sweep(struct cat_cache *c, int64_t now)
{
    if (now < c->sweep_ms)
        return;
    c->sweep_ms = now + SWEEP_MS;
    for (size_t i = 0; i < c->n_sets * WAYS; i++)
        if (c->entries[i].key && c->entries[i].until_ms <= now && c->entries[i].end_ms <= now)
            drop(&c->entries[i]);
}

static struct entry *place(const struct cat_cache *c, const char *key)
{
    struct entry *set = set_of(c, key), *first = set;
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].key && strcmp(set[i].key, key) == 0)
            return &set[i];
    for (size_t i = 0; i < WAYS; i++) {
        if (!set[i].key)
            return &set[i];
        if (set[i].end_ms < first->end_ms)
            first = &set[i];
    }
    return first;
}

void cat_cache_put(struct cat_cache *c, const struct auth_context *who,
                   const struct cat_question *q)
{
    char *key = c->n_sets && q->answer ? key_of(who, q) : NULL;
    int64_t now = clock_mono_ms();
    if (!key)
        return;
    pthread_mutex_lock(&c->lock);
    sweep(c, now);
    struct entry *to = place(c, key);
    drop(to);
    to->key = key;
    to->answer = cat_answer_ref(q->answer);
    to->until_ms = q->answer->rc == 0 ? now + c->ttl_ms : 0;
    to->end_ms = now + (c->ttl_ms > REQUEST_MS ? c->ttl_ms : REQUEST_MS);
    memcpy(to->request, who->request_id, sizeof to->request);
    pthread_mutex_unlock(&c->lock);
}
