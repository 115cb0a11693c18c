/* The message bus and strangers: keys, endpoints, key files, hostile bytes and messages. */
#include "base/clock.h"
#include "base/jsonx.h"
#include "component/rpc_node.h"
#include "config/config.h"
#include "support/cunit_main.h"

#include <arpa/inet.h>
#include <czmq.h>
#include <sys/stat.h>

/* ---- keys ---- */
static void only_known_keys_get_in(void)
{
    _cleanup_config_ struct config *cfg = config_new(rpc_keys);
    char other_keys[80];
    snprintf(other_keys, sizeof other_keys, "%s/other", rpc_dir);
    struct err e = ERR_INIT;
    ASSERT_OK(rpc_keys_make(other_keys, false, &e), &e);
    _cleanup_config_ struct config *other = config_new(other_keys), *plain = config_new("");
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    board_add_node(&b, &n);

    struct rpc_client *c = client_new(other, &b); /* a key nobody authorized */
    CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "does not let this key in"));
    rpc_client_stop(&c);

    c = client_new(plain, &b); /* no key at all */
    CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "magnum-keygen"));
    rpc_client_stop(&c);

    struct board lying;
    board_init(&lying); /* a client without CURVE that believes the server has none either */
    board_add(&lying, rpc_server_endpoint(n.server), "");
    c = client_new(plain, &lying);
    CU_ASSERT_EQUAL(call_fails(c, "hello", 1000, &e), ERR_UNAVAILABLE);
    rpc_client_stop(&c);

    struct board forged;
    board_init(&forged); /* the right place with somebody else's public key */
    zcert_t *cert = zcert_new();
    board_add(&forged, rpc_server_endpoint(n.server), zcert_public_txt(cert));
    c = client_new(cfg, &forged);
    CU_ASSERT_EQUAL(call_fails(c, "hello", 1000, &e), ERR_UNAVAILABLE);
    rpc_client_stop(&c);
    zcert_destroy(&cert);

    struct board bad;
    board_init(&bad); /* rows nobody can use must not hurt: malformed key, endpoint, no key */
    board_add(&bad, rpc_server_endpoint(n.server), "not a key");
    board_add(&bad, "http://127.0.0.1:5", "");
    board_add(&bad, "tcp://127.0.0.1:5", "");
    board_add(&bad, "", "");
    c = client_new(cfg, &bad);
    CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
    rpc_client_stop(&c);
    board_add_node(&bad, &n);
    c = client_new(cfg, &bad);
    json_decref(call(c, "hello", HANG_MS));
    CU_ASSERT_EQUAL(node_count(&n, &n.calls), 1);
    rpc_client_stop(&c);

    /* an authorized key that is added while the conductor runs is let in */
    _cleanup_free_ char *cmd = NULL;
    CU_ASSERT(
        asprintf(&cmd, "cp %s/authorized/api.key %s/authorized/second", other_keys, rpc_keys) > 0);
    CU_ASSERT_EQUAL(system(cmd), 0);
    c = client_new(other, &b);
    _cleanup_json_ json_t *r2 = NULL, *r3 = NULL;
    CU_ASSERT_EQUAL(rpc_client_call(c, "hello", NULL, HANG_MS, &r2, &e), 0);
    rpc_client_stop(&c);

    /* the same key in two files, and a file that is none, do no harm; without both it is out */
    _cleanup_free_ char *twice = NULL, *out = NULL;
    CU_ASSERT(asprintf(&twice,
                       "cd %s/authorized && cp second third && cp second 0first && echo x >none",
                       rpc_keys) > 0);
    CU_ASSERT_EQUAL(system(twice), 0);
    c = client_new(other, &b);
    CU_ASSERT_EQUAL(rpc_client_call(c, "hello", NULL, HANG_MS, &r3, &e), 0);
    rpc_client_stop(&c);
    CU_ASSERT(asprintf(&out, "cd %s/authorized && rm second third 0first none", rpc_keys) > 0);
    CU_ASSERT_EQUAL(system(out), 0);
    c = client_new(other, &b);
    CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "does not let this key in"));
    rpc_client_stop(&c);
    node_stop(&n);
}

static void refuse_start(const char *keys_dir, const char *bind, const char *advertise,
                         const char *part)
{
    _cleanup_config_ struct config *cfg = config_new("");
    struct err e = ERR_INIT;
    struct rpc_server *s = NULL;
    ASSERT_OK(config_set(cfg, "rpc.keys_dir", keys_dir, &e), &e);
    ASSERT_OK(config_set(cfg, "rpc.bind", bind, &e), &e);
    ASSERT_OK(config_set(cfg, "rpc.advertise", advertise, &e), &e);
    int rc = rpc_server_start(cfg, handle, NULL, &s, &e);
    CU_ASSERT(rc == ERR_CONFIG || rc == ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NULL(s);
    if (!strstr(e.msg, part))
        fprintf(stderr, "%s: got \"%s\", want \"%s\"\n", bind, e.msg, part);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, part));
}

/* ---- another key while it runs ---- */

static int take_key(struct rpc_client *c, bool expected, struct err *e)
{
    struct rpc_key *key = NULL;
    int rc = rpc_client_read_again(c, &key, e);
    CU_ASSERT_EQUAL(key != NULL, expected);
    rpc_client_take(c, &key);
    CU_ASSERT_PTR_NULL(key);
    return rc;
}

/* Returns when the client has read the list once more. */
static void board_read(struct board *b)
{
    pthread_mutex_lock(&b->lock);
    for (unsigned until = b->reads + 1; b->reads < until;)
        pthread_cond_wait(&b->read, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static bool answers_soon(struct rpc_client *c, struct board *b, const char *node)
{
    for (int i = 0; i < 10; i++) { /* lists */
        _cleanup_json_ json_t *r = call(c, "hello", HANG_MS);
        if (str_eq(jsonx_str(r, "node"), node))
            return true;
        board_read(b);
    }
    return false;
}

static void *ask_once(void *arg)
{
    struct caller *k = arg;
    k->rc = rpc_client_call_once(k->c, "wait", NULL, 10 * HANG_MS, &k->result, &k->e);
    return NULL;
}

/* No call is lost: the old connections stay until there are new ones, and until they have answered.
 */
static void a_client_goes_on_with_a_new_key(void)
{
    char keys[80];
    struct err e = ERR_INIT;
    struct node n, later;
    struct board b;
    struct caller held;
    snprintf(keys, sizeof keys, "%s/mine", rpc_dir);
    ASSERT_OK(rpc_keys_make(keys, false, &e), &e);
    _cleanup_config_ struct config *cfg = config_new(keys);
    board_init(&b);
    node_start(&n, "one", cfg);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    json_decref(call(c, "hello", HANG_MS));
    ASSERT_OK(take_key(c, false, &e), &e); /* it is the same */

    new_api_key(keys, false); /* nobody lets it in: the connection there is goes on */
    ASSERT_OK(take_key(c, true, &e), &e);
    for (int i = 0; i < 3; i++) { /* links are made of each list that is read */
        board_read(&b);
        json_decref(call(c, "hello", HANG_MS));
    }

    node_hold(&n, true);
    held = (struct caller){.c = c};
    CU_ASSERT_EQUAL_FATAL(pthread_create(&held.thread, NULL, ask_once, &held), 0);
    CU_ASSERT(node_reached(&n, &n.waiting, 1));
    new_api_key(keys, true); /* the former ones are let in no longer */
    ASSERT_OK(take_key(c, true, &e), &e);
    json_decref(call(c, "hello", HANG_MS));
    node_start(&later, "later", cfg); /* has only ever known the new one */
    pthread_mutex_lock(&b.lock);
    b.n = 0;
    pthread_mutex_unlock(&b.lock);
    board_add_node(&b, &later);
    CU_ASSERT(answers_soon(c, &b, "later"));
    node_hold(&n, false);
    pthread_join(held.thread, NULL);
    CU_ASSERT_EQUAL(held.rc, 0); /* by the connection it was asked on */
    json_decref(held.result);

    run_shell(str_fmt("echo nonsense > %s/api.key", keys));
    CU_ASSERT_EQUAL(take_key(c, false, &e), ERR_CONFIG);
    CU_ASSERT(str_starts(e.msg, "rpc.keys_dir: ") && strstr(e.msg, "api.key"));
    json_decref(call(c, "hello", HANG_MS));
    rpc_client_stop(&c);
    node_stop(&n);
    node_stop(&later);
}

/* The client that was turned away goes on trying: it needs no restart. */
static void a_key_may_be_let_in_later(void)
{
    char keys[80], stranger[80];
    struct err e = ERR_INIT;
    struct node n;
    struct board b;
    snprintf(keys, sizeof keys, "%s/host", rpc_dir);
    snprintf(stranger, sizeof stranger, "%s/stranger", rpc_dir);
    ASSERT_OK(rpc_keys_make(keys, false, &e), &e);
    ASSERT_OK(rpc_keys_make(stranger, false, &e), &e);
    _cleanup_config_ struct config *cfg = config_new(keys), *other = config_new(stranger);
    board_init(&b);
    node_start(&n, "one", cfg);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(other, &b);
    CU_ASSERT_EQUAL(call_fails(c, "hello", HANG_MS, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "does not let this key in"));
    board_read(&b); /* and is turned away once more */
    board_read(&b);
    run_shell(str_fmt("cp %s/authorized/api.key %s/authorized/second", stranger, keys));
    int rc = -1;
    for (int64_t hang = clock_mono_ms() + HANG_MS; rc < 0 && clock_mono_ms() < hang;) {
        _cleanup_json_ json_t *r = NULL;
        e = (struct err)ERR_INIT;
        rc = rpc_client_call(c, "hello", NULL, HANG_MS, &r, &e);
        if (rc < 0)
            board_read(&b);
    }
    ASSERT_OK(rc, &e);
    rpc_client_stop(&c);
    node_stop(&n);
}

static void a_server_tells_that_its_key_changed(void)
{
    char keys[80], path[96];
    bool changed = true;
    struct err e = ERR_INIT;
    struct node n, plain;
    snprintf(keys, sizeof keys, "%s/server", rpc_dir);
    snprintf(path, sizeof path, "%s/conductor.key", keys);
    ASSERT_OK(rpc_keys_make(keys, false, &e), &e);
    _cleanup_config_ struct config *cfg = config_new(keys), *without = config_new("");
    node_start(&n, "one", cfg);
    node_start(&plain, "plain", without);
    ASSERT_OK(rpc_server_key_changed(plain.server, &changed, &e), &e);
    CU_ASSERT_FALSE(changed);
    ASSERT_OK(rpc_server_key_changed(n.server, &changed, &e), &e);
    CU_ASSERT_FALSE(changed);
    ASSERT_OK(rpc_keys_make(keys, true, &e), &e);
    ASSERT_OK(rpc_server_key_changed(n.server, &changed, &e), &e);
    CU_ASSERT(changed);
    CU_ASSERT_EQUAL(chmod(path, 0644), 0);
    CU_ASSERT_EQUAL(rpc_server_key_changed(n.server, &changed, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, path));
    node_stop(&n);
    node_stop(&plain);
}

static void unsafe_endpoints_are_refused(void)
{
    refuse_start("", "tcp://*:*", "", "magnum-keygen");
    refuse_start("", "tcp://0.0.0.0:5000", "", "magnum-keygen");
    refuse_start("", "tcp://[::]:5000", "", "magnum-keygen");
    refuse_start("", "tcp://128.0.0.1:*", "", "magnum-keygen");
    refuse_start("", "tcp://127.0.0.1.evil.example:5000", "", "magnum-keygen");
    refuse_start("", "tcp://localhost:5000", "", "magnum-keygen");
    refuse_start("", "tcp://127.0.0.1:*", "tcp://10.0.0.1:5", "magnum-keygen");
    refuse_start(rpc_keys, "tcp://*:*", "", "set rpc.advertise");
    refuse_start(rpc_keys, "tcp://[::]:*", "", "set rpc.advertise");
    refuse_start("", "udp://127.0.0.1:5", "", "must be tcp://address:port or ipc://path");
    refuse_start("", "inproc://x", "", "must be tcp://");
    refuse_start("", "127.0.0.1:5", "", "must be tcp://");
    refuse_start("", "ipc://", "", "must be tcp://");
    refuse_start("", "", "", "must be tcp://");
    refuse_start("", "ipc:///nonexistent/dir/sock", "", "cannot listen on");
    refuse_start("", "tcp://192.0.2.1:0", "", "magnum-keygen");
    refuse_start(rpc_keys, "tcp://192.0.2.1:0", "", "cannot listen on");
    refuse_start("", "tcp://127.0.0.1:99999", "", "must be tcp://");
    refuse_start("", "tcp://127.0.0.1:1x", "", "must be tcp://");
    refuse_start("/nonexistent", "tcp://127.0.0.1:*", "", "magnum-keygen --dir /nonexistent");
}

static void what_is_advertised(void)
{
    static const char *const cases[][3] = {
        {"tcp://*:*", "tcp://127.0.0.1:*", "tcp://127.0.0.1:"},
        {"tcp://127.0.0.1:*", "tcp://conductor.example:*", "tcp://conductor.example:"},
        {"tcp://127.0.0.1:*", "tcp://192.0.2.7:99", "tcp://192.0.2.7:99"},
        {"tcp://127.0.0.1:*", "", "tcp://127.0.0.1:"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_config_ struct config *cfg = config_new(rpc_keys);
        struct err e = ERR_INIT;
        ASSERT_OK(config_set(cfg, "rpc.bind", cases[i][0], &e), &e);
        ASSERT_OK(config_set(cfg, "rpc.advertise", cases[i][1], &e), &e);
        struct node n;
        struct board b;
        node_start(&n, "one", cfg);
        const char *told = rpc_server_endpoint(n.server);
        CU_ASSERT_EQUAL(strncmp(told, cases[i][2], strlen(cases[i][2])), 0);
        CU_ASSERT_PTR_NULL(strchr(told, '*'));
        board_init(&b);
        board_add_node(&b, &n);
        if (i == 0) { /* it is a real endpoint */
            struct rpc_client *c = client_new(cfg, &b);
            json_decref(call(c, "hello", HANG_MS));
            rpc_client_stop(&c);
        }
        node_stop(&n);
    }
}

static void other_transports(void)
{
    char path[96];
    const char *const binds[] = {path, "tcp://[::1]:*"};
    for (int with_keys = 0; with_keys < 2; with_keys++)
        for (size_t i = 0; i < 2; i++) {
            /* another file each time: ZeroMQ removes the former one when it gets round to it */
            snprintf(path, sizeof path, "ipc://%s/sock%d", rpc_dir, with_keys);
            _cleanup_config_ struct config *cfg = config_new(with_keys ? rpc_keys : "");
            struct err e = ERR_INIT;
            struct node n;
            struct board b;
            board_init(&b);
            ASSERT_OK(config_set(cfg, "rpc.bind", binds[i], &e), &e);
            node_start(&n, "one", cfg);
            board_add_node(&b, &n);
            struct rpc_client *c = client_new(cfg, &b);
            _cleanup_json_ json_t *r = call(c, "hello", HANG_MS);
            CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "one");
            struct stat st;
            if (i == 0) {
                CU_ASSERT_EQUAL(stat(path + 6, &st), 0);
                CU_ASSERT_EQUAL(st.st_mode & 0777, 0660);
            }
            rpc_client_stop(&c);
            node_stop(&n);
        }
}

static void key_files(void)
{
    char d[80], path[128], authorized[128];
    snprintf(d, sizeof d, "%s/a/b/keys", rpc_dir);
    snprintf(path, sizeof path, "%s/api.key", d);
    snprintf(authorized, sizeof authorized, "%s/authorized/api.key", d);
    struct err e = ERR_INIT;
    ASSERT_OK(rpc_keys_make(d, false, &e), &e);
    struct stat st;
    CU_ASSERT_EQUAL(stat(d, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0700);
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
    zcert_t *first = zcert_load(path), *pub = zcert_load(authorized);
    CU_ASSERT_STRING_EQUAL(zcert_public_txt(first), zcert_public_txt(pub));
    CU_ASSERT_STRING_NOT_EQUAL(zcert_secret_txt(first), zcert_secret_txt(pub));
    /* kept, and what is missing comes back */
    CU_ASSERT_EQUAL(unlink(authorized), 0);
    ASSERT_OK(rpc_keys_make(d, false, &e), &e);
    zcert_t *again = zcert_load(path), *pub2 = zcert_load(authorized);
    CU_ASSERT(zcert_eq(first, again));
    CU_ASSERT_STRING_EQUAL(zcert_public_txt(first), zcert_public_txt(pub2));
    ASSERT_OK(rpc_keys_make(d, true, &e), &e);
    zcert_t *forced = zcert_load(path), *pub3 = zcert_load(authorized);
    CU_ASSERT_FALSE(zcert_eq(first, forced));
    CU_ASSERT_STRING_EQUAL(zcert_public_txt(forced), zcert_public_txt(pub3));
    zcert_t *all[] = {first, pub, again, pub2, forced, pub3};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        zcert_destroy(&all[i]);
    /* files that others can read, or that are no rpc_keys, are refused */
    CU_ASSERT_EQUAL(chmod(path, 0640), 0);
    _cleanup_config_ struct config *cfg = config_new(d);
    struct board b;
    struct rpc_client *c = NULL;
    board_init(&b);
    CU_ASSERT_EQUAL(rpc_client_start(cfg, board_peers, &b, &c, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "can be read by others: chmod 600"));
    CU_ASSERT_EQUAL(truncate(path, 0), 0);
    CU_ASSERT_EQUAL(chmod(path, 0600), 0);
    CU_ASSERT_EQUAL(rpc_client_start(cfg, board_peers, &b, &c, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "is not a key made by magnum-keygen"));
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(rpc_client_start(cfg, board_peers, &b, &c, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "make it with magnum-keygen --dir"));
    CU_ASSERT_PTR_NULL(c);
    CU_ASSERT(rpc_keys_make("/proc/nothing/here", false, &e) < 0);
}

/* ---- hostile bytes ---- */
static void throw_at(const char *endpoint, const void *bytes, size_t n)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)!send(fd, bytes, n, MSG_NOSIGNAL);
}

static void garbage_is_ignored(void)
{
    for (int with_keys = 0; with_keys < 2; with_keys++) {
        _cleanup_config_ struct config *cfg = config_new(with_keys ? rpc_keys : "");
        struct node n;
        struct board b;
        board_init(&b);
        node_start(&n, "one", cfg);
        board_add_node(&b, &n);
        const char *at = rpc_server_endpoint(n.server);
        throw_at(at, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
        throw_at(at, "", 0);
        unsigned seed = 7;
        for (int i = 0; i < 50; i++) {
            unsigned char noise[600];
            for (size_t k = 0; k < sizeof noise; k++)
                noise[k] = (unsigned char)rand_r(&seed);
            if (i % 2) /* a ZMTP greeting, then noise */
                memcpy(noise, "\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL\0\0\0\0", 20);
            throw_at(at, noise, sizeof noise);
        }
        struct rpc_client *c = client_new(cfg, &b);
        json_decref(call(c, "hello", HANG_MS));
        CU_ASSERT_EQUAL(node_count(&n, &n.calls), 1);
        rpc_client_stop(&c);
        node_stop(&n);
    }
}

/* Sends frames as a real ZeroMQ peer and gives the status and body of the answer, or NULL. */
static char *exchange(zsock_t *s, const char *const *frames, size_t n)
{
    zmsg_t *m = zmsg_new();
    for (size_t i = 0; i < n; i++)
        zmsg_addstr(m, frames[i]);
    zmsg_send(&m, s);
    m = zmsg_recv(s);
    if (!m)
        return NULL;
    char *version = zmsg_popstr(m), *id = zmsg_popstr(m), *status = zmsg_popstr(m),
         *body = zmsg_popstr(m), *text = NULL;
    CU_ASSERT_STRING_EQUAL(version, "mrpc/1");
    CU_ASSERT(asprintf(&text, "%s %s %s", id, status, body) > 0);
    zmsg_destroy(&m);
    free(version);
    free(id);
    free(status);
    free(body);
    return text;
}

static void malformed_messages_are_answered_or_dropped(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    struct node n;
    node_start(&n, "one", cfg);
    zsock_t *s = zsock_new(ZMQ_DEALER);
    zsock_set_linger(s, 0);
    CU_ASSERT_EQUAL(zsock_connect(s, "%s", rpc_server_endpoint(n.server)), 0);
    zsock_set_rcvtimeo(s, HANG_MS);
    static const struct {
        const char *frames[12];
        const char *part;
    } cases[] = {
        {{"mrpc/9", "1.0", "call", "hello", "100", "{}"}, "1.0 error {\"code\":\"protocol\""},
        {{"mrpc/9", "1.0"}, "differ in version"},
        {{"mrpc/1", "2.0"}, "2.0 error"},
        {{"mrpc/1", "2.0", "call", "hello", "100"}, "six parts"},
        {{"mrpc/1", "2.0", "call", "hello", "100", "{}", "x"}, "six parts"},
        {{"mrpc/1", "2.0", "shout", "hello", "100", "{}"}, "a call or a notify"},
        {{"mrpc/1", "2.0", "call", "he\nllo", "100", "{}"}, "no valid name"},
        {{"mrpc/1", "2.0", "call", "hello", "soon", "{}"}, "not a number"},
        {{"mrpc/1", "2.0", "call", "hello", "-1", "{}"}, "not a number"},
        {{"mrpc/1", "2.0", "call", "hello", "9000", "{"}, "\"code\":\"invalid\""},
        {{"mrpc/1", "2.0", "call", "hello", "9000", "{\"a\":1,\"a\":2}"}, "duplicate"},
        {{"mrpc/1", "2.0", "call", "hello", "9000", ""}, "\"code\":\"invalid\""},
        {{"mrpc/1", "2.0", "call", "hello", "9000", "{}"}, "2.0 ok {\"node\":\"one\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t k = 0;
        while (cases[i].frames[k])
            k++;
        _cleanup_free_ char *got = exchange(s, cases[i].frames, k);
        if (!got || !strstr(got, cases[i].part))
            fprintf(stderr, "case %zu: %s\n", i, got ? got : "(no answer)");
        CU_ASSERT(got && strstr(got, cases[i].part));
    }
    /* without an id there is no answer, and a very long message does no harm */
    zsock_set_rcvtimeo(s, 100);
    const char *const no_id[] = {"mrpc/1"};
    CU_ASSERT_PTR_NULL(exchange(s, no_id, 1));
    const char *const bad_id[] = {"mrpc/1", "\x01", "call", "hello", "100", "{}"};
    CU_ASSERT_PTR_NULL(exchange(s, bad_id, 6));
    const char *many[300];
    for (size_t i = 0; i < 300; i++)
        many[i] = "mrpc/1";
    zsock_set_rcvtimeo(s, HANG_MS);
    _cleanup_free_ char *got = exchange(s, many, 300);
    CU_ASSERT(got && strstr(got, "six parts"));
    zsock_destroy(&s);
    CU_ASSERT_EQUAL(node_count(&n, &n.calls), 1);
    node_stop(&n);
}

/* A peer that answers nonsense costs the call, not the client. */
static void nonsense_answers(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    zsock_t *s = zsock_new(ZMQ_ROUTER);
    zsock_set_linger(s, 0);
    zsock_set_rcvtimeo(s, HANG_MS);
    CU_ASSERT_FATAL(zsock_bind(s, "tcp://127.0.0.1:*") > 0);
    struct board b;
    board_init(&b);
    board_add(&b, zsock_endpoint(s), "");
    struct rpc_client *c = client_new(cfg, &b);
    static const struct {
        const char *version, *status, *body;
        int rc;
    } cases[] = {
        {"mrpc/1", "ok", "{", ERR_PROTOCOL},
        {"mrpc/1", "ok", "", ERR_PROTOCOL},
        {"mrpc/1", "error", "[]", ERR_PROTOCOL},
        {"mrpc/1", "error", "{\"code\":\"never-heard\",\"message\":\"m\"}", ERR_INTERNAL},
        {"mrpc/1", "what", "{}", ERR_PROTOCOL},
        {"mrpc/2", "ok", "{}", ERR_PROTOCOL},
        {"mrpc/1", "ok", "{\"fine\":1}", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct caller k;
        caller_start(&k, c, "hello", HANG_MS);
        zmsg_t *m = zmsg_recv(s);
        CU_ASSERT_PTR_NOT_NULL_FATAL(m);
        zframe_t *who = zmsg_pop(m);
        char *version = zmsg_popstr(m), *id = zmsg_popstr(m);
        /* first answers to calls that do not exist: they must not reach this one */
        const char *const ids[] = {"0.0", "999.0", "1.999999", "x", "", ".", id};
        for (size_t n = 0; n < ARRAY_LEN(ids); n++) {
            zmsg_t *answer = zmsg_new();
            zframe_t *copy = zframe_dup(who);
            zmsg_append(answer, &copy);
            zmsg_addstr(answer, cases[i].version);
            zmsg_addstr(answer, ids[n]);
            zmsg_addstr(answer, ids[n] == id ? cases[i].status : "ok");
            zmsg_addstr(answer, ids[n] == id ? cases[i].body : "{\"wrong\":1}");
            if (ids[n] != id && n % 2)
                zmsg_addstr(answer, "a fifth part");
            zmsg_send(&answer, s);
        }
        pthread_join(k.thread, NULL);
        CU_ASSERT_EQUAL(k.rc, cases[i].rc);
        CU_ASSERT_PTR_NULL(json_object_get(k.result, "wrong"));
        json_decref(k.result);
        zframe_destroy(&who);
        free(version);
        free(id);
        zmsg_destroy(&m);
    }
    rpc_client_stop(&c);
    zsock_destroy(&s);
}

TEST_MAIN("component/rpc_keys", rpc_setup, rpc_teardown, TEST(only_known_keys_get_in),
          TEST(a_client_goes_on_with_a_new_key), TEST(a_key_may_be_let_in_later),
          TEST(a_server_tells_that_its_key_changed), TEST(unsafe_endpoints_are_refused),
          TEST(what_is_advertised), TEST(other_transports), TEST(key_files),
          TEST(garbage_is_ignored), TEST(malformed_messages_are_answered_or_dropped),
          TEST(nonsense_answers))
