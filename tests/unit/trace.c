/* Unit tests of trace contexts, spans and their OTLP form; and of log lines, which must stay one
 * valid line each whatever bytes they show. Neighbours: core/base/trace.c, log.c, core/http/otlp.
 */
#include "base/trace.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/str.h"
#include "http/otlp.h"
#include "support/cunit_main.h"

#include <fcntl.h>
#include <unistd.h>

#define GOOD_TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define GOOD_SPAN "00f067aa0ba902b7"

static void a_good_traceparent_is_read(void)
{
    struct trace_context c;
    char text[TRACE_PARENT_TEXT];
    CU_ASSERT(trace_parse("00-" GOOD_TRACE "-" GOOD_SPAN "-01", NULL, &c));
    CU_ASSERT_STRING_EQUAL(c.trace_id, GOOD_TRACE);
    CU_ASSERT_STRING_EQUAL(c.span_id, GOOD_SPAN);
    CU_ASSERT(c.sampled);
    trace_parent_text(&c, text);
    CU_ASSERT_STRING_EQUAL(text, "00-" GOOD_TRACE "-" GOOD_SPAN "-01");
    CU_ASSERT(trace_parse("00-" GOOD_TRACE "-" GOOD_SPAN "-fe", NULL, &c));
    CU_ASSERT_FALSE(c.sampled); /* only the lowest bit says so */
    CU_ASSERT(trace_parse("00-" GOOD_TRACE "-" GOOD_SPAN "-03", NULL, &c) && c.sampled);
    CU_ASSERT(trace_parse("cc-" GOOD_TRACE "-" GOOD_SPAN "-01", NULL, &c)); /* a later version */
    CU_ASSERT(trace_parse("cc-" GOOD_TRACE "-" GOOD_SPAN "-01-what-comes", NULL, &c));
    CU_ASSERT(trace_parse("cc-" GOOD_TRACE "-" GOOD_SPAN "-01-", NULL, &c));
}

static void bad_traceparents_are_refused(void)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" GOOD_TRACE "-" GOOD_SPAN,
        "00-" GOOD_TRACE "-" GOOD_SPAN "-1",
        "00-" GOOD_TRACE "-" GOOD_SPAN "-01-",
        "00-" GOOD_TRACE "-" GOOD_SPAN "-01-more",
        "00-" GOOD_TRACE "-" GOOD_SPAN "-01 ",
        " 00-" GOOD_TRACE "-" GOOD_SPAN "-01",
        "00-" GOOD_TRACE "-" GOOD_SPAN "-0x",
        "00-" GOOD_TRACE "-" GOOD_SPAN "_01",
        "00-00000000000000000000000000000000-" GOOD_SPAN "-01",
        "00-" GOOD_TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" GOOD_SPAN "-01",
        "00-" GOOD_TRACE "-00F067AA0BA902B7-01",
        "ff-" GOOD_TRACE "-" GOOD_SPAN "-01",
        "0G-" GOOD_TRACE "-" GOOD_SPAN "-01",
        "cc-" GOOD_TRACE "-" GOOD_SPAN "-01.more",
        "00-4bf92f3577b34da6a3ce929d0e0e473-" GOOD_SPAN "-011",
        "00-" GOOD_TRACE "-" GOOD_SPAN "-01,00-" GOOD_TRACE "-" GOOD_SPAN "-01", /* two headers */
    };
    struct trace_context c = {.trace_id = "untouched"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (trace_parse(bad[i], NULL, &c))
            CU_FAIL_FATAL("a bad traceparent was taken");
    CU_ASSERT_FALSE(trace_parse(NULL, "a=b", &c));
    CU_ASSERT_STRING_EQUAL(c.trace_id, "untouched");
}

static bool keeps(const char *state)
{
    struct trace_context c;
    CU_ASSERT_FATAL(trace_parse("00-" GOOD_TRACE "-" GOOD_SPAN "-01", state, &c));
    CU_ASSERT(c.state == NULL || c.state == state);
    return c.state != NULL;
}

static void a_tracestate_is_kept_whole_or_not_at_all(void)
{
    static const char *const good[] = {"a=1",       "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
                                       "a=1 , b=2", "a=1,,b=2,",
                                       "\ta=1",     "fw529a3039@dt=FfAAAAAA",
                                       "0t@sys=x",  "a/b_c-d*e= leading blank"};
    static const char *const bad[] = {"",
                                      " ",
                                      "a",
                                      "=1",
                                      "a=",
                                      "A=1",
                                      "1a=1",
                                      "a=1=2",
                                      "a=\x7f",
                                      "a=\x1f",
                                      "a =1",
                                      "a=1,a=2",
                                      "a=b\n",
                                      "@sys=1",
                                      "ten@=1",
                                      "t@1sys=1",
                                      "t@systemtoolongname=1",
                                      "a@b@c=1",
                                      "\xc3\xa4=1"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CU_ASSERT(keeps(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT_FALSE(keeps(bad[i]));
    _cleanup_str_ struct str many = STR_INIT;
    for (int i = 0; i < 32; i++)
        str_printf(&many, "%sk%d=v", i ? "," : "", i);
    CU_ASSERT(keeps(str_text(&many)));
    str_append(&many, ",one-more=v");
    CU_ASSERT_FALSE(keeps(str_text(&many)));
    _cleanup_str_ struct str value = STR_INIT;
    str_append(&value, "k=");
    for (int i = 0; i < 256; i++)
        str_append_c(&value, 'x');
    CU_ASSERT(keeps(str_text(&value)));
    str_append_c(&value, 'x');
    CU_ASSERT_FALSE(keeps(str_text(&value)));
}

static void add_members(struct str *to, const char *key, int n, size_t len)
{
    for (int i = 0; i < n; i++) {
        size_t begin = to->len + (to->len > 0);
        str_printf(to, "%s%s%d=", to->len ? "," : "", key, i);
        while (to->len < begin + len)
            str_append_c(to, 'x');
    }
}

/* What goes on is at most 512 characters, in whole members: the long ones go first. */
static void a_long_tracestate_is_shortened(void)
{
    _cleanup_str_ struct str exact = STR_INIT, many = STR_INIT, wide = STR_INIT, one = STR_INIT,
                             none = STR_INIT, tail = STR_INIT;
    add_members(&exact, "k", 4, 127);
    str_append_c(&exact, 'x'); /* 4 * 127 + 3 commas + 1 */
    CU_ASSERT_EQUAL(exact.len, TRACE_STATE_MAX);
    _cleanup_free_ char *was = str_dup(str_text(&exact));
    CU_ASSERT(trace_state_limit(exact.s));
    CU_ASSERT_STRING_EQUAL(exact.s, was);

    add_members(&many, "k", 30, 40);
    CU_ASSERT(keeps(str_text(&many)));
    CU_ASSERT(trace_state_limit(many.s));
    CU_ASSERT_EQUAL(strlen(many.s), 12 * 40 + 11);
    CU_ASSERT(str_starts(many.s, "k0=") && strstr(many.s, ",k11=x") && !strstr(many.s, "k12="));
    CU_ASSERT(keeps(many.s));

    add_members(&wide, "a", 1, 20);
    add_members(&wide, "w", 2, 200); /* the first is enough */
    add_members(&wide, "b", 5, 50);
    CU_ASSERT(trace_state_limit(wide.s));
    CU_ASSERT(strstr(wide.s, "a0=") && !strstr(wide.s, "w0=") && strstr(wide.s, ",w1=x"));
    CU_ASSERT_PTR_NOT_NULL(strstr(wide.s, ",b4=x"));
    CU_ASSERT(keeps(wide.s));

    add_members(&one, "k", 2, 256);
    CU_ASSERT(trace_state_limit(one.s));
    CU_ASSERT(strlen(one.s) == 256 && str_starts(one.s, "k1=")); /* the last, at the end */
    add_members(&tail, "s", 10, 100); /* a long one at the end is not all that is too much */
    add_members(&tail, "t", 1, 200);
    CU_ASSERT(trace_state_limit(tail.s));
    CU_ASSERT_EQUAL(strlen(tail.s), 5 * 100 + 4);
    CU_ASSERT(str_starts(tail.s, "s0=") && strstr(tail.s, ",s4=x") && !strstr(tail.s, "t0="));
    CU_ASSERT(keeps(tail.s));
    add_members(&none, "m", 1, 600);
    CU_ASSERT_FALSE(trace_state_limit(none.s));
    CU_ASSERT_STRING_EQUAL(none.s, "");
}

static void a_context_is_stored_and_restored(void)
{
    static const char *const bad[] = {"",
                                      " ",
                                      " a=1",
                                      "00-" GOOD_TRACE "-" GOOD_SPAN "-0 a=1",
                                      "00-" GOOD_TRACE "-" GOOD_SPAN "-01-more a=1",
                                      "00-" GOOD_TRACE "-" GOOD_SPAN "-01,a=1"};
    struct trace_context from, c;
    struct trace_span s;
    bool oom = false;
    CU_ASSERT_PTR_NULL(trace_store(&oom)); /* nobody's */
    for (int with = 0; with < 2; with++) {
        CU_ASSERT(
            trace_parse("00-" GOOD_TRACE "-" GOOD_SPAN "-01", with ? "a=1,b= 2" : NULL, &from));
        trace_span_begin(&s, &from, TRACE_SERVER);
        trace_span_enter(&s);
        _cleanup_free_ char *text = trace_store(&oom);
        trace_span_end(&s);
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        CU_ASSERT(trace_restore(text, &c));
        CU_ASSERT_STRING_EQUAL(c.trace_id, GOOD_TRACE);
        CU_ASSERT_STRING_EQUAL(c.span_id, s.ctx.span_id);
        CU_ASSERT(c.sampled);
        CU_ASSERT(with ? c.state && strcmp(c.state, "a=1,b= 2") == 0 : c.state == NULL);
    }
    CU_ASSERT_FALSE(oom);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CU_ASSERT_FALSE(trace_restore(bad[i], &c));
    CU_ASSERT_FALSE(trace_restore(NULL, &c));
    CU_ASSERT(trace_restore("00-" GOOD_TRACE "-" GOOD_SPAN "-01 no state", &c));
    CU_ASSERT_PTR_NULL(c.state); /* is left out, as from a header */
}

/* ---- spans ---- */
static struct trace_span taken[8];
static size_t n_taken;

static void sink(void *ctx, struct trace_span *s)
{
    CU_ASSERT_PTR_EQUAL(ctx, taken);
    CU_ASSERT_FATAL(n_taken < ARRAY_LEN(taken));
    taken[n_taken++] = *s;
    s->n_attrs = 0; /* it is ours now */
    s->name = s->problem = NULL;
}

static void forget(void)
{
    trace_sink_set(NULL, NULL, 0);
    while (n_taken)
        trace_span_free(&taken[--n_taken]);
}

static void spans_nest_and_reach_the_sink(void)
{
    struct trace_span a, b;
    trace_sink_set(sink, taken, TRACE_MILLION);
    trace_span_begin(&a, NULL, TRACE_SERVER);
    trace_span_enter(&a);
    CU_ASSERT_PTR_EQUAL(trace_current(), &a.ctx);
    trace_span_begin(&b, trace_current(), TRACE_CLIENT);
    trace_span_enter(&b);
    trace_span_name(&b, "inner %d", 7);
    trace_span_number(&b, "n", -5);
    trace_span_text(&b, "t", "x");
    trace_span_text(&b, "absent", NULL);
    trace_span_fail(&b, "no luck");
    trace_span_end(&b);
    trace_span_end(&b); /* nothing more */
    CU_ASSERT_PTR_EQUAL(trace_current(), &a.ctx);
    trace_span_end(&a);
    CU_ASSERT_PTR_NULL(trace_current());
    CU_ASSERT_EQUAL_FATAL(n_taken, 2);
    CU_ASSERT_STRING_EQUAL(taken[0].name, "inner 7");
    CU_ASSERT_STRING_EQUAL(taken[0].problem, "no luck");
    CU_ASSERT_EQUAL(taken[0].n_attrs, 2);
    CU_ASSERT_STRING_EQUAL(taken[0].parent, taken[1].ctx.span_id);
    CU_ASSERT_STRING_EQUAL(taken[0].ctx.trace_id, taken[1].ctx.trace_id);
    CU_ASSERT_STRING_NOT_EQUAL(taken[0].ctx.span_id, taken[1].ctx.span_id);
    CU_ASSERT_STRING_EQUAL(taken[1].parent, "");
    forget();
}

static void without_sink_or_sampling_only_ids_are_made(void)
{
    struct trace_span s;
    struct trace_context from;
    trace_span_begin(&s, NULL, TRACE_SERVER);
    CU_ASSERT_FALSE(s.recording || s.ctx.sampled);
    CU_ASSERT_EQUAL(strlen(s.ctx.trace_id), 32);
    trace_span_name(&s, "x");
    CU_ASSERT_PTR_NULL(s.name);
    trace_span_end(&s);
    trace_sink_set(sink, taken, TRACE_MILLION);
    CU_ASSERT(trace_parse("00-" GOOD_TRACE "-" GOOD_SPAN "-00", NULL, &from));
    trace_span_begin(&s, &from, TRACE_SERVER); /* who called decides */
    CU_ASSERT_FALSE(s.recording);
    trace_span_end(&s);
    trace_sink_set(sink, taken, 0);
    CU_ASSERT(trace_parse("00-" GOOD_TRACE "-" GOOD_SPAN "-01", NULL, &from));
    trace_span_begin(&s, &from, TRACE_SERVER);
    CU_ASSERT(s.recording);
    trace_span_drop(&s);
    CU_ASSERT_EQUAL(n_taken, 0);
    forget();
}

static void of_new_traces_some_are_chosen(void)
{
    enum { TRIES = 20000 };
    int chosen = 0;
    struct trace_span s;
    trace_sink_set(sink, taken, TRACE_MILLION / 4);
    for (int i = 0; i < TRIES; i++) {
        trace_span_begin(&s, NULL, TRACE_SERVER);
        chosen += s.recording;
        trace_span_drop(&s);
    }
    CU_ASSERT(chosen > TRIES / 5 && chosen < TRIES * 3 / 10); /* 16 sigma */
    forget();
}

static void attributes_are_bounded(void)
{
    struct trace_span s;
    trace_sink_set(sink, taken, TRACE_MILLION);
    trace_span_begin(&s, NULL, TRACE_INTERNAL);
    for (int i = 0; i < TRACE_ATTRS + 5; i++)
        trace_span_text(&s, "k", "v");
    CU_ASSERT_EQUAL(s.n_attrs, TRACE_ATTRS);
    trace_span_end(&s);
    forget();
}

/* A client chooses its path and its User-Agent, and thousands of spans may wait for a collector. */
static void long_texts_are_cut_between_characters(void)
{
    char longest[TRACE_TEXT_MAX + 1], text[4 * TRACE_TEXT_MAX] = "";
    struct trace_span s;
    memset(longest, 'x', TRACE_TEXT_MAX);
    longest[TRACE_TEXT_MAX] = '\0';
    memset(text, 'x', TRACE_TEXT_MAX - 1);
    for (size_t n = TRACE_TEXT_MAX - 1; n + 3 < sizeof text; n += 3)
        memcpy(text + n, "\xe2\x82\xac", 4);
    trace_sink_set(sink, taken, TRACE_MILLION);
    trace_span_begin(&s, NULL, TRACE_INTERNAL);
    trace_span_name(&s, "GET %s", text);
    trace_span_text(&s, "cut", text);
    trace_span_text(&s, "whole", longest);
    CU_ASSERT_EQUAL_FATAL(s.n_attrs, 2);
    CU_ASSERT_EQUAL(strlen(s.name), TRACE_TEXT_MAX);
    CU_ASSERT_EQUAL(strlen(s.attrs[0].text), TRACE_TEXT_MAX - 1);
    CU_ASSERT_EQUAL(strncmp(s.attrs[0].text, text, TRACE_TEXT_MAX - 1), 0);
    CU_ASSERT_STRING_EQUAL(s.attrs[1].text, longest);
    trace_span_end(&s);
    forget();
}

/* ---- OTLP ---- */
static const char hostile[] = "\"}],\\ \x01\n\xff\xc3(\xed\xa0\x80 \xe2\x82\xac";

static void a_batch_is_valid_whatever_it_holds(void)
{
    struct trace_span a = {
        .ctx = {.trace_id = GOOD_TRACE, .span_id = GOOD_SPAN, .state = "a=\"b\""},
        .kind = TRACE_SERVER,
        .name = (char *)(uintptr_t)hostile,
        .problem = (char *)(uintptr_t)hostile,
        .failed = true,
        .begin_us = 1700000000123456,
        .took_us = 44,
        .attrs = {{"text", (char *)(uintptr_t)hostile, 0}, {"big", NULL, INT64_MAX}},
        .n_attrs = 2};
    struct trace_span b = {.ctx = {.trace_id = GOOD_TRACE, .span_id = "1111111111111111"},
                           .parent = GOOD_SPAN,
                           .kind = TRACE_CLIENT};
    const struct trace_span *const v[] = {&a, &b};
    const struct otlp_source from = {"svc \"x\"", "1.0", hostile, "id"};
    _cleanup_str_ struct str text = STR_INIT;
    _cleanup_json_ json_t *doc = NULL;
    struct err e = ERR_INIT;
    otlp_write(&text, &from, v, 2);
    ASSERT_OK(jsonx_parse(str_text(&text), text.len, 32, &doc, &e), &e);
    const json_t *r = json_array_get(json_object_get(doc, "resourceSpans"), 0);
    const json_t *spans =
        json_object_get(json_array_get(json_object_get(r, "scopeSpans"), 0), "spans");
    CU_ASSERT_EQUAL_FATAL(json_array_size(spans), 2);
    const json_t *first = json_array_get(spans, 0), *second = json_array_get(spans, 1);
    CU_ASSERT_STRING_EQUAL(jsonx_str(first, "startTimeUnixNano"), "1700000000123456000");
    CU_ASSERT_STRING_EQUAL(jsonx_str(first, "endTimeUnixNano"), "1700000000123500000");
    CU_ASSERT_PTR_NULL(jsonx_str(first, "parentSpanId"));
    CU_ASSERT_STRING_EQUAL(jsonx_str(first, "traceState"), "a=\"b\"");
    CU_ASSERT_EQUAL(jsonx_int(json_object_get(first, "status"), "code", 0), 2);
    const json_t *big = json_array_get(json_object_get(first, "attributes"), 1);
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(big, "value"), "intValue"),
                           "9223372036854775807");
    CU_ASSERT_STRING_EQUAL(jsonx_str(second, "parentSpanId"), GOOD_SPAN);
    CU_ASSERT_PTR_NULL(json_object_get(second, "status"));
    CU_ASSERT_STRING_EQUAL(jsonx_str(second, "name"), "unnamed");
}

/* ---- log lines ---- */
static char logged[65536];

/* What is said about the hostile values; one line per call of log_write. */
static void say(bool json)
{
    int old = dup(STDERR_FILENO), p[2];
    CU_ASSERT_FATAL(old >= 0 && pipe(p) == 0);
    (void)dup2(p[1], STDERR_FILENO);
    (void)close(p[1]);
    log_setup("test", LOG_DEBUG, json);
    log_info("event", "%s", hostile);
    const struct log_context ctx = {
        .request = hostile, .cluster = "c", .operation = "o", .driver = hostile};
    struct trace_span s;
    trace_span_begin(&s, NULL, TRACE_SERVER);
    trace_span_enter(&s);
    log_context_set(&ctx);
    log_warn("event", "a\nb\r\tc %s", "\x1b[31mred\x7f");
    char key[] = "1";
    log_context_set(NULL);
    log_context_add(&(struct log_context){.operation = key});
    key[0] = '2'; /* the context has a copy */
    log_error("event", "%s", "");
    log_context_set(NULL);
    trace_span_end(&s);
    for (int c = 1; c < 256; c++)
        log_info("byte", "<%c>", c);
    (void)dup2(old, STDERR_FILENO);
    (void)close(old);
    size_t n = 0;
    for (ssize_t got; (got = read(p[0], logged + n, sizeof logged - 1 - n)) > 0;)
        n += (size_t)got;
    logged[n] = '\0';
    (void)close(p[0]);
}

static void every_json_line_is_one_object(void)
{
    enum { LINES = 3 + 255 };
    size_t lines = 0;
    char *save = NULL;
    say(true);
    for (char *line = strtok_r(logged, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct err e = ERR_INIT;
        _cleanup_json_ json_t *o = NULL;
        ASSERT_OK(jsonx_parse(line, strlen(line), 4, &o, &e), &e);
        CU_ASSERT(jsonx_str(o, "time") && jsonx_str(o, "level") && jsonx_str(o, "text"));
        CU_ASSERT_STRING_EQUAL(jsonx_str(o, "program"), "test");
        if (lines == 0) {
            CU_ASSERT_PTR_NULL(json_object_get(o, "req"));
            CU_ASSERT_PTR_NULL(json_object_get(o, "trace"));
            CU_ASSERT_PTR_NOT_NULL(strstr(jsonx_str(o, "text"), "\"}],\\"));
            CU_ASSERT_PTR_NOT_NULL(strstr(jsonx_str(o, "text"), "\xe2\x82\xac"));
        } else if (lines == 1) {
            CU_ASSERT_STRING_EQUAL(jsonx_str(o, "op"), "o");
            CU_ASSERT_STRING_EQUAL(jsonx_str(o, "cluster"), "c");
            CU_ASSERT_EQUAL(strlen(jsonx_str(o, "trace")), 32);
            CU_ASSERT_STRING_EQUAL(jsonx_str(o, "text"), "a b  c  [31mred ");
        } else if (lines == 2) {
            CU_ASSERT_PTR_NULL(json_object_get(o, "cluster"));
            CU_ASSERT_STRING_EQUAL(jsonx_str(o, "op"), "1");
        }
        lines++;
    }
    CU_ASSERT_EQUAL(lines, LINES);
}

static void every_text_line_is_one_line_without_control_characters(void)
{
    enum { LINES = 3 + 255 };
    size_t lines = 0;
    say(false);
    for (const unsigned char *p = (const unsigned char *)logged; *p; p++) {
        lines += *p == '\n';
        CU_ASSERT_FATAL(*p == '\n' || (*p >= 0x20 && *p != 0x7F));
    }
    CU_ASSERT_EQUAL(lines, LINES);
    CU_ASSERT_PTR_NOT_NULL(strstr(logged, " test INFO event "));
    CU_ASSERT_PTR_NOT_NULL(strstr(logged, " op=1 trace="));
}

TEST_MAIN("trace", NULL, NULL, TEST(a_good_traceparent_is_read), TEST(bad_traceparents_are_refused),
          TEST(a_tracestate_is_kept_whole_or_not_at_all), TEST(a_long_tracestate_is_shortened),
          TEST(a_context_is_stored_and_restored), TEST(spans_nest_and_reach_the_sink),
          TEST(without_sink_or_sampling_only_ids_are_made), TEST(of_new_traces_some_are_chosen),
          TEST(attributes_are_bounded), TEST(long_texts_are_cut_between_characters),
          TEST(a_batch_is_valid_whatever_it_holds), TEST(every_json_line_is_one_object),
          TEST(every_text_line_is_one_line_without_control_characters))
