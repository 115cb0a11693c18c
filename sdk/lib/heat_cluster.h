/* A cluster's stacks in Heat: one of its own, and one for each nodegroup that a driver gives one.
 * Names are derived from ids, so what an earlier attempt made is found and adopted; which stacks an
 * operation has asked Heat for already is kept in the driver's state, in a member of its own.
 * Knows nothing of any COE: templates and parameters are the driver's.
 * Neighbours: heat (one stack), services (ledger, outputs), drivers. */
#ifndef MAGNUM_SDK_LIB_HEAT_CLUSTER_H
#define MAGNUM_SDK_LIB_HEAT_CLUSTER_H

#include "lib/heat.h"
#include "lib/names.h"

struct mag_heat_set { /* one driver call; _open and _done */
    struct mag_heat heat;
    const struct mag_services *services;
    const mag_op *op;
    json_t *state; /* the driver's blob, owned: add members of your own; "heat" and "v" are not */
};
/* Reads op->state. timeout_ms: per exchange with Heat, 0 = the budget. */
int32_t mag_heat_set_open(struct mag_heat_set *s, const struct mag_services *services,
                          const mag_op *op, uint32_t timeout_ms, mag_error *err);
void mag_heat_set_done(struct mag_heat_set *s);
/* Stores `state`, after a driver changed its own members. */
int32_t mag_heat_set_save(struct mag_heat_set *s, mag_error *err);

/* The stack's name; nodegroup: its uuid, or NULL for the cluster's own. */
void mag_heat_set_name(const struct mag_heat_set *s, const char *nodegroup, char ret[MAG_NAME_MAX]);

/* One step towards `want` (its name is filled in here). MAG_OK: COMPLETE, *ret with outputs, and
 * the stack's id is published for the cluster or the nodegroup. Else as mag_heat_converge. */
int32_t mag_heat_set_converge(struct mag_heat_set *s, const char *nodegroup,
                              const struct mag_heat_want *want, struct mag_heat_stack *ret,
                              mag_step *out, mag_error *err);
/* What is there, with outputs, and nothing is changed. MAG_E_PRECONDITION when it is gone. */
int32_t mag_heat_set_show(struct mag_heat_set *s, const char *nodegroup, struct mag_heat_stack *ret,
                          mag_error *err);

/* The same, but a stack that is not there is MAG_OK with id "". */
int32_t mag_heat_set_look(struct mag_heat_set *s, const char *nodegroup, struct mag_heat_stack *ret,
                          mag_error *err);
/* Has this operation asked Heat for that stack already? */
bool mag_heat_set_begun(const struct mag_heat_set *s, const char *nodegroup);

/* One step towards no stack of that nodegroup. */
int32_t mag_heat_set_remove_group(struct mag_heat_set *s, const char *nodegroup, mag_step *out,
                                  mag_error *err);
/* One step towards no stack at all: those of nodegroups first (of the ledger, and of `groups`, the
 * spec's list, which may be NULL), the cluster's own last, since the others stand in its network.
 */
int32_t mag_heat_set_remove_all(struct mag_heat_set *s, const json_t *groups, mag_step *out,
                                mag_error *err);

/* {name: {"id", "action", "status", "reason"}} of all stacks of the operation's project, from one
 * list; asked anew when the last one is older than age_ms (of this process and project). Borrowed,
 * until the next call. */
struct mag_heat_cache { /* zeroed at first; one per instance */
    struct mag_heat_cached *v;
    size_t n;
};
int32_t mag_heat_cache_list(struct mag_heat_cache *c, const struct mag_heat *h, int64_t age_ms,
                            const json_t **ret, mag_error *err);
void mag_heat_cache_done(struct mag_heat_cache *c);

/* ---- templates ---- */

/* The files of a driver as Heat takes them: {name: text} of every *.yaml of the driver's directory
 * (option template_dir, else heat/<coe> of the installed data) and of heat/shared there, which all
 * drivers share; one of the driver's goes before a shared one of the same name. Read anew each
 * time, so that an operator's change counts at once. <main> is handed out as the template and is no
 * member of *ret_files. The caller decrefs *ret_files and frees *ret_main. */
int32_t mag_heat_templates(const mag_host *host, const char *coe, const char *main,
                           json_t **ret_files, char **ret_main, mag_error *err);

/* An output that is a list of texts, of a nodegroup: published as its node_addresses and
 * node_count. addresses: borrowed; what is no text, or empty, is left out. */
int32_t mag_heat_publish_nodes(struct mag_heat_set *s, const char *nodegroup,
                               const json_t *addresses, int64_t count, mag_error *err);

#endif
