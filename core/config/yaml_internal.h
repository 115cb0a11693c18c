/* Shared inside core/config only: loading with line numbers (for messages about options) and the
 * scalar rules that reader and writer must agree on. Neighbours: yaml.c, yaml_dump.c, config.c. */
#ifndef MAGNUM_CONFIG_YAML_INTERNAL_H
#define MAGNUM_CONFIG_YAML_INTERNAL_H

#include "config/yaml.h"

#include <stdbool.h>

/* As yaml_load. `lines` (may be NULL) is an object that gets "key" and "key.key" -> line number
 * for the two outermost levels of mappings. */
int yaml_load_lines(const char *name, const char *text, size_t len, json_t *lines, json_t **ret,
                    struct err *e) MUST_CHECK;

enum yaml_kind {
    YAML_TEXT,
    YAML_NULL,
    YAML_TRUE,
    YAML_FALSE,
    YAML_INT,
    YAML_FLOAT,
    YAML_NOT_FINITE
};
/* What a plain scalar means by the YAML 1.2 core schema. */
enum yaml_kind yaml_kind_of(const char *s);

#endif
