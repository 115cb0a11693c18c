/* Tables (libsmartcols), JSON, YAML and bare values. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"
#include "config/yaml.h"

#include <libsmartcols.h>
#include <string.h>

/* One cell: texts as they are, nothing for null, documents as compact JSON. Caller frees. */
static char *cell(const json_t *v)
{
    if (!v || json_is_null(v))
        return strdup("-");
    if (json_is_string(v))
        return strdup(json_string_value(v));
    return jsonx_text(v);
}

void cli_say(const struct cli *c, const char *fmt, ...)
{
    if (c->format != CLI_TABLE)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static enum cli_exit print_document(const struct cli *c, const json_t *doc)
{
    _cleanup_free_ char *text =
        c->format == CLI_JSON ? json_dumps(doc, JSON_INDENT(2) | JSON_ENCODE_ANY) : yaml_dump(doc);
    if (!text)
        return cli_no_memory();
    fputs(text, stdout);
    if (!str_ends(text, "\n"))
        putchar('\n');
    return CLI_OK;
}

static struct libscols_table *new_table(void)
{
    scols_init_debug(0);
    struct libscols_table *t = scols_new_table();
    if (t) {
        scols_table_enable_ascii(t, 1);
        scols_table_set_termforce(t, SCOLS_TERMFORCE_NEVER); /* never cut what a script may read */
        scols_table_set_column_separator(t, " | ");
    }
    return t;
}

static enum cli_exit print_table(const json_t *rows, const struct strv *columns)
{
    struct libscols_table *t = new_table();
    enum cli_exit code = CLI_OK;
    bool bad = !t;
    for (size_t i = 0; !bad && i < columns->n; i++)
        bad = !scols_table_new_column(t, columns->v[i], 0, 0);
    for (size_t r = 0; !bad && r < json_array_size(rows); r++) {
        struct libscols_line *line = scols_table_new_line(t, NULL);
        bad = !line;
        for (size_t i = 0; !bad && i < columns->n; i++) {
            char *text = cell(json_object_get(json_array_get(rows, r), columns->v[i]));
            bad = !text || scols_line_refer_data(line, i, text) != 0;
        }
    }
    if (bad)
        code = cli_no_memory();
    else
        scols_print_table(t);
    scols_unref_table(t);
    return code;
}

static enum cli_exit print_values(const json_t *rows, const struct strv *columns)
{
    for (size_t r = 0; r < json_array_size(rows); r++)
        for (size_t i = 0; i < columns->n; i++) {
            const json_t *v = json_object_get(json_array_get(rows, r), columns->v[i]);
            _cleanup_free_ char *text = v && json_is_null(v) ? strdup("") : cell(v);
            if (!text)
                return cli_no_memory();
            printf("%s%s", text, i + 1 < columns->n ? " " : "\n");
        }
    return CLI_OK;
}

/* Only the wanted columns, in their order; an unknown one is a usage error. */
static int choose(const struct cli *c, const json_t *sample, const char *const *defaults,
                  struct strv *ret, struct err *e)
{
    for (size_t i = 0; c->columns.n == 0 && defaults[i]; i++)
        if (strv_add(ret, defaults[i]) != 0)
            return err_nomem(e);
    for (size_t i = 0; i < c->columns.n; i++) {
        bool known = !sample || json_object_get(sample, c->columns.v[i]);
        for (size_t k = 0; !known && defaults[k]; k++)
            known = strcmp(defaults[k], c->columns.v[i]) == 0;
        if (!known)
            return err_set(e, ERR_INVALID, "there is no column '%s'", c->columns.v[i]);
        if (strv_add(ret, c->columns.v[i]) != 0)
            return err_nomem(e);
    }
    return 0;
}

static json_t *narrow(const json_t *row, const struct strv *columns)
{
    json_t *o = json_object();
    for (size_t i = 0; o && i < columns->n; i++) {
        json_t *v = json_object_get(row, columns->v[i]);
        json_object_set_new(o, columns->v[i], v ? json_incref(v) : json_null());
    }
    return o;
}

enum cli_exit cli_print_list(struct cli *c, const json_t *items, const char *const *defaults)
{
    struct err e = ERR_INIT;
    _cleanup_strv_ struct strv columns = STRV_INIT;
    if (choose(c, json_array_get(items, 0), defaults, &columns, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    if (c->format == CLI_TABLE)
        return print_table(items, &columns);
    if (c->format == CLI_VALUE)
        return print_values(items, &columns);
    _cleanup_json_ json_t *doc = json_array();
    for (size_t i = 0; doc && i < json_array_size(items); i++)
        json_array_append_new(doc, narrow(json_array_get(items, i), &columns));
    return doc ? print_document(c, doc) : cli_no_memory();
}

/* Names of all members but the links, which are for programs. */
static int all_members(const json_t *item, struct strv *ret)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)item); it;
         it = json_object_iter_next((json_t *)(uintptr_t)item, it)) {
        const char *key = json_object_iter_key(it);
        if (strcmp(key, "links") != 0 && strv_add(ret, key) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

/* The item turned on its side: one row per member. */
static json_t *sideways(const json_t *item, const struct strv *columns)
{
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < columns->n; i++) {
        json_t *value = json_object_get(item, columns->v[i]);
        json_array_append_new(rows,
                              json_pack("{s:s, s:O?}", "field", columns->v[i], "value", value));
    }
    return rows;
}

enum cli_exit cli_print_item(struct cli *c, const json_t *item)
{
    static const char *const none[] = {NULL};
    struct err e = ERR_INIT;
    _cleanup_strv_ struct strv columns = STRV_INIT, headings = STRV_INIT;
    if (choose(c, item, none, &columns, &e) != 0)
        return cli_fail(CLI_USAGE, &e);
    if (c->columns.n == 0 && all_members(item, &columns) != 0)
        return cli_no_memory();
    if (c->format == CLI_JSON || c->format == CLI_YAML) {
        _cleanup_json_ json_t *doc = narrow(item, &columns);
        return doc ? print_document(c, doc) : cli_no_memory();
    }
    _cleanup_json_ json_t *rows = sideways(item, &columns);
    if (!rows || strv_split(&headings, c->format == CLI_VALUE ? "value" : "field,value", ',') != 0)
        return cli_no_memory();
    return c->format == CLI_VALUE ? print_values(rows, &headings) : print_table(rows, &headings);
}

/* "?sort_key=..&limit=.." of the options given, to follow path. Caller frees; NULL = no memory. */
static char *list_query(const struct cli_args *a, const char *path)
{
    static const char *const options[][2] = {
        {"sort-key", "sort_key"}, {"sort-dir", "sort_dir"}, {"limit", "limit"},
        {"marker", "marker"},     {"role", "role"},         {"all-tenants", "all_tenants"}};
    struct str q = STR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char *text = cli_text(a, options[i][0]);
        _cleanup_free_ char *value = text ? cli_escape(*text ? text : "True") : NULL;
        if (value)
            str_printf(&q, "%c%s=%s", q.len || strchr(path, '?') ? '&' : '?', options[i][1], value);
    }
    return str_take(&q);
}

enum cli_exit cli_list(struct cli *c, const struct cli_args *a, char *path, const char *member,
                       const char *const *columns)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *owned = path, *query = path ? list_query(a, path) : NULL;
    _cleanup_free_ char *full = owned && query ? str_fmt("%s%s", owned, query) : NULL;
    _cleanup_json_ json_t *items = NULL;
    if (!full)
        return cli_no_memory();
    if (cli_has(a, "limit") && cli_int(a, "limit", 0) <= 0) {
        err_set(&e, ERR_INVALID, "--limit takes a number from 1 on");
        return cli_fail(CLI_USAGE, &e);
    }
    enum cli_exit code = cli_request_all(c, full, member, cli_int(a, "limit", 0), &items);
    return code == CLI_OK ? cli_print_list(c, items, columns) : code;
}

enum cli_exit cli_show(struct cli *c, const char *method, char *path, const json_t *body)
{
    _cleanup_free_ char *owned = path;
    _cleanup_json_ json_t *doc = NULL;
    enum cli_exit code = cli_request(c, method, owned, body, &doc);
    return code == CLI_OK && doc ? cli_print_item(c, doc) : code;
}
