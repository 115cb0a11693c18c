/* See policy_language.h. Text becomes tokens (policy_tokens.c), tokens become a tree by recursive
 * descent: `not` binds closer than `and`, that closer than `or`. */
#include "auth/policy_tree.h"

#include <string.h>

enum { NESTING_MAX = 64 };

struct parser {
    struct policy_tokens t;
    size_t at;
    unsigned depth;
};

void policy_check_free(struct policy_check *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        policy_check_free(c->sub[i]);
    free(c->sub);
    free(c->left);
    free(c->match);
    free(c->key);
    free(c);
}

struct policy_check *policy_check_new(enum policy_kind kind)
{
    struct policy_check *c = calloc(1, sizeof *c);
    if (c)
        c->kind = kind;
    return c;
}

/* Takes sub, also when it fails. */
static int add_sub(struct policy_check *c, struct policy_check *sub, struct err *e)
{
    struct policy_check **more = realloc(c->sub, (c->n + 1) * sizeof(*more));
    if (!more) {
        policy_check_free(sub);
        return err_nomem(e);
    }
    c->sub = more;
    more[c->n++] = sub;
    return 0;
}

/* A node of this kind over one check, which it takes. */
static int wrap(enum policy_kind kind, struct policy_check *sub, struct policy_check **ret,
                struct err *e)
{
    _cleanup_(policy_check_freep) struct policy_check *c = policy_check_new(kind);
    if (!c) {
        policy_check_free(sub);
        return err_nomem(e);
    }
    int rc = add_sub(c, sub, e);
    if (rc == 0)
        *ret = TAKE_PTR(c);
    return rc;
}

static bool next_is(const struct parser *p, enum policy_token_type type)
{
    return p->at < p->t.n && p->t.v[p->at].type == type;
}

static int parse_or(struct parser *p, struct policy_check **ret, struct err *e);

static int parse_group(struct parser *p, struct policy_check **ret, struct err *e)
{
    _cleanup_(policy_check_freep) struct policy_check *inside = NULL;
    p->at++;
    int rc = parse_or(p, &inside, e);
    if (rc < 0)
        return rc;
    if (!next_is(p, TOKEN_CLOSE))
        return err_set(e, ERR_INVALID, "a ')' is missing");
    p->at++;
    *ret = TAKE_PTR(inside);
    return 0;
}

static int parse_not(struct parser *p, struct policy_check **ret, struct err *e);

static int parse_operand(struct parser *p, struct policy_check **ret, struct err *e)
{
    if (next_is(p, TOKEN_CHECK)) {
        *ret = TAKE_PTR(p->t.v[p->at].check);
        p->at++;
        return 0;
    }
    if (!next_is(p, TOKEN_OPEN) && !next_is(p, TOKEN_NOT))
        return err_set(e, ERR_INVALID, "a check is missing");
    if (p->depth == NESTING_MAX)
        return err_set(e, ERR_INVALID, "nested deeper than %d", NESTING_MAX);
    p->depth++;
    int rc = next_is(p, TOKEN_OPEN) ? parse_group(p, ret, e) : parse_not(p, ret, e);
    p->depth--;
    return rc;
}

static int parse_not(struct parser *p, struct policy_check **ret, struct err *e)
{
    struct policy_check *sub = NULL;
    p->at++;
    int rc = parse_operand(p, &sub, e);
    return rc < 0 ? rc : wrap(CHECK_NOT, sub, ret, e);
}

/* operand, or operand WORD operand WORD ... as one node. */
static int parse_row(struct parser *p, enum policy_token_type word, enum policy_kind kind,
                     int (*operand)(struct parser *, struct policy_check **, struct err *),
                     struct policy_check **ret, struct err *e)
{
    struct policy_check *first = NULL;
    int rc = operand(p, &first, e);
    if (rc < 0)
        return rc;
    if (!next_is(p, word)) {
        *ret = first;
        return 0;
    }
    _cleanup_(policy_check_freep) struct policy_check *row = NULL;
    rc = wrap(kind, first, &row, e);
    while (rc == 0 && next_is(p, word)) {
        struct policy_check *more = NULL;
        p->at++;
        rc = operand(p, &more, e);
        if (rc == 0)
            rc = add_sub(row, more, e);
    }
    if (rc == 0)
        *ret = TAKE_PTR(row);
    return rc;
}

static int parse_and(struct parser *p, struct policy_check **ret, struct err *e)
{
    return parse_row(p, TOKEN_AND, CHECK_AND, parse_operand, ret, e);
}

static int parse_or(struct parser *p, struct policy_check **ret, struct err *e)
{
    return parse_row(p, TOKEN_OR, CHECK_OR, parse_and, ret, e);
}

int policy_parse(const char *text, struct policy_check **ret, struct err *e)
{
    struct parser p = {.at = 0};
    _cleanup_(policy_check_freep) struct policy_check *c = NULL;
    if (!*text) {
        *ret = policy_check_new(CHECK_TRUE);
        return *ret ? 0 : err_nomem(e);
    }
    int rc = policy_tokens_read(text, &p.t, e);
    if (rc == 0)
        rc = parse_or(&p, &c, e);
    if (rc == 0 && p.at < p.t.n)
        rc = err_set(e, ERR_INVALID,
                     next_is(&p, TOKEN_CLOSE) ? "a ')' too many"
                                              : "`and` or `or` is missing between two checks");
    policy_tokens_done(&p.t);
    if (rc == 0)
        *ret = TAKE_PTR(c);
    return rc;
}

/* ---- the form of lists ---- */

static int parse_word(const json_t *word, struct policy_check **ret, struct err *e)
{
    if (!json_is_string(word))
        return err_set(e, ERR_INVALID, "a list of checks holds texts, or lists of texts");
    return policy_check_read(json_string_value(word), ret, e);
}

/* All of these; a text alone counts as a list of one. */
static int parse_all_of(const json_t *list, struct policy_check **ret, struct err *e)
{
    if (!json_is_array(list))
        return parse_word(list, ret, e);
    _cleanup_(policy_check_freep) struct policy_check *all = policy_check_new(CHECK_AND);
    int rc = all ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        struct policy_check *one = NULL;
        rc = parse_word(json_array_get(list, i), &one, e);
        if (rc == 0)
            rc = add_sub(all, one, e);
    }
    if (rc == 0)
        *ret = TAKE_PTR(all);
    return rc;
}

static bool is_empty(const json_t *j)
{
    return json_is_array(j) ? json_array_size(j) == 0 : json_string_length(j) == 0;
}

static int parse_list(const json_t *list, struct policy_check **ret, struct err *e)
{
    bool everybody = json_array_size(list) == 0;
    _cleanup_(policy_check_freep) struct policy_check *any =
        policy_check_new(everybody ? CHECK_TRUE : CHECK_OR);
    int rc = any ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        struct policy_check *one = NULL;
        if ((json_is_string(item) || json_is_array(item)) && is_empty(item))
            continue;
        rc = parse_all_of(item, &one, e);
        if (rc == 0)
            rc = add_sub(any, one, e);
    }
    if (rc == 0)
        *ret = TAKE_PTR(any);
    return rc;
}

int policy_parse_json(const json_t *rule, struct policy_check **ret, struct err *e)
{
    if (json_is_string(rule))
        return policy_parse(json_string_value(rule), ret, e);
    if (json_is_array(rule))
        return parse_list(rule, ret, e);
    return err_set(e, ERR_INVALID, "must be text or a list (\"\" or \"@\" allows everybody)");
}

int policy_either(struct policy_check *a, struct policy_check *b, struct policy_check **ret,
                  struct err *e)
{
    _cleanup_(policy_check_freep) struct policy_check *row = NULL;
    int rc = wrap(CHECK_OR, a, &row, e);
    if (rc < 0) {
        policy_check_free(b);
        return rc;
    }
    rc = add_sub(row, b, e);
    if (rc == 0)
        *ret = TAKE_PTR(row);
    return rc;
}

int policy_references(const struct policy_check *c, int (*fn)(void *ctx, const char *rule),
                      void *ctx)
{
    int rc = c->kind == CHECK_RULE ? fn(ctx, c->match) : 0;
    for (size_t i = 0; rc == 0 && i < c->n; i++)
        rc = policy_references(c->sub[i], fn, ctx);
    return rc;
}

void policy_resolve(struct policy_check *c,
                    const struct policy_check *(*fn)(const void *ctx, const char *name),
                    const void *ctx)
{
    if (c->kind == CHECK_RULE)
        c->to = fn(ctx, c->match);
    for (size_t i = 0; i < c->n; i++)
        policy_resolve(c->sub[i], fn, ctx);
}
