/* What the files of this plugin share: the instance, and the verbs of both ways to make nodes.
 * Neighbours: kubernetes.c (entry), local_*.c (clusters of local nodes), workload.c. */
#ifndef KUBERNETES_INTERNAL_H
#define KUBERNETES_INTERNAL_H

#include "lib/heat_cluster.h"
#include "lib/kube.h"
#include "lib/labels.h"
#include "lib/local/run.h"

enum { BINARIES_MAX = 16 };
struct binaries { /* one directory with the daemons of one version */
    char dir[200];
    char version[24]; /* "1.20.2" */
};
struct kubernetes {
    struct mag_instance base;
    struct mag_local_site site;
    char group[1024];                       /* magnum-local-group */
    struct binaries binaries[BINARIES_MAX]; /* oldest version first */
    size_t n_binaries;
    struct mag_heat_cache stacks; /* for health looks */
};
static inline struct kubernetes *kubernetes_of(const struct mag_call *c)
{
    return (struct kubernetes *)c->self;
}

/* Checks the machine until it was found fit once. */
int32_t kubernetes_machine(struct kubernetes *s, mag_error *err);
/* binaries.c: fills `binaries` from the option kubernetes_path; NOT_FOUND when there are none. */
int32_t binaries_find(struct kubernetes *s, mag_error *err);
/* The directory for a version as a label says it ("v1.20.2", "1.20", "" = the newest). INVALID
 * (user), with the versions there are, when there is no such one. */
int32_t binaries_pick(struct kubernetes *s, const char *tag, const struct binaries **ret,
                      mag_error *err);

/* The verbs for local nodes; each a step as in lifecycle.h. */
int32_t local_validate(struct mag_call *c);
int32_t local_converge(struct mag_call *c);
int32_t local_rotate_prepare(struct mag_call *c);
int32_t local_rotate_complete(struct mag_call *c);
int32_t local_remove(struct mag_call *c);
int32_t local_health(struct mag_call *c);
/* *ret: a new document. */
int32_t local_stats(struct mag_call *c, json_t **ret);
int32_t local_plan(struct mag_call *c, json_t **ret);
int32_t local_upgrade_plan(struct mag_call *c, json_t **ret);
int32_t cluster_client_config(struct mag_call *c, json_t **ret);

/* The same for servers in a cloud, through Heat. */
int32_t heat_validate(struct mag_call *c);
int32_t heat_converge(struct mag_call *c);
int32_t heat_remove_group(struct mag_call *c);
int32_t heat_rotate_prepare(struct mag_call *c);
int32_t heat_rotate_complete(struct mag_call *c);
int32_t heat_rotate_credential(struct mag_call *c);
int32_t heat_remove(struct mag_call *c);
int32_t heat_health(struct mag_call *c);
int32_t heat_stats(struct mag_call *c, json_t **ret);
int32_t heat_plan(struct mag_call *c, json_t **ret);
int32_t heat_upgrade_plan(struct mag_call *c, json_t **ret);

/* What all pods that run may use: their limits, or else their requests. */
struct kube_amount {
    double cpu, bytes;
};
struct kube_use {
    struct kube_amount amount;
    size_t n; /* pods */
};
int32_t kube_pods_use(struct mag_call *c, struct kube_use *ret);
/* Kubernetes' own rule: no way back, and no minor version left out. INVALID (user); versions that
 * can't be read are not compared. */
int32_t kube_upgrade_step(const char *from, const char *to, mag_error *err);

/* The API of the cluster, as the host reaches it. */
struct mag_kube kube_api(const struct mag_call *c, uint32_t timeout_ms);

/* workload.c: "mag.coe.workload/1" on the cluster's API. */
int32_t workload_list(struct mag_call *c, const struct mag_object *o, json_t **ret);
int32_t workload_get(struct mag_call *c, const struct mag_object *o, json_t **ret);
int32_t workload_create(struct mag_call *c, const struct mag_object *o, json_t **ret);
int32_t workload_update(struct mag_call *c, const struct mag_object *o, json_t **ret);
int32_t workload_remove(struct mag_call *c, const struct mag_object *o, json_t **ret);

#endif
