/* What a health look found, as Magnum's clients know it: "<node>.Ready" and "api" with their
 * reasons, HEALTHY, UNHEALTHY or UNKNOWN of the whole, and the nodes that may be replaced. For all
 * drivers. Neighbours: json, services; plugins. */
#ifndef MAGNUM_SDK_LIB_VERDICT_H
#define MAGNUM_SDK_LIB_VERDICT_H

#include "lib/json.h"

struct mag_verdict {
    bool bad;     /* something is known to be wrong: UNHEALTHY, whatever else is not known */
    bool unknown; /* something could not be learned: UNKNOWN, if nothing is bad */
    json_t *reasons, *sick; /* owned */
};
/* Without memory for it the reasons stay empty; the verdict counts all the same. */
struct mag_verdict mag_verdict_new(void);
void mag_verdict_done(struct mag_verdict *v);
/* "<node>.Ready": text, cut to one line. */
void mag_verdict_node(struct mag_verdict *v, const char *node, const char *text);
/* The same for a node that is not well, which makes the whole bad. group: the uuid of the nodegroup
 * it may be replaced in, NULL: it must not be. text: "False: why" or "Unknown: why". */
void mag_verdict_sick(struct mag_verdict *v, const char *node, const char *group, const char *text);
/* "api": text. */
void mag_verdict_api(struct mag_verdict *v, const char *text);
/* Publishes health_status and health_status_reason; whole: the look could tell of every node, so
 * that unhealthy_nodes is published too (host.h). */
int32_t mag_verdict_publish(const struct mag_verdict *v, const mag_host *host, const mag_op *op,
                            bool whole, mag_error *err);

#endif
