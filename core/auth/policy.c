/* Who may do what: the rules in force and their file, for a caller and the object of a request. A
 * new file replaces the rules as a whole; one that is wrong leaves them as they were.
 * Neighbours: auth_internal.h, policy_rules.h. */
#include "auth/auth_internal.h"
#include "auth/policy_rules.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "config/config.h"
#include "config/yaml.h"

#include <pthread.h>
#include <string.h>

enum { POLICY_FILE_MAX = 1024 * 1024 };
#define POLICY_FILE_DEFAULT "/etc/magnum/policy.yaml"

struct policy {
    struct policy_options options;
    char *path;            /* as configured; "" = the default one when it exists */
    pthread_rwlock_t lock; /* rules */
    struct policy_rules *rules;
};

/* The file to read, or NULL. */
static const char *file_of(const struct policy *p)
{
    if (*p->path)
        return p->path;
    return access(POLICY_FILE_DEFAULT, F_OK) == 0 ? POLICY_FILE_DEFAULT : NULL;
}

static int load(const struct policy *p, struct policy_rules **ret, struct err *e)
{
    const char *path = file_of(p);
    _cleanup_json_ json_t *file = NULL;
    int rc = path ? yaml_load_file(path, POLICY_FILE_MAX, &file, e) : 0;
    if (rc < 0) {
        rc = e->code == ERR_NOMEM ? rc : ERR_CONFIG;
        e->code = rc;
        return err_wrap(e, "policy.file");
    }
    if (json_is_null(file)) { /* only comments */
        json_decref(TAKE_PTR(file));
        path = NULL;
    }
    rc = policy_rules_new(&p->options, path, file, ret, e);
    if (rc < 0)
        return err_wrap(e, "policy.file");
    const char *missing = policy_rules_missing(*ret);
    if (missing)
        log_warn("policy.missing", "%s refers to rule %s, which does not exist and never holds",
                 path ? path : "the policy", missing);
    return 0;
}

int policy_new(const struct config *cfg, struct policy **ret, struct err *e)
{
    struct policy *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(e);
    pthread_rwlock_init(&p->lock, NULL);
    p->options = (struct policy_options){.zed = strcmp(cfg->api_compat, "zed") == 0,
                                         .new_defaults = cfg->policy_enforce_new_defaults,
                                         .enforce_scope = cfg->policy_enforce_scope};
    p->path = strdup(cfg->policy_file);
    int rc = p->path ? load(p, &p->rules, e) : err_nomem(e);
    if (rc < 0) {
        policy_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void policy_free(struct policy *p)
{
    if (!p)
        return;
    policy_rules_free(p->rules);
    pthread_rwlock_destroy(&p->lock);
    free(p->path);
    free(p);
}

int policy_reload(struct policy *p, struct err *e)
{
    struct policy_rules *fresh = NULL, *old;
    int rc = load(p, &fresh, e);
    if (rc < 0)
        return rc;
    pthread_rwlock_wrlock(&p->lock);
    old = p->rules;
    p->rules = fresh;
    pthread_rwlock_unlock(&p->lock);
    policy_rules_free(old);
    return 0;
}

/* What is not known is left out, so that nothing unknown can equal anything. */
static bool set(json_t *o, const char *key, const char *value)
{
    return !value || json_object_set_new(o, key, json_string(value)) == 0;
}

static json_t *roles_of(const struct auth_context *c)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < c->roles.n; i++)
        if (json_array_append_new(list, json_string(c->roles.v[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *creds_of(const struct auth_context *c)
{
    json_t *o = json_object();
    bool ok = o && set(o, "user_id", c->user_id) && set(o, "user_name", c->user_name) &&
              set(o, "project_id", c->project_id) && set(o, "project_name", c->project_name) &&
              set(o, "domain_id", c->domain_id) && set(o, "domain_name", c->domain_name) &&
              set(o, "user_domain_id", c->domain_id) &&
              set(o, "user_domain_name", c->domain_name) &&
              set(o, "project_domain_id", c->project_domain_id) &&
              set(o, "scope_domain_id", c->scope_domain_id) && set(o, "trust_id", c->trust_id) &&
              set(o, "system_scope", c->system_scope ? "all" : NULL) &&
              json_object_set_new(o, "is_admin", json_boolean(c->is_admin)) == 0 &&
              json_object_set_new(o, "roles", roles_of(c)) == 0;
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

bool policy_allows(struct policy *p, const struct auth_context *c, const char *rule,
                   const char *project, const char *user)
{
    _cleanup_json_ json_t *creds = creds_of(c), *target = json_object();
    if (!creds || !target || !set(target, "project_id", project) || !set(target, "user_id", user))
        return false; /* without memory nobody may anything */
    pthread_rwlock_rdlock(&p->lock);
    bool yes = policy_rules_hold(p->rules, rule, target, creds);
    pthread_rwlock_unlock(&p->lock);
    return yes;
}
