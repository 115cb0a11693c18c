/* See allinone_internal.h. */
#include "cmd/allinone_internal.h"

#include "base/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MOST_MS = 2000,
    HEALTHY_AFTER_MS = 1000, /* then its end counts as the first one again */
    STOP_EXTRA_MS = 5000,    /* on top of the children's own limits */
    PG_STOP_MS = 30000,
};

void allinone_say(const struct allinone *a, const char *fmt, ...)
{
    if (a->quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static void note_end(const struct allinone *a, struct child *c)
{
    int64_t now = clock_mono_ms();
    if (now - c->started_ms > HEALTHY_AFTER_MS)
        c->backoff_ms = 0;
    c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (c->backoff_ms > BACKOFF_MOST_MS)
        c->backoff_ms = BACKOFF_MOST_MS;
    c->restart_at_ms = now + c->backoff_ms;
    char why[32];
    child_status_text(c->status, why, sizeof why);
    allinone_say(a, "%s ended (%s); starting it again in %.1f s", c->name, why,
                 (double)c->backoff_ms / 1000.0);
}

static void restart(struct allinone *a, struct child *c)
{
    struct err e = ERR_INIT;
    int rc = c == &a->pg.server ? private_pg_start(&a->pg, a->sig_fd, &e) : child_start(c, &e);
    if (rc == 0) {
        allinone_say(a, "%s runs again", c->name);
        return;
    }
    if (rc == ERR_CANCELLED)
        return;
    fprintf(stderr, "magnum-allinone: %s\n", e.msg);
    c->started_ms = clock_mono_ms();
    note_end(a, c);
}

void allinone_supervise(struct allinone *a)
{
    struct child *const all[] = {&a->pg.server, &a->conductor, &a->api};
    for (;;) {
        int64_t now = clock_mono_ms(), wait_ms = -1;
        struct pollfd fds[ARRAY_LEN(all) + 1];
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
            struct child *c = all[i];
            if (c->pid == 0 && c->restart_at_ms <= now)
                restart(a, c);
            if (c->pid == 0) {
                int64_t left = c->restart_at_ms > now ? c->restart_at_ms - now : 0;
                wait_ms = wait_ms < 0 || left < wait_ms ? left : wait_ms;
            }
            fds[i] = (struct pollfd){.fd = c->pidfd, .events = POLLIN};
        }
        fds[ARRAY_LEN(all)] = (struct pollfd){.fd = a->sig_fd, .events = POLLIN};
        (void)poll(fds, ARRAY_LEN(fds), (int)wait_ms);
        if (fds[ARRAY_LEN(all)].revents)
            return;
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
            if (all[i]->pid != 0 && child_wait(all[i], -1, 0))
                note_end(a, all[i]);
    }
}

void allinone_stop(struct allinone *a)
{
    struct signalfd_siginfo info;
    while (read(a->sig_fd, &info, sizeof info) > 0)
        continue;
    if (a->api.pid || a->conductor.pid || a->pg.server.pid)
        allinone_say(a, "Stopping");
    (void)child_stop(&a->api, SIGTERM, a->cfg->api_shutdown_timeout_s * 1000 + STOP_EXTRA_MS,
                     a->sig_fd);
    (void)child_stop(&a->conductor, SIGTERM,
                     a->cfg->conductor_shutdown_timeout_s * 1000 + STOP_EXTRA_MS, a->sig_fd);
    private_pg_stop(&a->pg, PG_STOP_MS, a->sig_fd);
    if (a->port_file)
        (void)unlink(a->port_file);
}
