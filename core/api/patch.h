/* JSON patch as Magnum understands it (api.md 5.5): paths of word characters, add/replace/remove
 * only, scalar values, whole dictionaries as Python literals. Pure: documents in, documents out.
 * Neighbours: body.c checks the shape of each patch, resource files apply it. */
#ifndef MAGNUM_API_PATCH_H
#define MAGNUM_API_PATCH_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

struct patch_rules { /* NULL-terminated lists of "/path" */
    const char *const *internal, *const *internal_zed, *const *mandatory;
    const char *const *literals; /* root names whose replacement is a literal: "labels" */
};

/* Shape, internal and mandatory paths, values: all that is refused before the resource is looked
 * up. `patch` may be JSON null, which passes. ERR_INVALID. */
int patch_check(const json_t *patch, const struct patch_rules *r, bool zed,
                struct err *e) MUST_CHECK;
/* Applies the operations in order to a copy of `doc`, whose members are all attributes of the
 * resource (null = unset). *ret: the copy; removed attributes are missing. ERR_INVALID. */
int patch_apply(const json_t *doc, const json_t *patch, const struct patch_rules *r, json_t **ret,
                struct err *e) MUST_CHECK;
/* Does an operation name this attribute ("/node_count")? */
bool patch_touches(const json_t *patch, const char *path);

extern const struct patch_rules patch_cluster, patch_template, patch_nodegroup, patch_federation,
    patch_bay, patch_baymodel;

#endif
