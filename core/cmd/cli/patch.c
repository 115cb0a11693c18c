/* JSON patches from a command line: OP PATH=VALUE... See cli.h. */
#include "cmd/cli/cli.h"

#include "base/io.h"
#include "base/parse.h"

#include <string.h>

enum { FILE_MAX_BYTES = 8 << 20 };

/* "path=value", or "path" alone for remove; a whole number stays a number. NULL = not UTF-8. */
static json_t *one(const char *op, const char *word, const char *value)
{
    const char *eq = strchr(word, '=');
    size_t n = eq ? (size_t)(eq - word) : strlen(word);
    _cleanup_free_ char *path = str_fmt("%s%.*s", *word == '/' ? "" : "/", (int)n, word);
    int64_t number = 0;
    if (!path)
        return NULL;
    if (!eq)
        return json_pack("{s:s, s:s}", "op", op, "path", path);
    if (parse_i64(value, INT32_MIN, INT32_MAX, &number))
        return json_pack("{s:s, s:s, s:I}", "op", op, "path", path, "value", (json_int_t)number);
    return json_pack("{s:s, s:s, s:s}", "op", op, "path", path, "value", value);
}

int cli_patch(const char *op, const char *const *words, size_t n, const char *file_path,
              json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *patch = json_array();
    if (!str_eq(op, "add") && !str_eq(op, "replace") && !str_eq(op, "remove"))
        return err_set(e, ERR_INVALID, "OP is add, replace or remove, not '%s'", op);
    for (size_t i = 0; i < n; i++) {
        const char *eq = strchr(words[i], '='), *value = eq ? eq + 1 : NULL;
        const char *bare = words[i] + (*words[i] == '/');
        _cleanup_free_ char *text = NULL;
        bool from_file = file_path && eq && strlen(file_path) == (size_t)(eq - bare) &&
                         strncmp(bare, file_path, (size_t)(eq - bare)) == 0;
        if (from_file && io_read_file(value, FILE_MAX_BYTES, &text, NULL, e) != 0)
            return e->code;
        if (json_array_append_new(patch, one(op, words[i], text ? text : value)) < 0)
            return err_set(e, ERR_INVALID, "'%s' is not valid UTF-8", words[i]);
    }
    *ret = TAKE_PTR(patch);
    return 0;
}
