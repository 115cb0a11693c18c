/* See login.h. */
#include "auth/login.h"

#include "auth/keystone_internal.h"
#include "base/jsonx.h"
#include "base/secret.h"
#include "config/config.h"
#include "http/client.h"

#include <string.h>

enum { OK = 200, CREATED = 201, BAD = 400, UNAUTHORIZED = 401, FORBIDDEN = 403, NOT_FOUND = 404 };
enum { DEPTH_MAX = 32 };

struct login_service {
    struct keystone_client *client;
};

static void drop_text(char **s)
{
    if (*s)
        secret_wipe(*s, strlen(*s));
    free(*s);
    *s = NULL;
}
#define _cleanup_secret_text_ _cleanup_(drop_text)

int login_service_new(const struct config *cfg, struct login_service **ret, struct err *e)
{
    if (str_blank(cfg->keystone_auth_url))
        return err_set(e, ERR_CONFIG, "keystone.auth_url is not set");
    struct login_service *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(e);
    int rc = keystone_client_new(cfg, &s->client, e);
    if (rc) {
        free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void login_service_free(struct login_service **service)
{
    struct login_service *s = TAKE_PTR(*service);
    if (!s)
        return;
    keystone_client_free(s->client);
    free(s);
}

void login_done(struct login *l)
{
    drop_text(&l->token);
    free(l->user_id);
    free(l->project_id);
    free(l->domain_id);
    strv_free(&l->roles);
    json_decref(l->catalog);
    *l = (struct login){0};
}

struct http_tls *login_tls(struct login_service *s, bool *ret_insecure)
{
    *ret_insecure = keystone_client_insecure(s->client);
    return keystone_client_tls(s->client);
}

int login_read_again(struct login_service *s, const struct config *fresh, struct http_tls **ret,
                     struct err *e)
{
    return keystone_client_read_again(s->client, fresh, ret, e);
}

void login_take(struct login_service *s, struct http_tls **fresh)
{
    keystone_client_take(s->client, fresh);
}

/* ---- requests ---- */
/* *ret_answer is the caller's to end. */
static int send_request(struct login_service *s, const char *token, const char *subject,
                        const char *method, const char *path, const char *body,
                        struct http_answer *ret_answer, struct err *e)
{
    _cleanup_secret_text_ char *mine = token ? str_fmt("X-Auth-Token: %s", token) : NULL;
    _cleanup_secret_text_ char *theirs = subject ? str_fmt("X-Subject-Token: %s", subject) : NULL;
    const char *headers[5] = {"Accept: application/json", "Content-Type: application/json"};
    size_t n = 2;
    if ((token && !mine) || (subject && !theirs))
        return err_nomem(e);
    if (mine)
        headers[n++] = mine;
    if (theirs)
        headers[n++] = theirs;
    return keystone_client_exchange(s->client, method, path, headers, body, ret_answer, e);
}

int login_request(struct login_service *s, const char *token, const char *method, const char *path,
                  const json_t *body, int *ret_status, json_t **ret, struct err *e)
{
    struct http_answer a = {0};
    _cleanup_secret_text_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (body && !text)
        return err_nomem(e);
    int rc = send_request(s, token, NULL, method, path, text, &a, e);
    if (rc == 0 && ret && a.len && jsonx_parse(a.body, a.len, DEPTH_MAX, ret, e))
        rc = err_set(e, ERR_PROTOCOL, "Keystone's answer to %s %s is no JSON", method, path);
    if (rc == 0)
        *ret_status = a.status;
    http_answer_done(&a);
    return rc;
}

int login_refused(int code, int status, const json_t *body, const char *what, struct err *e)
{
    const char *words = jsonx_str(json_object_get(body, "error"), "message");
    if (words)
        return err_set(e, code, "%s: Keystone says %d: %.300s", what, status, words);
    return err_set(e, code, "%s: Keystone says %d", what, status);
}

/* ---- logins ---- */
static int put(json_t *o, const char *key, json_t *value)
{
    return json_object_set_new(o, key, value);
}

static json_t *domain_of(const char *id, const char *name)
{
    return str_blank(id) ? json_pack("{s:s}", "name", str_blank(name) ? "Default" : name)
                         : json_pack("{s:s}", "id", id);
}

static json_t *user_json(const struct login_as *as)
{
    json_t *user = json_pack("{s:s}", "password", as->password ? as->password : "");
    int bad = !user;
    if (str_blank(as->user_id)) {
        bad |= put(user, "name", json_string(as->user_name ? as->user_name : ""));
        bad |= put(user, "domain", domain_of(as->user_domain_id, as->user_domain_name));
    } else {
        bad |= put(user, "id", json_string(as->user_id));
    }
    if (bad) {
        json_decref(user);
        return NULL;
    }
    return user;
}

static json_t *scope_json(const struct login_as *as)
{
    if (!str_blank(as->trust_id))
        return json_pack("{s:{s:s}}", "OS-TRUST:trust", "id", as->trust_id);
    if (!str_blank(as->project_name))
        return json_pack("{s:{s:s,s:o}}", "project", "name", as->project_name, "domain",
                         domain_of(NULL, as->project_domain_name));
    if (!str_blank(as->domain_id) || !str_blank(as->domain_name))
        return json_pack("{s:o}", "domain", domain_of(as->domain_id, as->domain_name));
    return NULL;
}

static char *login_text(const struct login_as *as)
{
    json_t *doc = json_pack("{s:{s:{s:[s],s:{s:o}}}}", "auth", "identity", "methods", "password",
                            "password", "user", user_json(as));
    json_t *scope = doc ? scope_json(as) : NULL;
    if (scope)
        (void)put(json_object_get(doc, "auth"), "scope", scope);
    char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    json_decref(doc);
    return text;
}

static int fill(const char *body, size_t len, struct login *ret, struct err *e)
{
    struct identity *who = NULL;
    int rc = identity_parse(body, len, &who, e);
    if (rc)
        return rc == ERR_PROTOCOL ? e->code = ERR_UNAVAILABLE : rc;
    ret->user_id = str_dup(who->who.user_id);
    ret->project_id = str_dup(who->who.project_id);
    ret->domain_id = str_dup(who->who.scope_domain_id);
    ret->catalog = json_deep_copy(who->catalog); /* jansson's counts are not for many threads */
    ret->expires_us = who->expires_us;
    for (size_t i = 0; rc == 0 && i < who->who.roles.n; i++)
        rc = strv_add(&ret->roles, who->who.roles.v[i]);
    if (rc || !ret->user_id || (who->catalog && !ret->catalog))
        rc = err_nomem(e);
    identity_unref(who);
    return rc;
}

/* What Keystone's refusal of a login or a token means. */
static int refused(const struct http_answer *a, const char *what, struct err *e)
{
    _cleanup_json_ json_t *body = NULL;
    struct err unread = ERR_INIT;
    if (a->len && jsonx_parse(a->body, a->len, DEPTH_MAX, &body, &unread))
        body = NULL;
    bool final = a->status >= BAD && a->status <= NOT_FOUND;
    return login_refused(final ? ERR_UNAUTHORIZED : ERR_UNAVAILABLE, a->status, body, what, e);
}

int login_open(struct login_service *s, const struct login_as *as, struct login *ret, struct err *e)
{
    struct http_answer a = {0};
    struct login l = {0};
    _cleanup_secret_text_ char *body = login_text(as);
    if (!body)
        return err_nomem(e);
    int rc = send_request(s, NULL, NULL, "POST", "/auth/tokens", body, &a, e);
    if (rc == 0 && a.status != CREATED)
        rc = refused(&a, "login", e);
    if (rc == 0)
        rc = fill(a.body, a.len, &l, e);
    if (rc == 0 && !(l.token = keystone_subject_token(&a)))
        rc = err_set(e, ERR_UNAVAILABLE, "Keystone's answer to a login has no X-Subject-Token");
    http_answer_done(&a);
    if (rc)
        login_done(&l);
    else
        *ret = l;
    return rc;
}

int login_of_token(struct login_service *s, const char *token, struct login *ret, struct err *e)
{
    struct http_answer a = {0};
    struct login l = {0};
    int rc = send_request(s, token, token, "GET", "/auth/tokens", NULL, &a, e);
    if (rc == 0 && a.status != OK)
        rc = refused(&a, "the user's token", e);
    if (rc == 0)
        rc = fill(a.body, a.len, &l, e);
    if (rc == 0 && !(l.token = str_dup(token)))
        rc = err_nomem(e);
    http_answer_done(&a);
    if (rc)
        login_done(&l);
    else
        *ret = l;
    return rc;
}

/* ---- the catalogue ---- */
static const char *url_in(const json_t *service, const char *interface, const char *region)
{
    size_t i;
    json_t *ep;
    json_array_foreach(json_object_get(service, "endpoints"), i, ep)
    {
        const char *where = jsonx_str(ep, "region_id");
        if (!where)
            where = jsonx_str(ep, "region");
        if (str_eq(jsonx_str(ep, "interface"), interface) &&
            (str_blank(region) || str_eq(where, region)))
            return jsonx_str(ep, "url");
    }
    return NULL;
}

char *login_endpoint(const struct login *l, const char *type, const char *interface,
                     const char *region)
{
    size_t i;
    json_t *service;
    json_array_foreach(l->catalog, i, service)
    {
        const char *url =
            str_eq(jsonx_str(service, "type"), type) ? url_in(service, interface, region) : NULL;
        size_t n = url ? strlen(url) : 0;
        while (n && url[n - 1] == '/')
            n--;
        if (n)
            return strndup(url, n);
    }
    return NULL;
}
