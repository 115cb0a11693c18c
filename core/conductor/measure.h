/* What a conductor counts and measures of its work, and of the whole deployment in the database,
 * for base/metrics.h. Neighbours: conductor.c, runner.c, broker.c. */
#ifndef MAGNUM_CONDUCTOR_MEASURE_H
#define MAGNUM_CONDUCTOR_MEASURE_H

#include "conductor/conductor_internal.h"

int measure_start(struct conductor *c, struct err *e) MUST_CHECK;
void measure_stop(struct conductor *c); /* before anything goes away; also when it never started */
/* Thread body: counts in the database now and then. */
void *measure_thread(void *conductor);
/* After a core stage or a driver's step, which took `us`; r->ev says how it went. */
void measure_step(const struct run *r, const struct engine_action *a, int64_t us);
/* After the end of an operation was stored. */
void measure_end(const struct run *r);
/* After an HTTP request to a backend, or one that was not let out (refused). */
void measure_backend(const char *service, bool refused, int rc, int status, int64_t us);

#endif
