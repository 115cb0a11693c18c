/* What a request carries besides its parameters: the ids by which the caller's log and trace know
 * it. See rpc_internal.h. */
#include "base/jsonx.h"
#include "base/log.h"
#include "base/str.h"
#include "rpc/rpc_internal.h"

#include <string.h>

static const char member[] = "_trace";

char *rpc_trace_member(void)
{
    const struct trace_context *t = trace_current();
    const char *request = log_context_get()->request;
    char parent[TRACE_PARENT_TEXT];
    if (!t && !request)
        return strdup("");
    _cleanup_json_ json_t *o = json_object();
    int rc = jsonx_set_str(o, "request", request);
    if (rc == 0)
        rc = jsonx_set_str(o, "parent", trace_text(parent));
    if (rc == 0)
        rc = jsonx_set_str(o, "state", t ? t->state : NULL);
    _cleanup_free_ char *text = rc == 0 ? jsonx_text(o) : NULL;
    return text ? str_fmt("\"%s\":%s", member, text) : NULL;
}

static void log_of(const json_t *ids, const json_t *params)
{
    const struct log_context context = {.request = jsonx_str(ids, "request"),
                                        .cluster = jsonx_str(params, "cluster"),
                                        .operation = jsonx_str(params, "operation")};
    log_context_set(&context);
}

void rpc_trace_begin(json_t *params, const char *method, bool notify, struct trace_span *span,
                     json_t **ret_ids)
{
    struct trace_context from;
    const json_t *ids = *ret_ids = json_incref(json_object_get(params, member));
    log_of(ids, params);
    const char *state = jsonx_str(ids, "state");
    if (state && strlen(state) > TRACE_STATE_MAX) /* ours are never that long */
        state = NULL;
    bool known = trace_parse(jsonx_str(ids, "parent"), state, &from);
    if (known) {
        trace_span_begin(span, &from, notify ? TRACE_CONSUMER : TRACE_SERVER);
        trace_span_enter(span);
        trace_span_name(span, "magnum.conductor/%s", method);
        trace_span_text(span, "rpc.system", "zeromq");
        trace_span_text(span, "rpc.service", "magnum.conductor");
        trace_span_text(span, "rpc.method", method);
    } else {
        *span = (struct trace_span){.kind = TRACE_SERVER};
    }
    (void)json_object_del(params, member); /* not there is fine */
}
