/* Connections and their deadlines. libmicrohttpd's own timeout starts again with every byte, so a
 * client that trickles would hold a connection for ever; here a whole request has one deadline,
 * and so has the reading of an answer. One thread looks at all connections a few times within the
 * timeout; the pool's threads only store one atomic word. Neighbours: server_internal.h. */
#include "base/clock.h"
#include "base/cond.h"
#include "http/server_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
    LOOKS_PER_TIMEOUT = 8,
    LOOK_MIN_MS = 20,
    LOOK_MAX_MS = 1000,
    CLOSE_WAIT_MS = 2000,
    GONE_MAX = 64
};

static uint64_t make_mark(enum phase p, int64_t wait_ms)
{
    return (uint64_t)(clock_mono_ms() + wait_ms) << 2 | (uint64_t)p;
}

/* False when the watcher was faster: the socket is shut and the request is void. */
bool watch_phase(struct conn *c, enum phase from, enum phase to, int64_t wait_ms)
{
    uint64_t old = atomic_load(&c->mark);
    return (old & 3) == from &&
           atomic_compare_exchange_strong(&c->mark, &old, make_mark(to, wait_ms));
}

static bool is_loopback(const struct sockaddr *sa)
{
    if (!sa || sa->sa_family == AF_UNIX)
        return sa != NULL;
    if (sa->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (sa->sa_family != AF_INET6)
        return false;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == IN_LOOPBACKNET);
}

static void opened(struct http_server *s, struct MHD_Connection *mhd, void **socket_ctx)
{
    struct conn *c = tick_is(mhd) ? NULL : calloc(1, sizeof *c);
    if (!c)
        return; /* request_access refuses a connection without context that is no tick */
    c->server = s;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    c->from_loopback =
        s->listener.unix_path ||
        is_loopback(MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    atomic_store(&c->mark, make_mark(PHASE_READING, s->timeout_ms));
    *socket_ctx = c;
    pthread_mutex_lock(&s->lock);
    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    else
        pthread_cond_signal(&s->wake);
    s->conns = c;
    s->counts.open++;
    bool room = limit_make_room(s, c);
    pthread_mutex_unlock(&s->lock);
    if (!room && watch_phase(c, PHASE_READING, PHASE_EXPIRED, 0)) {
        request_refuse_raw(c, ERR_SERVICE_DOWN, "Too many connections are open; try again.");
        (void)shutdown(c->fd, SHUT_RDWR);
    }
}

static void closed(struct http_server *s, struct conn *c)
{
    pthread_mutex_lock(&s->lock);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->counts.open--;
    s->leaving -= c->leaving;
    if (!s->conns)
        pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
    limit_read(c);
    park_close(c);
    str_free(&c->raw);
    str_free(&c->body);
    http_response_done(&c->answer);
    free(c);
}

void watch_connection(void *cls, struct MHD_Connection *mhd, void **socket_ctx,
                      enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        opened(cls, mhd, socket_ctx);
    else if (*socket_ctx)
        closed(cls, TAKE_PTR(*socket_ctx));
}

/* The client has closed its side and nothing it sent is left to read, in the same wait at two
 * looks: no whole request can come any more. libmicrohttpd's edge-triggered epoll misses an end
 * that came together with the last bytes. */
static bool ended(struct conn *c, uint64_t mark)
{
    char byte;
    if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
        return false;
    bool again = c->end_seen == mark;
    c->end_seen = mark;
    return again;
}

static void look_at(struct conn *c, int64_t now)
{
    uint64_t mark = atomic_load(&c->mark);
    enum phase phase = (enum phase)(mark & 3);
    if (phase != PHASE_READING && phase != PHASE_WRITING)
        return;
    bool late = (int64_t)(mark >> 2) <= now;
    if (phase == PHASE_WRITING)
        late = late || now - limit_stalled_since(c, now) >= c->server->timeout_ms;
    if (!late && (phase == PHASE_WRITING || !ended(c, mark)))
        return;
    if (!atomic_compare_exchange_strong(&c->mark, &mark, (uint64_t)PHASE_EXPIRED))
        return;
    /* An idle connection is closed without a word; half a request is told why. */
    if (late && phase == PHASE_READING && atomic_load(&c->begun))
        request_refuse_raw(c, ERR_REQUEST_TIMEOUT, "The request did not arrive in time.");
    c->server->counts.expired += late;
    (void)shutdown(c->fd, SHUT_RDWR);
}

/* Whose client has gone while the request waits for news: it is woken, and finds nobody to answer.
 * Rung without the lock, since libmicrohttpd has locks of its own. */
static size_t find_gone(struct conn *c, bool all, struct http_ticket *gone[GONE_MAX], size_t n)
{
    struct http_ticket *t = atomic_load(&c->ticket);
    char byte;
    if (n < GONE_MAX && t && park_asleep(t) &&
        (all || recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0))
        gone[n++] = park_ref(t);
    return n;
}

static void ring_gone(struct http_server *s, struct http_ticket *gone[GONE_MAX], size_t n)
{
    if (n == 0)
        return;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        park_gone(gone[i]);
        http_ticket_done(gone[i]);
    }
    pthread_mutex_lock(&s->lock);
}

static void *watch_main(void *arg)
{
    struct http_server *s = arg;
    struct http_ticket *gone[GONE_MAX];
    int64_t look_ms = s->timeout_ms / LOOKS_PER_TIMEOUT;
    if (look_ms < LOOK_MIN_MS)
        look_ms = LOOK_MIN_MS;
    if (look_ms > LOOK_MAX_MS)
        look_ms = LOOK_MAX_MS;
    pthread_mutex_lock(&s->lock);
    while (!s->watch_stop) {
        if (!s->conns) {
            pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        int64_t now = clock_mono_ms();
        size_t n = 0;
        for (struct conn *c = s->conns; c; c = c->next) {
            look_at(c, now);
            n = find_gone(c, false, gone, n);
        }
        limit_tell(s, now);
        tick_all(s);
        ring_gone(s, gone, n);
        while (!s->watch_stop && cond_wait_until(&s->wake, &s->lock, now + look_ms))
            ;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int watch_start(struct http_server *s, struct err *e)
{
    int rc = pthread_create(&s->watcher, NULL, watch_main, s);
    if (rc != 0)
        return err_errno(e, rc, "cannot start the watcher of connections");
    s->watching = true;
    return 0;
}

void watch_end(struct http_server *s)
{
    if (!s->watching)
        return;
    pthread_mutex_lock(&s->lock);
    s->watch_stop = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->watcher, NULL);
    s->watching = false;
}

/* A request that has not arrived yet is void from here on. */
static void shut(struct conn *c)
{
    (void)watch_phase(c, PHASE_READING, PHASE_EXPIRED, 0);
    (void)shutdown(c->fd, SHUT_RDWR);
}

/* libmicrohttpd 0.9.75 follows a null pointer when a malformed request is refused while the daemon
 * stops: it takes no answer then, and expects one. So no connection may be left by then. Above all
 * none that sleeps: the library ends the process over it, so those are woken however long it takes.
 */
void watch_close_all(struct http_server *s)
{
    int64_t end_ms = clock_mono_ms() + CLOSE_WAIT_MS;
    struct http_ticket *asleep[GONE_MAX];
    size_t n = 0;
    pthread_mutex_lock(&s->lock);
    for (int64_t now = clock_mono_ms(); s->conns && (n || now < end_ms); now = clock_mono_ms()) {
        n = 0;
        /* Again each time: one may have been accepted just before the listener was shut. */
        for (struct conn *c = s->conns; c; c = c->next) {
            shut(c);
            n = find_gone(c, true, asleep, n);
        }
        ring_gone(s, asleep, n);
        while (s->conns && cond_wait_until(&s->idle, &s->lock, now + LOOK_MIN_MS))
            ;
    }
    pthread_mutex_unlock(&s->lock);
}
