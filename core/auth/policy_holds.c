/* See policy_language.h: a tree of checks against a target and credentials, which are documents or
 * the caller's facts. Values are compared as the texts that Python's str() gives: None, True, 7. A
 * value that is a list matches when one of its items does; mappings and lists in lists never match.
 * Asked with facts, nothing is allocated but for a match that mixes names and text. */
#include "auth/policy_tree.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

/* False for what has no text. */
static bool append_value(struct str *t, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        str_append_n(t, json_string_value(v), json_string_length(v));
        return true;
    case JSON_INTEGER:
        str_printf(t, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        str_append(t, json_is_true(v) ? "True" : "False");
        return true;
    case JSON_NULL:
        str_append(t, "None");
        return true;
    case JSON_REAL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return false;
}

static bool append_target(const struct policy_ask *ask, const char *name, struct str *t)
{
    const char *text;
    if (!ask->facts) {
        const json_t *v = json_object_get(ask->target, name);
        return v && append_value(t, v);
    }
    text = ask->facts->target(ask->about, name);
    str_append(t, text);
    return text != NULL;
}

/* match with the target's values in it. False when the target lacks one of them. */
static bool expand(const char *match, const struct policy_ask *ask, struct str *t)
{
    const char *p = match;
    for (const char *at; (at = strchr(p, '%')) != NULL;) {
        str_append_n(t, p, (size_t)(at - p));
        if (at[1] == '%') {
            str_append_c(t, '%');
            p = at + 2;
            continue;
        }
        const char *close = strchr(at, ')'); /* there: the parser has looked */
        _cleanup_free_ char *key = strndup(at + 2, (size_t)(close - at - 2));
        if (!key || !append_target(ask, key, t))
            return false;
        p = close + 2;
    }
    str_append(t, p);
    return !t->oom;
}

/* The text to compare with, kept in t where it has to be made; NULL = there is none. */
static const char *wanted(const struct policy_check *c, const struct policy_ask *ask, struct str *t)
{
    if (c->plain)
        return c->match;
    if (c->key && ask->facts)
        return ask->facts->target(ask->about, c->key);
    return expand(c->match, ask, t) ? str_text(t) : NULL;
}

static bool has_role(const json_t *creds, const char *role)
{
    const json_t *roles = json_object_get(creds, "roles");
    for (size_t i = 0; i < json_array_size(roles); i++) {
        const char *have = json_string_value(json_array_get(roles, i));
        if (have && strcasecmp(have, role) == 0)
            return true;
    }
    return false;
}

static bool is_text(const json_t *v, const char *want)
{
    _cleanup_str_ struct str t = STR_INIT;
    return append_value(&t, v) && !t.oom && strcmp(str_text(&t), want) == 0;
}

/* Follows the rest of a dotted path; NULL or no more = v is what is compared. */
static bool found(const json_t *v, const char *path, const char *want)
{
    if (!path)
        return is_text(v, want);
    const char *dot = strchr(path, '.');
    _cleanup_free_ char *key = dot ? strndup(path, (size_t)(dot - path)) : strdup(path);
    const json_t *next = key ? json_object_get(v, key) : NULL;
    if (!next)
        return false;
    const char *rest = dot ? dot + 1 : NULL;
    if (!json_is_array(next))
        return found(next, rest, want);
    for (size_t i = 0; i < json_array_size(next); i++)
        if (found(json_array_get(next, i), rest, want))
            return true;
    return false;
}

static bool leaf_holds(const struct policy_check *c, const struct policy_ask *ask)
{
    _cleanup_str_ struct str t = STR_INIT;
    const char *want = wanted(c, ask, &t);
    if (!want)
        return false;
    if (c->kind == CHECK_LITERAL)
        return strcmp(c->left, want) == 0;
    if (c->kind == CHECK_ROLE)
        return ask->facts ? ask->facts->role(ask->about, want) : has_role(ask->creds, want);
    return ask->facts ? ask->facts->creds(ask->about, c->left, want)
                      : found(ask->creds, c->left, want);
}

/* Does one of the parts hold (want), or does one not hold (!want)? */
static bool one_is(const struct policy_check *c, const struct policy_ask *ask, bool want)
{
    for (size_t i = 0; i < c->n; i++)
        if (policy_holds(c->sub[i], ask) == want)
            return true;
    return false;
}

bool policy_holds(const struct policy_check *c, const struct policy_ask *ask)
{
    const struct policy_check *other;
    switch (c->kind) {
    case CHECK_TRUE:
        return true;
    case CHECK_FALSE:
        return false;
    case CHECK_AND:
        return !one_is(c, ask, false);
    case CHECK_OR:
        return one_is(c, ask, true);
    case CHECK_NOT:
        return !policy_holds(c->sub[0], ask);
    case CHECK_RULE:
        other = c->to ? c->to : ask->rule(ask->ctx, c->match);
        return other && policy_holds(other, ask);
    case CHECK_ROLE:
    case CHECK_LITERAL:
    case CHECK_CREDS:
        return leaf_holds(c, ask);
    }
    return false;
}
