/* A trustee user and a trust in Keystone per cluster (conductor.md 6): made in the first stage of a
 * create with the token of who asked, removed in the last of a delete.
 *
 * Both stages may be cut off anywhere and repeated. The trustee's name is derived from the cluster;
 * its password is sealed in the row before the user is made, so that whoever makes it uses the same
 * one. A trust has no name: it is known by its trustee, and a second one that a lost answer left
 * behind goes away at the next look, or with the trustee, whose trusts Keystone removes itself.
 * Neighbours: auth/login.h, db/db_trust.h, trust_tokens.c (who uses the trust). */
#include "conductor/trust_internal.h"

#include "base/jsonx.h"
#include "base/log.h"
#include "db/db_cluster.h"
#include "db/db_trust.h"

#include <string.h>
#include <sys/random.h>

static const struct db_scope all_rows = {.all_projects = true, .admin = true};

enum { OK = 200, CREATED = 201, NO_CONTENT = 204, UNAUTHORIZED = 401, FORBIDDEN = 403 };
enum { NOT_FOUND = 404, CONFLICT = 409, TOO_MANY = 429, SERVER_ERROR = 500 };
enum { PASSWORD_LEN = 32, CONTEXT_LEN = 64 };

/* ---- start and end ---- */
static bool has_domain(const struct config *cfg)
{
    return !str_blank(cfg->trust_trustee_domain_id) || !str_blank(cfg->trust_trustee_domain_name);
}

static int check_config(const struct config *cfg, struct err *e)
{
    if (str_blank(cfg->trust_trustee_domain_admin_id) &&
        str_blank(cfg->trust_trustee_domain_admin_name))
        return err_set(e, ERR_CONFIG,
                       "trust.trustee_domain_admin_name is not set: somebody has to make the "
                       "trustee users in the trustee domain");
    if (str_blank(cfg->trust_trustee_domain_admin_password))
        return err_set(e, ERR_CONFIG, "trust.trustee_domain_admin_password is not set");
    return 0;
}

int trusts_new(struct conductor *c, struct err *e)
{
    const struct config *cfg = c->cfg;
    if (!str_eq(cfg->auth_strategy, "keystone"))
        return 0;
    struct trusts *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(e);
    t->cfg = cfg;
    c->trusts = t;
    c->makes_trusts = has_domain(cfg);
    if (!c->makes_trusts)
        log_info("trust", "trust.trustee_domain_id is not set: clusters get no trust");
    int rc = c->makes_trusts ? check_config(cfg, e) : 0;
    if (rc == 0)
        rc = login_service_new(cfg, &t->login, e);
    return rc ? rc : token_store_new((size_t)cfg->trust_tokens_kept, &t->tokens, e);
}

void trusts_free(struct conductor *c)
{
    struct trusts *t = TAKE_PTR(c->trusts);
    if (!t)
        return;
    token_store_free(&t->tokens);
    login_service_free(&t->login);
    free(t);
}

/* ---- what is sealed ---- */
static void password_context(const struct cluster *cl, char ret[CONTEXT_LEN])
{
    (void)snprintf(ret, CONTEXT_LEN, "trustee/%s", cl->uuid);
}

static void token_context(const char *operation_id, char ret[CONTEXT_LEN])
{
    (void)snprintf(ret, CONTEXT_LEN, "token/%s", operation_id);
}

int trust_password(struct conductor *c, const struct cluster *cl, struct secret *ret, struct err *e)
{
    char context[CONTEXT_LEN];
    if (str_blank(cl->trustee_password))
        return err_set(e, ERR_UNAUTHORIZED, "cluster %s has no trustee", cl->uuid);
    password_context(cl, context);
    int rc = conductor_unseal(c, context, cl->trustee_password, ret, e);
    return rc ? err_wrap(e, "trustee of cluster %s", cl->uuid) : 0;
}

int trust_seal_token(struct conductor *c, const char *operation_id, const char *token, char **ret,
                     struct err *e)
{
    char context[CONTEXT_LEN];
    token_context(operation_id, context);
    return conductor_seal(c, context, token, strlen(token), ret, e);
}

int trust_user_token(struct conductor *c, const struct operation *op, struct secret *ret,
                     struct err *e)
{
    char context[CONTEXT_LEN];
    if (str_blank(op->token_sealed))
        return err_set(e, ERR_UNAUTHORIZED, "the operation has no token of its user");
    token_context(op->id, context);
    int rc = conductor_unseal(c, context, op->token_sealed, ret, e);
    return rc ? err_wrap(e, "token of operation %s", op->id) : 0;
}

/* At least one of each group; characters that look alike are left out. */
static int make_password(char ret[PASSWORD_LEN + 1], struct err *e)
{
    static const char *const groups[] = {"23456789", "ABCDEFGHJKLMNPQRSTUVWXYZ",
                                         "abcdefghijkmnopqrstuvwxyz"};
    unsigned char noise[2 * PASSWORD_LEN];
    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        return err_set(e, ERR_INTERNAL, "no random numbers");
    for (size_t i = 0; i < PASSWORD_LEN; i++) {
        const char *group = groups[i < ARRAY_LEN(groups) ? i : noise[2 * i] % ARRAY_LEN(groups)];
        ret[i] = group[noise[2 * i + 1] % strlen(group)];
    }
    ret[PASSWORD_LEN] = '\0';
    secret_wipe(noise, sizeof noise);
    return 0;
}

static int seal_password(struct conductor *c, const struct cluster *cl, const char *password,
                         char **ret, struct err *e)
{
    char context[CONTEXT_LEN];
    password_context(cl, context);
    return conductor_seal(c, context, password, strlen(password), ret, e);
}

/* ---- requests ---- */
static int status_error(int status)
{
    if (status == FORBIDDEN || status == UNAUTHORIZED)
        return ERR_FORBIDDEN;
    if (status == NOT_FOUND)
        return ERR_NOT_FOUND;
    if (status == CONFLICT)
        return ERR_EXISTS;
    return status >= SERVER_ERROR || status == TOO_MANY ? ERR_UNAVAILABLE : ERR_INVALID;
}

static struct login_as domain_admin(const struct config *cfg)
{
    bool own_domain = !str_blank(cfg->trust_trustee_domain_admin_domain_id) ||
                      !str_blank(cfg->trust_trustee_domain_admin_domain_name);
    return (struct login_as){
        .user_id = cfg->trust_trustee_domain_admin_id,
        .user_name = cfg->trust_trustee_domain_admin_name,
        .user_domain_id =
            own_domain ? cfg->trust_trustee_domain_admin_domain_id : cfg->trust_trustee_domain_id,
        .user_domain_name = own_domain ? cfg->trust_trustee_domain_admin_domain_name
                                       : cfg->trust_trustee_domain_name,
        .password = cfg->trust_trustee_domain_admin_password,
        .domain_id = cfg->trust_trustee_domain_id,
        .domain_name = cfg->trust_trustee_domain_name};
}

static int admin_ticket(struct trusts *t, const char *stale, struct ticket *ret, struct err *e)
{
    const struct login_as as = domain_admin(t->cfg);
    int rc = tokens_get(t, "trustee domain admin", &as, stale, NULL, ret, e);
    if (rc == ERR_UNAUTHORIZED)
        e->code = rc = ERR_FORBIDDEN; /* ours, not the user's */
    return rc ? err_wrap(e, "trust.trustee_domain_admin") : 0;
}

/* One request of the trustee domain's admin; a token that was revoked is replaced once. */
static int as_admin(struct trusts *t, const char *method, const char *path, const json_t *body,
                    int *ret_status, json_t **ret, struct err *e)
{
    struct ticket k = {0}, fresh = {0};
    int rc = admin_ticket(t, NULL, &k, e);
    if (rc == 0)
        rc = login_request(t->login, k.token, method, path, body, ret_status, ret, e);
    if (rc == 0 && *ret_status == UNAUTHORIZED) {
        rc = admin_ticket(t, k.token, &fresh, e);
        if (rc == 0 && ret) {
            json_decref(*ret);
            *ret = NULL;
        }
        if (rc == 0)
            rc = login_request(t->login, fresh.token, method, path, body, ret_status, ret, e);
    }
    ticket_done(&k);
    ticket_done(&fresh);
    return rc;
}

/* ---- the trustee ---- */
static int domain_id(struct trusts *t, char **ret, struct err *e)
{
    struct ticket k = {0};
    int rc = admin_ticket(t, NULL, &k, e);
    if (rc)
        return rc;
    *ret = TAKE_PTR(k.domain_id);
    ticket_done(&k);
    return *ret ? 0 : err_set(e, ERR_FORBIDDEN, "the trustee domain's token has no domain");
}

static char *trustee_name(const struct cluster *cl)
{
    return str_fmt("%s_%s", cl->uuid, cl->project_id ? cl->project_id : "");
}

/* *ret_id stays NULL when there is none. The name needs no encoding: it is made of ids. */
static int find_trustee(struct trusts *t, const char *domain, const char *name, char **ret_id,
                        struct err *e)
{
    _cleanup_free_ char *path = str_fmt("/users?domain_id=%s&name=%s", domain, name);
    _cleanup_json_ json_t *doc = NULL;
    int status = 0;
    int rc = path ? as_admin(t, "GET", path, NULL, &status, &doc, e) : err_nomem(e);
    if (rc)
        return rc;
    if (status != OK)
        return login_refused(status_error(status), status, doc, "look for the trustee", e);
    const char *id = jsonx_str(json_array_get(json_object_get(doc, "users"), 0), "id");
    *ret_id = str_dup(id);
    return id && !*ret_id ? err_nomem(e) : 0;
}

static int post_trustee(struct trusts *t, const char *domain, const char *name,
                        const struct secret *password, char **ret_id, struct err *e)
{
    _cleanup_json_ json_t *body = json_pack(
        "{s:{s:s,s:s,s:s,s:s,s:{s:b,s:b}}}", "user", "name", name, "domain_id", domain, "password",
        password->data, "description", "Trustee of a cluster of Magnum", "options",
        "ignore_password_expiry", 1, "ignore_change_password_upon_first_use", 1);
    _cleanup_json_ json_t *doc = NULL;
    int status = 0;
    int rc = body ? as_admin(t, "POST", "/users", body, &status, &doc, e) : err_nomem(e);
    if (rc)
        return rc;
    if (status == CONFLICT) /* an earlier request of ours got through after all */
        return find_trustee(t, domain, name, ret_id, e);
    const char *id = jsonx_str(json_object_get(doc, "user"), "id");
    if (status != CREATED || !id)
        return login_refused(status_error(status), status, doc, "create the trustee", e);
    *ret_id = str_dup(id);
    return *ret_id ? 0 : err_nomem(e);
}

static int make_trustee(struct conductor *c, const char *name, const struct secret *password,
                        char **ret_id, struct err *e)
{
    _cleanup_free_ char *domain = NULL;
    int rc = domain_id(c->trusts, &domain, e);
    if (rc == 0)
        rc = find_trustee(c->trusts, domain, name, ret_id, e);
    if (rc == 0 && !*ret_id)
        rc = post_trustee(c->trusts, domain, name, password, ret_id, e);
    if (rc == 0 && !*ret_id)
        rc = err_set(e, ERR_UNAVAILABLE, "the trustee exists and is not found");
    if (rc == ERR_NOT_FOUND || rc == ERR_EXISTS)
        e->code = rc = ERR_FORBIDDEN;
    return rc ? err_wrap(e, "Failed to create trustee %s in domain %s", name, domain ? domain : "?")
              : 0;
}

/* ---- the trust ---- */
static int list_trusts(struct trusts *t, const char *token, const char *by, const char *user,
                       json_t **ret, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("/OS-TRUST/trusts?%s=%s", by, user);
    int status = 0;
    int rc =
        path ? login_request(t->login, token, "GET", path, NULL, &status, ret, e) : err_nomem(e);
    if (rc == 0 && status != OK)
        rc = login_refused(status_error(status), status, *ret, "list trusts", e);
    return rc;
}

/* ERR_UNAVAILABLE: again; every other refusal is final for this token. */
static int delete_trust(struct trusts *t, const char *token, const char *id, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("/OS-TRUST/trusts/%s", id);
    _cleanup_json_ json_t *doc = NULL;
    int status = 0;
    int rc = path ? login_request(t->login, token, "DELETE", path, NULL, &status, &doc, e)
                  : err_nomem(e);
    if (rc || status == NO_CONTENT || status == NOT_FOUND)
        return rc;
    return login_refused(status_error(status), status, doc, "delete the trust", e);
}

/* The trust to this trustee, when there is one; of several, the first by id stays. */
static int find_trust(struct trusts *t, const struct login *user, const char *trustee, char **ret,
                      struct err *e)
{
    _cleanup_json_ json_t *doc = NULL;
    const char *kept = NULL;
    size_t i;
    json_t *trust;
    int rc = list_trusts(t, user->token, "trustor_user_id", user->user_id, &doc, e);
    if (rc)
        return rc;
    const json_t *list = json_object_get(doc, "trusts");
    json_array_foreach(list, i, trust)
    {
        const char *id = jsonx_str(trust, "id");
        if (id && str_eq(jsonx_str(trust, "trustee_user_id"), trustee) &&
            (!kept || strcmp(id, kept) < 0))
            kept = id;
    }
    json_array_foreach(list, i, trust)
    {
        const char *id = jsonx_str(trust, "id");
        if (rc == 0 && id && id != kept && str_eq(jsonx_str(trust, "trustee_user_id"), trustee))
            rc = delete_trust(t, user->token, id, e);
    }
    *ret = rc ? NULL : str_dup(kept);
    return rc == 0 && kept && !*ret ? err_nomem(e) : rc;
}

static json_t *trust_body(const struct config *cfg, const struct login *user, const char *trustee)
{
    const struct strv *names = cfg->trust_roles.n ? &cfg->trust_roles : &user->roles;
    _cleanup_json_ json_t *roles = json_array();
    for (size_t i = 0; i < names->n; i++)
        if (json_array_append_new(roles, json_pack("{s:s}", "name", names->v[i])))
            return NULL;
    return json_pack("{s:{s:s,s:s,s:s,s:b,s:O,s:b,s:n}}", "trust", "trustor_user_id", user->user_id,
                     "trustee_user_id", trustee, "project_id",
                     user->project_id ? user->project_id : "", "impersonation", 1, "roles", roles,
                     "allow_redelegation", (int)cfg->trust_allow_redelegation, "expires_at");
}

static int post_trust(struct trusts *t, const struct login *user, const char *trustee, char **ret,
                      struct err *e)
{
    _cleanup_json_ json_t *body = trust_body(t->cfg, user, trustee), *doc = NULL;
    int status = 0;
    int rc = body ? login_request(t->login, user->token, "POST", "/OS-TRUST/trusts", body, &status,
                                  &doc, e)
                  : err_nomem(e);
    if (rc)
        return rc;
    const char *id = jsonx_str(json_object_get(doc, "trust"), "id");
    if (status != CREATED || !id) {
        rc = status_error(status); /* a role that is unknown is 404 here */
        return login_refused(rc == ERR_NOT_FOUND ? ERR_INVALID : rc, status, doc,
                             "create the trust", e);
    }
    *ret = str_dup(id);
    return *ret ? 0 : err_nomem(e);
}

static int make_trust(struct conductor *c, const struct login *user, const char *trustee,
                      char **ret, struct err *e)
{
    int rc = find_trust(c->trusts, user, trustee, ret, e);
    if (rc == 0 && !*ret)
        rc = post_trust(c->trusts, user, trustee, ret, e);
    return rc ? err_wrap(e, "Failed to create trust for trustee %s.", trustee) : 0;
}

/* ---- stage "trust" ---- */
/* The password of the trustee to be: of an earlier try, or a new one that is in the row before
 * anybody gets it. */
static int intend(struct run *r, const struct cluster *cl, const char *name, struct secret *ret,
                  struct err *e)
{
    struct conductor *c = r->c;
    char password[PASSWORD_LEN + 1];
    _cleanup_free_ char *sealed = NULL;
    if (!str_blank(cl->trustee_password))
        return trust_password(c, cl, ret, e);
    int rc = make_password(password, e);
    if (rc == 0)
        rc = seal_password(c, cl, password, &sealed, e);
    if (rc == 0)
        rc = db_trust_intend(c->db, &r->guard, name, sealed, e);
    if (rc == 0 && secret_set(ret, password, PASSWORD_LEN))
        rc = err_nomem(e);
    secret_wipe(password, sizeof password);
    return rc;
}

static int user_login(struct run *r, struct login *ret, struct err *e)
{
    struct secret token = SECRET_INIT;
    int rc = trust_user_token(r->c, &r->op, &token, e);
    if (rc == 0)
        rc = login_of_token(r->c->trusts->login, token.data, ret, e);
    secret_free(&token);
    return rc;
}

static int make_both(struct run *r, const struct cluster *cl, struct err *e)
{
    struct conductor *c = r->c;
    struct login user = {0};
    struct secret password = SECRET_INIT;
    _cleanup_free_ char *name = trustee_name(cl), *trustee = NULL, *trust = NULL;
    int rc = name ? user_login(r, &user, e) : err_nomem(e);
    if (rc == 0)
        rc = intend(r, cl, name, &password, e);
    if (rc == 0)
        rc = make_trustee(c, name, &password, &trustee, e);
    if (rc == 0)
        rc = make_trust(c, &user, trustee, &trust, e);
    if (rc == 0)
        rc = db_trust_made(c->db, &r->guard, trustee, trust, e);
    secret_free(&password);
    login_done(&user);
    return rc;
}

int trust_stage(struct run *r, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = db_cluster_get(r->c->db, &all_rows, r->op.cluster_id, &cl, e);
    if (rc == 0 && str_blank(cl.trust_id))
        rc = make_both(r, &cl, e);
    cluster_done(&cl);
    return rc;
}

/* ---- stage "trust_renew" ---- */
/* Keystone knows one password at a time: nodes that hold the former one can't log in until their
 * driver has brought them the new one, which is the next stage. */
static int renew(struct run *r, const struct cluster *cl, struct err *e)
{
    struct conductor *c = r->c;
    char password[PASSWORD_LEN + 1];
    _cleanup_free_ char *sealed = NULL, *path = str_fmt("/users/%s", cl->trustee_user_id);
    _cleanup_json_ json_t *body = NULL, *doc = NULL;
    int status = 0, rc = path ? make_password(password, e) : err_nomem(e);
    if (rc)
        return rc;
    rc = seal_password(c, cl, password, &sealed, e);
    if (rc == 0)
        rc = db_trust_intend(c->db, &r->guard, cl->trustee_username, sealed, e);
    if (rc == 0 && !(body = json_pack("{s:{s:s}}", "user", "password", password)))
        rc = err_nomem(e);
    if (rc == 0)
        rc = as_admin(c->trusts, "PATCH", path, body, &status, &doc, e);
    if (rc == 0 && status != OK)
        rc = login_refused(status_error(status), status, doc, "change the trustee's password", e);
    if (rc == 0 && !str_blank(cl->trust_id))
        tokens_forget(c->trusts, cl->trust_id);
    secret_wipe(password, sizeof password);
    return rc;
}

int trust_renew_stage(struct run *r, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = db_cluster_get(r->c->db, &all_rows, r->op.cluster_id, &cl, e);
    if (rc == 0 && !str_blank(cl.trustee_user_id))
        rc = renew(r, &cl, e);
    cluster_done(&cl);
    return rc;
}

/* ---- stage "trust_remove" ---- */
/* With a token of the trust itself the trustee acts as the trustor, who may delete it. */
static int delete_one(struct conductor *c, const struct login_as *trustee, const char *id,
                      struct err *e)
{
    struct login l = {0};
    struct login_as as = *trustee;
    as.trust_id = id;
    int rc = login_open(c->trusts->login, &as, &l, e);
    if (rc == 0)
        rc = delete_trust(c->trusts, l.token, id, e);
    login_done(&l);
    return rc;
}

static int delete_trusts(struct conductor *c, const struct cluster *cl, const char *trustee,
                         struct err *e)
{
    struct secret password = SECRET_INIT;
    struct login l = {0};
    _cleanup_json_ json_t *doc = NULL;
    size_t i;
    json_t *trust;
    int rc = trust_password(c, cl, &password, e);
    const struct login_as as = {.user_id = trustee, .password = password.data};
    if (rc == 0)
        rc = login_open(c->trusts->login, &as, &l, e);
    if (rc == 0)
        rc = list_trusts(c->trusts, l.token, "trustee_user_id", trustee, &doc, e);
    json_array_foreach(json_object_get(doc, "trusts"), i, trust)
    {
        const char *id = jsonx_str(trust, "id");
        if (rc == 0 && id)
            rc = delete_one(c, &as, id, e);
    }
    login_done(&l);
    secret_free(&password);
    return rc;
}

static int delete_trustee(struct conductor *c, const char *trustee, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("/users/%s", trustee);
    _cleanup_json_ json_t *doc = NULL;
    int status = 0;
    int rc = path ? as_admin(c->trusts, "DELETE", path, NULL, &status, &doc, e) : err_nomem(e);
    if (rc || status == NO_CONTENT || status == NOT_FOUND)
        return rc;
    return login_refused(status_error(status), status, doc, "delete the trustee", e);
}

static int remove_both(struct run *r, const struct cluster *cl, struct err *e)
{
    struct conductor *c = r->c;
    struct err why = ERR_INIT;
    _cleanup_free_ char *domain = NULL, *trustee = NULL;
    int rc = domain_id(c->trusts, &domain, e);
    if (rc == 0)
        rc = find_trustee(c->trusts, domain, cl->trustee_username, &trustee, e);
    if (rc == 0 && trustee) {
        /* user or project may be gone, and the trust with them; whatever stays behind Keystone
         * removes together with the trustee */
        if (delete_trusts(c, cl, trustee, &why))
            log_info("trust.delete", "%s; ignoring: it goes with its trustee", why.msg);
        rc = delete_trustee(c, trustee, e);
    }
    if (!str_blank(cl->trust_id))
        tokens_forget(c->trusts, cl->trust_id);
    return rc ? rc : db_trust_gone(c->db, &r->guard, e);
}

int trust_remove_stage(struct run *r, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = db_cluster_get(r->c->db, &all_rows, r->op.cluster_id, &cl, e);
    if (rc == 0 && !str_blank(cl.trustee_username)) /* the name is there before the user is */
        rc = remove_both(r, &cl, e);
    cluster_done(&cl);
    return rc ? err_wrap(e, "Failed to remove the trustee of cluster %s", r->op.cluster_id) : 0;
}
