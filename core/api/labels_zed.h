/* The label checks that 15.0.1 makes in the API for Swarm and Mesos (validation.md 2); HEAD has
 * none. Pure. Neighbours: clusters and clustertemplates with api.compat zed. */
#ifndef MAGNUM_API_LABELS_ZED_H
#define MAGNUM_API_LABELS_ZED_H

#include "base/err.h"

#include <jansson.h>

int labels_zed_check(const json_t *labels, struct err *e) MUST_CHECK; /* ERR_INVALID */

#endif
