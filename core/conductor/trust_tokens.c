/* Tokens of the service user, of the trustee domain's admin and of trustees, remembered until they
 * end; and who a driver's call of another service is made for. See conductor_internal.h.
 *
 * Logins are made outside of the lock: two threads that both miss a token both log in, which costs
 * one request. Neighbours: auth/login.h, trust.c, broker.c. */
#include "conductor/trust_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "db/db_cluster.h"

#include <string.h>

enum { RENEW_BEFORE_S = 120, SECOND_US = 1000000 };

struct kept {
    char *key; /* owned */
    struct login login;
    int64_t renew_us, used_ms;
};
struct token_store {
    pthread_mutex_t lock;
    struct kept *v;
    size_t n, max;
};

static void kept_done(struct kept *k)
{
    free(k->key);
    login_done(&k->login);
    *k = (struct kept){0};
}

int token_store_new(size_t max, struct token_store **ret, struct err *e)
{
    struct token_store *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(e);
    s->v = calloc(max, sizeof *s->v);
    s->max = max;
    if (!s->v || pthread_mutex_init(&s->lock, NULL)) {
        free(s->v);
        free(s);
        return err_nomem(e);
    }
    *ret = s;
    return 0;
}

void token_store_free(struct token_store **store)
{
    struct token_store *s = TAKE_PTR(*store);
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        kept_done(&s->v[i]);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->v);
    free(s);
}

void ticket_done(struct ticket *t)
{
    if (t->token)
        secret_wipe(t->token, strlen(t->token));
    free(t->token);
    free(t->url);
    free(t->domain_id);
    *t = (struct ticket){0};
}

/* ---- the store ---- */
static struct kept *find(struct token_store *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].key, key) == 0)
            return &s->v[i];
    return NULL;
}

static void drop(struct token_store *s, struct kept *k)
{
    kept_done(k);
    *k = s->v[--s->n];
    s->v[s->n] = (struct kept){0};
}

/* Takes *login. Without memory it is just not remembered. */
static void keep(struct token_store *s, const char *key, struct login *login)
{
    struct kept *k = find(s, key);
    if (k)
        drop(s, k);
    if (s->n == s->max) {
        struct kept *oldest = &s->v[0];
        for (size_t i = 1; i < s->n; i++)
            if (s->v[i].used_ms < oldest->used_ms)
                oldest = &s->v[i];
        drop(s, oldest);
    }
    int64_t left_us = login->expires_us - clock_wall_us();
    int64_t early_us = INT64_C(1) * RENEW_BEFORE_S * SECOND_US;
    struct kept fresh = {.key = str_dup(key),
                         .login = *login,
                         .renew_us =
                             login->expires_us - (left_us / 2 < early_us ? left_us / 2 : early_us),
                         .used_ms = clock_mono_ms()};
    *login = (struct login){0};
    if (fresh.key)
        s->v[s->n++] = fresh;
    else
        kept_done(&fresh);
}

static int issue(const struct trusts *t, const struct login *l, const char *service,
                 struct ticket *ret, struct err *e)
{
    const struct config *cfg = t->cfg;
    struct ticket k = {.token = str_dup(l->token), .domain_id = str_dup(l->domain_id)};
    int rc = k.token ? 0 : err_nomem(e);
    if (rc == 0 && service) {
        k.url = login_endpoint(l, service, cfg->trust_trustee_keystone_interface,
                               cfg->trust_trustee_keystone_region_name);
        if (!k.url)
            rc = err_set(e, ERR_NOT_FOUND, "the catalog has no %s endpoint of service \"%.64s\"",
                         cfg->trust_trustee_keystone_interface, service);
    }
    if (rc)
        ticket_done(&k);
    else
        *ret = k;
    return rc;
}

/* False: none is kept that can be used. A token that was refused is forgotten. */
static bool remembered(struct trusts *t, const char *key, const char *stale, const char *service,
                       struct ticket *ret, int *ret_rc, struct err *e)
{
    struct token_store *s = t->tokens;
    bool found = false;
    pthread_mutex_lock(&s->lock);
    struct kept *k = find(s, key);
    if (k && ((stale && strcmp(stale, k->login.token) == 0) || clock_wall_us() >= k->renew_us)) {
        drop(s, k);
        k = NULL;
    }
    if (k) {
        k->used_ms = clock_mono_ms();
        *ret_rc = issue(t, &k->login, service, ret, e);
        found = true;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

int tokens_get(struct trusts *t, const char *key, const struct login_as *as, const char *stale,
               const char *service, struct ticket *ret, struct err *e)
{
    struct login l = {0};
    int rc = 0;
    if (remembered(t, key, stale, service, ret, &rc, e))
        return rc;
    rc = login_open(t->login, as, &l, e);
    if (rc)
        return rc;
    rc = issue(t, &l, service, ret, e);
    pthread_mutex_lock(&t->tokens->lock);
    keep(t->tokens, key, &l);
    pthread_mutex_unlock(&t->tokens->lock);
    return rc;
}

void tokens_forget(struct trusts *t, const char *key)
{
    pthread_mutex_lock(&t->tokens->lock);
    struct kept *k = find(t->tokens, key);
    if (k)
        drop(t->tokens, k);
    pthread_mutex_unlock(&t->tokens->lock);
}

/* ---- for whom a driver calls ---- */
static int of_trustee(struct conductor *c, const struct cluster *cl, const char *stale,
                      const char *service, struct ticket *ret, struct err *e)
{
    struct secret password = SECRET_INIT;
    int rc = trust_password(c, cl, &password, e);
    if (rc == 0) {
        const struct login_as as = {
            .user_id = cl->trustee_user_id, .password = password.data, .trust_id = cl->trust_id};
        rc = tokens_get(c->trusts, cl->trust_id, &as, stale, service, ret, e);
    }
    secret_free(&password);
    return rc ? err_wrap(e, "the trust of cluster %s", cl->uuid) : 0;
}

/* The token of who asked for this very operation, as long as it lives. */
static int of_user(struct conductor *c, const struct run *r, const char *stale, const char *service,
                   struct ticket *ret, struct err *e)
{
    struct secret token = SECRET_INIT;
    struct login l = {0};
    int rc = trust_user_token(c, &r->op, &token, e);
    if (rc == 0 && stale && strcmp(stale, token.data) == 0)
        rc = err_set(e, ERR_UNAUTHORIZED, "the token of who asked was refused");
    if (rc == 0)
        rc = login_of_token(c->trusts->login, token.data, &l, e);
    if (rc == 0)
        rc = issue(c->trusts, &l, service, ret, e);
    login_done(&l);
    secret_free(&token);
    return rc;
}

static int of_service(struct conductor *c, const char *stale, const char *service,
                      struct ticket *ret, struct err *e)
{
    const struct config *cfg = c->cfg;
    const struct login_as as = {.user_name = cfg->keystone_username,
                                .user_domain_name = cfg->keystone_user_domain_name,
                                .password = cfg->keystone_password,
                                .project_name = cfg->keystone_project_name,
                                .project_domain_name = cfg->keystone_project_domain_name};
    return tokens_get(c->trusts, "service", &as, stale, service, ret, e);
}

/* May somebody else's token be tried instead? */
static bool refused(int rc)
{
    return rc == ERR_UNAUTHORIZED || rc == ERR_FORBIDDEN;
}

int trust_ticket(struct conductor *c, const struct trust_site *s, const char *service,
                 const char *stale, struct ticket *ret, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = ERR_UNAUTHORIZED;
    if (!c->trusts)
        return err_set(e, ERR_UNSUPPORTED,
                       "service \"%.64s\" is found in Keystone's catalog, and Keystone is not "
                       "configured",
                       service);
    static const struct db_scope all = {.all_projects = true, .admin = true};
    rc = db_cluster_get(c->db, &all, s->cluster_id, &cl, e);
    if (rc == 0) {
        rc = str_blank(cl.trust_id)
                 ? err_set(e, ERR_UNAUTHORIZED, "cluster %s has no trust", cl.uuid)
                 : of_trustee(c, &cl, stale, service, ret, e);
        struct err other = ERR_INIT;
        if (refused(rc) && s->run && !str_blank(s->run->op.token_sealed) &&
            of_user(c, s->run, stale, service, ret, &other) == 0)
            rc = 0;
        if (refused(rc) && s->service_token)
            rc = of_service(c, stale, service, ret, e);
    }
    cluster_done(&cl);
    return rc;
}

struct http_tls *trust_tls(const struct conductor *c, bool *ret_insecure)
{
    return login_tls(c->trusts->login, ret_insecure);
}

/* ---- secrets of a driver ---- */
/* What nodes need to log in as the trustee. */
static int secret_of(struct call_ctx *x, const struct cluster *cl, const char *what,
                     struct secret *ret, struct err *e)
{
    const struct config *cfg = x->c->cfg;
    const char *text = NULL;
    if (!x->c->trusts || str_blank(cl->trustee_user_id))
        return err_set(e, ERR_NOT_FOUND, "cluster %s has no trustee", cl->uuid);
    if (strcmp(what, "password") == 0)
        return trust_password(x->c, cl, ret, e);
    if (strcmp(what, "user_id") == 0)
        text = cl->trustee_user_id;
    else if (strcmp(what, "user_name") == 0)
        text = cl->trustee_username;
    else if (strcmp(what, "trust_id") == 0)
        text = cfg->trust_cluster_user_trust && cl->trust_id ? cl->trust_id : "";
    if (!text)
        return err_set(e, ERR_INVALID, "there is no secret secret:trustee/%.64s", what);
    return secret_set(ret, text, strlen(text)) ? err_nomem(e) : 0;
}

int trust_secret(void *ctx, const char *handle, struct err *e, char **ret, size_t *len)
{
    static const char prefix[] = "secret:trustee/";
    struct call_ctx *x = ctx;
    const struct cluster *cl = NULL;
    struct secret s = SECRET_INIT;
    if (!str_starts(handle, prefix))
        return err_set(e, ERR_INVALID, "there is no secret of that name");
    int rc = call_cluster(x, &cl, e);
    if (rc == 0)
        rc = secret_of(x, cl, handle + strlen(prefix), &s, e);
    if (rc == 0) {
        log_info("secret.read", "%s reads %s", x->plugin->id, handle);
        *len = s.len;
        *ret = TAKE_PTR(s.data);
    }
    secret_free(&s);
    return rc;
}
