/* The wanted state of a cluster as one JSON document: what mag_op.spec holds. Built inside the
 * accepting transaction from the rows themselves. Pure. Neighbours: db, conductor, drivers. */
#ifndef MAGNUM_MODEL_SPEC_H
#define MAGNUM_MODEL_SPEC_H

#include "model/entity.h"

/* {"cluster": {...}, "template": {...}, "nodegroups": [...], "params": {...}}; secrets (trustee
 * password, certificate references) are left out. params NULL = {}. Caller owns; NULL = no memory.
 */
json_t *spec_build(const struct cluster *c, const struct template *t, const struct nodegroup *ngs,
                   size_t n_ngs, const json_t *params);

#endif
