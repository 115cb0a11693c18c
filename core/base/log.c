/* See log.h. */
#include "base/log.h"

#include "base/clock.h"
#include "base/log_writer.h"
#include "base/str.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

static const char *program = "magnum";
static atomic_int threshold = LOG_INFO;
static bool as_json;
static _Thread_local struct log_context context;

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

void log_context_set(const struct log_context *ctx)
{
    context = ctx ? *ctx : (struct log_context){NULL, NULL, NULL, NULL};
}

static void add(struct str *line, json_t *o, const char *key, const char *value)
{
    if (!value)
        return;
    if (o)
        json_object_set_new(o, key, json_string(value));
    else
        str_printf(line, " %s=%s", key, value);
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
    for (size_t i = 0; i < text.len; i++) /* one event, one line */
        if (text.s[i] == '\n' || text.s[i] == '\r')
            text.s[i] = ' ';
    char when[CLOCK_ISO_MAX];
    clock_iso(clock_wall_us(), when);
    _cleanup_json_ json_t *o = as_json ? json_object() : NULL;
    if (o) {
        add(&line, o, "time", when);
        add(&line, o, "level", names[level]);
        add(&line, o, "program", program);
        add(&line, o, "event", event);
    } else {
        str_printf(&line, "%s %s %s %s", when, program, names[level], event);
    }
    add(&line, o, "req", context.request);
    add(&line, o, "cluster", context.cluster);
    add(&line, o, "op", context.operation);
    add(&line, o, "driver", context.driver);
    if (o) {
        add(&line, o, "text", str_text(&text));
        _cleanup_free_ char *dump = json_dumps(o, JSON_COMPACT);
        str_append(&line, dump);
    } else {
        str_printf(&line, " %s", str_text(&text));
    }
    str_append_c(&line, '\n');
    if (!line.oom)
        log_writer_put(line.s, line.len);
    errno = saved;
}
