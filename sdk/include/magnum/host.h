/* magnum/host.h - what the host (Magnum's core) offers to a plugin. Part of the stable ABI 1.x.
 *
 * Threads: only `log` may be called from any thread and at any time between create and destroy.
 * Every other service is called only from inside a driver call, on the calling thread, with that
 * call's `op`. Memory: inputs are borrowed for the call, the host copies what it keeps; what the
 * host returns lives until the current driver call returns. Nobody frees the other side's memory.
 */
#ifndef MAGNUM_HOST_H
#define MAGNUM_HOST_H

#include "magnum/error.h"

typedef struct mag_bytes { /* borrowed */
    const void *data;      /* may be NULL when len is 0 */
    uint64_t len;
} mag_bytes;

/* Operation kinds (mag_op.kind). An unknown kind is answered with MAG_E_UNSUPPORTED. */
enum {
    MAG_OP_CREATE = 1,
    MAG_OP_UPDATE = 2,
    MAG_OP_DELETE = 3,
    MAG_OP_SCALE = 4,
    MAG_OP_HEALTH = 5,
    MAG_OP_UPGRADE = 6,
    MAG_OP_ROTATE_CA = 7,
    MAG_OP_ROTATE_CREDENTIAL = 8,
    MAG_OP_NODEGROUP_CREATE = 9,
    MAG_OP_NODEGROUP_UPDATE = 10,
    MAG_OP_NODEGROUP_DELETE = 11,
    MAG_OP_VALIDATE = 12,
    MAG_OP_QUERY = 13 /* short synchronous calls: credentials, workload, stats, plan */
};

/* mag_op.flags */
#define MAG_OPF_RESUMED (1u << 0)  /* an earlier attempt may have run part of this step */
#define MAG_OPF_CANCEL (1u << 1)   /* stop at a safe point, return MAG_E_CANCELLED */
#define MAG_OPF_ROLLBACK (1u << 2) /* the user asked for rollback on failure */
#define MAG_OPF_FORCE (1u << 3)    /* delete: go on past what can't be removed, report it */

/* One call's request. Everything in it is valid until the call returns.
 *
 * `spec` is the wanted state in full, never a difference:
 *   {"cluster": {uuid, name, project_id, user_id, keypair, labels{}, fixed_network, fixed_subnet,
 *                floating_ip_enabled, master_lb_enabled, discovery_url, docker_volume_size,
 *                create_timeout, api_address, coe_version, stack_id, ...},
 *    "template": {uuid, name, coe, server_type, cluster_distro, image_id, network_driver, ...},
 *    "nodegroups": [{uuid, name, role: master|worker|..., node_count, is_default, flavor_id,
 *                    image_id, labels{}, node_labels{}, node_taints[], min/max_node_count, ...}],
 *    "params": {what this operation brought: nodegroup, node_count, nodes_to_remove[],
 *               max_batch_size, ...}}
 * Values that are not set are null or absent. Unknown members must be ignored. */
typedef struct mag_op {
    uint32_t struct_size;
    uint32_t kind;          /* MAG_OP_* */
    uint32_t flags;         /* MAG_OPF_* */
    uint32_t attempt;       /* 1 for the first try of this step */
    const char *op_id;      /* same id = same operation, for ever */
    const char *cluster_id; /* cluster uuid; derive names of remote resources from it */
    const char *project_id;
    const char *nodegroup_id; /* uuid of the nodegroup meant, or NULL */
    const char *request_id;   /* for logs and tracing headers, or NULL */
    uint64_t generation;      /* fencing: grows with every accepted request */
    mag_bytes spec;           /* JSON object, see above */
    mag_bytes prior;          /* JSON: the spec that last completed, or empty */
    mag_bytes state;          /* the driver's own blob, as last checkpointed, or empty */
    int64_t deadline_unix_ms; /* end of the whole operation */
    uint32_t budget_ms;       /* this call should return within */
    uint32_t reserved0;
    void *host_op; /* opaque */
} mag_op;

/* What a step answers besides its code. */
typedef struct mag_step {
    uint32_t struct_size;
    uint32_t wait_ms; /* with MAG_AGAIN: advice; the host clips it and adds jitter */
    uint32_t percent; /* 0..100 of the whole operation */
    uint32_t reserved0;
    char message[192]; /* one line: what is going on; shown to users; may be empty */
} mag_step;

enum {
    MAG_LOG_ERROR = 0,
    MAG_LOG_WARNING = 1,
    MAG_LOG_INFO = 2,
    MAG_LOG_DEBUG = 3,
    MAG_LOG_HOST_MISBEHAVING = 4
};

/* One HTTP exchange, performed by the host: TLS verification, proxy, tokens, retries of idempotent
 * connects, tracing headers, size cap and the remaining budget are the host's business.
 * `service`: a catalog type ("orchestration", "key-manager", ...): `path` is appended to its
 *     endpoint and a token of the cluster's trust is sent (the service's own instead, where there
 *     is none and the manifest says service_token: true);
 *   "cluster": the cluster's own API (`api_address`), with the cluster's client certificate;
 *   "unix:/path/to.sock": a socket on this machine; needs `unix_sockets: true` in the manifest;
 *   "url": `path` is an absolute http(s) URL; no credential is sent. */
typedef struct mag_http_req {
    uint32_t struct_size;
    uint32_t timeout_ms; /* 0 = what is left of the budget */
    const char *method;
    const char *service;
    const char *path;    /* with query, already encoded */
    const char *headers; /* "Name: value\n" lines, or NULL */
    mag_bytes body;
} mag_http_req;

typedef struct mag_http_resp {
    uint32_t struct_size;
    uint32_t status;     /* HTTP status */
    mag_bytes body;      /* valid until the driver call returns */
    const char *headers; /* lower-case "name: value\n" lines; valid as body */
} mag_http_resp;

/* The table given to create(). Constant for the life of the process. */
typedef struct mag_host {
    uint32_t struct_size;
    uint32_t abi_major, abi_minor;
    uint32_t reserved0;
    void *ctx; /* pass it back as the first argument */

    /* One line of UTF-8. Known secrets are redacted, the rate is limited. Any thread. */
    void (*log)(void *ctx, uint32_t level, const char *message);
    /* A key of the plugin's own configuration section; NULL = unset. Valid until destroy. */
    const char *(*config)(void *ctx, const char *key);
    /* Transport failures are MAG_E_UNAVAILABLE or MAG_E_TIMEOUT; HTTP statuses are not errors. */
    int32_t (*http)(void *ctx, const mag_op *op, const mag_http_req *req, mag_http_resp *resp,
                    mag_error *err);
    /* Stores the driver's blob (JSON with a "v" member, <= 64 KiB, no secrets); returns after it
     * is committed. MAG_E_PRECONDITION: you are fenced, return at once. */
    int32_t (*checkpoint)(void *ctx, const mag_op *op, mag_bytes state, mag_error *err);
    /* Publishes a fact. Keys: api_address, coe_version, container_version, stack_id,
     * discovery_url (JSON strings); node_addresses, node_count, status of a nodegroup as
     * "nodegroup/<uuid>/node_addresses" (list) and "nodegroup/<uuid>/node_count" (integer), and
     * "nodegroup/<uuid>/stack_id" for a group with a stack of its own;
     * health_status ("HEALTHY" | "UNHEALTHY" | "UNKNOWN"), health_status_reason (object of
     * strings), unhealthy_nodes (of a health look that could tell: list of {node: a name that
     * nodes_to_remove takes, nodegroup: its uuid, reason}; the core may have them replaced).
     * `json` is one JSON value. */
    int32_t (*output)(void *ctx, const mag_op *op, const char *key, mag_bytes json, mag_error *err);
    /* 1 when the call should end soon: the operation was cancelled or lost its lease, the host
     * stops, or the budget is used up. Cheap, poll it in loops; then stop at a safe point and
     * return MAG_AGAIN (the next step tells by MAG_OPF_CANCEL whether the user wants it) or
     * MAG_E_CANCELLED. */
    int32_t (*cancelled)(void *ctx, const mag_op *op);
    /* Copies a secret named by a handle in the spec, or one of those every cluster with a trust
     * has, for logins of its nodes: "secret:trustee/user_id", "secret:trustee/user_name",
     * "secret:trustee/password", "secret:trustee/trust_id" (empty unless nodes may have the trust);
     * without a trust they are MAG_E_NOT_FOUND. *len is set to its length. The caller wipes its
     * buffer. MAG_E_INVALID when `cap` is too small. */
    int32_t (*secret_read)(void *ctx, const mag_op *op, const char *handle, void *buf, uint64_t cap,
                           uint64_t *len, mag_error *err);
    /* Later services by id; NULL when this host does not have it. */
    const void *(*get_service)(void *ctx, const char *id);
} mag_host;

/* "mag.host.ledger/1": every external resource is declared before it is made. */
#define MAG_HOST_LEDGER "mag.host.ledger/1"
typedef struct mag_host_ledger {
    uint32_t struct_size;
    uint32_t reserved0;
    /* Durable before it returns. kind: "stack", "netns", "node", ...; name: derived, unique
     * per cluster and kind; data: JSON object or empty. Declaring twice is fine. */
    int32_t (*declare)(void *ctx, const mag_op *op, const char *kind, const char *name,
                       mag_bytes data, mag_error *err);
    /* The resource exists; external_id: the backend's id, or NULL. */
    int32_t (*confirm)(void *ctx, const mag_op *op, const char *kind, const char *name,
                       const char *external_id, mag_error *err);
    /* The resource is gone. Unknown names are fine. */
    int32_t (*drop)(void *ctx, const mag_op *op, const char *kind, const char *name,
                    mag_error *err);
    /* JSON list of {kind, name, state: "intent"|"confirmed", external_id, data}; kind NULL = all.
     */
    int32_t (*list)(void *ctx, const mag_op *op, const char *kind, mag_bytes *ret_json,
                    mag_error *err);
} mag_host_ledger;

/* "mag.host.cert/1": certificates from the cluster's own CA. */
#define MAG_HOST_CERT "mag.host.cert/1"
typedef struct mag_host_cert {
    uint32_t struct_size;
    uint32_t reserved0;
    /* PEM of the CA certificates to trust: ca = "kubernetes" (the cluster CA), "etcd",
     * "front-proxy". One, or several while the CA is rotated (magnum/rotate.h): the one that signs
     * comes first. */
    int32_t (*ca)(void *ctx, const mag_op *op, const char *ca, mag_bytes *ret_pem, mag_error *err);
    /* Signs a PEM CSR with that CA: the private key never leaves its maker. profile: JSON object
     * {"usages": ["server","client"], "days": n}. */
    int32_t (*sign)(void *ctx, const mag_op *op, const char *ca, mag_bytes csr_pem,
                    mag_bytes profile, mag_bytes *ret_pem, mag_error *err);
    /* Makes key and certificate in one go: request = {"ca": "kubernetes", "cn": "...", "o": "...",
     * "dns": [..], "ip": [..], "usages": ["server","client"], "days": n}. *ret_json =
     * {"certificate": pem, "private_key": pem, "ca": as `ca` answers}. The key is a secret: write
     * it 0600. */
    int32_t (*issue)(void *ctx, const mag_op *op, mag_bytes request, mag_bytes *ret_json,
                     mag_error *err);
} mag_host_cert;

/* "mag.host.render/1": ${name} templates with values from a JSON object; undefined names fail.
 * "a.b" descends into an object; texts are put in as they are, numbers and booleans as JSON, null
 * as nothing; $${ gives ${. */
#define MAG_HOST_RENDER "mag.host.render/1"
typedef struct mag_host_render {
    uint32_t struct_size;
    uint32_t reserved0;
    int32_t (*render)(void *ctx, const mag_op *op, mag_bytes text, mag_bytes values,
                      mag_bytes *ret_text, mag_error *err);
} mag_host_render;

#endif
