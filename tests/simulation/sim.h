/* The simulator's world: a virtual clock, a store with the guarded transactions of db_operation.h,
 * a backend that holds resources, drivers that fail in many ways, and a few conductors that drive
 * the real engine. One seed is one schedule: everything random comes from it, so a failing seed
 * replays exactly.
 * Neighbours: store.c (the store), backend.c (backend and drivers), conductor.c (the runners),
 * schedule.c (clients, faults, invariants), simulation.c (main, shrinking). */
#ifndef MAGNUM_TESTS_SIMULATION_SIM_H
#define MAGNUM_TESTS_SIMULATION_SIM_H

#include "operation/engine.h"

#include <stdio.h>

enum { CLUSTERS = 2, OPS = 16, CONDUCTORS = 3, RUNS = 8, NODES = 6, EVENTS = 512 };
#define MS 1000LL
#define SECOND 1000000LL
#define LEASE (8 * SECOND)

/* Deliberate mistakes, to see that the invariants notice them (--bug NAME). */
enum bug {
    BUG_NONE,
    BUG_NO_FENCE,         /* the store takes writes of a lost lease */
    BUG_NO_GENERATION,    /* the store takes writes of a superseded operation */
    BUG_BROKER_UNFENCED,  /* brokered calls go on after the lease is lost */
    BUG_CONFIRM_FIRST,    /* the ledger learns of a resource after it was made */
    BUG_DOUBLE_LEASE,     /* a leased operation is leased again */
    BUG_OLDER_LEASED,     /* a new operation starts while its predecessor is being stepped */
    BUG_NO_RELOAD,        /* after a failed write the runner goes on from memory */
    BUG_NO_EXPIRY,        /* leases of dead conductors never expire */
    BUG_LEDGER_LOST,      /* the ledger forgets what was not confirmed */
    BUG_STATUS_ANYWAY,    /* a superseded operation writes the cluster's status */
    BUG_NO_SCAN,          /* only wake-ups start work: a lost message loses it */
    BUG_SUPERSEDED_STAYS, /* a superseded operation whose runner died is never ended */
    BUG_EARLY_ANSWER,     /* the last thing is taken for done before it is */
    BUG_NAMES
};
const char *bug_name(enum bug b);

struct options {
    enum bug bug;
    long max_faults, max_requests; /* later ones are left out: for shrinking */
    bool trace, all_bugs;
};

struct sim_cluster {
    bool exists, was_made;
    char status[24];
    int64_t generation;
    int target;       /* resources wanted by the newest accepted request */
    int64_t ended_at; /* an operation of it */
};
struct sim_op {
    bool used;
    int cluster, target;
    struct operation row;
    int64_t lease_owner; /* 0 = none */
    int ended_count;     /* times it became final */
};
struct sim_ledger {
    bool used, confirmed;
    int cluster, node;
};
struct sim_store {
    struct sim_cluster clusters[CLUSTERS];
    struct sim_op ops[OPS];
    struct sim_ledger ledger[CLUSTERS * NODES];
};

enum call_fate { FATE_FINE, FATE_ERROR, FATE_CRASH, FATE_HANG, FATE_LATE, FATE_LIE, FATE_STUBBORN };
struct sim_call { /* a driver's step on its way */
    enum call_fate fate;
    int at, crash_at, node;
    bool removing, checkpointed;
    int64_t begun, budget_end;
    uint32_t flags;
};
struct sim_run {
    bool used;
    int op;
    int64_t fence, token; /* token: wakes of earlier waits are stale */
    struct engine_state s;
    struct engine_plan plan;
    size_t action;
    enum { RUN_ACT, RUN_CALL, RUN_STORED, RUN_WAIT, RUN_HANDLE } phase;
    int rc;                 /* of the write under way */
    struct engine_event ev; /* to hand to the engine (RUN_HANDLE) */
    char text[64];          /* its message */
    struct sim_call call;
    int64_t held_until; /* what the conductor itself believes */
    bool lost, cancel, superseded;
    int64_t wake_at;
};
struct sim_conductor {
    bool alive, stopping;
    int64_t owner; /* changes with every start */
    int64_t paused_until, skew_us;
    struct sim_run runs[RUNS];
};

enum what { W_SCAN, W_RENEW, W_RUN, W_REQUEST, W_CRASH, W_START, W_PAUSE, W_STOP, W_HEAL };
struct sim_event {
    int64_t at, order;
    enum what what;
    int conductor, run;
    int64_t owner, token;
};

struct sim {
    const struct options *opt;
    uint64_t rng;
    int64_t now, next_owner, order;
    struct sim_event heap[EVENTS];
    size_t n_events;
    struct sim_store store;
    int nodes[CLUSTERS][NODES]; /* the backend: how many of each resource exist */
    struct sim_conductor conductors[CONDUCTORS];
    int n_conductors;
    struct engine_config cfg;
    bool healed;
    int64_t healed_at;
    long faults, requests, steps;
    char violation[256]; /* the first one; empty = sound */
    FILE *trace;
};

/* sim.c */
int64_t sim_random(struct sim *m, int64_t n); /* uniform in [0, n] */
bool sim_chance(struct sim *m, int per_mille);
bool sim_fault(struct sim *m, int per_mille); /* counted, none after healing */
void sim_at(struct sim *m, int64_t at, struct sim_event ev);
bool sim_next(struct sim *m, struct sim_event *ret);
void sim_violated(struct sim *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* store.c: 0, ERR_FENCED or ERR_UNAVAILABLE, as db_operation.h says */
struct sim_guard {
    int op;
    int64_t owner, fence;
};
bool store_accept(struct sim *m, int cluster, enum op_kind kind, int target, int64_t deadline_us);
bool store_cancel(struct sim *m, int op);
int store_lease(struct sim *m, int64_t owner, int max, int *ret_ops);
int store_renew(struct sim *m, int64_t owner, int op, int64_t fence, bool *held, bool *cancel);
int store_reload(struct sim *m, const struct sim_guard *g, struct engine_state *s,
                 bool *superseded);
int store_checkpoint(struct sim *m, const struct sim_guard *g);
int store_store(struct sim *m, const struct sim_guard *g, const struct engine_state *s,
                const struct engine_action *a);
int store_finish(struct sim *m, const struct sim_guard *g, const struct engine_state *s,
                 const struct engine_action *a);
void store_release_all(struct sim *m, int64_t owner);
int store_ledger(struct sim *m, const struct sim_guard *g, int node, char verb);
struct sim_ledger *store_ledger_find(struct sim *m, int cluster, int node);
bool store_held(const struct sim *m, const struct sim_guard *g);
void store_done(struct sim *m);

/* backend.c: one part of a driver's step; true when the step ended (run->ev is its result) */
void backend_begin(struct sim *m, struct sim_run *r, const struct engine_action *a);
bool backend_part(struct sim *m, struct sim_conductor *c, struct sim_run *r, int64_t *ret_wait_us);
int backend_count(const struct sim *m, int cluster);

/* conductor.c */
void conductor_start(struct sim *m, int i);
void conductor_event(struct sim *m, const struct sim_event *ev);

/* schedule.c: runs one seed; false when an invariant was violated (m->violation) */
bool schedule_run(struct sim *m, uint64_t seed, const struct options *opt, FILE *trace);

#endif
