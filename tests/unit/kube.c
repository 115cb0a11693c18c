/* The Kubernetes client of the SDK library against scripted answers: what the real API server does
 * not give on demand. Bodies are shaped like recorded ones. */
#include "support/cunit_main.h"

#include "lib/cleanup.h"
#include "lib/kube.h"

#include <sys/resource.h>

struct script {                /* one expected request and its answer */
    const char *method, *path; /* path: a prefix */
    uint32_t status;
    const char *body, *headers;
};
static const struct script *next_step;
static size_t left, made;
static char last_body[4096], last_headers[256], last_path[1024];
static mag_error err;

static int32_t fake_http(void *ctx, const mag_op *op, const mag_http_req *rq, mag_http_resp *rp,
                         mag_error *e)
{
    (void)ctx;
    (void)op;
    (void)e;
    made++;
    CU_ASSERT_FATAL(left > 0);
    const struct script *s = next_step++;
    left--;
    CU_ASSERT_STRING_EQUAL(rq->method, s->method);
    CU_ASSERT_EQUAL(strncmp(rq->path, s->path, strlen(s->path)), 0);
    snprintf(last_path, sizeof last_path, "%s", rq->path);
    snprintf(last_headers, sizeof last_headers, "%s", rq->headers ? rq->headers : "");
    snprintf(last_body, sizeof last_body, "%.*s", (int)rq->body.len,
             rq->body.data ? (const char *)rq->body.data : "");
    if (s->status == 0)
        return MAG_E_UNAVAILABLE;
    rp->status = s->status;
    rp->body = mag_text(s->body);
    rp->headers = s->headers;
    return MAG_OK;
}

static const mag_host host = {.struct_size = sizeof host, .http = fake_http};
static const mag_op op = {.struct_size = sizeof op};
static const struct mag_kube api = {.host = &host, .op = &op, .service = "cluster"};

static void play(const struct script *v, size_t n)
{
    next_step = v;
    left = n;
    made = 0;
    err = (mag_error){.struct_size = sizeof err};
}
#define PLAY(...)                                                                                  \
    static const struct script steps[] = {__VA_ARGS__};                                            \
    play(steps, MAG_LEN(steps))

#define STATUS(reason, message)                                                                    \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","           \
    "\"message\":\"" message "\",\"reason\":\"" reason "\"}"

static void test_codes(void)
{
    static const struct {
        uint32_t status;
        const char *body;
        int32_t rc;
        const char *reason;
        bool retry;
    } cases[] = {
        {200, "{}", MAG_OK, "", false},
        {400, STATUS("BadRequest", "no"), MAG_E_INVALID, "BadRequest", false},
        {401, STATUS("Unauthorized", "no"), MAG_E_AUTH, "Unauthorized", false},
        {403, STATUS("Forbidden", "no"), MAG_E_DENIED, "Forbidden", false},
        {404, STATUS("NotFound", "no"), MAG_E_NOT_FOUND, "NotFound", false},
        {404, "{\"paths\":[]}", MAG_E_NOT_FOUND, "KubernetesRefused", false},
        {405, STATUS("MethodNotAllowed", "no"), MAG_E_INVALID, "MethodNotAllowed", false},
        {409, STATUS("AlreadyExists", "no"), MAG_E_EXISTS, "AlreadyExists", false},
        {409, STATUS("Conflict", "no"), MAG_E_BUSY, "Conflict", true},
        {410, STATUS("Expired", "no"), MAG_E_NOT_FOUND, "Expired", false},
        {415, STATUS("UnsupportedMediaType", "no"), MAG_E_INVALID, "UnsupportedMediaType", false},
        {422, STATUS("Invalid", "spec.x: no"), MAG_E_INVALID, "Invalid", false},
        {429, STATUS("TooManyRequests", "no"), MAG_E_BUSY, "TooManyRequests", true},
        {500, "{\"kind\":\"Status\",\"message\":\"etcd\"}", MAG_E_UNAVAILABLE, "KubernetesRefused",
         true},
        {500, "panic: not JSON", MAG_E_UNAVAILABLE, "KubernetesRefused", true},
        {503, "", MAG_E_UNAVAILABLE, "KubernetesRefused", true},
        {504, STATUS("Timeout", "no"), MAG_E_TIMEOUT, "Timeout", true},
    };
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        const struct script one = {"GET", "/api/v1/x", cases[i].status, cases[i].body, NULL};
        uint32_t status = 0;
        play(&one, 1);
        CU_ASSERT_EQUAL(mag_kube_call(&api, "GET", "/api/v1/x", NULL, NULL, NULL, &status, &err),
                        cases[i].rc);
        CU_ASSERT_EQUAL(status, cases[i].status);
        CU_ASSERT_STRING_EQUAL(err.reason, cases[i].reason);
        CU_ASSERT_EQUAL((err.flags & MAG_ERR_RETRYABLE) != 0, cases[i].retry);
    }
    PLAY({"GET", "/", 429, "", "content-length: 0\nretry-after: 7\n"});
    CU_ASSERT_EQUAL(mag_kube_call(&api, "GET", "/", NULL, NULL, NULL, NULL, &err), MAG_E_BUSY);
    CU_ASSERT_EQUAL(err.retry_after_ms, 7000);
    CU_ASSERT_PTR_NULL(strstr(last_headers, "Content-Type"));
}

static void test_garbage(void)
{
    PLAY({"GET", "/x", 200, "not json at all", NULL}, {"GET", "/x", 0, NULL, NULL});
    json_t *doc = NULL;
    CU_ASSERT_EQUAL(mag_kube_call(&api, "GET", "/x", NULL, NULL, &doc, NULL, &err), MAG_OK);
    CU_ASSERT_PTR_NULL(doc);
    CU_ASSERT_EQUAL(mag_kube_call(&api, "GET", "/x", NULL, NULL, &doc, NULL, &err),
                    MAG_E_UNAVAILABLE);
}

#define ITEM(name) "{\"metadata\":{\"name\":\"" name "\"}}"
static void test_pages(void)
{
    PLAY({"GET", "/api/v1/pods?a=b&limit=100", 200,
          "{\"metadata\":{\"continue\":\"a+b/=\"},\"items\":[" ITEM("p1") "," ITEM("p2") "]}",
          NULL},
         {"GET", "/api/v1/pods?a=b&limit=100&continue=a%2Bb%2F%3D", 200,
          "{\"metadata\":{},\"items\":[" ITEM("p3") "]}", NULL});
    _mag_json_ json_t *all = NULL;
    bool more = true;
    CU_ASSERT_EQUAL(mag_kube_list(&api, "/api/v1/pods?a=b", 0, &all, &more, &err), MAG_OK);
    CU_ASSERT_EQUAL(json_array_size(all), 3);
    CU_ASSERT(!more && left == 0);
    CU_ASSERT_PTR_NOT_NULL(mag_kube_named(all, "p3"));
    CU_ASSERT_PTR_NULL(mag_kube_named(all, "p4"));
}

static void test_expired_page(void)
{
    PLAY({"GET", "/l?limit=100", 200,
          "{\"metadata\":{\"continue\":\"t\"},\"items\":[" ITEM("a") "]}", NULL},
         {"GET", "/l?limit=100&continue=t", 410, STATUS("Expired", "too old"), NULL},
         {"GET", "/l?limit=100", 200, "{\"metadata\":{},\"items\":[" ITEM("b") "]}", NULL});
    _mag_json_ json_t *all = NULL;
    CU_ASSERT_EQUAL(mag_kube_list(&api, "/l", 0, &all, NULL, &err), MAG_OK);
    CU_ASSERT_EQUAL(json_array_size(all), 1); /* not the remains of the first try */
    CU_ASSERT_PTR_NOT_NULL(mag_kube_named(all, "b"));
}

static void test_list_limits(void)
{
    PLAY({"GET", "/l?limit=100", 200,
          "{\"metadata\":{\"continue\":\"t\"},\"items\":[" ITEM("a") "]}", NULL},
         {"GET", "/l?limit=100", 200, "{\"items\":{}}", NULL},
         {"GET", "/l?limit=100", 200, "[]", NULL},
         {"GET", "/l?limit=100", 410, STATUS("Expired", "x"), NULL},
         {"GET", "/l?limit=100", 410, STATUS("Expired", "x"), NULL},
         {"GET", "/l?limit=100", 410, STATUS("Expired", "x"), NULL});
    _mag_json_ json_t *all = NULL, *none = NULL;
    bool more = false;
    CU_ASSERT_EQUAL(mag_kube_list(&api, "/l", 1, &all, &more, &err), MAG_OK);
    CU_ASSERT(more && json_array_size(all) == 1);
    CU_ASSERT_EQUAL(mag_kube_list(&api, "/l", 0, &none, NULL, &err), MAG_E_UNAVAILABLE);
    CU_ASSERT_EQUAL(mag_kube_list(&api, "/l", 0, &none, NULL, &err), MAG_E_UNAVAILABLE);
    CU_ASSERT_EQUAL(mag_kube_list(&api, "/l", 0, &none, NULL, &err), MAG_E_NOT_FOUND);
    CU_ASSERT_PTR_NULL(none);
    CU_ASSERT_EQUAL(left, 0);
}

static void test_ready(void)
{
    char why[64];
    PLAY({"GET", "/readyz", 200, "ok", NULL},
         {"GET", "/readyz", 500,
          "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n[-]poststarthook/rbac failed: "
          "reason withheld\nhealthz check failed\n",
          NULL},
         {"GET", "/readyz", 200, "okay?", NULL},
         {"GET", "/readyz", 401, STATUS("Unauthorized", ""), NULL},
         {"GET", "/readyz", 0, NULL, NULL});
    CU_ASSERT_EQUAL(mag_kube_ready(&api, why, sizeof why, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_kube_ready(&api, why, sizeof why, &err), MAG_E_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(why, "etcd, poststarthook/rbac");
    CU_ASSERT_EQUAL(mag_kube_ready(&api, why, sizeof why, &err), MAG_E_UNAVAILABLE);
    CU_ASSERT_EQUAL(mag_kube_ready(&api, why, sizeof why, &err), MAG_E_AUTH);
    CU_ASSERT_EQUAL(mag_kube_ready(&api, why, sizeof why, &err), MAG_E_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(why, ""); /* it did not answer */
    char tiny[8];
    static const struct script long_one = {
        "GET", "/readyz", 500, "[-]a-very-long-name-of-a-check failed\n[-]another failed\n", NULL};
    play(&long_one, 1);
    CU_ASSERT_EQUAL(mag_kube_ready(&api, tiny, sizeof tiny, &err), MAG_E_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(tiny, "a-very-");
}

static void test_versions(void)
{
    static const struct {
        const char *text;
        bool good;
        unsigned v[3];
    } cases[] = {{"v1.20.2", true, {1, 20, 2}},
                 {"1.20", true, {1, 20, 0}},
                 {"v1.23.3-rancher1", true, {1, 23, 3}},
                 {"v1.36.0+k3s1", true, {1, 36, 0}},
                 {"1.20~rc1", true, {1, 20, 0}},
                 {"1", false, {0}},
                 {"v", false, {0}},
                 {"", false, {0}},
                 {"latest", false, {0}},
                 {"1..2", false, {0}},
                 {"1.2.3.4", false, {0}},
                 {"1.99999.0", false, {0}},
                 {"v1.20.2 ", false, {0}}};
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        unsigned v[3];
        CU_ASSERT_EQUAL(mag_kube_parse_version(cases[i].text, v), cases[i].good);
        if (cases[i].good)
            CU_ASSERT_EQUAL(memcmp(v, cases[i].v, sizeof v), 0);
    }
    char text[24];
    PLAY({"GET", "/version", 200, "{\"gitVersion\":\"v1.20.2\"}", NULL},
         {"GET", "/version", 200, "{\"gitVersion\":\"?\"}", NULL},
         {"GET", "/version", 200, "", NULL});
    CU_ASSERT_EQUAL(mag_kube_version(&api, text, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(text, "1.20.2");
    CU_ASSERT_EQUAL(mag_kube_version(&api, text, &err), MAG_E_UNAVAILABLE);
    CU_ASSERT_EQUAL(mag_kube_version(&api, text, &err), MAG_E_UNAVAILABLE);
}

static void test_quantities(void)
{
    static const struct {
        const char *text;
        double v;
    } good[] = {{"100m", 0.1},
                {"2", 2},
                {"24684084Ki", 24684084.0 * 1024},
                {"1.5Gi", 1610612736},
                {"264212084", 264212084},
                {"1G", 1e9},
                {"-1", -1},
                {"2e3", 2000}};
    static const char *const bad[] = {"", "Ki", "1 Gi", "x", "1Gib", "--1", "m"};
    double v;
    for (size_t i = 0; i < MAG_LEN(good); i++) {
        CU_ASSERT_FATAL(mag_kube_quantity(good[i].text, &v));
        CU_ASSERT_DOUBLE_EQUAL(v, good[i].v, 1e-6);
    }
    for (size_t i = 0; i < MAG_LEN(bad); i++)
        CU_ASSERT(!mag_kube_quantity(bad[i], &v));
    CU_ASSERT(!mag_kube_quantity(NULL, &v));
}

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(j);
    return j;
}

static void test_conditions(void)
{
    const char *reason, *message, *since;
    _mag_json_ json_t *n =
        parse("{\"status\":{\"conditions\":[{\"type\":\"DiskPressure\",\"status\":\"True\"},"
              "{\"type\":\"Ready\",\"status\":\"Unknown\",\"reason\":\"NodeStatusUnknown\","
              "\"message\":\"gone\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}");
    _mag_json_ json_t *fresh = parse("{\"status\":{}}");
    CU_ASSERT_STRING_EQUAL(mag_kube_node_ready(n, &reason, &message, &since), "Unknown");
    CU_ASSERT_STRING_EQUAL(reason, "NodeStatusUnknown");
    CU_ASSERT_STRING_EQUAL(since, "2026-01-01T00:00:00Z");
    CU_ASSERT_STRING_EQUAL(mag_kube_node_ready(fresh, NULL, NULL, NULL), "");
}

static void test_node_set(void)
{
    _mag_json_ json_t *node = parse("{\"metadata\":{\"name\":\"n1\",\"resourceVersion\":\"7\","
                                    "\"labels\":{\"a\":\"1\",\"old\":\"x\"}},"
                                    "\"spec\":{\"taints\":[{\"key\":\"node.kubernetes.io/"
                                    "unreachable\",\"effect\":\"NoExecute\"},"
                                    "{\"key\":\"mine\",\"value\":\"1\",\"effect\":\"NoSchedule\"},"
                                    "{\"key\":\"past\",\"effect\":\"NoSchedule\"}]}}");
    _mag_json_ json_t *same = parse("{\"a\":\"1\"}"),
                      *labels = parse("{\"a\":\"2\",\"old\":null,\"gone\":null}");
    _mag_json_ json_t *taints =
        parse("[{\"key\":\"mine\",\"value\":\"2\",\"effect\":\"NoSchedule\"}]");
    _mag_json_ json_t *former = parse("[\"past\",\"mine\"]");
    struct mag_kube_wanted w = {.labels = same, .unschedulable = -1};
    play(NULL, 0);
    CU_ASSERT_EQUAL(mag_kube_node_set(&api, node, &w, &err),
                    MAG_OK); /* nothing to do: no request */
    CU_ASSERT_EQUAL(made, 0);
    w.unschedulable = 0;
    CU_ASSERT_EQUAL(mag_kube_node_set(&api, node, &w, &err), MAG_OK);
    CU_ASSERT_EQUAL(made, 0);
    PLAY({"PATCH", "/api/v1/nodes/n1", 200, "{}", NULL},
         {"PATCH", "/api/v1/nodes/n1", 409, STATUS("Conflict", "changed"), NULL});
    w = (struct mag_kube_wanted){labels, taints, former, 1};
    CU_ASSERT_EQUAL(mag_kube_node_set(&api, node, &w, &err), MAG_OK);
    _mag_json_ json_t *sent = parse(last_body);
    _mag_json_ json_t *want =
        parse("{\"metadata\":{\"resourceVersion\":\"7\",\"labels\":{\"a\":\"2\",\"old\":null}},"
              "\"spec\":{\"unschedulable\":true,\"taints\":["
              "{\"key\":\"node.kubernetes.io/unreachable\",\"effect\":\"NoExecute\"},"
              "{\"key\":\"mine\",\"value\":\"2\",\"effect\":\"NoSchedule\"}]}}");
    CU_ASSERT(json_equal(sent, want));
    CU_ASSERT_PTR_NOT_NULL(strstr(last_headers, "application/merge-patch+json"));
    CU_ASSERT_EQUAL(mag_kube_node_set(&api, node, &w, &err), MAG_E_BUSY);
}

#define POD(name, more) "{\"metadata\":{\"namespace\":\"default\",\"name\":\"" name "\"" more "}}"
#define GOING ",\"deletionTimestamp\":\"2199-01-01T00:00:00Z\""
static void test_drain(void)
{
    char blocked[64];
    size_t pods = 99;
    PLAY(
        {"GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit=", 200,
         "{\"items\":[" POD("ds", ",\"ownerReferences\":[{\"kind\":\"DaemonSet\"}]") "," POD(
             "mirror",
             ",\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}") "," POD("going",
                                                                                 GOING) "," POD("he"
                                                                                                "l"
                                                                                                "d",
                                                                                                "") "," POD("gone",
                                                                                                            "") "," POD("new-api",
                                                                                                                        "") "]}",
         NULL},
        {"POST", "/api/v1/namespaces/default/pods/held/eviction", 429,
         STATUS("TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget."),
         "retry-after: 10\n"},
        {"POST", "/api/v1/namespaces/default/pods/gone/eviction", 404, STATUS("NotFound", "x"),
         NULL},
        {"POST", "/api/v1/namespaces/default/pods/new-api/eviction", 400, STATUS("BadRequest", "x"),
         NULL},
        {"POST", "/api/v1/namespaces/default/pods/new-api/eviction", 201, "{}", NULL});
    CU_ASSERT_EQUAL(mag_kube_drain(&api, "n1", false, &pods, blocked, sizeof blocked, &err),
                    MAG_OK);
    CU_ASSERT_EQUAL(pods, 4);
    CU_ASSERT_STRING_EQUAL(blocked, "a disruption budget protects default/held");
    CU_ASSERT_PTR_NOT_NULL(strstr(last_body, "\"policy/v1\""));
    CU_ASSERT_EQUAL(left, 0);
}

/* All containers of one have stopped, another is long past its time: their objects go at once; the
 * third is waited for. */
static void test_drain_of_ended_pods(void)
{
    size_t pods = 0;
    PLAY({"GET", "/api/v1/pods?", 200,
          "{\"items\":[{\"metadata\":{\"name\":\"over\"" GOING
          "},\"status\":{\"containerStatuses\":"
          "[{\"state\":{\"terminated\":{\"exitCode\":137}}}]}},"
          "{\"metadata\":{\"name\":\"half\"" GOING "},\"status\":{\"containerStatuses\":"
          "[{\"state\":{\"terminated\":{}}},{\"state\":{\"running\":{}}}]}},"
          "{\"metadata\":{\"name\":\"late\",\"deletionTimestamp\":\"2001-01-01T00:00:00Z\"}}]}",
          NULL},
         {"DELETE", "/api/v1/namespaces/default/pods/over", 200, "{}", NULL},
         {"DELETE", "/api/v1/namespaces/default/pods/late", 200, "{}", NULL});
    CU_ASSERT_EQUAL(mag_kube_drain(&api, "n1", false, &pods, NULL, 0, &err), MAG_OK);
    CU_ASSERT_EQUAL(pods, 1);
    CU_ASSERT_EQUAL(left, 0);
}

static void test_drain_in_a_hurry(void)
{
    size_t pods = 0;
    PLAY({"GET", "/api/v1/pods?", 200, "{\"items\":[" POD("stuck", GOING) "]}", NULL},
         {"DELETE", "/api/v1/namespaces/default/pods/stuck", 200, "{}", NULL},
         {"GET", "/api/v1/pods?", 500, "", NULL});
    CU_ASSERT_EQUAL(mag_kube_drain(&api, "n1", true, &pods, NULL, 0, &err), MAG_OK);
    CU_ASSERT_EQUAL(pods, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(last_body, "\"gracePeriodSeconds\":0"));
    CU_ASSERT_EQUAL(mag_kube_drain(&api, "n1", true, &pods, NULL, 0, &err), MAG_E_UNAVAILABLE);
}

/* A webhook that hangs: the first pod costs the time of one call, the others are not asked. */
static void test_drain_under_a_hanging_webhook(void)
{
    char blocked[192];
    size_t pods = 0;
    PLAY({"GET", "/api/v1/pods?", 200,
          "{\"items\":[" POD("one", "") "," POD("two", "") "," POD("three", "") "]}", NULL},
         {"POST", "/api/v1/namespaces/default/pods/one/eviction", 500,
          STATUS("InternalError", "failed calling webhook: context deadline exceeded"), NULL},
         {"GET", "/api/v1/pods?", 200, "{\"items\":[" POD("one", "") "]}", NULL},
         {"POST", "/api/v1/namespaces/default/pods/one/eviction", 0, "", NULL},
         {"GET", "/api/v1/pods?", 200, "{\"items\":[" POD("one", "") "]}", NULL},
         {"POST", "/api/v1/namespaces/default/pods/one/eviction", 403, STATUS("Forbidden", "no"),
          NULL});
    CU_ASSERT_EQUAL(mag_kube_drain(&api, "n1", false, &pods, blocked, sizeof blocked, &err),
                    MAG_OK);
    CU_ASSERT_EQUAL(pods, 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(blocked, "default/one: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(blocked, "failed calling webhook"));
    CU_ASSERT_EQUAL(mag_kube_drain(&api, "n1", false, &pods, NULL, 0, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_kube_drain(&api, "n1", false, &pods, NULL, 0, &err), MAG_E_DENIED);
    CU_ASSERT_EQUAL(left, 0);
}

static int32_t soon_over(void *ctx, const mag_op *o)
{
    (void)ctx;
    (void)o;
    return 1;
}

static void test_drain_ends_with_its_call(void)
{
    static const mag_host hurried = {
        .struct_size = sizeof hurried, .http = fake_http, .cancelled = soon_over};
    static const struct mag_kube k = {.host = &hurried, .op = &op, .service = "cluster"};
    size_t pods = 0;
    PLAY(
        {"GET", "/api/v1/pods?", 200, "{\"items\":[" POD("one", "") "," POD("two", "") "]}", NULL});
    CU_ASSERT_EQUAL(mag_kube_drain(&k, "n1", false, &pods, NULL, 0, &err), MAG_OK);
    CU_ASSERT_EQUAL(pods, 2);
    CU_ASSERT_EQUAL(left, 0);
}

/* ---- many pods ---- */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
enum { MANY = 10000, PER_PAGE = 100 };
static char page[PER_PAGE * 3000];
static size_t pages_asked;

/* As many items a page as the request says, told by its continue token. */
static int32_t many_http(void *ctx, const mag_op *o, const mag_http_req *rq, mag_http_resp *rp,
                         mag_error *e)
{
    static char filler[2048];
    const char *at = strstr(rq->path, "continue=");
    size_t first = at ? strtoul(at + 9, NULL, 10) : 0, n = 0, end = first + PER_PAGE;
    (void)ctx;
    (void)o;
    (void)e;
    pages_asked++;
    memset(filler, 'f', sizeof filler - 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(rq->path, "limit=100"));
    n += (size_t)snprintf(page, sizeof page, "{\"metadata\":{\"continue\":\"");
    if (end < MANY)
        n += (size_t)snprintf(page + n, sizeof page - n, "%zu", end);
    n += (size_t)snprintf(page + n, sizeof page - n, "\"},\"items\":[");
    for (size_t i = first; i < end; i++)
        n += (size_t)snprintf(page + n, sizeof page - n,
                              "%s{\"metadata\":{\"name\":\"p%zu\",\"x\":\"%s\"}}",
                              i > first ? "," : "", i, filler);
    (void)snprintf(page + n, sizeof page - n, "]}");
    rp->status = 200;
    rp->body = mag_text(page);
    return MAG_OK;
}

struct counted {
    size_t n, begun, stop_at;
};

static int32_t count_item(void *ctx, const json_t *item, mag_error *e)
{
    struct counted *c = ctx;
    (void)e;
    if (!item) {
        c->begun++;
        c->n = 0;
        return MAG_OK;
    }
    return ++c->n == c->stop_at ? MAG_AGAIN : MAG_OK;
}

static void test_many_are_read_page_by_page(void)
{
    static const mag_host big = {.struct_size = sizeof big, .http = many_http};
    static const struct mag_kube k = {.host = &big, .op = &op, .service = "cluster"};
    struct counted c = {0};
    struct rusage before, after;
    pages_asked = 0;
    (void)getrusage(RUSAGE_SELF, &before);
    CU_ASSERT_EQUAL(mag_kube_each(&k, "/api/v1/pods", count_item, &c, &err), MAG_OK);
    (void)getrusage(RUSAGE_SELF, &after);
    CU_ASSERT(c.n == MANY && c.begun == 1 && pages_asked == MANY / PER_PAGE);
    /* 20 MB of pods went by; one page of them is 200 kB */
    /* a sanitizer keeps what was freed for a while */
    CU_ASSERT(SANITIZED || after.ru_maxrss - before.ru_maxrss < 8192);
    c = (struct counted){.stop_at = 150};
    pages_asked = 0;
    CU_ASSERT_EQUAL(mag_kube_each(&k, "/api/v1/pods", count_item, &c, &err), MAG_OK);
    CU_ASSERT(c.n == 150 && pages_asked == 2);
}

TEST_MAIN("kube", NULL, NULL, TEST(test_codes), TEST(test_garbage), TEST(test_pages),
          TEST(test_expired_page), TEST(test_list_limits), TEST(test_ready), TEST(test_versions),
          TEST(test_quantities), TEST(test_conditions), TEST(test_node_set), TEST(test_drain),
          TEST(test_drain_of_ended_pods), TEST(test_drain_in_a_hurry),
          TEST(test_drain_under_a_hanging_webhook), TEST(test_drain_ends_with_its_call),
          TEST(test_many_are_read_page_by_page))
