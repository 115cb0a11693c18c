/* The HTTP server's limits under attack: too many connections, slow senders, clients that don't
 * read. What the others get meanwhile is the point of each case. */
#include "base/cleanup.h"
#include "component/http_config.h"
#include "component/http_peer.h"
#include "http/server.h"
#include "support/cunit_main.h"

#include <semaphore.h>

enum { CONNECTIONS = 16, LARGE = 8000000, PIECE = 16000 };

static struct http_server *server;
static int port;
static sem_t inside, way_out; /* of handlers that are told to wait */
static sem_t way_back[2];     /* of each that keeps its thread of the pool meanwhile */
/* Large answers are made quickly, also under a sanitizer: while a thread of the pool makes one, the
 * time of those that it has not heard yet runs. */
static char piece[PIECE];

static void pass(int n)
{
    while (n--)
        sem_post(&way_out);
}

static void await(sem_t *s)
{
    while (sem_wait(s) < 0)
        ;
}

static void stay(sem_t *s)
{
    sem_post(&inside);
    await(s);
}

static void serve(void *ctx, const struct http_request *q, struct http_response *r)
{
    (void)ctx;
    r->status = 200;
    if (strncmp(q->path, "/stay/", 6) == 0)
        stay(&way_back[q->path[6] - '0']);
    if (strcmp(q->path, "/wait") == 0)
        stay(&way_out);
    if (strcmp(q->path, "/large") == 0)
        for (int i = 0; i < LARGE / PIECE; i++)
            str_append_n(&r->body, piece, PIECE);
    str_append(&r->body, "served end\n");
}

static void refuse(void *ctx, const struct http_request *q, const struct err *why,
                   struct http_response *r)
{
    (void)ctx;
    (void)q;
    r->status = err_http_status(why->code);
    (void)http_response_header(r, "Retry-After", "1");
    str_append(&r->body, why->msg);
}

static bool waits(void *ctx, const struct http_request *q)
{
    (void)ctx;
    return strcmp(q->path, "/wait") == 0;
}

static struct config small(void)
{
    struct config cfg = test_config();
    cfg.api_port = 0;
    cfg.api_max_connections = CONNECTIONS;
    cfg.api_wait_threads = CONNECTIONS;
    return cfg;
}

static void start(const struct config *cfg)
{
    struct err e = ERR_INIT;
    ASSERT_OK(http_server_start_waits(cfg, serve, refuse, waits, NULL, &server, &e), &e);
    port = http_server_port(server);
}

static struct http_server_counts counts(void)
{
    struct http_server_counts n;
    http_server_count(server, &n);
    return n;
}

static void open_n(int *fds, int n, const char *text)
{
    for (int i = 0; i < n; i++) {
        fds[i] = peer_connect(port);
        CU_ASSERT_FATAL(fds[i] >= 0);
        CU_ASSERT_FATAL(peer_send(fds[i], text));
    }
    /* accepted by the pool's threads, in their own time */
    for (int64_t end = clock_mono_ms() + PEER_WAIT_MS;
         counts().open < (uint64_t)n && clock_mono_ms() < end;)
        (void)poll(NULL, 0, 1);
    CU_ASSERT(counts().open >= (uint64_t)n);
}

static void close_n(int *fds, int n)
{
    for (int i = 0; i < n; i++)
        cleanup_closep(&fds[i]);
}

/* One request of somebody else, on a new connection: what it gets. */
static void ask(const char *path, struct str *answer)
{
    _cleanup_close_ int fd = peer_connect(port);
    _cleanup_free_ char *q = str_fmt("GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    str_clear(answer);
    CU_ASSERT_FATAL(fd >= 0);
    (void)peer_send(fd, q);
    (void)peer_until(fd, answer, "end\n", 1);
}

static bool is_served(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    ask("/", &t);
    return strstr(str_text(&t), "HTTP/1.1 200") != NULL;
}

static bool still_open(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool reaches(uint64_t (*value)(void), uint64_t wanted)
{
    for (int64_t end = clock_mono_ms() + PEER_WAIT_MS; clock_mono_ms() < end;
         (void)poll(NULL, 0, 5))
        if (value() == wanted)
            return true;
    return false;
}

static uint64_t too_many(void)
{
    uint64_t n = counts().open;
    return n > CONNECTIONS ? n - CONNECTIONS : 0;
}

static uint64_t in_flight(void)
{
    return http_server_in_flight(server);
}

static void idle_connections_make_room_oldest_first(void)
{
    struct config cfg = small();
    int fds[CONNECTIONS];
    _cleanup_str_ struct str t = STR_INIT;
    start(&cfg);
    /* one after the other, so that there is an oldest one */
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = peer_connect(port);
        str_clear(&t);
        CU_ASSERT(peer_send(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
        CU_ASSERT(peer_until(fds[i], &t, "end\n", 1));
        CU_ASSERT(reaches(in_flight, 0)); /* idle since before the next one is */
    }
    CU_ASSERT_EQUAL(counts().pushed_out, 0);
    CU_ASSERT(is_served());
    CU_ASSERT_EQUAL(counts().pushed_out, 1);
    CU_ASSERT_EQUAL(counts().refused, 0);
    CU_ASSERT(peer_until_closed(fds[0], &t));
    for (int i = 1; i < CONNECTIONS; i++)
        CU_ASSERT(still_open(fds[i]));
    close_n(fds, CONNECTIONS);
    http_server_stop(&server);
}

/* Hundreds more than there is room for, all of them silent: everybody else is served. */
static void a_flood_of_idle_connections_locks_nobody_out(void)
{
    enum { FLOOD = 300 };
    struct config cfg = small();
    int fds[FLOOD];
    start(&cfg);
    for (int i = 0; i < FLOOD; i++) {
        fds[i] = peer_connect(port);
        CU_ASSERT_FATAL(fds[i] >= 0);
        if (i % 20 == 0)
            CU_ASSERT(is_served());
    }
    CU_ASSERT(is_served());
    CU_ASSERT(reaches(too_many, 0)); /* those that were shut go in a moment */
    CU_ASSERT(counts().pushed_out >= FLOOD - CONNECTIONS);
    close_n(fds, FLOOD);
    http_server_stop(&server);
}

static void slow_senders_make_room_after_a_second(void)
{
    struct config cfg = small();
    int fds[CONNECTIONS];
    _cleanup_str_ struct str t = STR_INIT;
    start(&cfg);
    open_n(fds, CONNECTIONS, "GET /slow HTTP/1.1\r\nHost: h\r\nX: ");
    int64_t end = clock_mono_ms() + PEER_WAIT_MS;
    bool served = false;
    while (!served && clock_mono_ms() < end) {
        for (int i = 0; i < CONNECTIONS; i++)
            (void)peer_send(fds[i], "x");
        served = is_served();
        (void)poll(NULL, 0, 5);
    }
    CU_ASSERT(served);
    CU_ASSERT(counts().pushed_out > 0);
    bool told = false;
    for (int i = 0; i < CONNECTIONS; i++) {
        str_clear(&t);
        if (!still_open(fds[i]) && peer_read(fds[i], &t, PEER_WAIT_MS) > 0)
            told |= strstr(t.s, "HTTP/1.1 408") && strstr(t.s, "before others needed");
    }
    CU_ASSERT(told);
    close_n(fds, CONNECTIONS);
    http_server_stop(&server);
}

static void with_all_at_work_a_new_one_is_refused_clearly(void)
{
    struct config cfg = small();
    int fds[CONNECTIONS];
    _cleanup_str_ struct str t = STR_INIT;
    start(&cfg);
    open_n(fds, CONNECTIONS, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < CONNECTIONS; i++)
        await(&inside);
    ask("/", &t);
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&t), "HTTP/1.1 503"));
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&t), "Retry-After: 1"));
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&t), "Too many connections are open; try again."));
    CU_ASSERT_EQUAL(counts().refused, 1);
    CU_ASSERT_EQUAL(counts().pushed_out, 0);
    pass(CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++) {
        str_clear(&t);
        CU_ASSERT(peer_until(fds[i], &t, "served end\n", 1)); /* nothing in work was lost */
    }
    CU_ASSERT(is_served());
    close_n(fds, CONNECTIONS);
    http_server_stop(&server);
}

/* A connection whose client takes nothing of what it asked for. */
static int ask_and_look_away(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), tiny = 4096;
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CU_ASSERT_FATAL(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny);
    CU_ASSERT_FATAL(connect(fd, (struct sockaddr *)&sin, sizeof sin) == 0);
    CU_ASSERT(peer_send(fd, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n"));
    return fd;
}

static uint64_t unread(void)
{
    return counts().unread;
}
static uint64_t readers(void)
{
    return unread() / LARGE;
}
static uint64_t expired(void)
{
    return counts().expired;
}
static uint64_t cut_off(void)
{
    return counts().cut_off;
}

static bool is_served_in_the_end(void)
{
    bool served = false;
    for (int64_t end = clock_mono_ms() + PEER_WAIT_MS; !served && clock_mono_ms() < end;)
        served = is_served(); /* a machine that stands still for the timeout may end ours too */
    return served;
}

/* Whether others were served while the readers were there. */
static bool stalled_readers_are_cut(int64_t timeout_s)
{
    enum { READERS = 8 };
    struct config cfg = small();
    int fds[READERS];
    cfg.api_request_timeout_s = timeout_s;
    cfg.api_threads = 2;
    start(&cfg);
    for (int i = 0; i < READERS; i++)
        fds[i] = ask_and_look_away();
    bool served = is_served() && expired() == 0; /* more stalled readers than threads */
    CU_ASSERT(reaches(expired, READERS));
    CU_ASSERT(reaches(unread, 0));
    CU_ASSERT(is_served_in_the_end());
    close_n(fds, READERS);
    http_server_stop(&server);
    return served;
}

/* Long before the time that so large an answer may take. */
static void who_does_not_read_is_cut_when_nothing_moves(void)
{
    bool served = false;
    for (int64_t timeout_s = 1; !served && timeout_s <= 64; timeout_s *= 4)
        served = stalled_readers_are_cut(timeout_s);
    CU_ASSERT(served);
}

static void what_nobody_reads_is_bounded(void)
{
    struct config cfg = small();
    _cleanup_str_ struct str t = STR_INIT;
    cfg.api_max_unread_mb = 2 * LARGE / 1024 / 1024 + 1; /* two of them fit */
    start(&cfg);
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = ask_and_look_away();
        CU_ASSERT(reaches(cut_off, i < 2 ? 0 : (uint64_t)i - 1));
        CU_ASSERT(i > 1 || reaches(readers, (uint64_t)i + 1));
    }
    CU_ASSERT(unread() <= 3 * (uint64_t)(LARGE + 100));
    CU_ASSERT(peer_until_closed(fds[0], &t)); /* who came first goes first */
    str_clear(&t);
    CU_ASSERT(peer_until(fds[4], &t, "served end\n", 1)); /* the youngest may still begin */
    CU_ASSERT(t.len > LARGE);
    close_n(fds, 5);
    http_server_stop(&server);
}

/* libmicrohttpd takes 128 events at once and asks for more when it got as many, however long that
 * takes, before it works on them. Here exactly so many requests come to the one thread that listens
 * while it is busy, and nobody else comes after them. */
static void many_requests_at_once_wait_for_no_other(void)
{
    enum { EVENTS = 128 };
    static const char get[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    struct config cfg = small();
    int fds[EVENTS + 1], other;
    cfg.api_max_connections = 2 * EVENTS;
    cfg.api_threads = 1; /* and the one that listens meanwhile */
    start(&cfg);
    open_n(&other, 1, "GET /stay/0 HTTP/1.1\r\nHost: h\r\n\r\n");
    await(&inside);
    open_n(fds, EVENTS + 1, "");
    CU_ASSERT(peer_send(fds[EVENTS], "GET /stay/1 HTTP/1.1\r\nHost: h\r\n\r\n"));
    await(&inside);
    for (int i = 0; i < EVENTS; i++)
        CU_ASSERT(peer_send(fds[i], get));
    sem_post(&way_back[1]);
    for (int i = 0; i < EVENTS; i++) {
        _cleanup_str_ struct str t = STR_INIT;
        CU_ASSERT_FATAL(peer_until(fds[i], &t, "served end\n", 1));
    }
    sem_post(&way_back[0]);
    close_n(fds, EVENTS + 1);
    close_n(&other, 1);
    http_server_stop(&server);
}

static int set_up(void)
{
    memset(piece, '.', sizeof piece);
    return sem_init(&inside, 0, 0) < 0 || sem_init(&way_out, 0, 0) < 0 ||
           sem_init(&way_back[0], 0, 0) < 0 || sem_init(&way_back[1], 0, 0) < 0;
}

TEST_MAIN("http_limits", set_up, NULL, TEST(idle_connections_make_room_oldest_first),
          TEST(a_flood_of_idle_connections_locks_nobody_out),
          TEST(slow_senders_make_room_after_a_second),
          TEST(with_all_at_work_a_new_one_is_refused_clearly),
          TEST(who_does_not_read_is_cut_when_nothing_moves), TEST(what_nobody_reads_is_bounded),
          TEST(many_requests_at_once_wait_for_no_other))
