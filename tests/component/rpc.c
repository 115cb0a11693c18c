/* The message bus over real ZeroMQ: calls, retries, lost and hanging conductors, keys, hostile
 * bytes. Servers run in this process, or, where one is to be killed or stopped, in a child (this
 * program with --serve). */
#include "rpc/rpc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "config/config.h"
#include "support/cunit_main.h"

#include <arpa/inet.h>
#include <czmq.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[] = "/tmp/magnum-rpc-XXXXXX";
static char keys[64];

/* ---- a conductor of this process ---- */
struct node {
    const char *name;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold; /* "wait" blocks while this is set */
    int calls, notes, waiting;
    struct rpc_server *server;
};

static void node_release(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    n->hold = false;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

/* Waits (up to 10 s) until *counter >= want. */
static bool node_reached(struct node *n, const int *counter, int want)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 10;
    pthread_mutex_lock(&n->lock);
    int rc = 0;
    while (*counter < want && rc == 0)
        rc = pthread_cond_timedwait(&n->changed, &n->lock, &t);
    bool ok = *counter >= want;
    pthread_mutex_unlock(&n->lock);
    return ok;
}

static void wait_here(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    n->waiting++;
    pthread_cond_broadcast(&n->changed);
    while (n->hold)
        pthread_cond_wait(&n->changed, &n->lock);
    pthread_mutex_unlock(&n->lock);
}

static int big_answer(json_t **result)
{
    _cleanup_free_ char *text = malloc(200001);
    memset(text, 'x', 200000);
    text[200000] = '\0';
    *result = json_pack("{s:s}", "text", text);
    return 0;
}

static int handle(void *ctx, const char *method, const json_t *params, int64_t deadline_mono_ms,
                  json_t **result, struct err *e)
{
    struct node *n = ctx;
    pthread_mutex_lock(&n->lock);
    if (strcmp(method, "note") == 0)
        n->notes++;
    else
        n->calls++;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
    if (strcmp(method, "fail") == 0)
        return err_set(e, ERR_QUOTA, "no more \"%s\"", jsonx_str(params, "what"));
    if (strcmp(method, "mute_failure") == 0)
        return ERR_CONFLICT;
    if (strcmp(method, "big") == 0)
        return big_answer(result);
    if (strcmp(method, "empty") == 0)
        return 0;
    if (strcmp(method, "wait") == 0)
        wait_here(n);
    *result = json_pack("{s:s, s:s, s:O, s:I}", "node", n->name, "method", method, "params", params,
                        "left", (json_int_t)(deadline_mono_ms - clock_mono_ms()));
    return 0;
}

/* Without assertions: the child has no CUnit. */
static int config_make(const char *keys_dir, struct config **c, struct err *e)
{
    static const char *const options[][2] = {{"rpc.attempt_timeout_ms", "300"},
                                             {"rpc.max_message_bytes", "100000"},
                                             {"rpc.workers", "2"}};
    int rc = config_load("/dev/null", c, e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(options); i++)
        rc = config_set(*c, options[i][0], options[i][1], e);
    return rc < 0 ? rc : config_set(*c, "rpc.keys_dir", keys_dir, e);
}

static struct config *config_new(const char *keys_dir)
{
    struct config *c = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(config_make(keys_dir, &c, &e), &e);
    return c;
}

static int node_try(struct node *n, const char *name, const struct config *cfg, struct err *e)
{
    *n = (struct node){.name = name};
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->changed, NULL);
    return rpc_server_start(cfg, handle, n, &n->server, e);
}

static void node_start(struct node *n, const char *name, const struct config *cfg)
{
    struct err e = ERR_INIT;
    ASSERT_OK(node_try(n, name, cfg, &e), &e);
}

static void node_stop(struct node *n)
{
    node_release(n);
    rpc_server_stop(&n->server, 5000);
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->lock);
}

/* ---- the list of conductors the client is told ---- */
struct board {
    pthread_mutex_t lock;
    pthread_cond_t read; /* the client has read it once more */
    char endpoint[8][128], key[8][64];
    size_t n;
    unsigned reads;
    bool broken;
};

static int board_peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    struct board *b = ctx;
    int rc = 0;
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->n; i++)
        if (!rpc_peer_list_add(ret, b->endpoint[i], b->endpoint[i], b->key[i]))
            rc = err_nomem(e);
    if (b->broken)
        rc = err_set(e, ERR_UNAVAILABLE, "the database is away");
    b->reads++;
    pthread_cond_broadcast(&b->read);
    pthread_mutex_unlock(&b->lock);
    return rc;
}

static void board_init(struct board *b)
{
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->read, NULL);
}

static void board_add(struct board *b, const char *endpoint, const char *key)
{
    pthread_mutex_lock(&b->lock);
    snprintf(b->endpoint[b->n], sizeof b->endpoint[0], "%s", endpoint);
    snprintf(b->key[b->n], sizeof b->key[0], "%s", key);
    b->n++;
    pthread_mutex_unlock(&b->lock);
}

static void board_add_node(struct board *b, const struct node *n)
{
    board_add(b, rpc_server_endpoint(n->server), rpc_server_public_key(n->server));
}

static void board_clear(struct board *b)
{
    pthread_mutex_lock(&b->lock);
    b->n = 0;
    /* Two more reads: the second one began after the change. */
    for (unsigned until = b->reads + 2; b->reads < until;)
        pthread_cond_wait(&b->read, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static struct rpc_client *client_new(const struct config *cfg, struct board *b)
{
    struct rpc_client *c = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(rpc_client_start(cfg, board_peers, b, &c, &e), &e);
    return c;
}

/* The answer of a call that must succeed. */
static json_t *call(struct rpc_client *c, const char *method, int64_t timeout_ms)
{
    json_t *r = NULL;
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *params = json_pack("{s:i}", "a", 1);
    ASSERT_OK(rpc_client_call(c, method, params, timeout_ms, &r, &e), &e);
    return r;
}

static int call_fails(struct rpc_client *c, const char *method, int64_t timeout_ms, struct err *e)
{
    _cleanup_json_ json_t *r = NULL;
    int rc = rpc_client_call(c, method, NULL, timeout_ms, &r, e);
    CU_ASSERT(rc < 0);
    CU_ASSERT_EQUAL(e->code, rc);
    CU_ASSERT_PTR_NULL(r);
    return rc;
}

/* ---- a conductor in a child ---- */
struct child {
    pid_t pid;
    char endpoint[128], key[64];
};

_Noreturn static void serve(const char *keys_dir)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct config *cfg = NULL;
    struct err e = ERR_INIT;
    struct node n;
    if (config_make(keys_dir, &cfg, &e) < 0 || node_try(&n, "child", cfg, &e) < 0) {
        fprintf(stderr, "child: %s\n", e.msg);
        exit(1);
    }
    pthread_mutex_lock(&n.lock);
    n.hold = true;
    pthread_mutex_unlock(&n.lock);
    printf("%s %s.\n", rpc_server_endpoint(n.server), rpc_server_public_key(n.server));
    fflush(stdout);
    for (;;)
        pause();
}

static void child_start(struct child *ch, const char *keys_dir)
{
    int fds[2];
    CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC), 0);
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
    char *const argv[] = {(char *)"rpc", (char *)"--serve", (char *)keys_dir, NULL};
    CU_ASSERT_EQUAL_FATAL(posix_spawn(&ch->pid, "/proc/self/exe", &fa, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&fa);
    close(fds[1]);
    FILE *f = fdopen(fds[0], "r");
    ch->key[0] = '\0';
    CU_ASSERT_FATAL(fscanf(f, "%127s %63[^\n]", ch->endpoint, ch->key) == 2);
    ch->key[strlen(ch->key) - 1] = '\0'; /* the dot keeps an empty key readable */
    fclose(f);
}

static void child_end(struct child *ch)
{
    kill(ch->pid, SIGKILL);
    waitpid(ch->pid, NULL, 0);
}

/* ---- the tests ---- */
static int setup(void)
{
    log_setup("test", LOG_ERR, false);
    if (!mkdtemp(dir))
        return 1;
    snprintf(keys, sizeof keys, "%s/keys", dir);
    struct err e = ERR_INIT;
    return rpc_keys_make(keys, false, &e);
}

static int teardown(void)
{
    _cleanup_free_ char *cmd = NULL;
    return asprintf(&cmd, "rm -rf %s", dir) < 0 ? 1 : system(cmd);
}

static void calls_and_errors(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    CU_ASSERT_EQUAL(strlen(rpc_server_public_key(n.server)), 40);
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    _cleanup_json_ json_t *r = call(c, "hello", 5000);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "one");
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "method"), "hello");
    CU_ASSERT_EQUAL(jsonx_int(json_object_get(r, "params"), "a", 0), 1);
    int64_t left = jsonx_int(r, "left", -1);
    CU_ASSERT(left > 0 && left <= 5000); /* the deadline travels */
    _cleanup_json_ json_t *empty = call(c, "empty", 5000);
    CU_ASSERT(json_is_object(empty) && json_object_size(empty) == 0);

    struct err e = ERR_INIT;
    _cleanup_json_ json_t *none = NULL, *params = json_pack("{s:s}", "what", "caf\xc3\xa9\n");
    CU_ASSERT_EQUAL(rpc_client_call(c, "fail", params, 5000, &none, &e), ERR_QUOTA);
    CU_ASSERT_STRING_EQUAL(e.msg, "no more \"caf\xc3\xa9 \"");
    CU_ASSERT_EQUAL(call_fails(c, "mute_failure", 5000, &e), ERR_CONFLICT);
    CU_ASSERT_STRING_EQUAL(e.msg, "mute_failure failed: conflict");
    rpc_client_stop(&c);
    node_stop(&n);
}

static void sizes_are_limited(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
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
    CU_ASSERT_EQUAL(rpc_client_call(c, "hello", params, 5000, &none, &e), ERR_TOO_LARGE);
    text[99989] = 'x';
    text[99989 - 60] = '\0';
    _cleanup_json_ json_t *fits = json_pack("{s:s}", "a", text), *r = NULL;
    CU_ASSERT_EQUAL(rpc_client_call(c, "empty", fits, 5000, &r, &e), 0);
    CU_ASSERT_EQUAL(call_fails(c, "big", 5000, &e), ERR_TOO_LARGE);
    /* nesting */
    _cleanup_json_ json_t *deep = json_array();
    for (int i = 0; i < 200; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    CU_ASSERT_EQUAL(rpc_client_call(c, "empty", deep, 5000, &none, &e), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "nested deeper"));
    _cleanup_json_ json_t *again = call(c, "empty", 5000);
    CU_ASSERT_PTR_NOT_NULL(again);
    rpc_client_stop(&c);
    node_stop(&n);
}

static void notifications(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct node n[3];
    struct board b;
    board_init(&b);
    for (int i = 0; i < 3; i++) {
        node_start(&n[i], "n", cfg);
        board_add_node(&b, &n[i]);
    }
    struct rpc_client *c = client_new(cfg, &b);
    /* before any connection stands: it waits for the first one */
    rpc_client_notify(c, "note", NULL, false);
    for (int i = 0; i < 30; i++) { /* all connections up: each node has answered */
        _cleanup_json_ json_t *r = call(c, "hello", 5000);
    }
    for (int i = 0; i < 3; i++)
        CU_ASSERT(node_reached(&n[i], &n[i].calls, 1));
    rpc_client_notify(c, "note", NULL, true);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(node_reached(&n[i], &n[i].notes, 1));
    /* 30 more to one each: they are shared out */
    for (int i = 0; i < 30; i++)
        rpc_client_notify(c, "note", NULL, false);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(node_reached(&n[i], &n[i].notes, 11));
    rpc_client_stop(&c);
    int notes = n[0].notes + n[1].notes + n[2].notes;
    for (int i = 0; i < 3; i++)
        node_stop(&n[i]);
    CU_ASSERT_EQUAL(notes, 1 + 3 + 30);
}

static void notifications_pass_slow_calls(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    n.hold = true;
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    struct err e = ERR_INIT;
    for (int i = 0; i < 2; i++) /* both workers are held; the callers gave up */
        CU_ASSERT_EQUAL(call_fails(c, "wait", 200, &e), ERR_TIMEOUT);
    CU_ASSERT(node_reached(&n, &n.waiting, 2));
    rpc_client_notify(c, "note", NULL, false);
    CU_ASSERT(node_reached(&n, &n.notes, 1));
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
    CU_ASSERT_EQUAL(call_fails(c, "hello", 20000, &e), ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(e.msg, "no conductor can be reached");
    CU_ASSERT(clock_mono_ms() - t0 < 5000); /* at once, not at the deadline */
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
    CU_ASSERT_EQUAL(call_fails(c, "hello", 500, &e), ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(e.msg,
                           "no conductor can be reached: tcp://127.0.0.1:1 can't be reached");
    rpc_client_stop(&c);
}

static void deadline(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct node n;
    struct board b;
    struct err e = ERR_INIT;
    board_init(&b);
    node_start(&n, "one", cfg);
    n.hold = true;
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    int64_t t0 = clock_mono_ms();
    CU_ASSERT_EQUAL(call_fails(c, "wait", 1000, &e), ERR_TIMEOUT);
    CU_ASSERT_STRING_EQUAL(e.msg, "no conductor answered wait within 1000 ms");
    int64_t took = clock_mono_ms() - t0;
    CU_ASSERT(took >= 1000 && took < 10000);
    CU_ASSERT_EQUAL(n.waiting, 1); /* the only conductor has it already: not sent again */
    /* the answer that comes now belongs to nobody, least of all to the next call */
    node_release(&n);
    _cleanup_json_ json_t *r = call(c, "hello", 5000);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "method"), "hello");
    rpc_client_stop(&c);
    node_stop(&n);
}

static void a_hanging_conductor_is_passed_over(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct node slow, good;
    struct board b;
    board_init(&b);
    node_start(&slow, "slow", cfg);
    node_start(&good, "good", cfg);
    slow.hold = true;
    board_add_node(&b, &slow);
    board_add_node(&b, &good);
    struct rpc_client *c = client_new(cfg, &b);
    for (int i = 0; i < 8; i++) {
        _cleanup_json_ json_t *r = call(c, "wait", 10000);
        CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "good");
    }
    CU_ASSERT(slow.waiting > 0);
    rpc_client_stop(&c);
    node_stop(&slow);
    node_stop(&good);
}

struct caller {
    pthread_t thread;
    struct rpc_client *c;
    const char *method;
    int64_t timeout_ms, took_ms;
    json_t *result;
    int rc;
    struct err e;
};

static void *caller_main(void *arg)
{
    struct caller *k = arg;
    int64_t t0 = clock_mono_ms();
    k->rc = rpc_client_call(k->c, k->method, NULL, k->timeout_ms, &k->result, &k->e);
    k->took_ms = clock_mono_ms() - t0;
    return NULL;
}

static void caller_start(struct caller *k, struct rpc_client *c, const char *method,
                         int64_t timeout_ms)
{
    *k = (struct caller){.c = c, .method = method, .timeout_ms = timeout_ms};
    CU_ASSERT_EQUAL_FATAL(pthread_create(&k->thread, NULL, caller_main, k), 0);
}

/* A killed conductor: its calls go elsewhere at once, long before the attempt would time out. */
static void a_killed_conductor_loses_nothing(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(cfg, "rpc.attempt_timeout_ms", "60000", &e), &e);
    struct node good;
    struct child ch;
    struct board b;
    board_init(&b);
    child_start(&ch, keys);
    board_add(&b, ch.endpoint, ch.key);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k[2];
    for (int i = 0; i < 2; i++)
        caller_start(&k[i], c, "wait", 60000);
    /* Both are with the child when its two workers are held and nothing else gets through. */
    int rc = 0;
    for (int64_t until = clock_mono_ms() + 20000; rc == 0 && clock_mono_ms() < until;) {
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
    for (int i = 0; i < 2; i++) {
        pthread_join(k[i].thread, NULL);
        ASSERT_OK(k[i].rc, &k[i].e);
        CU_ASSERT_STRING_EQUAL(jsonx_str(k[i].result, "node"), "good");
        CU_ASSERT(k[i].took_ms < 30000);
        json_decref(k[i].result);
    }
    rpc_client_stop(&c);
    node_stop(&good);
}

/* A conductor whose machine went silent: no reset, no answer; only the heartbeat tells. */
static void a_frozen_conductor_is_passed_over(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(cfg, "rpc.attempt_timeout_ms", "60000", &e), &e);
    ASSERT_OK(config_set(cfg, "rpc.heartbeat_ms", "200", &e), &e);
    struct node good;
    struct child ch;
    struct board b;
    board_init(&b);
    node_start(&good, "good", cfg);
    child_start(&ch, keys);
    board_add_node(&b, &good);
    board_add(&b, ch.endpoint, ch.key);
    struct rpc_client *c = client_new(cfg, &b);
    for (int seen = 0; seen != 3;) { /* both connections are up */
        _cleanup_json_ json_t *r = call(c, "hello", 5000);
        seen |= strcmp(jsonx_str(r, "node"), "good") == 0 ? 1 : 2;
    }
    kill(ch.pid, SIGSTOP);
    for (int i = 0; i < 4; i++) {
        _cleanup_json_ json_t *r = call(c, "hello", 30000);
        CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "good");
    }
    child_end(&ch);
    rpc_client_stop(&c);
    node_stop(&good);
}

static void peers_come_and_go(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct node one, two;
    struct board b;
    struct err e = ERR_INIT;
    board_init(&b);
    node_start(&one, "one", cfg);
    board_add_node(&b, &one);
    struct rpc_client *c = client_new(cfg, &b);
    _cleanup_json_ json_t *r = call(c, "hello", 5000);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r, "node"), "one");
    /* a call that is with a conductor that leaves the list ends when no other is there */
    one.hold = true;
    struct caller k;
    caller_start(&k, c, "wait", 60000);
    CU_ASSERT(node_reached(&one, &one.waiting, 1));
    board_clear(&b);
    pthread_join(k.thread, NULL);
    CU_ASSERT_EQUAL(k.rc, ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(call_fails(c, "hello", 20000, &e), ERR_UNAVAILABLE);
    node_start(&two, "two", cfg);
    board_add_node(&b, &two);
    int rc = ERR_UNAVAILABLE;
    _cleanup_json_ json_t *r2 = NULL;
    for (int64_t until = clock_mono_ms() + 10000; rc != 0 && clock_mono_ms() < until;)
        rc = rpc_client_call(c, "hello", NULL, 5000, &r2, &e);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r2, "node"), "two");
    /* a list that can't be read keeps the old one */
    pthread_mutex_lock(&b.lock);
    b.broken = true;
    for (unsigned until = b.reads + 2; b.reads < until;)
        pthread_cond_wait(&b.read, &b.lock);
    pthread_mutex_unlock(&b.lock);
    _cleanup_json_ json_t *r3 = call(c, "hello", 5000);
    CU_ASSERT_STRING_EQUAL(jsonx_str(r3, "node"), "two");
    rpc_client_stop(&c);
    node_stop(&one);
    node_stop(&two);
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
        if (rpc_client_call(c, "hello", params, 30000, &r, &e) == 0)
            good += str_eq(jsonx_str(json_object_get(r, "params"), "mark"), mark);
        else
            fprintf(stderr, "%s\n", e.msg);
    }
    return (void *)good;
}

static void many_calls_at_once(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct err e = ERR_INIT;
    ASSERT_OK(config_set(cfg, "rpc.attempt_timeout_ms", "30000", &e), &e);
    struct node n[3];
    struct board b;
    board_init(&b);
    for (int i = 0; i < 3; i++) {
        node_start(&n[i], "n", cfg);
        board_add_node(&b, &n[i]);
    }
    struct rpc_client *c = client_new(cfg, &b);
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
        CU_ASSERT(n[i].calls > 0);
        total += n[i].calls;
        node_stop(&n[i]);
    }
    CU_ASSERT_EQUAL(total, THREADS * EACH); /* none was run twice */
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
    full.hold = true;
    board_add_node(&b, &full);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k[4];
    for (int i = 0; i < 4; i++) /* one runs, one waits, two are given back until `good` is there */
        caller_start(&k[i], c, "wait", 60000);
    CU_ASSERT(node_reached(&full, &full.waiting, 1));
    node_start(&good, "good", cfg);
    board_add_node(&b, &good);
    CU_ASSERT(node_reached(&good, &good.calls, 2));
    node_release(&full);
    for (int i = 0; i < 4; i++) {
        pthread_join(k[i].thread, NULL);
        ASSERT_OK(k[i].rc, &k[i].e);
        json_decref(k[i].result);
    }
    rpc_client_stop(&c);
    CU_ASSERT_EQUAL(full.calls, 2);
    node_stop(&full);
    node_stop(&good);
}

static void *stop_main(void *arg)
{
    struct node *n = arg;
    rpc_server_stop(&n->server, 20000);
    return NULL;
}

static void stopping_answers_what_is_in_work(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    n.hold = true;
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k, late;
    caller_start(&k, c, "wait", 60000);
    CU_ASSERT(node_reached(&n, &n.waiting, 1));
    pthread_t t;
    pthread_create(&t, NULL, stop_main, &n);
    /* new calls are turned away while the old one is still running */
    struct err e = ERR_INIT;
    int rc = 0;
    for (int64_t until = clock_mono_ms() + 10000; clock_mono_ms() < until;) {
        _cleanup_json_ json_t *r = NULL;
        rc = rpc_client_call(c, "hello", NULL, 300, &r, &e);
        if (rc == ERR_UNAVAILABLE)
            break;
    }
    CU_ASSERT_EQUAL(rc, ERR_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(e.msg, "no conductor can be reached: this conductor is stopping");
    caller_start(&late, c, "hello", 60000); /* waits for another conductor */
    node_release(&n);
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
    n.hold = true;
    board_add_node(&b, &n);
    struct rpc_client *c = client_new(cfg, &b);
    struct caller k[3];
    for (int i = 0; i < 3; i++) /* two run, one waits in the queue and is dropped */
        caller_start(&k[i], c, "wait", 3000);
    CU_ASSERT(node_reached(&n, &n.waiting, 2));
    pthread_t t;
    pthread_create(&t, NULL, stop_main, &n);
    pthread_mutex_lock(&n.lock);
    pthread_mutex_unlock(&n.lock);
    node_release(&n);
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

/* ---- keys ---- */
static void only_known_keys_get_in(void)
{
    _cleanup_config_ struct config *cfg = config_new(keys);
    char other_keys[80];
    snprintf(other_keys, sizeof other_keys, "%s/other", dir);
    struct err e = ERR_INIT;
    ASSERT_OK(rpc_keys_make(other_keys, false, &e), &e);
    _cleanup_config_ struct config *other = config_new(other_keys), *plain = config_new("");
    struct node n;
    struct board b;
    board_init(&b);
    node_start(&n, "one", cfg);
    board_add_node(&b, &n);

    struct rpc_client *c = client_new(other, &b); /* a key nobody authorized */
    CU_ASSERT_EQUAL(call_fails(c, "hello", 5000, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "does not let this key in"));
    rpc_client_stop(&c);

    c = client_new(plain, &b); /* no key at all */
    CU_ASSERT_EQUAL(call_fails(c, "hello", 5000, &e), ERR_UNAVAILABLE);
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
    CU_ASSERT_EQUAL(call_fails(c, "hello", 20000, &e), ERR_UNAVAILABLE);
    rpc_client_stop(&c);
    board_add_node(&bad, &n);
    c = client_new(cfg, &bad);
    _cleanup_json_ json_t *r = call(c, "hello", 5000);
    CU_ASSERT_EQUAL(n.calls, 1);
    rpc_client_stop(&c);

    /* an authorized key that is added while the conductor runs is let in */
    _cleanup_free_ char *cmd = NULL;
    CU_ASSERT(asprintf(&cmd, "cp %s/authorized/api.key %s/authorized/second", other_keys, keys) >
              0);
    CU_ASSERT_EQUAL(system(cmd), 0);
    c = client_new(other, &b);
    _cleanup_json_ json_t *r2 = NULL;
    CU_ASSERT_EQUAL(rpc_client_call(c, "hello", NULL, 10000, &r2, &e), 0);
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

static void unsafe_endpoints_are_refused(void)
{
    refuse_start("", "tcp://*:*", "", "magnum-keygen");
    refuse_start("", "tcp://0.0.0.0:5000", "", "magnum-keygen");
    refuse_start("", "tcp://[::]:5000", "", "magnum-keygen");
    refuse_start("", "tcp://128.0.0.1:*", "", "magnum-keygen");
    refuse_start("", "tcp://127.0.0.1.evil.example:5000", "", "magnum-keygen");
    refuse_start("", "tcp://localhost:5000", "", "magnum-keygen");
    refuse_start("", "tcp://127.0.0.1:*", "tcp://10.0.0.1:5", "magnum-keygen");
    refuse_start("", "udp://127.0.0.1:5", "", "must be tcp://address:port or ipc://path");
    refuse_start("", "inproc://x", "", "must be tcp://");
    refuse_start("", "127.0.0.1:5", "", "must be tcp://");
    refuse_start("", "ipc://", "", "must be tcp://");
    refuse_start("", "", "", "must be tcp://");
    refuse_start("", "ipc:///nonexistent/dir/sock", "", "cannot listen on");
    refuse_start("", "tcp://192.0.2.1:0", "", "magnum-keygen");
    refuse_start(keys, "tcp://192.0.2.1:0", "", "cannot listen on");
    refuse_start("", "tcp://127.0.0.1:99999", "", "must be tcp://");
    refuse_start("", "tcp://127.0.0.1:1x", "", "must be tcp://");
    refuse_start("/nonexistent", "tcp://127.0.0.1:*", "", "magnum-keygen --dir /nonexistent");
}

static void other_transports(void)
{
    char path[96];
    snprintf(path, sizeof path, "ipc://%s/sock", dir);
    const char *const binds[] = {path, "tcp://[::1]:*"};
    for (int with_keys = 0; with_keys < 2; with_keys++)
        for (size_t i = 0; i < 2; i++) {
            _cleanup_config_ struct config *cfg = config_new(with_keys ? keys : "");
            struct err e = ERR_INIT;
            struct node n;
            struct board b;
            board_init(&b);
            ASSERT_OK(config_set(cfg, "rpc.bind", binds[i], &e), &e);
            node_start(&n, "one", cfg);
            board_add_node(&b, &n);
            struct rpc_client *c = client_new(cfg, &b);
            _cleanup_json_ json_t *r = call(c, "hello", 5000);
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
    snprintf(d, sizeof d, "%s/a/b/keys", dir);
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
    /* files that others can read, or that are no keys, are refused */
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
        _cleanup_config_ struct config *cfg = config_new(with_keys ? keys : "");
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
        _cleanup_json_ json_t *r = call(c, "hello", 10000);
        CU_ASSERT_EQUAL(n.calls, 1);
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
    zsock_set_rcvtimeo(s, 5000);
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
    zsock_set_rcvtimeo(s, 5000);
    _cleanup_free_ char *got = exchange(s, many, 300);
    CU_ASSERT(got && strstr(got, "six parts"));
    zsock_destroy(&s);
    CU_ASSERT_EQUAL(n.calls, 1);
    node_stop(&n);
}

/* A peer that answers nonsense costs the call, not the client. */
static void nonsense_answers(void)
{
    _cleanup_config_ struct config *cfg = config_new("");
    zsock_t *s = zsock_new(ZMQ_ROUTER);
    zsock_set_linger(s, 0);
    zsock_set_rcvtimeo(s, 5000);
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
        caller_start(&k, c, "hello", 20000);
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

static void signals_stay_the_programs(void)
{
    struct sigaction sa;
    CU_ASSERT_EQUAL(sigaction(SIGTERM, NULL, &sa), 0);
    CU_ASSERT(sa.sa_handler == SIG_DFL);
    CU_ASSERT_EQUAL(sigaction(SIGINT, NULL, &sa), 0);
    CU_ASSERT(sa.sa_handler == SIG_DFL);
}

static const struct test_case cases[] = {
    TEST(calls_and_errors),
    TEST(sizes_are_limited),
    TEST(notifications),
    TEST(notifications_pass_slow_calls),
    TEST(no_conductor),
    TEST(deadline),
    TEST(a_hanging_conductor_is_passed_over),
    TEST(a_killed_conductor_loses_nothing),
    TEST(a_frozen_conductor_is_passed_over),
    TEST(peers_come_and_go),
    TEST(many_calls_at_once),
    TEST(a_full_queue_sends_elsewhere),
    TEST(stopping_answers_what_is_in_work),
    TEST(a_drain_has_an_end),
    TEST(only_known_keys_get_in),
    TEST(unsafe_endpoints_are_refused),
    TEST(other_transports),
    TEST(key_files),
    TEST(garbage_is_ignored),
    TEST(malformed_messages_are_answered_or_dropped),
    TEST(nonsense_answers),
    TEST(signals_stay_the_programs),
};

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--serve") == 0)
        serve(argv[2]);
    return test_main(argc, argv, "component/rpc", setup, teardown, cases, ARRAY_LEN(cases));
}
