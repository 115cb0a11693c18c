/* What the labels of a request must keep to: values by the schema of the driver, labels the schema
 * does not know by the operator's choice (api.unknown_labels), and, of a cluster that exists, which
 * may still change. Neighbours: labels (values of one schema); clusters, clustertemplates and
 * nodegroups ask. */
#ifndef MAGNUM_API_LABEL_RULES_H
#define MAGNUM_API_LABEL_RULES_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

struct api_call;
struct driver_row;

/* ERR_INVALID names label, value and what is allowed. Adds a Warning header for labels that are
 * deprecated or, where the operator wants that, unknown. */
int label_rules_check(struct api_call *c, const struct driver_row *d, const json_t *labels,
                      struct err *e) MUST_CHECK;
/* Pure: labels that differ in meaning between `before` and `after` must not be of those the schema
 * marks `"mutable": "never"`; a label that is absent has the schema's default. */
int label_rules_change(const json_t *schema, const json_t *before, const json_t *after,
                       struct err *e) MUST_CHECK;
/* Pure: names in `labels` that neither the schema nor the core knows, or that the schema calls
 * deprecated; each list in the order of the object. Without a schema nothing is known to be wrong.
 */
int label_rules_sort(const json_t *schema, const json_t *labels, struct strv *ret_unknown,
                     struct strv *ret_deprecated) MUST_CHECK;

#endif
