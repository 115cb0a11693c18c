/* The keeper thread: starts hosts for the callers, sees retired ones to their end, and looks at
 * idle ones now and then. It sleeps in poll. See supervisor.h. */
#include "drivers/supervisor.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "drivers/sha256.h"
#include "drivers/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

enum { RETIRE_MS = 2000, LOOK_MS = 2500, RETIRING_MAX = 256 };

void keeper_wake(struct driver_pool *p)
{
    (void)!eventfd_write(p->wake_fd, 1); /* fails only when it is readable anyway */
}

/* The library is opened once and must be the file that was scanned; written to since, it is
 * checked again. A file put in its place later is not looked at: the open one is the checked one.
 */
static int check_library(struct driver *d, struct err *e)
{
    struct stat st;
    char sum[SHA256_HEX];
    if (d->lib_fd < 0)
        d->lib_fd = open(d->plugin->library_path, O_RDONLY | O_CLOEXEC);
    if (d->lib_fd < 0 || fstat(d->lib_fd, &st) < 0)
        return err_errno(e, errno, "cannot open %s", d->plugin->library_path);
    int64_t changed = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
    if (d->lib_changed_ns == changed)
        return 0;
    int rc = sha256_fd(d->lib_fd, sum, e);
    if (rc != 0)
        return rc;
    if (!str_eq(sum, d->plugin->sha256)) {
        cleanup_closep(&d->lib_fd);
        return err_set(e, ERR_UNAVAILABLE,
                       "%s is not the file that was found at start: verify it "
                       "and restart",
                       d->plugin->library_path);
    }
    d->lib_changed_ns = changed;
    return 0;
}

/* Made once: it takes another process. Without it the driver keeps our user, and says so. */
static int user_mapping(struct driver *d)
{
    if (d->map_fd < 0 && d->confine.uid)
        d->map_fd = spawn_user_mapping(d->confine.uid);
    return d->map_fd;
}

/* A process that waits for its hello: it has loaded nothing and knows nothing of the driver. */
static int begin(struct driver_pool *p, struct driver *d, struct child **ret, struct err *e)
{
    struct child *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    const struct transport_start s = {.plugin = d->plugin,
                                      .lib_fd = d->lib_fd,
                                      .program = p->program,
                                      .confine = &d->confine,
                                      .map_fd = user_mapping(d),
                                      .cgroups = &p->cgroups};
    int rc = p->transport->start(&s, &c->conn, e);
    if (rc != 0) {
        free(c);
        return rc;
    }
    c->driver = d;
    c->transport = p->transport;
    c->born_ms = clock_mono_ms();
    frame_reader_init(&c->in, (size_t)p->cfg->drivers_max_frame_bytes);
    child_log_init(&c->log, d->plugin->id, (long)c->conn.pid, p->cfg->drivers_log_lines_per_s);
    metrics_change(METRIC_HOSTS, 1, METRICS_LABELS_OF(d->plugin->id));
    *ret = c;
    return 0;
}

static void settle(const struct driver_pool *p, const struct driver *d,
                   const struct transport_conn *conn)
{
    if (p->transport->settle)
        p->transport->settle(conn, &d->confine);
}

/* ---- spare hosts ---- */

static struct child *take_spare(struct driver_pool *p, struct driver *d)
{
    pthread_mutex_lock(&p->lock);
    struct child *c = TAKE_PTR(d->spare);
    pthread_mutex_unlock(&p->lock);
    if (!c || !child_ended(c))
        return c;
    char why[DEATH_WHY];
    child_bury(&c, why);
    pool_note_death(p, d, "", *why ? why : "exited before its first call");
    return NULL;
}

/* Under the lock. Together with the others it is never more than there may be: who starts one more
 * gets the spare one. */
static bool wants_spare(const struct driver_pool *p, const struct driver *d)
{
    return d->spare_wanted && !d->spare && !d->draining && !d->closed && !p->closing &&
           !atomic_load(&p->stopping) && d->alive < p->cfg->drivers_processes;
}

/* Made when the start that took the last one is over, so that it is in nobody's way. */
static void look_after_spares(struct driver_pool *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct driver *d = &p->drivers[i];
        struct child *c = NULL;
        struct err ignored = ERR_INIT; /* the next start meets it too, and tells */
        pthread_mutex_lock(&p->lock);
        bool wanted = wants_spare(p, d);
        d->spare_wanted = false;
        if (p->closing)
            c = TAKE_PTR(d->spare);
        pthread_mutex_unlock(&p->lock);
        if (c)
            keeper_retire(p, c);
        if (!wanted || check_library(d, &ignored) != 0 || begin(p, d, &c, &ignored) != 0)
            continue;
        settle(p, d, &c->conn);
        pthread_mutex_lock(&p->lock);
        d->spare = c;
        pthread_mutex_unlock(&p->lock);
    }
}

void keeper_want_spare(struct driver_pool *p, struct driver *d)
{
    if (!p->cfg->drivers_spare)
        return;
    pthread_mutex_lock(&p->lock);
    d->spare_wanted = true;
    pthread_mutex_unlock(&p->lock);
    keeper_wake(p);
}

/* ---- starts ---- */

static void answer(struct driver_pool *p, struct start_request *r)
{
    struct driver *d = r->driver; /* r is gone once it is answered */
    struct err e = ERR_INIT;
    int rc = check_library(d, &e);
    struct child *c = take_spare(p, d);
    if (rc != 0 && c) { /* it has the file that is not the right one any more */
        keeper_retire(p, c);
        c = NULL;
    }
    bool fresh = rc == 0 && !c;
    if (fresh)
        rc = begin(p, d, &c, &e);
    const struct transport_conn conn = c ? c->conn : (struct transport_conn){.sock = -1};
    pthread_mutex_lock(&p->lock);
    r->child = c;
    r->rc = rc;
    r->e = e;
    r->done = true;
    pthread_cond_broadcast(&p->started);
    pthread_mutex_unlock(&p->lock);
    if (fresh && rc == 0)
        settle(p, d, &conn);
}

int keeper_start_child(struct driver_pool *p, struct driver *d, struct child **ret, struct err *e)
{
    struct start_request r = {.driver = d};
    pthread_mutex_lock(&p->lock);
    r.next = p->starts;
    p->starts = &r;
    keeper_wake(p);
    while (!r.done)
        pthread_cond_wait(&p->started, &p->lock);
    pthread_mutex_unlock(&p->lock);
    if (r.rc != 0)
        return err_set(e, r.rc == ERR_NOMEM ? ERR_NOMEM : ERR_UNAVAILABLE, "driver %s: %s",
                       d->plugin->id, r.e.msg);
    r.child->born_ms = clock_mono_ms();
    *ret = r.child;
    return 0;
}

void keeper_retire(struct driver_pool *p, struct child *c)
{
    cleanup_closep(&c->conn.sock); /* between calls this is a polite end */
    metrics_inc(METRIC_HOST_RETIRED, METRICS_LABELS_OF(c->driver->plugin->id));
    pthread_mutex_lock(&p->lock);
    c->kill_at_ms = clock_mono_ms() + RETIRE_MS;
    c->next = p->retiring;
    p->retiring = c;
    pthread_mutex_unlock(&p->lock);
    keeper_wake(p);
}

/* Idle hosts that died by themselves, are too old or of a version that drains leave the list, and
 * spare ones go in the same way. */
static struct child *take_stale(struct driver_pool *p)
{
    int64_t now = clock_mono_ms(), too_old = now - p->cfg->drivers_recycle_minutes * 60000;
    struct child *out = NULL;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n; i++) {
        struct driver *d = &p->drivers[i];
        for (struct child **at = &d->idle; *at;) {
            struct child *c = *at;
            if (c->conn.log_fd >= 0)
                (void)child_log_pump(&c->log, c->conn.log_fd);
            bool leaves = d->draining && now - c->idle_since_ms >= LOOK_MS;
            if (!child_ended(c) && c->born_ms > too_old && !leaves) {
                at = &c->next;
                continue;
            }
            *at = c->next;
            d->alive--;
            c->next = out;
            out = c;
        }
        struct child *spare = d->spare;
        if (spare && spare->conn.log_fd >= 0)
            (void)child_log_pump(&spare->log, spare->conn.log_fd);
        if (spare &&
            (child_ended(spare) || spare->born_ms <= too_old || d->draining || d->closed)) {
            d->spare = NULL;
            spare->next = out;
            out = spare;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return out;
}

static void look_at_idle(struct driver_pool *p)
{
    for (struct child *c = take_stale(p), *next; c; c = next) {
        next = c->next;
        if (!child_ended(c)) {
            keeper_retire(p, c);
            continue;
        }
        char why[DEATH_WHY];
        struct driver *d = c->driver;
        child_bury(&c, why);
        pool_note_death(p, d, "", *why ? why : "exited between calls");
    }
}

static void handle_retired(struct driver_pool *p)
{
    int64_t now = clock_mono_ms();
    struct child *ended = NULL;
    pthread_mutex_lock(&p->lock);
    for (struct child **at = &p->retiring; *at;) {
        struct child *c = *at;
        if (c->conn.log_fd >= 0)
            (void)child_log_pump(&c->log, c->conn.log_fd);
        if (child_ended(c)) {
            *at = c->next;
            c->next = ended;
            ended = c;
            continue;
        }
        if (now >= c->kill_at_ms) {
            c->transport->signal(&c->conn, SIGKILL);
            c->kill_at_ms = now + RETIRE_MS;
        }
        at = &c->next;
    }
    pthread_mutex_unlock(&p->lock);
    while (ended) {
        struct child *c = ended;
        ended = c->next;
        char why[DEATH_WHY];
        const char *id = c->driver->plugin->id;
        bool refused = !c->verbs; /* then it said why in its hello */
        child_bury(&c, why);
        if (*why && !refused)
            log_warn("driver.retired", "%s: a host that was asked to end %s", id, why);
    }
}

/* Under the lock. */
static bool has_spares(const struct driver_pool *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->drivers[i].spare)
            return true;
    return false;
}

/* Everything that can wake the keeper: its eventfd and the ends of retiring hosts. */
static size_t fill_polls(struct driver_pool *p, struct pollfd *v, int64_t *ret_until, bool *ret_end)
{
    size_t n = 0;
    v[n++] = (struct pollfd){.fd = p->wake_fd, .events = POLLIN};
    pthread_mutex_lock(&p->lock);
    for (struct child *c = p->retiring; c && n < RETIRING_MAX; c = c->next) {
        v[n++] = (struct pollfd){.fd = c->conn.end_fd, .events = POLLIN};
        if (c->kill_at_ms < *ret_until)
            *ret_until = c->kill_at_ms;
    }
    *ret_end = p->closing && !p->retiring && !p->starts && !has_spares(p);
    pthread_mutex_unlock(&p->lock);
    return n;
}

static void answer_starts(struct driver_pool *p)
{
    pthread_mutex_lock(&p->lock);
    struct start_request *r = p->starts;
    p->starts = NULL;
    pthread_mutex_unlock(&p->lock);
    while (r) {
        struct start_request *next = r->next; /* r is gone once it is answered */
        answer(p, r);
        r = next;
    }
}

static void *keeper_main(void *arg)
{
    struct driver_pool *p = arg;
    struct pollfd v[RETIRING_MAX];
    int64_t look_at = clock_mono_ms() + LOOK_MS;
    for (;;) {
        int64_t until = look_at;
        bool end;
        size_t n = fill_polls(p, v, &until, &end);
        if (end)
            return NULL;
        int64_t left = until - clock_mono_ms();
        if (poll(v, (nfds_t)n, left < 0 ? 0 : (int)left) > 0 && v[0].revents) {
            eventfd_t ignored;
            (void)!eventfd_read(p->wake_fd, &ignored);
        }
        answer_starts(p);
        handle_retired(p);
        look_after_spares(p);
        if (clock_mono_ms() >= look_at) {
            look_at_idle(p);
            cgroup_place_sweep(&p->cgroups);
            look_at = clock_mono_ms() + LOOK_MS;
        }
    }
}

int keeper_start(struct driver_pool *p, struct err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are the business of main */
    int bad = pthread_create(&p->keeper, NULL, keeper_main, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (bad)
        return err_errno(e, bad, "cannot start the driver keeper");
    p->keeper_runs = true;
    return 0;
}
