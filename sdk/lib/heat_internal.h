/* Shared by heat.c (what Heat says), heat_steps.c (what to do), and those that read Magnum's data
 * files (heat_templates.c, boot.c). Not for plugins. */
#ifndef MAGNUM_SDK_LIB_HEAT_INTERNAL_H
#define MAGNUM_SDK_LIB_HEAT_INTERNAL_H

#include "lib/heat.h"

enum { HEAT_PATH = 1024 };

/* One exchange; 2xx or an error. ret may be NULL; the caller decrefs. */
int32_t heat_call(const struct mag_heat *h, const char *method, const char *path,
                  const json_t *body, json_t **ret, mag_error *err);
int32_t heat_path(char ret[HEAT_PATH], const char *name, const char *id, const char *rest,
                  mag_error *err);

/* "<data>/<folder>": beside the running program's prefix, or as it was configured. */
void heat_data_dir(const char *folder, char ret[HEAT_PATH]);
/* A data file as text; the caller frees. NOT_FOUND (operator) when it can't be read. */
int32_t heat_read_file(const char *path, char **ret, mag_error *err);

#endif
