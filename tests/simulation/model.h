/* An in-memory model of the store: the guarded transactions of db/db_operation.h and
 * db/db_accept.h over arrays, with the same rules, codes and words, and a clock that the caller
 * turns. tests/component/db_model.c plays random calls against PostgreSQL and this side by side and
 * compares every answer and every row; the simulator (sim.h) runs the engine on it.
 *
 * Of a cluster's wanted state it keeps the sizes of four groups: master, default worker and two
 * that may be added. Neighbours: model_accept.c, model_queue.c, model_finish.c. */
#ifndef MAGNUM_TESTS_SIMULATION_MODEL_H
#define MAGNUM_TESTS_SIMULATION_MODEL_H

#include "db/db_operation.h"
#include "model/codes.h"
#include "model/status.h"

enum {
    M_CLUSTERS = 2,
    M_OPS = 24,
    M_GROUPS = 4, /* 0 master, 1 default worker, 2 and 3 may be added */
    M_NODES = 8,  /* things the ledger of a cluster may name */
    M_EVENTS = 96,
    M_NONE = -1
};

/* Deliberate mistakes, to see that the invariants notice them (--bug NAME). */
enum bug {
    BUG_NONE,
    BUG_NO_FENCE,         /* the store takes writes of a lost lease */
    BUG_NO_GENERATION,    /* the store takes writes of a superseded operation */
    BUG_BROKER_UNFENCED,  /* brokered calls go on after the lease is lost */
    BUG_CONFIRM_FIRST,    /* the ledger learns of a resource after it was made */
    BUG_DOUBLE_LEASE,     /* a leased operation is leased again */
    BUG_OLDER_LEASED,     /* a new operation starts before its elder has ended */
    BUG_NO_RELOAD,        /* after a failed write the runner goes on from memory */
    BUG_NO_EXPIRY,        /* leases of dead conductors never expire */
    BUG_LEDGER_LOST,      /* the ledger forgets what was not confirmed */
    BUG_STATUS_ANYWAY,    /* a superseded operation writes the cluster's status */
    BUG_NO_SCAN,          /* only wake-ups start work: a lost message loses it */
    BUG_SUPERSEDED_STAYS, /* a superseded operation whose runner died is never ended */
    BUG_EARLY_ANSWER,     /* the last thing is taken for done before it is */
    BUG_NAMES_DROPPED,    /* a resize that names nodes is replaced by the next resize */
    BUG_SPEC_STALE,       /* what waited starts with the spec it was accepted with */
    BUG_REASON_STAYS,     /* the cluster says BLOCKED after it went on */
    BUG_REASON_HIDDEN,    /* a blocked operation does not show in the cluster */
    BUG_REPORT_LOST,      /* a delete forgets what it left behind */
    BUG_UNDO_ANYWAY,      /* a refusal puts back more than its own wish */
    BUG_OUTPUT_WINS,      /* the size an elder reports replaces the one asked for since */
    BUG_FORCE_UNHEARD,    /* a runner does not hear that its delete became a forced one */
    BUG_GROUPS_STUCK,     /* groups of superseded operations stay in progress */
    BUG_RETRY_OLD,        /* a retry is accepted though something newer was */
    BUG_RENEW_ALL,        /* leases that nobody works on are prolonged */
    BUG_STOP_EARLY,       /* a lease is believed for longer than the store keeps it */
    BUG_FREE_EARLY,       /* leases are given back that have not run out */
    BUGS
};

struct m_group {
    bool used;
    const char *status; /* static */
    char reason[640];
    int64_t node_count;
};
struct m_cluster {
    bool exists, was_made, moved; /* moved: to the other template, by an upgrade */
    const char *status;
    char reason[640];
    int64_t generation;
    struct m_group groups[M_GROUPS];
    struct {
        bool used, confirmed;
    } ledger[M_NODES];
};
struct m_op {
    bool used;
    int cluster, group; /* M_NONE: all, or none */
    enum op_kind kind;
    const char *status;
    int64_t generation;
    int superseded_by, retry_of; /* index or M_NONE */
    bool cancel, force, names;   /* names: nodes_to_remove is not empty */
    int64_t counts[M_GROUPS];    /* of the spec; M_NONE = not in it */
    int64_t undo_count;          /* M_NONE = nothing */
    bool undo_template, undo_moved;
    char state[16], stage[32], message[64], code[64], reason[320], remedy[160], actor[16];
    bool has_code, has_message; /* NULL or not */
    int64_t attempt, host_failures, steps, percent;
    char owner[24]; /* "" = not leased */
    int64_t fence;
    int64_t lease_until, due_at, deadline_at, progress_at, started_at, finished_at, blocked_since,
        created_at;
    bool reported;         /* operation.report is set */
    char report_error[64]; /* its error's code; "" = null */
    char report_reason[128];
    unsigned left_behind; /* bit per node */
    const char *events[M_EVENTS];
    int n_events;
};
struct model {
    int64_t now; /* microseconds */
    enum bug bug;
    struct m_cluster clusters[M_CLUSTERS];
    struct m_op ops[M_OPS];
    int n_ops;
    /* told of every change of a cluster's or group's status, and of every end; NULL = nobody */
    void (*moved)(void *ctx, int cluster, int group, const char *from, const char *to);
    void (*ended)(void *ctx, int op, const char *was);
    void *ctx;
};

struct m_guard {
    int op;
    const char *owner;
    int64_t fence;
};
struct m_change {
    int64_t node_count; /* M_NONE = unchanged */
    int group;          /* nodegroup_*: which; else M_NONE = the default worker */
    bool names, force;
    int64_t deadline_at;
};

/* model_accept.c: like their namesakes; *ret_op is the operation. ERR_QUOTA: the model is full. */
int model_create(struct model *m, int cluster, int64_t workers, int64_t deadline_at, int *ret_op);
int model_change(struct model *m, int cluster, enum op_kind kind, const struct m_change *ch,
                 int *ret_op);
int model_retry(struct model *m, int op, int64_t deadline_at, int *ret_op);
int model_cancel(struct model *m, int op);

/* model_queue.c */
int model_lease(struct model *m, const char *owner, int max, int64_t lease_ms, int *ret_ops);
void model_renew(struct model *m, const char *owner, int64_t lease_ms, const int *ops, int n);
bool model_held(const struct model *m, const struct m_guard *g);
unsigned char model_news(const struct model *m, int op);
int model_checkpoint(struct model *m, const struct m_guard *g, const char *state);
/* worker_count: an output, stored where the real store would; M_NONE = none. */
int model_store(struct model *m, const struct m_guard *g, const struct op_store *s,
                int64_t worker_count);
int model_ledger(struct model *m, const struct m_guard *g, int node, char verb); /* d, c, x */
void model_release_all(struct model *m, const char *owner);
int model_release_expired(struct model *m); /* how many */

/* model_finish.c */
int model_finish(struct model *m, const struct m_guard *g, const struct op_finish *f,
                 int64_t worker_count);

/* ---- shared by the files of the model ---- */
bool m_unfinished(const struct m_op *o);
bool m_leased(const struct model *m, const struct m_op *o);
int m_guarded(const struct model *m, const struct m_guard *g, bool superseded_too);
void m_event(struct m_op *o, const char *code);
void m_code(struct m_op *o, enum op_code code); /* code, actor, remedy */
void m_end(struct model *m, struct m_op *o, const char *status);
void m_cluster_status(struct model *m, int cluster, const char *to);
void m_group_status(struct model *m, int cluster, int group, const char *to);
void m_spec(struct model *m, struct m_op *o);
void m_worker_count(struct model *m, const struct m_op *o, int64_t count);
/* Another unfinished operation of its cluster that is not superseded. */
bool m_others(const struct model *m, const struct m_op *o);
void m_give_up(struct m_op *o, const char *code, const char *reason);
#define M_SET(dst, src) snprintf((dst), sizeof(dst), "%s", (src) ? (src) : "")

const char *bug_name(enum bug b);

#endif
