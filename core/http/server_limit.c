/* Which connection goes when there are too many of them, or when their clients leave too much of
 * the answers unread. Nobody shall be kept out by connections that do nothing: a new one pushes out
 * the one that has been idle longest, else the one that has been sending a request longest. Only
 * when the service itself is at work on all of them, a new one is refused.
 * Neighbours: server_internal.h. */
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "http/server_internal.h"

#include <linux/tcp.h> /* the C library's has an older tcp_info */
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
    OWN_FILES = 512,   /* descriptors for everything that is no connection */
    SENDING_MS = 1000, /* a request may take this long before it can be pushed out */
    TELL_EVERY_MS = 10000
};

void limit_connections(struct http_server *s, const struct config *cfg)
{
    struct rlimit rl;
    s->max_conns = (size_t)cfg->api_max_connections;
    if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
        return;
    rlim_t want = s->max_conns + OWN_FILES;
    if (rl.rlim_cur < want) {
        rl.rlim_cur = rl.rlim_max < want ? rl.rlim_max : want;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
    }
    if (rl.rlim_cur >= want)
        return;
    s->max_conns = rl.rlim_cur > 2 * OWN_FILES ? rl.rlim_cur - OWN_FILES : rl.rlim_cur / 2;
    log_warn("http.files",
             "api.max_connections is %zu, not %lld: this process may open %llu files only "
             "(LimitNOFILE)",
             s->max_conns, (long long)cfg->api_max_connections, (unsigned long long)rl.rlim_cur);
}

void http_server_count(struct http_server *s, struct http_server_counts *ret)
{
    pthread_mutex_lock(&s->lock);
    *ret = s->counts;
    pthread_mutex_unlock(&s->lock);
    ret->unread = atomic_load(&s->unread);
}

/* ---- too many ---- */
/* Smaller goes first: idle ones before those that send, then by age. Both have the same deadline
 * from the beginning of their wait, so the earliest end is the oldest; the list is youngest first.
 */
static bool goes_before(const struct conn *a, uint64_t mark_a, const struct conn *b,
                        uint64_t mark_b)
{
    bool sends_a = atomic_load(&a->begun), sends_b = atomic_load(&b->begun);
    return sends_a != sends_b ? sends_b : mark_a <= mark_b;
}

static struct conn *to_push_out(struct http_server *s, const struct conn *but, uint64_t *ret_mark)
{
    struct conn *found = NULL;
    int64_t young_ms = clock_mono_ms() + s->timeout_ms - SENDING_MS;
    for (struct conn *c = s->conns; c; c = c->next) {
        uint64_t mark = atomic_load(&c->mark);
        if (c == but || (mark & 3) != PHASE_READING ||
            (atomic_load(&c->begun) && (int64_t)(mark >> 2) > young_ms))
            continue;
        if (!found || goes_before(c, mark, found, *ret_mark)) {
            found = c;
            *ret_mark = mark;
        }
    }
    return found;
}

/* Something that its thread has not come to read yet: it is not idle. */
static bool has_sent(const struct conn *c)
{
    int n = 0;
    return ioctl(c->fd, FIONREAD, &n) == 0 && n > 0;
}

bool limit_make_room(struct http_server *s, struct conn *c)
{
    if (s->counts.open - s->leaving <= s->max_conns)
        return true;
    uint64_t mark = 0;
    /* one that begins a request at this moment is not there any more: then the next one */
    for (struct conn *old; (old = to_push_out(s, c, &mark));) {
        if (!atomic_load(&old->begun) && has_sent(old)) {
            atomic_store(&old->begun, true);
            continue;
        }
        if (!atomic_compare_exchange_strong(&old->mark, &mark, (uint64_t)PHASE_EXPIRED))
            continue;
        if (atomic_load(&old->begun))
            request_refuse_raw(old, ERR_REQUEST_TIMEOUT,
                               "The request did not arrive before others needed the connection.");
        (void)shutdown(old->fd, SHUT_RDWR);
        old->leaving = true;
        s->leaving++;
        s->counts.pushed_out++;
        return true;
    }
    c->leaving = true;
    s->leaving++;
    s->counts.refused++;
    return false;
}

void limit_tell(struct http_server *s, int64_t now_ms)
{
    uint64_t pushed = s->counts.pushed_out - s->told.pushed_out;
    uint64_t refused = s->counts.refused - s->told.refused;
    uint64_t cut = s->counts.cut_off - s->told.cut_off;
    if (now_ms < s->tell_ms || (!pushed && !refused && !cut))
        return;
    s->told = s->counts;
    s->tell_ms = now_ms + TELL_EVERY_MS;
    if (pushed || refused)
        log_warn("http.full",
                 "%zu connections (api.max_connections): %llu idle or slow ones were closed for "
                 "new ones, %llu new ones were refused",
                 s->max_conns, (unsigned long long)pushed, (unsigned long long)refused);
    if (cut)
        log_warn("http.unread",
                 "clients don't read their answers (api.max_unread_mb): the %llu slowest were cut "
                 "off",
                 (unsigned long long)cut);
}

/* ---- unread answers ---- */
int64_t limit_stalled_since(struct conn *c, int64_t now_ms)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked)
        return now_ms; /* a Unix socket: there is only the deadline */
    if (c->taken_ms < atomic_load(&c->reading_ms) || info.tcpi_bytes_acked != c->taken) {
        c->taken = info.tcpi_bytes_acked;
        c->taken_ms = now_ms;
    }
    return c->taken_ms;
}

/* The client that has been reading its answer longest. */
static struct conn *slowest_reader(struct http_server *s, const struct conn *but,
                                   uint64_t *ret_mark)
{
    struct conn *found = NULL;
    int64_t oldest = INT64_MAX;
    for (struct conn *c = s->conns; c; c = c->next) {
        uint64_t mark = atomic_load(&c->mark);
        int64_t since = atomic_load(&c->reading_ms);
        if (c == but || (mark & 3) != PHASE_WRITING || since > oldest)
            continue;
        found = c;
        oldest = since;
        *ret_mark = mark;
    }
    return found;
}

void limit_read(struct conn *c)
{
    size_t size = atomic_exchange(&c->unread, 0);
    if (size)
        atomic_fetch_sub(&c->server->unread, size);
}

void limit_reading(struct conn *c, size_t size)
{
    struct http_server *s = c->server;
    atomic_store(&c->unread, size);
    atomic_store(&c->reading_ms, clock_mono_ms());
    if (atomic_fetch_add(&s->unread, size) + size <= s->max_unread)
        return;
    pthread_mutex_lock(&s->lock);
    uint64_t mark = 0;
    for (struct conn *old;
         atomic_load(&s->unread) > s->max_unread && (old = slowest_reader(s, c, &mark));) {
        if (!atomic_compare_exchange_strong(&old->mark, &mark, (uint64_t)PHASE_EXPIRED))
            continue;
        limit_read(old); /* soon: its thread closes it */
        (void)shutdown(old->fd, SHUT_RDWR);
        s->counts.cut_off++;
    }
    pthread_mutex_unlock(&s->lock);
}
