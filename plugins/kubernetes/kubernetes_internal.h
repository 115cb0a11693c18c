/* What the files of this plugin share: the instance, and one driver call with all it was given.
 * Neighbours: kubernetes.c (entry), local_*.c (clusters of local nodes), workload.c. */
#ifndef KUBERNETES_INTERNAL_H
#define KUBERNETES_INTERNAL_H

#include "lib/heat_cluster.h"
#include "lib/kube.h"
#include "lib/labels.h"
#include "lib/local/check.h"
#include "lib/services.h"

#include <magnum/plugin.h>

enum { BINARIES_MAX = 16 };
struct binaries { /* one directory with the daemons of one version */
    char dir[200];
    char version[24]; /* "1.20.2" */
};
struct kubernetes { /* one instance = one process of the driver host */
    const mag_host *host;
    struct mag_services services;
    const char *state_dir, *path;     /* path: where programs are looked for */
    struct mag_local_machine machine; /* what mag_local_check found */
    char group[1024];                 /* magnum-local-group */
    bool machine_ok;
    struct binaries binaries[BINARIES_MAX]; /* oldest version first */
    size_t n_binaries;
    char *answer;                 /* last document given to the host */
    struct mag_heat_cache stacks; /* for health looks */
};

/* Checks the machine until it was found fit once. */
int32_t kubernetes_machine(struct kubernetes *s, mag_error *err);
/* binaries.c: fills `binaries` from the option kubernetes_path; NOT_FOUND when there are none. */
int32_t binaries_find(struct kubernetes *s, mag_error *err);
/* The directory for a version as a label says it ("v1.20.2", "1.20", "" = the newest). INVALID
 * (user), with the versions there are, when there is no such one. */
int32_t binaries_pick(struct kubernetes *s, const char *tag, const struct binaries **ret,
                      mag_error *err);

enum rotation { ROTATE_NOT, ROTATE_PREPARE, ROTATE_COMPLETE };
/* A call that changes a cluster: the verbs of lifecycle, nodegroups, upgrade and rotate. */
struct kube_call {
    struct kubernetes *self;
    const mag_op *op;
    mag_step *out;  /* NULL in verbs that are not steps */
    mag_error *err; /* filled by whoever returns a negative code */
    const json_t *spec;
    int64_t until_ms; /* monotonic: return to the host by then */
    enum rotation rotation;
};

/* The verbs for local nodes; each a step as in lifecycle.h. */
int32_t local_validate(struct kube_call *c);
int32_t local_converge(struct kube_call *c);
int32_t local_rotate_prepare(struct kube_call *c);
int32_t local_rotate_complete(struct kube_call *c);
int32_t local_remove(struct kube_call *c);
int32_t local_health(struct kube_call *c);
/* *ret: a new document. */
int32_t local_stats(struct kube_call *c, json_t **ret);
int32_t local_plan(struct kube_call *c, json_t **ret);
int32_t local_upgrade_plan(struct kube_call *c, json_t **ret);
int32_t cluster_client_config(struct kube_call *c, json_t **ret);

/* The same for servers in a cloud, through Heat. */
int32_t heat_validate(struct kube_call *c);
int32_t heat_converge(struct kube_call *c);
int32_t heat_remove_group(struct kube_call *c);
int32_t heat_rotate_prepare(struct kube_call *c);
int32_t heat_rotate_complete(struct kube_call *c);
int32_t heat_rotate_credential(struct kube_call *c);
int32_t heat_remove(struct kube_call *c);
int32_t heat_health(struct kube_call *c);
int32_t heat_stats(struct kube_call *c, json_t **ret);
int32_t heat_plan(struct kube_call *c, json_t **ret);
int32_t heat_upgrade_plan(struct kube_call *c, json_t **ret);

/* What all pods that run may use: their limits, or else their requests. */
struct kube_amount {
    double cpu, bytes;
};
struct kube_use {
    struct kube_amount amount;
    size_t n; /* pods */
};
int32_t kube_pods_use(struct kube_call *c, struct kube_use *ret);
/* Kubernetes' own rule: no way back, and no minor version left out. INVALID (user); versions that
 * can't be read are not compared. */
int32_t kube_upgrade_step(const char *from, const char *to, mag_error *err);

/* The API of the cluster, as the host reaches it. */
struct mag_kube kube_api(const struct kube_call *c, uint32_t timeout_ms);

/* "What is going on", for people. Returns MAG_AGAIN. */
int32_t kube_again(struct kube_call *c, uint32_t wait_ms, uint32_t percent, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Time to hand the process back, or asked to stop? */
bool kube_out_of_time(const struct kube_call *c);

/* workload.c: "mag.coe.workload/1" on the cluster's API. *ret may be NULL. */
struct workload_call {
    const char *kind, *name; /* name: NULL for lists and creates */
    mag_bytes doc;           /* the manifest, or the query of a list */
};
int32_t workload_list(struct kube_call *c, const struct workload_call *w, json_t **ret);
int32_t workload_get(struct kube_call *c, const struct workload_call *w, json_t **ret);
int32_t workload_create(struct kube_call *c, const struct workload_call *w, json_t **ret);
int32_t workload_update(struct kube_call *c, const struct workload_call *w, json_t **ret);
int32_t workload_remove(struct kube_call *c, const struct workload_call *w, json_t **ret);

#endif
