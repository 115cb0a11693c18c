/* YAML text to JSON, bounded: for the config file, manifests, the catalogue, clouds.yaml, policy.
 * Mappings, sequences, scalars (plain scalars typed by the YAML 1.2 core schema: null, booleans,
 * integers, floats; quoted ones are strings). Aliases, anchors, tags, duplicate keys, several
 * documents and nesting beyond 32 are refused with line and column. Uses libyaml.
 * Neighbours: config, drivers/manifest, api/catalog, cmd. */
#ifndef MAGNUM_CONFIG_YAML_H
#define MAGNUM_CONFIG_YAML_H

#include "base/err.h"

#include <jansson.h>
#include <stddef.h>

/* name: for messages. An empty document gives JSON null. Caller owns *ret. ERR_INVALID. */
int yaml_load(const char *name, const char *text, size_t len, json_t **ret,
              struct err *e) MUST_CHECK;
/* The same from a file of at most max bytes. */
int yaml_load_file(const char *path, size_t max, json_t **ret, struct err *e) MUST_CHECK;
/* Block style text of a JSON document (CLI output, samples). Caller frees; NULL = no memory. */
char *yaml_dump(const json_t *j);

#endif
