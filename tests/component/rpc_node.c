/* See rpc_node.h. */
#include "component/rpc_node.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "base/trace.h"
#include "config/config.h"
#include "support/cunit_main.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>

char rpc_dir[] = "/tmp/magnum-rpc-XXXXXX";
char rpc_keys[64];

/* ---- keys ---- */

void run_shell(char *cmd)
{
    CU_ASSERT(cmd && system(cmd) == 0);
    free(cmd);
}

void new_api_key(const char *keys, bool authorized)
{
    char other[80];
    struct err e = ERR_INIT;
    snprintf(other, sizeof other, "%s/next", rpc_dir);
    ASSERT_OK(rpc_keys_make(other, true, &e), &e);
    run_shell(str_fmt("cp %s/api.key %s/api.key", other, keys));
    if (!authorized)
        return;
    /* the gate looks at the number of files, their size and their time in seconds */
    static int times;
    run_shell(str_fmt("rm %s/authorized/* && cp %s/authorized/api.key %s/authorized/new", keys,
                      other, keys));
    for (int i = 0; i < 1 + times % 5; i++)
        run_shell(str_fmt("echo no key > %s/authorized/other-%d", keys, i));
    times++;
}

/* ---- a conductor of this process ---- */

/* Notifications of all nodes together. */
struct node node_tally = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void count_note(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    n->notes++;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

void node_hold(struct node *n, bool hold)
{
    pthread_mutex_lock(&n->lock);
    n->hold = hold;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

bool node_reached(struct node *n, const int *counter, int want)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += HANG_MS / 1000;
    pthread_mutex_lock(&n->lock);
    int rc = 0;
    while (*counter < want && rc == 0)
        rc = pthread_cond_timedwait(&n->changed, &n->lock, &t);
    bool ok = *counter >= want;
    pthread_mutex_unlock(&n->lock);
    return ok;
}

int node_count(struct node *n, const int *counter)
{
    pthread_mutex_lock(&n->lock);
    int now = *counter;
    pthread_mutex_unlock(&n->lock);
    return now;
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

/* What the log and the trace of this thread know the call by. */
static int ids(json_t **result)
{
    const struct trace_context *t = trace_current();
    const struct log_context *l = log_context_get();
    *result = json_pack("{s:s?, s:s?, s:s?, s:b, s:s?, s:s?, s:s?}", "trace",
                        t ? t->trace_id : NULL, "state", t ? t->state : NULL, "span",
                        t ? t->span_id : NULL, "sampled", t && t->sampled, "request", l->request,
                        "cluster", l->cluster, "operation", l->operation);
    return 0;
}

int handle(void *ctx, const char *method, const json_t *params, int64_t deadline_mono_ms,
           json_t **result, struct err *e)
{
    struct node *n = ctx;
    if (strcmp(method, "note") == 0) {
        count_note(n);
        count_note(&node_tally);
        return 0;
    }
    pthread_mutex_lock(&n->lock);
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
    if (strcmp(method, "ids") == 0)
        return ids(result);
    *result = json_pack("{s:s, s:s, s:O, s:I}", "node", n->name, "method", method, "params", params,
                        "left", (json_int_t)(deadline_mono_ms - clock_mono_ms()));
    return 0;
}

/* Without assertions: the child has no CUnit. */
static int config_make(const char *keys_dir, struct config **c, struct err *e)
{
    static const char *const options[][2] = {{"rpc.attempt_timeout_ms", "300"},
                                             {"rpc.peer_timeout_ms", "60000"},
                                             {"rpc.max_message_bytes", "100000"},
                                             {"rpc.workers", "2"}};
    int rc = config_load("/dev/null", c, e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(options); i++)
        rc = config_set(*c, options[i][0], options[i][1], e);
    return rc < 0 ? rc : config_set(*c, "rpc.keys_dir", keys_dir, e);
}

struct config *config_new(const char *keys_dir)
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
    int rc = rpc_server_start(cfg, handle, n, &n->server, e);
    if (rc == 0)
        rpc_server_open(n->server);
    return rc;
}

void node_start(struct node *n, const char *name, const struct config *cfg)
{
    struct err e = ERR_INIT;
    ASSERT_OK(node_try(n, name, cfg, &e), &e);
}

void node_stop(struct node *n)
{
    node_hold(n, false);
    rpc_server_stop(&n->server, 5000);
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->lock);
}

/* ---- the list of conductors the client is told ---- */

int board_peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
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

void board_init(struct board *b)
{
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->read, NULL);
}

void board_add(struct board *b, const char *endpoint, const char *key)
{
    pthread_mutex_lock(&b->lock);
    snprintf(b->endpoint[b->n], sizeof b->endpoint[0], "%s", endpoint);
    snprintf(b->key[b->n], sizeof b->key[0], "%s", key);
    b->n++;
    pthread_mutex_unlock(&b->lock);
}

void board_add_node(struct board *b, const struct node *n)
{
    board_add(b, rpc_server_endpoint(n->server), rpc_server_public_key(n->server));
}

void board_clear(struct board *b)
{
    pthread_mutex_lock(&b->lock);
    b->n = 0;
    /* Two more reads: the second one began after the change. */
    for (unsigned until = b->reads + 2; b->reads < until;)
        pthread_cond_wait(&b->read, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

struct rpc_client *client_new(const struct config *cfg, struct board *b)
{
    struct rpc_client *c = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(rpc_client_start(cfg, board_peers, b, &c, &e), &e);
    return c;
}

/* The answer of a call that must succeed. */
json_t *call(struct rpc_client *c, const char *method, int64_t timeout_ms)
{
    json_t *r = NULL;
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *params = json_pack("{s:i}", "a", 1);
    ASSERT_OK(rpc_client_call(c, method, params, timeout_ms, &r, &e), &e);
    return r;
}

int call_fails(struct rpc_client *c, const char *method, int64_t timeout_ms, struct err *e)
{
    _cleanup_json_ json_t *r = NULL;
    int rc = rpc_client_call(c, method, NULL, timeout_ms, &r, e);
    CU_ASSERT(rc < 0);
    CU_ASSERT_EQUAL(e->code, rc);
    CU_ASSERT_PTR_NULL(r);
    return rc;
}

/* ---- a conductor in a child ---- */

_Noreturn void serve(const char *keys_dir)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct config *cfg = NULL;
    struct err e = ERR_INIT;
    struct node n;
    if (config_make(keys_dir, &cfg, &e) < 0 || node_try(&n, "child", cfg, &e) < 0) {
        fprintf(stderr, "child: %s\n", e.msg);
        exit(1);
    }
    node_hold(&n, true);
    printf("%s %s.\n", rpc_server_endpoint(n.server), rpc_server_public_key(n.server));
    fflush(stdout);
    for (;;)
        pause();
}

void child_start(struct child *ch, const char *keys_dir)
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

void child_freeze(const struct child *ch)
{
    kill(ch->pid, SIGSTOP);
    (void)waitpid(ch->pid, NULL, WUNTRACED); /* a signal is not there when kill() returns */
}

void child_end(struct child *ch)
{
    kill(ch->pid, SIGKILL);
    waitpid(ch->pid, NULL, 0);
}

static void *caller_main(void *arg)
{
    struct caller *k = arg;
    atomic_store(&k->begun, true);
    k->rc = rpc_client_call(k->c, k->method, NULL, k->timeout_ms, &k->result, &k->e);
    return NULL;
}

void caller_start(struct caller *k, struct rpc_client *c, const char *method, int64_t timeout_ms)
{
    *k = (struct caller){.c = c, .method = method, .timeout_ms = timeout_ms};
    CU_ASSERT_EQUAL_FATAL(pthread_create(&k->thread, NULL, caller_main, k), 0);
}

int rpc_setup(void)
{
    log_setup("test", LOG_ERR, false);
    if (!mkdtemp(rpc_dir))
        return 1;
    snprintf(rpc_keys, sizeof rpc_keys, "%s/keys", rpc_dir);
    struct err e = ERR_INIT;
    return rpc_keys_make(rpc_keys, false, &e);
}

int rpc_teardown(void)
{
    _cleanup_free_ char *cmd = NULL;
    return asprintf(&cmd, "rm -rf %s", rpc_dir) < 0 ? 1 : system(cmd);
}
