/* Logging in at Keystone v3: with a password, an application credential or a token. The answer
 * gives the token for requests, and the catalogue says where the service is. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"
#include "base/secret.h"

#include <string.h>

enum { TIMEOUT_MS = 60000, ANSWER_MAX = 8 << 20, DEPTH_MAX = 64 };

static const char token_header[] = "X-Auth-Token: ";

struct cli_login {
    char *url;    /* .../v3/auth/tokens; owned */
    json_t *body; /* owned; with secrets */
    char *region, *interface;
};

static void wipe(json_t *j)
{
    const char *key;
    size_t i;
    json_t *v;
    if (json_is_string(j))
        secret_wipe((void *)(uintptr_t)json_string_value(j), json_string_length(j));
    json_object_foreach(j, key, v) wipe(v);
    json_array_foreach(j, i, v) wipe(v);
}

void cli_login_free(struct cli_login **lp)
{
    struct cli_login *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    wipe(l->body);
    json_decref(l->body);
    free(l->url);
    free(l->region);
    free(l->interface);
    free(l);
}

const char *cli_setting(const struct cli_args *a, const json_t *cloud, const char *option,
                        const char *env, const char *key)
{
    const char *v = option ? cli_text(a, option) : NULL;
    if (str_blank(v) && env)
        v = getenv(env);
    if (str_blank(v) && key)
        v = jsonx_str(json_object_get(cloud, "auth"), key);
    return str_blank(v) ? NULL : v;
}

struct settings { /* all of one login; borrowed */
    const struct cli_args *a;
    const json_t *cloud;
};

/* "os-user-id", OS_USER_ID and user_id from the last of them. */
static const char *get(const struct settings *s, const char *key)
{
    char option[64], env[64];
    size_t n = strlen(key);
    snprintf(option, sizeof option, "os-%s", key);
    snprintf(env, sizeof env, "OS_%s", key);
    for (size_t i = 0; i < n; i++) {
        if (key[i] == '_')
            option[3 + i] = '-';
        else if (key[i] >= 'a' && key[i] <= 'z')
            env[3 + i] = (char)(key[i] - 'a' + 'A');
    }
    return cli_setting(s->a, s->cloud, option, env, key);
}

/* {"id": ..} or {"name": .., "domain": {..}}; NULL when nothing is given. Domains are "Default"
 * unless said otherwise. */
static json_t *named(const struct settings *s, const char *id, const char *name,
                     const char *domain_id, const char *domain_name)
{
    const char *i = get(s, id), *n = get(s, name), *d = get(s, domain_id);
    const char *dn = get(s, domain_name);
    if (i)
        return json_pack("{s:s}", "id", i);
    if (!n)
        return NULL;
    if (!d && !dn)
        d = get(s, "default_domain");
    if (!d && !dn)
        d = "default";
    return json_pack("{s:s, s:{s:s}}", "name", n, "domain", d ? "id" : "name", d ? d : dn);
}

static json_t *user_of(const struct settings *s)
{
    return named(s, "user_id", "username", "user_domain_id", "user_domain_name");
}

static json_t *project_of(const struct settings *s)
{
    json_t *p = named(s, "project_id", "project_name", "project_domain_id", "project_domain_name");
    return p ? p : named(s, "tenant_id", "tenant_name", "project_domain_id", "project_domain_name");
}

/* ---- the three ways ---- */

static json_t *by_password(const struct settings *s, struct err *e)
{
    _cleanup_json_ json_t *user = user_of(s);
    const char *password = get(s, "password");
    if (!user || !password) {
        err_set(e, ERR_INVALID, "Keystone needs OS_USERNAME (or OS_USER_ID) and OS_PASSWORD");
        return NULL;
    }
    (void)json_object_set_new(user, "password", json_string(password));
    return json_pack("{s:[s], s:{s:O}}", "methods", "password", "password", "user", user);
}

static json_t *by_credential(const struct settings *s, struct err *e)
{
    const char *id = get(s, "application_credential_id");
    const char *name = get(s, "application_credential_name");
    const char *secret = get(s, "application_credential_secret");
    _cleanup_json_ json_t *user = id ? NULL : user_of(s);
    if (!secret || (!id && (!name || !user))) {
        err_set(e, ERR_INVALID,
                "an application credential needs OS_APPLICATION_CREDENTIAL_SECRET and "
                "OS_APPLICATION_CREDENTIAL_ID (or _NAME and the user)");
        return NULL;
    }
    return json_pack("{s:[s], s:{s:s*, s:s*, s:s, s:O*}}", "methods", "application_credential",
                     "application_credential", "id", id, "name", id ? NULL : name, "secret", secret,
                     "user", user);
}

static json_t *by_token(const struct settings *s, struct err *e)
{
    const char *token = get(s, "token");
    if (!token) {
        err_set(e, ERR_INVALID, "auth type token needs OS_TOKEN");
        return NULL;
    }
    return json_pack("{s:[s], s:{s:s}}", "methods", "token", "token", "id", token);
}

enum way { NO_WAY, PASSWORD, CREDENTIAL, TOKEN };

static int way_of(const struct settings *s, const char *type, enum way *ret, struct err *e)
{
    static const struct {
        const char *type;
        enum way way;
    } types[] = {{"password", PASSWORD},
                 {"v3password", PASSWORD},
                 {"v3applicationcredential", CREDENTIAL},
                 {"token", TOKEN},
                 {"v3token", TOKEN}};
    *ret = get(s, "application_credential_secret") ? CREDENTIAL
           : get(s, "token")                       ? TOKEN
           : get(s, "password")                    ? PASSWORD
                                                   : NO_WAY;
    for (size_t i = 0; type && i < ARRAY_LEN(types); i++)
        if (strcmp(type, types[i].type) == 0) {
            *ret = types[i].way;
            return 0;
        }
    if (!type)
        return 0;
    return err_set(e, ERR_UNSUPPORTED,
                   "auth type '%s' is not known here: use none, http_basic, password, "
                   "v3applicationcredential or token",
                   type);
}

static json_t *body_of(const struct settings *s, enum way way, struct err *e)
{
    _cleanup_json_ json_t *project = way == CREDENTIAL ? NULL : project_of(s); /* it has its own */
    _cleanup_json_ json_t *identity = way == PASSWORD     ? by_password(s, e)
                                      : way == CREDENTIAL ? by_credential(s, e)
                                                          : by_token(s, e);
    if (!identity)
        return NULL;
    json_t *body = project ? json_pack("{s:{s:O, s:{s:O}}}", "auth", "identity", identity, "scope",
                                       "project", project)
                           : json_pack("{s:{s:O}}", "auth", "identity", identity);
    if (!body)
        err_nomem(e);
    return body;
}

static char *tokens_url(const char *auth_url)
{
    size_t n = strlen(auth_url);
    while (n && auth_url[n - 1] == '/')
        n--;
    bool v3 = n > 3 && memcmp(auth_url + n - 3, "/v3", 3) == 0;
    return str_fmt("%.*s%s/auth/tokens", (int)n, auth_url, v3 ? "" : "/v3");
}

int cli_login_read(const struct cli_args *a, const json_t *cloud, const char *type,
                   struct cli_login **ret, struct err *e)
{
    const struct settings s = {a, cloud};
    const char *url = get(&s, "auth_url"), *region, *interface;
    enum way way;
    *ret = NULL;
    if (!url)
        return 0;
    int rc = way_of(&s, type, &way, e);
    if (rc || way == NO_WAY)
        return rc;
    struct cli_login *l = calloc(1, sizeof *l);
    if (!l)
        return err_nomem(e);
    region = cli_setting(a, NULL, "os-region-name", "OS_REGION_NAME", NULL);
    interface = cli_setting(a, NULL, "os-interface", "OS_INTERFACE", NULL);
    interface = interface ? interface : cli_setting(a, NULL, NULL, "OS_ENDPOINT_TYPE", NULL);
    l->region = str_dup(region ? region : jsonx_str(cloud, "region_name"));
    l->interface = str_dup(interface ? interface : jsonx_str(cloud, "interface"));
    l->url = tokens_url(url);
    l->body = body_of(&s, way, e);
    if (l->url && l->body) {
        *ret = l;
        return 0;
    }
    rc = l->body ? err_nomem(e) : e->code;
    cli_login_free(&l);
    return rc;
}

/* ---- the exchange ---- */

/* "publicURL" is "public", as older settings had it. */
static bool is_interface(const char *wanted, const char *found)
{
    size_t n = strcspn(wanted ? wanted : "public", "U");
    return found && strlen(found) == n && strncmp(wanted ? wanted : "public", found, n) == 0;
}

static char *endpoint_of(const struct cli_login *l, const json_t *token)
{
    static const char *const types[] = {"container-infra", "container-infrastructure-management",
                                        "container"};
    size_t i, k;
    json_t *service, *endpoint;
    for (size_t t = 0; t < ARRAY_LEN(types); t++)
        json_array_foreach(json_object_get(token, "catalog"), i, service)
        {
            if (!str_eq(jsonx_str(service, "type"), types[t]))
                continue;
            json_array_foreach(json_object_get(service, "endpoints"), k, endpoint)
            {
                const char *region = jsonx_str(endpoint, "region_id");
                region = region ? region : jsonx_str(endpoint, "region");
                if (is_interface(l->interface, jsonx_str(endpoint, "interface")) &&
                    (!l->region || str_eq(l->region, region)))
                    return str_dup(jsonx_str(endpoint, "url"));
            }
        }
    return NULL;
}

static char *subject_token(const char *headers)
{
    static const char name[] = "x-subject-token: ";
    const char *at = strstr(headers, name);
    if (!at || (at != headers && at[-1] != '\n'))
        return NULL;
    at += sizeof name - 1;
    return strndup(at, strcspn(at, "\n"));
}

static int put_token(struct cli *c, const char *token, struct err *e)
{
    char *line = str_fmt("%s%s", token_header, token);
    if (!line)
        return err_nomem(e);
    for (size_t i = 0; i < c->headers.n; i++)
        if (str_starts(c->headers.v[i], token_header)) {
            secret_wipe(c->headers.v[i], strlen(c->headers.v[i]));
            free(c->headers.v[i]);
            c->headers.v[i] = line;
            return 0;
        }
    int rc = strv_add(&c->headers, line);
    secret_wipe(line, strlen(line));
    free(line);
    return rc ? err_nomem(e) : 0;
}

static int read_answer(struct cli *c, const struct http_answer *answer, char **ret_endpoint,
                       struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    bool json = jsonx_parse(answer->body, answer->len, DEPTH_MAX, &doc, NULL) == 0;
    if (!json || answer->status >= 300) {
        const char *said = jsonx_str(json_object_get(doc, "error"), "message");
        return err_set(e, answer->status >= 500 ? ERR_UNAVAILABLE : ERR_UNAUTHORIZED,
                       "Keystone does not let us in: %s (HTTP %d)",
                       said ? said : "it answers no JSON", answer->status);
    }
    char *token = subject_token(answer->headers);
    if (!token)
        return err_set(e, ERR_PROTOCOL, "%s is not Keystone v3: it gave no token", c->login->url);
    int rc = put_token(c, token, e);
    secret_wipe(token, strlen(token));
    free(token);
    if (rc || !ret_endpoint)
        return rc;
    *ret_endpoint = endpoint_of(c->login, json_object_get(doc, "token"));
    if (*ret_endpoint)
        return 0;
    return err_set(e, ERR_NOT_FOUND,
                   "Keystone's catalogue has no container-infra service%s%s for us; name it by "
                   "--endpoint, or another --os-region-name or --os-interface",
                   c->login->region ? " in region " : "", c->login->region ? c->login->region : "");
}

int cli_login_open(struct cli *c, char **ret_endpoint, struct err *e)
{
    static const char *const headers[] = {"Accept: application/json",
                                          "Content-Type: application/json", NULL};
    _cleanup_free_ char *text = jsonx_text(c->login->body);
    struct http_answer answer = {0};
    if (!text)
        return err_nomem(e);
    const struct http_call call = {.method = "POST",
                                   .url = c->login->url,
                                   .headers = headers,
                                   .body = text,
                                   .body_len = strlen(text),
                                   .timeout_ms = TIMEOUT_MS,
                                   .max_body = ANSWER_MAX,
                                   .ca_pem = c->ca_pem,
                                   .insecure = c->insecure};
    if (c->debug)
        fprintf(stderr, "> POST %s\n", c->login->url);
    int rc = http_client_do(c->http, &call, &answer, e);
    secret_wipe(text, strlen(text));
    if (rc)
        return err_wrap(e, "cannot reach Keystone");
    rc = read_answer(c, &answer, ret_endpoint, e);
    http_answer_done(&answer);
    return rc;
}
