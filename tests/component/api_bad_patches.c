/* JSON patches that must be refused: for every attribute of every resource every wrong value in
 * every operation, paths that lead nowhere, operations that are none, values of the wrong kind. The
 * attribute tables and the lists of internal and mandatory paths say what is to be tried. */
#include "component/api_bad.h"

#include "api/patch.h"

static char cluster[40], used[40], cluster_template[40];
static char template_path[80], cluster_path[80], group_path[120];

struct target {
    const char *path;
    const struct attr_table *table;
    const struct patch_rules *rules;
};
static const struct target targets[] = {
    {template_path, &attrs_template, &patch_template},
    {cluster_path, &attrs_cluster, &patch_cluster},
    {group_path, &attrs_nodegroup, &patch_nodegroup},
};

static void refused_patch(const struct target *t, const char *patch, const char *name,
                          const char *other)
{
    refused("PATCH", t->path, patch, 409, name, other);
}

static char *operation(const char *op, const char *path, const char *value)
{
    return str_fmt("[{\"op\":\"%s\",\"path\":\"%s\"%s%s}]", op, path, value ? ",\"value\":" : "",
                   value ? value : "");
}

static bool listed(const char *const *list, const char *s)
{
    for (; list && *list; list++)
        if (strcmp(*list, s) == 0)
            return true;
    return false;
}

/* ---- every attribute ---- */

/* A patch's value is a text or a whole number: what else the table would refuse is refused earlier,
 * and in a patch true and false are numbers. Texts of a literal are a language of their own. */
static bool patch_can_say(const struct attr *a, const char *value)
{
    bool text = *value == '"';
    bool whole = !text && value[strspn(value, "-0123456789")] == '\0';
    if (a->type == ATTR_STRING || a->type == ATTR_TEXT || a->type == ATTR_INT ||
        a->type == ATTR_BOOL || a->type == ATTR_ENUM || a->type == ATTR_UUID || a->type == ATTR_DNS)
        return text || whole;
    return whole;
}

static void every_value(void)
{
    for (size_t k = 0; k < ARRAY_LEN(targets); k++) {
        const struct target *t = &targets[k];
        for (size_t i = 0; i < t->table->n; i++) {
            const struct attr *a = &t->table->v[i];
            _cleanup_strv_ struct strv values = STRV_INIT;
            _cleanup_free_ char *path = str_fmt("/%s", a->name);
            struct stored before = stored_now();
            if (a->flags & ATTR_ZED)
                continue;
            bad_values(a, &values);
            for (size_t v = 0; v < values.n; v++) {
                _cleanup_free_ char *replace = operation("replace", path, values.v[v]);
                _cleanup_free_ char *add = operation("add", path, values.v[v]);
                const char *other = patch_can_say(a, values.v[v]) ? "patch" : "value";
                if (a->type == ATTR_DNS && !strchr("[{", *values.v[v]))
                    other = "dns";
                refused_patch(t, replace, a->name, other);
                refused_patch(t, add, a->name, other);
            }
            check_untouched(&before, a->name);
        }
    }
}

/* JSON that a patch has no value for, whatever the attribute. */
static void no_values(void)
{
    static const char *const values[] = {"1.5", "[]", "{}", "[1]", "{\"a\":\"b\"}", "1e300"};
    for (size_t k = 0; k < ARRAY_LEN(targets); k++) {
        const struct target *t = &targets[k];
        struct stored before = stored_now();
        for (size_t i = 0; i < t->table->n; i++) {
            _cleanup_free_ char *path = str_fmt("/%s", t->table->v[i].name);
            _cleanup_free_ char *missing = operation("replace", path, NULL);
            _cleanup_free_ char *null = operation("add", path, "null");
            if (listed(t->rules->internal, path))
                continue;
            refused_patch(t, missing, "value", NULL);
            refused_patch(t, null, "value", NULL);
            for (size_t v = 0; v < ARRAY_LEN(values); v++) {
                _cleanup_free_ char *patch = operation("replace", path, values[v]);
                refused_patch(t, patch, "value", NULL);
            }
        }
        check_untouched(&before, t->path);
    }
}

/* ---- paths ---- */

static void closed_paths(void)
{
    for (size_t k = 0; k < ARRAY_LEN(targets); k++) {
        const struct target *t = &targets[k];
        struct stored before = stored_now();
        for (const char *const *p = t->rules->internal; *p; p++) {
            _cleanup_free_ char *replace = operation("replace", *p, "\"x\"");
            _cleanup_free_ char *remove = operation("remove", *p, NULL);
            refused_patch(t, replace, *p, NULL);
            refused_patch(t, remove, *p, NULL);
        }
        for (const char *const *p = t->rules->mandatory; *p; p++) {
            _cleanup_free_ char *remove = operation("remove", *p, NULL);
            refused_patch(t, remove, *p, NULL);
        }
        check_untouched(&before, t->path);
    }
}

static void no_paths(void)
{
    static const char *const paths[] = {"\"\"",
                                        "\"/\"",
                                        "\"name\"",
                                        "\"//name\"",
                                        "\"/name/\"",
                                        "\"/na me\"",
                                        "\"/a~1b\"",
                                        "\"/labels/a.b\"",
                                        "\"/labels/'x\"",
                                        "\"/$(id)\"",
                                        "\"/%73\"",
                                        "\"/a;b\"",
                                        "\"/\\u0007\"",
                                        "1",
                                        "true",
                                        "null",
                                        "[]",
                                        "{}",
                                        "[\"/name\"]"};
    static const char *const nowhere[] = {"/zz",       "/zz/a",      "/name/a", "/labels/zz/a",
                                          "/links/99", "/__class__", "/-"};
    static const char *const ops[] = {"add", "replace", "remove"};
    _cleanup_free_ char *longest = long_text(1000 * 1000);
    longest[1] = '/';
    for (size_t k = 0; k < ARRAY_LEN(targets); k++) {
        const struct target *t = &targets[k];
        struct stored before = stored_now();
        for (size_t o = 0; o < ARRAY_LEN(ops); o++) {
            for (size_t i = 0; i <= ARRAY_LEN(paths); i++) {
                _cleanup_free_ char *patch =
                    str_fmt("[{\"op\":\"%s\",\"path\":%s,\"value\":\"x\"}]", ops[o],
                            i < ARRAY_LEN(paths) ? paths[i] : longest);
                refused_patch(t, patch, i < ARRAY_LEN(paths) ? "path" : "xxx", NULL);
            }
            for (size_t i = 0; i < ARRAY_LEN(nowhere); i++) {
                _cleanup_free_ char *patch = operation(ops[o], nowhere[i], "\"x\"");
                refused_patch(t, patch, nowhere[i], NULL);
            }
        }
        check_untouched(&before, t->path);
    }
}

/* ---- operations ---- */

static void no_operations(void)
{
    static const struct {
        const char *patch, *names;
    } cases[] = {
        {"{}", "patch"},
        {"{\"op\":\"remove\",\"path\":\"/name\"}", "patch"},
        {"\"x\"", "patch"},
        {"1", "patch"},
        {"true", "patch"},
        {"[1]", "patch"},
        {"[null]", "patch"},
        {"[\"x\"]", "patch"},
        {"[[]]", "patch"},
        {"[{}]", "path"},
        {"[{\"op\":\"remove\"}]", "path"},
        {"[{\"path\":\"/name\"}]", "op"},
        {"[{\"path\":\"/name\",\"value\":\"x\"}]", "op"},
        {"[{\"op\":\"move\",\"path\":\"/name\",\"from\":\"/tags\"}]", "from"},
        {"[{\"op\":\"copy\",\"path\":\"/name\"}]", "op"},
        {"[{\"op\":\"test\",\"path\":\"/name\",\"value\":\"x\"}]", "op"},
        {"[{\"op\":\"REPLACE\",\"path\":\"/name\",\"value\":\"x\"}]", "op"},
        {"[{\"op\":null,\"path\":\"/name\",\"value\":\"x\"}]", "op"},
        {"[{\"op\":[],\"path\":\"/name\",\"value\":\"x\"}]", "op"},
        {"[{\"op\":7,\"path\":\"/name\",\"value\":\"x\"}]", "op"},
        {"[{\"op\":\"'; DROP TABLE cluster; --\",\"path\":\"/name\"}]", "op"},
        {"[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"x\",\"zz\":1}]", "zz"},
        {"[{\"op\":\"replace\",\"op\":\"remove\",\"path\":\"/name\"}]", "JSON"},
        {"[{\"op\":\"remove\",\"path\":\"/labels/a\"},{}]", "path"},
        {"[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"\\u0000\"}]", "JSON"},
        {"[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"\\ud800\"}]", "JSON"},
        {"[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"\xff\"}]", "JSON"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "JSON"},
    };
    for (size_t k = 0; k < ARRAY_LEN(targets); k++) {
        struct stored before = stored_now();
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
            refused_patch(&targets[k], cases[i].patch, cases[i].names, NULL);
        check_untouched(&before, targets[k].path);
    }
}

/* The first operation is fine and the second is not: neither happens. */
static void all_or_nothing(void)
{
    static const char *const seconds[] = {
        "{\"op\":\"replace\",\"path\":\"/zz\",\"value\":\"x\"}",
        "{\"op\":\"remove\",\"path\":\"/zz\"}",
        "{\"op\":\"replace\",\"path\":\"/labels\",\"value\":\"{'a'\"}",
    };
    static const char *const firsts[] = {
        "{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"other\"}",
        "{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":2}",
        "{\"op\":\"replace\",\"path\":\"/max_node_count\",\"value\":9}",
    };
    for (size_t k = 0; k < ARRAY_LEN(targets); k++) {
        struct stored before = stored_now();
        for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
            _cleanup_free_ char *patch = str_fmt("[%s,%s]", firsts[k], seconds[i]);
            refused_patch(&targets[k], patch, NULL, NULL);
        }
        check_untouched(&before, targets[k].path);
    }
}

/* Literals in text: not a dictionary, no dictionary of texts, no end. */
static void literals(void)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "{'a'",
                                        "{'a':}",
                                        "{'a': 'b'",
                                        "[]",
                                        "[1, 2]",
                                        "7",
                                        "'x'",
                                        "{'a': ['b']}",
                                        "{'a': {'b': 'c'}}",
                                        "{'a': __import__('os')}",
                                        "{'a': 'b'}; drop",
                                        "{'a': b}"};
    static const struct {
        size_t target;
        const char *path;
    } places[] = {{0, "/labels"}, {1, "/health_status_reason"}, {2, "/node_labels"}};
    _cleanup_str_ struct str deep = STR_INIT;
    for (int i = 0; i < 5000; i++)
        str_append(&deep, "{'a':");
    for (size_t p = 0; p < ARRAY_LEN(places); p++) {
        struct stored before = stored_now();
        for (size_t i = 0; i <= ARRAY_LEN(texts); i++) {
            _cleanup_free_ char *value =
                str_fmt("\"%s\"", i < ARRAY_LEN(texts) ? texts[i] : str_text(&deep));
            _cleanup_free_ char *patch = operation("replace", places[p].path, value);
            refused_patch(&targets[places[p].target], patch, places[p].path + 1, NULL);
        }
        check_untouched(&before, places[p].path);
    }
}

/* Nobody's resources: the patch is fine, the path is not. */
static void no_resources(void)
{
    static const char *const paths[] = {
        "/v1/clusters/%27%20OR%201=1",       "/v1/clusters/12121212-3434-4565-8787-909090909090",
        "/v1/clustertemplates/%3Cscript%3E", "/v1/federations/x",
        "/v1/clusters/x/nodegroups/y",
    };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        ASK("PATCH", paths[i], "[{\"op\":\"replace\",\"path\":\"/max_node_count\",\"value\":2}]",
            404);
        CU_ASSERT(error_body_good());
    }
    refused("PATCH", "/v1/clusters", "[]", 0, "cluster_ident", NULL);
    refused("PATCH", "/v1/clustertemplates", "[]", 0, "cluster_template_ident", NULL);
}

/* A template in use and a cluster at work refuse what would be fine elsewhere. */
static void states(void)
{
    struct stored before = stored_now();
    _cleanup_free_ char *in_use = str_fmt("/v1/clustertemplates/%s", used);
    refused("PATCH", in_use,
            "[{\"op\":\"replace\",\"path\":\"/flavor_id\",\"value\":\"m1.large\"}]", 0, used, NULL);
    refused("PATCH", in_use, "[]", 0, used, NULL);
    refused("DELETE", in_use, NULL, 0, used, NULL);
    check_untouched(&before, "states");
}

/* The first test: what the others need. */
static void resources(void)
{
    microversion("latest");
    snprintf(cluster_template, sizeof cluster_template, "%s",
             make_template("\"labels\":{\"a\":\"1\"}"));
    snprintf(used, sizeof used, "%s", make_template(NULL));
    snprintf(cluster, sizeof cluster, "%s", make_cluster(used, NULL));
    conduct();
    snprintf(template_path, sizeof template_path, "/v1/clustertemplates/%s", cluster_template);
    snprintf(cluster_path, sizeof cluster_path, "/v1/clusters/%s", cluster);
    snprintf(group_path, sizeof group_path, "/v1/clusters/%s/nodegroups/default-worker", cluster);
}

TEST_MAIN("api_bad_patches", api_fixture_start, api_fixture_stop, TEST(resources),
          TEST(every_value), TEST(no_values), TEST(closed_paths), TEST(no_paths),
          TEST(no_operations), TEST(all_or_nothing), TEST(literals), TEST(no_resources),
          TEST(states))
