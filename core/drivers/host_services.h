/* The core's end of the host services: one UPCALL body becomes one call of struct coe_services, its
 * outcome one UPREPLY body. What a driver asks for is judged here: sizes, JSON, manifest rights.
 * Neighbours: conversation.c; the other end is sdk/host/upcalls.c. */
#ifndef MAGNUM_DRIVERS_HOST_SERVICES_H
#define MAGNUM_DRIVERS_HOST_SERVICES_H

#include "config/config.h"
#include "drivers/child_log.h"
#include "drivers/front_coe.h"

struct service_call {
    const struct config *cfg;
    const struct plugin *plugin;
    const struct coe_call *call;
    struct child_log *log;
    struct coe_result *result; /* checkpointed */
    int64_t left_ms;           /* of the budget */
    bool cancelled;            /* the pool stops, or the budget is over */
    bool fenced;               /* in, out: nothing is carried out any more */
};
/* The reply, owned by the caller; NULL when the request is no upcall at all (the host is broken) or
 * memory is gone. */
json_t *services_answer(struct service_call *s, const json_t *body);

#endif
