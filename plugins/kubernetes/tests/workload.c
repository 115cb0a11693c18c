/* Objects of a cluster and its settings: what goes to the API and what of a request is refused.
 * The API's answers are scripted. */
#include "../local_run.h"
#include "support/scripted_api.h"

static mag_error err = {.struct_size = sizeof err};
static const mag_host host = {.struct_size = sizeof host, .http = scripted_http};
static struct kubernetes self = {.base = {.host = &host}};
static const mag_op op = {.struct_size = sizeof op};
static struct mag_call call = {.self = &self.base, .op = &op, .err = &err};

struct mag_kube kube_api(const struct mag_call *c, uint32_t timeout_ms)
{
    return (struct mag_kube){c->self->host, c->op, "cluster", timeout_ms};
}

static void test_list(void)
{
    PLAY({"GET", "/api/v1/namespaces/default/pods?limit=100", NULL, 200, "{\"items\":[{},{}]}"},
         {"GET", "/api/v1/replicationcontrollers?labelSelector=app%3Dweb&limit=100", NULL, 200,
          "{\"items\":[]}"},
         {"GET", "/api/v1/nodes?limit=100", NULL, 200, "{\"items\":[{}]}"},
         {"GET", "/api/v1/namespaces/a%2Fb/services?limit=100", NULL, 403,
          "{\"reason\":\"Forbidden\"}"});
    static const struct {
        const char *kind, *query;
        int32_t rc;
        size_t n;
    } cases[] = {{"pod", "", MAG_OK, 2},
                 {"rc", "{\"namespace\":\"*\",\"label_selector\":\"app=web\"}", MAG_OK, 0},
                 {"node", "{\"namespace\":\"x\"}", MAG_OK, 1},
                 {"service", "{\"namespace\":\"a/b\"}", MAG_E_DENIED, 0},
                 {"container", "", MAG_E_UNSUPPORTED, 0},
                 {"pod", "{", MAG_E_INVALID, 0}};
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        _mag_json_ json_t *doc = NULL;
        struct mag_object w = {.kind = cases[i].kind, .doc = mag_text(cases[i].query)};
        CU_ASSERT_EQUAL(workload_list(&call, &w, &doc), cases[i].rc);
        CU_ASSERT_EQUAL(json_array_size(mag_json_at(doc, "items")), cases[i].n);
    }
    CU_ASSERT_EQUAL(left, 0);
}

static void test_get_and_remove(void)
{
    PLAY({"GET", "/api/v1/namespaces/default/pods/p1", NULL, 200, "{\"kind\":\"Pod\"}"},
         {"GET", "/api/v1/namespaces/kube-system/services/dns", NULL, 404,
          "{\"reason\":\"NotFound\"}"},
         {"GET", "/api/v1/nodes/n1", NULL, 200, "garbage"},
         {"DELETE", "/api/v1/namespaces/default/replicationcontrollers/web",
          "\"propagationPolicy\":\"Background\"", 200, "{}"});
    static const struct {
        const char *kind, *name;
        int32_t rc;
    } cases[] = {{"pod", "p1", MAG_OK},
                 {"service", "kube-system/dns", MAG_E_NOT_FOUND},
                 {"node", "n1", MAG_E_UNAVAILABLE},
                 {"volume", "v", MAG_E_UNSUPPORTED}};
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        _mag_json_ json_t *doc = NULL;
        struct mag_object w = {.kind = cases[i].kind, .name = cases[i].name};
        CU_ASSERT_EQUAL(workload_get(&call, &w, &doc), cases[i].rc);
    }
    struct mag_object w = {.kind = "rc", .name = "web"};
    CU_ASSERT_EQUAL(workload_remove(&call, &w, NULL), MAG_OK);
    CU_ASSERT_EQUAL(left, 0);
}

static void test_create(void)
{
    PLAY({"POST", "/api/v1/namespaces/default/pods", "\"apiVersion\":\"v1\"", 201,
          "{\"kind\":\"Pod\"}"},
         {"POST", "/api/v1/namespaces/shop/services", NULL, 409,
          "{\"reason\":\"AlreadyExists\",\"message\":\"services \\\"s\\\" already exists\"}"});
    static const struct {
        const char *kind, *doc;
        int32_t rc;
    } cases[] = {
        {"pod", "{\"metadata\":{\"name\":\"p\"}}", MAG_OK},
        {"service", "{\"kind\":\"Service\",\"metadata\":{\"namespace\":\"shop\"}}", MAG_E_EXISTS},
        {"pod", "{\"kind\":\"Service\"}", MAG_E_INVALID},
        {"pod", "[1]", MAG_E_INVALID},
        {"pod", "", MAG_E_INVALID},
        {"pod", "kind: Pod", MAG_E_INVALID}};
    for (size_t i = 0; i < MAG_LEN(cases); i++) {
        _mag_json_ json_t *doc = NULL;
        struct mag_object w = {.kind = cases[i].kind, .doc = mag_text(cases[i].doc)};
        CU_ASSERT_EQUAL(workload_create(&call, &w, &doc), cases[i].rc);
        CU_ASSERT(cases[i].rc == MAG_OK || err.message[0]);
    }
    CU_ASSERT_EQUAL(left, 0);
}

/* Somebody else is faster once: read again. One who names a version means that version. */
static void test_update(void)
{
    PLAY({"GET", "/api/v1/namespaces/default/services/s", NULL, 200,
          "{\"metadata\":{\"name\":\"s\",\"resourceVersion\":\"5\"},\"spec\":{\"clusterIP\":\"10.0."
          "0.9\"}}"},
         {"PUT", "/api/v1/namespaces/default/services/s", "\"resourceVersion\":\"5\"", 409,
          "{\"reason\":\"Conflict\"}"},
         {"GET", "/api/v1/namespaces/default/services/s", NULL, 200,
          "{\"metadata\":{\"name\":\"s\",\"resourceVersion\":\"6\"},\"spec\":{\"clusterIP\":\"10.0."
          "0.9\"}}"},
         {"PUT", "/api/v1/namespaces/default/services/s", "\"clusterIP\":\"10.0.0.9\"", 200,
          "{\"kind\":\"Service\"}"},
         {"PUT", "/api/v1/namespaces/default/services/s", "\"resourceVersion\":\"1\"", 409,
          "{\"reason\":\"Conflict\"}"});
    _mag_json_ json_t *doc = NULL, *none = NULL;
    struct mag_object w = {
        .kind = "service", .name = "s", .doc = mag_text("{\"spec\":{\"ports\":[]}}")};
    CU_ASSERT_EQUAL(workload_update(&call, &w, &doc), MAG_OK);
    w.doc = mag_text("{\"metadata\":{\"resourceVersion\":\"1\"}}");
    CU_ASSERT_EQUAL(workload_update(&call, &w, &none), MAG_E_BUSY);
    CU_ASSERT_EQUAL(left, 0);
}

static int32_t settings(const char *labels, struct settings *ret)
{
    _mag_json_ json_t *l = json_loads(labels, 0, NULL);
    _mag_json_ json_t *spec = json_pack("{s:{s:O}}", "cluster", "labels", l);
    CU_ASSERT_PTR_NOT_NULL_FATAL(spec);
    return local_settings(spec, ret, &err);
}

static void test_settings(void)
{
    static const char *const bad[] = {
        "{\"kube_tag\":\"latest\"}",
        "{\"flannel_network_cidr\":\"10.100.0.0/17\"}",
        "{\"flannel_network_cidr\":\"10.100.0.0/7\"}",
        "{\"flannel_network_cidr\":\"10.100.3.0/16\"}", /* not a network's first address */
        "{\"flannel_network_cidr\":\"10.100.0.0\"}",
        "{\"flannel_network_cidr\":\"fd00::/16\"}",
        "{\"flannel_network_cidr\":\"10.0.0.0/8\"}", /* holds the nodes' own network */
        "{\"service_cluster_ip_range\":\"10.100.0.0/24\"}",
        "{\"service_cluster_ip_range\":\"10.77.0.0/24\"}",
        "{\"service_cluster_ip_range\":\"10.254.0.0/25\"}",
        "{\"kubelet_options\":\"v=4\"}",
        "{\"kubeapi_options\":\"--a --b c\"}",
        "{\"container_runtime\":\"host-docker\"}",
        "{\"cgroup_driver\":\"systemd\"}",
        "{\"kube_tag\":[1]}"};
    struct settings s;
    for (size_t i = 0; i < MAG_LEN(bad); i++) {
        int32_t rc = settings(bad[i], &s);
        CU_ASSERT_EQUAL(rc, MAG_E_INVALID);
        CU_ASSERT(err.flags & MAG_ERR_USER);
        if (rc == MAG_OK)
            fprintf(stderr, "  accepted: %s\n", bad[i]);
    }
    CU_ASSERT_EQUAL(settings("{}", &s), MAG_OK);
    CU_ASSERT_STRING_EQUAL(s.pods, "10.100.0.0/16");
    CU_ASSERT_EQUAL(s.services_base, 0x0afe0000);
    CU_ASSERT_PTR_NULL(s.kubelet.v[0]);
    CU_ASSERT_EQUAL(settings("{\"kubelet_options\":\"--v=4  --x=1\",\"kube_tag\":\"v1.20.2\","
                             "\"flannel_network_cidr\":\"172.16.0.0/16\"}",
                             &s),
                    MAG_OK);
    CU_ASSERT_STRING_EQUAL(s.kubelet.v[0], "--v=4");
    CU_ASSERT_STRING_EQUAL(s.kubelet.v[1], "--x=1");
    CU_ASSERT_PTR_NULL(s.kubelet.v[2]);
    char text[16];
    local_ipv4(s.pods_base + 256 * 200, text);
    CU_ASSERT_STRING_EQUAL(text, "172.16.200.0");
}

TEST_MAIN("kubernetes_workload", NULL, NULL, TEST(test_list), TEST(test_get_and_remove),
          TEST(test_create), TEST(test_update), TEST(test_settings))
