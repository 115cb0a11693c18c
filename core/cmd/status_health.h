/* What `magnum-status health` looks at beyond the services' rows: how the whole deployment is at
 * this moment. Each finding has a result and a line that says what was found.
 * Neighbours: magnum-status.c prints; status_checks.h asks the API. */
#ifndef MAGNUM_CMD_STATUS_HEALTH_H
#define MAGNUM_CMD_STATUS_HEALTH_H

#include "base/err.h"
#include "cmd/status_checks.h"
#include "model/entity.h"

struct finding {
    const char *name; /* static */
    enum check_result result;
    char *details; /* owned */
};
struct health {
    struct finding v[64];
    size_t n;
    struct mservice_list services; /* as check_services leaves them */
};
/* endpoint: of the API, NULL = this host's. Never fails: what can't be found out is a finding. */
void health_look(const struct config *cfg, const char *endpoint, struct health *ret);
void health_done(struct health *h);
enum check_result health_worst(const struct health *h);

#endif
