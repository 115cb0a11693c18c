/* What one driver host says: the lines it prints and its LOG frames become log lines with the
 * driver's id, at a limited rate, without control characters and without the secrets it was given.
 * Neighbours: child.c, conversation.c, host_services.c (which hands out the secrets). */
#ifndef MAGNUM_DRIVERS_CHILD_LOG_H
#define MAGNUM_DRIVERS_CHILD_LOG_H

#include "base/log.h"
#include "base/secret.h"

#include <jansson.h>
#include <stdint.h>

enum { CHILD_LOG_LINE = 1024, CHILD_LOG_SECRETS = 64 };

struct child_log {
    const char *driver; /* id, borrowed */
    long pid;
    int64_t lines_per_s;
    int64_t window_ms, in_window, dropped; /* of the current second */
    int64_t bytes;                         /* taken in during it */
    char line[CHILD_LOG_LINE];             /* begun, no line end seen yet */
    size_t line_len;
    struct secret secrets[CHILD_LOG_SECRETS]; /* a ring */
    size_t next_secret;
};
void child_log_init(struct child_log *l, const char *driver, long pid, int64_t lines_per_s);
void child_log_done(struct child_log *l);
/* Reads what the pipe has, without waiting. False once it is closed. */
bool child_log_pump(struct child_log *l, int fd);
/* How long nothing more is to be taken in: who floods us waits, and we do not work for it. 0 = go
 * on. */
int64_t child_log_pause_ms(const struct child_log *l);
/* One LOG frame. */
void child_log_frame(struct child_log *l, const json_t *body);
/* A secret that was handed out: from now on shown as ***. Of texts of several lines each longer
 * line is hidden by itself. */
void child_log_hide(struct child_log *l, const char *secret, size_t len);
/* Replaces hidden secrets in a text, in place. */
void child_log_redact(const struct child_log *l, char *text);

#endif
