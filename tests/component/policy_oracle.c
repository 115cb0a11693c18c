/* The C side of the policy oracle: reads one JSON document a line, {rules, cases: [{rule, target,
 * creds}]}, and answers each with a line of 0 and 1, one figure per case. A rule that can't be read
 * never holds, as in the original. A case with "caller": true is decided as the services decide,
 * from a caller's context; others from the documents. Neighbours: policy_oracle.py asks. */
#include "auth/auth_internal.h"
#include "base/cleanup.h"
#include "base/jsonx.h"
#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { RULES_MAX = 64 };

struct set {
    const char *name[RULES_MAX];
    struct policy_check *check[RULES_MAX];
    size_t n;
};

static const struct policy_check *lookup(const struct set *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->name[i], name) == 0)
            return s->check[i];
    return NULL;
}

static const struct policy_check *rule_of(const void *ctx, const char *name)
{
    const struct policy_check *c = lookup(ctx, name);
    return c ? c : lookup(ctx, "default");
}

static int read_rules(const json_t *rules, struct set *s)
{
    const char *name;
    json_t *text;
    struct err e = ERR_INIT;
    json_object_foreach((json_t *)(uintptr_t)rules, name, text)
    {
        if (s->n == RULES_MAX)
            return -1;
        s->name[s->n] = name;
        if (policy_parse_json(text, &s->check[s->n], &e) < 0 &&
            policy_parse("!", &s->check[s->n], &e) < 0)
            return -1;
        s->n++;
    }
    return 0;
}

/* Only what auth_context has: texts, is_admin and roles. */
static int read_caller(const json_t *creds, struct auth_context *c)
{
    const struct {
        char **to;
        const char *key;
    } texts[] = {{&c->user_id, "user_id"},          {&c->user_name, "user_name"},
                 {&c->project_id, "project_id"},    {&c->project_name, "project_name"},
                 {&c->domain_id, "user_domain_id"}, {&c->domain_name, "user_domain_name"},
                 {&c->trust_id, "trust_id"}};
    const json_t *roles = json_object_get(creds, "roles");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *text = jsonx_str(creds, texts[i].key);
        *texts[i].to = str_dup(text);
        if (text && !*texts[i].to)
            return -1;
    }
    for (size_t i = 0; i < json_array_size(roles); i++)
        if (strv_add(&c->roles, json_string_value(json_array_get(roles, i))) < 0)
            return -1;
    c->is_admin = jsonx_bool(creds, "is_admin", false);
    c->system_scope = jsonx_str(creds, "system_scope") != NULL;
    return 0;
}

static int decide_for_caller(const struct policy_check *c, const struct set *s, const json_t *one,
                             bool *ret)
{
    const json_t *target = json_object_get(one, "target");
    const struct auth_target about = {jsonx_str(target, "project_id"), jsonx_str(target, "user_id"),
                                      jsonx_str(target, "trustee_user_id")};
    const char *domain = jsonx_str(target, "trustee_domain_id");
    _cleanup_free_ char *id = str_dup(domain ? domain : ""), *name = str_dup("");
    const struct policy_trustees trustees = {id, name};
    struct auth_context who = {.user_id = NULL};
    const struct policy_case k = {&who, &about, &trustees};
    struct policy_ask ask = {
        .rule = rule_of, .ctx = s, .facts = &policy_context_facts, .about = &k};
    int rc = id && name ? read_caller(json_object_get(one, "creds"), &who) : -1;
    if (rc == 0)
        *ret = policy_holds(c, &ask);
    auth_context_done(&who);
    return rc;
}

static int decide(const struct policy_check *c, const struct set *s, const json_t *one, bool *ret)
{
    if (json_is_true(json_object_get(one, "caller")))
        return decide_for_caller(c, s, one, ret);
    struct policy_ask ask = {.target = json_object_get(one, "target"),
                             .creds = json_object_get(one, "creds"),
                             .rule = rule_of,
                             .ctx = s};
    *ret = policy_holds(c, &ask);
    return 0;
}

/* As the rules in force are: references are looked up once. */
static void resolve(struct set *s)
{
    for (size_t i = 0; i < s->n; i++)
        policy_resolve(s->check[i], rule_of, s);
}

static int answer(const json_t *doc)
{
    struct set s = {.n = 0};
    int rc = read_rules(json_object_get(doc, "rules"), &s);
    const json_t *cases = json_object_get(doc, "cases");
    if (json_is_true(json_object_get(doc, "resolve")))
        resolve(&s);
    for (size_t i = 0; rc == 0 && i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        const struct policy_check *c = rule_of(&s, json_string_value(json_object_get(one, "rule")));
        bool yes = false;
        rc = c ? decide(c, &s, one, &yes) : 0;
        putchar(yes ? '1' : '0');
    }
    putchar('\n');
    for (size_t i = 0; i < s.n; i++)
        policy_check_free(s.check[i]);
    return rc;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    int rc = 0;
    while (rc == 0 && getline(&line, &cap, stdin) > 0) {
        _cleanup_json_ json_t *doc = json_loads(line, 0, NULL);
        rc = doc ? answer(doc) : -1;
    }
    free(line);
    return rc == 0 && fflush(stdout) == 0 ? 0 : 1;
}
