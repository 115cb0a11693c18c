/* magnum-driver-check: the kit a vendor runs over a plugin. It plays the host with the host's own
 * code (core/drivers), counts what the plugin does to the world, and kills, refuses, cancels and
 * lies at every point of it. What the world holds afterwards is asked of the backend and of the
 * ledger, never of the plugin.
 *
 * main.c options; set_up.c the run's surroundings; report.c its results; world.c the services given
 * to the plugin; backend.c the world beyond HTTP; walk.c one operation to its end; cases_*.c what
 * is checked; check_host.c a host that pretends to be another; observe.c what loading does. One
 * thread. */
#ifndef MAGNUM_CHECK_CHECK_H
#define MAGNUM_CHECK_CHECK_H

#include "base/str.h"
#include "config/config.h"
#include "drivers/front_coe.h"
#include "pair.h"

#include <stdio.h>

struct backend;
struct verdict;

struct kit {
    struct config *cfg;
    struct plugin_list plugins;
    const struct plugin *plugin;
    struct driver_pool *pool;
    struct backend *backend;
    json_t *spec;     /* what --spec and --label say, laid over the kit's own */
    char scratch[64]; /* directory of this run; the plugin's log is in <scratch>/log */
    uint64_t seed, random;
    int64_t max_steps, max_points, random_walks, budget_ms;
    unsigned clusters;       /* ids given out */
    unsigned only_point;     /* of each walk; 0 = all */
    struct pair pairs[2];    /* for certificate managers, which may read what they keep */
    char *host, *check_host; /* programs; check_host can pretend */
    bool foreign_host;       /* the plugin runs under a sanitizer or valgrind */
};
/* True when this point of a walk is not to be tried; else notes it as the one that is. */
bool kit_skips(const struct kit *k, struct verdict *v, unsigned point);
/* The kit's own host again, after another was pretended. */
int kit_reset_config(struct kit *k, struct err *e) MUST_CHECK;
/* Uniform in [0, n); n > 0. The same for the same seed. */
unsigned kit_random(struct kit *k, unsigned n);
/* The plugin's file as data; else the verdict says why not. Caller owns. */
int kit_read_library(const struct kit *k, char **ret, size_t *len, struct verdict *v) MUST_CHECK;
bool kit_offers(const struct kit *k, const char *iface, const char *operation);

/* ---- verdicts ---- */
enum outcome { CHECK_OK, CHECK_FAILED, CHECK_SKIPPED };
struct verdict {
    enum outcome outcome;
    char why[1024];
    int64_t ms;
    unsigned point; /* of a walk, where it stands; 0 = it is none */
};
/* The first failure of a case counts. Returns false, so that `return verdict_fail(...)` works. */
bool verdict_fail(struct verdict *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void verdict_skip(struct verdict *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct check_case {
    const char *group, *name;
    void (*run)(struct kit *k, struct verdict *v);
};
extern const struct check_case cases_static[], cases_library[], cases_coe[], cases_walks[],
    cases_cert[], cases_hosts[], cases_end[];
extern const size_t cases_static_count, cases_library_count, cases_coe_count, cases_walks_count,
    cases_cert_count, cases_hosts_count, cases_end_count;

/* ---- backend.c ---- */

/* program NULL: the built-in one, which keeps any document under its path (PUT, POST, GET, DELETE).
 * Else a shell command that reads one JSON object a line and answers with one:
 *   {"do": "http", method, service, path, headers, body} -> {"status", "headers", "body"}
 *   {"do": "count", "cluster": id} -> {"resources": ["kind/name", ...]}
 *   {"do": "cert", cluster, verb, args} -> {"value": what mag.host.cert answers}, or without value:
 *     then texts that only look like certificates do */
int backend_open(const char *program, const char *scratch, struct backend **ret,
                 struct err *e) MUST_CHECK;
void backend_close(struct backend **b);
int backend_http(struct backend *b, const struct http_call_spec *rq, struct http_reply *rp,
                 struct err *e) MUST_CHECK;
/* *ret = NULL: it has no certificates to give. Caller owns. */
int backend_cert(struct backend *b, const char *cluster, const char *verb, const json_t *args,
                 json_t **ret, struct err *e) MUST_CHECK;
/* Adds "kind/name" of what it holds for the cluster to the list. */
int backend_count(struct backend *b, const char *cluster, json_t *list, struct err *e) MUST_CHECK;

/* ---- world.c ---- */
enum fault {
    FAULT_NONE,
    FAULT_401,
    FAULT_404,
    FAULT_409,
    FAULT_429,
    FAULT_500,
    FAULT_GARBAGE,
    FAULT_CUT,
    FAULT_TIMEOUT,
    FAULT_DOWN,
    FAULT_END
};
const char *fault_name(enum fault f);

struct world { /* what the conductor knows of one cluster, and what happens to it */
    struct kit *k;
    char cluster[40];
    json_t *outputs, *ledger, *said; /* said: URLs, for the search of canaries */
    char *state, *first_state;       /* last checkpoint, and the first of this walk */
    unsigned touches, http_calls;    /* since the walk began */
    unsigned after_fence;            /* touches after the plugin was told it is fenced */
    /* what is planned; 0 = nothing */
    unsigned kill_at;
    bool kill_after; /* the touch takes place, its answer is lost */
    unsigned fault_at;
    enum fault fault;
    unsigned fence_at;
    bool cancel;
    bool no_remote, went_remote; /* validate must not */
    /* what happened */
    bool killed, fenced, faulted;
    pid_t pid; /* of the call in progress */
};
void world_init(struct world *w, struct kit *k);
void world_done(struct world *w);
/* Forgets what was planned and counted. */
void world_plan(struct world *w);
struct coe_services world_services(struct world *w);
/* Everything that exists for the cluster, in the ledger ("ledger:kind/name") and in the backend,
 * sorted, with the cluster's id replaced. Caller owns; NULL = the backend failed (*e filled). */
json_t *world_inventory(struct world *w, struct err *e);
/* The same without the ledger's entries. */
bool world_is_empty(struct world *w, struct verdict *v, const char *when);

#define CANARY_KEY "CANARY-PRIVATE-KEY-4a1f"
#define CANARY_SECRET "CANARY-SECRET-77c2"
/* True when a canary stands somewhere it must not; *where tells. */
bool world_leaks(struct world *w, const char *canary, char where[128]);

/* ---- walk.c ---- */
struct op { /* one operation, as a conductor would hold it */
    const char *iface, *verb;
    uint32_t kind;
    int masters, workers;
    const char *op_id;
    uint32_t flags;   /* of every step */
    int64_t deadline; /* unix ms; 0 = far away */
    int64_t budget_ms;
    json_t *params, *extra; /* borrowed; NULL = none. extra is laid over the spec */
    bool lose_state;        /* forget the checkpoint after a kill */
    const char *bad_state;  /* what a kill leaves as state instead; NULL = the last */
    bool stop_on_error;     /* a retryable error ends the walk, too */
};
struct op op_create(void);
struct op op_remove(void);

struct end { /* how a walk ended */
    int32_t rc;
    unsigned steps, deaths; /* deaths: those that the kit didn't cause */
    bool unending;          /* max_steps were not enough */
    char reason[64], message[448], died_why[160];
    uint32_t flags;
    bool refused_to_start; /* the call could not even be made; message tells */
};
/* Steps until it ends. Kills that the kit did are resumed in a new process. */
struct end walk(struct world *w, const struct op *op);
/* One call of a verb that is no step. *ret_value (may be NULL) is owned by the caller. */
struct end call_once(struct world *w, const struct op *op, const json_t *args, json_t **ret_value);
json_t *kit_spec(struct world *w, const struct op *op);
/* The walk must end well; else the verdict says how it didn't. */
bool must_end_well(struct world *w, const struct op *op, struct verdict *v, const char *what);
/* Deletes and checks that nothing is left. */
bool must_delete(struct world *w, struct verdict *v, const char *what);
/* Deaths that the kit didn't cause, endless walks and calls that can't be made are always wrong. */
bool sound(const struct end *end, struct verdict *v, const char *what);

#endif
