/* What the files of this folder share. Not included from outside; see conductor.h.
 *
 * Threads: scheduler (leases operations), renewer (prolongs leases, learns of cancels), clock
 * (wakes waiting runs), heartbeat (service row, drivers, database time), health (leases
 * observations), and `workers` that step runs and look at clusters. rpc handlers run on the rpc
 * server's threads. One mutex guards the run table and its queues; it is never held across I/O. */
#ifndef MAGNUM_CONDUCTOR_CONDUCTOR_INTERNAL_H
#define MAGNUM_CONDUCTOR_CONDUCTOR_INTERNAL_H

#include "base/box.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/uuid.h"
#include "certs/certs.h"
#include "conductor/conductor.h"
#include "config/config.h"
#include "db/db_operation.h"
#include "drivers/front_coe.h"
#include "http/client.h"
#include "operation/engine.h"
#include "operation/share.h"

#include <pthread.h>
#include <stdatomic.h>

struct cert_cache;
struct driver_set;
struct rpc_publisher;
struct rpc_server;

/* ---- one leased operation ---- */
#define NOT_RENEWED SIZE_MAX
enum run_place {
    RUN_READY,   /* in the ready queue */
    RUN_WORKING, /* a worker has it */
    RUN_WAITING, /* in the timer heap */
    RUN_PARKED   /* waits for the run it follows to end */
};
struct run {
    /* under the queue's mutex */
    enum run_place place;
    struct run *next;      /* in its lane */
    struct lane *lane;     /* its project's */
    struct gate *driver;   /* a reference */
    struct gate *site;     /* the endpoint it called last, or NULL; a reference */
    struct run *successor; /* leased again while this one still ran: starts when this one ends */
    size_t table_index, heap_index;
    int64_t due_ms;   /* monotonic */
    int64_t since_ms; /* monotonic: its place is its own from then on */
    bool poked;       /* news while working: don't wait */
    size_t renewal;   /* place in the renewer's present batch; NOT_RENEWED */
    /* of the thread that works on it, which may read op again: nobody else looks into it */
    struct operation op;
    struct engine_state s;
    struct engine_event ev;
    bool fresh;
    json_t *outputs;          /* published by the driver, not yet stored; owned */
    struct coe_result result; /* of the last call: ev's texts point into it, or into text */
    char text[ERR_MSG_MAX];
    /* any thread: what never changes */
    struct conductor *c;
    char *id, *kind, *cluster_id; /* of op; owned */
    struct op_guard guard;        /* borrows id and the conductor's instance */
    /* any thread: what does */
    atomic_bool lost, cancel, superseded, forced;
    _Atomic int64_t held_until_ms; /* monotonic: as far as this process knows */
};

/* ---- work for workers ---- */
struct observation { /* a cluster whose health is due; owned */
    struct cluster cluster;
    struct observation *next;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* something is ready, or stopping */
    pthread_cond_t timer; /* the earliest timer changed, or stopping */
    pthread_cond_t ended; /* a run ended */
    struct lane **lanes;  /* of all projects that have runs */
    struct lane *turn;    /* whose ready run is next, NULL = none is ready */
    size_t n_lanes, n_ready, n_ready_lanes;
    struct gate **gates; /* of drivers, and of endpoints of backends */
    size_t n_gates, working, workers;
    struct share_rule projects, backends;
    bool gated;         /* something is ready that no gate lets in */
    size_t begun, pace; /* runs taken since paced_ms; so many are taken in AHEAD_MS */
    int64_t paced_ms;
    atomic_bool crowded; /* something due is left behind for want of places, not of workers */
    struct run **table;  /* all runs */
    size_t n_runs, cap;
    struct run **heap; /* waiting ones, earliest first; same capacity as table */
    size_t n_heap;
    struct observation *looks, *looks_last;
    size_t n_looks, looking, max_looking;
    bool closed;
};

/* A thread that sleeps until asked. */
struct sleeper {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken, stop;
};

enum role {
    ROLE_SCHEDULER,
    ROLE_RENEWER,
    ROLE_HEARTBEAT,
    ROLE_RESCAN,
    ROLE_HEALTH,
    ROLE_UPKEEP,
    ROLE_SWEEP,
    ROLE_CERTS,
    ROLE_CLOCK,
    ROLE_MEASURE,
    ROLES
};

/* ---- breaker.c ---- */
struct breaker;
struct breakers {
    pthread_mutex_t lock;
    struct breaker *v;
    size_t n;
};
enum { BREAKER_NAME_MAX = 160 };

struct conductor {
    const struct config *cfg;
    struct db *db;
    struct engine_config engine;
    char instance[UUID_TEXT];
    char host[256];
    struct box seal; /* a struct seal_keys; empty: certificates.key_file is not set */
    struct cert_policy cert_policy;
    struct cert_cache *certs; /* cert_internal.h */
    struct http_client *http;
    struct rpc_server *rpc;
    struct rpc_publisher *news, *notices; /* notices: NULL when nobody wants them */
    struct queue queue;
    atomic_bool reload; /* look at all plugins again */
    struct drivers *drivers;
    struct trusts *trusts; /* NULL: there is no Keystone */
    bool makes_trusts;
    struct sleeper scheduler, renewer, heartbeat, health, rescan, upkeep, sweep, certs_sweep,
        measure;
    struct breakers breakers;
    pthread_t roles[ROLES], *workers;
    size_t n_roles, n_workers;
    atomic_bool stopping;
    atomic_bool announced;           /* the service row tells where to call */
    atomic_bool hungry;              /* due work was left behind for want of room */
    _Atomic int64_t clock_offset_us; /* database time minus monotonic time */
    _Atomic int64_t turned_ms;       /* monotonic: the heartbeat's last turn, good or not */
};

/* The database's idea of now, without asking it. */
int64_t conductor_now_us(const struct conductor *c);

/* ---- sleep.c ---- */
int sleeper_init(struct sleeper *s, struct err *e) MUST_CHECK;
void sleeper_done(struct sleeper *s);
void sleeper_wake(struct sleeper *s);
void sleeper_stop(struct sleeper *s);
/* Sleeps until woken or for ms; false at once, and however often it is asked, when stopped. */
bool sleeper_wait(struct sleeper *s, int64_t ms);

/* ---- queue.c ---- */
int queue_init(struct queue *q, size_t max_runs, size_t max_looking, struct err *e) MUST_CHECK;
void queue_done(struct queue *q);
/* How many of the runs one project may have, and of the workers one driver or endpoint. */
void queue_limit(struct queue *q, size_t workers, const struct share_rule *projects,
                 const struct share_rule *backends);
/* A leased operation; takes *op if it is added. A run of the same operation that is still here has
 * lost its lease: the new one starts when that one has ended. NULL = no memory: the lease runs
 * out. */
struct run *queue_add(struct queue *q, struct conductor *c, struct operation *op,
                      int64_t held_until_ms);
/* Room for how many more, given that workers should not have to wait for the rest. */
size_t queue_room(struct queue *q, size_t workers);
/* Whether workers will soon have nothing more to begin, and there are places. */
bool queue_low(struct queue *q);
/* Counts how fast runs are begun: so much is leased ahead, and no more. What merely stands here
 * ready waits for a lease longer than anything else should this process die. */
void queue_pace(struct queue *q, int64_t now_ms);
/* Whether a look at what is due could change anything: somebody might be given a place, or it has
 * to be known whether anybody waits for one. */
bool queue_open(struct queue *q);
/* How many projects with something due, and how much of each, are worth looking for. */
void queue_want(struct queue *q, size_t *ret_projects, size_t *ret_each);
/* Whether gates keep back all that stands ready, so that workers have nothing to do. */
bool queue_gated(struct queue *q);
/* Whether its gates would keep back another run of this driver ("id" or "id@version"). */
bool queue_shut(struct queue *q, const char *driver);
/* Decides how many of what is due are leased now; claims has as many as due, *ret_asked of them
 * came into question. aside: it can be begun beside what gates keep back. True when something is
 * left behind. */
bool queue_deal(struct queue *q, const struct op_due_list *due, bool aside,
                struct share_claim *claims, size_t *ret_asked);
/* Whether others wait for this run's place, and it has had it for hold_ms at least. */
bool queue_gives_way(struct queue *q, const struct run *r, int64_t hold_ms);
/* The run calls this endpoint: from now on it counts there. */
void queue_at(struct queue *q, struct run *r, const char *endpoint);
/* The next run or observation to work on; false when closed. One of the two is set. */
bool queue_take(struct queue *q, struct run **run, struct observation **look);
void queue_wait(struct queue *q, struct run *r, int64_t ms); /* puts a worked run to sleep */
void queue_end(struct queue *q, struct run *r);              /* frees it, starts its successor */
/* Takes *o. False when closed or full: the observation's lease runs out. */
bool queue_look(struct queue *q, struct observation *o);
void queue_look_done(struct queue *q);
size_t queue_look_room(struct queue *q);
/* Wakes waiting runs whose time has come, until closed: the clock thread. */
void queue_run_clock(struct queue *q);
/* Waits until no run is left, at most until mono_ms; true when none is. */
bool queue_drain(struct queue *q, int64_t mono_ms);
void queue_close(struct queue *q);
/* Calls fn for every run under the lock; those it returns true for are woken. */
void queue_each(struct queue *q, bool (*fn)(struct run *r, void *ctx), void *ctx);

/* ---- lanes.c: under the queue's lock, for queue.c ---- */
bool lanes_join(struct queue *q, struct run *r) MUST_CHECK; /* false = no memory */
void lanes_leave(struct queue *q, struct run *r);
void lanes_ready(struct queue *q, struct run *r);
struct run *lanes_next(struct queue *q); /* it is being worked on until lanes_rest; or NULL */
void lanes_rest(struct queue *q, struct run *r);
size_t lanes_held(const struct queue *q, const char *project);
bool lanes_shut(const struct queue *q, const char *driver);
void lanes_done(struct queue *q);

/* ---- scheduler.c: thread bodies ---- */
void *scheduler_thread(void *conductor);
void *renewer_thread(void *conductor);
/* A lease that was asked for then is believed until: less than the database keeps it. */
int64_t lease_believed_until(int64_t asked_ms, int64_t lease_ms);

/* ---- runner.c ---- */
void runner_work(struct run *r); /* until it waits or ends */
bool run_held(const struct run *r);
/* Reads the row after a refused write and sets the event that follows. */
void runner_look_again(struct run *r);

/* ---- step.c: ACT_CALL and the calls of health and rpc ---- */
struct call_ctx { /* what the upcalls of one driver call work with */
    struct conductor *c;
    struct run *run; /* NULL: not an operation */
    const char *cluster_id, *project_id;
    const struct plugin *plugin;
    json_t *outputs; /* collected; owned by the caller */
    bool may_cancel; /* the call itself was made to cancel: brokered calls go on */
    bool fenced;     /* an upcall met ERR_FENCED */
    bool looks;      /* reads a cluster's health: within the backend's budget */
    int refused;     /* why a breaker held a call back: ERR_BUSY, ERR_UNAVAILABLE; else 0 */
    char refused_by[BREAKER_NAME_MAX];
    bool new_state;     /* a checkpoint with other content was committed */
    bool touched;       /* the ledger was changed */
    struct cluster row; /* read when first needed */
    bool have_row;
};
void step_call(struct run *r, const struct engine_action *a);
/* Upcall table for a call; ctx is borrowed. Writes are offered only when ctx->run is set. */
struct coe_services services_for(struct call_ctx *ctx);
void call_ctx_done(struct call_ctx *ctx);
int call_cluster(struct call_ctx *ctx, const struct cluster **ret, struct err *e) MUST_CHECK;

/* ---- broker.c ---- */
int broker_http(void *call_ctx, const struct http_call_spec *rq, struct http_reply *rp,
                struct err *e) MUST_CHECK;

/* ---- trust.c, trust_tokens.c: Keystone's trusts, and tokens for calls of other services ---- */
int trusts_new(struct conductor *c, struct err *e) MUST_CHECK; /* sets c->trusts, makes_trusts */
void trusts_free(struct conductor *c);
int trust_stage(struct run *r, struct err *e) MUST_CHECK;
int trust_remove_stage(struct run *r, struct err *e) MUST_CHECK;
int trust_renew_stage(struct run *r, struct err *e) MUST_CHECK; /* another password */
/* What the accepting API stores beside the operation. */
int trust_seal_token(struct conductor *c, const char *operation_id, const char *token, char **ret,
                     struct err *e) MUST_CHECK;
struct ticket {      /* owned */
    char *token;     /* secret */
    char *url;       /* of the service, without a slash at its end */
    char *domain_id; /* of a domain-scoped token, else NULL */
};
void ticket_done(struct ticket *t); /* wipes */
struct trust_site {                 /* for whom; borrowed */
    const char *cluster_id;
    const struct run *run; /* NULL = no operation */
    bool service_token;    /* the service's own token will do when there is no other */
};
/* A token to call a service of the catalogue with, for a cluster: of its trust, else of who asked
 * for this operation, else (if allowed) of the service user. stale: the one that the service has
 * just refused, or NULL. ERR_UNAUTHORIZED: nobody's; ERR_NOT_FOUND: no such service;
 * ERR_UNSUPPORTED: there is no Keystone. */
int trust_ticket(struct conductor *c, const struct trust_site *s, const char *service,
                 const char *stale, struct ticket *ret, struct err *e) MUST_CHECK;
/* How the catalogue's services are called over TLS, a reference; there is a Keystone. */
struct http_tls *trust_tls(const struct conductor *c, bool *ret_insecure);
/* mag_host.secret_read. */
int trust_secret(void *call_ctx, const char *handle, struct err *e, char **ret,
                 size_t *len) MUST_CHECK;

/* ---- rotate.c: two CAs at a time ---- */
/* Core stages of rotate_ca; a positive result is a wait in ms, e's text says for what. */
int rotate_new_stage(struct run *r, struct err *e) MUST_CHECK;
int rotate_switch_stage(struct run *r, struct err *e) MUST_CHECK;
int rotate_grace_stage(struct run *r, struct err *e) MUST_CHECK;
int rotate_drop_stage(struct run *r, struct err *e) MUST_CHECK;
/* After the end of a rotation that was not switched: its CA goes away. Failures are logged. */
void rotate_ended(struct run *r);
/* What clients of the cluster shall trust: its CA, and during the grace time the former one too.
 * type as in certs_load. Caller frees. */
int rotate_trusted(struct conductor *c, const struct cluster *cl, const char *type, char **ret_pem,
                   struct err *e) MUST_CHECK;
/* The same for nodes and for the conductor's own calls: every CA that some part of the cluster may
 * show at the moment; the one that signs comes first. *ret_signer: the reference of the one that
 * signs. Caller frees both. */
struct rotate_asker {
    const struct run *run; /* the operation whose driver asks, or NULL */
    bool node;             /* a node asks the API for itself, as the cluster's trustee */
};
int rotate_trusted_by_nodes(struct conductor *c, const struct cluster *cl,
                            const struct rotate_asker *who, const char *type, char **ret_pem,
                            char **ret_signer, struct err *e) MUST_CHECK;

/* ---- cert_stage.c, cert_service.c ---- */
int certs_stage(struct run *r, struct err *e) MUST_CHECK;
int certs_remove_stage(struct run *r, struct err *e) MUST_CHECK;
int cert_policy_load(struct conductor *c, struct err *e) MUST_CHECK;
/* What certificates.key_file holds now, to be put into c->seal; NULL when none is set or fresh
 * names another, which needs a restart. ERR_CONFIG: the key in use is gone from it. */
int cert_keys_read_again(struct conductor *c, const struct config *fresh, struct seal_keys **ret,
                         struct err *e) MUST_CHECK;
/* Sealing with certificates.key_file; ERR_CONFIG when it is not set. */
int conductor_seal(struct conductor *c, const char *context, const void *data, size_t len,
                   char **ret, struct err *e) MUST_CHECK;
int conductor_unseal(struct conductor *c, const char *context, const char *sealed,
                     struct secret *ret, struct err *e) MUST_CHECK;
void cert_policy_done(struct conductor *c);
void *certs_thread(void *conductor); /* cert_sweep.c */
/* A stored pair of a cluster. type: kubernetes (also empty or unknown), etcd, front-proxy, client.
 */
int certs_load(struct conductor *c, const struct cluster *cluster, const char *type, bool with_key,
               struct cert_pair *ret, struct err *e) MUST_CHECK;
int certs_upcall(void *call_ctx, const char *verb, const json_t *args, json_t **ret,
                 struct err *e) MUST_CHECK;

/* ---- drivers.c ---- */
struct drivers;
/* A reference to the installed drivers; the pool in it may be called until it is given back. */
struct driver_ref {
    struct driver_set *set;
    struct driver_pool *pool;
    const struct plugin *plugin;
};
int drivers_new(struct conductor *c, struct err *e) MUST_CHECK; /* sets c->drivers */
void drivers_free(struct conductor *c);
/* Scans, probes what changed (all: everything) and publishes. */
int drivers_scan(struct conductor *c, bool all, struct err *e) MUST_CHECK;
/* Learns what operators decided and what other conductors have. */
int drivers_refresh(struct conductor *c, struct err *e) MUST_CHECK;
/* Whether anything was decided or installed since it was last asked. */
int drivers_news(struct conductor *c, bool *ret, struct err *e) MUST_CHECK;

/* ---- driver_use.c ---- */
struct driver_want {
    const char *id;
    const char *version; /* NULL = the one for new clusters */
    const char *project; /* whose cluster is made */
    enum op_kind kind;
    bool begun; /* it goes on with what was begun */
};
/* The ids of ready drivers with this interface. */
int drivers_offering(struct conductor *c, const char *interface, struct strv *ret,
                     struct err *e) MUST_CHECK;
/* Whose operations this conductor takes, as ids and as "id@version"; caller frees. */
int drivers_leased(struct conductor *c, struct strv *ret, struct err *e) MUST_CHECK;
/* ERR_UNAVAILABLE with text and *remedy (static) when this kind of work can't be given to it. */
int drivers_use(struct conductor *c, const struct driver_want *w, struct driver_ref *ret,
                const char **remedy, struct err *e) MUST_CHECK;
/* A cert-manager plugin by id or name. ERR_UNAVAILABLE with text. */
int drivers_cert_manager(struct conductor *c, const char *name, struct driver_ref *ret,
                         struct err *e) MUST_CHECK;
void driver_ref_done(struct driver_ref *r);
void drivers_stop(struct conductor *c, int64_t grace_ms);

/* ---- notify.c ---- */
int notify_start(struct conductor *c, struct err *e) MUST_CHECK;
void notify_stop(struct conductor *c);
/* Something was stored for this operation; cluster_id may be NULL. */
void news_tell(struct conductor *c, const char *operation_id, const char *cluster_id);
/* After a stored action that had notes. */
void notify_stored(const struct run *r, const struct engine_action *a);
/* Around the end of an operation. */
struct notice {
    const char *action; /* NULL: nothing is told */
    struct cluster cluster;
};
void notice_begin(const struct run *r, struct notice *n);
void notice_end(const struct run *r, const struct engine_action *a, bool written, struct notice *n);

void breakers_init(struct breakers *b);
void breakers_done(struct breakers *b);
/* "https://host:port" of a URL, or "unix:/path"; "" when it has none. */
void breaker_name(const char *url, const char *unix_socket, char ret[BREAKER_NAME_MAX]);
/* Before a call that looks at a cluster. ERR_BUSY: enough of them are at work there,
 * ERR_UNAVAILABLE: it is left alone at present. */
int breaker_enter(struct conductor *c, const char *endpoint, struct err *e) MUST_CHECK;
/* After any call. entered: breaker_enter let it in; status of an answer, why it has none. */
void breaker_leave(struct conductor *c, const char *endpoint, bool entered, int rc, int status,
                   const char *why);

/* ---- upkeep.c, sweep.c: thread bodies ---- */
void *upkeep_thread(void *conductor);
void *sweep_thread(void *conductor);

/* ---- health.c ---- */
void *health_thread(void *conductor);
void health_look(struct conductor *c, struct observation *o);

/* ---- heal.c ---- */
/* After a look that could tell: `sick`, the driver's list of {node, nodegroup, reason}, NULL when
 * it gives none. Adds to the reasons what healing does or waits for. Failures are logged. */
void heal_after_look(struct conductor *c, const struct cluster *cl, const json_t *sick,
                     bool masters, json_t *reason);

/* ---- rpc_methods.c ---- */
/* Asks a driver something that is not a step; fills the call's op_id, attempt and services. */
int rpc_call_driver(struct conductor *c, struct coe_call *call, enum op_kind kind, json_t **result,
                    struct err *e) MUST_CHECK;
int rpc_method(void *conductor, const char *method, const json_t *params, int64_t deadline_mono_ms,
               json_t **result, struct err *e) MUST_CHECK;

#endif
