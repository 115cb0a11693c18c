/* Unit tests of the API's text work: JSON writing, UTF-8, Python literals, made-up names. */
#include "api/jw.h"
#include "api/pyliteral.h"
#include "api/text.h"
#include "base/jsonx.h"
#include "model/entity.h"
#include "support/cunit_main.h"

static void json_is_written_in_order(void)
{
    _cleanup_str_ struct str o = STR_INIT;
    _cleanup_json_ json_t *list = json_pack("[i, s]", 1, "x");
    str_append_c(&o, '{');
    jw_str(&o, "a", "q\"\\\n\x01\xc3\xa9\x7f");
    jw_str(&o, "b", NULL);
    jw_int(&o, "c", INT64_MIN + 1);
    jw_int(&o, "d", MODEL_UNSET);
    jw_bool(&o, "e", true);
    jw_time(&o, "f", TIME_UNSET);
    jw_time(&o, "g", 1);
    jw_json(&o, "h", NULL, "{}");
    jw_json(&o, "i", list, "[]");
    str_append_c(&o, '}');
    CU_ASSERT_STRING_EQUAL(
        str_text(&o),
        "{\"a\":\"q\\\"\\\\\\n\\u0001\xc3\xa9\\u007f\",\"b\":null,\"c\":-9223372036854775807,"
        "\"d\":null,\"e\":true,\"f\":null,\"g\":\"1970-01-01T00:00:00.000001+00:00\",\"h\":{},"
        "\"i\":[1,\"x\"]}");
    _cleanup_json_ json_t *back = json_loads(str_text(&o), 0, NULL);
    CU_ASSERT_STRING_EQUAL(jsonx_str(back, "a"), "q\"\\\n\x01\xc3\xa9\x7f");
}

static void utf8_is_strict(void)
{
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xe2\x98",
                                      "a\xff"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT_FALSE(text_utf8(bad[i]));
    CU_ASSERT(text_utf8(""));
    CU_ASSERT(text_utf8("gr\xc3\xbc\xc3\x9f \xe5\xb1\xb1 \xf0\x9f\x90\xb3 \xf4\x8f\xbf\xbf"));
    char cut[] = "a\xe2\x98\xffz\xc3\xa9\xf0\x9f\x90";
    text_drop_broken(cut);
    CU_ASSERT_STRING_EQUAL(cut, "az\xc3\xa9");
}

static void literals_are_read(void)
{
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"{}", "{}"},
        {" { 'a' : 'b' , } ", "{\"a\":\"b\"}"},
        {"{\"a\": 1, 'b': -2.5, 'c': True, 'd': None, 'e': False}",
         "{\"a\":1,\"b\":-2.5,\"c\":true,\"d\":null,\"e\":false}"},
        {"[{'key': 'k', 'value': '', 'effect': 'NoSchedule'}]",
         "[{\"key\":\"k\",\"value\":\"\",\"effect\":\"NoSchedule\"}]"},
        {"('a', 'b')", "[\"a\",\"b\"]"},
        {"('a')", "\"a\""},
        {"('a',)", "[\"a\"]"},
        {"()", "[]"},
        {"{1: 'x', True: 'y'}", "{\"1\":\"x\",\"True\":\"y\"}"},
        {"'a\\'b\\n\\x41\\u00e9\\q'", "\"a'b\\nA\xc3\xa9\\\\q\""},
        {"'a' \"b\"", "\"ab\""},
        {"1_000", "1000"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT;
        _cleanup_json_ json_t *j = NULL;
        ASSERT_OK(py_literal_parse(rows[i].text, &j, &e), &e);
        _cleanup_free_ char *text = jsonx_text(j);
        CU_ASSERT_STRING_EQUAL(text, rows[i].json);
    }
}

static void other_code_is_refused(void)
{
    static const char *const bad[] = {"",          "{",
                                      "{'a'",      "{'a':",
                                      "{'a': 'b'", "{'a': 'b'}}",
                                      "[1 2]",     "true",
                                      "null",      "{a: 1}",
                                      "f()",       "__import__",
                                      "1+1",       "'open",
                                      "'a\n'",     "{1}",
                                      "b'x'",      "{[]: 1}",
                                      "Truex",     "--1",
                                      "1e",        "'\\x4'",
                                      "'\\u0000'", "'\\ud800'",
                                      "{,}",       "99999999999999999999",
                                      "lambda: 0", "'\xff'"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        json_t *j = NULL;
        CU_ASSERT_EQUAL(py_literal_parse(bad[i], &j, &e), ERR_INVALID);
        CU_ASSERT_PTR_NULL(j);
        CU_ASSERT(e.msg[0] != '\0');
    }
    char deep[200];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    json_t *j = NULL;
    CU_ASSERT_EQUAL(py_literal_parse(deep, &j, NULL), ERR_INVALID);
}

static void values_print_as_in_python(void)
{
    _cleanup_json_ json_t *j =
        json_loads("{\"a\":[1,1.5,2.0,true,null],\"it's\":\"x\\n\",\"q\":\"\\\"'\"}", 0, NULL);
    _cleanup_str_ struct str o = STR_INIT;
    py_repr(j, &o);
    CU_ASSERT_STRING_EQUAL(str_text(&o),
                           "{'a': [1, 1.5, 2.0, True, None], \"it's\": 'x\\n', 'q': '\"\\''}");
    str_clear(&o);
    py_str(NULL, &o);
    CU_ASSERT_STRING_EQUAL(str_text(&o), "None");
}

static void names_are_made_up(void)
{
    char name[64];
    for (int i = 0; i < 200; i++) {
        char letter[32];
        unsigned n = 0;
        text_make_name("cluster", name, sizeof name);
        CU_ASSERT_EQUAL(sscanf(name, "%31[a-z]-%u-cluster", letter, &n), 2);
        CU_ASSERT(n >= 1 && n <= 24);
        CU_ASSERT(str_ends(name, "-cluster"));
    }
}

static void fingerprints_tell_requests_apart(void)
{
    static const char *const pieces[][2] = {{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}};
    char hex[4][33];
    for (size_t i = 0; i < 4; i++) {
        struct text_mark m;
        text_mark_init(&m);
        for (size_t k = 0; k < 2; k++)
            text_mark_add(&m, pieces[i][k], strlen(pieces[i][k]));
        text_mark_hex(&m, hex[i]);
        CU_ASSERT_EQUAL(strlen(hex[i]), 32);
        for (size_t k = 0; k < i; k++)
            CU_ASSERT_STRING_NOT_EQUAL(hex[i], hex[k]);
    }
}

TEST_MAIN("api_text", NULL, NULL, TEST(json_is_written_in_order), TEST(utf8_is_strict),
          TEST(literals_are_read), TEST(other_code_is_refused), TEST(values_print_as_in_python),
          TEST(names_are_made_up), TEST(fingerprints_tell_requests_apart))
