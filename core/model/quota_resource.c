/* See quota_resource.h. */
#include "model/quota_resource.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name, *unit;
} resources[QUOTA_RESOURCES] = {
    [QUOTA_MASTERS] = {"Masters", ""},    [QUOTA_NODES] = {"Nodes", ""},
    [QUOTA_VCPUS] = {"VCPUs", ""},        [QUOTA_RAM] = {"RAM", " MB"},
    [QUOTA_VOLUMES] = {"Volumes", " GB"}, [QUOTA_LOAD_BALANCERS] = {"LoadBalancers", ""},
};

const char *quota_resource_name(enum quota_resource r)
{
    return r < QUOTA_RESOURCES ? resources[r].name : "";
}

const char *quota_resource_unit(enum quota_resource r)
{
    return r < QUOTA_RESOURCES ? resources[r].unit : "";
}

enum quota_resource quota_resource_parse(const char *name)
{
    size_t i = 0;
    while (i < QUOTA_RESOURCES && (!name || strcmp(resources[i].name, name) != 0))
        i++;
    return (enum quota_resource)i;
}
