/* Before a cluster is accepted: does Nova's and Neutron's own quota of the project have room for
 * it? What can't be known is not held against anybody. Neighbours: cluster_create.c, catalog.h. */
#ifndef MAGNUM_API_PREFLIGHT_H
#define MAGNUM_API_PREFLIGHT_H

#include "api/api_internal.h"

/* groups: of a cluster to be made, their sizes filled (quota_sizes.h). ERR_QUOTA names what is
 * needed and what is free. */
int preflight_check(const struct api_call *c, const struct cluster *cl, const struct template *t,
                    const struct nodegroup *groups, size_t n, struct err *e) MUST_CHECK;

#endif
