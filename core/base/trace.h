/* Trace context (W3C Trace Context) and spans: which request a piece of work belongs to, through
 * every process it passes. Each thread has at most one current context; log lines carry its trace
 * id, outgoing calls name it in their traceparent header.
 *
 * A span is a timed part of a trace. It lives on the stack of who does the work, is made current
 * for what that calls, and is handed to the sink (http/otlp.h) when it ends; without a sink, or
 * when its trace is not sampled, only its ids are made. Neighbours: api makes the first span of a
 * request, rpc carries it to the conductor, http/client to everybody else. */
#ifndef MAGNUM_BASE_TRACE_H
#define MAGNUM_BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRACE_ID_TEXT = 33,   /* 32 hex digits */
    TRACE_SPAN_TEXT = 17, /* 16 hex digits */
    TRACE_PARENT_TEXT = 56,
    TRACE_STATE_MAX = 512,   /* of a longer tracestate members are left out */
    TRACE_STATE_READ = 8192, /* a still longer one is dropped whole */
    TRACE_ATTRS = 16,
    TRACE_TEXT_MAX = 1024, /* of an attribute or a span's name; the rest is cut off */
    TRACE_MILLION = 1000000
};

struct trace_context {
    char trace_id[TRACE_ID_TEXT], span_id[TRACE_SPAN_TEXT];
    bool sampled;
    const char *state; /* tracestate, borrowed; NULL = none */
};

/* Reads the headers traceparent and tracestate. False when traceparent is absent or invalid: then
 * the caller begins a new trace. An invalid tracestate alone is dropped. *ret borrows `state`. */
bool trace_parse(const char *parent, const char *state, struct trace_context *ret);
/* Shortens a valid tracestate in place to TRACE_STATE_MAX, as the specification wants it: by whole
 * members, first those over 128 characters, then from the end. False: nothing is left. */
bool trace_state_limit(char *state);
/* This thread's context as one text to be stored: the traceparent and, behind a blank, the
 * tracestate. Caller frees; NULL: there is none, or (*ret_oom) no memory. */
char *trace_store(bool *ret_oom);
/* The reverse, also of a traceparent alone. False: it is none. *ret borrows the text. */
bool trace_restore(const char *text, struct trace_context *ret);
/* The header's value, version 00. */
void trace_parent_text(const struct trace_context *c, char ret[TRACE_PARENT_TEXT]);
/* This thread's, or NULL. */
const struct trace_context *trace_current(void);
/* Its header's value, in buf; NULL when there is none. */
const char *trace_text(char buf[TRACE_PARENT_TEXT]);

enum trace_kind { TRACE_INTERNAL = 1, TRACE_SERVER, TRACE_CLIENT, TRACE_PRODUCER, TRACE_CONSUMER };

struct trace_attr {
    const char *key; /* static */
    char *text;      /* owned; NULL: it is a number */
    int64_t number;
};
struct trace_span {
    struct trace_context ctx;
    char parent[TRACE_SPAN_TEXT]; /* "" = first of its trace */
    enum trace_kind kind;
    bool recording; /* it will be handed to the sink */
    bool entered, failed;
    char *name, *problem; /* owned */
    int64_t begin_us;     /* wall */
    int64_t mono_us, took_us;
    struct trace_attr attrs[TRACE_ATTRS];
    size_t n_attrs;
    const struct trace_context *before; /* what was current */
};

/* Begins a span below `parent`; NULL: the first one of a new trace. Not current yet. */
void trace_span_begin(struct trace_span *s, const struct trace_context *parent,
                      enum trace_kind kind);
/* Makes it this thread's current one until it ends. Spans of a thread end in reverse order. */
void trace_span_enter(struct trace_span *s);
/* The following do nothing for a span that is not recorded. A text that is NULL is no attribute. */
void trace_span_name(struct trace_span *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void trace_span_text(struct trace_span *s, const char *key, const char *text);
void trace_span_number(struct trace_span *s, const char *key, int64_t number);
/* It ended with an error; text may be NULL. */
void trace_span_fail(struct trace_span *s, const char *text);
/* Ends it; a second time does nothing. */
void trace_span_end(struct trace_span *s);
/* Ends it unrecorded: nothing worth a span happened. */
void trace_span_drop(struct trace_span *s);

/* Takes what a span owns (leaves it empty). Called on the thread that ended the span: must neither
 * wait nor fail. */
typedef void (*trace_sink)(void *ctx, struct trace_span *s);
/* From now on ended spans of sampled traces go there; of new traces so many in a million are
 * sampled. sink NULL: nothing is recorded. Set before threads that make spans begin, unset after
 * they have ended. */
void trace_sink_set(trace_sink sink, void *ctx, int64_t per_million);
void trace_span_free(struct trace_span *s); /* what it owns */

#endif
