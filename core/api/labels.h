/* Labels: merging by Magnum's precedence, and their check against the schema a driver publishes
 * in its manifest. Pure. Neighbours: clusters, clustertemplates, nodegroups, views. */
#ifndef MAGNUM_API_LABELS_H
#define MAGNUM_API_LABELS_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

/* Each label the schema knows must have a value of its type, range, choice and pattern. Values are
 * text as stored ("3", "true"): texts are accepted for numbers and booleans. Unknown labels pass.
 * schema NULL: everything passes. ERR_INVALID names label, value and what is allowed. */
int labels_check(const json_t *schema, const char *driver, const json_t *labels,
                 struct err *e) MUST_CHECK;
/* Do two values mean the same by a schema's rule: "5" and 5, "yes" and true? NULL is absence. */
bool labels_same(const json_t *rule, const json_t *a, const json_t *b);
/* No label may be null: ERR_INVALID. */
int labels_no_null(const json_t *labels, struct err *e) MUST_CHECK;
/* A new object: base updated by over (each may be NULL or null). NULL = no memory. */
json_t *labels_merge(const json_t *base, const json_t *over);
bool labels_empty(const json_t *labels);

enum labels_part { LABELS_OVERRIDDEN, LABELS_ADDED, LABELS_SKIPPED };
/* How `own` differs from `base`, written as an object: keys in both with another value (the
 * base's value is shown), keys only in own, keys only in base. */
void labels_diff(struct str *o, enum labels_part part, const json_t *base, const json_t *own);

#endif
