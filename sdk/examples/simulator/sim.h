/* The simulator: a COE driver whose cluster is a directory and whose nodes are files in it, so that
 * tests can kill anything and count afterwards. Labels (see simulator.labels.schema.json) make it
 * slow, fail, crash, hang, leak and lie.
 *
 *   <state_dir>/mag-<cluster id>/mag-<nodegroup id>-<index>.json    one file per node
 *   <state_dir>/mag-<cluster id>/workload.json                      the objects in it
 *   <state_dir>/mag-<cluster id>/faults.json                        how often it misbehaved so far
 *
 * state_dir is driver_config: org.magnum.simulator: state_dir. */
#ifndef MAGNUM_SIMULATOR_SIM_H
#define MAGNUM_SIMULATOR_SIM_H

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/json.h"
#include "lib/labels.h"
#include "lib/names.h"
#include "lib/services.h"

#include <magnum/lifecycle.h>

#include <stdbool.h>

#ifndef SIM_VERSION /* tests build others */
#define SIM_VERSION "1.0.0"
#endif
#define SIM_NODE_KIND "node" /* in the ledger */
enum { SIM_PATH = 4096, SIM_MAX_NODES = 10000 };

struct sim {
    struct mag_services services;
    const char *state_dir; /* the host's; NULL = not configured */
    char *answer;          /* the last document returned; owned */
};

/* ---- faults.c: what the labels ask for ---- */
struct sim_faults {
    char kind[16]; /* the operation they are for, or "any" */
    int64_t fail_at, fail_times, crash_at, crash_times, hang_at, hang_times;
    char fail_code[16];
    int64_t leak_mb;
};
struct sim_labels {
    int64_t steps, step_ms;
    int64_t leave; /* nodes a delete leaves behind without a word */
    bool lie;
    char health[16], validate_fail[256];
    struct sim_faults faults;
};
/* strict: a malformed label is MAG_E_INVALID; otherwise it is as if absent (a delete must work
 * whatever the labels say). */
int32_t sim_labels_read(const json_t *spec, bool strict, struct sim_labels *ret, mag_error *err);
/* Misbehaves if it is time to. kind: "create", "delete", ... */
int32_t sim_faults_apply(const struct sim_faults *f, const char *dir, const char *kind,
                         int64_t step, mag_error *err);

/* ---- nodes.c: the pretended resources ---- */
struct sim_node {
    char name[MAG_NAME_MAX], group[64], address[32];
    int64_t index;
    json_t *doc; /* the file's content; owned */
};
struct sim_nodes {
    struct sim_node *v;
    size_t n;
};
void sim_nodes_done(struct sim_nodes *l);
/* The cluster's directory; false when the id is not fit for a file name. */
bool sim_cluster_dir(const struct sim *s, const char *cluster_id, char ret[SIM_PATH]);
/* All nodes there are, ordered by group and index; no directory is no nodes. */
int32_t sim_nodes_list(const char *dir, struct sim_nodes *ret, mag_error *err);
/* Name and address of a node: functions of the ids. group is cut to what a node's holds. */
void sim_node_name(struct sim_node *n, const char *cluster_id, const char *group, int64_t index);
/* Writes the node's file (n->doc), old or new but never half. */
int32_t sim_node_write(const char *dir, const struct sim_node *n, mag_error *err);
/* Removes it; absent is fine. */
int32_t sim_node_remove(const char *dir, const char *name, mag_error *err);
/* Removes the directory and what may be left of unfinished writes. */
int32_t sim_dir_remove(const char *dir, mag_error *err);
int32_t sim_write_file(const char *dir, const char *name, const json_t *doc, mag_error *err);
/* NULL when it is absent or unreadable; owned. */
json_t *sim_read_file(const char *dir, const char *name);

/* ---- converge.c: from what is there to what is wanted ---- */
struct sim_change {
    enum sim_what { SIM_REMOVE, SIM_MAKE, SIM_CHANGE } what;
    struct sim_node node; /* doc: the content wanted; owned */
};
struct sim_changes {
    struct sim_change *v;
    size_t n;
};
void sim_changes_done(struct sim_changes *c);
/* Which mark every node shall carry besides what the spec says (upgrade, rotation); key NULL =
 * none.
 */
struct sim_mark {
    const char *key, *value;
};
/* spec NULL: nothing is wanted. Removals come first. */
int32_t sim_diff(const struct sim_nodes *have, const char *cluster_id, const json_t *spec,
                 struct sim_mark mark, struct sim_changes *ret, mag_error *err);
/* Carries out one change: declared in the ledger before, confirmed or dropped after. */
int32_t sim_change_apply(const struct sim *s, const mag_op *op, const char *dir,
                         const struct sim_change *c, mag_error *err);
/* The version the spec asks for; borrowed. */
const char *sim_version(const json_t *spec, const json_t *group);
/* Publishes the ids by which clients know that something is being made. */
int32_t sim_publish_stacks(const struct sim *s, const mag_op *op, const json_t *spec,
                           mag_error *err);
/* Publishes addresses, counts, version. */
int32_t sim_publish(const struct sim *s, const mag_op *op, const char *dir, const json_t *spec,
                    mag_error *err);

/* ---- rotate.c ---- */
/* Notes whom the cluster trusts from now on. */
int32_t sim_note_trust(const struct sim *s, const mag_op *op, const char *phase, mag_error *err);

/* ---- the interfaces ---- */
int32_t sim_need_state_dir(const struct sim *s, mag_error *err);
extern const struct mag_lifecycle sim_lifecycle;     /* steps.c */
const void *sim_step_interface(const char *id);      /* steps.c: nodegroups, upgrade, rotate */
const void *sim_query_interface(const char *id);     /* queries.c: credentials, stats, plan */
const void *sim_inventory_interface(const char *id); /* inventory.c */
int32_t sim_upgrade_plan(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err);
/* A document to return: kept in the instance until the next one. */
int32_t sim_return(void *self, json_t *doc, mag_bytes *ret_json, mag_error *err);

/* ---- workload.c: objects in a cluster ---- */
const void *sim_workload_interface(const char *id);

#endif
