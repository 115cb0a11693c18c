/* Rows to JSON text, in the field order of api.md. Each writes one object. Neighbours: resources
 * call them; jw writes. */
#ifndef MAGNUM_API_VIEWS_H
#define MAGNUM_API_VIEWS_H

#include "api/api_internal.h"
#include "model/cluster_shown.h"

enum view { VIEW_SUMMARY, VIEW_FULL, VIEW_SHOW };
/* VIEW_SHOW is VIEW_FULL with `faults` where the status is a failed one. */
void view_cluster(const struct api_call *c, const struct cluster_shown *cl, enum view v);
void view_bay(const struct api_call *c, const struct cluster_shown *cl, enum view v);
/* no_labels: text for labels that are not set ("{}", or "null" as 15.0.1 answers a create). */
void view_template(const struct api_call *c, const struct template *t, const char *no_labels);
/* cluster: its uuid, for the links. made: the answer of a create, which leaves unset values out. */
void view_nodegroup(const struct api_call *c, const struct nodegroup *n, enum view v, bool made);
void view_operation(const struct api_call *c, const struct operation *o);
void view_operation_event(const struct api_call *c, const struct operation_event *ev);
void view_federation(const struct api_call *c, const struct federation *f, enum view v);
void view_quota(const struct api_call *c, const struct quota *q);
void view_mservice(const struct api_call *c, const struct mservice *m, int64_t now_us);
/* detail: with manifest and label schema. */
void view_driver(const struct api_call *c, const struct driver_row *d, bool detail);

#endif
