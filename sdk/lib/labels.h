/* Typed reading of Magnum's labels. A label is text on the wire ("5", "true") but may arrive as a
 * JSON number or boolean; a nodegroup's label goes before the cluster's, the cluster's before the
 * template's. Neighbours: json, plugins. */
#ifndef MAGNUM_SDK_LIB_LABELS_H
#define MAGNUM_SDK_LIB_LABELS_H

#include "lib/json.h"

/* Where labels are looked up, first to last. Any may be NULL. */
struct mag_labels {
    const json_t *group, *cluster, *template;
};
/* From a spec; nodegroup: a member of its "nodegroups", or NULL. Borrows. */
struct mag_labels mag_labels_of(const json_t *spec, const json_t *nodegroup);

/* Copies the label as text, or `def`. MAG_E_INVALID (user) when it is no scalar or too long. */
int32_t mag_label_text(struct mag_labels l, const char *name, const char *def, char *ret,
                       size_t cap, mag_error *err);
/* MAG_E_INVALID (user) when it is not a whole number within [min, max]; def may lie outside. */
int32_t mag_label_int(struct mag_labels l, const char *name, int64_t min, int64_t max, int64_t def,
                      int64_t *ret, mag_error *err);
/* true, yes, on, 1 / false, no, off, 0, in any case. */
int32_t mag_label_bool(struct mag_labels l, const char *name, bool def, bool *ret, mag_error *err);

#endif
