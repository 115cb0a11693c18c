/* Inside the strategy keystone:
 *   keystone.c           the strategy: header, cache, context
 *   keystone_client.c    requests to Keystone with the service user's token
 *   keystone_identity.c  what a token's document says
 *   login.c              Keystone for the conductor: logins and requests (login.h)
 *   token_cache.c        answers of a moment ago; one question for many who ask at once */
#ifndef MAGNUM_AUTH_KEYSTONE_INTERNAL_H
#define MAGNUM_AUTH_KEYSTONE_INTERNAL_H

#include "auth/auth_internal.h"

#include <stddef.h>

/* What Keystone says of a token. Shared by count; not changed once made. */
struct identity {
    _Atomic unsigned refs;
    struct auth_context who; /* without token and request ids */
    json_t *catalog; /* not counted again: jansson's counts are no business of many threads */
    int64_t expires_us;
};
/* From the body of GET /v3/auth/tokens. ERR_PROTOCOL when it is no token. */
int identity_parse(const char *body, size_t len, struct identity **ret, struct err *e) MUST_CHECK;
struct identity *identity_ref(struct identity *i);
void identity_unref(struct identity *i); /* NULL is fine */
/* Copies into ret, which is empty; the catalogue is shared. */
int identity_fill(struct identity *i, struct auth_context *ret, struct err *e) MUST_CHECK;

struct keystone_client;
struct http_answer;
struct http_tls;
int keystone_client_new(const struct config *cfg, struct keystone_client **ret,
                        struct err *e) MUST_CHECK;
void keystone_client_free(struct keystone_client *c);
/* One request; path begins after /v3. Any failure to get an answer is ERR_UNAVAILABLE: Keystone
 * can't be asked now. */
int keystone_client_exchange(struct keystone_client *c, const char *method, const char *path,
                             const char *const *headers, const char *body, struct http_answer *ret,
                             struct err *e) MUST_CHECK;
/* The token that an answer to a login brings; secret, the caller wipes and frees it. NULL: none. */
char *keystone_subject_token(const struct http_answer *a);
/* A reference to the TLS material in use, for http_tls_unref. */
struct http_tls *keystone_client_tls(struct keystone_client *c);
/* Its files again, in two steps: what they hold now (ERR_CONFIG), then that from now on. */
int keystone_client_read_again(struct keystone_client *c, const struct config *fresh,
                               struct http_tls **ret, struct err *e) MUST_CHECK;
void keystone_client_take(struct keystone_client *c, struct http_tls **fresh);
bool keystone_client_insecure(const struct keystone_client *c);
/* ERR_UNAUTHORIZED: Keystone does not know the token; ERR_UNAVAILABLE: it can't be asked. */
int keystone_client_validate(struct keystone_client *c, const char *token, struct identity **ret,
                             struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND with Magnum's text when there is no such project. A service user who may not look
 * at projects finds all of them there, and a warning in the log. */
int keystone_client_project(struct keystone_client *c, const char *id, struct err *e) MUST_CHECK;

struct token_cache;
typedef int (*token_ask_fn)(void *ctx, const char *token, struct identity **ret, struct err *e);
/* entries 0 or ttl_ms 0: nothing is remembered, but threads still share a question. */
int token_cache_new(size_t entries, int64_t ttl_ms, struct token_cache **ret,
                    struct err *e) MUST_CHECK;
void token_cache_free(struct token_cache *c);
/* From the cache, else from ask, whose identities and ERR_UNAUTHORIZED are remembered. The caller
 * gives *ret back with identity_unref. */
int token_cache_get(struct token_cache *c, const char *token, token_ask_fn ask, void *ctx,
                    struct identity **ret, struct err *e) MUST_CHECK;
void token_cache_drop(struct token_cache *c, const char *token);
bool token_cache_has(struct token_cache *c, const char *token);

#endif
