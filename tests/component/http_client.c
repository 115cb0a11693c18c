/* The outgoing HTTP client against our own server, against servers that break the protocol (raw
 * sockets that send exact bytes) and against a TLS server that asks for a client certificate. */
#include "component/http_config.h"
#include "component/http_peer.h"
#include "component/http_tls.h"
#include "http/client.h"
#include "http/server.h"
#include "support/cunit_main.h"

#include <pthread.h>
#include <stdatomic.h>

static struct http_client *client;

static int setup(void)
{
    struct err e = ERR_INIT;
    return http_client_new(&client, &e);
}
static int teardown(void)
{
    http_client_free(&client);
    return client != NULL;
}

/* ---- our own server ---- */

static void echo(void *ctx, const struct http_request *q, struct http_response *r)
{
    (void)ctx;
    r->status = 200;
    if (strcmp(q->path, "/none") == 0)
        r->status = 204;
    if (strcmp(q->path, "/same") == 0)
        r->status = 304;
    if (strcmp(q->path, "/moved") == 0) {
        r->status = 302;
        (void)http_response_header(r, "Location", "/elsewhere");
    }
    if (r->status != 200)
        return;
    static const char *const names[] = {"Content-Type", "Content-Length", "Expect", "X-One"};
    str_printf(&r->body, "%s %s [", q->method, q->path);
    str_append_n(&r->body, q->body, q->body_len);
    str_append(&r->body, "]");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *v = http_request_header(q, names[i]);
        if (v)
            str_printf(&r->body, " %s=%s", names[i], v);
    }
    (void)http_response_header(r, "X-Answer", "Some Value");
}

static void refuse(void *ctx, const struct http_request *q, const struct err *why,
                   struct http_response *r)
{
    (void)ctx;
    (void)q;
    r->status = err_http_status(why->code);
}

static struct http_server *server;

static char *start_own(void)
{
    struct config cfg = test_config();
    cfg.api_port = 0;
    struct err e = ERR_INIT;
    ASSERT_OK(http_server_start(&cfg, echo, refuse, NULL, &server, &e), &e);
    return str_fmt("http://127.0.0.1:%d", http_server_port(server));
}

/* One call; the result code, with the answer or the error in the globals. */
static struct http_answer answer;
static struct err error;

static int run(struct http_call call)
{
    if (!call.timeout_ms)
        call.timeout_ms = PEER_WAIT_MS;
    http_answer_done(&answer);
    err_clear(&error);
    return http_client_do(client, &call, &answer, &error);
}

static int run_url(const char *base, const char *method, const char *path)
{
    _cleanup_free_ char *url = str_fmt("%s%s", base, path);
    return run((struct http_call){.method = method, .url = url});
}

static void exchanges_with_our_server(void)
{
    _cleanup_free_ char *base = start_own();
    ASSERT_OK(run_url(base, "GET", "/a?x=1"), &error);
    CU_ASSERT_EQUAL(answer.status, 200);
    CU_ASSERT_STRING_EQUAL(answer.body, "GET /a []");
    CU_ASSERT_EQUAL(answer.len, strlen(answer.body));
    CU_ASSERT_PTR_NOT_NULL(strstr(answer.headers, "x-answer: Some Value\n"));
    ASSERT_OK(run_url(base, "HEAD", "/a"), &error);
    CU_ASSERT_EQUAL(answer.len, 0);
    ASSERT_OK(run_url(base, "GET", "/none"), &error);
    CU_ASSERT_EQUAL(answer.status, 204);
    ASSERT_OK(run_url(base, "GET", "/same"), &error);
    CU_ASSERT_EQUAL(answer.status, 304);
    ASSERT_OK(run_url(base, "GET", "/moved"), &error); /* told, not followed */
    CU_ASSERT_EQUAL(answer.status, 302);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer.headers, "location: /elsewhere\n"));
    ASSERT_OK(run_url(base, "DELETE", "/d"), &error);
    CU_ASSERT_STRING_EQUAL(answer.body, "DELETE /d []");
    ASSERT_OK(run_url(base, "POST", "/p"), &error);
    CU_ASSERT_STRING_EQUAL(answer.body, "POST /p [] Content-Length=0");
    http_server_stop(&server);
}

static void sends_bodies_and_headers_as_given(void)
{
    _cleanup_free_ char *base = start_own();
    _cleanup_free_ char *url = str_fmt("%s/b", base);
    const char *const headers[] = {"Content-Type: application/json", "X-One: two", NULL};
    ASSERT_OK(run((struct http_call){
                  .method = "PATCH", .url = url, .headers = headers, .body = "[1]", .body_len = 3}),
              &error);
    CU_ASSERT_STRING_EQUAL(
        answer.body, "PATCH /b [[1]] Content-Type=application/json Content-Length=3 X-One=two");
    const char *const empty[] = {"X-One:", NULL};
    ASSERT_OK(run((struct http_call){.method = "GET", .url = url, .headers = empty}), &error);
    CU_ASSERT_STRING_EQUAL(answer.body, "GET /b [] X-One=");
    _cleanup_str_ struct str big = STR_INIT; /* too small a body for nothing: no Expect pause */
    for (int i = 0; i < 60000; i++)
        str_append(&big, "0123456789abcdef");
    ASSERT_OK(
        run((struct http_call){.method = "POST", .url = url, .body = big.s, .body_len = big.len}),
        &error);
    CU_ASSERT_EQUAL(answer.status, 200);
    CU_ASSERT_PTR_NULL(strstr(answer.body, "Expect="));
    CU_ASSERT(answer.len > big.len);
    http_server_stop(&server);
}

static void uses_unix_sockets(void)
{
    char dir[] = "/tmp/magnum-http.XXXXXX";
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    _cleanup_free_ char *path = str_fmt("%s/s", dir);
    struct config cfg = test_config();
    cfg.api_unix_socket = path;
    struct err e = ERR_INIT;
    ASSERT_OK(http_server_start(&cfg, echo, refuse, NULL, &server, &e), &e);
    ASSERT_OK(run((struct http_call){.method = "GET", .url = "http://d/u", .unix_socket = path}),
              &error);
    CU_ASSERT_STRING_EQUAL(answer.body, "GET /u []");
    http_server_stop(&server);
    CU_ASSERT_EQUAL(
        run((struct http_call){.method = "GET", .url = "http://d/u", .unix_socket = path}),
        ERR_UNAVAILABLE);
    (void)rmdir(dir);
}

static void refuses_bad_calls(void)
{
    static const char *const urls[] = {
        "",           "ftp://127.0.0.1/x", "file:///etc/passwd",        "127.0.0.1:1/x",
        "http://",    "http://[::1",       "http://me:pw@127.0.0.1:1/", "gopher://x",
        "http://a b/"};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        CU_ASSERT_EQUAL(run((struct http_call){.method = "GET", .url = urls[i]}), ERR_INVALID);
        CU_ASSERT_PTR_NULL(strstr(error.msg, "pw"));
    }
    CU_ASSERT_EQUAL(run((struct http_call){.method = "GET /x", .url = "http://127.0.0.1:1/"}),
                    ERR_INVALID);
    const char *const split[] = {"X: a\r\nY: b", NULL};
    CU_ASSERT_EQUAL(
        run((struct http_call){.method = "GET", .url = "http://127.0.0.1:1/", .headers = split}),
        ERR_INVALID);
    CU_ASSERT_EQUAL(
        run((struct http_call){.method = "GET", .url = "http://127.0.0.1:1/", .timeout_ms = -1}),
        ERR_INVALID);
}

static void tells_unreachable_places(void)
{
    CU_ASSERT_EQUAL(
        run((struct http_call){.method = "GET", .url = "http://127.0.0.1:1/p?token=secret"}),
        ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.msg, "GET http://127.0.0.1:1/p: "));
    CU_ASSERT_PTR_NULL(strstr(error.msg, "secret"));
    CU_ASSERT_EQUAL(run((struct http_call){.method = "GET", .url = "http://no-such.invalid/"}),
                    ERR_UNAVAILABLE);
}

/* ---- servers that misbehave ---- */

/* Answers `n` connections with the same bytes; then waits for the peer or closes at once. */
struct raw {
    int fd, port, n;
    const char *bytes;
    size_t len;
    bool hold, reset;
    atomic_int accepted;
    pthread_t thread;
};

static void *raw_main(void *arg)
{
    struct raw *r = arg;
    for (int i = 0; i < r->n; i++) {
        _cleanup_close_ int fd = accept(r->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        atomic_fetch_add(&r->accepted, 1);
        _cleanup_str_ struct str t = STR_INIT;
        if (!r->reset)
            (void)peer_until(fd, &t, "\r\n\r\n", 1);
        (void)peer_send_n(fd, r->bytes, r->len);
        if (r->hold)
            (void)peer_until_closed(fd, &t);
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        if (r->reset)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    return NULL;
}

static void raw_start(struct raw *r)
{
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    CU_ASSERT_FATAL(bind(r->fd, (struct sockaddr *)&sin, sizeof sin) == 0);
    CU_ASSERT_FATAL(listen(r->fd, 8) == 0);
    CU_ASSERT_FATAL(getsockname(r->fd, (struct sockaddr *)&sin, &len) == 0);
    r->port = ntohs(sin.sin_port);
    pthread_create(&r->thread, NULL, raw_main, r);
}

static void raw_stop(struct raw *r)
{
    (void)shutdown(r->fd, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    (void)close(r->fd);
}

/* One GET to a server that sends exactly `bytes`. */
static int ask_raw_n(const char *bytes, size_t len, bool hold, struct http_call call)
{
    struct raw r = {.n = 1, .bytes = bytes, .len = len, .hold = hold};
    raw_start(&r);
    _cleanup_free_ char *url = str_fmt("http://127.0.0.1:%d/x", r.port);
    call.method = "GET";
    call.url = url;
    int rc = run(call);
    /* The held connection of an answered call is kept by the client: a new one ends the wait. */
    if (hold) {
        http_client_free(&client);
        struct err e = ERR_INIT;
        CU_ASSERT_EQUAL_FATAL(http_client_new(&client, &e), 0);
    }
    raw_stop(&r);
    return rc;
}
static int ask_raw(const char *text)
{
    return ask_raw_n(text, strlen(text), false, (struct http_call){0});
}

static void reads_every_kind_of_body(void)
{
    ASSERT_OK(ask_raw("HTTP/1.1 200 OK\r\n\r\nuntil the end"), &error);
    CU_ASSERT_STRING_EQUAL(answer.body, "until the end");
    ASSERT_OK(ask_raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n"),
              &error);
    CU_ASSERT_STRING_EQUAL(answer.body, "abcdefg");
    ASSERT_OK(ask_raw("HTTP/1.0 404 Nope\r\nContent-Length: 2\r\n\r\nno and more"), &error);
    CU_ASSERT_EQUAL(answer.status, 404);
    CU_ASSERT_STRING_EQUAL(answer.body, "no");
    ASSERT_OK(ask_raw("HTTP/1.1 100 Continue\r\nX-A: early\r\n\r\n"
                      "HTTP/1.1 200 OK\r\nX-A: late\r\nContent-Length: 0\r\n\r\n"),
              &error);
    CU_ASSERT_STRING_EQUAL(answer.headers, "x-a: late\ncontent-length: 0\n");
    static const char binary[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na\0b";
    ASSERT_OK(ask_raw_n(binary, sizeof binary - 1, false, (struct http_call){0}), &error);
    CU_ASSERT_EQUAL(answer.len, 3);
    CU_ASSERT(memcmp(answer.body, "a\0b", 4) == 0);
}

static void tells_broken_answers(void)
{
    CU_ASSERT_EQUAL(ask_raw(""), ERR_UNAVAILABLE); /* closed without a word */
    CU_ASSERT_EQUAL(ask_raw("rubbish\r\n\r\n"), ERR_PROTOCOL);
    CU_ASSERT_EQUAL(ask_raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), ERR_PROTOCOL);
    CU_ASSERT_EQUAL(ask_raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
                    ERR_PROTOCOL);
    CU_ASSERT_EQUAL(ask_raw("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), ERR_PROTOCOL);
    struct raw r = {.n = 1, .bytes = "", .reset = true};
    raw_start(&r);
    _cleanup_free_ char *url = str_fmt("http://127.0.0.1:%d/x", r.port);
    CU_ASSERT_EQUAL(run((struct http_call){.method = "GET", .url = url}), ERR_UNAVAILABLE);
    raw_stop(&r);
}

static void caps_answers(void)
{
    const struct http_call small = {.max_body = 8};
    static const char fits[] = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678";
    ASSERT_OK(ask_raw_n(fits, sizeof fits - 1, false, small), &error);
    static const char longer[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789";
    CU_ASSERT_EQUAL(ask_raw_n(longer, sizeof longer - 1, false, small), ERR_TOO_LARGE);
    static const char unsaid[] = "HTTP/1.1 200 OK\r\n\r\n123456789";
    CU_ASSERT_EQUAL(ask_raw_n(unsaid, sizeof unsaid - 1, false, small), ERR_TOO_LARGE);
    _cleanup_str_ struct str many = STR_INIT; /* headers without end */
    str_append(&many, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20000; i++)
        str_printf(&many, "X-%d: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", i);
    int rc = ask_raw_n(many.s, many.len, false, (struct http_call){0});
    CU_ASSERT(rc == ERR_TOO_LARGE || rc == ERR_PROTOCOL);
}

static void gives_up_in_time(void)
{
    const struct http_call quick = {.timeout_ms = 200};
    int64_t from = clock_mono_ms();
    CU_ASSERT_EQUAL(ask_raw_n("", 0, true, quick), ERR_TIMEOUT);
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    CU_ASSERT_EQUAL(ask_raw_n(half, sizeof half - 1, true, quick), ERR_TIMEOUT);
    CU_ASSERT(clock_mono_ms() - from < PEER_WAIT_MS);
}

static void keeps_connections_and_renews_them(void)
{
    _cleanup_free_ char *base = start_own();
    struct config cfg = test_config();
    cfg.api_port = http_server_port(server);
    for (int i = 0; i < 20; i++)
        ASSERT_OK(run_url(base, "GET", "/k"), &error);
    /* A kept connection that the server has closed meanwhile is not the caller's problem. */
    http_server_stop(&server);
    struct err e = ERR_INIT;
    ASSERT_OK(http_server_start(&cfg, echo, refuse, NULL, &server, &e), &e);
    ASSERT_OK(run_url(base, "GET", "/k"), &error);
    CU_ASSERT_STRING_EQUAL(answer.body, "GET /k []");
    http_server_stop(&server);

    struct raw r = {.n = 3, .hold = true};
    r.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    r.len = strlen(r.bytes);
    raw_start(&r);
    _cleanup_free_ char *url = str_fmt("http://127.0.0.1:%d/", r.port);
    ASSERT_OK(run((struct http_call){.method = "GET", .url = url}), &error);
    /* The second goes out on the kept connection, where nobody answers. */
    CU_ASSERT_EQUAL(run((struct http_call){.method = "GET", .url = url, .timeout_ms = 200}),
                    ERR_TIMEOUT);
    CU_ASSERT_EQUAL(atomic_load(&r.accepted), 1);
    raw_stop(&r);
}

static void *many_calls(void *arg)
{
    atomic_int *failed = arg;
    _cleanup_free_ char *url = str_fmt("http://127.0.0.1:%d/t", http_server_port(server));
    for (int i = 0; i < 200; i++) {
        struct http_answer a = {0};
        struct err e = ERR_INIT;
        struct http_call call = {.method = "GET", .url = url, .timeout_ms = PEER_WAIT_MS};
        if (http_client_do(client, &call, &a, &e) != 0 || a.status != 200)
            atomic_fetch_add(failed, 1);
        http_answer_done(&a);
    }
    return NULL;
}

static void serves_many_threads(void)
{
    free(start_own());
    pthread_t threads[8];
    atomic_int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_create(&threads[i], NULL, many_calls, &failed);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&failed), 0);
    http_server_stop(&server);
}

/* ---- TLS ---- */

/* A certificate out of its time is told by name and date, whichever of the chain it is. */
static void names_the_certificate_that_expired(void)
{
    static const struct {
        long ca_to, from, to;
        const char *told;
    } cases[] = {{86400, -172800, -86400, "the certificate 'kube-apiserver' expired on "},
                 {86400, 86400, 172800, "the certificate 'kube-apiserver' is not valid before "},
                 {-3600, -172800, 86400, "the CA certificate 'cluster ca' expired on "}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_pair ca, srv;
        struct tls_server t;
        char before[16], after[16]; /* midnight may lie between */
        time_t at = time(NULL) + (i == 2 ? cases[i].ca_to : i == 1 ? cases[i].from : cases[i].to);
        time_t later = at + 60;
        struct tm tm;
        CU_ASSERT(strftime(before, sizeof before, "%F", gmtime_r(&at, &tm)) > 0);
        CU_ASSERT(strftime(after, sizeof after, "%F", gmtime_r(&later, &tm)) > 0);
        tls_pair_make_for(&ca, NULL, "cluster ca", -200000, cases[i].ca_to);
        tls_pair_make_for(&srv, &ca, "kube-apiserver", cases[i].from, cases[i].to);
        tls_server_start(&t, &ca, &srv);
        _cleanup_free_ char *url = str_fmt("https://127.0.0.1:%d/", t.port);
        struct http_call call = {.method = "GET", .url = url, .ca_pem = ca.cert};
        CU_ASSERT(run(call) < 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.msg, cases[i].told));
        CU_ASSERT(strstr(error.msg, before) || strstr(error.msg, after));
        tls_server_stop(&t);
    }
}

static void speaks_tls_with_material_from_memory(void)
{
    struct tls_pair ca, srv, user, other;
    tls_pair_make(&ca, NULL, "test ca");
    tls_pair_make(&srv, &ca, "server");
    tls_pair_make(&user, &ca, "user");
    tls_pair_make(&other, NULL, "other ca");
    struct tls_server t;
    tls_server_start(&t, &ca, &srv);
    _cleanup_free_ char *url = str_fmt("https://127.0.0.1:%d/", t.port);
    struct http_call call = {
        .method = "GET", .url = url, .ca_pem = ca.cert, .cert_pem = user.cert, .key_pem = user.key};
    ASSERT_OK(run(call), &error);
    CU_ASSERT_STRING_EQUAL(answer.body, "hello user");
    call.ca_pem = other.cert;
    CU_ASSERT_EQUAL(run(call), ERR_PROTOCOL);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.msg, "certificate"));
    call.ca_pem = "no certificate";
    CU_ASSERT_EQUAL(run(call), ERR_INVALID);
    call.ca_pem = NULL;
    CU_ASSERT_EQUAL(run(call), ERR_PROTOCOL);
    call.insecure = true;
    ASSERT_OK(run(call), &error);
    call = (struct http_call){.method = "GET", .url = url, .ca_pem = ca.cert};
    CU_ASSERT(run(call) != 0); /* no client certificate */
    call.cert_pem = user.cert;
    call.key_pem = other.key; /* of another certificate */
    CU_ASSERT_EQUAL(run(call), ERR_INVALID);
    tls_server_stop(&t);
}

/* ---- several at a time ---- */

/* Each has its own end; all of them wait for the slowest only. */
static void makes_several_exchanges_at_a_time(void)
{
    struct raw broken = {.n = 1, .bytes = "rubbish\r\n\r\n"},
               slow = {.n = 1, .bytes = "", .hold = true};
    _cleanup_free_ char *base = start_own();
    raw_start(&broken);
    slow.len = 0;
    raw_start(&slow);
    broken.len = strlen(broken.bytes);
    _cleanup_free_ char *a = str_fmt("%s/a", base), *b = str_fmt("%s/b", base);
    _cleanup_free_ char *c = str_fmt("http://127.0.0.1:%d/", broken.port);
    _cleanup_free_ char *d = str_fmt("http://127.0.0.1:%d/", slow.port);
    const struct {
        const char *method, *url, *body;
        int64_t timeout_ms;
        int rc;
    } all[] = {{"GET", a, "GET /a []", PEER_WAIT_MS, 0},
               {"GET", "http://127.0.0.1:1/", NULL, PEER_WAIT_MS, ERR_UNAVAILABLE},
               {"GET", "ftp://127.0.0.1/", NULL, PEER_WAIT_MS, ERR_INVALID},
               {"GET", c, NULL, PEER_WAIT_MS, ERR_PROTOCOL},
               {"GET", d, NULL, 200, ERR_TIMEOUT},
               {"DELETE", b, "DELETE /b []", PEER_WAIT_MS, 0}};
    struct http_task tasks[ARRAY_LEN(all)];
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        tasks[i] = (struct http_task){
            .call = {.method = all[i].method, .url = all[i].url, .timeout_ms = all[i].timeout_ms}};
    http_client_do_all(client, tasks, ARRAY_LEN(tasks));
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        CU_ASSERT_EQUAL(tasks[i].rc, all[i].rc);
        if (all[i].rc == 0)
            CU_ASSERT_STRING_EQUAL(tasks[i].answer.body, all[i].body);
        CU_ASSERT(all[i].rc == 0 || (tasks[i].e.msg[0] && tasks[i].e.code == all[i].rc));
        http_answer_done(&tasks[i].answer);
    }
    http_client_do_all(client, NULL, 0);
    raw_stop(&broken);
    raw_stop(&slow);
    http_server_stop(&server);
}

static void keeps_the_connections_of_sets(void)
{
    _cleanup_free_ char *base = start_own();
    for (int i = 0; i < 20; i++) {
        struct http_task tasks[3];
        for (size_t k = 0; k < ARRAY_LEN(tasks); k++)
            tasks[k] = (struct http_task){
                .call = {.method = "GET", .url = base, .timeout_ms = PEER_WAIT_MS}};
        http_client_do_all(client, tasks, ARRAY_LEN(tasks));
        for (size_t k = 0; k < ARRAY_LEN(tasks); k++) {
            ASSERT_OK(tasks[k].rc, &tasks[k].e);
            http_answer_done(&tasks[k].answer);
        }
    }
    http_server_stop(&server);
    struct raw once = {.n = 1, .bytes = "HTTP/1.1 204 No\r\n\r\n", .hold = true};
    once.len = strlen(once.bytes);
    raw_start(&once);
    _cleanup_free_ char *url = str_fmt("http://127.0.0.1:%d/", once.port);
    struct http_task t = {.call = {.method = "GET", .url = url, .timeout_ms = PEER_WAIT_MS}};
    http_client_do_all(client, &t, 1);
    ASSERT_OK(t.rc, &t.e);
    http_answer_done(&t.answer);
    t.call.timeout_ms = 200; /* on the same connection, which says no more */
    http_client_do_all(client, &t, 1);
    CU_ASSERT_EQUAL(t.rc, ERR_TIMEOUT);
    CU_ASSERT_EQUAL(once.accepted, 1);
    raw_stop(&once);
}

static void ends(void)
{
    http_answer_done(&answer);
}

TEST_MAIN("http_client", setup, teardown, TEST(exchanges_with_our_server),
          TEST(sends_bodies_and_headers_as_given), TEST(uses_unix_sockets), TEST(refuses_bad_calls),
          TEST(tells_unreachable_places), TEST(reads_every_kind_of_body),
          TEST(tells_broken_answers), TEST(caps_answers), TEST(gives_up_in_time),
          TEST(keeps_connections_and_renews_them), TEST(serves_many_threads),
          TEST(speaks_tls_with_material_from_memory), TEST(names_the_certificate_that_expired),
          TEST(makes_several_exchanges_at_a_time), TEST(keeps_the_connections_of_sets), TEST(ends))
