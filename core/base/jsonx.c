/* See jsonx.h. */
#include "base/jsonx.h"

#include <string.h>

const char *jsonx_str(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

int64_t jsonx_int(const json_t *o, const char *key, int64_t missing)
{
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : missing;
}

bool jsonx_bool(const json_t *o, const char *key, bool missing)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : missing;
}

/* jansson's own depth limit is fixed at build time (2048), so ours is checked on the text first:
 * cheap, and nothing is allocated for a hostile document. */
static bool too_deep(const char *text, size_t len, unsigned max_depth)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth)
                return true;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return false;
}

int jsonx_parse(const char *text, size_t len, unsigned max_depth, json_t **ret, struct err *e)
{
    if (too_deep(text, len, max_depth))
        return err_set(e, ERR_INVALID, "JSON is nested deeper than %u levels", max_depth);
    json_error_t je;
    json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!j) {
        if (json_error_code(&je) == json_error_out_of_memory)
            return err_nomem(e);
        return err_set(e, ERR_INVALID, "not valid JSON at line %d, column %d: %s", je.line,
                       je.column, je.text);
    }
    *ret = j;
    return 0;
}

char *jsonx_canonical(const json_t *j)
{
    return json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

char *jsonx_text(const json_t *j)
{
    return json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
}

int jsonx_set_str(json_t *o, const char *key, const char *value)
{
    return json_object_set_new(o, key, value ? json_string(value) : json_null()) < 0 ? ERR_NOMEM
                                                                                     : 0;
}
