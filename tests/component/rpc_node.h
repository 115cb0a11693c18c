/* Conductors, the list of them and callers for the message bus tests. Servers run in this process
 * (struct node) or, where one is to be killed or stopped, in a child (struct child).
 * Neighbours: rpc.c, rpc_faults.c, rpc_keys.c. */
#ifndef MAGNUM_TESTS_COMPONENT_RPC_NODE_H
#define MAGNUM_TESTS_COMPONENT_RPC_NODE_H

#include "base/cleanup.h"
#include "rpc/rpc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct config;
enum { HANG_MS = 60000 }; /* a hang, not a measure */
extern char rpc_dir[], rpc_keys[];
extern struct node node_tally; /* notifications of all nodes together */

struct node {
    const char *name;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold; /* "wait" blocks while this is set */
    int calls, notes, waiting;
    struct rpc_server *server;
};
struct board {
    pthread_mutex_t lock;
    pthread_cond_t read; /* the client has read it once more */
    char endpoint[8][128], key[8][64];
    size_t n;
    unsigned reads;
    bool broken;
};
struct child {
    pid_t pid;
    char endpoint[128], key[64];
};
struct caller {
    pthread_t thread;
    struct rpc_client *c;
    const char *method;
    int64_t timeout_ms;
    atomic_bool begun;
    json_t *result;
    int rc;
    struct err e;
};

/* Suite setup: a private directory with a fresh set of keys. */
int rpc_setup(void);
int rpc_teardown(void);
/* Takes the command and runs it. */
void run_shell(char *cmd);
/* A new api.key in the directory of keys; authorized: conductors let it in, and no other. */
void new_api_key(const char *keys, bool authorized);
/* The handler of every node: note, fail, mute_failure, big, empty, wait, anything else echoes. */
int handle(void *ctx, const char *method, const json_t *params, int64_t deadline_mono_ms,
           json_t **result, struct err *e);
/* Defaults with short attempts, peers that may stand still, small messages, two workers. "" =
 * without CURVE. */
struct config *config_new(const char *keys_dir);
void node_start(struct node *n, const char *name, const struct config *cfg);
void node_stop(struct node *n);
void node_hold(struct node *n, bool hold);
/* Waits (up to HANG_MS) until *counter >= want. */
bool node_reached(struct node *n, const int *counter, int want);
int node_count(struct node *n, const int *counter);
void board_init(struct board *b);
void board_add(struct board *b, const char *endpoint, const char *key);
void board_add_node(struct board *b, const struct node *n);
/* Empties the list and returns when the client has read it since. */
void board_clear(struct board *b);
int board_peers(void *ctx, struct rpc_peer_list *ret, struct err *e);
struct rpc_client *client_new(const struct config *cfg, struct board *b);
/* The answer of a call that must succeed. */
json_t *call(struct rpc_client *c, const char *method, int64_t timeout_ms);
int call_fails(struct rpc_client *c, const char *method, int64_t timeout_ms, struct err *e);
/* One call on its own thread. */
void caller_start(struct caller *k, struct rpc_client *c, const char *method, int64_t timeout_ms);
/* What a child does: answers until it is killed; "wait" never returns. */
_Noreturn void serve(const char *keys_dir);
void child_start(struct child *ch, const char *keys_dir);
void child_freeze(const struct child *ch); /* returns when it stands still */
void child_end(struct child *ch);

#endif
