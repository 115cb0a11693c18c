/* What the cert_*.c files share. */
#ifndef MAGNUM_CONDUCTOR_CERT_INTERNAL_H
#define MAGNUM_CONDUCTOR_CERT_INTERNAL_H

#include "conductor/cert_store.h"
#include "conductor/conductor_internal.h"
#include "db/db_certificate.h"

/* ---- cert_managers.c: one bundle in one manager, without the inventory ---- */
bool cert_builtin(const char *manager);
/* Does this manager sign itself (then the keys of its CAs are not asked for)? */
int cert_manager_signs(const struct cert_site *s, bool *ret, struct err *e) MUST_CHECK;
/* ERR_EXISTS: another bundle is there. */
int cert_manager_put(const struct cert_site *s, const char *key, const struct cert_pair *pair,
                     char **ret_ref, struct err *e) MUST_CHECK;
/* *ret is emptied first. */
int cert_manager_get(const struct cert_site *s, const char *ref, bool with_key,
                     struct cert_pair *ret, struct err *e) MUST_CHECK;
/* What is gone is fine. */
int cert_manager_delete(const struct cert_site *s, const char *ref, struct err *e) MUST_CHECK;
int cert_manager_sign(const struct cert_site *s, const char *ca_ref, const struct cert_draft *d,
                      const char *ca_pem, char **ret_pem, struct err *e) MUST_CHECK;

/* ---- cert_cache.c: bundles of plugins, remembered for a while ---- */
struct cert_cache;
int cert_cache_new(size_t entries, int64_t ttl_ms, struct cert_cache **ret,
                   struct err *e) MUST_CHECK;
void cert_cache_free(struct cert_cache **c);
/* True when it was there; *ret is filled with copies. */
bool cert_cache_get(struct cert_cache *c, const char *manager, const char *ref, bool with_key,
                    struct cert_pair *ret);
void cert_cache_add(struct cert_cache *c, const char *manager, const char *ref,
                    const struct cert_pair *pair);
void cert_cache_drop(struct cert_cache *c, const char *manager, const char *ref);

#endif
