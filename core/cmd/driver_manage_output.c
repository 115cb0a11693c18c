/* Tables (libsmartcols), JSON, YAML and bare values for magnum-driver-manage: see driver_manage.h.
 */
#include "cmd/driver_manage.h"

#include "base/jsonx.h"
#include "config/yaml.h"

#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

bool output_format_parse(const char *text, enum output_format *ret)
{
    static const char *const names[] = {[OUTPUT_TABLE] = "table",
                                        [OUTPUT_JSON] = "json",
                                        [OUTPUT_YAML] = "yaml",
                                        [OUTPUT_VALUE] = "value"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], text) == 0) {
            *ret = (enum output_format)i;
            return true;
        }
    return false;
}

/* One cell as text; caller frees, NULL = no memory. */
static char *cell(const json_t *v)
{
    if (!v || json_is_null(v))
        return strdup("");
    return json_is_string(v) ? strdup(json_string_value(v)) : jsonx_text(v);
}

static int print_document(enum output_format f, const json_t *doc, struct err *e)
{
    _cleanup_free_ char *text =
        f == OUTPUT_JSON ? json_dumps(doc, JSON_INDENT(2) | JSON_ENCODE_ANY) : yaml_dump(doc);
    if (!text)
        return err_nomem(e);
    printf("%s%s", text, str_ends(text, "\n") ? "" : "\n");
    return 0;
}

static bool fill_table(struct libscols_table *t, const json_t *rows, const char *const *columns)
{
    for (size_t i = 0; columns[i]; i++)
        if (!scols_table_new_column(t, columns[i], 0, 0))
            return false;
    size_t r;
    json_t *row;
    json_array_foreach(rows, r, row)
    {
        struct libscols_line *line = scols_table_new_line(t, NULL);
        for (size_t i = 0; line && columns[i]; i++) {
            char *text = cell(json_object_get(row, columns[i]));
            if (!text || scols_line_refer_data(line, i, text) != 0)
                return false;
        }
        if (!line)
            return false;
    }
    return true;
}

static int print_table(const json_t *rows, const char *const *columns, struct err *e)
{
    scols_init_debug(0);
    struct libscols_table *t = scols_new_table();
    int rc = 0;
    if (t) {
        scols_table_enable_ascii(t, 1);
        scols_table_set_termforce(t, SCOLS_TERMFORCE_NEVER); /* never cut what a script may read */
        scols_table_set_column_separator(t, " | ");
    }
    if (!t || !fill_table(t, rows, columns) || scols_print_table(t) != 0)
        rc = err_nomem(e);
    scols_unref_table(t);
    return rc;
}

static int print_values(const json_t *rows, const char *const *columns, struct err *e)
{
    size_t r;
    json_t *row;
    json_array_foreach(rows, r, row)
    {
        for (size_t i = 0; columns[i]; i++) {
            _cleanup_free_ char *text = cell(json_object_get(row, columns[i]));
            if (!text)
                return err_nomem(e);
            printf("%s%s", i ? " " : "", text);
        }
        putchar('\n');
    }
    return 0;
}

int output_list(enum output_format f, const json_t *rows, const char *const *columns, struct err *e)
{
    if (f == OUTPUT_TABLE)
        return print_table(rows, columns, e);
    if (f == OUTPUT_VALUE)
        return print_values(rows, columns, e);
    _cleanup_json_ json_t *doc = json_array();
    size_t r;
    json_t *row;
    json_array_foreach(rows, r, row)
    {
        json_t *narrow = json_object();
        for (size_t i = 0; columns[i]; i++) {
            json_t *v = json_object_get(row, columns[i]);
            json_object_set_new(narrow, columns[i], v ? json_incref(v) : json_null());
        }
        if (json_array_append_new(doc, narrow) < 0)
            return err_nomem(e);
    }
    return print_document(f, doc, e);
}

int output_item(enum output_format f, const json_t *item, struct err *e)
{
    static const char *const both[] = {"Field", "Value", NULL};
    static const char *const value[] = {"Value", NULL};
    if (f == OUTPUT_JSON || f == OUTPUT_YAML)
        return print_document(f, item, e);
    _cleanup_json_ json_t *rows = json_array();
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)item, key, v)
    {
        if (json_array_append_new(rows, json_pack("{s:s,s:O}", "Field", key, "Value", v)) < 0)
            return err_nomem(e);
    }
    return f == OUTPUT_VALUE ? print_values(rows, value, e) : print_table(rows, both, e);
}
