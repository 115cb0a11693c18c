/* Inside trust.c and trust_tokens.c: Keystone as the conductor uses it. Not included from
 * elsewhere; what others use is in conductor_internal.h. */
#ifndef MAGNUM_CONDUCTOR_TRUST_INTERNAL_H
#define MAGNUM_CONDUCTOR_TRUST_INTERNAL_H

#include "auth/login.h"
#include "conductor/conductor_internal.h"

struct token_store;
struct trusts { /* NULL in the conductor unless auth.strategy is keystone */
    const struct config *cfg;
    struct login_service *login;
    struct token_store *tokens;
};

int token_store_new(size_t max, struct token_store **ret, struct err *e) MUST_CHECK;
void token_store_free(struct token_store **s);
/* A token known as `key`, from memory or by a login as `as`. stale: the one that was just refused,
 * or NULL. service NULL = ret->url stays NULL; ERR_NOT_FOUND when the catalogue lacks it. */
int tokens_get(struct trusts *t, const char *key, const struct login_as *as, const char *stale,
               const char *service, struct ticket *ret, struct err *e) MUST_CHECK;
void tokens_forget(struct trusts *t, const char *key);

/* The trustee's password. ERR_UNAUTHORIZED: the row has none. */
int trust_password(struct conductor *c, const struct cluster *cl, struct secret *ret,
                   struct err *e) MUST_CHECK;
/* The token that came with the operation. ERR_UNAUTHORIZED: it has none. */
int trust_user_token(struct conductor *c, const struct operation *op, struct secret *ret,
                     struct err *e) MUST_CHECK;

#endif
