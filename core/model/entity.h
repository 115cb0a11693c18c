/* The rows of the service as C structs, generated from the field lists in *.def: one list gives
 * the struct, its cleanup and (in db/) its columns. F(KIND, name), KIND one of
 *   STR  char *, owned, NULL = SQL NULL        INT  int64_t, MODEL_UNSET = NULL
 *   BOOL bool (NULL reads as false)            TIME int64_t microseconds UTC, TIME_UNSET = NULL
 *   JSON json_t *, owned, NULL = SQL NULL
 * Below the columns each struct has derived members, filled by the queries that say so.
 * Neighbours: db fills and stores them, api prints them, conductor works on them. */
#ifndef MAGNUM_MODEL_ENTITY_H
#define MAGNUM_MODEL_ENTITY_H

#include "base/cleanup.h"
#include "base/clock.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_UNSET INT64_MIN

#define MODEL_FIELD_STR(name) char *name;
#define MODEL_FIELD_INT(name) int64_t name;
#define MODEL_FIELD_BOOL(name) bool name;
#define MODEL_FIELD_TIME(name) int64_t name;
#define MODEL_FIELD_JSON(name) json_t *name;

#define F(kind, name) MODEL_FIELD_##kind(name)
struct cluster {
#include "model/cluster.def"
    /* derived: sums and concatenations over the nodegroups, and the template's labels */
    int64_t node_count, master_count;          /* data-model.md: role != master, role == master */
    json_t *node_addresses, *master_addresses; /* owned */
    json_t *template_labels;                   /* owned */
    json_t *faults; /* owned: {nodegroup: status_reason} of failed ones */
};
struct template {
/* cluster_template */
#include "model/template.def"
};
struct nodegroup {
#include "model/nodegroup.def"
    json_t *cluster_labels; /* derived, owned: labels of its cluster */
};
struct operation {
#include "model/operation.def"
};
struct operation_event {
#include "model/operation_event.def"
};
struct ledger_entry {
#include "model/ledger.def"
};
struct mservice { /* magnum_service */
#include "model/mservice.def"
};
struct x509keypair {
#include "model/x509keypair.def"
};
struct certificate { /* one bundle in some store */
#include "model/certificate.def"
};
struct quota {
#include "model/quota.def"
};
struct federation {
#include "model/federation.def"
};
struct coe_object { /* a pod, service, replication controller or container of the first Magnum */
#include "model/coe_object.def"
};
struct node { /* of the first Magnum: a record only */
#include "model/node.def"
};
struct driver_row { /* one driver as published by one or more conductors, with its enablement */
#include "model/driver.def"
};
#undef F

/* For each: _init sets every member to "unset", _done frees the content (NULL and twice are fine)
 * and leaves it initialised; <name>s is a list of owned elements. */
#define MODEL_DECLARE(type)                                                                        \
    void type##_init(struct type *p);                                                              \
    void type##_done(struct type *p);                                                              \
    struct type##_list {                                                                           \
        struct type *v;                                                                            \
        size_t n;                                                                                  \
    };                                                                                             \
    struct type *type##_list_add(struct type##_list *l); /* initialised slot; NULL = no memory */  \
    void type##_list_done(struct type##_list *l);
MODEL_DECLARE(cluster)
MODEL_DECLARE(template)
MODEL_DECLARE(nodegroup)
MODEL_DECLARE(operation)
MODEL_DECLARE(operation_event)
MODEL_DECLARE(ledger_entry)
MODEL_DECLARE(mservice)
MODEL_DECLARE(x509keypair)
MODEL_DECLARE(certificate)
MODEL_DECLARE(quota)
MODEL_DECLARE(federation)
MODEL_DECLARE(coe_object)
MODEL_DECLARE(node)
MODEL_DECLARE(driver_row)

/* Writes every column of the struct into a fresh JSON object under its column name (TIME as ISO
 * text, unset as null); derived members are left out. Used for op specs, rpc and dumps, not for
 * the REST views. Caller owns; NULL = no memory. */
json_t *cluster_json(const struct cluster *c);
json_t *template_json(const struct template *t);
json_t *nodegroup_json(const struct nodegroup *n);
json_t *operation_json(const struct operation *o);
json_t *operation_event_json(const struct operation_event *ev);

#endif
