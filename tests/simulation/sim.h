/* The simulator's world: a virtual clock, a store with the guarded transactions of db_operation.h,
 * a backend that holds resources, drivers that fail in many ways, and a few conductors that drive
 * the real engine. One seed is one schedule: everything random comes from it, so a failing seed
 * replays exactly.
 * Neighbours: model.h (the store's rules), store.c (the store in bad weather), backend.c (backend
 * and drivers), conductor.c (the runners), schedule.c (clients, faults, invariants), simulation.c
 * (main, shrinking). */
#ifndef MAGNUM_TESTS_SIMULATION_SIM_H
#define MAGNUM_TESTS_SIMULATION_SIM_H

#include "operation/engine.h"
#include "simulation/model.h"

#include <stdio.h>

enum { CONDUCTORS = 3, RUNS = 8, SIM_EVENTS = 1024 };
#define MS 1000LL
#define SECOND 1000000LL
#define LEASE_MS 8000
#define LEASE (LEASE_MS * MS)
/* How long a conductor believes in its lease: less than the store keeps it (scheduler.c). */
#define BELIEF (LEASE - LEASE / 4)

struct options {
    enum bug bug;
    long max_faults, max_requests; /* later ones are left out: for shrinking */
    bool trace, all_bugs;
};

/* What the clients know of a request, apart from the store: the oracle. */
struct wish {
    int64_t asked, before; /* size of its group; M_NONE = it asked for none */
    int64_t named_serial;  /* of node 1, which it asked to remove; 0 = none */
    int64_t forced_at;     /* TIME_UNSET = not */
    bool doomed;           /* its driver refuses it every time */
    int ended_count;
};

enum call_fate {
    FATE_FINE,
    FATE_ERROR,
    FATE_CRASH,
    FATE_HANG,
    FATE_LATE,
    FATE_LIE,
    FATE_STUBBORN,
    FATE_REFUSE,
    FATE_LIE_DONE /* a delete that says it is done and is not */
};
struct sim_call { /* a driver's step on its way */
    enum call_fate fate;
    int at, crash_at, node;
    bool removing, checkpointed, touched;
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
    bool lost, cancel, superseded, forced;
    int64_t counts[M_GROUPS];       /* the spec it was given */
    int64_t workers;                /* an output not yet stored; M_NONE = none */
    int64_t renewed_at, decided_at; /* decided_at: the renewal that the last decision could know */
    int64_t wake_at;
};
struct sim_conductor {
    bool alive, stopping;
    int64_t owner; /* changes with every start */
    char name[24]; /* the same as text */
    int64_t paused_until, skew_us, known_jump;
    struct sim_run runs[RUNS];
};

enum what { W_SCAN, W_RENEW, W_RUN, W_REQUEST, W_CRASH, W_START, W_PAUSE, W_STOP, W_JUMP, W_HEAL };
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
    struct sim_event heap[SIM_EVENTS];
    size_t n_events;
    int64_t jump; /* the store's clock is this much ahead */
    struct model store;
    struct wish wishes[M_OPS];
    int64_t freed_at[M_OPS]; /* when the lease that was given back for it had run out; 0 = never */
    int64_t wanted[M_CLUSTERS][M_GROUPS]; /* by what was accepted last; M_NONE = no such group */
    /* the backend: how many of each resource exist, and which it is */
    int nodes[M_CLUSTERS][M_NODES];
    int64_t serials[M_CLUSTERS][M_NODES], next_serial;
    struct sim_conductor conductors[CONDUCTORS];
    int n_conductors;
    struct engine_config cfg;
    bool crowded; /* others may want a run's place at any time */
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

/* store.c: the model behind bad weather. 0, ERR_FENCED or ERR_UNAVAILABLE */
struct model *store_of(struct sim *m); /* its clock set */
void store_begin(struct sim *m);
int store_lease(struct sim *m, const char *owner, int max, int *ret_ops);
void store_release_expired(struct sim *m);
int store_renew(struct sim *m, const char *owner, const int *ops, int n);
/* Fills the state as engine_load does from the row. */
void store_load(struct sim *m, int op, struct engine_state *s);
int store_reload(struct sim *m, const struct m_guard *g, struct sim_run *r);
int store_checkpoint(struct sim *m, const struct m_guard *g);
int store_store(struct sim *m, const struct m_guard *g, struct sim_run *r,
                const struct engine_action *a);
int store_finish(struct sim *m, const struct m_guard *g, struct sim_run *r,
                 const struct engine_action *a);
int store_ledger(struct sim *m, const struct m_guard *g, int node, char verb);
bool store_knows(const struct sim *m, int cluster, int node); /* the ledger does */
void store_check(struct sim *m); /* what must be true after every write */

/* backend.c: one part of a driver's step; true when the step ended (run->ev is its result) */
void backend_begin(struct sim *m, struct sim_run *r, const struct engine_action *a);
bool backend_part(struct sim *m, struct sim_conductor *c, struct sim_run *r, int64_t *ret_wait_us);
int backend_count(const struct sim *m, int cluster);
/* Whether the resource is wanted when the groups have these sizes. */
bool backend_wants(const int64_t counts[M_GROUPS], int node);
int backend_group_count(const struct sim *m, int cluster, int group);
enum { WORKERS_MAX = 4, EXTRA_MAX = 2, EXTRA2_MAX = 1 };

/* conductor.c */
void conductor_start(struct sim *m, int i);
void conductor_event(struct sim *m, const struct sim_event *ev);

/* schedule.c: runs one seed; false when an invariant was violated (m->violation) */
bool schedule_run(struct sim *m, uint64_t seed, const struct options *opt, FILE *trace);

#endif
