/* The operation engine: decides what happens next to one operation, and does nothing itself.
 *
 * engine_handle() takes an event and the state of one operation under one lease, changes the state
 * and lists the actions to carry out in order. Clock and randomness come in with the call; store,
 * drivers and timers are the caller's. The same code therefore runs in the conductor
 * (conductor/runner.c) and under the simulator's virtual clock (tests/simulation).
 *
 * The caller's loop: carry out the actions in order; the last one of a plan yields the next event
 * (ACT_CALL -> EV_STEP or EV_DIED, ACT_STAGE -> EV_STAGE, ACT_WAIT -> EV_TIMER or whatever came
 * first, ACT_RELOAD -> EV_LEASED) or ends the lease (ACT_FINISH, ACT_STORE with `release`,
 * ACT_DROP). A write that fails turns into EV_STORE_FAILED, or EV_FENCED, and the rest of the plan
 * is dropped. Everything is at-least-once: what could not be stored is done again.
 * Includes only base and model. Neighbours: conductor, tests. */
#ifndef MAGNUM_OPERATION_ENGINE_H
#define MAGNUM_OPERATION_ENGINE_H

#include "base/err.h"
#include "model/entity.h"
#include "model/status.h"

/* What a step or a core stage answered: the numbers of magnum/error.h (the runner asserts it). */
enum engine_rc {
    RC_OK = 0,
    RC_AGAIN = 1,
    RC_INVALID = -1,
    RC_NOT_FOUND = -2,
    RC_EXISTS = -3,
    RC_BUSY = -4,
    RC_DENIED = -5,
    RC_AUTH = -6,
    RC_QUOTA = -7,
    RC_UNAVAILABLE = -8,
    RC_TIMEOUT = -9,
    RC_CANCELLED = -10,
    RC_UNSUPPORTED = -11,
    RC_PRECONDITION = -12,
    RC_INTERNAL = -13
};
/* The code a core error counts as, for core stages. */
int engine_rc_of(int err_code);

enum { /* flags of errors and of calls, as in magnum/error.h and magnum/host.h */
       RCF_RETRYABLE = 1 << 0,
       RCF_USER = 1 << 1,
       RCF_OPERATOR = 1 << 2,
       RCF_MAY_LEAK = 1 << 3,
       CALLF_RESUMED = 1 << 0,
       CALLF_CANCEL = 1 << 1,
       CALLF_ROLLBACK = 1 << 2,
       CALLF_FORCE = 1 << 3
};

struct engine_config {
    int64_t min_wait_ms, max_wait_ms;      /* clip of a driver's wait */
    int64_t backoff_ms, backoff_max_ms;    /* first and longest retry pause */
    int64_t host_failures;                 /* consecutive deaths before an operation fails */
    int64_t blocked_after_ms;              /* without progress */
    int64_t step_budget_ms, min_budget_ms; /* of one call; the deadline may shorten it */
    int64_t hold_ms;   /* a pause up to this keeps the lease; a longer one gives it back */
    int64_t store_ms;  /* unchanged state is stored this often while held */
    int64_t settle_ms; /* percent and message alone are stored at most this often */
};
/* The values of options.def. */
#define ENGINE_CONFIG_DEFAULT                                                                      \
    {                                                                                              \
        .min_wait_ms = 20, .max_wait_ms = 60000, .backoff_ms = 1000, .backoff_max_ms = 60000,      \
        .host_failures = 3, .blocked_after_ms = 300000, .step_budget_ms = 30000,                   \
        .min_budget_ms = 100, .hold_ms = 1000, .store_ms = 3000, .settle_ms = 200                  \
    }

struct engine_env {
    const struct engine_config *cfg;
    int64_t now_us; /* by the store's clock */
    /* Uniform in [0, n]; n >= 0. */
    int64_t (*random)(void *ctx, int64_t n);
    void *ctx;
};

/* ---- state ---- */
enum engine_status {
    ENG_PENDING, /* nothing was begun: the row names no stage */
    ENG_RUNNING,
    ENG_BLOCKED,
    ENG_SUCCEEDED,
    ENG_FAILED,
    ENG_CANCELLED
};

struct engine_stage {
    const char *name;             /* operation.stage */
    const char *interface, *verb; /* of the driver; NULL = a core stage, done by the conductor */
    bool needs_tls;               /* skipped when the template disables TLS */
    bool needs_trust;             /* skipped where no trusts are made */
    bool optional;                /* a driver without that verb has nothing to do */
};
/* The stages of a kind in order; NULL entry (name NULL) at the end, never NULL itself. */
const struct engine_stage *engine_stages(enum op_kind k);

enum {
    ENGINE_CODE_MAX = 64,
    ENGINE_REASON_MAX = 640,
    ENGINE_REMEDY_MAX = 256,
    ENGINE_MSG_MAX = 192
};

struct engine_trouble { /* why it does not go on; code "" = nothing is wrong */
    char code[ENGINE_CODE_MAX], reason[ENGINE_REASON_MAX], remedy[ENGINE_REMEDY_MAX];
    char actor[16]; /* user, operator, vendor: who must act */
};

struct engine_state { /* plain: copying it is fine */
    /* as in the operation's row */
    enum op_kind kind;
    enum engine_status status;
    unsigned stage; /* index into engine_stages(kind) */
    bool tls_disabled, rollback, force;
    bool cancel, superseded;
    bool gave_up;    /* a forced delete that left a stage undone: told in the operation's report */
    bool shown;      /* the row is BLOCKED, and the cluster's status_reason says so */
    int64_t attempt; /* failed tries since the last progress */
    int64_t host_failures, steps, percent;
    int64_t accepted_us, deadline_us, progress_us; /* TIME_UNSET = none */
    struct engine_trouble trouble, given_up;
    char message[ENGINE_MSG_MAX];
    /* of this lease only */
    bool resumed;    /* the next call may repeat something: say so to the driver */
    bool stopping;   /* the conductor is going down */
    bool trusts;     /* this deployment makes trusts: set by the caller before engine_load */
    bool stale;      /* a write failed: read the row again before going on */
    bool auth_tried; /* the one retry after AUTH has been used */
    int64_t stored_us, stored_steps;
    bool dirty;             /* percent or message differ from the row */
    bool progressed;        /* progress_us is newer than the row's */
    int64_t store_failures; /* in a row */
};
/* Fills what the row knows; members of this lease are reset except stopping, trusts,
 * store_failures. ERR_INVALID for a row no engine can work on (unknown kind): the state is still
 * usable, its operation fails with code UnknownKind. */
int engine_load(struct engine_state *s, const struct operation *op, struct err *e) MUST_CHECK;

/* ---- events ---- */
enum engine_event_kind {
    EV_LEASED,       /* taken over from the queue, or read again */
    EV_STAGE,        /* a core stage ended: rc, and the texts below on failure; AGAIN: it waits */
    EV_STEP,         /* a driver's step returned */
    EV_DIED,         /* its process crashed or broke the protocol; message = why */
    EV_OVERRUN,      /* it was killed past its budget; message = why */
    EV_NO_DRIVER,    /* no usable driver; reason, message, remedy; retried slowly as BLOCKED */
    EV_TIMER,        /* the wait is over */
    EV_CANCEL,       /* somebody asked to cancel */
    EV_SUPERSEDED,   /* a newer operation took the cluster */
    EV_FENCED,       /* the lease is lost: touch nothing any more */
    EV_STORE_FAILED, /* a write or the reload failed; message = why */
    EV_STOPPING,     /* the conductor goes down: give the lease back at a safe point */
};
struct engine_event { /* texts are borrowed for the call; NULL = empty */
    enum engine_event_kind kind;
    int rc;                                /* enum engine_rc */
    uint32_t wait_ms, percent;             /* AGAIN */
    uint32_t flags, retry_after_ms;        /* errors: RCF_* */
    const char *reason, *message, *remedy; /* token, text, what to do; AGAIN: message only */
    bool checkpointed;                     /* a new state blob was committed during the call */
    bool outputs;                          /* there are outputs to store */
    bool touched;                          /* the ledger was changed during the call */
    /* what became known meanwhile, with any event */
    bool cancel, superseded, stopping, force;
    bool give_way; /* others wait for its place: a pause gives the lease back, however short */
};

/* ---- plan ---- */
enum engine_action_kind {
    ACT_STORE,  /* write the state: engine_action.due_in_ms, release, progress */
    ACT_STAGE,  /* run the core stage named `stage->name` */
    ACT_CALL,   /* call the driver: stage->interface, stage->verb, flags, attempt, budget_ms */
    ACT_WAIT,   /* keep the lease, come back after wait_ms */
    ACT_RELOAD, /* read the row again; EV_LEASED when the lease still holds, else EV_FENCED */
    ACT_FINISH, /* the end: final status of operation, cluster, groups */
    ACT_DROP,   /* forget the operation, write nothing */
};
struct engine_note {     /* one event of the operation's history */
    const char *code;    /* static, of model/codes.def */
    const char *message; /* into the state or static; NULL = none */
    bool trouble;        /* carries the state's trouble: remedy, actor */
    bool retriable;
};
enum { ENGINE_NOTES = 3, ENGINE_ACTIONS = 3 };
struct engine_action {
    enum engine_action_kind kind;
    /* ACT_STORE, ACT_FINISH: history to append in the same transaction */
    struct engine_note notes[ENGINE_NOTES];
    size_t n_notes;
    const struct engine_trouble
        *gave_up; /* for the report of a forced delete; NULL = nothing new */
    /* ACT_STORE */
    bool release, progress;
    bool show; /* the cluster's status_reason changes: blocked, or no longer */
    int64_t due_in_ms;
    /* ACT_STAGE, ACT_CALL */
    const struct engine_stage *stage;
    uint32_t flags, attempt;
    int64_t budget_ms;
    /* ACT_WAIT */
    int64_t wait_ms;
    /* ACT_FINISH; NULL = unchanged */
    const char *cluster_status, *group_status;
    const char *status_reason; /* into the state */
    bool remove_cluster, remove_group;
    bool refused; /* the driver's first answer was no: what accepting overwrote is put back */
};
struct engine_plan {
    struct engine_action v[ENGINE_ACTIONS];
    size_t n;
};

/* The one decision. Never fails; *ret is overwritten; texts in it point into *s. */
void engine_handle(struct engine_state *s, const struct engine_event *ev,
                   const struct engine_env *env, struct engine_plan *ret);

/* operation.status of a state. */
const char *engine_status_name(enum engine_status s);
/* Name of an event or action kind, for traces. */
const char *engine_event_name(enum engine_event_kind k);
const char *engine_action_name(enum engine_action_kind k);

#endif
