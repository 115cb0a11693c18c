/* YAML to JSON and back: types, limits, and what is refused with its place. */
#include "config/yaml.h"
#include "base/err.h"
#include "support/cunit_main.h"

#include "base/cleanup.h"
#include "base/str.h"

static json_t *load(const char *text)
{
    json_t *j = NULL;
    struct err e = ERR_INIT;
    int rc = yaml_load("t.yaml", text, strlen(text), &j, &e);
    if (rc < 0)
        fprintf(stderr, "%s\n", e.msg);
    return j;
}

static void expect(const char *yaml, const char *json)
{
    _cleanup_json_ json_t *got = load(yaml);
    _cleanup_json_ json_t *want = json_loads(json, JSON_DECODE_ANY, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(want);
    if (!json_equal(got, want)) {
        _cleanup_free_ char *text = got ? json_dumps(got, JSON_ENCODE_ANY) : NULL;
        fprintf(stderr, "%s: got %s, want %s\n", yaml, text ? text : "(error)", json);
    }
    CU_ASSERT_TRUE(json_equal(got, want));
}

static void refuse(const char *yaml, const char *part)
{
    json_t *j = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(yaml_load("t.yaml", yaml, strlen(yaml), &j, &e), ERR_INVALID);
    CU_ASSERT_PTR_NULL(j);
    if (!strstr(e.msg, part))
        fprintf(stderr, "%s: got \"%s\", want \"%s\"\n", yaml, e.msg, part);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, part));
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "t.yaml: "));
}

static void scalars_by_core_schema(void)
{
    expect("", "null");
    expect("# only a comment\n", "null");
    expect("a:", "{\"a\": null}");
    expect("[~, null, Null, NULL]", "[null, null, null, null]");
    expect("[true, True, TRUE, false, False, FALSE]", "[true, true, true, false, false, false]");
    expect("[yes, no, on, off, y, tRUE]", "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"tRUE\"]");
    expect("[0, -7, +7, 007, 0o17, 0xfF]", "[0, -7, 7, 7, 15, 255]");
    expect("[9223372036854775807, -9223372036854775808]",
           "[9223372036854775807, -9223372036854775808]");
    expect("[1.5, -.5, 2., 1e3, 1.5E-3, .5]", "[1.5, -0.5, 2.0, 1000.0, 0.0015, 0.5]");
    expect("[1.2.3, 0o8, 0xg, +, -, ., 1e, e1, 1_000, 12:30]",
           "[\"1.2.3\",\"0o8\",\"0xg\",\"+\",\"-\",\".\",\"1e\",\"e1\",\"1_000\",\"12:30\"]");
    expect("['1', \"true\", '', \"a\\u00e9\\n\"]", "[\"1\",\"true\",\"\",\"a\\u00e9\\n\"]");
    expect("a: |\n  1\n  2\nb: >-\n  x\n  y\n", "{\"a\": \"1\\n2\\n\", \"b\": \"x y\"}");
}

static void collections(void)
{
    expect("a: {b: [1, {c: d}], e: []}\nf: {}\n",
           "{\"a\": {\"b\": [1, {\"c\": \"d\"}], \"e\": []}, \"f\": {}}");
    expect("- - 1\n  - 2\n- x: y\n", "[[1, 2], {\"x\": \"y\"}]");
    expect("1: one\ntrue: yes\n", "{\"1\": \"one\", \"true\": \"yes\"}");
    expect("---\na: 1\n...\n", "{\"a\": 1}");
    expect("\xEF\xBB\xBF"
           "a: 1\n",
           "{\"a\": 1}"); /* a byte order mark of UTF-8 */
}

static void refused_with_place(void)
{
    refuse("a: &x 1\nb: *x\n", "line 1, column 4: anchors are not allowed");
    refuse("a: 1\nb: *x\n", "line 2, column 4: aliases are not allowed");
    refuse("a: !!str 1\n", "line 1, column 4: tags are not allowed");
    refuse("a: !x {b: 1}\n", "tags are not allowed");
    refuse("%TAG ! tag:x,2000:\n---\na: 1\n", "tags are not allowed");
    refuse("a: 1\nb: 2\na: 3\n", "line 3, column 1: duplicate key \"a\"");
    refuse("a: 1\n---\nb: 2\n", "line 2, column 1: only one document is allowed");
    refuse("? [a]\n: 1\n", "a key must be a plain word");
    refuse("a: [1, 2\n", "line 2, column 1: ");
    refuse("a: b: c\n", "line 1, column 5: ");
    refuse("a:\n\tb: 1\n", "line 2, column 1: ");
    refuse("a: \"\\0\"\n", "NUL");
    refuse("a: \"b\\0\"\n\"k\\0\": 1\n", "NUL");
    refuse("a: .inf\n", "line 1, column 4: infinities");
    refuse("a: -.INF\n", "infinities");
    refuse("a: .nan\n", "infinities");
    refuse("a: 9223372036854775808\n", "line 1, column 4: the number is too large");
    refuse("a: 1e999\n", "too large");
    refuse("a: \xff\xfe\n", "t.yaml: byte ");
    refuse("\xff\xfe"
           "a\0:\0",
           "t.yaml: byte "); /* UTF-16 is not read */
}

static void depth_is_limited(void)
{
    char ok[65], deep[80];
    memset(ok, '[', 32);
    memset(ok + 32, ']', 32);
    ok[64] = '\0';
    _cleanup_json_ json_t *j = load(ok);
    CU_ASSERT_PTR_NOT_NULL(j);
    snprintf(deep, sizeof deep, "[%s]", ok);
    refuse(deep, "nested deeper than 32 levels");
    /* very deep input ends early as well, whatever the shape */
    _cleanup_str_ struct str t = STR_INIT;
    for (int i = 0; i < 20000; i++)
        str_append(&t, "{a: ");
    refuse(str_text(&t), "nested deeper than 32 levels");
}

static void round_trip(const char *json, const char *yaml)
{
    _cleanup_json_ json_t *want = json_loads(json, JSON_DECODE_ANY, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(want);
    _cleanup_free_ char *text = yaml_dump(want);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    _cleanup_json_ json_t *got = load(text);
    if (!json_equal(got, want))
        fprintf(stderr, "%s became\n%s\n", json, text);
    CU_ASSERT_TRUE(json_equal(got, want));
    if (yaml)
        CU_ASSERT_STRING_EQUAL(text, yaml);
}

static void dump_reads_back(void)
{
    round_trip("{\"a\": {\"b\": [1, 2.5, true, null, \"x\"]}, \"c\": {}, \"d\": []}",
               "a:\n  b:\n  - 1\n  - 2.5\n  - true\n  - null\n  - x\nc: {}\nd: []\n");
    round_trip("[\"1\", \"true\", \"\", \"~\", \"yes\", \"1:30\", \"2026-11-22\", \"- a\", \"#x\"]",
               NULL);
    round_trip("{\"pem\": \"-----BEGIN X-----\\nabc\\n-----END X-----\\n\"}",
               "pem: |\n  -----BEGIN X-----\n  abc\n  -----END X-----\n");
    round_trip("[\" lead\", \"trail \", \"a\\n b \\nc\", \"\\n\", \"x\\n\\n\", \"\\tt\", \"a: b\"]",
               NULL);
    round_trip("[\"caf\\u00e9\", \"\\u2028\", \"\\ud83d\\ude00\", \"\\u0085\", \"\\u007f\\u0001\"]",
               NULL);
    round_trip("{\"on\": 1, \"\": 2, \"a b\": 3, \"x\\ny\": 4, \"1\": 5}", NULL);
    round_trip("\"just text\"", NULL);
    round_trip("-1.0e300", NULL);
    /* A key longer than a simple key may be. */
    _cleanup_str_ struct str t = STR_INIT;
    str_append(&t, "{\"");
    for (int i = 0; i < 2000; i++)
        str_append_c(&t, 'k');
    str_append(&t, "\": {\"a\": 1}}");
    round_trip(str_text(&t), NULL);
}

static void files(void)
{
    json_t *j = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(yaml_load_file("/nonexistent/x.yaml", 100, &j, &e), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(yaml_load_file("/proc/self/status", 10, &j, &e), ERR_TOO_LARGE);
    CU_ASSERT_PTR_NULL(j);
}

TEST_MAIN("unit/yaml", NULL, NULL, TEST(scalars_by_core_schema), TEST(collections),
          TEST(refused_with_place), TEST(depth_is_limited), TEST(dump_reads_back), TEST(files))
