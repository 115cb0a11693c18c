/* The language of policy checks, as oslo.policy defines it: `@`, `!`, `role:`, `rule:`, generic
 * `kind:match` against credentials or a literal, %(name)s from the target, and/or/not with
 * parentheses, and the older form of lists in lists. Pure: no I/O, no state; the caller brings the
 * documents and the other rules. What the original silently turns into "never" (an unbalanced
 * parenthesis, a word without colon) is an error here, so that a typo is found when a file is read.
 * Not there: http:, https: and remote: checks. Neighbours: policy_rules.c. */
#ifndef MAGNUM_AUTH_POLICY_LANGUAGE_H
#define MAGNUM_AUTH_POLICY_LANGUAGE_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

struct policy_check;

/* Text (empty = everybody). ERR_INVALID says what is wrong. Caller frees. */
int policy_parse(const char *text, struct policy_check **ret, struct err *e) MUST_CHECK;
/* Text, or a list whose items (texts, or lists of texts that must all hold) are alternatives. */
int policy_parse_json(const json_t *rule, struct policy_check **ret, struct err *e) MUST_CHECK;
/* Either of the two; takes both, also when it fails. */
int policy_either(struct policy_check *a, struct policy_check *b, struct policy_check **ret,
                  struct err *e) MUST_CHECK;
void policy_check_free(struct policy_check *c);

/* Calls fn with each rule the check refers to; stops at the first result that is not 0 and gives
 * it. */
int policy_references(const struct policy_check *c, int (*fn)(void *ctx, const char *rule),
                      void *ctx);

/* Sets what the references to other rules point to, so that rule() below is not asked for them. fn
 * gives NULL for a rule that does not exist; what it gives must live as long as the check. */
void policy_resolve(struct policy_check *c,
                    const struct policy_check *(*fn)(const void *ctx, const char *name),
                    const void *ctx);

/* Where a check finds its values when there are no documents of them. Texts as Python's str() gives
 * them; NULL = there is no such value. */
struct policy_facts {
    const char *(*target)(const void *about, const char *name);
    /* Do the credentials have this text at the dotted path? text NULL: any. */
    bool (*creds)(const void *about, const char *path, const char *text);
    bool (*role)(const void *about, const char *role);
};
struct policy_ask {
    const json_t *target, *creds; /* objects; not used with facts */
    /* The check of another rule; NULL = there is none, which never holds. The rules must not refer
     * to each other in a circle. */
    const struct policy_check *(*rule)(const void *ctx, const char *name);
    const void *ctx;
    const struct policy_facts *facts; /* or NULL */
    const void *about;                /* its first argument */
};
bool policy_holds(const struct policy_check *c, const struct policy_ask *ask);

#endif
