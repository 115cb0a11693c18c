/* Reading JSON documents that came over the ABI, and making the ones that go back.
 * A path is "member.member" from a JSON object; getters never fail: what is absent, null or of
 * another type is the default. Neighbours: labels, http, docker, plugins. */
#ifndef MAGNUM_SDK_LIB_JSON_H
#define MAGNUM_SDK_LIB_JSON_H

#include <magnum/host.h>

#include <jansson.h>
#include <stdbool.h>

static inline mag_bytes mag_text(const char *s)
{
    size_t n = 0;
    while (s && s[n])
        n++;
    return (mag_bytes){s, n};
}

/* One JSON value, strict. Empty bytes give *ret = NULL and MAG_OK. The caller decrefs *ret. */
int32_t mag_json_parse(mag_bytes doc, const char *what, json_t **ret, mag_error *err);
/* Compact text; the caller frees. NULL = no memory. */
char *mag_json_dump(const json_t *j);

/* Borrowed; NULL when any part of the path is missing or null. */
json_t *mag_json_at(const json_t *root, const char *path);
const char *mag_json_text(const json_t *root, const char *path, const char *def);
int64_t mag_json_int(const json_t *root, const char *path, int64_t def);
bool mag_json_bool(const json_t *root, const char *path, bool def);

#endif
