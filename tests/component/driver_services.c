/* The host services from a driver's side: what it asks for arrives, what it gets back is right, and
 * every way to fail has its code. The hello example runs against a small backend made of them. */
#include "support/driver_pool.h"

#include "base/jsonx.h"
#include "support/cunit_main.h"

#include <fcntl.h>
#include <unistd.h>

static struct test_pool pool;
static struct record rec;

static void begin(void)
{
    test_pool_prepare(&pool);
    test_pool_start(&pool, NULL);
    record_init(&rec);
}

static void end(void)
{
    record_done(&rec);
    test_pool_end(&pool);
}

static struct coe_result run(const char *driver, const char *mode, const struct coe_services *svc)
{
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    _cleanup_json_ json_t *spec = json_pack("{s:{s:s}}", "params", "mode", mode);
    struct coe_call c = test_call(driver, "create", spec, "c1", svc);
    ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
    return r;
}

static const json_t *note(const char *what)
{
    char key[80];
    snprintf(key, sizeof key, "note/%s", what);
    const json_t *v = json_object_get(rec.outputs, key);
    if (!v)
        fprintf(stderr, "no note %s\n", what);
    CU_ASSERT_FATAL(v != NULL);
    return v;
}

static void expect(const char *what, int rc, const char *reason)
{
    const json_t *v = note(what);
    if (jsonx_int(v, "rc", 99) != rc || !str_eq(jsonx_str(v, "reason"), reason))
        fprintf(stderr, "%s: %lld %s\n", what, (long long)jsonx_int(v, "rc", 99),
                jsonx_str(v, "reason"));
    CU_ASSERT_EQUAL(jsonx_int(v, "rc", 99), rc);
    CU_ASSERT_STRING_EQUAL(jsonx_str(v, "reason"), reason);
}

static void expect_data(const char *what, const char *data)
{
    expect(what, MAG_OK, "");
    CU_ASSERT_STRING_EQUAL(jsonx_str(note(what), "data"), data);
}

static void test_every_service(void)
{
    begin();
    struct coe_services svc = record_services(&rec);
    struct coe_result r = run(PLAIN_ID, "services", &svc);
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    CU_ASSERT(r.checkpointed);
    coe_result_done(&r);

    expect("checkpoint", MAG_OK, "");
    CU_ASSERT_STRING_EQUAL(rec.state, "{\"v\":1,\"n\":2}");
    CU_ASSERT_EQUAL(rec.checkpoints, 1);
    expect("checkpoint_no_v", MAG_E_INVALID, "Invalid");
    expect("checkpoint_no_json", MAG_E_INVALID, "Invalid");
    expect("checkpoint_big", MAG_E_INVALID, "TooLarge");

    expect_data("orchestration", "201 2 content-type: text/plain\n");
    expect_data("binary", "201 4 content-type: text/plain\n");
    expect("huge", MAG_E_UNAVAILABLE, "AnswerTooLarge");
    expect("down", MAG_E_UNAVAILABLE, "Unavailable");
    CU_ASSERT_EQUAL(jsonx_int(note("down"), "flags", 0), MAG_ERR_RETRYABLE);
    CU_ASSERT_STRING_EQUAL(jsonx_str(note("down"), "message"), "connection refused");
    expect("unix:/run/x.sock", MAG_E_DENIED, "Forbidden");
    CU_ASSERT_EQUAL(json_array_size(rec.http_log), 4); /* the socket was never asked */
    const json_t *first = json_array_get(rec.http_log, 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(first, "path"), "/v1/things?x=1");
    CU_ASSERT_STRING_EQUAL(jsonx_str(first, "headers"), "X-One: 1\n");
    CU_ASSERT(jsonx_int(first, "timeout_ms", 0) <= 20000); /* cut to the budget */

    expect("secret_small", MAG_E_INVALID, "BufferTooSmall");
    expect_data("secret", "correct horse");
    expect("secret_none", MAG_E_NOT_FOUND, "NotFound");

    expect("declare", MAG_OK, "");
    expect("declare_bad", MAG_E_INVALID, "Invalid");
    expect("confirm", MAG_OK, "");
    _cleanup_json_ json_t *list = json_loads(jsonx_str(note("list"), "data"), 0, NULL);
    CU_ASSERT_EQUAL(json_array_size(list), 1);
    const json_t *entry = json_array_get(list, 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(entry, "external_id"), "id-1");
    CU_ASSERT_EQUAL(jsonx_int(json_object_get(entry, "data"), "x", -1), 1);
    expect("drop", MAG_OK, "");
    CU_ASSERT_EQUAL(json_array_size(rec.ledger), 0);

    expect_data("ca", "CA kubernetes");
    expect_data("sign", "etcd signs CSR for 3 days");
    _cleanup_json_ json_t *issued = json_loads(jsonx_str(note("issue"), "data"), 0, NULL);
    CU_ASSERT_STRING_EQUAL(jsonx_str(issued, "certificate"), "node");
    CU_ASSERT_STRING_EQUAL(jsonx_str(issued, "private_key"), "PRIVATEKEYTEXT");

    expect_data("render", "hello you");
    expect("render_undefined", MAG_E_INVALID, "RenderFailed");

    expect("no_name", MAG_E_INVALID, "BadArgument");
    expect("bad_name", MAG_E_INVALID, "BadArgument");
    expect("bad_key", MAG_E_INVALID, "BadArgument");
    expect("no_value", MAG_E_INVALID, "Invalid");
    expect("bad_value", MAG_E_INVALID, "Invalid");
    expect("null_bytes", MAG_E_INVALID, "BadArgument");
    CU_ASSERT_EQUAL(jsonx_int(note("no_err"), "rc", 0), MAG_E_INVALID);
    end();
}

static void test_unix_sockets_by_manifest(void)
{
    begin();
    struct coe_services svc = record_services(&rec);
    struct coe_result r = run("test.fixture.trusted", "services", &svc);
    coe_result_done(&r);
    expect("unix:/run/x.sock", MAG_OK, "");
    end();
}

/* Each core error as the driver meets it. */
static void test_error_mapping(void)
{
    static const struct {
        int core, mag;
        const char *reason;
        uint32_t flags;
    } cases[] = {
        {ERR_INVALID, MAG_E_INVALID, "Invalid", 0},
        {ERR_NOT_FOUND, MAG_E_NOT_FOUND, "NotFound", 0},
        {ERR_EXISTS, MAG_E_EXISTS, "Exists", 0},
        {ERR_CONFLICT, MAG_E_BUSY, "Conflict", MAG_ERR_RETRYABLE},
        {ERR_FORBIDDEN, MAG_E_DENIED, "Forbidden", 0},
        {ERR_UNAUTHORIZED, MAG_E_AUTH, "Unauthorized", 0},
        {ERR_UNSUPPORTED, MAG_E_UNSUPPORTED, "Unsupported", 0},
        {ERR_QUOTA, MAG_E_QUOTA, "QuotaExceeded", MAG_ERR_USER},
        {ERR_BUSY, MAG_E_BUSY, "Busy", MAG_ERR_RETRYABLE},
        {ERR_UNAVAILABLE, MAG_E_UNAVAILABLE, "Unavailable", MAG_ERR_RETRYABLE},
        {ERR_TIMEOUT, MAG_E_TIMEOUT, "Timeout", MAG_ERR_RETRYABLE},
        {ERR_CANCELLED, MAG_E_CANCELLED, "Cancelled", 0},
        {ERR_CANT_STORE, MAG_E_UNAVAILABLE, "StorageFull", MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR},
        {ERR_METHOD, MAG_E_INTERNAL, "HostError", 0}};
    begin();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct coe_services svc = record_services(&rec);
        rec.fail_code = cases[i].core;
        struct coe_result r = run(PLAIN_ID, "services", &svc);
        coe_result_done(&r);
        expect("checkpoint", cases[i].mag, cases[i].reason);
        expect("declare", cases[i].mag, cases[i].reason);
        expect("ca", cases[i].mag, cases[i].reason);
        expect("secret", cases[i].mag, cases[i].reason);
        CU_ASSERT_EQUAL(jsonx_int(note("checkpoint"), "flags", -1), cases[i].flags);
        CU_ASSERT_FALSE(r.checkpointed);
    }
    end();
}

static void test_not_offered(void)
{
    begin();
    struct coe_services svc = {.ctx = &rec, .output = record_services(&rec).output};
    struct coe_result r = run(PLAIN_ID, "services", &svc);
    coe_result_done(&r);
    expect("checkpoint", MAG_E_UNSUPPORTED, "Unsupported");
    expect("orchestration", MAG_E_UNSUPPORTED, "Unsupported");
    expect("secret", MAG_E_UNSUPPORTED, "Unsupported");
    expect("declare", MAG_E_UNSUPPORTED, "Unsupported");
    expect("ca", MAG_E_UNSUPPORTED, "Unsupported");
    expect_data("render", "hello you");  /* needs nobody */
    r = run(PLAIN_ID, "services", NULL); /* nothing at all: no crash */
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    coe_result_done(&r);
    end();
}

/* A fenced driver reaches nothing more, whatever it tries. */
static void test_fenced(void)
{
    begin();
    struct coe_services svc = record_services(&rec);
    rec.fenced = true;
    struct coe_result r = run(PLAIN_ID, "fenced", &svc);
    CU_ASSERT_EQUAL(r.rc, MAG_E_PRECONDITION);
    CU_ASSERT_STRING_EQUAL(r.reason, "Fenced");
    CU_ASSERT_EQUAL(json_array_size(rec.http_log), 0);
    coe_result_done(&r);
    rec.fenced = false; /* the next call of the same process starts anew */
    r = run(PLAIN_ID, "services", &svc);
    coe_result_done(&r);
    expect("checkpoint", MAG_OK, "");
    end();
}

static void test_misuse(void)
{
    begin();
    struct coe_services svc = record_services(&rec);
    struct coe_result r = run(PLAIN_ID, "misuse", &svc);
    CU_ASSERT_EQUAL(r.rc, MAG_OK); /* both wrong uses were refused */
    CU_ASSERT_EQUAL(rec.checkpoints, 0);
    coe_result_done(&r);
    r = run(PLAIN_ID, "log_thread", &svc); /* log from any thread, while a service is used */
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    CU_ASSERT_EQUAL(rec.checkpoints, 1);
    coe_result_done(&r);
    end();
}

static void test_cancelled(void)
{
    begin();
    struct coe_services svc = record_services(&rec);
    rec.cancel = true;
    struct coe_result r = run(PLAIN_ID, "polite", &svc);
    CU_ASSERT_EQUAL(r.rc, MAG_E_CANCELLED);
    CU_ASSERT_FALSE(r.host_died);
    coe_result_done(&r);
    end();
}

/* The log on stderr: secrets are hidden, floods are cut, every line names the driver. */
static char *captured(const char *mode)
{
    char path[] = "/tmp/magnum-test-XXXXXX";
    int fd = mkstemp(path), saved = dup(STDERR_FILENO);
    CU_ASSERT_FATAL(fd >= 0 && saved >= 0);
    dup2(fd, STDERR_FILENO);
    begin();
    struct coe_services svc = record_services(&rec);
    struct coe_result r = run(PLAIN_ID, mode, &svc);
    CU_ASSERT_EQUAL(r.rc, MAG_OK);
    coe_result_done(&r);
    end();
    dup2(saved, STDERR_FILENO);
    close(saved);
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    CU_ASSERT_FATAL(text && pread(fd, text, (size_t)size, 0) == size);
    close(fd);
    unlink(path);
    return text;
}

static void test_log(void)
{
    _cleanup_free_ char *secrets = captured("services"), *flood = captured("flood");
    CU_ASSERT_PTR_NOT_NULL(strstr(secrets, "the secret is ***!"));
    CU_ASSERT_PTR_NULL(strstr(secrets, "correct horse"));
    CU_ASSERT_PTR_NOT_NULL(strstr(secrets, "driver.log test.fixture.plain["));
    CU_ASSERT_PTR_NOT_NULL(strstr(flood, "driver.output test.fixture.plain["));
    CU_ASSERT_PTR_NOT_NULL(strstr(flood, "line 0 of a driver that talks too much"));
    size_t lines = 0;
    for (const char *p = flood; (p = strstr(p, "talks too much")); p++)
        lines++;
    CU_ASSERT(lines >= 5 && lines < 200); /* 20,000 were printed, 5 in a second are wanted */
}

/* ---- the hello example ---- */

struct backend {
    struct record *rec;
    int status; /* answered to the next requests; 0 = behave */
    bool exists;
    int work; /* PUTs and DELETEs answered with 202 first */
};

static int backend_http(void *ctx, const struct http_call_spec *rq, struct http_reply *rp,
                        struct err *e)
{
    struct backend *b = ctx;
    if (!str_eq(rq->path, "http://backend.test/v1/clusters/mag-c1"))
        return err_set(e, ERR_UNAVAILABLE, "wrong address %s", rq->path);
    rp->headers = strdup("retry-after: 7\n");
    rp->body = strdup("");
    rp->status = b->status;
    if (b->status)
        return 0;
    if (b->work > 0 && !str_eq(rq->method, "GET")) {
        b->work--;
        rp->status = 202;
    } else if (str_eq(rq->method, "PUT")) {
        rp->status = b->exists ? 200 : 201;
        b->exists = true;
    } else {
        rp->status = b->exists ? 200 : 404;
        b->exists = b->exists && str_eq(rq->method, "GET");
    }
    return 0;
}
static int backend_ledger(void *ctx, const char *verb, const json_t *args, json_t **ret,
                          struct err *e)
{
    return record_services(((struct backend *)ctx)->rec)
        .ledger(((struct backend *)ctx)->rec, verb, args, ret, e);
}
static int backend_output(void *ctx, const char *key, const json_t *value, struct err *e)
{
    return record_services(((struct backend *)ctx)->rec)
        .output(((struct backend *)ctx)->rec, key, value, e);
}

static struct coe_result hello(struct backend *b, const char *verb)
{
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    struct coe_services svc = {
        .ctx = b, .http = backend_http, .ledger = backend_ledger, .output = backend_output};
    _cleanup_json_ json_t *spec = test_spec("c1", 1, 1, "");
    struct coe_call c = test_call("com.example.hello", verb, spec, "c1", &svc);
    ASSERT_OK(front_coe_call(pool.pool, &c, &r, &e), &e);
    return r;
}

static int hello_rc(struct backend *b, const char *verb)
{
    struct coe_result r = hello(b, verb);
    int rc = r.rc;
    coe_result_done(&r);
    return rc;
}

static void test_hello(void)
{
    test_pool_prepare(&pool);
    test_pool_set(&pool, "driver_config.com.example.hello.endpoint", "http://backend.test");
    test_pool_start(&pool, NULL);
    record_init(&rec);
    struct backend b = {.rec = &rec, .work = 1};
    bool ready = false;
    char why[512];
    struct err e = ERR_INIT;
    ASSERT_OK(front_coe_probe(pool.pool, "com.example.hello", &ready, why, &e), &e);
    CU_ASSERT(ready);
    CU_ASSERT_EQUAL(hello_rc(&b, "validate"), MAG_OK);
    CU_ASSERT_EQUAL(hello_rc(&b, "create"), MAG_AGAIN);
    CU_ASSERT_EQUAL(hello_rc(&b, "create"), MAG_OK);
    CU_ASSERT_EQUAL(hello_rc(&b, "create"), MAG_OK); /* again: the same */
    CU_ASSERT_STRING_EQUAL(jsonx_str(rec.outputs, "api_address"),
                           "https://mag-c1.hello.invalid:6443");
    CU_ASSERT_EQUAL(record_ledger_count(&rec, "hello-cluster"), 1);
    CU_ASSERT_EQUAL(hello_rc(&b, "health"), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(rec.outputs, "health_status"), "HEALTHY");
    b.status = 503;
    CU_ASSERT_EQUAL(hello_rc(&b, "health"), MAG_OK);
    CU_ASSERT_STRING_EQUAL(jsonx_str(rec.outputs, "health_status"), "UNKNOWN");
    CU_ASSERT_EQUAL(hello_rc(&b, "scale"), MAG_E_UNAVAILABLE);
    b.status = 409;
    CU_ASSERT_EQUAL(hello_rc(&b, "update"), MAG_E_EXISTS);
    b.status = 429;
    struct coe_result r = hello(&b, "scale");
    CU_ASSERT_EQUAL(r.rc, MAG_E_BUSY);
    CU_ASSERT_EQUAL(r.retry_after_ms, 7000);
    coe_result_done(&r);
    b.status = 0;
    CU_ASSERT_EQUAL(hello_rc(&b, "remove"), MAG_OK);
    CU_ASSERT_EQUAL(hello_rc(&b, "remove"), MAG_OK); /* absent means done */
    CU_ASSERT_EQUAL(record_ledger_count(&rec, "hello-cluster"), 0);
    CU_ASSERT_FALSE(b.exists);
    end();
}

TEST_MAIN("driver_services", NULL, NULL, TEST(test_every_service),
          TEST(test_unix_sockets_by_manifest), TEST(test_error_mapping), TEST(test_not_offered),
          TEST(test_fenced), TEST(test_misuse), TEST(test_cancelled), TEST(test_log),
          TEST(test_hello))
