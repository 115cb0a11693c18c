/* See policy_tree.h. Tokens are separated by blanks; parentheses at the ends of a word are tokens
 * of their own, so that %(name)s inside a word stays whole. */
#include "auth/policy_tree.h"
#include "base/str.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char blanks[] = " \t\r\n\v\f";

/* ---- one check ---- */

/* Only %(name)s and %%: every other conversion would fail when the rule is asked for. */
static bool format_ok(const char *s)
{
    while ((s = strchr(s, '%')) != NULL) {
        if (s[1] == '%') {
            s += 2;
            continue;
        }
        const char *close = s[1] == '(' ? strchr(s, ')') : NULL;
        if (!close || close[1] != 's')
            return false;
        s = close + 2;
    }
    return true;
}

static bool is_quoted(const char *s, size_t n)
{
    return n >= 2 && (s[0] == '\'' || s[0] == '"') && s[n - 1] == s[0] &&
           !memchr(s + 1, s[0], n - 2) && !memchr(s, '\\', n);
}

/* A whole number without zeros in front; a sign is allowed. */
static bool is_number(const char *s)
{
    s += *s == '-' || *s == '+';
    if (!isdigit((unsigned char)*s) || (s[0] == '0' && s[1]))
        return false;
    return s[strspn(s, "0123456789")] == '\0';
}

/* Makes the literal's text of c->left. False: it is a path into the credentials. */
static bool to_literal(char *s)
{
    size_t n = strlen(s);
    if (is_quoted(s, n)) {
        memmove(s, s + 1, n - 2);
        s[n - 2] = '\0';
        return true;
    }
    if (is_number(s)) {
        if (*s == '+' || strcmp(s, "-0") == 0)
            memmove(s, s + 1, n);
        return true;
    }
    return strcmp(s, "None") == 0 || strcmp(s, "True") == 0 || strcmp(s, "False") == 0;
}

/* What most matches are is decided here once, not each time they are asked for. */
static int set_form(struct policy_check *c, struct err *e)
{
    const char *open = strchr(c->match, '%'), *close = open ? strchr(open, ')') : NULL;
    c->plain = !open;
    if (open != c->match || open[1] != '(' || !close || close[2])
        return 0;
    c->key = strndup(open + 2, (size_t)(close - open - 2));
    return c->key ? 0 : err_nomem(e);
}

static int set_kind(struct policy_check *c, struct err *e)
{
    static const char *const remote[] = {"http", "https", "remote"};
    for (size_t i = 0; i < ARRAY_LEN(remote); i++)
        if (strcmp(c->left, remote[i]) == 0)
            return err_set(e, ERR_INVALID, "checks by %s: are not supported", remote[i]);
    if (strcmp(c->left, "rule") == 0) {
        c->kind = CHECK_RULE;
        return 0;
    }
    if (!format_ok(c->match))
        return err_set(e, ERR_INVALID, "\"%.200s\": only %%(name)s and %%%% may stand after a %%",
                       c->match);
    c->kind = strcmp(c->left, "role") == 0 ? CHECK_ROLE
              : to_literal(c->left)        ? CHECK_LITERAL
                                           : CHECK_CREDS;
    return set_form(c, e);
}

int policy_check_read(const char *word, struct policy_check **ret, struct err *e)
{
    bool all = strcmp(word, "@") == 0, none = strcmp(word, "!") == 0;
    const char *colon = strchr(word, ':');
    if (!all && !none && !colon)
        return err_set(e, ERR_INVALID, "\"%.200s\" is no check (kind:match, @ or !)", word);
    _cleanup_(policy_check_freep) struct policy_check *c =
        policy_check_new(none ? CHECK_FALSE : CHECK_TRUE);
    if (!c)
        return err_nomem(e);
    if (colon) {
        c->left = strndup(word, (size_t)(colon - word));
        c->match = strdup(colon + 1);
        int rc = c->left && c->match ? set_kind(c, e) : err_nomem(e);
        if (rc < 0)
            return rc;
    }
    *ret = TAKE_PTR(c);
    return 0;
}

/* ---- all of them ---- */

void policy_tokens_done(struct policy_tokens *t)
{
    for (size_t i = 0; i < t->n; i++)
        policy_check_free(t->v[i].check);
    free(t->v);
    *t = (struct policy_tokens){NULL, 0};
}

static int add(struct policy_tokens *t, enum policy_token_type type, struct policy_check *check,
               struct err *e)
{
    if ((t->n & (t->n - 1)) == 0) { /* grows at powers of two */
        struct policy_token *more = realloc(t->v, (t->n ? t->n * 2 : 1) * sizeof *more);
        if (!more) {
            policy_check_free(check);
            return err_nomem(e);
        }
        t->v = more;
    }
    t->v[t->n++] = (struct policy_token){type, check};
    return 0;
}

static int add_times(struct policy_tokens *t, enum policy_token_type type, size_t times,
                     struct err *e)
{
    int rc = 0;
    while (rc == 0 && times--)
        rc = add(t, type, NULL, e);
    return rc;
}

/* What stands between the parentheses. */
static int add_core(struct policy_tokens *t, const char *core, struct err *e)
{
    static const struct {
        const char *word;
        enum policy_token_type type;
    } words[] = {{"and", TOKEN_AND}, {"or", TOKEN_OR}, {"not", TOKEN_NOT}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(core, words[i].word) == 0)
            return add(t, words[i].type, NULL, e);
    size_t n = strlen(core);
    if (n >= 2 && (*core == '"' || *core == '\'') && core[n - 1] == *core)
        return err_set(e, ERR_INVALID, "%.200s: a text alone is no check", core);
    struct policy_check *check = NULL;
    int rc = policy_check_read(core, &check, e);
    return rc < 0 ? rc : add(t, TOKEN_CHECK, check, e);
}

static int add_word(struct policy_tokens *t, const char *word, size_t len, struct err *e)
{
    size_t open = strspn(word, "("), close = 0;
    if (open > len)
        open = len;
    while (close < len - open && word[len - 1 - close] == ')')
        close++;
    int rc = add_times(t, TOKEN_OPEN, open, e);
    if (rc == 0 && open + close < len) {
        _cleanup_free_ char *core = strndup(word + open, len - open - close);
        rc = core ? add_core(t, core, e) : err_nomem(e);
    }
    return rc == 0 ? add_times(t, TOKEN_CLOSE, close, e) : rc;
}

int policy_tokens_read(const char *text, struct policy_tokens *t, struct err *e)
{
    int rc = 0;
    for (text += strspn(text, blanks); rc == 0 && *text; text += strspn(text, blanks)) {
        size_t len = strcspn(text, blanks);
        rc = add_word(t, text, len, e);
        text += len;
    }
    return rc;
}
