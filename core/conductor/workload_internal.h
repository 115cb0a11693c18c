/* Objects in clusters (pods, services, replication controllers, containers): what the files of this
 * part share. workload.c: the methods the API calls; workload_facts.c: what a cluster says about an
 * object, as a row; manifest.c: a text or a URL to a document.
 * Neighbours: rpc_methods.c, db_objects, the drivers' mag.coe.workload/1. */
#ifndef MAGNUM_CONDUCTOR_WORKLOAD_INTERNAL_H
#define MAGNUM_CONDUCTOR_WORKLOAD_INTERNAL_H

#include "conductor/conductor_internal.h"
#include "db/db_objects.h"

/* The label by which objects in a cluster are known as ours: its value is the row's uuid. */
#define WORKLOAD_LABEL "magnum.openstack.org/uuid"

/* ---- workload.c ---- */
int workload_create(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                    struct err *e) MUST_CHECK;
int workload_update(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                    struct err *e) MUST_CHECK;
int workload_delete(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                    struct err *e) MUST_CHECK;
int workload_action(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                    struct err *e) MUST_CHECK;
int workload_refresh(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                     struct err *e) MUST_CHECK;

/* ---- manifest.c ---- */
/* Of params: "manifest", else what "manifest_url" names. ERR_INVALID with Magnum's texts. Caller
 * owns *ret, a JSON object. */
int manifest_read(struct conductor *c, const json_t *params, json_t **ret,
                  struct err *e) MUST_CHECK;

/* ---- workload_facts.c ---- */
/* Checks what Magnum wants of a manifest, gives it our label, and fills name, target, labels,
 * images and the like. ERR_INVALID. */
int facts_of_manifest(struct coe_object *o, json_t *manifest, struct err *e) MUST_CHECK;
/* The document of a container from the parameters of its creation. ERR_INVALID. */
int facts_of_container(struct coe_object *o, const json_t *params, json_t **ret,
                       struct err *e) MUST_CHECK;
/* Takes over what the driver says; *changed: the row differs from before. */
int facts_take(struct coe_object *o, const json_t *doc, bool *changed, struct err *e) MUST_CHECK;
/* The cluster does not know the object. */
int facts_missing(struct coe_object *o, const char *why, bool *changed, struct err *e) MUST_CHECK;
/* Is this document the object of that row? */
bool facts_are_of(const struct coe_object *o, const json_t *doc);
/* The uuid of the row that a document belongs to; NULL = none of ours. */
const char *facts_owner(const char *kind, const json_t *doc);

#endif
