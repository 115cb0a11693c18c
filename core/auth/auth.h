/* Who is calling and what they may do. Strategies: noauth (loopback or unix socket only: refused
 * elsewhere at start), http_basic (htpasswd file with bcrypt, re-read when it changes, checked
 * credentials cached), keystone (tokens, checked by Keystone and cached). Policy: the rule names of
 * Magnum with its defaults, and the operator's file in the language of oslo.policy over them.
 * Neighbours: api, cmd. Thread-safe. */
#ifndef MAGNUM_AUTH_AUTH_H
#define MAGNUM_AUTH_AUTH_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

struct config;
struct auth;
struct identity;

struct auth_context {
    char *user_id, *user_name, *project_id, *project_name, *domain_id; /* owned, may be NULL */
    struct strv roles;
    bool is_admin;
    char request_id[48]; /* "req-<uuid>" */
    char *global_request_id;
    char *token; /* owned, secret: wiped */
    /* From here on set by the strategy keystone only. domain_id above and domain_name are the
     * user's; scope_domain_id is the domain that a domain-scoped token is for. */
    char *domain_name, *project_domain_id, *scope_domain_id, *trust_id;
    bool system_scope;         /* the token is for the whole system */
    const json_t *catalog;     /* the token's service catalogue (an array) or NULL; borrowed from */
    struct identity *identity; /* what Keystone said of the token, shared with others */
};
void auth_context_done(struct auth_context *c);

int auth_new(const struct config *cfg, struct auth **ret, struct err *e) MUST_CHECK;
void auth_free(struct auth **a);

/* header(): first value of a request header or NULL. Fills ret (request_id is left alone).
 * ERR_UNAUTHORIZED, or ERR_UNAVAILABLE when Keystone can't be asked; *challenge (borrowed from a)
 * is the WWW-Authenticate value to send. With noauth, X-User-Id, X-Project-Id, X-Roles of the
 * client choose the identity (handy for tests and loopback tools); every other strategy ignores
 * them. */
int auth_check(struct auth *a, const char *(*header)(const void *req, const char *name),
               const void *req, bool from_loopback, struct auth_context *ret,
               const char **challenge, struct err *e) MUST_CHECK;

/* Will auth_check take long for this request (a password hash that is not remembered)? Quick: for
 * the listener's question which requests run on threads of their own (http_waits_fn). */
bool auth_may_wait(struct auth *a, const char *(*header)(const void *req, const char *name),
                   const void *req);

/* The WWW-Authenticate value, borrowed; NULL = none. */
const char *auth_challenge(const struct auth *a);
/* A service has refused this token (NULL is fine): the next request with it is checked anew. */
void auth_forget(struct auth *a, const char *token);

/* ERR_FORBIDDEN with Magnum's text unless the rule allows it. target_project NULL = the caller's.
 */
int auth_enforce(struct auth *a, const struct auth_context *c, const char *rule,
                 const char *target_project, const char *target_user, struct err *e) MUST_CHECK;

/* What a request is about, as far as rules may ask. NULL = it has none. */
struct auth_target {
    const char *project_id, *user_id;
    const char *trustee_user_id; /* of the cluster */
};
/* The same for all that a target may have. */
int auth_enforce_on(struct auth *a, const struct auth_context *c, const char *rule,
                    const struct auth_target *target, struct err *e) MUST_CHECK;

/* Is there a project of this id? ERR_NOT_FOUND with Magnum's text; always, where no service knows
 * of projects. ERR_UNAVAILABLE when it can't be asked. */
int auth_check_project(struct auth *a, const char *id, struct err *e) MUST_CHECK;

/* The URL of a service in the caller's catalogue (keystone only), borrowed; NULL = it has none.
 * interface: public, internal or admin; region "" or NULL: the first one. */
const char *auth_endpoint(const struct auth_context *c, const char *type, const char *interface,
                          const char *region);

/* Reads the policy file again. ERR_CONFIG with one line; the rules then stay as they were. */
int auth_reload(struct auth *a, struct err *e) MUST_CHECK;
/* The same in two steps, for a reload that is to happen as a whole or not at all: the policy file
 * that cfg names, what keystone.cafile, certfile and keyfile hold now, and whether the file of
 * users can be read (it is followed by itself). */
struct auth_fresh;
int auth_read_again(struct auth *a, const struct config *cfg, struct auth_fresh **ret,
                    struct err *e) MUST_CHECK;
void auth_take(struct auth *a, struct auth_fresh **fresh);
void auth_fresh_free(struct auth_fresh **fresh); /* NULL is fine */

#endif
