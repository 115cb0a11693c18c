/* See keystone_internal.h. One token of the service user for all threads, renewed a while before it
 * ends. When Keystone can't give one, the next attempt waits a second: threads that all want one
 * must not queue up behind each other's timeouts. Neighbours: http/client.h. */
#include "auth/keystone_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "config/config.h"
#include "http/client.h"
#include "http/tls.h"

#include <pthread.h>
#include <string.h>

enum {
    RENEW_BEFORE_S = 120,
    PAUSE_MS = 1000,
    CODE_OK = 200,
    CODE_CREATED = 201,
    CODE_UNAUTHORIZED = 401,
    CODE_FORBIDDEN = 403,
    CODE_NOT_FOUND = 404,
};

static const char TOKENS[] = "/auth/tokens";

struct keystone_client {
    const struct config *cfg;
    struct http_client *http;
    char *root;           /* .../v3 */
    struct box tls;       /* a struct http_tls */
    pthread_mutex_t lock; /* the rest */
    char *token;          /* secret */
    int64_t expires_us, renew_us;
    int64_t pause_until_ms;
    struct err last; /* why the pause */
};

static void drop_text(char **s)
{
    if (*s)
        secret_wipe(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void keystone_client_free(struct keystone_client *c)
{
    if (!c)
        return;
    http_client_free(&c->http);
    pthread_mutex_destroy(&c->lock);
    drop_text(&c->token);
    box_done(&c->tls);
    free(c->root);
    free(c);
}

/* With and without /v3 and slashes at the end. */
static char *root_url(const char *base)
{
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    bool v3 = n > 3 && strncmp(base + n - 3, "/v3", 3) == 0;
    return str_fmt("%.*s%s", (int)n, base, v3 ? "" : "/v3");
}

int keystone_client_new(const struct config *cfg, struct keystone_client **ret, struct err *e)
{
    struct keystone_client *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    pthread_mutex_init(&c->lock, NULL);
    box_init(&c->tls, NULL);
    c->cfg = cfg;
    c->root = root_url(cfg->keystone_auth_url);
    const struct http_tls_files files = http_tls_keystone(cfg);
    struct http_tls *tls = NULL;
    int rc = c->root ? http_client_new(&c->http, e) : err_nomem(e);
    if (rc == 0)
        rc = http_tls_read(&files, &tls, e);
    if (rc == 0)
        (void)box_put(&c->tls, tls);
    if (rc < 0) {
        keystone_client_free(c);
        return rc;
    }
    *ret = c;
    return 0;
}

struct http_tls *keystone_client_tls(struct keystone_client *c)
{
    return box_get(&c->tls);
}

int keystone_client_read_again(struct keystone_client *c, const struct config *fresh,
                               struct http_tls **ret, struct err *e)
{
    const struct http_tls_files used = http_tls_keystone(c->cfg), now = http_tls_keystone(fresh);
    return http_tls_read_again(&c->tls, &used, &now, ret, e);
}

void keystone_client_take(struct keystone_client *c, struct http_tls **fresh)
{
    http_tls_unref(box_put(&c->tls, TAKE_PTR(*fresh)));
    pthread_mutex_lock(&c->lock);
    c->pause_until_ms = 0; /* what failed may do now */
    pthread_mutex_unlock(&c->lock);
}

bool keystone_client_insecure(const struct keystone_client *c)
{
    return c->cfg->keystone_insecure;
}

int keystone_client_exchange(struct keystone_client *c, const char *method, const char *path,
                             const char *const *headers, const char *body, struct http_answer *ret,
                             struct err *e)
{
    const struct config *cfg = c->cfg;
    _cleanup_free_ char *url = str_fmt("%s%s", c->root, path);
    if (!url)
        return err_nomem(e);
    _cleanup_tls_ struct http_tls *tls = box_get(&c->tls);
    struct http_call call = {.method = method,
                             .url = url,
                             .headers = headers,
                             .body = body,
                             .body_len = body ? strlen(body) : 0,
                             .timeout_ms = cfg->keystone_timeout_ms,
                             .ca_pem = tls->ca,
                             .cert_pem = tls->cert,
                             .key_pem = tls->key,
                             .insecure = cfg->keystone_insecure};
    int rc = http_client_do(c->http, &call, ret, e);
    if (rc == 0 || rc == ERR_NOMEM)
        return rc;
    e->code = ERR_UNAVAILABLE;
    return err_wrap(e, "Keystone");
}

static int bad_answer(const char *what, int status, struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "Keystone answers %d to %s", status, what);
}

/* ---- the service user's token ---- */

static char *login_body(const struct config *cfg)
{
    _cleanup_json_ json_t *j =
        json_pack("{s:{s:{s:[s],s:{s:{s:s,s:s,s:{s:s}}}},s:{s:{s:s,s:{s:s}}}}}", "auth", "identity",
                  "methods", "password", "password", "user", "name", cfg->keystone_username,
                  "password", cfg->keystone_password, "domain", "name",
                  cfg->keystone_user_domain_name, "scope", "project", "name",
                  cfg->keystone_project_name, "domain", "name", cfg->keystone_project_domain_name);
    return j ? json_dumps(j, JSON_COMPACT) : NULL;
}

char *keystone_subject_token(const struct http_answer *a)
{
    static const char name[] = "x-subject-token: ";
    for (const char *line = a->headers; line && *line;) {
        size_t len = strcspn(line, "\n");
        if (str_starts(line, name))
            return strndup(line + strlen(name), len - strlen(name));
        line += len + (line[len] == '\n');
    }
    return NULL;
}

/* Under the lock. */
static int keep(struct keystone_client *c, const struct http_answer *a, struct err *e)
{
    struct identity *self = NULL;
    if (a->status == CODE_UNAUTHORIZED)
        return err_set(e, ERR_UNAVAILABLE, "Keystone refuses keystone.username %s or its password",
                       c->cfg->keystone_username);
    if (a->status != CODE_CREATED)
        return bad_answer("the service user's login", a->status, e);
    int rc = identity_parse(a->body, a->len, &self, e);
    char *token = rc == 0 ? keystone_subject_token(a) : NULL;
    if (rc == 0 && !token)
        rc = err_set(e, ERR_PROTOCOL, "Keystone's answer to a login has no X-Subject-Token");
    if (rc == 0) {
        int64_t left_us = self->expires_us - clock_wall_us();
        int64_t early_us = INT64_C(1000000) * RENEW_BEFORE_S;
        drop_text(&c->token);
        c->token = token;
        c->expires_us = self->expires_us;
        /* a short life is renewed at its half */
        c->renew_us = self->expires_us - (left_us / 2 < early_us ? left_us / 2 : early_us);
    }
    identity_unref(self);
    if (rc < 0 && rc != ERR_NOMEM)
        e->code = rc = ERR_UNAVAILABLE;
    return rc;
}

/* Under the lock. */
static int renew(struct keystone_client *c, struct err *e)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Accept: application/json", NULL};
    if (clock_mono_ms() < c->pause_until_ms) {
        *e = c->last;
        return e->code;
    }
    struct http_answer a = {0};
    char *body = login_body(c->cfg);
    int rc =
        body ? keystone_client_exchange(c, "POST", TOKENS, headers, body, &a, e) : err_nomem(e);
    drop_text(&body);
    if (rc == 0)
        rc = keep(c, &a, e);
    http_answer_done(&a);
    if (rc < 0) {
        c->pause_until_ms = clock_mono_ms() + PAUSE_MS;
        c->last = *e;
    }
    return rc;
}

/* stale: the token that Keystone has just refused, or NULL. Caller wipes and frees *ret. */
static int service_token(struct keystone_client *c, const char *stale, char **ret, struct err *e)
{
    struct err why = ERR_INIT;
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    if (stale && c->token && strcmp(stale, c->token) == 0)
        drop_text(&c->token);
    if (!c->token || clock_wall_us() >= c->renew_us)
        rc = renew(c, &why);
    if (rc < 0 && c->token && clock_wall_us() < c->expires_us)
        rc = 0; /* the old one still does */
    if (rc == 0) {
        *ret = strdup(c->token);
        rc = *ret ? 0 : err_nomem(&why);
    }
    pthread_mutex_unlock(&c->lock);
    if (rc < 0)
        *e = why;
    return rc;
}

/* ---- the question ---- */

struct question {
    const char *path;
    const char *token; /* that it is about; NULL = none */
};

static int ask(struct keystone_client *c, const char *service, const struct question *q,
               struct http_answer *ret, struct err *e)
{
    char *mine = str_fmt("X-Auth-Token: %s", service);
    char *theirs = q->token ? str_fmt("X-Subject-Token: %s", q->token) : NULL;
    const char *const headers[] = {mine, "Accept: application/json", theirs, NULL};
    int rc = mine && (theirs || !q->token)
                 ? keystone_client_exchange(c, "GET", q->path, headers, NULL, ret, e)
                 : err_nomem(e);
    drop_text(&mine);
    drop_text(&theirs);
    return rc;
}

static int ask_as_service(struct keystone_client *c, const struct question *q,
                          struct http_answer *ret, struct err *e)
{
    char *service = NULL, *fresh = NULL;
    int rc = service_token(c, NULL, &service, e);
    if (rc == 0)
        rc = ask(c, service, q, ret, e);
    if (rc == 0 && ret->status == CODE_UNAUTHORIZED) { /* our own token was revoked */
        http_answer_done(ret);
        rc = service_token(c, service, &fresh, e);
        if (rc == 0)
            rc = ask(c, fresh, q, ret, e);
    }
    drop_text(&service);
    drop_text(&fresh);
    return rc;
}

static int read_answer(const struct http_answer *a, struct identity **ret, struct err *e)
{
    if (a->status == CODE_NOT_FOUND)
        return auth_unknown(e);
    if (a->status != CODE_OK)
        return bad_answer("the validation of a token", a->status, e);
    int rc = identity_parse(a->body, a->len, ret, e);
    if (rc == ERR_PROTOCOL)
        e->code = rc = ERR_UNAVAILABLE;
    if (rc == 0 && (*ret)->expires_us <= clock_wall_us()) {
        identity_unref(TAKE_PTR(*ret));
        return auth_unknown(e);
    }
    return rc;
}

int keystone_client_validate(struct keystone_client *c, const char *token, struct identity **ret,
                             struct err *e)
{
    const struct question q = {TOKENS, token};
    struct http_answer a = {0};
    int rc = ask_as_service(c, &q, &a, e);
    if (rc == 0)
        rc = read_answer(&a, ret, e);
    http_answer_done(&a);
    return rc;
}

static int no_such_project(const char *id, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "The project_id %s could not be found.", id);
}

int keystone_client_project(struct keystone_client *c, const char *id, struct err *e)
{
    _cleanup_str_ struct str path = STR_INIT;
    struct http_answer a = {0};
    if (!id[strspn(id, ".")]) /* as part of a path, dots would mean another question */
        return no_such_project(id, e);
    str_append(&path, "/projects/");
    http_escape(&path, id);
    const struct question q = {str_text(&path), NULL};
    int rc = path.oom ? err_nomem(e) : ask_as_service(c, &q, &a, e);
    if (rc == 0 && a.status == CODE_NOT_FOUND)
        rc = no_such_project(id, e);
    else if (rc == 0 && a.status == CODE_FORBIDDEN)
        log_warn("auth.project", "Keystone does not let keystone.username %s look at projects",
                 c->cfg->keystone_username);
    else if (rc == 0 && a.status != CODE_OK)
        rc = bad_answer("the question for a project", a.status, e);
    http_answer_done(&a);
    return rc;
}
