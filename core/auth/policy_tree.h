/* Inside the policy language: the tree of checks and the tokens it is made of.
 *   policy_tokens.c    text to tokens; what one check is
 *   policy_language.c  tokens to a tree
 *   policy_holds.c     the tree against target and credentials */
#ifndef MAGNUM_AUTH_POLICY_TREE_H
#define MAGNUM_AUTH_POLICY_TREE_H

#include "auth/policy_language.h"
#include "base/cleanup.h"

enum policy_kind {
    CHECK_TRUE,
    CHECK_FALSE,
    CHECK_AND,     /* all of sub */
    CHECK_OR,      /* any of sub */
    CHECK_NOT,     /* not sub[0] */
    CHECK_RULE,    /* the rule `match` */
    CHECK_ROLE,    /* the caller has the role `match` */
    CHECK_LITERAL, /* the text `left` is `match` */
    CHECK_CREDS,   /* the credentials have `match` at the dotted path `left` */
};

struct policy_check {
    enum policy_kind kind;
    char *left, *match; /* owned; match may hold %(name)s */
    char *key;          /* owned: the name, where match is one %(name)s and nothing else */
    bool plain;         /* match holds no % */
    const struct policy_check *to; /* CHECK_RULE, once resolved */
    struct policy_check **sub;
    size_t n;
};

struct policy_check *policy_check_new(enum policy_kind kind); /* NULL = no memory */
static inline void policy_check_freep(struct policy_check **c)
{
    policy_check_free(*c);
}

/* One check without blanks: `@`, `!` or kind:match. */
int policy_check_read(const char *word, struct policy_check **ret, struct err *e) MUST_CHECK;

enum policy_token_type { TOKEN_OPEN, TOKEN_CLOSE, TOKEN_AND, TOKEN_OR, TOKEN_NOT, TOKEN_CHECK };
struct policy_token {
    enum policy_token_type type;
    struct policy_check *check; /* owned; of TOKEN_CHECK, until a tree takes it */
};
struct policy_tokens {
    struct policy_token *v;
    size_t n;
};
/* Fills t; to be freed with policy_tokens_done also after an error. */
int policy_tokens_read(const char *text, struct policy_tokens *t, struct err *e) MUST_CHECK;
void policy_tokens_done(struct policy_tokens *t);

#endif
