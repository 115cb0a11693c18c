/* Inside the catalogue:
 *   catalog.c          texts, and which one is used
 *   catalog_builtin.c  a file, or a few defaults
 *   catalog_cloud.c    Glance, Nova, Neutron: answers of a moment ago, else questions
 *   catalog_ask.c      the questions, all of a request at the same time
 *   catalog_cache.c    the answers of a moment ago */
#ifndef MAGNUM_API_CATALOG_INTERNAL_H
#define MAGNUM_API_CATALOG_INTERNAL_H

#include "api/catalog.h"

#include <stddef.h>

/* Magnum's texts and codes. ident NULL shows as None. */
int catalog_missing(enum cat_kind kind, const char *ident, struct err *e);
int catalog_ambiguous(enum cat_kind kind, const char *ident, struct err *e);

int catalog_builtin_open(const struct config *cfg, struct catalog **ret, struct err *e) MUST_CHECK;
int catalog_cloud_open(const struct config *cfg, struct catalog **ret, struct err *e) MUST_CHECK;

/* ---- answers of the cloud ---- */
struct cat_flavor_row {
    char *id, *name; /* owned */
    struct cat_flavor is;
};
/* What one question got. Shared by count; not changed once made. */
struct cat_answer {
    _Atomic unsigned refs;
    int rc; /* < 0: there is no such thing, or no answer; e says why */
    struct err e;
    struct cat_image image;         /* CAT_IMAGE */
    struct cat_flavor_row *flavors; /* CAT_FLAVOR: all that the caller sees */
    size_t n_flavors;
    struct cat_room room; /* CAT_COMPUTE_LIMITS, CAT_NETWORK_QUOTA: their part of it */
};
struct cat_answer *cat_answer_new(void); /* one reference; NULL = no memory */
struct cat_answer *cat_answer_ref(struct cat_answer *a);
void cat_answer_unref(struct cat_answer *a); /* NULL is fine */

/* ---- questions ---- */
struct cat_question {
    enum cat_kind kind;
    const char *ident;         /* borrowed; ignored for CAT_FLAVOR */
    struct cat_answer *answer; /* set by cat_ask; the caller's reference; NULL = no memory */
};
struct cat_asker;
int cat_asker_new(const struct config *cfg, struct cat_asker **ret, struct err *e) MUST_CHECK;
void cat_asker_free(struct cat_asker *k); /* NULL is fine */
/* Its files again: *ret holds nothing but what they hold now (ERR_CONFIG), to be swapped in. */
int cat_asker_read_again(struct cat_asker *k, const struct config *fresh, struct cat_asker **ret,
                         struct err *e) MUST_CHECK;
void cat_asker_swap(struct cat_asker *k, struct cat_asker *other);
/* Asks with the caller's token, all at the same time, within catalog.timeout_ms in all. */
void cat_ask(struct cat_asker *k, const struct auth_context *who, struct cat_question *q, size_t n);

/* ---- answers of a moment ago ---- */
struct cat_cache;
/* entries 0: it never has anything, which makes every question one of its own. ttl_ms 0: answers
 * count for the request that got them. */
int cat_cache_new(size_t entries, int64_t ttl_ms, struct cat_cache **ret, struct err *e) MUST_CHECK;
void cat_cache_free(struct cat_cache *c); /* NULL is fine */
/* A reference, or NULL. What is missing or failed is known to the same request only: what a user
 * makes after a refusal is found at once. */
struct cat_answer *cat_cache_get(struct cat_cache *c, const struct auth_context *who,
                                 const struct cat_question *q);
void cat_cache_put(struct cat_cache *c, const struct auth_context *who,
                   const struct cat_question *q);

#endif
