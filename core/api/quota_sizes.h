/* What a node of a group takes of the project's quotas: by its flavor, and the volumes its labels
 * ask for. Neighbours: cluster_create.c, nodegroups.c, db/quota_guard.c. */
#ifndef MAGNUM_API_QUOTA_SIZES_H
#define MAGNUM_API_QUOTA_SIZES_H

#include "api/api_internal.h"
#include "model/quota_resource.h"

/* Fills vcpus, ram_mb and volume_gb. What is not known stays unset and counts as nothing. */
void quota_size_group(const struct api_call *c, struct nodegroup *n);
/* The limits of the configuration. */
void quota_limits_of(const struct config *cfg, struct quota_limits *ret);

#endif
