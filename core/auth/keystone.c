/* The strategy `keystone`: tokens of Keystone's version 3 in X-Auth-Token, of any scope. Nothing
 * else in a request says who asks. Neighbours: keystone_internal.h. */
#include "auth/keystone_internal.h"
#include "config/config.h"

#include <string.h>

enum { TOKEN_MAX = 16384 };

struct keystone {
    struct keystone_client *client;
    struct token_cache *cache;
    char *challenge;
};

static void stop(void *state)
{
    struct keystone *k = state;
    keystone_client_free(k->client);
    token_cache_free(k->cache);
    free(k->challenge);
    free(k);
}

static int check_config(const struct config *cfg, struct err *e)
{
    const struct {
        const char *name, *value;
    } wanted[] = {{"auth_url", cfg->keystone_auth_url},
                  {"username", cfg->keystone_username},
                  {"password", cfg->keystone_password},
                  {"project_name", cfg->keystone_project_name}};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!*wanted[i].value)
            return err_set(e, ERR_CONFIG, "auth.strategy keystone needs keystone.%s",
                           wanted[i].name);
    if (!str_starts(cfg->keystone_auth_url, "http://") &&
        !str_starts(cfg->keystone_auth_url, "https://"))
        return err_set(e, ERR_CONFIG, "keystone.auth_url must start with http:// or https://");
    for (const char *p = cfg->keystone_www_authenticate_uri; *p; p++)
        if (*p <= ' ' || *p > '~' || *p == '"')
            return err_set(e, ERR_CONFIG, "keystone.www_authenticate_uri must be an URL");
    return 0;
}

static int start(const struct config *cfg, void **ret_state, struct err *e)
{
    int rc = check_config(cfg, e);
    if (rc < 0)
        return rc;
    struct keystone *k = calloc(1, sizeof *k);
    if (!k)
        return err_nomem(e);
    const char *uri = *cfg->keystone_www_authenticate_uri ? cfg->keystone_www_authenticate_uri
                                                          : cfg->keystone_auth_url;
    k->challenge = str_fmt("Keystone uri=\"%s\"", uri);
    rc = k->challenge ? keystone_client_new(cfg, &k->client, e) : err_nomem(e);
    if (rc == 0)
        rc = token_cache_new((size_t)cfg->auth_cache_entries, cfg->auth_cache_seconds * 1000,
                             &k->cache, e);
    if (rc < 0) {
        stop(k);
        return rc;
    }
    *ret_state = k;
    return 0;
}

/* NULL: there is none, or it can't be one. */
static const char *token_of(const struct auth_ask *ask)
{
    const char *t = ask->header(ask->req, "X-Auth-Token");
    size_t n = 0;
    for (; t && t[n]; n++)
        if (t[n] <= ' ' || t[n] > '~' || n == TOKEN_MAX)
            return NULL;
    return n ? t : NULL;
}

static int ask_keystone(void *ctx, const char *token, struct identity **ret, struct err *e)
{
    return keystone_client_validate(ctx, token, ret, e);
}

static int check(void *state, const struct auth_ask *ask, struct auth_context *ret, struct err *e)
{
    struct keystone *k = state;
    struct identity *who = NULL;
    const char *token = token_of(ask);
    if (!token)
        return auth_unknown(e);
    int rc = token_cache_get(k->cache, token, ask_keystone, k->client, &who, e);
    if (rc < 0)
        return rc;
    rc = identity_fill(who, ret, e);
    identity_unref(who);
    if (rc == 0) {
        ret->token = strdup(token);
        rc = ret->token ? 0 : err_nomem(e);
    }
    return rc;
}

static bool may_wait(void *state, const struct auth_ask *ask)
{
    struct keystone *k = state;
    const char *token = token_of(ask);
    return token && !token_cache_has(k->cache, token);
}

static void forget(void *state, const char *token)
{
    struct keystone *k = state;
    token_cache_drop(k->cache, token);
}

static int project(void *state, const char *id, struct err *e)
{
    return keystone_client_project(((struct keystone *)state)->client, id, e);
}

static int read_again(void *state, const struct config *fresh, struct http_tls **ret, struct err *e)
{
    return keystone_client_read_again(((struct keystone *)state)->client, fresh, ret, e);
}

static void take(void *state, struct http_tls **fresh)
{
    keystone_client_take(((struct keystone *)state)->client, fresh);
}

static const char *challenge_of(void *state)
{
    return ((struct keystone *)state)->challenge;
}

const struct auth_strategy auth_keystone = {.name = "keystone",
                                            .challenge_of = challenge_of,
                                            .start = start,
                                            .check = check,
                                            .may_wait = may_wait,
                                            .project = project,
                                            .read_again = read_again,
                                            .take = take,
                                            .forget = forget,
                                            .stop = stop};
