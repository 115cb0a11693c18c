/* The message bus over real ZeroMQ: calls, errors, sizes, notifications, deadlines, load. */
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/trace.h"
#include "component/rpc_node.h"
#include "config/config.h"
#include "support/cunit_main.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

static void calls_and_errors(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    CU_ASSERT_EQUAL(strlen(rpc_server_public_key(n.server)), 40);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    _cleanup_json_ json_t *r = call(c, "hello", HANG_MS);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "one");
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "method"), "hello");
    CU_ASSERT_EQUAL(jsonx_int(json_object_get(r, "params"), "a", 0), 1);
    int64_t left = jsonx_int(r, "left", -1);
    CU_ASSERT(left > 0 && left <= HANG_MS); /* the deadline travels */
    _cleanup_json_ json_t *empty = call(c, "empty", HANG_MS);
    CU_ASSERT(json_is_object(empty) && json_object_size(empty) == 0);

    struct err e = ERR_INIT;
    _cleanup_json_ json_t *none = NULL, *params = json_pack("{s:s}", "what", "caf\xc3\xa9\n");
    CU_ASSERT_EQUAL(rpc_client_call(c, "fail", params, HANG_MS, &none, &e), ERR_QUOTA);
    CU_ASSERT_STRING_EQUAL(e.msg, "no more \"caf\xc3\xa9 \"");
    CU_ASSERT_EQUAL(call_fails(c, "mute_failure", HANG_MS, &e), ERR_CONFLICT);
    CU_ASSERT_STRING_EQUAL(e.msg, "mute_failure failed: conflict");
    rpc_client_stop(&c);
    node_stop(&n);
}

/* The caller's request and trace are the server's while it works on the call, and no parameters. */
static void ids_travel(void)
{
    static const char trace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct node n;
    struct board b;
    struct trace_context from;
    struct trace_span span;
    struct err e = ERR_INIT;
    board_init(&b);
    node_start(&n, "one", cfg);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    _cleanup_json_ json_t *params = json_pack("{s:s, s:s}", "cluster", "c-1", "operation", "o-1");
    _cleanup_json_ json_t *got = NULL, *echo = NULL, *bare = NULL;
    CU_ASSERT(
        trace_parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1,b=2", &from));
    log_context_set(&(struct log_context){.request = "req-1"});
    trace_span_begin(&span, &from, TRACE_SERVER);
    trace_span_enter(&span);
    ASSERT_OK(rpc_client_call(c, "ids", params, HANG_MS, &got, &e), &e);
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "trace"), trace);
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "state"), "a=1,b=2");
    CU_ASSERT_STRING_NOT_EQUAL(jsonx_str(got, "span"), span.ctx.span_id); /* its own */
    CU_ASSERT(jsonx_bool(got, "sampled", false));
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "request"), "req-1");
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "cluster"), "c-1");
    CU_ASSERT_STRING_EQUAL(jsonx_str(got, "operation"), "o-1");
    ASSERT_OK(rpc_client_call(c, "echo", params, HANG_MS, &echo, &e), &e);
    CU_ASSERT(json_equal(json_object_get(echo, "params"), params));
    trace_span_end(&span);
    log_context_set(NULL);
    /* the thread that worked on it has forgotten */
    ASSERT_OK(rpc_client_call(c, "ids", NULL, HANG_MS, &bare, &e), &e);
    CU_ASSERT_PTR_NULL(jsonx_str(bare, "trace"));
    CU_ASSERT_PTR_NULL(jsonx_str(bare, "request"));
    CU_ASSERT_PTR_NULL(jsonx_str(bare, "cluster"));
    rpc_client_stop(&c);
    node_stop(&n);
}

static void sizes_are_limited(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    _cleanup_free_ char *text = malloc(100001);
    memset(text, 'x', 100000);
    text[99989] = '\0'; /* {"a":"..."} and one byte too much */
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *none = NULL, *params = json_pack("{s:s}", "aaa", text);
    CU_ASSERT_EQUAL(rpc_client_call(c, "hello", params, HANG_MS, &none, &e), ERR_TOO_LARGE);
    text[99989] = 'x';
    text[99989 - 60] = '\0';
    _cleanup_json_ json_t *fits = json_pack("{s:s}", "a", text), *r = NULL;
    CU_ASSERT_EQUAL(rpc_client_call(c, "empty", fits, HANG_MS, &r, &e), 0);
    CU_ASSERT_EQUAL(call_fails(c, "big", HANG_MS, &e), ERR_TOO_LARGE);
    /* nesting */
    _cleanup_json_ json_t *deep = json_array();
    for (int i = 0; i < 200; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    CU_ASSERT_EQUAL(rpc_client_call(c, "empty", deep, HANG_MS, &none, &e), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "nested deeper"));
    _cleanup_json_ json_t *again = call(c, "empty", HANG_MS);
    CU_ASSERT_PTR_NOT_NULL(again);
    rpc_client_stop(&c);
    node_stop(&n);
}

/* Up to 5 s: a notification waits a second for its turn, and is dropped by a machine that stands
 * still for longer. It is sent again then. */
static bool noted(int want)
{
    for (int64_t until = clock_mono_ms() + 5000; clock_mono_ms() < until; (void)poll(NULL, 0, 5))
        if (node_count(&node_tally, &node_tally.notes) >= want)
            return true;
    return false;
}

static bool each_noted(struct node n[3])
{
    bool all = true;
    for (int i = 0; i < 3; i++)
        all = all && node_count(&n[i], &n[i].notes) > 0;
    return all;
}

static void notifications(void)
{
    enum { ROUNDS = 5 };
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct node n[3];
    struct board b;
    board_init(&b);
    for (int i = 0; i < 3; i++) {
        node_start(&n[i], "n", cfg);
        board_add_node(&b, &n[i]);
    }
    struct rpc_client *c = NULL;
    int most = 0, before = 0;
    do { /* before any connection stands: it waits for the first one */
        rpc_client_stop(&c);
        c = client_new(cfg, &b);
        rpc_client_notify(c, "note", NULL, false);
    } while (!noted(1) && ++most < ROUNDS);
    CU_ASSERT(most++ < ROUNDS);
    int64_t until = clock_mono_ms() + HANG_MS;
    for (int i = 0; i < 3; i++) /* all connections are up: each node has been asked */
        while (node_count(&n[i], &n[i].calls) == 0 && clock_mono_ms() < until)
            json_decref(call(c, "hello", HANG_MS));
    bool all = false;
    for (int round = 0; !all && round < ROUNDS; round++, most += 3) {
        before = node_count(&node_tally, &node_tally.notes);
        rpc_client_notify(c, "note", NULL, true);
        all = noted(before + 3) && each_noted(n);
    }
    CU_ASSERT(all);
    /* 30 more to one each: they are shared out */
    all = false;
    for (int round = 0; !all && round < ROUNDS; round++, most += 30) {
        before = node_count(&node_tally, &node_tally.notes);
        for (int i = 0; i < 30; i++)
            rpc_client_notify(c, "note", NULL, false);
        all = noted(before + 30);
    }
    CU_ASSERT(all);
    rpc_client_stop(&c);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(node_count(&n[i], &n[i].notes) > 1);
        node_stop(&n[i]);
    }
    CU_ASSERT(node_count(&node_tally, &node_tally.notes) <= most); /* and none came twice */
}

static void notifications_pass_slow_calls(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    node_hold(&n, true);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k[2];
    int before = node_count(&node_tally, &node_tally.notes);
    for (int i = 0; i < 2; i++) /* both workers are held */
        caller_start(&k[i], c, "wait", HANG_MS);
    CU_ASSERT(node_reached(&n, &n.waiting, 2));
    bool passed = false;
    for (int round = 0; !passed && round < 5; round++) {
        rpc_client_notify(c, "note", NULL, false);
        passed = noted(before + 1);
    }
    CU_ASSERT(passed);
    node_hold(&n, false);
    for (int i = 0; i < 2; i++) {
        pthread_join(k[i].thread, NULL);
        ASSERT_OK(k[i].rc, &k[i].e);
        json_decref(k[i].result);
    }
    rpc_client_stop(&c);
    node_stop(&n);
}

static void no_conductor(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    struct board b;
    struct err e = ERR_INIT;
    board_init(&b);
    struct rpc_client *c = client_new(cfg, &b);
    int64_t t0 = clock_mono_ms();
    CU_ASSERT_EQUAL(call_fails(c, "hello", 10 * HANG_MS, &e), ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(e.msg, "no conductor can be reached");
    CU_ASSERT(clock_mono_ms() - t0 < HANG_MS); /* at once, not at the deadline */
    rpc_client_notify(c, "note", NULL, false);
    rpc_client_notify(c, "note", NULL, true);
    rpc_client_stop(&c);

    b.broken = true;
    c = client_new(cfg, &b);
    CU_ASSERT_EQUAL(call_fails(c, "hello", 20000, &e), ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(e.msg, "no conductor can be reached: the database is away");
    rpc_client_stop(&c);

    /* one that is listed but not there: found out by the deadline */
    b.broken = false;
    board_add(&b, "tcp://127.0.0.1:1", "");
    c = client_new(cfg, &b);
    for (int64_t until = clock_mono_ms() + HANG_MS; clock_mono_ms() < until;) {
        CU_ASSERT_EQUAL(call_fails(c, "hello", 500, &e), ERR_UNAVAILABLE);
        if (strchr(e.msg, ':')) /* else the connection was not even tried by then */
            break;
    }
    CU_ASSERT_STRING_EQUAL(e.msg,
                           "no conductor can be reached: tcp://127.0.0.1:1 can't be reached");
    rpc_client_stop(&c);
}

static void deadline(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct node n;
    struct board b;
    struct err e = ERR_INIT;
    board_init(&b);
    node_start(&n, "one", cfg);
    node_hold(&n, true);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    json_decref(call(c, "hello", HANG_MS)); /* the connection stands */
    int64_t t0;
    int rc = ERR_UNAVAILABLE; /* of one that could not be sent in time */
    for (int i = 0; i < 20 && rc == ERR_UNAVAILABLE; i++) {
        t0 = clock_mono_ms();
        rc = call_fails(c, "wait", 1000, &e);
    }
    int64_t took = clock_mono_ms() - t0;
    CU_ASSERT_EQUAL(rc, ERR_TIMEOUT);
    CU_ASSERT_STRING_EQUAL(e.msg, "no conductor answered wait within 1000 ms");
    CU_ASSERT(took >= 1000 && took < HANG_MS);
    /* the only conductor has it already: not sent again */
    CU_ASSERT(node_count(&n, &n.waiting) <= 1);
    /* the answer that comes now belongs to nobody, least of all to the next call */
    node_hold(&n, false);
    _cleanup_json_ json_t *r = call(c, "hello", HANG_MS);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "method"), "hello");
    rpc_client_stop(&c);
    node_stop(&n);
}

enum { THREADS = 16, EACH = 63 };

static void *many_main(void *arg)
{
    struct rpc_client *c = arg;
    intptr_t good = 0;
    for (int i = 0; i < EACH; i++) {
        struct err e = ERR_INIT;
        char mark[64];
        snprintf(mark, sizeof mark, "%p-%d", (void *)&e, i);
        _cleanup_json_ json_t *params = json_pack("{s:s}", "mark", mark), *r = NULL;
        if (rpc_client_call(c, "hello", params, HANG_MS, &r, &e) == 0)
            good += str_eq(jsonx_str(json_object_get(r, "params"), "mark"), mark);
        else
            fprintf(stderr, "%s\n", e.msg);
    }
    return (void *)good;
}

static void many_calls_at_once(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(cfg, "rpc.attempt_timeout_ms", "600000", &e), &e);
    struct node n[3];
    struct board b;
    board_init(&b);
    for (int i = 0; i < 3; i++) {
        node_start(&n[i], "n", cfg);
        board_add_node(&b, &n[i]);
    }
    struct rpc_client *c = client_new(cfg, &b);
    int before = 0;
    for (int i = 0; i < 3; i++) /* all connections are up: each node has been asked */
        for (; node_count(&n[i], &n[i].calls) == 0; before++)
            json_decref(call(c, "hello", HANG_MS));
    const int had[] = {node_count(&n[0], &n[0].calls), node_count(&n[1], &n[1].calls),
                       node_count(&n[2], &n[2].calls)};
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, many_main, c);
    intptr_t good = 0;
    for (int i = 0; i < THREADS; i++) {
        void *r = NULL;
        pthread_join(t[i], &r);
        good += (intptr_t)r;
    }
    CU_ASSERT_EQUAL(good, THREADS * EACH);
    rpc_client_stop(&c);
    int total = 0;
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(node_count(&n[i], &n[i].calls) > had[i]);
        total += node_count(&n[i], &n[i].calls);
        node_stop(&n[i]);
    }
    CU_ASSERT_EQUAL(total, before + THREADS * EACH); /* none was run twice */
}

/* A client may lie in memory where the last one did, whose sockets are not quite closed yet. */
static void one_client_after_the_other(void)
{
    enum { CLIENTS = 500 };
    _cleanup_config_ struct config *cfg = config_new("");
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    board_add_node(&b, &n);
    for (int i = 0; i < CLIENTS && CU_get_number_of_failures() == 0; i++) {
        struct rpc_client *c = client_new(cfg, &b);
        json_decref(call(c, "hello", HANG_MS));
        rpc_client_stop(&c);
    }
    node_stop(&n);
}

static void signals_stay_the_programs(void)
{
    struct sigaction sa;
    CU_ASSERT_EQUAL(sigaction(SIGTERM, NULL, &sa), 0);
    CU_ASSERT(sa.sa_handler == SIG_DFL);
    CU_ASSERT_EQUAL(sigaction(SIGINT, NULL, &sa), 0);
    CU_ASSERT(sa.sa_handler == SIG_DFL);
}

/* A shell that starts this in the background has it ignore SIGINT. */
static int setup(void)
{
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    return rpc_setup();
}

TEST_MAIN("component/rpc", setup, rpc_teardown, TEST(calls_and_errors), TEST(ids_travel),
          TEST(sizes_are_limited), TEST(notifications), TEST(notifications_pass_slow_calls),
          TEST(no_conductor), TEST(deadline), TEST(many_calls_at_once),
          TEST(one_client_after_the_other), TEST(signals_stay_the_programs))
