/* Unit tests of magnum top's frames: what is in them, how they are cut to a terminal, and that
 * nothing a service sends drives the terminal. Neighbours: core/cmd/cli/top_frame.c. */
#include "cmd/cli/top.h"
#include "base/clock.h"
#include "base/jsonx.h"
#include "support/cunit_main.h"

#include <locale.h>

static json_t *operations, *services, *drivers;
static int64_t now_us;

static json_t *operation(const char *id, const char *cluster, const char *status, int percent,
                         const char *message)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "id", id, "cluster_name",
                     cluster, "kind", "create", "status", status, "percent", percent, "created_at",
                     "2026-11-22T10:00:00+00:00", "stage", "create", "message", message, "reason",
                     "nobody has room");
}

static int setup(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    clock_parse_iso("2026-11-22T12:03:07+00:00", &now_us);
    operations = json_array();
    services =
        json_pack("[{s:s,s:s,s:s,s:i}, {s:s,s:s,s:s,s:i}]", "host", "h1", "state", "up",
                  "updated_at", "2026-11-22T12:03:05+00:00", "report_count", 7, "host", "h2",
                  "state", "down", "updated_at", "2026-11-20T12:00:00+00:00", "report_count", 1);
    drivers = json_pack("[{s:s,s:s,s:b,s:n}, {s:s,s:s,s:b,s:s}]", "id", "org.good", "version",
                        "1.0", "usable", 1, "reason", "id", "org.bad", "version", "2.0", "usable",
                        0, "reason", "quarantined");
    json_array_append_new(operations,
                          operation("11111111-a", "fine", "RUNNING", 40, "3 of 5 nodes"));
    json_array_append_new(operations, operation("22222222-b", "stuck", "BLOCKED", 10, "waiting"));
    return !operations || !services || !drivers;
}

static int teardown(void)
{
    json_decref(operations);
    json_decref(services);
    json_decref(drivers);
    return 0;
}

static struct top_view view(void)
{
    return (struct top_view){.endpoint = "http://x",
                             .operations = operations,
                             .services = services,
                             .drivers = drivers,
                             .now_us = now_us};
}

static void everything_is_there(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    const struct top_view v = view();
    top_frame(&v, &t);
    static const char *const parts[] = {"2026-11-22T12:03:07  http://x\n",
                                        "2 operations in progress, 1 blocked; 1 of 2 conductors up;"
                                        " 1 of 2 drivers usable\n",
                                        "11111111   fine     create  RUNNING  40%  2h03m  create"
                                        "  3 of 5 nodes\n",
                                        "22222222   stuck    create  BLOCKED  10%  2h03m  create"
                                        "  nobody has room\n",
                                        "h1         up     2s ago",
                                        "h2         down   2d00h ago",
                                        "org.good  1.0      usable\n",
                                        "org.bad   2.0      not usable  quarantined\n"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (!strstr(str_text(&t), parts[i])) {
            fprintf(stderr, "\"%s\" is not in\n%s\n", parts[i], str_text(&t));
            CU_FAIL("a part is missing");
        }
    /* who waits for somebody comes first */
    CU_ASSERT(strstr(str_text(&t), "22222222") < strstr(str_text(&t), "11111111"));
    CU_ASSERT_PTR_NULL(strchr(str_text(&t), '\x1b'));
}

static void what_may_not_be_seen_is_left_out(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    struct top_view v = view();
    v.services = NULL;
    v.drivers = NULL;
    v.problem = "it is away";
    top_frame(&v, &t);
    CU_ASSERT_PTR_NULL(strstr(str_text(&t), "CONDUCTOR"));
    CU_ASSERT_PTR_NULL(strstr(str_text(&t), "DRIVER"));
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&t), "it is away\n"));
}

/* Lines of a frame, and the longest one in places. */
static size_t lines_of(const char *text, size_t *longest)
{
    size_t n = 0, places = 0;
    *longest = 0;
    for (; *text; text++) {
        n += *text == '\n';
        places = *text == '\n' ? 0 : places + (((unsigned char)*text & 0xC0) != 0x80);
        *longest = places > *longest ? places : *longest;
    }
    return n;
}

static void frames_fit_their_terminal(void)
{
    json_t *many = json_array();
    for (int i = 0; i < 100; i++)
        json_array_append_new(many, operation("33333333-c", "caf\xc3\xa9", "PENDING", 0,
                                              "a rather long text about what goes on"));
    for (int rows = 1; rows < 60; rows += 3)
        for (int columns = 1; columns < 130; columns += 7) {
            _cleanup_str_ struct str t = STR_INIT;
            struct top_view v = view();
            size_t longest;
            v.operations = many;
            v.rows = rows;
            v.columns = columns;
            top_frame(&v, &t);
            CU_ASSERT((int)lines_of(str_text(&t), &longest) <= rows);
            CU_ASSERT((int)longest <= columns);
        }
    _cleanup_str_ struct str t = STR_INIT;
    struct top_view v = view();
    v.operations = many;
    v.rows = 30;
    v.columns = 80;
    top_frame(&v, &t); /* the lower tables are still there */
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&t), "more\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&t), "org.bad"));
    json_decref(many);
}

static void nothing_drives_the_terminal(void)
{
    json_t *bad = json_array();
    json_array_append_new(
        bad, operation("4\x1b[2J", "\x1b]0;title\x07\xc2\x9b", "RUNNING", 1, "line\nline\r\t\x7f"));
    _cleanup_str_ struct str t = STR_INIT;
    struct top_view v = view();
    size_t longest;
    v.operations = bad;
    top_frame(&v, &t);
    CU_ASSERT_EQUAL(lines_of(str_text(&t), &longest), 3 + 2 + 1 + 3 + 1 + 3);
    for (const char *p = str_text(&t); *p; p++)
        CU_ASSERT((unsigned char)*p >= 0x20 || *p == '\n');
    CU_ASSERT_PTR_NULL(strstr(str_text(&t), "\xc2\x9b"));
    json_decref(bad);
}

TEST_MAIN("top", setup, teardown, TEST(everything_is_there), TEST(what_may_not_be_seen_is_left_out),
          TEST(frames_fit_their_terminal), TEST(nothing_drives_the_terminal))
