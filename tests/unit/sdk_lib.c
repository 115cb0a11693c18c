/* The plugin author's library: errors, JSON, labels, names, the Docker client's update loop. */
#include "support/cunit_main.h"

#include "lib/cleanup.h"
#include "lib/docker.h"
#include "lib/fail.h"
#include "lib/http.h"
#include "lib/labels.h"
#include "lib/names.h"
#include "lib/services.h"

static mag_error err;

static void fresh(void)
{
    err = (mag_error){.struct_size = sizeof err};
}

static void test_fail(void)
{
    fresh();
    CU_ASSERT_EQUAL(
        mag_fail(&err, MAG_E_QUOTA, MAG_ERR_USER, "Full", "make room", "%d of %s", 3, "x"),
        MAG_E_QUOTA);
    CU_ASSERT_STRING_EQUAL(err.message, "3 of x");
    CU_ASSERT_STRING_EQUAL(err.reason, "Full");
    CU_ASSERT_STRING_EQUAL(err.remedy, "make room");
    CU_ASSERT_EQUAL(err.flags, MAG_ERR_USER);
    mag_fail_wrap(&err, MAG_E_QUOTA, "node %s", "n1");
    CU_ASSERT_STRING_EQUAL(err.message, "node n1: 3 of x");
    CU_ASSERT_STRING_EQUAL(err.reason, "Full");
    CU_ASSERT_EQUAL(mag_fail(NULL, MAG_E_BUSY, 0, "x", NULL, "y"), MAG_E_BUSY);
}

static void test_line(void)
{
    char out[8];
    mag_line(out, sizeof out, "a\nb\tc\r\n");
    CU_ASSERT_STRING_EQUAL(out, "a b c");
    mag_line(out, sizeof out, "123456\xc3\xa4"); /* the umlaut does not fit any more */
    CU_ASSERT_STRING_EQUAL(out, "123456");
    mag_line(out, sizeof out, "12345\xc3\xa4");
    CU_ASSERT_STRING_EQUAL(out, "12345\xc3\xa4");
    mag_line(out, sizeof out, "\xff\xc3(\xed\xa0\x80");
    CU_ASSERT_STRING_EQUAL(out, "?\?(?\?\?");
    mag_line(out, sizeof out, NULL);
    CU_ASSERT_STRING_EQUAL(out, "");
    fresh();
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    mag_fail(&err, MAG_E_INVALID, 0, big, big, "%s", big);
    CU_ASSERT_EQUAL(strlen(err.message), sizeof err.message - 1);
    CU_ASSERT_EQUAL(strlen(err.remedy), sizeof err.remedy - 1);
    mag_fail_wrap(&err, MAG_E_INVALID, "%s", big);
    CU_ASSERT_EQUAL(strlen(err.message), sizeof err.message - 1);
}

static void test_json(void)
{
    _mag_json_ json_t *j = NULL, *bad = NULL;
    CU_ASSERT_EQUAL(mag_json_parse(mag_text("{\"a\":{\"b\":\"c\",\"n\":7,\"t\":true,\"z\":null}}"),
                                   "doc", &j, &err),
                    MAG_OK);
    CU_ASSERT_STRING_EQUAL(mag_json_text(j, "a.b", "?"), "c");
    CU_ASSERT_STRING_EQUAL(mag_json_text(j, "a.n", "?"), "?");
    CU_ASSERT_STRING_EQUAL(mag_json_text(j, "a.b.c", "?"), "?");
    CU_ASSERT_STRING_EQUAL(mag_json_text(NULL, "a", "?"), "?");
    CU_ASSERT_PTR_NULL(mag_json_at(j, "a.z"));
    CU_ASSERT_EQUAL(mag_json_int(j, "a.n", 1), 7);
    CU_ASSERT_EQUAL(mag_json_int(j, "a.b", 1), 1);
    CU_ASSERT(mag_json_bool(j, "a.t", false));
    CU_ASSERT_EQUAL(mag_json_parse((mag_bytes){0}, "doc", &bad, &err), MAG_OK);
    CU_ASSERT_PTR_NULL(bad);
    static const char *const broken[] = {"{", "{\"a\":1,\"a\":2}", "\xff", "{} x"};
    for (size_t i = 0; i < MAG_LEN(broken); i++) {
        fresh();
        CU_ASSERT_EQUAL(mag_json_parse(mag_text(broken[i]), "doc", &bad, &err), MAG_E_INVALID);
        CU_ASSERT_PTR_NULL(bad);
        CU_ASSERT(strstr(err.message, "doc") == err.message);
    }
}

static void test_labels(void)
{
    _mag_json_ json_t *spec =
        json_loads("{\"cluster\":{\"labels\":{\"n\":\"5\",\"b\":\"Yes\",\"s\":\"cluster\",\"o\":{},"
                   "\"x\":null}},"
                   "\"template\":{\"labels\":{\"s\":\"template\",\"t\":\"only\",\"x\":\"below\"}}}",
                   0, NULL);
    _mag_json_ json_t *group =
        json_loads("{\"labels\":{\"s\":\"group\",\"i\":9,\"f\":false}}", 0, NULL);
    struct mag_labels l = mag_labels_of(spec, group), c = mag_labels_of(spec, NULL);
    char text[16];
    int64_t n;
    bool b;
    CU_ASSERT_EQUAL(mag_label_text(l, "s", "", text, sizeof text, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(text, "group");
    CU_ASSERT_EQUAL(mag_label_text(c, "s", "", text, sizeof text, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(text, "cluster");
    CU_ASSERT_EQUAL(mag_label_text(c, "t", "", text, sizeof text, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(text, "only");
    CU_ASSERT_EQUAL(mag_label_text(c, "x", "", text, sizeof text, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(text, "below"); /* null is "not set" */
    CU_ASSERT_EQUAL(mag_label_text(c, "none", "def", text, sizeof text, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(text, "def");
    CU_ASSERT_EQUAL(mag_label_int(l, "n", 1, 10, 0, &n, &err), MAG_OK);
    CU_ASSERT_EQUAL(n, 5);
    CU_ASSERT_EQUAL(mag_label_int(l, "i", 1, 10, 0, &n, &err), MAG_OK);
    CU_ASSERT_EQUAL(n, 9);
    CU_ASSERT_EQUAL(mag_label_int(l, "none", 1, 10, -1, &n, &err), MAG_OK);
    CU_ASSERT_EQUAL(n, -1);
    CU_ASSERT_EQUAL(mag_label_bool(l, "b", false, &b, &err), MAG_OK);
    CU_ASSERT(b);
    CU_ASSERT_EQUAL(mag_label_bool(l, "f", true, &b, &err), MAG_OK);
    CU_ASSERT(!b);
    fresh();
    CU_ASSERT_EQUAL(mag_label_int(l, "n", 6, 10, 0, &n, &err), MAG_E_INVALID);
    CU_ASSERT_EQUAL(err.flags, MAG_ERR_USER);
    CU_ASSERT(strstr(err.message, "n has the value '5'") && strstr(err.remedy, "from 6 to 10"));
    CU_ASSERT_EQUAL(mag_label_int(l, "s", 0, 10, 0, &n, &err), MAG_E_INVALID);
    CU_ASSERT_EQUAL(mag_label_bool(l, "s", true, &b, &err), MAG_E_INVALID);
    CU_ASSERT_EQUAL(mag_label_text(l, "o", "", text, sizeof text, &err), MAG_E_INVALID);
    CU_ASSERT_EQUAL(mag_label_text(l, "s", "", text, 3, &err), MAG_E_INVALID);
}

static void test_names(void)
{
    char name[MAG_NAME_MAX], host[64];
    const char *id = "01234567-89ab-4cde-8f01-23456789abcd";
    mag_name(name, id, "n200");
    CU_ASSERT_STRING_EQUAL(name, "mag-01234567-89ab-4cde-8f01-23456789abcd-n200");
    mag_name(name, id, NULL);
    CU_ASSERT_STRING_EQUAL(name, "mag-01234567-89ab-4cde-8f01-23456789abcd");
    mag_hostname(host, "My_Cluster!", "default worker", 12);
    CU_ASSERT_STRING_EQUAL(host, "my-cluster-default-worker-12");
    mag_hostname(host, "\xc3\xa4\xc3\xb6", "", 3);
    CU_ASSERT_STRING_EQUAL(host, "3");
    char longest[256];
    memset(longest, 'C', 255);
    longest[255] = '\0';
    mag_hostname(host, longest, longest, 200);
    CU_ASSERT_EQUAL(strlen(host), 63);
    CU_ASSERT(strstr(host, "c-200") != NULL);
    CU_ASSERT(mag_is_uuid(id));
    CU_ASSERT(!mag_is_uuid("01234567-89AB-4cde-8f01-23456789abcd"));
    CU_ASSERT(!mag_is_uuid("../../etc/passwd-4cde-8f01-234567890"));
    CU_ASSERT(!mag_is_uuid(NULL) && !mag_is_uuid(""));
}

static void test_quote(void)
{
    char out[32];
    CU_ASSERT(mag_http_quote(out, sizeof out, "a b/{\"c\"}"));
    CU_ASSERT_STRING_EQUAL(out, "a%20b%2F%7B%22c%22%7D");
    CU_ASSERT(mag_http_quote(out, 4, "abc"));
    CU_ASSERT(!mag_http_quote(out, 3, "abc"));
    CU_ASSERT(!mag_http_quote(out, 3, "/"));
}

/* A daemon with one node object, whose version moves on by itself a few times. */
static struct {
    int version, racing, gets, posts;
    char body[256], path[128], headers[128];
    uint32_t status;
    const char *answer;
} daemon_;

static int32_t fake_http(void *ctx, const mag_op *op, const mag_http_req *rq, mag_http_resp *rp,
                         mag_error *e)
{
    static char text[256];
    (void)ctx;
    (void)op;
    (void)e;
    snprintf(daemon_.path, sizeof daemon_.path, "%s", rq->path);
    snprintf(daemon_.headers, sizeof daemon_.headers, "%s", rq->headers ? rq->headers : "");
    rp->status = 200;
    if (daemon_.status) {
        rp->status = daemon_.status;
        rp->body = mag_text(daemon_.answer);
    } else if (strcmp(rq->method, "GET") == 0) {
        daemon_.gets++;
        snprintf(text, sizeof text, "{\"Version\":{\"Index\":%d},\"Spec\":{\"Role\":\"worker\"}}",
                 daemon_.version);
        rp->body = mag_text(text);
        if (daemon_.racing-- > 0)
            daemon_.version++;
    } else {
        daemon_.posts++;
        snprintf(daemon_.body, sizeof daemon_.body, "%.*s", (int)rq->body.len,
                 (const char *)rq->body.data);
        snprintf(text, sizeof text, "version=%d", daemon_.version);
        if (!strstr(rq->path, text)) {
            rp->status = 500;
            rp->body = mag_text("{\"message\":\"rpc error: update out of sequence\"}");
        }
    }
    return MAG_OK;
}

static const mag_host host = {.struct_size = sizeof host, .http = fake_http};
static const struct mag_docker d = {.host = &host, .service = "unix:/x", .name = "n1"};

static int32_t promote(void *ctx, const json_t *object, json_t *spec, mag_error *e)
{
    (void)object;
    (void)e;
    if (ctx)
        return 0;
    json_object_set_new(spec, "Role", json_string("manager"));
    return 1;
}

static void test_docker_update(void)
{
    memset(&daemon_, 0, sizeof daemon_);
    daemon_.racing = 2;
    CU_ASSERT_EQUAL(mag_docker_update(&d, "/nodes/a", "/nodes/a/update?", promote, NULL, &err),
                    MAG_OK);
    CU_ASSERT_EQUAL(daemon_.posts, 3); /* twice someone else was faster */
    CU_ASSERT_STRING_EQUAL(daemon_.body, "{\"Role\":\"manager\"}");
    CU_ASSERT_STRING_EQUAL(daemon_.path, "/v1.41/nodes/a/update?version=2");
    CU_ASSERT(strstr(daemon_.headers, "Content-Type: application/json\n") != NULL);
    memset(&daemon_, 0, sizeof daemon_);
    CU_ASSERT_EQUAL(mag_docker_update(&d, "/nodes/a", "/nodes/a/update?", promote, &err, &err),
                    MAG_OK);
    CU_ASSERT_EQUAL(daemon_.posts, 0); /* nothing to change */
    memset(&daemon_, 0, sizeof daemon_);
    daemon_.racing = 1000;
    fresh();
    CU_ASSERT_EQUAL(mag_docker_update(&d, "/nodes/a", "/nodes/a/update?", promote, NULL, &err),
                    MAG_E_UNAVAILABLE);
    CU_ASSERT_EQUAL(daemon_.posts, 5); /* bounded */
    CU_ASSERT(strstr(err.message, "update out of sequence") != NULL);
}

static void test_docker_errors(void)
{
    static const struct {
        uint32_t status;
        const char *answer;
        int32_t code;
        const char *says;
    } cases[] = {{404, "{\"message\":\"no such node\"}", MAG_E_NOT_FOUND, "no such node"},
                 {409, "{\"message\":\"taken\"}", MAG_E_BUSY, "taken"},
                 {400, "", MAG_E_INVALID, "no message"},
                 {503, "<html>", MAG_E_UNAVAILABLE, "503"},
                 {304, "", MAG_OK, ""},
                 {200, "not json", MAG_E_INVALID, "not JSON"}};
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        _mag_json_ json_t *j = NULL;
        uint32_t status = 0;
        memset(&daemon_, 0, sizeof daemon_);
        daemon_.status = cases[i].status;
        daemon_.answer = cases[i].answer;
        fresh();
        CU_ASSERT_EQUAL(mag_docker_call(&d, "GET", "/nodes?x=1", NULL, &j, &status, &err),
                        cases[i].code);
        CU_ASSERT_EQUAL(status, cases[i].status);
        CU_ASSERT(strstr(err.message, cases[i].says) != NULL);
        CU_ASSERT_PTR_NULL(j);
    }
}

static const void *no_service(void *ctx, const char *id)
{
    (void)ctx;
    (void)id;
    return NULL;
}

/* A host of another age: services absent, or shorter than the one we know. */
static void test_services(void)
{
    static const mag_host poor = {.struct_size = sizeof poor, .get_service = no_service};
    struct mag_services s = mag_services_of(&poor);
    mag_op op = {.struct_size = sizeof op};
    json_t *j = NULL;
    fresh();
    CU_ASSERT_EQUAL(mag_ledger_declare(&s, &op, "k", "n", NULL, &err), MAG_E_UNSUPPORTED);
    CU_ASSERT(strstr(err.message, MAG_HOST_LEDGER) != NULL);
    CU_ASSERT_EQUAL(mag_ledger_list(&s, &op, NULL, &j, &err), MAG_E_UNSUPPORTED);
    CU_ASSERT_EQUAL(mag_cert_issue(&s, &op, json_null(), &j, &err), MAG_E_UNSUPPORTED);
    static const mag_host_ledger old = {.struct_size = offsetof(mag_host_ledger, drop)};
    s.ledger = &old;
    CU_ASSERT_EQUAL(mag_ledger_drop(&s, &op, "k", "n", &err), MAG_E_UNSUPPORTED);
    json_t *secret = json_pack("{s:s}", "private_key", "k");
    mag_wipe_json(&secret);
    CU_ASSERT_PTR_NULL(secret);
    CU_ASSERT_STRING_EQUAL(mag_config(&poor, "x", "def"), "def");
}

TEST_MAIN("sdk_lib", NULL, NULL, TEST(test_fail), TEST(test_line), TEST(test_json),
          TEST(test_labels), TEST(test_names), TEST(test_quote), TEST(test_docker_update),
          TEST(test_docker_errors), TEST(test_services))
