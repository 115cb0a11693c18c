/* See child_log.h. */
#include "drivers/child_log.h"

#include "base/clock.h"
#include "host/wire.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SECRET_MIN = 6, PUMP_MAX = 65536, BYTES_PER_S = 4 << 20, FRAME_WORTH = 512 };

void child_log_init(struct child_log *l, const char *driver, long pid, int64_t lines_per_s)
{
    *l = (struct child_log){.driver = driver, .pid = pid, .lines_per_s = lines_per_s};
}

void child_log_done(struct child_log *l)
{
    for (size_t i = 0; i < CHILD_LOG_SECRETS; i++)
        secret_free(&l->secrets[i]);
}

static void hide_one(struct child_log *l, const char *s, size_t len)
{
    if (len < SECRET_MIN || memchr(s, '\0', len))
        return;
    for (size_t i = 0; i < CHILD_LOG_SECRETS; i++)
        if (l->secrets[i].len == len && memcmp(l->secrets[i].data, s, len) == 0)
            return;
    struct secret *slot = &l->secrets[l->next_secret++ % CHILD_LOG_SECRETS];
    secret_free(slot);
    (void)secret_set(slot, s, len); /* no memory: the line may show it only if a driver prints it */
}

void child_log_hide(struct child_log *l, const char *secret, size_t len)
{
    for (size_t at = 0; at < len;) {
        const char *end = memchr(secret + at, '\n', len - at);
        size_t n = end ? (size_t)(end - secret) - at : len - at;
        if (!(n > 5 && memcmp(secret + at, "-----", 5) == 0)) /* the frame of a PEM is no secret */
            hide_one(l, secret + at, n);
        at += n + 1;
    }
}

void child_log_redact(const struct child_log *l, char *text)
{
    for (size_t i = 0; i < CHILD_LOG_SECRETS; i++) {
        const struct secret *s = &l->secrets[i];
        char *p = s->data ? strstr(text, s->data) : NULL;
        while (p) {
            memmove(p + 3, p + s->len, strlen(p + s->len) + 1);
            memcpy(p, "***", 3);
            p = strstr(p + 3, s->data);
        }
    }
}

static void turn_window(struct child_log *l)
{
    int64_t now = clock_mono_ms();
    if (now - l->window_ms < 1000)
        return;
    if (l->dropped)
        log_warn("driver.log", "%s[%ld]: %lld more lines were dropped", l->driver, l->pid,
                 (long long)l->dropped);
    l->window_ms = now;
    l->in_window = l->dropped = l->bytes = 0;
}

int64_t child_log_pause_ms(const struct child_log *l)
{
    int64_t left = l->window_ms + 1000 - clock_mono_ms();
    return l->bytes > BYTES_PER_S && left > 0 ? left : 0;
}

/* True when one more line may be written in this second. */
static bool within_rate(struct child_log *l)
{
    turn_window(l);
    if (l->in_window >= l->lines_per_s) {
        l->dropped++;
        return false;
    }
    l->in_window++;
    return true;
}

static void write_line(struct child_log *l, enum log_level level, const char *event,
                       const char *text, size_t len)
{
    if (len == 0 || !within_rate(l))
        return;
    char clean[CHILD_LOG_LINE];
    size_t n = len < sizeof clean - 1 ? len : sizeof clean - 1;
    bool readable = wire_is_text(text, len);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        clean[i] = c < 0x20 || c == 0x7F ? ' ' : !readable && c >= 0x80 ? '?' : text[i];
    }
    while (readable && n < len && n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--; /* not half a character */
    clean[n] = '\0';
    child_log_redact(l, clean);
    log_write(level, event, "%s[%ld]: %s", l->driver, l->pid, clean);
}

bool child_log_pump(struct child_log *l, int fd)
{
    char buf[4096];
    for (size_t total = 0; total < PUMP_MAX;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            bool open = n < 0 && errno == EAGAIN;
            if (!open) {
                write_line(l, LOG_INFO, "driver.output", l->line, l->line_len);
                l->line_len = 0;
            }
            return open;
        }
        total += (size_t)n;
        turn_window(l);
        l->bytes += n;
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != '\n' && l->line_len < sizeof l->line)
                l->line[l->line_len++] = buf[i];
            if (buf[i] == '\n' || l->line_len == sizeof l->line) {
                write_line(l, LOG_INFO, "driver.output", l->line, l->line_len);
                l->line_len = 0;
            }
        }
    }
    return true;
}

void child_log_frame(struct child_log *l, const json_t *body)
{
    static const enum log_level levels[] = {LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_WARN};
    json_int_t level = json_integer_value(json_object_get(body, "level"));
    bool about = json_is_true(json_object_get(body, "about_plugin"));
    char *text;
    size_t len;
    if (!wire_bytes_get(json_object_get(body, "text"), &text, &len))
        return;
    turn_window(l);
    l->bytes += FRAME_WORTH + (int64_t)len;
    if (level < 0 || level >= (json_int_t)(sizeof levels / sizeof levels[0]))
        level = 2;
    write_line(l, levels[level], about ? "driver.misbehaving" : "driver.log", text ? text : "",
               len);
    free(text);
}
