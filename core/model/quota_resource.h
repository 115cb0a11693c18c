/* What a quota may limit beside clusters, which are counted in a way of their own (db_accept.c).
 * Neighbours: db/quota_guard.c, api/quotas.c, docs/api-additions.md. */
#ifndef MAGNUM_MODEL_QUOTA_RESOURCE_H
#define MAGNUM_MODEL_QUOTA_RESOURCE_H

#include <stdint.h>

enum quota_resource {
    QUOTA_MASTERS,
    QUOTA_NODES, /* that are no masters */
    QUOTA_VCPUS,
    QUOTA_RAM,     /* MB */
    QUOTA_VOLUMES, /* GB */
    QUOTA_LOAD_BALANCERS,
    QUOTA_RESOURCES
};
const char *quota_resource_name(enum quota_resource r);
const char *quota_resource_unit(enum quota_resource r); /* "" or " MB" */
/* QUOTA_RESOURCES for any other name. */
enum quota_resource quota_resource_parse(const char *name);

/* -1: no limit. */
struct quota_limits {
    int64_t most[QUOTA_RESOURCES];
};

#endif
