/* See child.h. */
#include "drivers/child.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/jsonx.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "host/wire.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

enum { END_PATIENCE_MS = 10000 };

/* Waits for a frame of the greeting while what the host prints is taken in. */
static int read_greeting(struct child *c, int64_t deadline_ms, struct frame *f)
{
    int log_fd = c->conn.log_fd;
    for (;;) {
        int rc = frame_reader_poll(&c->in, c->conn.sock, f);
        bool log = rc == FRAME_OK && f->type == FRAME_LOG;
        if (log) {
            child_log_frame(&c->log, f->body);
            frame_done(f);
        } else if (rc != FRAME_MORE) {
            return rc;
        }
        int64_t left = deadline_ms - clock_mono_ms();
        if (left <= 0)
            return FRAME_E_TIMEOUT; /* also for one that talks for ever */
        if (log)
            continue;
        struct pollfd p[2] = {{.fd = c->conn.sock, .events = POLLIN},
                              {.fd = log_fd, .events = POLLIN}};
        if (poll(p, 2, left > INT_MAX ? INT_MAX : (int)left) < 0 && errno != EINTR)
            return FRAME_E_IO;
        if (p[1].revents && !child_log_pump(&c->log, log_fd))
            log_fd = -1;
    }
}

static int take_hello(struct child *c, const json_t *body, struct err *e)
{
    char *text;
    size_t len;
    const json_t *refused = json_object_get(body, "refused");
    if (refused) {
        char why[512] = "";
        if (wire_bytes_get(refused, &text, &len) && text)
            wire_text_copy(why, sizeof why, text);
        free(text);
        return err_set(e, ERR_UNAVAILABLE, "%s", *why ? why : "the plugin was refused");
    }
    const json_t *verbs = json_object_get(body, "verbs");
    if (jsonx_int(body, "protocol", -1) != FRAME_PROTOCOL || !json_is_object(verbs))
        return err_set(e, ERR_PROTOCOL, "the driver host's hello is not understood");
    c->verbs = json_deep_copy(verbs);
    c->isolation = json_deep_copy(json_object_get(body, "isolation"));
    c->texts = jsonx_bool(body, "texts", false);
    return c->verbs ? 0 : err_nomem(e);
}

int child_greet(struct child *c, const json_t *hello, size_t max_frame, int64_t timeout_ms,
                bool *died, struct err *e)
{
    int64_t deadline = clock_mono_ms() + timeout_ms;
    struct frame f = {0};
    *died = false;
    int rc = frame_write(c->conn.sock, max_frame, FRAME_HELLO, 0, hello, deadline);
    if (rc == FRAME_OK)
        rc = read_greeting(c, deadline, &f);
    if (rc == FRAME_OK && f.type == FRAME_HELLO) {
        int bad = take_hello(c, f.body, e);
        frame_done(&f);
        return bad;
    }
    frame_done(&f);
    *died = true;
    if (rc == FRAME_E_TIMEOUT)
        return err_set(e, ERR_UNAVAILABLE, "no hello within %lld ms", (long long)timeout_ms);
    return err_set(e, ERR_UNAVAILABLE, "%s before its hello",
                   rc == FRAME_OK ? "wrong frame" : frame_error(rc));
}

bool child_offers(const struct child *c, const char *iface, const char *verb)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(c->verbs, iface), i, v)
    {
        if (str_eq(json_string_value(v), verb))
            return true;
    }
    return false;
}

bool child_ended(const struct child *c)
{
    struct pollfd p = {.fd = c->conn.end_fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

bool child_wait_end(struct child *c, int64_t timeout_ms)
{
    int64_t deadline = clock_mono_ms() + timeout_ms;
    int log_fd = c->conn.log_fd;
    for (;;) {
        int64_t left = deadline - clock_mono_ms();
        struct pollfd p[2] = {{.fd = c->conn.end_fd, .events = POLLIN},
                              {.fd = log_fd, .events = POLLIN}};
        if (poll(p, 2, left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left) < 0 && errno != EINTR)
            return false;
        if (p[0].revents)
            return true;
        if (p[1].revents && !child_log_pump(&c->log, log_fd))
            log_fd = -1;
        if (left <= 0)
            return false;
    }
}

void child_kill(struct child *c, int64_t term_ms)
{
    if (term_ms > 0) {
        c->transport->signal(&c->conn, SIGTERM);
        if (child_wait_end(c, term_ms))
            return;
    }
    c->transport->signal(&c->conn, SIGKILL);
    (void)child_wait_end(c, END_PATIENCE_MS);
}

void child_bury(struct child **cp, char why[DEATH_WHY])
{
    struct child *c = *cp;
    *cp = NULL;
    metrics_change(METRIC_HOSTS, -1, METRICS_LABELS_OF(c->log.driver));
    c->transport->reap(&c->conn, why);
    if (c->conn.log_fd >= 0)
        (void)child_log_pump(&c->log, c->conn.log_fd); /* its last words */
    transport_close(&c->conn);
    frame_reader_done(&c->in);
    child_log_done(&c->log);
    json_decref(c->verbs);
    json_decref(c->isolation);
    free(c);
}

int64_t child_rss_kb(const struct child *c)
{
    char path[64];
    _cleanup_free_ char *text = NULL;
    if (c->conn.pid <= 0)
        return -1;
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)c->conn.pid);
    if (io_read_file(path, 4096, &text, NULL, NULL) != 0)
        return -1;
    char *save = NULL;
    int64_t pages;
    if (!strtok_r(text, " ", &save) ||
        !parse_i64(strtok_r(NULL, " ", &save), 0, INT64_MAX / 4096, &pages))
        return -1;
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}
