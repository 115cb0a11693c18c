/* See log.h. */
#include "base/log.h"

#include "base/clock.h"
#include "base/log_writer.h"
#include "base/str.h"
#include "base/trace.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

static const char *program = "magnum";
static atomic_int threshold = LOG_INFO;
static bool as_json;
enum { ID_MAX = 64, DRIVER_MAX = 128 }; /* longer ones are cut */
static _Thread_local struct log_context context;
static _Thread_local char request_text[ID_MAX], cluster_text[ID_MAX], operation_text[ID_MAX],
    driver_text[DRIVER_MAX];

static const char *const names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};

void log_setup(const char *prog, enum log_level level, bool json)
{
    program = prog;
    as_json = json;
    atomic_store(&threshold, (int)level);
}

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

bool log_level_parse(const char *s, enum log_level *ret)
{
    for (int i = 0; s && i < 4; i++)
        if (strcasecmp(s, names[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

static void keep(const char **at, char *buf, size_t size, const char *value)
{
    *at = buf;
    if (value != buf)
        snprintf(buf, size, "%s", value);
}

void log_context_add(const struct log_context *ctx)
{
    if (ctx->request)
        keep(&context.request, request_text, sizeof request_text, ctx->request);
    if (ctx->cluster)
        keep(&context.cluster, cluster_text, sizeof cluster_text, ctx->cluster);
    if (ctx->operation)
        keep(&context.operation, operation_text, sizeof operation_text, ctx->operation);
    if (ctx->driver)
        keep(&context.driver, driver_text, sizeof driver_text, ctx->driver);
}

void log_context_set(const struct log_context *ctx)
{
    context = (struct log_context){NULL, NULL, NULL, NULL};
    if (ctx)
        log_context_add(ctx);
}

const struct log_context *log_context_get(void)
{
    return &context;
}

/* The length of the character at s, 0 when there is no valid one. */
static size_t character(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : s[0] >= 0xC2 ? 2 : 0;
    if (s[0] > 0xF4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xED && s[1] >= 0xA0, beyond = s[0] == 0xF4 && s[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : n;
}

/* The text as valid UTF-8 without control characters. */
static void clean(struct str *to, const char *value)
{
    for (const unsigned char *p = (const unsigned char *)value; *p;) {
        size_t n = character(p);
        if (n == 0)
            str_append(to, "\xEF\xBF\xBD");
        else if (n == 1 && (*p < 0x20 || *p == 0x7F))
            str_append_c(to, ' ');
        else
            str_append_n(to, p, n);
        p += n ? n : 1;
    }
}

/* One member of the line; JSON members are escaped as RFC 8259 wants it. */
static void add(struct str *line, const char *key, const char *value)
{
    _cleanup_str_ struct str text = STR_INIT;
    if (!value)
        return;
    clean(&text, value);
    if (!as_json) {
        str_printf(line, " %s=%s", key, str_text(&text));
        return;
    }
    str_printf(line, "%s\"%s\":\"", line->len > 1 ? "," : "", key);
    for (const char *p = str_text(&text); *p; p++) {
        if (*p == '"' || *p == '\\')
            str_append_c(line, '\\');
        str_append_c(line, *p);
    }
    str_append_c(line, '"');
    line->oom |= text.oom;
}

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
    if ((int)level > atomic_load(&threshold))
        return;
    int saved = errno;
    _cleanup_str_ struct str text = STR_INIT, line = STR_INIT;
    va_list ap;
    va_start(ap, fmt);
    str_vprintf(&text, fmt, ap);
    va_end(ap);
    char when[CLOCK_ISO_MAX];
    clock_iso(clock_wall_us(), when);
    if (as_json) {
        str_append_c(&line, '{');
        add(&line, "time", when);
        add(&line, "level", names[level]);
        add(&line, "program", program);
        add(&line, "event", event);
    } else {
        str_printf(&line, "%s %s %s %s", when, program, names[level], event);
    }
    const struct trace_context *trace = trace_current();
    add(&line, "req", context.request);
    add(&line, "cluster", context.cluster);
    add(&line, "op", context.operation);
    add(&line, "driver", context.driver);
    add(&line, "trace", trace ? trace->trace_id : NULL);
    if (as_json) {
        add(&line, "text", str_text(&text));
        str_append_c(&line, '}');
    } else {
        str_append_c(&line, ' ');
        clean(&line, str_text(&text));
    }
    str_append_c(&line, '\n');
    if (!line.oom && !text.oom)
        log_writer_put(line.s, line.len);
    errno = saved;
}
