/* See auth.h. Chooses the strategy and does what all of them share. */
#include "auth/keystone_internal.h"
#include "base/jsonx.h"
#include "base/secret.h"
#include "config/config.h"
#include "http/tls.h"

#include <string.h>

struct auth {
    const struct auth_strategy *strategy;
    void *state;
    struct policy *policy;
};

struct auth_fresh {
    struct policy_fresh *policy;
    struct http_tls *tls; /* NULL = the strategy has none */
};

static const struct auth_strategy *const strategies[] = {&auth_noauth, &auth_basic, &auth_keystone};

enum { ID_MAX = 255 };

void auth_context_done(struct auth_context *c)
{
    free(c->user_id);
    free(c->user_name);
    free(c->project_id);
    free(c->project_name);
    free(c->domain_id);
    free(c->global_request_id);
    free(c->domain_name);
    free(c->project_domain_id);
    free(c->scope_domain_id);
    free(c->trust_id);
    identity_unref(c->identity);
    strv_free(&c->roles);
    if (c->token)
        secret_wipe(c->token, strlen(c->token));
    free(c->token);
    *c = (struct auth_context){0};
}

int auth_unknown(struct err *e)
{
    return err_set(e, ERR_UNAUTHORIZED, "The request you have made requires authentication.");
}

bool auth_id_ok(const char *s)
{
    size_t n = 0;
    for (; s && s[n]; n++)
        if (s[n] < 0x20 || s[n] > 0x7e || n == ID_MAX)
            return false;
    return n > 0;
}

static int no_such_strategy(const char *name, struct err *e)
{
    _cleanup_str_ struct str have = STR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(strategies); i++)
        str_printf(&have, "%s%s", i ? ", " : "", strategies[i]->name);
    return err_set(e, ERR_CONFIG, "auth.strategy is \"%s\"; this build has %s", name,
                   str_text(&have));
}

int auth_new(const struct config *cfg, struct auth **ret, struct err *e)
{
    const struct auth_strategy *s = NULL;
    for (size_t i = 0; i < ARRAY_LEN(strategies) && !s; i++)
        if (strcmp(strategies[i]->name, cfg->auth_strategy) == 0)
            s = strategies[i];
    if (!s)
        return no_such_strategy(cfg->auth_strategy, e);
    struct auth *a = calloc(1, sizeof *a);
    if (!a)
        return err_nomem(e);
    a->strategy = s;
    int rc = policy_new(cfg, &a->policy, e);
    if (rc == 0)
        rc = s->start(cfg, &a->state, e);
    if (rc != 0) {
        policy_free(a->policy);
        free(a);
        return rc;
    }
    *ret = a;
    return 0;
}

void auth_free(struct auth **ap)
{
    struct auth *a = *ap;
    if (!a)
        return;
    *ap = NULL;
    a->strategy->stop(a->state);
    policy_free(a->policy);
    free(a);
}

const char *auth_challenge(const struct auth *a)
{
    return a->strategy->challenge_of ? a->strategy->challenge_of(a->state) : a->strategy->challenge;
}

void auth_forget(struct auth *a, const char *token)
{
    if (token && a->strategy->forget)
        a->strategy->forget(a->state, token);
}

int auth_check(struct auth *a, const char *(*header)(const void *req, const char *name),
               const void *req, bool from_loopback, struct auth_context *ret,
               const char **challenge, struct err *e)
{
    struct auth_ask ask = {header, req, from_loopback};
    struct auth_context c = {0};
    *challenge = auth_challenge(a);
    int rc = a->strategy->check(a->state, &ask, &c, e);
    if (rc != 0) {
        auth_context_done(&c);
        return rc;
    }
    /* What the caller has set already stays. */
    memcpy(c.request_id, ret->request_id, sizeof c.request_id);
    c.global_request_id = TAKE_PTR(ret->global_request_id);
    auth_context_done(ret);
    const struct auth_target self = {c.project_id, c.user_id, NULL};
    c.is_admin = policy_allows(a->policy, &c, "context_is_admin", &self);
    *ret = c;
    return 0;
}

bool auth_may_wait(struct auth *a, const char *(*header)(const void *req, const char *name),
                   const void *req)
{
    struct auth_ask ask = {header, req, false};
    return a->strategy->may_wait && a->strategy->may_wait(a->state, &ask);
}

int auth_enforce_on(struct auth *a, const struct auth_context *c, const char *rule,
                    const struct auth_target *target, struct err *e)
{
    if (policy_allows(a->policy, c, rule, target))
        return 0;
    return err_set(e, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.", rule);
}

int auth_enforce(struct auth *a, const struct auth_context *c, const char *rule,
                 const char *target_project, const char *target_user, struct err *e)
{
    const struct auth_target target = {target_project ? target_project : c->project_id,
                                       target_user ? target_user : c->user_id, NULL};
    return auth_enforce_on(a, c, rule, &target, e);
}

int auth_check_project(struct auth *a, const char *id, struct err *e)
{
    return a->strategy->project ? a->strategy->project(a->state, id, e) : 0;
}

const char *auth_endpoint(const struct auth_context *c, const char *type, const char *interface,
                          const char *region)
{
    size_t i, k;
    json_t *service, *at;
    json_array_foreach(c->catalog, i, service)
    {
        if (!str_eq(jsonx_str(service, "type"), type))
            continue;
        json_array_foreach(json_object_get(service, "endpoints"), k,
                           at) if (str_eq(jsonx_str(at, "interface"), interface) &&
                                   (str_blank(region) || str_eq(jsonx_str(at, "region_id"),
                                                                region))) return jsonx_str(at,
                                                                                           "url");
    }
    return NULL;
}

int auth_read_again(struct auth *a, const struct config *cfg, struct auth_fresh **ret,
                    struct err *e)
{
    struct auth_fresh *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(e);
    int rc = policy_read(a->policy, cfg ? cfg->policy_file : NULL, &f->policy, e);
    if (rc == 0 && cfg && a->strategy->check_file)
        rc = a->strategy->check_file(a->state, e);
    if (rc == 0 && cfg && a->strategy->read_again)
        rc = a->strategy->read_again(a->state, cfg, &f->tls, e);
    if (rc < 0)
        auth_fresh_free(&f);
    *ret = f;
    return rc;
}

void auth_take(struct auth *a, struct auth_fresh **fresh)
{
    policy_take(a->policy, &(*fresh)->policy);
    if ((*fresh)->tls)
        a->strategy->take(a->state, &(*fresh)->tls);
    auth_fresh_free(fresh);
}

void auth_fresh_free(struct auth_fresh **fresh)
{
    if (!*fresh)
        return;
    policy_fresh_free(&(*fresh)->policy);
    http_tls_unref((*fresh)->tls);
    free(*fresh);
    *fresh = NULL;
}

int auth_reload(struct auth *a, struct err *e)
{
    struct auth_fresh *f = NULL;
    int rc = auth_read_again(a, NULL, &f, e);
    if (rc == 0)
        auth_take(a, &f);
    return rc;
}
