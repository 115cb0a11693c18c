/* Who may do what: the rules in force and their file, for a caller and the object of a request. A
 * new file replaces the rules as a whole; one that is wrong leaves them as they were.
 * Neighbours: auth_internal.h, policy_rules.h. */
#include "auth/auth_internal.h"
#include "auth/policy_rules.h"
#include "base/log.h"
#include "config/config.h"
#include "config/yaml.h"

#include <pthread.h>
#include <string.h>

enum { POLICY_FILE_MAX = 1024 * 1024 };
#define POLICY_FILE_DEFAULT "/etc/magnum/policy.yaml"

struct policy {
    struct policy_options options;
    struct policy_trustees trustees;
    char *path;            /* as configured; "" = the default one when it exists */
    pthread_rwlock_t lock; /* rules */
    struct policy_rules *rules;
};

struct policy_fresh {
    char *path;
    struct policy_rules *rules;
};

/* The file to read, or NULL. */
static const char *file_of(const char *path)
{
    if (*path)
        return path;
    return access(POLICY_FILE_DEFAULT, F_OK) == 0 ? POLICY_FILE_DEFAULT : NULL;
}

static int load(const struct policy *p, const char *configured, struct policy_rules **ret,
                struct err *e)
{
    const char *path = file_of(configured);
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
    p->trustees.domain_id = strdup(cfg->trust_trustee_domain_id);
    p->trustees.domain_name = strdup(cfg->trust_trustee_domain_name);
    int rc = p->path && p->trustees.domain_id && p->trustees.domain_name
                 ? load(p, p->path, &p->rules, e)
                 : err_nomem(e);
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
    free(p->trustees.domain_id);
    free(p->trustees.domain_name);
    free(p);
}

int policy_read(const struct policy *p, const char *path, struct policy_fresh **ret, struct err *e)
{
    struct policy_fresh *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(e);
    f->path = strdup(path ? path : p->path);
    int rc = f->path ? load(p, f->path, &f->rules, e) : err_nomem(e);
    if (rc < 0)
        policy_fresh_free(&f);
    *ret = f;
    return rc;
}

void policy_take(struct policy *p, struct policy_fresh **fresh)
{
    struct policy_fresh *f = *fresh;
    pthread_rwlock_wrlock(&p->lock);
    struct policy_rules *old = p->rules;
    p->rules = f->rules;
    pthread_rwlock_unlock(&p->lock);
    f->rules = old;
    free(p->path);
    p->path = TAKE_PTR(f->path);
    policy_fresh_free(fresh);
}

void policy_fresh_free(struct policy_fresh **fresh)
{
    struct policy_fresh *f = *fresh;
    *fresh = NULL;
    if (!f)
        return;
    policy_rules_free(f->rules);
    free(f->path);
    free(f);
}

bool policy_allows(struct policy *p, const struct auth_context *c, const char *rule,
                   const struct auth_target *target)
{
    const struct policy_case about = {c, target, &p->trustees};
    pthread_rwlock_rdlock(&p->lock);
    bool yes = policy_rules_hold_for(p->rules, rule, &policy_context_facts, &about);
    pthread_rwlock_unlock(&p->lock);
    return yes;
}
