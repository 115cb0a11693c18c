/* The rules in force: Magnum's defaults (policy_defaults.c) with the operator's file over them.
 * Immutable once made: a reload makes another set. Neighbours: policy.c, policy_language.h. */
#ifndef MAGNUM_AUTH_POLICY_RULES_H
#define MAGNUM_AUTH_POLICY_RULES_H

#include "auth/policy_language.h"

#include <stddef.h>

/* One default. NULL: the rule does not exist there. */
struct policy_default {
    const char *name;
    const char *head; /* check of HEAD */
    const char *zed;  /* check of 15.0.1 */
    const char *old;  /* HEAD's predecessor, which counts as well with the old defaults */
    bool project;     /* HEAD: for tokens of a project only */
};
extern const struct policy_default policy_defaults[];
extern const size_t policy_defaults_len;

struct policy_options {
    bool zed, new_defaults, enforce_scope;
};
struct policy_rules;
/* file: the operator's mapping of names to checks, or NULL; name: of the file, for messages.
 * ERR_CONFIG names file and rule: a check that can't be read, rules that refer to each other in a
 * circle or too deeply. Caller frees. */
int policy_rules_new(const struct policy_options *o, const char *name, const json_t *file,
                     struct policy_rules **ret, struct err *e) MUST_CHECK;
void policy_rules_free(struct policy_rules *r);
/* A rule that one refers to and that does not exist, which never holds; NULL = there is none. */
const char *policy_rules_missing(const struct policy_rules *r);

/* Rules that don't exist are decided by the rule `default` when there is one. */
bool policy_rules_hold(const struct policy_rules *r, const char *rule, const json_t *target,
                       const json_t *creds);
/* The same without documents. */
bool policy_rules_hold_for(const struct policy_rules *r, const char *rule,
                           const struct policy_facts *facts, const void *about);

#endif
