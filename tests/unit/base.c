/* Unit tests of core/base: strings, errors, time, parsing, uuid, JSON limits. */
#include "base/clock.h"
#include "base/err.h"
#include "base/jsonx.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/uuid.h"
#include "support/cunit_main.h"

#include <errno.h>

static void errors_carry_code_and_prefix(void)
{
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(err_set(&e, ERR_NOT_FOUND, "thing %d\nis gone", 7), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(e.msg, "thing 7 is gone");
    CU_ASSERT_EQUAL(err_wrap(&e, "create %s", "x"), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(e.msg, "create x: thing 7 is gone");
    CU_ASSERT_EQUAL(err_http_status(ERR_NOT_FOUND), 404);
    CU_ASSERT_EQUAL(err_http_status(-9999), 500);
    CU_ASSERT_EQUAL(err_from_token("timeout"), ERR_TIMEOUT);
    CU_ASSERT_EQUAL(err_errno(&e, ENOSPC, "write"), ERR_CANT_STORE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "No space"));
}

static void long_errors_are_cut_at_a_character(void)
{
    struct err e = ERR_INIT;
    _cleanup_str_ struct str t = STR_INIT;
    str_append(&t, "x"); /* odd start: the cut falls inside a two-byte character */
    for (int i = 0; i < 3000; i++)
        str_append(&t, "\xc3\xa9");
    err_set(&e, ERR_INVALID, "%s", str_text(&t));
    size_t n = strlen(e.msg);
    CU_ASSERT(n < ERR_MSG_MAX);
    CU_ASSERT_EQUAL((unsigned char)e.msg[n - 1], 0xa9);
}

static void strings_split_and_grow(void)
{
    _cleanup_strv_ struct strv l = STRV_INIT;
    CU_ASSERT_EQUAL(strv_split(&l, " a, b ,,c", ','), 0);
    CU_ASSERT_EQUAL(l.n, 3);
    CU_ASSERT(strv_has(&l, "b"));
    CU_ASSERT_FALSE(strv_has(&l, " b"));
    _cleanup_str_ struct str t = STR_INIT;
    for (int i = 0; i < 1000; i++)
        str_printf(&t, "%d,", i);
    CU_ASSERT_EQUAL(t.len, 3890);
    CU_ASSERT(str_ends(str_text(&t), "999,"));
}

static void times_print_as_magnum_does(void)
{
    char iso[CLOCK_ISO_MAX];
    int64_t us = 0;
    CU_ASSERT(clock_parse_iso("2026-11-22T00:40:40.295333+00:00", &us));
    clock_iso(us, iso);
    CU_ASSERT_STRING_EQUAL(iso, "2026-11-22T00:40:40.295333+00:00");
    CU_ASSERT(clock_parse_iso("2026-11-22 02:40:40+02", &us));
    clock_iso(us, iso);
    CU_ASSERT_STRING_EQUAL(iso, "2026-11-22T00:40:40+00:00");
    CU_ASSERT_FALSE(clock_parse_iso("yesterday", &us));
}

static void numbers_are_strict(void)
{
    int64_t v = 0;
    bool b = false;
    CU_ASSERT(parse_i64("-12", -20, 20, &v) && v == -12);
    CU_ASSERT_FALSE(parse_i64("12 ", -20, 20, &v));
    CU_ASSERT_FALSE(parse_i64("", -20, 20, &v));
    CU_ASSERT_FALSE(parse_i64("99999999999999999999", INT64_MIN, INT64_MAX, &v));
    CU_ASSERT_FALSE(parse_i64("21", -20, 20, &v));
    CU_ASSERT(parse_bool("On", &b) && b);
    CU_ASSERT_FALSE(parse_bool("maybe", &b));
}

static void uuids_are_recognised(void)
{
    char u[UUID_TEXT], v[UUID_TEXT];
    uuid_make(u);
    CU_ASSERT(uuid_like(u, v));
    CU_ASSERT_STRING_EQUAL(u, v);
    CU_ASSERT(uuid_like("{5EB1C5C4-9B5F-4F2B-8B3E-0123456789AB}", v));
    CU_ASSERT_STRING_EQUAL(v, "5eb1c5c4-9b5f-4f2b-8b3e-0123456789ab");
    CU_ASSERT_FALSE(uuid_like("5eb1c5c4", NULL));
    CU_ASSERT_FALSE(uuid_like("my-cluster-name-with-32-hex-abcd", NULL));
}

static void json_is_bounded(void)
{
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *j = NULL;
    CU_ASSERT_EQUAL(jsonx_parse("[[[1]]]", 7, 3, &j, &e), 0);
    json_t *k = NULL;
    CU_ASSERT_EQUAL(jsonx_parse("[[[[1]]]]", 9, 3, &k, &e), ERR_INVALID);
    CU_ASSERT_EQUAL(jsonx_parse("{\"a\":1,\"a\":2}", 13, 3, &k, &e), ERR_INVALID);
    CU_ASSERT_EQUAL(jsonx_parse("{\"a\":\"[[[[[[\"}", 14, 3, &k, &e), 0);
    json_decref(k);
    k = NULL;
    CU_ASSERT_EQUAL(jsonx_parse("{", 1, 3, &k, &e), ERR_INVALID);
    CU_ASSERT_PTR_NULL(k);
}

TEST_MAIN("base", NULL, NULL, TEST(errors_carry_code_and_prefix),
          TEST(long_errors_are_cut_at_a_character), TEST(strings_split_and_grow),
          TEST(times_print_as_magnum_does), TEST(numbers_are_strict), TEST(uuids_are_recognised),
          TEST(json_is_bounded))
