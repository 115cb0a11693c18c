/* Shared by heat.c (what Heat says) and heat_steps.c (what to do). Not for plugins. */
#ifndef MAGNUM_SDK_LIB_HEAT_INTERNAL_H
#define MAGNUM_SDK_LIB_HEAT_INTERNAL_H

#include "lib/heat.h"

enum { HEAT_PATH = 1024 };

/* One exchange; 2xx or an error. ret may be NULL; the caller decrefs. */
int32_t heat_call(const struct mag_heat *h, const char *method, const char *path,
                  const json_t *body, json_t **ret, mag_error *err);
int32_t heat_path(char ret[HEAT_PATH], const char *name, const char *id, const char *rest,
                  mag_error *err);

#endif
