/* One convergence step of a local cluster: what was asked, what is stored, what was seen. The
 * phases below run in this order in every step; each looks first, does what is missing, and returns
 * MAG_OK (go on), MAG_AGAIN (something has to happen first) or a negative code.
 * Neighbours: local_cluster.c (runs them), local_files.c, local_nodes.c, local_api.c,
 * local_leave.c, local_upgrade.c. */
#ifndef KUBERNETES_LOCAL_RUN_H
#define KUBERNETES_LOCAL_RUN_H

#include "kubernetes_internal.h"

#include "lib/local/run.h"

enum { API_PORT = 6443, WORDS_MAX = 24 };

struct words { /* extra flags of a label, cut at blanks */
    char text[1024];
    const char *v[WORDS_MAX + 1];
};
struct settings { /* of the whole cluster, from its labels */
    char version[24];
    char pods[32], services[32];       /* ranges, "10.100.0.0/16" */
    uint32_t pods_base, services_base; /* host order */
    char domain[64], admission[512];
    struct words apiserver, controllers, scheduler, kubelet, proxy;
};

enum rotation { ROTATE_NOT, ROTATE_PREPARE, ROTATE_COMPLETE };
struct kube_run {
    struct mag_local_run m;
    struct settings set;
    const struct binaries *bin;
    bool api_up;  /* /readyz said ok in this step */
    bool reissue; /* certificates are made anew although they are there */
    bool renew;   /* in a round that would leave them as they are, too */
    enum rotation rotation;
};
static inline struct kube_run *kube_run(struct mag_local_run *r)
{
    return (struct kube_run *)r;
}

/* local_cluster.c */
struct kube_run kube_run_of(struct mag_call *c);
/* The address of the API as the host reaches it: the first running master's. "" = none. */
void local_api_address(const struct mag_local_run *r, char ret[64]);

/* local_settings.c: reads and checks the labels. */
int32_t local_settings(const json_t *spec, struct settings *ret, mag_error *err);
int32_t local_group_labels(const json_t *spec, const struct mag_roster_group *g,
                           int64_t *ret_memory_mb, int64_t *ret_drain_ms, mag_error *err);
void local_ipv4(uint32_t address, char ret[16]);

/* local_files.c: certificates and configuration files of one node. */
int32_t local_write_node(struct mag_local_run *r, const struct mag_roster_node *n,
                         const struct binaries *bin);

/* Phases */
int32_t local_start_nodes(struct mag_local_run *r);     /* every staying node runs */
int32_t local_replace_masters(struct mag_local_run *r); /* etcd's members are those that stay */
int32_t local_renew(struct mag_local_run *r); /* before a rotation waits for an API that is down */
int32_t local_wait_api(struct mag_local_run *r); /* the control plane serves */
int32_t local_upgrade(struct mag_local_run *r);  /* every node runs the wanted version */
int32_t local_rotate(struct mag_local_run *r);   /* certificates are those of this rotation */
int32_t local_settle(struct mag_local_run *r);   /* labels, taints, all ready */
int32_t local_let_go(struct mag_local_run *r);   /* leaving nodes are gone */

/* local_upgrade.c: the binaries an upgrade goes to; INVALID when the step is not allowed. */
int32_t local_upgrade_target(struct mag_call *c, const struct mag_roster *st,
                             const struct binaries **ret);
/* local_rotate.c: which round of which rotation a node's certificates are of; "" = none. */
void local_read_stamp(const char *base, char ret[64]);
/* local_nodes.c: starts these (places in the roster) with those binaries. */
int32_t local_start_some(struct mag_local_run *r, const size_t *which, size_t n,
                         const struct binaries *bin);
/* A daemon of this node that ends again and again: its name, and why. false: none. */
bool local_daemon_fails(const struct mag_local_run *r, size_t at, unsigned times, char *ret,
                        size_t cap);
/* What became of a node's daemons (lib/local/group.h); NULL: it can't be read. */
json_t *local_read_status(const struct mag_local_run *r, size_t at);
/* Whether this master's API listens. */
bool local_serves(const struct mag_local_run *r, size_t at);
/* Its daemons shall be as its group.json says now. */
void local_tell_group(const struct mag_local_run *r, size_t at);
/* local_members.c: may the masters chosen to leave (of the first `had` of the roster) be replaced?
 * INVALID, with who has to do what. */
int32_t local_check_members(struct mag_local_run *r, size_t had);
/* Whether this master's etcd answers what takes a majority. */
bool local_is_member(struct mag_local_run *r, size_t at);
/* A master of a cluster that works, which etcd does not expect yet: it must not be started. */
bool local_awaits_etcd(const struct mag_local_run *r, const struct mag_roster_node *n);
/* local_api.c: MAG_AGAIN with these words, unless a daemon that can't live is the reason. */
int32_t local_wait_more(struct mag_local_run *r, uint32_t percent, const char *what);
/* local_api.c: GET /api/v1/nodes; sets list and the entries. */
int32_t local_list(struct mag_local_run *r);
bool local_is_ready(const struct mag_local_run *r, size_t at);
/* Labels and taints of its nodegroup; opened again when an upgrade of ours shut it. MAG_AGAIN: it
 * changed meanwhile. The entry is there. */
int32_t local_set_node(struct mag_local_run *r, size_t at);
/* local_leave.c: cordon and drain one node; MAG_OK: empty, or time is up. */
int32_t local_drain(struct mag_local_run *r, size_t at);

#endif
