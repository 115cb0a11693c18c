/* Brokered HTTP and the certificates that drivers ask for: the upcalls themselves, against an HTTP
 * server on a socket and a TLS server that demands the cluster's client certificate. */
#include "component/conductor_fixture.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "component/http_config.h"
#include "component/http_tls.h"
#include "conductor/conductor_internal.h"
#include "http/server.h"

static void echo(void *ctx, const struct http_request *q, struct http_response *r)
{
    const char *one = http_request_header(q, "X-One");
    ++*(int *)ctx;
    r->status = 418;
    str_printf(&r->body, "%s %s [", q->method, q->path);
    str_append_n(&r->body, q->body, q->body_len);
    str_printf(&r->body, "] %s", one ? one : "");
    CU_ASSERT_EQUAL(http_response_header(r, "X-Answer", "yes"), 0);
}

static void refuse(void *ctx, const struct http_request *q, const struct err *why,
                   struct http_response *r)
{
    (void)ctx;
    (void)q;
    r->status = err_http_status(why->code);
}

static struct http_server *server_on(const char *socket, int *hits)
{
    struct config cfg = test_config();
    struct http_server *s = NULL;
    struct err e = ERR_INIT;
    cfg.api_unix_socket = (char *)socket;
    ASSERT_OK(http_server_start(&cfg, echo, refuse, hits, &s, &e), &e);
    return s;
}

static struct plugin plain = {.id = "plain"}, sockets = {.id = "sockets", .unix_sockets = true};
static struct http_reply reply;
static struct err error;

static int ask(struct call_ctx *x, const char *service, const char *path, const char *headers)
{
    struct http_call_spec rq = {.method = "POST",
                                .service = service,
                                .path = path,
                                .headers = headers,
                                .body = "hello",
                                .body_len = 5,
                                .timeout_ms = PATIENCE_MS};
    free(reply.body);
    free(reply.headers);
    reply = (struct http_reply){0};
    return broker_http(x, &rq, &reply, &error);
}

static void sockets_need_the_manifest_s_word(void)
{
    char socket[128], service[160];
    int hits = 0;
    start_here(NULL, NULL);
    snprintf(socket, sizeof socket, "%s/echo.sock", dir);
    snprintf(service, sizeof service, "unix:%s", socket);
    struct http_server *s = server_on(socket, &hits);
    struct call_ctx x = {.c = here.conductor, .plugin = &sockets};
    CU_ASSERT_EQUAL(ask(&x, service, "/v1/x?y=1", "X-One: 1\r\n\nX-Two: 2\n"), 0);
    CU_ASSERT_EQUAL(reply.status, 418); /* any status is an answer */
    CU_ASSERT_STRING_EQUAL(reply.body, "POST /v1/x [hello] 1");
    CU_ASSERT_EQUAL(reply.body_len, strlen(reply.body));
    CU_ASSERT_PTR_NOT_NULL(strstr(reply.headers, "x-answer: yes\n"));
    x.plugin = &plain;
    CU_ASSERT_EQUAL(ask(&x, service, "/", NULL), ERR_FORBIDDEN);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.msg, "unix_sockets"));
    x.plugin = &sockets;
    CU_ASSERT_EQUAL(ask(&x, "unix:relative.sock", "/", NULL), ERR_INVALID);
    CU_ASSERT_EQUAL(ask(&x, service, "no-slash", NULL), ERR_INVALID);
    CU_ASSERT_EQUAL(ask(&x, service, "/", "no colon"), ERR_INVALID);
    CU_ASSERT_EQUAL(ask(&x, "unix:/nonexistent.sock", "/", NULL), ERR_UNAVAILABLE);
    CU_ASSERT_EQUAL(hits, 1);
    http_server_stop(&s);
    stop_here();
}

static void other_services_are_told_apart(void)
{
    start_here(NULL, NULL);
    struct call_ctx x = {.c = here.conductor, .plugin = &plain};
    CU_ASSERT_EQUAL(ask(&x, "orchestration", "/stacks", NULL), ERR_UNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.msg, "Keystone"));
    CU_ASSERT_EQUAL(ask(&x, "url", "file:///etc/passwd", NULL), ERR_INVALID);
    CU_ASSERT_EQUAL(ask(&x, "url", "/relative", NULL), ERR_INVALID);
    CU_ASSERT_EQUAL(ask(&x, "url", "http://127.0.0.1:1/", NULL), ERR_UNAVAILABLE);
    stop_here();
}

static void nothing_is_sent_without_a_lease_or_after_a_stop(void)
{
    char socket[128], service[160];
    int hits = 0;
    start_here(NULL, NULL);
    snprintf(socket, sizeof socket, "%s/echo.sock", dir);
    snprintf(service, sizeof service, "unix:%s", socket);
    struct http_server *s = server_on(socket, &hits);
    struct run *r = calloc(1, sizeof *r);
    struct call_ctx x = {.c = here.conductor, .plugin = &sockets, .run = r};
    CU_ASSERT_EQUAL(ask(&x, service, "/", NULL), ERR_FENCED); /* never renewed: not held */
    CU_ASSERT(x.fenced);
    atomic_store(&r->held_until_ms, clock_mono_ms() + 60000);
    CU_ASSERT_EQUAL(ask(&x, service, "/", NULL), 0);
    atomic_store(&r->cancel, true);
    CU_ASSERT_EQUAL(ask(&x, service, "/", NULL), ERR_CANCELLED);
    x.may_cancel = true; /* the call was made to undo: it may talk */
    CU_ASSERT_EQUAL(ask(&x, service, "/", NULL), 0);
    atomic_store(&r->superseded, true);
    CU_ASSERT_EQUAL(ask(&x, service, "/", NULL), ERR_CANCELLED);
    atomic_store(&r->lost, true);
    CU_ASSERT_EQUAL(ask(&x, service, "/", NULL), ERR_FENCED);
    CU_ASSERT_EQUAL(hits, 2);
    free(r);
    http_server_stop(&s);
    stop_here();
}

/* ---- certificates, and the cluster's own API ---- */
static json_t *upcall(struct call_ctx *x, const char *verb, json_t *args, int expected)
{
    json_t *ret = NULL;
    int rc = certs_upcall(x, verb, args, &ret, &error);
    json_decref(args);
    if (rc != expected)
        fprintf(stderr, "%s: %d: %s\n", verb, rc, error.msg);
    CU_ASSERT_EQUAL_FATAL(rc, expected);
    return ret;
}

static void text_of(const json_t *o, const char *key, char ret[4096])
{
    const char *text = key ? jsonx_str(o, key) : json_string_value(o);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    snprintf(ret, 4096, "%s", text);
}

static void a_cluster_is_reached_with_its_own_certificates(void)
{
    struct made m;
    struct tls_pair ca = {.key = ""}, own;
    struct tls_server t = {0};
    char text[4096], address[64];
    start_here(NULL, NULL);
    create(&m, "c", 1, "");
    await(m.op.id, OPS_SUCCEEDED);
    json_t *outputs = json_object();
    struct call_ctx x = {
        .c = here.conductor, .plugin = &plain, .cluster_id = m.c.uuid, .outputs = outputs};
    json_t *pem = upcall(&x, "ca", json_pack("{s:s}", "ca", "kubernetes"), 0);
    text_of(pem, NULL, ca.cert);
    json_decref(pem);
    json_t *pair = upcall(&x, "issue",
                          json_pack("{s:s,s:s,s:[s],s:[s]}", "ca", "kubernetes", "cn", "manager",
                                    "ip", "127.0.0.1", "usages", "server"),
                          0);
    text_of(pair, "certificate", own.cert);
    text_of(pair, "private_key", own.key);
    text_of(pair, "ca", text);
    CU_ASSERT_STRING_EQUAL(text, ca.cert);
    json_decref(pair);
    tls_server_start(&t, &ca, &own);
    /* what the driver has just published counts, though it is not stored yet */
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d/", t.port);
    json_object_set_new(outputs, "api_address", json_string(address));
    CU_ASSERT_EQUAL(ask(&x, "cluster", "/healthz", NULL), 0);
    CU_ASSERT_STRING_EQUAL(reply.body, "hello admin");
    CU_ASSERT_EQUAL(ask(&x, "cluster", "no-slash", NULL), ERR_INVALID);
    tls_server_stop(&t);

    CU_ASSERT_PTR_NULL(upcall(&x, "issue", json_pack("{s:s}", "ca", "etcd"), ERR_INVALID));
    CU_ASSERT_PTR_NULL(
        upcall(&x, "issue", json_pack("{s:s,s:[i]}", "cn", "a", "dns", 1), ERR_INVALID));
    CU_ASSERT_PTR_NULL(upcall(&x, "sign", json_pack("{s:s}", "csr", "junk"), ERR_INVALID));
    CU_ASSERT_PTR_NULL(upcall(&x, "sign", json_object(), ERR_INVALID));
    CU_ASSERT_PTR_NULL(upcall(&x, "ca", json_pack("{s:s}", "ca", "client"), ERR_INVALID));
    CU_ASSERT_PTR_NULL(upcall(&x, "dance", json_object(), ERR_UNSUPPORTED));
    call_ctx_done(&x);
    x.cluster_id = "nobody";
    CU_ASSERT_PTR_NULL(upcall(&x, "ca", json_object(), ERR_NOT_FOUND));
    json_decref(outputs);
    made_done(&m);
    stop_here();
}

static void a_cluster_without_tls_has_no_certificates(void)
{
    struct made m;
    json_t *outputs = json_object();
    start_here(NULL, NULL);
    template.tls_disabled = true;
    exec("UPDATE cluster_template SET tls_disabled = true");
    create(&m, "c", 1, "");
    template.tls_disabled = false;
    await(m.op.id, OPS_SUCCEEDED);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM x509keypair"), "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(code, ' ' ORDER BY id) FROM operation_event"),
                           "accepted started succeeded");
    struct call_ctx x = {
        .c = here.conductor, .plugin = &plain, .cluster_id = m.c.uuid, .outputs = outputs};
    CU_ASSERT_PTR_NULL(upcall(&x, "ca", json_object(), ERR_NOT_FOUND));
    exec("UPDATE cluster SET api_address = NULL");
    call_ctx_done(&x);
    CU_ASSERT_EQUAL(ask(&x, "cluster", "/", NULL), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.msg, "api_address"));
    call_ctx_done(&x);
    json_decref(outputs);
    made_done(&m);
    stop_here();
}

static int teardown(void)
{
    free(reply.body);
    free(reply.headers);
    return conductors_teardown();
}

TEST_MAIN("conductor_broker", conductors_setup, teardown, TEST(sockets_need_the_manifest_s_word),
          TEST(other_services_are_told_apart),
          TEST(nothing_is_sent_without_a_lease_or_after_a_stop),
          TEST(a_cluster_is_reached_with_its_own_certificates),
          TEST(a_cluster_without_tls_has_no_certificates))
