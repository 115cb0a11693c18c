/* The objects of the first Magnum: what their files share. Pods, services, replication controllers
 * and containers are rows about something in a cluster, which a conductor makes, changes and asks
 * for; nodes are rows alone. Facts in the order of Magnum 1.1.0.
 * Neighbours: legacy_objects.c, legacy_containers.c, legacy_nodes.c, legacy_tables.c. */
#ifndef MAGNUM_API_LEGACY_H
#define MAGNUM_API_LEGACY_H

#include "api/api_internal.h"
#include "db/db_objects.h"

struct legacy_kind {
    const char *collection, *kind; /* "pods", "pod" */
    const char *expecting;         /* the COE its clusters have, for messages */
};
/* Of the route in work. */
const struct legacy_kind *legacy_kind_of(const struct api_call *c);
/* "pod:get" into a buffer. */
enum { LEGACY_RULE = 48 };
const char *legacy_rule(const struct legacy_kind *k, const char *verb, char buf[LEGACY_RULE]);
/* The row of the path, in the caller's scope and with the right to it. */
int legacy_get(struct api_call *c, const struct legacy_kind *k, const char *verb,
               struct coe_object *o, struct err *e) MUST_CHECK;
/* Asks a conductor; once: what must not be done twice. params is taken. */
int legacy_call(struct api_call *c, const char *method, json_t *params, bool once, json_t **ret,
                struct err *e) MUST_CHECK;
/* A new object in a cluster of this kind: the cluster is looked up and checked, the row made by the
 * conductor and answered with 201. more: further parameters, taken. */
int legacy_create(struct api_call *c, const struct legacy_kind *k, json_t *more,
                  struct err *e) MUST_CHECK;
/* Answers 200 with the row as it is stored now. */
int legacy_answer(struct api_call *c, const struct legacy_kind *k, const char *uuid,
                  struct err *e) MUST_CHECK;
/* 201 and Location for what is in the body already. */
int legacy_created(struct api_call *c, const char *collection, const char *uuid,
                   struct err *e) MUST_CHECK;

/* Handlers; those of objects serve all four kinds. */
#define HANDLER(name) int name(struct api_call *c, struct err *e)
HANDLER(api_object_list);
HANDLER(api_object_detail);
HANDLER(api_object_show);
HANDLER(api_object_create);
HANDLER(api_object_patch);
HANDLER(api_object_delete);
HANDLER(api_container_create);
HANDLER(api_container_patch);
HANDLER(api_container_act); /* start, stop, reboot, pause, unpause */
HANDLER(api_container_logs);
HANDLER(api_container_execute);
HANDLER(api_node_list);
HANDLER(api_node_detail);
HANDLER(api_node_show);
HANDLER(api_node_create);
HANDLER(api_node_patch);
HANDLER(api_node_delete);
#undef HANDLER

extern const struct attr_table attrs_pod, attrs_service, attrs_rc, attrs_container, attrs_node;
extern const struct patch_rules patch_pod, patch_service, patch_rc, patch_container, patch_node;

#endif
