/* A small client of the Kubernetes API over the host's HTTP: one exchange with its errors as
 * mag_error (the server's own message kept), whole lists page by page, and what a driver does with
 * nodes: look, label, taint, cordon, drain. Neighbours: http, kube_node.c, plugins/kubernetes. */
#ifndef MAGNUM_SDK_LIB_KUBE_H
#define MAGNUM_SDK_LIB_KUBE_H

#include "lib/json.h"

struct mag_kube { /* copy freely */
    const mag_host *host;
    const mag_op *op;
    const char *service; /* "cluster", or "url" (then paths are absolute URLs); borrowed */
    uint32_t timeout_ms; /* per exchange; 0 = the budget */
};

#define MAG_KUBE_MERGE "application/merge-patch+json"
#define MAG_KUBE_STRATEGIC "application/strategic-merge-patch+json"

/* body and ret may be NULL; type NULL: application/json. *status (may be NULL) is set whenever the
 * API answered. 2xx is MAG_OK; 400, 405, 415, 422 MAG_E_INVALID; 401 AUTH; 403 DENIED; 404 and 410
 * NOT_FOUND; 409 EXISTS (AlreadyExists) or BUSY (Conflict); 429 BUSY with its Retry-After; 5xx
 * UNAVAILABLE (504: TIMEOUT), retryable. err->reason is Kubernetes' own. The caller decrefs *ret;
 * an answer that is no JSON gives NULL. */
int32_t mag_kube_call(const struct mag_kube *k, const char *method, const char *path,
                      const char *type, const json_t *body, json_t **ret, uint32_t *status,
                      mag_error *err);
/* Each item of a list, in pages of which one is in memory at a time. item NULL: the list begins,
 * also when it expired between two pages and is read again from its start (twice at most); what was
 * counted so far does not count. The callback answers MAG_OK (go on), MAG_AGAIN (that is enough) or
 * a code, which ends the call with err as the callback filled it. path without limit and continue.
 */
typedef int32_t (*mag_kube_item_fn)(void *ctx, const json_t *item, mag_error *err);
int32_t mag_kube_each(const struct mag_kube *k, const char *path, mag_kube_item_fn fn, void *ctx,
                      mag_error *err);
/* All items of a list, in pages; *ret = a new array. path without limit and continue. A list that
 * expires between two pages is begun again, twice at most; more than max items (0: no limit) are
 * not read, and *ret_more (may be NULL) says so. */
int32_t mag_kube_list(const struct mag_kube *k, const char *path, size_t max, json_t **ret,
                      bool *ret_more, mag_error *err);
/* GET /readyz: MAG_OK when it is "ok". UNAVAILABLE: `why` (cap bytes) has the failed checks. */
int32_t mag_kube_ready(const struct mag_kube *k, char *why, size_t cap, mag_error *err);
/* "1.20.2" of GET /version, without the v. */
int32_t mag_kube_version(const struct mag_kube *k, char ret[24], mag_error *err);
/* Parses "v1.20.2" or "1.20"; false when it is neither. */
bool mag_kube_parse_version(const char *text, unsigned ret[3]);

/* "100m", "24684084Ki", "1.5Gi", "2e3"; false when it is none. */
bool mag_kube_quantity(const char *text, double *ret);

/* ---- nodes (objects of GET /api/v1/nodes) ---- */
const char *mag_kube_name(const json_t *object);
const json_t *mag_kube_named(const json_t *items, const char *name); /* borrowed; NULL: none */
/* The Ready condition: "True", "False", "Unknown", or "" when there is none. reason, message and
 * since (RFC 3339) may be NULL; borrowed. */
const char *mag_kube_node_ready(const json_t *node, const char **reason, const char **message,
                                const char **since);

/* Sets labels (null removes one), taints (those of other keys stay, as the cluster's own about a
 * node's illness) and whether pods may be scheduled, in one patch; nothing is sent when all is so
 * already. labels: object or NULL; taints: list of {key, value, effect} or NULL. */
struct mag_kube_wanted {
    const json_t *labels, *taints;
    const json_t *former_taints; /* keys (texts) set earlier by us; those not in taints go */
    int unschedulable;           /* 1, 0, or -1: leave it */
};
int32_t mag_kube_node_set(const struct mag_kube *k, const json_t *node,
                          const struct mag_kube_wanted *w, mag_error *err);

/* One pass of a drain: asks for the eviction of each pod on the node that a controller can make
 * anew or that is finished; pods of daemon sets and mirror pods stay. Pods that have ended are
 * deleted, and so are all with hurry: no more asking. *ret_left: pods that are still there. MAG_OK
 * also when a disruption budget forbids an eviction for now or the API can't do it (blocked, may be
 * NULL, then names the pod and the reason). Stops asking when the call has to end soon; the pods it
 * did not come to are counted. */
int32_t mag_kube_drain(const struct mag_kube *k, const char *node, bool hurry, size_t *ret_left,
                       char *blocked, size_t cap, mag_error *err);

#endif
