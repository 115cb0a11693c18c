/* Rules of nodegroups: bounds, Kubernetes node labels and taints (validation.md 5, 7). Pure.
 * All refusals are ERR_CONFLICT with Magnum's text. Neighbours: nodegroups.c. */
#ifndef MAGNUM_API_NODEGROUP_RULES_H
#define MAGNUM_API_NODEGROUP_RULES_H

#include "base/err.h"
#include "model/entity.h"

/* min <= node_count <= max, where set. */
int nodegroup_check_counts(const struct nodegroup *n, struct err *e) MUST_CHECK;
/* node_labels and node_taints, where not empty; none on masters. */
int nodegroup_check_node_attributes(const struct nodegroup *n, struct err *e) MUST_CHECK;

#endif
