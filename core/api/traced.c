/* See traced.h. */
#include "api/traced.h"

#include "api/api_internal.h"

void traced_begin(struct traced *t, const struct api_call *c)
{
    struct trace_context from;
    t->parent = t->state = (struct str)STR_INIT;
    http_request_header_all(c->rq, "traceparent", &t->parent);
    if (t->parent.len)
        http_request_header_all(c->rq, "tracestate", &t->state);
    bool known = !t->parent.oom && trace_parse(str_text(&t->parent), str_text(&t->state), &from);
    if (known && from.state && !trace_state_limit(t->state.s))
        from.state = NULL;
    trace_span_begin(&t->span, known ? &from : NULL, TRACE_SERVER);
    trace_span_enter(&t->span);
}

void traced_end(struct traced *t, const struct api_call *c)
{
    struct trace_span *s = &t->span;
    if (http_request_parked(c->rq)) { /* it will be asked again */
        trace_span_drop(s);
    } else if (s->recording) {
        const char *method = c->rq->method;
        _cleanup_free_ char *route = c->route ? str_fmt("/v1/%s", c->route->pattern) : NULL;
        trace_span_name(s, "%s%s%s", method, route ? " " : "", route ? route : "");
        trace_span_text(s, "http.request.method", method);
        trace_span_text(s, "url.scheme", "http");
        trace_span_text(s, "url.path", c->rq->raw_path);
        trace_span_text(s, "http.route", route);
        trace_span_number(s, "http.response.status_code", c->rp->status);
        trace_span_text(s, "user_agent.original", http_request_header(c->rq, "User-Agent"));
        trace_span_text(s, "magnum.request_id", c->who.request_id);
        trace_span_text(s, "magnum.project_id", c->who.project_id);
        if (c->rp->status >= 500) { /* a client's mistake is no error of the server */
            char code[16];
            snprintf(code, sizeof code, "%d", c->rp->status);
            trace_span_text(s, "error.type", code);
            trace_span_fail(s, NULL);
        }
    }
    trace_span_end(s);
    str_free(&t->parent);
    str_free(&t->state);
}
