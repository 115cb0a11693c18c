/* What clusters and bays share between the files that create and that change them. Neighbours:
 * clusters.c, cluster_create.c. */
#ifndef MAGNUM_API_CLUSTERS_H
#define MAGNUM_API_CLUSTERS_H

#include "api/api_internal.h"

/* Renames the attributes of a document between bays and clusters. ERR_NOMEM. */
int cluster_rename(json_t *o, bool to_new) MUST_CHECK;
/* Answers an accepted change: 202 and the uuid, or, for a bay at 1.1, `status` and the bay. */
int cluster_changed(struct api_call *c, int status, const char *uuid, struct err *e) MUST_CHECK;
/* A bay has at least one node. ERR_INVALID. */
int cluster_check_bay(const struct api_call *c, int64_t node_count, struct err *e) MUST_CHECK;

#endif
