/* See json.h. */
#include "lib/json.h"

#include "lib/fail.h"

#include <string.h>

int32_t mag_json_parse(mag_bytes doc, const char *what, json_t **ret, mag_error *err)
{
    *ret = NULL;
    if (doc.len == 0)
        return MAG_OK;
    json_error_t je;
    *ret = json_loadb(doc.data, (size_t)doc.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!*ret)
        return mag_fail(err, MAG_E_INVALID, 0, "BadJson", NULL, "%s: not JSON (line %d: %s)", what,
                        je.line, je.text);
    return MAG_OK;
}

char *mag_json_dump(const json_t *j)
{
    return json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
}

json_t *mag_json_at(const json_t *root, const char *path)
{
    json_t *j = (json_t *)(uintptr_t)root;
    while (j && *path) {
        size_t n = strcspn(path, ".");
        char name[128];
        if (n >= sizeof name)
            return NULL;
        memcpy(name, path, n);
        name[n] = '\0';
        j = json_object_get(j, name);
        path += n + (path[n] == '.');
    }
    return json_is_null(j) ? NULL : j;
}

const char *mag_json_text(const json_t *root, const char *path, const char *def)
{
    const char *s = json_string_value(mag_json_at(root, path));
    return s ? s : def;
}

int64_t mag_json_int(const json_t *root, const char *path, int64_t def)
{
    const json_t *j = mag_json_at(root, path);
    return json_is_integer(j) ? json_integer_value(j) : def;
}

bool mag_json_bool(const json_t *root, const char *path, bool def)
{
    const json_t *j = mag_json_at(root, path);
    return json_is_boolean(j) ? json_is_true(j) : def;
}
