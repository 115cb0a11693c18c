/* See policy_rules.h: an array sorted by name. */
#include "auth/policy_rules.h"
#include "auth/policy_tree.h"
#include "base/str.h"

#include <stdint.h>
#include <string.h>

enum { REFERENCES_MAX = 32, NAME_MAX_LEN = 200 };

enum mark { UNSEEN, OPEN, DONE };

struct rule {
    char *name;
    struct policy_check *check;
    bool project; /* only with a token of a project */
    enum mark mark;
    unsigned height; /* references on the longest way down from here; when DONE */
};

struct policy_rules {
    struct rule *v;
    size_t n;
    char *missing;
};

void policy_rules_free(struct policy_rules *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++) {
        free(r->v[i].name);
        policy_check_free(r->v[i].check);
    }
    free(r->v);
    free(r->missing);
    free(r);
}

static void rules_freep(struct policy_rules **r)
{
    policy_rules_free(*r);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rule *)a)->name, ((const struct rule *)b)->name);
}

static struct rule *lookup(const struct policy_rules *r, const char *name)
{
    struct rule key = {.name = (char *)(uintptr_t)name};
    return r->n ? bsearch(&key, r->v, r->n, sizeof *r->v, by_name) : NULL;
}

static struct rule *find(const struct policy_rules *r, const char *name)
{
    struct rule *found = lookup(r, name);
    return found ? found : lookup(r, "default");
}

/* Takes check, also when it fails. */
static int add(struct policy_rules *r, const char *name, struct policy_check *check, bool project,
               struct err *e)
{
    struct rule *more = realloc(r->v, (r->n + 1) * sizeof *more);
    char *copy = strdup(name);
    if (more)
        r->v = more;
    if (!more || !copy) {
        free(copy);
        policy_check_free(check);
        return err_nomem(e);
    }
    more[r->n++] = (struct rule){.name = copy, .check = check, .project = project};
    return 0;
}

/* The default's check, with its predecessor when that counts too. */
static int read_default(const struct policy_default *d, const struct policy_options *o,
                        struct policy_check **ret, struct err *e)
{
    struct policy_check *now = NULL, *before = NULL;
    int rc = policy_parse(o->zed ? d->zed : d->head, &now, e);
    if (rc < 0 || o->zed || o->new_defaults || !d->old) {
        *ret = now;
        return rc;
    }
    rc = policy_parse(d->old, &before, e);
    if (rc < 0) {
        policy_check_free(now);
        return rc;
    }
    return policy_either(now, before, ret, e);
}

static int add_default(struct policy_rules *r, const struct policy_default *d,
                       const struct policy_options *o, struct err *e)
{
    struct policy_check *check = NULL;
    int rc = read_default(d, o, &check, e);
    if (rc < 0)
        return err_wrap(e, "default of %s", d->name);
    return add(r, d->name, check, d->project && !o->zed && o->enforce_scope, e);
}

/* The operator's check for a rule: its scope stays what it is. */
static int add_own(struct policy_rules *r, const char *name, const json_t *text, struct err *e)
{
    struct policy_check *check = NULL;
    if (!*name || strlen(name) > NAME_MAX_LEN)
        return err_set(e, ERR_CONFIG, "a rule's name has 1 to %d characters", NAME_MAX_LEN);
    int rc = policy_parse_json(text, &check, e);
    if (rc < 0) {
        e->code = rc == ERR_NOMEM ? rc : ERR_CONFIG;
        return err_wrap(e, "rule %s", name);
    }
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->v[i].name, name) == 0) {
            policy_check_free(r->v[i].check);
            r->v[i].check = check;
            return 0;
        }
    return add(r, name, check, false, e);
}

/* ---- what rules refer to ---- */

struct walk {
    struct policy_rules *r;
    struct err *e;
    unsigned depth;  /* references from the rule the walk began with */
    unsigned height; /* the greatest below the rule that is open */
};

static int visit(struct walk *w, struct rule *rule);

static int visit_reference(void *ctx, const char *name)
{
    struct walk *w = ctx;
    struct rule *to = find(w->r, name);
    unsigned height = w->height;
    if (to) {
        int rc = visit(w, to);
        w->height = w->height > height ? w->height : height;
        return rc;
    }
    if (!w->r->missing)
        w->r->missing = strdup(name);
    return w->r->missing ? 0 : err_nomem(w->e);
}

static int visit(struct walk *w, struct rule *rule)
{
    unsigned depth = w->depth;
    if (rule->mark == OPEN)
        return err_set(w->e, ERR_CONFIG, "rule %s refers to itself", rule->name);
    if (depth + (rule->mark == DONE ? rule->height : 0) >= REFERENCES_MAX)
        return err_set(w->e, ERR_CONFIG, "rule %s is reached by more than %d references",
                       rule->name, REFERENCES_MAX);
    if (rule->mark == UNSEEN) {
        rule->mark = OPEN;
        *w = (struct walk){.r = w->r, .e = w->e, .depth = depth + 1};
        int rc = policy_references(rule->check, visit_reference, w);
        if (rc < 0)
            return rc;
        rule->mark = DONE;
        rule->height = w->height;
    }
    w->depth = depth;
    w->height = rule->height + 1;
    return 0;
}

/* Evaluation must end, and within a thread's stack. */
static int check_references(struct policy_rules *r, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < r->n; i++) {
        struct walk w = {.r = r, .e = e};
        rc = visit(&w, &r->v[i]);
    }
    return rc;
}

static int add_file(struct policy_rules *r, const char *name, const json_t *file, struct err *e)
{
    const char *rule;
    json_t *text;
    int rc = 0;
    if (!json_is_object(file))
        return err_set(e, ERR_CONFIG, "%s: not a mapping of rules to checks", name);
    json_object_foreach((json_t *)(uintptr_t)file, rule, text)
    {
        rc = add_own(r, rule, text, e);
        if (rc < 0)
            return err_wrap(e, "%s", name);
    }
    return 0;
}

static const struct policy_check *check_of(const void *ctx, const char *name)
{
    const struct rule *rule = find(ctx, name);
    return rule ? rule->check : NULL;
}

int policy_rules_new(const struct policy_options *o, const char *name, const json_t *file,
                     struct policy_rules **ret, struct err *e)
{
    _cleanup_(rules_freep) struct policy_rules *r = calloc(1, sizeof *r);
    int rc = r ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < policy_defaults_len; i++)
        if (o->zed ? policy_defaults[i].zed : policy_defaults[i].head)
            rc = add_default(r, &policy_defaults[i], o, e);
    if (rc == 0 && file)
        rc = add_file(r, name, file, e);
    if (rc < 0)
        return rc;
    qsort(r->v, r->n, sizeof *r->v, by_name);
    rc = check_references(r, e);
    if (rc < 0)
        return name ? err_wrap(e, "%s", name) : rc;
    for (size_t i = 0; i < r->n; i++)
        policy_resolve(r->v[i].check, check_of, r);
    *ret = TAKE_PTR(r);
    return 0;
}

const char *policy_rules_missing(const struct policy_rules *r)
{
    return r->missing;
}

bool policy_rules_hold(const struct policy_rules *r, const char *rule, const json_t *target,
                       const json_t *creds)
{
    const struct rule *found = find(r, rule);
    if (!found)
        return false;
    if (found->project && !json_is_string(json_object_get(creds, "project_id")))
        return false;
    struct policy_ask ask = {.target = target, .creds = creds, .rule = check_of, .ctx = r};
    return policy_holds(found->check, &ask);
}

bool policy_rules_hold_for(const struct policy_rules *r, const char *rule,
                           const struct policy_facts *facts, const void *about)
{
    const struct rule *found = find(r, rule);
    if (!found || (found->project && !facts->creds(about, "project_id", NULL)))
        return false;
    struct policy_ask ask = {.rule = check_of, .ctx = r, .facts = facts, .about = about};
    return policy_holds(found->check, &ask);
}
