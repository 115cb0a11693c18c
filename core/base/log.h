/* Structured log lines on stderr (or syslog priority prefixes under systemd):
 * time, level, event token, key=value context, text. Thread-safe; one write(2) per line.
 *
 * Rule: libraries return errors; only request handlers, the operation runner and main() log them,
 * once. A tolerated failure says "ignoring". The context (request, cluster, operation ids) is
 * per thread and set by those same places; the trace id is that of the thread's trace (trace.h).
 * Whatever bytes a value has, a line is one line, and in the JSON format one valid object: bytes
 * that are no UTF-8 are shown as U+FFFD, control characters of the text format as blanks.
 * Levels may change at run time. Neighbours: everything. */
#ifndef MAGNUM_BASE_LOG_H
#define MAGNUM_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_context { /* NULL = absent */
    const char *request, *cluster, *operation, *driver;
};

/* `program` is borrowed for ever. json: one JSON object per line instead of text. */
void log_setup(const char *program, enum log_level level, bool json);
void log_set_level(enum log_level level);
bool log_level_parse(const char *s, enum log_level *ret); /* error, warning, info, debug */
void log_context_set(const struct log_context *ctx);      /* NULL clears; copies the texts */
/* Sets only what is not NULL: what has been learnt meanwhile. */
void log_context_add(const struct log_context *ctx);
/* This thread's; valid until it is changed. */
const struct log_context *log_context_get(void);

/* event: a stable token such as "op.finished". */
void log_write(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_write(LOG_ERR, event, __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)

#endif
