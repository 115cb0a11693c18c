/* News from publishers to a listener: topics, publishers that come and go, CURVE and strangers,
 * endpoints that are refused. */
#include "base/clock.h"
#include "component/rpc_node.h"
#include "config/config.h"
#include "support/cunit_main.h"

#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { LONG_MS = HANG_MS };

/* Who publishes at present, as the table of services would say, and what was heard. */
static struct {
    pthread_mutex_t lock;
    const char *endpoint[4], *key;
    size_t n;
    atomic_int heard, other, reads;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    (void)ctx;
    int rc = 0;
    pthread_mutex_lock(&world.lock);
    for (size_t i = 0; rc == 0 && i < world.n; i++) {
        struct rpc_peer *p = rpc_peer_list_add(ret, "x", "tcp://127.0.0.1:1", world.key);
        rc = p ? rpc_peer_news(p, world.endpoint[i]) : ERR_NOMEM;
    }
    pthread_mutex_unlock(&world.lock);
    atomic_fetch_add(&world.reads, 1);
    return rc ? err_nomem(e) : 0;
}

static void news(void *ctx, const char *topic)
{
    atomic_fetch_add(strcmp(topic, ctx) == 0 ? &world.heard : &world.other, 1);
}

static void publishers(const char *key, size_t n, const char *a, const char *b)
{
    pthread_mutex_lock(&world.lock);
    world.endpoint[0] = a;
    world.endpoint[1] = b;
    world.key = key;
    world.n = n;
    pthread_mutex_unlock(&world.lock);
    atomic_store(&world.heard, 0);
    atomic_store(&world.other, 0);
}

/* Publishes until it is heard, since a subscription takes its time to arrive. */
static bool heard(struct rpc_publisher *p, const char *topic, int64_t wait_ms)
{
    int before = atomic_load(&world.heard);
    for (int64_t until = clock_mono_ms() + wait_ms; clock_mono_ms() < until;) {
        rpc_publish(p, topic, "text");
        rpc_publish(p, "op/another", NULL);
        (void)poll(NULL, 0, 20);
        if (atomic_load(&world.heard) > before)
            return true;
    }
    return false;
}

static struct rpc_publisher *publisher(const struct config *cfg)
{
    struct rpc_publisher *p = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(rpc_publisher_start(cfg, "tcp://127.0.0.1:*", "", &p, &e), &e);
    return p;
}

static struct rpc_listener *listener(const struct config *cfg)
{
    static char topic[] = "op/one";
    struct rpc_listener *l = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(rpc_listener_start(cfg, peers, NULL, news, topic, &l, &e), &e);
    return l;
}

static void topics_and_comings_and_goings(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    struct rpc_publisher *a = publisher(cfg), *b = publisher(cfg);
    publishers("", 1, rpc_publisher_endpoint(a), NULL);
    int reads = atomic_load(&world.reads);
    struct rpc_listener *l = listener(cfg);
    (void)poll(NULL, 0, 300);
    CU_ASSERT_EQUAL(atomic_load(&world.reads), reads); /* nobody waits: nobody is asked */
    rpc_listener_watch(l, "op/one", true);
    rpc_listener_watch(l, "op/one", true);
    CU_ASSERT_TRUE(heard(a, "op/one", LONG_MS));
    CU_ASSERT_EQUAL(atomic_load(&world.other), 0); /* what is not watched does not come */
    /* another one appears, the first goes away */
    publishers("", 1, rpc_publisher_endpoint(b), NULL);
    CU_ASSERT_TRUE(heard(b, "op/one", LONG_MS));
    rpc_publisher_stop(&a);
    rpc_listener_watch(l, "op/one", false); /* one of two */
    CU_ASSERT_TRUE(heard(b, "op/one", LONG_MS));
    rpc_listener_watch(l, "op/one", false);
    bool still = true; /* until the publisher knows */
    for (int64_t until = clock_mono_ms() + LONG_MS; still && clock_mono_ms() < until;)
        still = heard(b, "op/one", 300);
    CU_ASSERT_FALSE(still);
    rpc_listener_stop(&l);
    rpc_publisher_stop(&b);
    rpc_publish(NULL, "op/one", NULL); /* nobody publishes: nothing happens */
}

static void strangers_hear_nothing(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    char other_keys[80];
    struct err e = ERR_INIT;
    struct node n;
    snprintf(other_keys, sizeof other_keys, "%s/stranger", rpc_dir);
    ASSERT_OK(rpc_keys_make(other_keys, false, &e), &e);
    _cleanup_config_ struct config *other = config_new(other_keys), *plain = config_new("");
    node_start(&n, "one", cfg); /* for its public key; a conductor has both */
    struct rpc_publisher *p = publisher(cfg);
    publishers(rpc_server_public_key(n.server), 1, rpc_publisher_endpoint(p), NULL);
    struct rpc_listener *l = listener(cfg);
    rpc_listener_watch(l, "op/one", true);
    CU_ASSERT_TRUE(heard(p, "op/one", LONG_MS));
    rpc_listener_stop(&l);
    l = listener(other); /* a key nobody authorized */
    rpc_listener_watch(l, "op/one", true);
    CU_ASSERT_FALSE(heard(p, "op/one", 700));
    rpc_listener_stop(&l);
    l = listener(plain); /* no key at all, and one that lies about it */
    rpc_listener_watch(l, "op/one", true);
    CU_ASSERT_FALSE(heard(p, "op/one", 300));
    rpc_listener_stop(&l);
    publishers("", 1, rpc_publisher_endpoint(p), NULL);
    l = listener(plain);
    rpc_listener_watch(l, "op/one", true);
    CU_ASSERT_FALSE(heard(p, "op/one", 300));
    rpc_listener_stop(&l);
    rpc_publisher_stop(&p);
    node_stop(&n);
}

/* Who was turned away goes on trying: a listener needs no restart. */
static void a_stranger_may_be_let_in_later(void)
{
    char keys[80], stranger[80];
    struct err e = ERR_INIT;
    struct node n;
    snprintf(keys, sizeof keys, "%s/host", rpc_dir);
    snprintf(stranger, sizeof stranger, "%s/late", rpc_dir);
    ASSERT_OK(rpc_keys_make(keys, false, &e), &e);
    ASSERT_OK(rpc_keys_make(stranger, false, &e), &e);
    _cleanup_config_ struct config *cfg = config_new(keys), *other = config_new(stranger);
    node_start(&n, "one", cfg);
    struct rpc_publisher *p = publisher(cfg);
    publishers(rpc_server_public_key(n.server), 1, rpc_publisher_endpoint(p), NULL);
    struct rpc_listener *l = listener(other);
    rpc_listener_watch(l, "op/one", true);
    CU_ASSERT_FALSE(heard(p, "op/one", 700));
    run_shell(str_fmt("cp %s/authorized/api.key %s/authorized/second", stranger, keys));
    CU_ASSERT_TRUE(heard(p, "op/one", LONG_MS));
    rpc_listener_stop(&l);
    rpc_publisher_stop(&p);
    node_stop(&n);
}

/* Nobody who listens notices. */
static void a_listener_goes_on_with_a_new_key(void)
{
    char keys[80];
    struct err e = ERR_INIT;
    struct node n;
    struct rpc_key *key = NULL;
    snprintf(keys, sizeof keys, "%s/news", rpc_dir);
    ASSERT_OK(rpc_keys_make(keys, false, &e), &e);
    _cleanup_config_ struct config *cfg = config_new(keys);
    node_start(&n, "one", cfg);
    struct rpc_publisher *p = publisher(cfg);
    publishers(rpc_server_public_key(n.server), 1, rpc_publisher_endpoint(p), NULL);
    struct rpc_listener *l = listener(cfg);
    rpc_listener_watch(l, "op/one", true);
    CU_ASSERT_TRUE(heard(p, "op/one", LONG_MS));
    ASSERT_OK(rpc_listener_read_again(l, &key, &e), &e);
    CU_ASSERT_PTR_NULL(key); /* the same */
    rpc_listener_take(l, &key);
    for (int i = 0; i < 2; i++) {
        new_api_key(keys, true); /* who connects with the former one is refused from now on */
        ASSERT_OK(rpc_listener_read_again(l, &key, &e), &e);
        CU_ASSERT_PTR_NOT_NULL(key);
        int reads = atomic_load(&world.reads);
        rpc_listener_take(l, &key);
        for (int64_t until = clock_mono_ms() + LONG_MS;
             atomic_load(&world.reads) == reads && clock_mono_ms() < until;)
            (void)poll(NULL, 0, 5); /* it has connected anew */
        CU_ASSERT_TRUE(heard(p, "op/one", LONG_MS));
    }
    rpc_listener_stop(&l);
    rpc_publisher_stop(&p);
    node_stop(&n);
}

static void endpoints_are_checked(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    struct rpc_publisher *p = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(rpc_publisher_start(cfg, "tcp://192.0.2.1:5", "", &p, &e), ERR_CONFIG);
    CU_ASSERT_EQUAL(rpc_publisher_start(cfg, "http://127.0.0.1:5", "", &p, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NULL(p);
    struct rpc_publisher *first = publisher(cfg);
    CU_ASSERT_EQUAL(rpc_publisher_start(cfg, rpc_publisher_endpoint(first), "", &p, &e),
                    ERR_UNAVAILABLE); /* taken */
    rpc_publisher_stop(&first);
    /* the host that is advertised, with the port that was bound */
    ASSERT_OK(rpc_publisher_start(cfg, "tcp://127.0.0.1:*", "tcp://192.0.2.7:*", &p, &e), &e);
    CU_ASSERT_TRUE(strncmp(rpc_publisher_endpoint(p), "tcp://192.0.2.7:", 16) == 0);
    CU_ASSERT_TRUE(rpc_publisher_endpoint(p)[16] != '*');
    rpc_publisher_stop(&p);
    /* beside rpc.bind */
    static const struct {
        const char *bind, *news, *want;
    } rows[] = {{"tcp://127.0.0.1:9512", "", "tcp://127.0.0.1:*"},
                {"tcp://[::1]:*", "", "tcp://[::1]:*"},
                {"ipc:///run/m/c", "", "ipc:///run/m/c.news"},
                {"tcp://127.0.0.1:9512", "tcp://127.0.0.1:9513", "tcp://127.0.0.1:9513"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ASSERT_OK(config_set(cfg, "rpc.bind", rows[i].bind, &e), &e);
        ASSERT_OK(config_set(cfg, "rpc.news_bind", rows[i].news, &e), &e);
        _cleanup_free_ char *bind = rpc_news_bind(cfg);
        CU_ASSERT_STRING_EQUAL(bind, rows[i].want);
    }
}

TEST_MAIN("rpc_news", rpc_setup, rpc_teardown, TEST(topics_and_comings_and_goings),
          TEST(strangers_hear_nothing), TEST(a_stranger_may_be_let_in_later),
          TEST(a_listener_goes_on_with_a_new_key), TEST(endpoints_are_checked))
