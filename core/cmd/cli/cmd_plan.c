/* --plan: what a change would do, for people. See cli.h. */
#include "cmd/cli/cli.h"

#include "base/jsonx.h"

#include <string.h>

static const char *text_or(const json_t *o, const char *key, const char *missing)
{
    const char *s = jsonx_str(o, key);
    return str_blank(s) ? missing : s;
}

static void add_counts(struct str *t, const json_t *o)
{
    str_printf(t, "%lld -> %lld", (long long)jsonx_int(o, "now", 0),
               (long long)jsonx_int(o, "then", 0));
}

static void add_list(struct str *t, const json_t *plan, const char *key, const char *mark)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(plan, key), i, v)
    {
        const char *detail = text_or(v, "detail", "");
        str_printf(t, "  %s %s %s%s%s\n", mark, text_or(v, "kind", ""), text_or(v, "name", ""),
                   *detail ? "  " : "", detail);
    }
}

static void add_ids(struct str *t, const json_t *plan, const char *key, const char *what)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(plan, key), i, v)
        str_printf(t, "%s operation %s\n", what, json_string_value(v));
}

static void describe(struct str *t, const json_t *plan)
{
    const json_t *quota = json_object_get(plan, "quota");
    size_t i;
    json_t *g;
    str_printf(t, "%s of cluster %s by driver %s; nothing is done yet\n",
               text_or(plan, "kind", "change"), text_or(plan, "cluster_name", ""),
               text_or(plan, "driver", "?"));
    add_list(t, plan, "make", "+");
    add_list(t, plan, "change", "~");
    add_list(t, plan, "remove", "-");
    str_append(t, "nodes ");
    add_counts(t, json_object_get(plan, "nodes"));
    json_array_foreach(json_object_get(plan, "nodegroups"), i, g)
    {
        str_printf(t, "%s%s ", i ? ", " : ": ", text_or(g, "name", ""));
        add_counts(t, json_object_get(g, "node_count"));
    }
    str_append(t, "\nquota clusters ");
    add_counts(t, quota);
    str_printf(t, " of %lld\n", (long long)jsonx_int(quota, "limit", 0));
    add_ids(t, plan, "replaces", "replaces");
    add_ids(t, plan, "waits_for", "waits for");
    if (jsonx_str(plan, "note"))
        str_printf(t, "note: %s\n", jsonx_str(plan, "note"));
}

enum cli_exit cli_plan(struct cli *c, const char *method, const char *path, const json_t *body)
{
    const char *join = path && strchr(path, '?') ? "&" : "?";
    _cleanup_free_ char *full = path ? str_fmt("%s%splan=true", path, join) : NULL;
    _cleanup_json_ json_t *doc = NULL;
    enum cli_exit code = cli_request(c, method, full, body, &doc);
    const json_t *plan = json_object_get(doc, "plan");
    if (code != CLI_OK)
        return code;
    if (!json_is_object(plan)) {
        puts("nothing would be done");
        return CLI_OK;
    }
    if (c->format != CLI_TABLE)
        return cli_print_item(c, plan);
    _cleanup_str_ struct str t = STR_INIT;
    describe(&t, plan);
    char *line = t.oom ? NULL : t.s, *save = NULL;
    if (!line)
        return cli_no_memory();
    for (line = strtok_r(line, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        cli_clean(line);
        puts(line);
    }
    return CLI_OK;
}
