/* Inside auth: the seam for strategies and the parts of http_basic.
 *   auth.c       chooses the strategy, the context
 *   noauth.c     everybody on this machine is who they say
 *   basic.c      user and password against the htpasswd file
 *   htpasswd.c   the file: read, checked, read again when it changes
 *   cred_cache.c credentials that were right a moment ago
 *   keystone*.c  tokens of Keystone: keystone_internal.h
 *   policy*.c    who may do what
 * A new strategy is one more struct auth_strategy in auth.c's list. */
#ifndef MAGNUM_AUTH_AUTH_INTERNAL_H
#define MAGNUM_AUTH_AUTH_INTERNAL_H

#include "auth/auth.h"
#include "auth/policy_language.h"

#include <stdint.h>

struct http_tls;

struct auth_ask {
    const char *(*header)(const void *req, const char *name);
    const void *req;
    bool from_loopback;
};

struct auth_strategy {
    const char *name;
    const char *challenge;                    /* WWW-Authenticate, NULL = none */
    const char *(*challenge_of)(void *state); /* the same, where it depends on options */
    int (*start)(const struct config *cfg, void **ret_state, struct err *e);
    /* Fills identity, roles, token; not is_admin and request ids. Any thread. */
    int (*check)(void *state, const struct auth_ask *ask, struct auth_context *ret, struct err *e);
    /* May check take long (a password hash, a remote service)? NULL = never. */
    bool (*may_wait)(void *state, const struct auth_ask *ask);
    int (*project)(void *state, const char *id, struct err *e); /* NULL = all there are, are fine */
    int (*check_file)(void *state, struct err *e); /* could it be read now? NULL = there is none */
    /* Its TLS material again, in two steps; NULL = it has none. */
    int (*read_again)(void *state, const struct config *fresh, struct http_tls **ret,
                      struct err *e);
    void (*take)(void *state, struct http_tls **fresh);
    void (*forget)(void *state, const char *token); /* NULL = nothing is remembered by token */
    void (*stop)(void *state);
};
extern const struct auth_strategy auth_noauth, auth_basic, auth_keystone;

/* What every strategy answers with when it does not know the caller. */
int auth_unknown(struct err *e);
/* True for 1 to 255 printable ASCII characters: what may become a column and a log line. */
bool auth_id_ok(const char *s);

/* ---- the htpasswd file ---- */
struct htpasswd_user {
    char *name, *hash, *project; /* owned; project NULL = the default one */
    struct strv roles;
};
struct htpasswd {
    struct htpasswd_user *users; /* sorted by name */
    size_t n;
    unsigned refs;    /* 1 when made; kept by basic.c under its lock */
    char *dummy_salt; /* costs as much as the dearest entry; owned */
};
/* Lines user:bcrypt[:project[:roles]], '#' comments. ERR_CONFIG names the line. Caller frees with
 * htpasswd_free. name is for messages. */
int htpasswd_parse(const char *name, const char *text, struct htpasswd **ret,
                   struct err *e) MUST_CHECK;
void htpasswd_free(struct htpasswd *h);
const struct htpasswd_user *htpasswd_find(const struct htpasswd *h, const char *name);
/* Does the password make this hash? user NULL: works as long and is always false. */
bool htpasswd_verify(const struct htpasswd *h, const struct htpasswd_user *user,
                     const char *password);

/* ---- the cache of right credentials ---- */
struct cred_cache;
/* entries 0 or ttl_ms 0: a cache that never has anything. */
int cred_cache_new(size_t entries, int64_t ttl_ms, struct cred_cache **ret,
                   struct err *e) MUST_CHECK;
void cred_cache_free(struct cred_cache *c);
bool cred_cache_has(struct cred_cache *c, const char *user, const char *password, int64_t now_ms);
void cred_cache_add(struct cred_cache *c, const char *user, const char *password, int64_t now_ms);
void cred_cache_clear(struct cred_cache *c);

/* ---- policy ---- */
struct policy;
/* With the operator's file, if there is one. ERR_CONFIG: one line about what is wrong in it. */
int policy_new(const struct config *cfg, struct policy **ret, struct err *e) MUST_CHECK;
void policy_free(struct policy *p);
/* Reads the file again (path NULL: the same one) beside the rules in force; they are replaced when
 * it is taken. policy_read, policy_take: one thread at a time. */
struct policy_fresh;
int policy_read(const struct policy *p, const char *path, struct policy_fresh **ret,
                struct err *e) MUST_CHECK;
void policy_take(struct policy *p, struct policy_fresh **fresh);
void policy_fresh_free(struct policy_fresh **fresh); /* NULL is fine */
bool policy_allows(struct policy *p, const struct auth_context *c, const char *rule,
                   const struct auth_target *target);

/* What the checks find (policy_facts.c): of who asks about target. */
struct policy_trustees { /* the domain of clusters' trustee users; owned, "" = not configured */
    char *domain_id, *domain_name;
};
struct policy_case {
    const struct auth_context *who;
    const struct auth_target *target;
    const struct policy_trustees *trustees;
};
extern const struct policy_facts policy_context_facts; /* about a struct policy_case */

#endif
