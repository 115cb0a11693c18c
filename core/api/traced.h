/* The span of one request, with OpenTelemetry's names for what an HTTP server knows about it. Its
 * context is what the operation row, the conductor and the backends hear of.
 * Neighbours: api.c begins and ends it. */
#ifndef MAGNUM_API_TRACED_H
#define MAGNUM_API_TRACED_H

#include "base/str.h"
#include "base/trace.h"

struct api_call;

struct traced {
    struct trace_span span;
    struct str parent, state; /* the headers; what comes in several fields is joined */
};
/* The client's trace goes on when it sent a valid traceparent; else a new one begins. */
void traced_begin(struct traced *t, const struct api_call *c);
void traced_end(struct traced *t, const struct api_call *c);

#endif
