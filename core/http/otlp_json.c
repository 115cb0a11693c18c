/* Spans as OTLP's JSON: ids in hex, times as decimal strings of nanoseconds, 64-bit numbers as
 * strings, as the protocol's mapping wants them. See otlp.h. */
#include "http/otlp.h"

#include <inttypes.h>
#include <string.h>

enum { STATUS_ERROR = 2, NANOS_PER_US = 1000 };

/* Texts come from outside: what is no UTF-8 may not spoil the whole batch. */
static void quoted(struct str *to, const char *text)
{
    json_t *j = json_string(text);
    char *s = json_dumps(j, JSON_ENCODE_ANY);
    json_decref(j);
    if (!s) {
        str_append_c(to, '"');
        for (const char *p = text; *p; p++)
            str_append_c(to, (*p >= 0x20 && *p < 0x7F && *p != '"' && *p != '\\') ? *p : '?');
        str_append_c(to, '"');
        return;
    }
    str_append(to, s);
    free(s);
}

static void text_attr(struct str *to, bool first, const char *key, const char *value)
{
    str_printf(to, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":", first ? "" : ",", key);
    quoted(to, value);
    str_append(to, "}}");
}

static void attributes(struct str *to, const struct trace_span *s)
{
    str_append(to, "\"attributes\":[");
    for (size_t i = 0; i < s->n_attrs; i++) {
        const struct trace_attr *a = &s->attrs[i];
        if (a->text)
            text_attr(to, i == 0, a->key, a->text);
        else
            str_printf(to, "%s{\"key\":\"%s\",\"value\":{\"intValue\":\"%" PRId64 "\"}}",
                       i ? "," : "", a->key, a->number);
    }
    str_append_c(to, ']');
}

static void span(struct str *to, const struct trace_span *s)
{
    str_printf(to, "{\"traceId\":\"%s\",\"spanId\":\"%s\",", s->ctx.trace_id, s->ctx.span_id);
    if (s->parent[0])
        str_printf(to, "\"parentSpanId\":\"%s\",", s->parent);
    if (s->ctx.state) {
        str_append(to, "\"traceState\":");
        quoted(to, s->ctx.state);
        str_append_c(to, ',');
    }
    str_append(to, "\"name\":");
    quoted(to, s->name ? s->name : "unnamed");
    str_printf(to,
               ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRId64 "\",\"endTimeUnixNano\":\"%" PRId64
               "\",",
               (int)s->kind, s->begin_us * NANOS_PER_US, (s->begin_us + s->took_us) * NANOS_PER_US);
    attributes(to, s);
    if (s->failed) {
        str_printf(to, ",\"status\":{\"code\":%d", STATUS_ERROR);
        if (s->problem) {
            str_append(to, ",\"message\":");
            quoted(to, s->problem);
        }
        str_append_c(to, '}');
    }
    str_append_c(to, '}');
}

void otlp_write(struct str *to, const struct otlp_source *from, const struct trace_span *const *v,
                size_t n)
{
    str_append(to, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    text_attr(to, true, "service.name", from->service);
    text_attr(to, false, "service.version", from->version);
    text_attr(to, false, "service.instance.id", from->instance);
    text_attr(to, false, "host.name", from->host);
    str_append(to, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"magnum\",\"version\":");
    quoted(to, from->version);
    str_append(to, "},\"spans\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            str_append_c(to, ',');
        span(to, v[i]);
    }
    str_append(to, "]}]}]}");
}
