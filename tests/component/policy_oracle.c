/* The C side of the policy oracle: reads one JSON document a line, {rules, cases: [{rule, target,
 * creds}]}, and answers each with a line of 0 and 1, one figure per case. A rule that can't be read
 * never holds, as in the original. Neighbours: policy_oracle.py asks. */
#include "auth/policy_language.h"
#include "base/cleanup.h"
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

static int answer(const json_t *doc)
{
    struct set s = {.n = 0};
    int rc = read_rules(json_object_get(doc, "rules"), &s);
    const json_t *cases = json_object_get(doc, "cases");
    for (size_t i = 0; rc == 0 && i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        struct policy_ask ask = {json_object_get(one, "target"), json_object_get(one, "creds"),
                                 rule_of, &s};
        const struct policy_check *c = rule_of(&s, json_string_value(json_object_get(one, "rule")));
        putchar(c && policy_holds(c, &ask) ? '1' : '0');
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
