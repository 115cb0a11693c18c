/* The message bus when things go wrong: conductors that hang, die, freeze, leave, are full or
 * stop. A conductor that is to be killed is a child (this program with --serve). */
#include "base/clock.h"
#include "base/jsonx.h"
#include "component/rpc_node.h"
#include "config/config.h"
#include "support/cunit_main.h"

#include <poll.h>
#include <string.h>

static void a_hanging_conductor_is_passed_over(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct node slow, good;
    struct board b;
    board_init(&b);
    node_start(&slow, "slow", cfg);
    node_start(&good, "good", cfg);
    node_hold(&slow, true);
    board_add_node(&b, &slow);
    board_add_node(&b, &good);
    struct rpc_client *c = client_new(cfg, &b);
    for (int i = 0; i < 8 || node_count(&slow, &slow.waiting) == 0; i++) {
        _cleanup_json_ json_t *r = call(c, "wait", HANG_MS);
        CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "good");
    }
    rpc_client_stop(&c);
    node_stop(&slow);
    node_stop(&good);
}

/* A killed conductor: its calls go elsewhere at once, long before the attempt would time out. */
static void a_killed_conductor_loses_nothing(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(cfg, "rpc.attempt_timeout_ms", "600000", &e), &e);
    struct node good;
    struct child ch;
    struct board b;
    board_init(&b);
    child_start(&ch, rpc_keys);
    board_add(&b, ch.endpoint, ch.key);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k[2];
    for (int i = 0; i < 2; i++)
        caller_start(&k[i], c, "wait", 10 * HANG_MS);
    /* Both are with the child when its two workers are held and nothing else gets through. */
    int rc = 0;
    for (int64_t until = clock_mono_ms() + HANG_MS; rc != ERR_TIMEOUT && clock_mono_ms() < until;) {
        _cleanup_json_ json_t *r = NULL;
        rc = rpc_client_call(c, "hello", NULL, 500, &r, &e);
    }
    CU_ASSERT_EQUAL(rc, ERR_TIMEOUT);
    node_start(&good, "good", cfg);
    board_add_node(&b, &good);
    for (bool there = false; !there;) { /* until the client has found the new one */
        _cleanup_json_ json_t *r = NULL;
        there = rpc_client_call(c, "hello", NULL, 500, &r, &e) == 0;
    }
    child_end(&ch);
    int64_t killed = clock_mono_ms();
    for (int i = 0; i < 2; i++) {
        pthread_join(k[i].thread, NULL);
        ASSERT_OK(k[i].rc, &k[i].e);
        CU_ASSERT_STRING_EQUAL(jsonx_str(k[i].result, "node"), "good");
        CU_ASSERT(clock_mono_ms() - killed < HANG_MS);
        json_decref(k[i].result);
    }
    rpc_client_stop(&c);
    node_stop(&good);
}

/* A conductor whose machine went silent: no reset, no answer; only the heartbeat tells. */
static void a_frozen_conductor_is_passed_over(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(cfg, "rpc.attempt_timeout_ms", "600000", &e), &e);
    ASSERT_OK(config_set(cfg, "rpc.heartbeat_ms", "200", &e), &e);
    ASSERT_OK(config_set(cfg, "rpc.peer_timeout_ms", "5000", &e), &e);
    struct node good;
    struct child ch;
    struct board b;
    board_init(&b);
    node_start(&good, "good", cfg);
    child_start(&ch, rpc_keys);
    board_add_node(&b, &good);
    board_add(&b, ch.endpoint, ch.key);
    struct rpc_client *c = client_new(cfg, &b);
    for (int seen = 0; seen != 3;) { /* both connections are up */
        _cleanup_json_ json_t *r = call(c, "hello", HANG_MS);
        seen |= strcmp(jsonx_str(r, "node"), "good") == 0 ? 1 : 2;
    }
    child_freeze(&ch);
    for (int i = 0; i < 4; i++) {
        _cleanup_json_ json_t *r = call(c, "hello", HANG_MS);
        CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "good");
    }
    child_end(&ch);
    rpc_client_stop(&c);
    node_stop(&good);
}

static void peers_come_and_go(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct node one, two;
    struct board b;
    struct err e = ERR_INIT;
    board_init(&b);
    node_start(&one, "one", cfg);
    board_add_node(&b, &one);
    struct rpc_client *c = client_new(cfg, &b);
    _cleanup_json_ json_t *r = call(c, "hello", HANG_MS);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "one");
    /* one that leaves the list gets no new calls, but still gives the answer it owes */
    node_hold(&one, true);
    struct caller k;
    caller_start(&k, c, "wait", 60000);
    CU_ASSERT(node_reached(&one, &one.waiting, 1));
    board_clear(&b);
    CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
    node_hold(&one, false);
    pthread_join(k.thread, NULL);
    ASSERT_OK(k.rc, &k.e);
    CU_ASSERT_STRING_EQUAL(jsonx_str(k.result, "node"), "one");
    json_decref(k.result);
    CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
    node_start(&two, "two", cfg);
    board_add_node(&b, &two);
    int rc = ERR_UNAVAILABLE;
    _cleanup_json_ json_t *r2 = NULL;
    for (int64_t until = clock_mono_ms() + HANG_MS; rc != 0 && clock_mono_ms() < until;)
        rc = rpc_client_call(c, "hello", NULL, HANG_MS, &r2, &e);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r2, "node"), "two");
    /* a list that can't be read keeps the old one */
    pthread_mutex_lock(&b.lock);
    b.broken = true;
    for (unsigned until = b.reads + 2; b.reads < until;)
        pthread_cond_wait(&b.read, &b.lock);
    pthread_mutex_unlock(&b.lock);
    _cleanup_json_ json_t *r3 = call(c, "hello", HANG_MS);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r3, "node"), "two");
    rpc_client_stop(&c);
    node_stop(&one);
    node_stop(&two);
}

/* A call waits this long for a new list. */
enum { LIST_WAIT_MS = 2000 };

/* No call is told that nobody is there because the list was read a moment too early. */
static void who_came_just_now_is_found_at_once(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct err e = ERR_INIT;
    struct board b;
    board_init(&b);
    struct rpc_client *c = client_new(cfg, &b);
    for (int i = 0; i < 5; i++) {
        struct node n;
        CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
        CU_ASSERT_STRING_EQUAL(e.msg, "no conductor can be reached");
        node_start(&n, "new", cfg);
        board_add_node(&b, &n);
        _cleanup_json_ json_t *r = NULL;
        int64_t asked = clock_mono_ms();
        int rc = rpc_client_call(c, "hello", NULL, HANG_MS, &r, &e);
        if (rc != ERR_UNAVAILABLE || clock_mono_ms() - asked < LIST_WAIT_MS) { /* the list came */
            ASSERT_OK(rc, &e);
            CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "new");
        }
        node_stop(&n);
        pthread_mutex_lock(&b.lock); /* as quietly as it came */
        b.n = 0;
        pthread_mutex_unlock(&b.lock);
    }
    /* a list that can't be read makes nobody wait for ever */
    CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
    pthread_mutex_lock(&b.lock);
    b.broken = true;
    pthread_mutex_unlock(&b.lock);
    CU_ASSERT_EQUAL(call_fails(c, "hello", 60000, &e), ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(e.msg, "no conductor can be reached: the database is away");
    rpc_client_stop(&c);
}

static void a_full_queue_sends_elsewhere(void)
{
    _cleanup_config_ struct config *small = config_new(""), *cfg = config_new("");
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(small, "rpc.queue_length", "1", &e), &e);
    ASSERT_OK(config_set(small, "rpc.workers", "1", &e), &e);
    ASSERT_OK(config_set(cfg, "rpc.attempt_timeout_ms", "60000", &e), &e);
    struct node full, good;
    struct board b;
    board_init(&b);
    node_start(&full, "full", small);
    node_hold(&full, true);
    board_add_node(&b, &full);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k[4];
    for (int i = 0; i < 4; i++) /* one runs, one waits, two are given back until `good` is there */
        caller_start(&k[i], c, "wait", 60000);
    CU_ASSERT(node_reached(&full, &full.waiting, 1));
    node_start(&good, "good", cfg);
    board_add_node(&b, &good);
    CU_ASSERT(node_reached(&good, &good.calls, 2));
    node_hold(&full, false);
    for (int i = 0; i < 4; i++) {
        pthread_join(k[i].thread, NULL);
        ASSERT_OK(k[i].rc, &k[i].e);
        json_decref(k[i].result);
    }
    rpc_client_stop(&c);
    /* the new one may be found before all four were sent: never more than two, and none twice */
    CU_ASSERT(node_count(&full, &full.calls) <= 2);
    CU_ASSERT_EQUAL(node_count(&full, &full.calls) + node_count(&good, &good.calls), 4);
    node_stop(&full);
    node_stop(&good);
}

static void *stop_main(void *arg)
{
    struct node *n = arg;
    rpc_server_stop(&n->server, 2 * HANG_MS);
    return NULL;
}

static void stopping_answers_what_is_in_work(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    node_hold(&n, true);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k, late;
    caller_start(&k, c, "wait", 60000);
    CU_ASSERT(node_reached(&n, &n.waiting, 1));
    pthread_t t;
    pthread_create(&t, NULL, stop_main, &n);
    static const char stopping[] = "no conductor can be reached: this conductor is stopping";
    /* new calls are turned away while the old one is still running */
    struct err e = ERR_INIT;
    int rc = 0;
    for (int64_t until = clock_mono_ms() + HANG_MS; clock_mono_ms() < until;) {
        _cleanup_json_ json_t *r = NULL;
        rc = rpc_client_call(c, "hello", NULL, 300, &r, &e);
        if (rc == ERR_UNAVAILABLE && strcmp(e.msg, stopping) == 0)
            break;
    }
    CU_ASSERT_EQUAL(rc, ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(e.msg, stopping);
    caller_start(&late, c, "hello", 60000); /* waits for another conductor */
    while (!atomic_load(&late.begun))       /* the client must not end before it is used */
        (void)poll(NULL, 0, 5);
    node_hold(&n, false);
    pthread_join(k.thread, NULL);
    ASSERT_OK(k.rc, &k.e);
    CU_ASSERT_STRING_EQUAL(jsonx_str(k.result, "node"), "one");
    json_decref(k.result);
    pthread_join(t, NULL);
    /* a client that stops ends the calls that still wait */
    rpc_client_stop(&c);
    pthread_join(late.thread, NULL);
    CU_ASSERT_EQUAL(late.rc, ERR_UNAVAILABLE);
    node_stop(&n);
}

static void a_drain_has_an_end(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    node_hold(&n, true);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k[3];
    for (int i = 0; i < 3; i++) /* two run, one waits in the queue and is dropped */
        caller_start(&k[i], c, "wait", 20000);
    CU_ASSERT(node_reached(&n, &n.waiting, 2));
    pthread_t t;
    pthread_create(&t, NULL, stop_main, &n);
    pthread_mutex_lock(&n.lock);
    pthread_mutex_unlock(&n.lock);
    node_hold(&n, false);
    for (int i = 0; i < 3; i++) {
        pthread_join(k[i].thread, NULL);
        json_decref(k[i].result);
    }
    pthread_join(t, NULL);
    rpc_client_stop(&c);
    node_stop(&n);
    /* no drain at all: nothing waits for the queue */
    node_start(&n, "one", cfg);
    rpc_server_stop(&n.server, 0);
    node_stop(&n);
}

static const struct test_case cases[] = {
    TEST(a_hanging_conductor_is_passed_over), TEST(a_killed_conductor_loses_nothing),
    TEST(a_frozen_conductor_is_passed_over),  TEST(peers_come_and_go),
    TEST(who_came_just_now_is_found_at_once), TEST(a_full_queue_sends_elsewhere),
    TEST(stopping_answers_what_is_in_work),   TEST(a_drain_has_an_end)};

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--serve") == 0)
        serve(argv[2]);
    return test_main(argc, argv, "component/rpc_faults", rpc_setup, rpc_teardown, cases,
                     ARRAY_LEN(cases));
}
