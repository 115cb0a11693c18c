/* Unit tests of what labels may say beside their values: which of an existing cluster may change,
 * which are unknown or deprecated, and when two values mean the same. */
#include "api/label_rules.h"
#include "api/labels.h"
#include "base/cleanup.h"
#include "base/jsonx.h"
#include "support/cunit_main.h"

static const char schema_text[] =
    "{\"properties\":{\"size\":{\"type\":\"integer\",\"mutable\":\"never\",\"default\":5},"
    "\"fast\":{\"type\":\"boolean\",\"mutable\":\"never\"},"
    "\"kind\":{\"type\":\"string\",\"mutable\":\"never\"},"
    "\"part\":{\"type\":\"number\",\"mutable\":\"never\"},"
    "\"tag\":{\"type\":\"string\",\"mutable\":\"upgrade\"},\"any\":{\"mutable\":\"always\"},"
    "\"open\":{},\"gone\":{\"type\":\"string\",\"deprecated\":true},"
    "\"few\":{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}}}";

static json_t *parsed(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(j);
    return j;
}

static void only_some_may_change(void)
{
    static const struct {
        const char *before, *after, *names; /* names NULL: allowed */
    } rows[] = {
        {"{}", "{}", NULL},
        {"{\"tag\":\"1\"}", "{\"tag\":\"2\"}", NULL},
        {"{\"any\":\"1\",\"open\":\"1\"}", "{\"free\":\"2\"}", NULL},
        {"{\"size\":\"6\"}", "{\"size\":6}", NULL},
        {"{\"size\":\"5\"}", "{}", NULL}, /* the default */
        {"{}", "{\"size\":\"+5\"}", NULL},
        {"{\"size\":\"6\"}", "{}", "size"},
        {"{}", "{\"size\":\"6\"}", "size"},
        {"{\"size\":\"6\"}", "{\"size\":\"7\"}", "size"},
        {"{\"fast\":\"True\"}", "{\"fast\":\"yes\"}", NULL},
        {"{\"fast\":\"True\"}", "{\"fast\":true}", NULL},
        {"{\"fast\":\"True\"}", "{\"fast\":\"off\"}", "fast"},
        {"{\"part\":\"0.50\"}", "{\"part\":0.5}", NULL},
        {"{\"part\":\"0.5\"}", "{\"part\":\"0.6\"}", "part"},
        {"{\"kind\":\"a\"}", "{\"kind\":\"a\"}", NULL},
        {"{\"kind\":\"a\"}", "{\"kind\":\"A\"}", "kind"},
        {"{\"kind\":\"a\"}", "{}", "kind"},
    };
    _cleanup_json_ json_t *schema = parsed(schema_text);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT;
        _cleanup_json_ json_t *before = parsed(rows[i].before), *after = parsed(rows[i].after);
        int rc = label_rules_change(schema, before, after, &e);
        CU_ASSERT_EQUAL(rc, rows[i].names ? ERR_INVALID : 0);
        if (rows[i].names)
            CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, rows[i].names));
    }
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *before = parsed("{\"kind\":\"a\"}"), *after = parsed("{\"kind\":\"b\"}");
    CU_ASSERT_EQUAL(label_rules_change(schema, before, after, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Label kind can't be changed to 'b': it takes effect only when a "
                                  "cluster is made; allowed: 'a', as the cluster has it");
    CU_ASSERT_EQUAL(label_rules_change(NULL, before, after, &e), 0);
}

static void unknown_and_deprecated_ones_are_found(void)
{
    _cleanup_json_ json_t *schema = parsed(schema_text);
    _cleanup_json_ json_t *labels = parsed("{\"size\":\"1\",\"what\":\"x\",\"gone\":\"y\","
                                           "\"min_node_count\":\"1\",\"else\":\"z\"}");
    _cleanup_strv_ struct strv unknown = STRV_INIT, deprecated = STRV_INIT, none = STRV_INIT;
    CU_ASSERT_EQUAL(label_rules_sort(schema, labels, &unknown, &deprecated), 0);
    CU_ASSERT_EQUAL_FATAL(unknown.n, 2);
    CU_ASSERT_STRING_EQUAL(unknown.v[0], "what");
    CU_ASSERT_STRING_EQUAL(unknown.v[1], "else");
    CU_ASSERT_EQUAL_FATAL(deprecated.n, 1);
    CU_ASSERT_STRING_EQUAL(deprecated.v[0], "gone");
    CU_ASSERT_EQUAL(label_rules_sort(NULL, labels, &none, &none), 0);
    CU_ASSERT_EQUAL(label_rules_sort(schema, NULL, &none, &none), 0);
    CU_ASSERT_EQUAL(none.n, 0);
}

static void open_ranges_hold(void)
{
    static const struct {
        const char *labels;
        int rc;
    } rows[] = {
        {"{\"few\":\"0.5\"}", 0}, {"{\"few\":\"0\"}", ERR_INVALID}, {"{\"few\":1}", ERR_INVALID}};
    _cleanup_json_ json_t *schema = parsed(schema_text);
    struct err e = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_json_ json_t *labels = parsed(rows[i].labels);
        CU_ASSERT_EQUAL(labels_check(schema, "d", labels, &e), rows[i].rc);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "number above 0 below 1"));
}

TEST_MAIN("api_label_rules", NULL, NULL, TEST(only_some_may_change),
          TEST(unknown_and_deprecated_ones_are_found), TEST(open_ranges_hold))
