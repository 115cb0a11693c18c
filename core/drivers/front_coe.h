/* The one way into a COE driver: a pool of magnum-driver-host children per plugin, one call in
 * flight each, with budgets, kill, recycling and quarantine. Nothing else in core calls a plugin.
 * A call blocks its thread; any number of threads may call. The child's upcalls (checkpoint, http,
 * ledger, ...) arrive on the calling thread through `struct coe_services`.
 * Neighbours: conductor. */
#ifndef MAGNUM_DRIVERS_FRONT_COE_H
#define MAGNUM_DRIVERS_FRONT_COE_H

#include "base/err.h"
#include "drivers/manifest.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct driver_pool;

/* plugins: borrowed for the pool's life. */
int driver_pool_new(const struct config *cfg, const struct plugin_list *plugins,
                    struct driver_pool **ret, struct err *e) MUST_CHECK;
/* Kills all children. No call may be in flight. */
void driver_pool_free(struct driver_pool **p);
/* Wakes every call in flight: each is asked to stop; children past grace_ms are killed. Returns at
 * once; the calls end in their own threads. New calls get ERR_CANCELLED. */
void driver_pool_stop(struct driver_pool *p, int64_t grace_ms);

struct http_call_spec { /* mag_http_req as it came over the wire; borrowed for the upcall */
    const char *method, *service, *path, *headers;
    const void *body;
    size_t body_len;
    int64_t timeout_ms;
};
struct http_reply { /* filled by the service; freed by the front with free() */
    int status;
    char *body, *headers;
    size_t body_len;
};
/* What the core offers to one call. Each returns 0 or a core error; ERR_FENCED becomes
 * MAG_E_PRECONDITION for the driver. NULL members are not offered.
 *
 * ledger verbs and args: "declare" {kind, name, data: object or null}, "confirm" {kind, name,
 *   external_id: text or null}, "drop" {kind, name}, "list" {kind: text or null}; only list sets
 *   *ret: the list of {kind, name, state, external_id, data}.
 * cert verbs: "ca" {ca} and "sign" {ca, csr, profile: object} set *ret to a JSON string, the PEM
 *   text; "issue" {ca, cn, o, dns, ip, usages, days} to {certificate, private_key, ca}.
 * http: timeout_ms is already cut to what is left of the budget. *ret of secret is wiped and freed
 *   by the front. */
struct coe_services {
    void *ctx;
    int (*checkpoint)(void *ctx, const char *state, size_t len, struct err *e);
    int (*output)(void *ctx, const char *key, const json_t *value, struct err *e);
    bool (*cancelled)(void *ctx);
    int (*http)(void *ctx, const struct http_call_spec *rq, struct http_reply *rp, struct err *e);
    int (*ledger)(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e);
    int (*cert)(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e);
    int (*secret)(void *ctx, const char *handle, struct err *e, char **ret, size_t *len);
};

struct coe_call {
    const char *driver_id;      /* id or name, or "id@version" */
    const char *driver_version; /* NULL = the first that was found */
    const char *interface;      /* "mag.coe.lifecycle/1", ... */
    const char *verb;           /* "create", "health", "validate", ... */
    uint32_t op_kind;           /* MAG_OP_* */
    uint32_t flags, attempt;    /* MAG_OPF_* */
    const char *op_id, *cluster_id, *project_id, *nodegroup_id, *request_id;
    int64_t generation;
    const json_t *spec, *prior; /* NULL = empty */
    const char *state;          /* blob, NULL = empty */
    int64_t deadline_unix_ms;
    int64_t budget_ms;
    /* Further arguments of non-step verbs, named as in the SDK headers:
     *   mag.coe.workload/1  list {kind, query}, get and remove {kind, name}, create {kind, doc},
     *                       update {kind, name, doc}, action {kind, name, verb, args};
     *   mag.cert.store/1    put {key, bundle}, get {ref, parts: ["certificate", "chain",
     *                       "private_key", "passphrase"]}, del {ref};
     *   mag.cert.sign/1     sign_csr {ca, csr_pem, profile}. */
    const json_t *args;
    const struct coe_services *services;
    /* CLOCK_MONOTONIC in ms: a process that was held up (frozen, starved) until later does not
     * begin but answers UNAVAILABLE, CallTooLate: by then the operation may be another's. 0 = any
     * time. */
    int64_t begin_before_ms;
    pid_t *ret_pid; /* set before the call begins to the process that carries it out; or NULL */
};
struct coe_result {
    int32_t rc; /* MAG_OK, MAG_AGAIN or MAG_E_* */
    uint32_t wait_ms, percent;
    char message[192];
    uint32_t err_flags, retry_after_ms;
    char reason[64], err_message[448], remedy[256];
    /* What a non-step verb returned; owned; NULL = nothing. The JSON document itself, except
     * for store.put {"ref"}, store.get {"certificate", "chain", "private_key", "passphrase"}
     * (those asked for and present) and sign_csr {"certificate"}. */
    json_t *value;
    bool host_died;     /* the child crashed, hung or broke the protocol: rc is MAG_E_INTERNAL */
    char died_why[160]; /* "killed by signal 11", "no answer within 35000 ms", ... */
    bool checkpointed;  /* at least one checkpoint was committed during the call */
};
void coe_result_done(struct coe_result *r);
/* The core error an answer is to whoever asked for it at once; 0 for MAG_OK. */
int coe_result_error(const struct coe_result *r, struct err *e) MUST_CHECK;
/* 0 when the call was carried out in whatever way (see result); a core error only when it could
 * not be tried: NOT_FOUND (no such driver here), UNSUPPORTED (interface or verb not offered),
 * UNAVAILABLE (quarantined, not enabled, can't start, all processes busy for longer than the
 * budget), TOO_LARGE (spec and prior exceed a frame), CANCELLED (stopping: not begun, or cut off by
 * driver_pool_stop after its grace). */
int front_coe_call(struct driver_pool *p, const struct coe_call *c, struct coe_result *ret,
                   struct err *e) MUST_CHECK;
/* Loads the plugin in a fresh child, checks handshake, manifest and interfaces, runs probe.
 * *ready=false with reason when probe says it can't work on this machine. */
int front_coe_probe(struct driver_pool *p, const char *driver_id, bool *ready, char reason[512],
                    struct err *e) MUST_CHECK;
/* Called when a driver reached the death limit, from a calling thread or the pool's own. */
typedef void (*driver_quarantine_fn)(void *ctx, const char *driver_id, const char *sha256,
                                     const char *why);
void driver_pool_on_quarantine(struct driver_pool *p, driver_quarantine_fn fn, void *ctx);
/* Closes one version of a driver for calls (true) or opens it again. */
void driver_pool_quarantine(struct driver_pool *p, const char *driver_id, bool on);
/* A version that gets no new clusters keeps no idle processes (true), or does again. */
void driver_pool_drain(struct driver_pool *p, const char *driver_id, bool on);

#endif
