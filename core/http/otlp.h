/* Sends ended spans to an OpenTelemetry collector: OTLP over HTTP as JSON, in batches, from a
 * thread of its own. Whoever ends a span only puts it into a bounded queue: when the collector is
 * slow or away and the queue is full, spans are dropped and counted, nobody waits.
 * Neighbours: base/trace.h makes the spans; cmd/service.c starts this when trace.otlp_endpoint is
 * set. */
#ifndef MAGNUM_HTTP_OTLP_H
#define MAGNUM_HTTP_OTLP_H

#include "base/err.h"
#include "base/str.h"
#include "base/trace.h"

struct config;
struct otlp;

/* Where the spans come from: service.name and its companions. Borrowed. */
struct otlp_source {
    const char *service, *version, *host, *instance;
};
/* Sets the sink of base/trace.h. Options trace.*; *ret NULL without an endpoint. program: the
 * service.name unless trace.service_name says another. ERR_CONFIG. */
int otlp_start(const struct config *cfg, const char *program, struct otlp **ret,
               struct err *e) MUST_CHECK;
/* Sends what is queued, once and not longer than trace.timeout_ms, unless the collector was away
 * at the last try. */
void otlp_stop(struct otlp **o);

/* What trace.cafile holds now, in two steps: read (ERR_CONFIG), then used from the next batch on. o
 * NULL: there is none, and *ret is NULL. */
struct http_tls;
int otlp_read_again(struct otlp *o, const struct config *fresh, struct http_tls **ret,
                    struct err *e) MUST_CHECK;
void otlp_take(struct otlp *o, struct http_tls **fresh);

struct otlp_counts {
    uint64_t sent, dropped; /* spans: taken by the collector; lost for whatever reason */
};
void otlp_count(struct otlp *o, struct otlp_counts *ret);

/* The body of one request: an ExportTraceServiceRequest. to->oom when memory is gone. */
void otlp_write(struct str *to, const struct otlp_source *from, const struct trace_span *const *v,
                size_t n);

#endif
