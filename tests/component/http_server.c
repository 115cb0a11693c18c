/* The HTTP server over real sockets: what it hands to a handler, every limit, misbehaving clients,
 * deadlines and the graceful stop. The echo handler answers with what it was given. */
#include "base/cleanup.h"
#include "component/http_config.h"
#include "component/http_peer.h"
#include "http/server.h"
#include "support/cunit_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* A handler that is told to wait stays inside until the gate opens. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static bool gate_open;
static int gate_inside;

static void gate_set(bool open)
{
    pthread_mutex_lock(&gate_lock);
    gate_open = open;
    pthread_cond_broadcast(&gate_moved);
    pthread_mutex_unlock(&gate_lock);
}

static void gate_pass(void)
{
    pthread_mutex_lock(&gate_lock);
    gate_inside++;
    pthread_cond_broadcast(&gate_moved);
    while (!gate_open)
        pthread_cond_wait(&gate_moved, &gate_lock);
    gate_inside--;
    pthread_cond_broadcast(&gate_moved);
    pthread_mutex_unlock(&gate_lock);
}

static bool gate_has_inside(int n)
{
    pthread_mutex_lock(&gate_lock);
    bool there = gate_inside == n;
    pthread_mutex_unlock(&gate_lock);
    return there;
}

/* True when `n` handlers were inside before the time was over. */
static bool gate_wait_inside(int n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PEER_WAIT_MS / 1000;
    pthread_mutex_lock(&gate_lock);
    int rc = 0;
    while (gate_inside != n && rc == 0)
        rc = pthread_cond_timedwait(&gate_moved, &gate_lock, &until);
    pthread_mutex_unlock(&gate_lock);
    return rc == 0;
}

static void echo_arg(void *ctx, const char *name, const char *value)
{
    str_printf(ctx, "arg %s=%s\n", name, value);
}

/* Requests that are put aside; nobody rings. */
static atomic_int parked;

static void echo(void *ctx, const struct http_request *q, struct http_response *r)
{
    (void)ctx;
    if (strcmp(q->path, "/park") == 0 && !q->gone) {
        http_ticket_done(http_request_park(q));
        atomic_fetch_add(&parked, 1);
        return;
    }
    if (strncmp(q->path, "/wait", 5) == 0)
        gate_pass();
    r->status = 200;
    if (strcmp(q->path, "/broken") == 0)
        r->status = 42;
    if (strcmp(q->path, "/none") == 0) {
        r->status = 204;
        return;
    }
    if (strcmp(q->path, "/large") == 0) {
        for (int i = 0; i < 500000; i++)
            str_append(&r->body, "0123456789abcdef");
        return;
    }
    str_printf(&r->body, "%s %s raw %s loopback %d body %d len %zu [", q->method, q->path,
               q->raw_path, q->from_loopback, q->has_body, q->body_len);
    str_append_n(&r->body, q->body, q->body_len);
    str_append(&r->body, "]\n");
    http_request_query(q, echo_arg, &r->body);
    const char *probe = http_request_header(q, "x-probe");
    if (probe)
        (void)http_response_header(r, "X-Probe-Seen", probe);
    str_append(&r->body, "end\n");
}

static void refuse(void *ctx, const struct http_request *q, const struct err *why,
                   struct http_response *r)
{
    (void)ctx;
    (void)q;
    r->status = err_http_status(why->code);
    (void)http_response_header(r, "Content-Type", "application/json");
    str_printf(&r->body, "{\"refused\": \"%s\"}end\n", err_token(why->code));
}

static bool waits(void *ctx, const struct http_request *q)
{
    (void)ctx;
    return strncmp(q->path, "/wait/aside", 11) == 0;
}

static struct http_server *server;
static int port;

static void start(struct config *cfg)
{
    struct err e = ERR_INIT;
    cfg->api_port = 0;
    ASSERT_OK(http_server_start_waits(cfg, echo, refuse, waits, NULL, &server, &e), &e);
    port = http_server_port(server);
    gate_set(false);
}

static void start_default(void)
{
    struct config cfg = test_config();
    cfg.api_max_body_bytes = 1024;
    cfg.api_max_header_bytes = 4096;
    start(&cfg);
}

static void stop(void)
{
    gate_set(true);
    http_server_stop(&server);
}

static void send_all(int fd, const char *text)
{
    CU_ASSERT_FATAL(peer_send(fd, text));
}

static bool has(const struct str *t, const char *what)
{
    if (strstr(str_text(t), what))
        return true;
    fprintf(stderr, "no \"%s\" in: %s\n", what, str_text(t));
    return false;
}

/* Sends bytes on a fresh connection and gives the first answer, read to its "end" line. */
static void ask_n(const char *bytes, size_t len, struct str *answer)
{
    _cleanup_close_ int fd = peer_connect(port);
    CU_ASSERT_FATAL(fd >= 0);
    str_clear(answer);
    (void)peer_send_n(fd, bytes, len);
    (void)peer_until(fd, answer, "end\n", 1);
}
static void ask(const char *text, struct str *answer)
{
    ask_n(text, strlen(text), answer);
}

static void hands_over_requests(void)
{
    start_default();
    _cleanup_str_ struct str t = STR_INIT;
    ask("GET /v1/a%20b%2Fc?x=1&y=a%26b+c&flag HTTP/1.1\r\nHost: h\r\nX-PROBE: first\r\n"
        "X-Probe: second\r\n\r\n",
        &t);
    CU_ASSERT(has(&t, "HTTP/1.1 200 OK"));
    CU_ASSERT(has(&t, "GET /v1/a b/c raw /v1/a%20b%2Fc loopback 1 body 0 len 0 []"));
    CU_ASSERT(has(&t, "arg x=1\narg y=a&b c\narg flag=\n"));
    CU_ASSERT(has(&t, "X-Probe-Seen: first\r\n"));
    ask("PURGE / HTTP/1.1\r\nHost: h\r\n\r\n", &t);
    CU_ASSERT(has(&t, "PURGE / raw"));
    ask("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", &t);
    CU_ASSERT(has(&t, "body 1 len 5 [hello]"));
    ask("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &t);
    CU_ASSERT(has(&t, "body 0 len 0 []"));
    ask("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        &t);
    CU_ASSERT(has(&t, "body 1 len 5 [abcde]"));
    stop();
}

static void keeps_binary_bodies(void)
{
    start_default();
    static const char request[] =
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\na\0b\xff";
    _cleanup_str_ struct str t = STR_INIT;
    ask_n(request, sizeof request - 1, &t);
    CU_ASSERT(has(&t, "len 4 [a"));
    const char *at = memchr(t.s, '[', t.len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    CU_ASSERT(memcmp(at, "[a\0b\xff]", 6) == 0);
    stop();
}

static void answers_head_without_body(void)
{
    start_default();
    _cleanup_close_ int fd = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(fd, "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(peer_until(fd, &t, "\r\n\r\n", 2));
    CU_ASSERT(has(&t, "Content-Length: "));
    CU_ASSERT_PTR_NULL(strstr(t.s, "end\n"));
    CU_ASSERT(has(&t, "HTTP/1.1 204"));
    stop();
}

static void refuses_bad_uris(void)
{
    start_default();
    static const char *const bad[] = {"/%00",     "/%zz", "/a%2",    "/%",         "/ok?x=%00",
                                      "/ok?%f=1", "/%ff", "/%c0%af", "/%ed%a0%80", "/ok?x=%fe"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        _cleanup_str_ struct str t = STR_INIT;
        _cleanup_free_ char *q = str_fmt("GET %s HTTP/1.1\r\nHost: h\r\n\r\n", bad[i]);
        ask(q, &t);
        CU_ASSERT(has(&t, "HTTP/1.1 400"));
        CU_ASSERT(has(&t, "{\"refused\": \"invalid\"}"));
    }
    stop();
}

static void refuses_large_bodies(void)
{
    start_default();
    _cleanup_str_ struct str t = STR_INIT, big = STR_INIT;
    for (int i = 0; i < 2000; i++)
        str_append_c(&big, 'x');
    /* A little too long: read, refused, and the connection lives on. */
    _cleanup_close_ int fd = peer_connect(port);
    send_all(fd, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n");
    send_all(fd, big.s);
    CU_ASSERT(peer_until(fd, &t, "end\n", 1));
    CU_ASSERT(has(&t, "HTTP/1.1 413"));
    CU_ASSERT(has(&t, "Content-Type: application/json"));
    send_all(fd, "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n");
    send_all(fd, big.s);
    send_all(fd, "\r\n0\r\n\r\n");
    CU_ASSERT(peer_until(fd, &t, "end\n", 2));
    send_all(fd, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(peer_until(fd, &t, "end\n", 3));
    CU_ASSERT(has(&t, "GET /again"));
    CU_ASSERT_PTR_NULL(strstr(t.s, "xxxx"));
    stop();
}

static void refuses_huge_bodies_unread(void)
{
    start_default();
    _cleanup_str_ struct str t = STR_INIT;
    ask("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n", &t);
    CU_ASSERT(has(&t, "HTTP/1.1 413"));
    ask("POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n", &t);
    CU_ASSERT(has(&t, "HTTP/1.1 413"));
    CU_ASSERT_PTR_NULL(strstr(t.s, "100 Continue"));
    /* A chunked body without end is cut off. */
    _cleanup_close_ int fd = peer_connect(port);
    send_all(fd, "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    int64_t end = clock_mono_ms() + PEER_WAIT_MS;
    while (peer_send(fd, "a\r\n0123456789\r\n") && clock_mono_ms() < end)
        ;
    CU_ASSERT(clock_mono_ms() < end);
    stop();
}

static void waits_for_expected_body(void)
{
    start_default();
    _cleanup_close_ int fd = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(fd,
             "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    CU_ASSERT(peer_until(fd, &t, "100 Continue", 1));
    send_all(fd, "abc");
    CU_ASSERT(peer_until(fd, &t, "end\n", 1));
    CU_ASSERT(has(&t, "[abc]"));
    stop();
}

static void refuses_ambiguous_lengths(void)
{
    start_default();
    static const char *const bad[] = {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                                      "Transfer-Encoding: gzip\r\n", "Content-Length: five\r\n",
                                      "Content-Length: -1\r\n", "Content-Length: +5\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        _cleanup_str_ struct str t = STR_INIT;
        _cleanup_free_ char *q = str_fmt("POST /p HTTP/1.1\r\nHost: h\r\n%s\r\n0\r\n\r\n", bad[i]);
        ask(q, &t);
        CU_ASSERT(has(&t, "HTTP/1.1 400"));
    }
    stop();
}

static void refuses_large_headers(void)
{
    start_default();
    _cleanup_str_ struct str t = STR_INIT, q = STR_INIT;
    str_append(&q, "GET /h HTTP/1.1\r\nHost: h\r\nX-Long: ");
    for (int i = 0; i < 5000; i++)
        str_append_c(&q, 'y');
    str_append(&q, "\r\n\r\n");
    _cleanup_close_ int fd = peer_connect(port);
    send_all(fd, q.s);
    CU_ASSERT(peer_until(fd, &t, "end\n", 1));
    CU_ASSERT(has(&t, "HTTP/1.1 431"));
    CU_ASSERT(has(&t, "{\"refused\": \"headers-too-large\"}"));
    send_all(fd, "GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(peer_until(fd, &t, "GET /again", 1));

    str_clear(&q); /* more than a connection has room for */
    str_append(&q, "GET /h HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 20000; i++)
        str_printf(&q, "X-%d: yyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", i);
    ask(q.s, &t);
    CU_ASSERT(t.len == 0 || has(&t, "HTTP/1.1 431"));
    str_clear(&q);
    str_append(&q, "GET /");
    for (int i = 0; i < 6000; i++)
        str_append_c(&q, 'z');
    str_append(&q, " HTTP/1.1\r\nHost: h\r\n\r\n");
    ask(q.s, &t);
    CU_ASSERT(has(&t, "HTTP/1.1 431"));
    stop();
}

static void answers_pipelined_requests_in_order(void)
{
    start_default();
    _cleanup_close_ int fd = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT, q = STR_INIT;
    for (int i = 0; i < 50; i++)
        str_printf(&q, "POST /n%d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n%02d", i, i);
    send_all(fd, q.s);
    CU_ASSERT(peer_until(fd, &t, "end\n", 50));
    const char *at = str_text(&t);
    for (int i = 0; i < 50 && at; i++) {
        _cleanup_free_ char *want = str_fmt("POST /n%d raw", i);
        at = strstr(at, want);
    }
    CU_ASSERT_PTR_NOT_NULL(at);
    stop();
}

static void answers_half_closed_clients(void)
{
    start_default();
    _cleanup_close_ int fd = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(fd, "POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok");
    CU_ASSERT(shutdown(fd, SHUT_WR) == 0);
    CU_ASSERT(peer_until_closed(fd, &t));
    CU_ASSERT(has(&t, "[ok]"));
    /* A body that never comes is no request. */
    _cleanup_close_ int cut = peer_connect(port);
    str_clear(&t);
    send_all(cut, "POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nshort");
    CU_ASSERT(shutdown(cut, SHUT_WR) == 0);
    CU_ASSERT(peer_until_closed(cut, &t));
    CU_ASSERT_PTR_NULL(strstr(str_text(&t), "short"));
    stop();
}

static void survives_garbage(void)
{
    start_default();
    unsigned seed = 12345;
    for (int i = 0; i < 200; i++) {
        char junk[600];
        for (size_t k = 0; k < sizeof junk; k++) {
            seed = seed * 1103515245 + 12345;
            junk[k] = (char)(seed >> 16);
        }
        if (i % 3 == 0)
            memcpy(junk, "GET /\0x HTTP/1.1\r\n", 18);
        if (i % 3 == 1)
            memcpy(junk + 500, "\r\n\r\n", 4);
        _cleanup_close_ int fd = peer_connect(port);
        CU_ASSERT_FATAL(fd >= 0);
        (void)peer_send_n(fd, junk, sizeof junk);
    }
    _cleanup_str_ struct str t = STR_INIT;
    ask("GET /alive HTTP/1.1\r\nHost: h\r\n\r\n", &t);
    CU_ASSERT(has(&t, "GET /alive"));
    stop();
}

static void survives_clients_that_leave(void)
{
    start_default();
    for (int i = 0; i < 30; i++) {
        _cleanup_close_ int fd = peer_connect(port);
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        send_all(fd, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        _cleanup_str_ struct str t = STR_INIT;
        CU_ASSERT(peer_read(fd, &t, PEER_WAIT_MS) > 0);
    }
    _cleanup_close_ int gone = peer_connect(port);
    send_all(gone, "GET /wait/aside HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(gate_wait_inside(1));
    cleanup_closep(&gone);
    gate_set(true);
    CU_ASSERT(gate_wait_inside(0));
    _cleanup_str_ struct str t = STR_INIT;
    ask("GET /alive HTTP/1.1\r\nHost: h\r\n\r\n", &t);
    CU_ASSERT(has(&t, "GET /alive"));
    stop();
}

static void sends_large_answers(void)
{
    start_default();
    _cleanup_close_ int fd = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(fd, "GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CU_ASSERT(peer_until_closed(fd, &t));
    CU_ASSERT(has(&t, "Content-Length: 8000000\r\n"));
    CU_ASSERT(t.len > 8000000);
    stop();
}

static void serves_beside_idle_connections(void)
{
    enum { IDLE = 1000 };
    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    if (rl.rlim_cur < 4096 && rl.rlim_max >= 4096) {
        rl.rlim_cur = 4096;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
    }
    struct config cfg = test_config();
    cfg.api_max_connections = 4 * (IDLE + 10);
    start(&cfg);
    int fds[IDLE];
    for (int i = 0; i < IDLE; i++) {
        fds[i] = peer_connect(port);
        CU_ASSERT_FATAL(fds[i] >= 0);
    }
    _cleanup_str_ struct str t = STR_INIT;
    for (int i = 0; i < IDLE; i += 111) {
        str_clear(&t);
        send_all(fds[i], "GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
        CU_ASSERT(peer_until(fds[i], &t, "end\n", 1));
    }
    ask("GET /new HTTP/1.1\r\nHost: h\r\n\r\n", &t);
    CU_ASSERT(has(&t, "GET /new"));
    stop();
    for (int i = 0; i < IDLE; i++)
        (void)close(fds[i]);
}

static void limits_connections_of_one_address(void)
{
    struct config cfg = test_config();
    cfg.api_max_connections_per_ip = 2;
    start(&cfg);
    _cleanup_close_ int a = peer_connect(port);
    _cleanup_close_ int b = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(a, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    send_all(b, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(peer_until(a, &t, "end\n", 1));
    CU_ASSERT(peer_until(b, &t, "end\n", 2));
    _cleanup_close_ int c = peer_connect(port);
    (void)peer_send(c, "GET /c HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(peer_until_closed(c, &t));
    CU_ASSERT_PTR_NULL(strstr(t.s, "GET /c"));
    stop();
}

/* Two requests that take their time, up to their answers. False when the server had given up a
 * connection before it saw a byte, which it does without a word. */
static bool send_slowly(struct str *t, struct str *u)
{
    _cleanup_close_ int slow = peer_connect(port);
    (void)peer_send(slow, "GET /slow HTTP/1.1\r\nHost: h\r\n");
    _cleanup_close_ int body = peer_connect(port);
    (void)peer_send(body, "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
    int64_t end = clock_mono_ms() + PEER_WAIT_MS;
    ssize_t n = -1; /* a byte now and then does not buy more time */
    while (n < 0 && clock_mono_ms() < end) {
        (void)peer_send(slow, "X-A: b\r\n");
        (void)peer_send(body, "x");
        n = peer_read(slow, t, 50);
    }
    CU_ASSERT(peer_until_closed(slow, t));
    CU_ASSERT(peer_until_closed(body, u));
    return t->len > 0 && u->len > 0;
}

static void ends_slow_requests(void)
{
    struct config cfg = test_config();
    cfg.api_request_timeout_s = 1;
    start(&cfg);
    _cleanup_close_ int idle = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT, u = STR_INIT, none = STR_INIT;
    for (int i = 0; i < 5 && !send_slowly(&t, &u); i++) {
        str_clear(&t);
        str_clear(&u);
    }
    CU_ASSERT(has(&t, "HTTP/1.1 408"));
    CU_ASSERT(has(&t, "{\"refused\": \"request-timeout\"}"));
    CU_ASSERT(has(&u, "HTTP/1.1 408"));
    CU_ASSERT(peer_until_closed(idle, &none));
    CU_ASSERT_EQUAL(none.len, 0);
    stop();
}

/* A new connection whose request is the nth inside; another one while the server has given it up
 * before the request came. */
static int send_inside(const char *text, int nth)
{
    _cleanup_str_ struct str t = STR_INIT;
    for (int i = 0; i < 10; i++) {
        int fd = peer_connect(port);
        (void)peer_send(fd, text);
        int64_t end = clock_mono_ms() + PEER_WAIT_MS;
        while (!gate_has_inside(nth) && peer_read(fd, &t, 20) < 0 && clock_mono_ms() < end)
            ;
        if (gate_has_inside(nth))
            return fd;
        (void)close(fd);
    }
    CU_FAIL_FATAL("no request came inside");
    return -1;
}

static void slow_handlers_have_no_deadline(void)
{
    struct config cfg = test_config();
    cfg.api_request_timeout_s = 1;
    start(&cfg);
    _cleanup_str_ struct str t = STR_INIT;
    _cleanup_close_ int aside = send_inside("GET /wait/aside HTTP/1.1\r\nHost: h\r\n\r\n", 1);
    _cleanup_close_ int here = send_inside("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", 2);
    _cleanup_close_ int idle = peer_connect(port);
    CU_ASSERT(peer_until_closed(idle, &t)); /* so the timeout is over */
    gate_set(true);
    CU_ASSERT(peer_until(here, &t, "end\n", 1));
    CU_ASSERT(peer_until(aside, &t, "end\n", 2));
    stop();
}

static void waiting_requests_hold_up_nobody(void)
{
    struct config cfg = test_config();
    cfg.api_threads = 1;
    cfg.api_wait_threads = 2;
    start(&cfg);
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = peer_connect(port);
        send_all(fds[i], "POST /wait/aside HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    }
    CU_ASSERT(gate_wait_inside(2)); /* three more are queued */
    _cleanup_str_ struct str t = STR_INIT;
    ask("GET /quick HTTP/1.1\r\nHost: h\r\n\r\n", &t);
    CU_ASSERT(has(&t, "GET /quick"));
    gate_set(true);
    for (int i = 0; i < 5; i++) {
        str_clear(&t);
        CU_ASSERT(peer_until(fds[i], &t, "end\n", 1));
        CU_ASSERT(has(&t, "[hi]"));
        (void)close(fds[i]);
    }
    stop();
}

static void replaces_impossible_answers(void)
{
    start_default();
    _cleanup_str_ struct str t = STR_INIT;
    ask("GET /broken HTTP/1.1\r\nHost: h\r\n\r\n", &t);
    CU_ASSERT(has(&t, "HTTP/1.1 500"));
    CU_ASSERT(has(&t, "{\"refused\": \"internal\"}"));
    stop();
}

static void *stop_thread(void *arg)
{
    (void)arg;
    http_server_stop(&server);
    return NULL;
}

static void start_patient(void)
{
    struct config cfg = test_config();
    cfg.api_shutdown_timeout_s = 600;
    start(&cfg);
}

static void stop_finishes_what_is_in_flight(void)
{
    start_patient();
    _cleanup_close_ int aside = peer_connect(port);
    _cleanup_close_ int half = peer_connect(port);
    _cleanup_close_ int idle = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(idle, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(peer_until(idle, &t, "end\n", 1));
    send_all(aside, "GET /wait/aside HTTP/1.1\r\nHost: h\r\n\r\n");
    send_all(half, "POST /body HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                   "Content-Length: 4\r\n\r\n");
    CU_ASSERT(gate_wait_inside(1));
    str_clear(&t);
    CU_ASSERT(peer_until(half, &t, "100 Continue", 1));
    pthread_t th;
    pthread_create(&th, NULL, stop_thread, NULL);
    int64_t end = clock_mono_ms() + PEER_WAIT_MS;
    int refused = 0; /* the listener goes first */
    while (refused >= 0 && clock_mono_ms() < end) {
        refused = peer_connect(port);
        if (refused >= 0)
            (void)close(refused);
    }
    CU_ASSERT(refused < 0);
    send_all(half, "data");
    CU_ASSERT(peer_until(half, &t, "end\n", 1));
    CU_ASSERT(has(&t, "[data]"));
    gate_set(true);
    str_clear(&t);
    CU_ASSERT(peer_until_closed(aside, &t));
    CU_ASSERT(has(&t, "HTTP/1.1 200"));
    CU_ASSERT(has(&t, "Connection: close"));
    pthread_join(th, NULL);
    CU_ASSERT_PTR_NULL(server);
}

static void stop_waits_for_handlers_of_the_pool(void)
{
    start_patient();
    _cleanup_close_ int here = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(here, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(gate_wait_inside(1));
    pthread_t th;
    pthread_create(&th, NULL, stop_thread, NULL);
    CU_ASSERT_EQUAL(peer_read(here, &t, 100), -1); /* nothing yet, and not closed */
    gate_set(true);
    CU_ASSERT(peer_until_closed(here, &t));
    CU_ASSERT(has(&t, "HTTP/1.1 200"));
    pthread_join(th, NULL);
}

static atomic_bool firing;

/* Sends good, waiting and malformed requests on new connections until told to end. */
static void *fire(void *arg)
{
    static const char *const shots[] = {
        "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", "GET /wait/aside HTTP/1.1\r\nHost: h\r\n\r\n",
        "rubbish \r\n : \r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"};
    (void)arg;
    while (atomic_load(&firing))
        for (size_t i = 0; i < ARRAY_LEN(shots); i++) {
            _cleanup_close_ int fd = peer_connect(port);
            for (int again = 0; fd >= 0 && again < 3; again++)
                (void)peer_send(fd, shots[i]);
        }
    return NULL;
}

static void stop_under_fire(void)
{
    pthread_t threads[4];
    for (int round = 0; round < 8; round++) {
        start_default();
        gate_set(true);
        atomic_store(&firing, true);
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
            pthread_create(&threads[i], NULL, fire, NULL);
        _cleanup_str_ struct str t = STR_INIT;
        ask("GET /served HTTP/1.1\r\nHost: h\r\n\r\n", &t);
        CU_ASSERT(has(&t, "GET /served"));
        http_server_stop(&server);
        atomic_store(&firing, false);
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
            pthread_join(threads[i], NULL);
    }
}

/* libmicrohttpd's own call, which may let another thread go first. */
static _Thread_local bool stops;
static atomic_int taken_out; /* by the thread that stops; 0 = nothing yet */
static atomic_bool was_out;  /* by a thread of the pool */

static bool is_listener(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

__attribute__((visibility("default"))) int epoll_ctl(int set, int op, int fd,
                                                     struct epoll_event *event)
{
    if (op == EPOLL_CTL_DEL && stops && is_listener(fd)) {
        atomic_store(&taken_out, fd);
        for (int64_t end = clock_mono_ms() + PEER_WAIT_MS;
             !atomic_load(&was_out) && clock_mono_ms() < end;)
            (void)poll(NULL, 0, 1);
    }
    int rc = (int)syscall(SYS_epoll_ctl, set, op, fd, event);
    if (op == EPOLL_CTL_DEL && !stops && fd == atomic_load(&taken_out))
        atomic_store(&was_out, true);
    return rc;
}

/* The library ends the process when the listener is taken out of a thread's set that the thread has
 * just cleared itself. */
static void stop_leaves_the_sets_of_threads_alone(void)
{
    struct config cfg = test_config();
    pthread_t threads[4];
    cfg.api_threads = 1;
    start(&cfg);
    gate_set(true);
    atomic_store(&firing, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_create(&threads[i], NULL, fire, NULL);
    stops = true;
    http_server_stop(&server);
    stops = false;
    CU_ASSERT_EQUAL(atomic_load(&taken_out), 0);
    atomic_store(&firing, false);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
}

static void stop_gives_up_on_clients_in_time(void)
{
    struct config cfg = test_config();
    cfg.api_shutdown_timeout_s = 1;
    start(&cfg);
    _cleanup_close_ int half = peer_connect(port);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(half, "POST /b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                   "Content-Length: 4\r\n\r\n");
    CU_ASSERT(peer_until(half, &t, "100 Continue", 1));
    int64_t from = clock_mono_ms();
    stop();
    CU_ASSERT(clock_mono_ms() - from >= 900);
    CU_ASSERT(peer_until_closed(half, &t));
}

/* They sleep when their time is over, and a connection that sleeps ends the process. What one has
 * sent besides is unread. */
static void stop_wakes_all_that_sleep(void)
{
    enum { MANY = 300 };
    struct config cfg = test_config();
    cfg.api_shutdown_timeout_s = 0;
    start(&cfg);
    int fds[MANY];
    _cleanup_str_ struct str t = STR_INIT;
    atomic_store(&parked, 0);
    for (int i = 0; i < MANY; i++) {
        fds[i] = peer_connect(port);
        CU_ASSERT_FATAL(fds[i] >= 0);
        send_all(fds[i], "GET /park HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    int64_t hang = clock_mono_ms() + 60000;
    while (atomic_load(&parked) < MANY && clock_mono_ms() < hang)
        usleep(10000);
    CU_ASSERT_EQUAL(atomic_load(&parked), MANY);
    send_all(fds[0], "GET /more HTTP/1.1\r\nHost: h\r\n\r\n");
    stop();
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT(peer_until_closed(fds[i], &t));
        (void)close(fds[i]);
    }
}

static void listens_on_unix_sockets(void)
{
    char dir[] = "/tmp/magnum-http.XXXXXX";
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    _cleanup_free_ char *path = str_fmt("%s/api.sock", dir);
    struct config cfg = test_config();
    cfg.api_unix_socket = path;
    start(&cfg);
    CU_ASSERT_EQUAL(port, 0);
    struct stat st;
    CU_ASSERT_FATAL(stat(path, &st) == 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0660);
    _cleanup_close_ int fd = peer_connect_unix(path);
    _cleanup_str_ struct str t = STR_INIT;
    send_all(fd, "GET /u HTTP/1.1\r\nHost: h\r\n\r\n");
    CU_ASSERT(peer_until(fd, &t, "end\n", 1));
    CU_ASSERT(has(&t, "loopback 1"));

    struct http_server *second = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(http_server_start(&cfg, echo, refuse, NULL, &second, &e), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, path));
    stop();
    CU_ASSERT(stat(path, &st) < 0);

    /* A socket file that nobody listens on is replaced; another file is not. */
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    strncpy(sun.sun_path, path, sizeof sun.sun_path - 1);
    CU_ASSERT_FATAL(bind(dead, (struct sockaddr *)&sun, sizeof sun) == 0);
    (void)close(dead);
    start(&cfg);
    stop();
    FILE *f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    (void)fclose(f);
    CU_ASSERT_EQUAL(http_server_start(&cfg, echo, refuse, NULL, &second, &e), ERR_CONFIG);
    CU_ASSERT(stat(path, &st) == 0);
    (void)unlink(path);
    (void)rmdir(dir);
}

static void says_why_it_cannot_listen(void)
{
    start_default();
    struct config cfg = test_config();
    cfg.api_port = port;
    struct http_server *second = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(http_server_start(&cfg, echo, refuse, NULL, &second, &e), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "taken by another process"));
    char host[] = "no.such.host.invalid";
    cfg.api_host = host;
    CU_ASSERT_EQUAL(http_server_start(&cfg, echo, refuse, NULL, &second, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, host));
    CU_ASSERT_PTR_NULL(second);
    stop();
}

TEST_MAIN("http_server", NULL, NULL, TEST(hands_over_requests), TEST(keeps_binary_bodies),
          TEST(answers_head_without_body), TEST(refuses_bad_uris), TEST(refuses_large_bodies),
          TEST(refuses_huge_bodies_unread), TEST(waits_for_expected_body),
          TEST(refuses_ambiguous_lengths), TEST(refuses_large_headers),
          TEST(answers_pipelined_requests_in_order), TEST(answers_half_closed_clients),
          TEST(survives_garbage), TEST(survives_clients_that_leave), TEST(sends_large_answers),
          TEST(serves_beside_idle_connections), TEST(limits_connections_of_one_address),
          TEST(ends_slow_requests), TEST(slow_handlers_have_no_deadline),
          TEST(waiting_requests_hold_up_nobody), TEST(replaces_impossible_answers),
          TEST(stop_finishes_what_is_in_flight), TEST(stop_waits_for_handlers_of_the_pool),
          TEST(stop_under_fire), TEST(stop_leaves_the_sets_of_threads_alone),
          TEST(stop_gives_up_on_clients_in_time), TEST(stop_wakes_all_that_sleep),
          TEST(listens_on_unix_sockets), TEST(says_why_it_cannot_listen))
