/* Semantic checks of templates and clusters beyond the types of their attributes
 * (validation.md 3, 4, 5, 6). Each returns ERR_INVALID (or what the catalogue says) with Magnum's
 * text. Neighbours: clusters.c, clustertemplates.c, nodegroups.c. */
#ifndef MAGNUM_API_RULES_H
#define MAGNUM_API_RULES_H

#include "api/api_internal.h"

/* COE known; network driver supported and allowed by configuration (NULL passes). */
int rule_network_driver(const struct api_call *c, const char *coe, const char *driver,
                        struct err *e) MUST_CHECK;
/* The configured default, or NULL for an unknown COE. */
const char *rule_default_network_driver(const struct api_call *c, const char *coe);
int rule_volume_driver(const char *coe, const char *driver, struct err *e) MUST_CHECK;
/* devicemapper needs 3 GB. */
int rule_storage_size(const char *storage_driver, int64_t volume_size, struct err *e) MUST_CHECK;
/* HEAD: neither boot volume nor flavor disk is an error. Flavors that are NULL are skipped. */
int rule_root_volume(const struct api_call *c, const char *server_type, const json_t *labels,
                     const char *const *flavors, size_t n, struct err *e) MUST_CHECK;

struct resource_names { /* NULL is skipped */
    const char *image, *flavor, *master_flavor, *external_network, *fixed_network, *fixed_subnet;
    const json_t *labels;
};
/* What this request will ask for (catalog_expect); keypair NULL = none. */
void rule_expect(const struct api_call *c, const struct resource_names *r, const char *keypair);
int rule_resources(const struct api_call *c, const struct resource_names *r,
                   struct err *e) MUST_CHECK;

#endif
