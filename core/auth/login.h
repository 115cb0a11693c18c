/* Keystone as a client uses it: logins with a password, and requests with the token they gave. The
 * conductor makes trusts with it and gets the tokens it calls other services with.
 * Neighbours: conductor (trust*.c), keystone_client.c. Thread-safe; keeps no token itself. */
#ifndef MAGNUM_AUTH_LOGIN_H
#define MAGNUM_AUTH_LOGIN_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>
#include <stdint.h>

struct config;
struct http_tls;
struct login_service;

/* cfg is borrowed. ERR_CONFIG names what to correct of section keystone. */
int login_service_new(const struct config *cfg, struct login_service **ret,
                      struct err *e) MUST_CHECK;
void login_service_free(struct login_service **s);

/* Who logs in, and for what. Texts are borrowed; NULL or "" = not given. The user: user_id, or
 * user_name with one of the user's domain. The scope: one of project_name, domain_id, domain_name,
 * trust_id; none = an unscoped token. */
struct login_as {
    const char *user_id, *user_name, *user_domain_id, *user_domain_name;
    const char *password; /* secret */
    const char *project_name, *project_domain_name;
    const char *domain_id, *domain_name;
    const char *trust_id;
};
struct login {   /* what a token is good for; owned */
    char *token; /* secret */
    char *user_id, *project_id;
    char *domain_id; /* that a domain-scoped token is for */
    struct strv roles;
    json_t *catalog; /* or NULL */
    int64_t expires_us;
};
void login_done(struct login *l); /* wipes */
/* ERR_UNAUTHORIZED: the password is wrong, or the user, the trust or the project is gone or
 * disabled; ERR_UNAVAILABLE: Keystone can't be asked. */
int login_open(struct login_service *s, const struct login_as *as, struct login *ret,
               struct err *e) MUST_CHECK;
/* What the bearer of a token may ask about it: fills all of *ret. ERR_UNAUTHORIZED: not (or no
 * longer) valid. */
int login_of_token(struct login_service *s, const char *token, struct login *ret,
                   struct err *e) MUST_CHECK;
/* The URL of a service in the catalogue, without a slash at its end; region "" = any. NULL: none;
 * caller frees. */
char *login_endpoint(const struct login *l, const char *type, const char *interface,
                     const char *region);

/* What TLS connections to the cloud's services are checked with: a reference, for http_tls_unref.
 */
struct http_tls *login_tls(struct login_service *s, bool *ret_insecure);
/* The files it comes from again, in two steps: what they hold now (ERR_CONFIG names file and
 * option), then that from now on. Any thread. */
int login_read_again(struct login_service *s, const struct config *fresh, struct http_tls **ret,
                     struct err *e) MUST_CHECK;
void login_take(struct login_service *s, struct http_tls **fresh);

/* One request to Keystone; path begins after /v3. Any HTTP status is success. *ret (may be NULL)
 * is the JSON of the body, NULL when there is none. ERR_UNAVAILABLE as above; ERR_PROTOCOL: the
 * body is no JSON. */
int login_request(struct login_service *s, const char *token, const char *method, const char *path,
                  const json_t *body, int *ret_status, json_t **ret, struct err *e) MUST_CHECK;
/* Keystone's own words for a refusal, else its status. Fills e with `code`; returns it. */
int login_refused(int code, int status, const json_t *body, const char *what, struct err *e);

#endif
