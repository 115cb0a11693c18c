/* Templates, clusters, operations and the small resources through the API, up to what conductors
 * would do: rows, statuses, wake-ups, refusals. */
#include "component/api_fixture.h"

#include "base/clock.h"
#include "base/uuid.h"

#include <pthread.h>
#include <unistd.h>

/* The members of the last answer in the order they were written. */
static void has_keys(const json_t *o, const char *keys)
{
    _cleanup_str_ struct str got = STR_INIT;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)o, key, v) str_printf(&got, "%s%s", got.len ? " " : "", key);
    CU_ASSERT_STRING_EQUAL(str_text(&got), keys);
}

static const char template_keys[] =
    "uuid name coe image_id flavor_id master_flavor_id dns_nameserver keypair_id "
    "external_network_id fixed_network fixed_subnet network_driver apiserver_port "
    "docker_volume_size cluster_distro links http_proxy https_proxy no_proxy volume_driver "
    "registry_enabled labels tls_disabled public server_type insecure_registry "
    "docker_storage_driver master_lb_enabled floating_ip_enabled project_id user_id hidden tags "
    "driver created_at updated_at";

static void templates_live(void)
{
    char path[96], location[200];
    const char *t = make_template("\"labels\":{\"delay_ms\":5,\"dry\":true,\"free\":1.5}");
    has_keys(answer_json(), template_keys);
    snprintf(location, sizeof location, "http://127.0.0.1:%d/v1/clustertemplates/%s",
             api_listens_on, t);
    CU_ASSERT_STRING_EQUAL(answer_header("Location"), location);
    const json_t *labels = json_object_get(answer_json(), "labels");
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "delay_ms"), "5");
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "dry"), "True");
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "free"), "1.5");
    CU_ASSERT_STRING_EQUAL(text_of("cluster_distro"), "simulated");
    CU_ASSERT_STRING_EQUAL(text_of("network_driver"), "flannel");
    CU_ASSERT_STRING_EQUAL(text_of("driver"), "sim_v1");
    snprintf(path, sizeof path, "/v1/clustertemplates/%s", t);
    static const struct {
        const char *patch;
        int status;
        const char *detail;
    } rows[] = {
        {"[]", 200, ""},
        {"[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"renamed\"}]", 200, ""},
        {"[{\"op\":\"replace\",\"path\":\"/docker_volume_size\",\"value\":\"7\"}]", 200, ""},
        {"[{\"op\":\"replace\",\"path\":\"/tls_disabled\",\"value\":\"True\"}]", 200, ""},
        {"[{\"op\":\"replace\",\"path\":\"/labels\",\"value\":\"{'b': '2'}\"}]", 200, ""},
        {"[{\"op\":\"add\",\"path\":\"/labels/c\",\"value\":3}]", 200, ""},
        {"[{\"op\":\"remove\",\"path\":\"/labels/b\"}]", 200, ""},
        {"[{\"op\":\"replace\",\"path\":\"/labels\",\"value\":\"x=1,y=2\"}]", 200, ""},
        {"[{\"op\":\"remove\",\"path\":\"/image_id\"}]", 400,
         "'/image_id' is a mandatory attribute and can not be removed"},
        {"[{\"op\":\"add\",\"path\":\"/colour\",\"value\":\"x\"}]", 400,
         "Adding a new attribute /colour to the root of the resource is not allowed."},
        {"[{\"op\":\"replace\",\"path\":\"/flavor_id\",\"value\":\"m9\"}]", 400,
         "Unable to find flavor m9."},
        {"[{\"op\":\"replace\",\"path\":\"/network_driver\",\"value\":\"weave\"}]", 400,
         "Network driver type weave is not supported, expecting a flannel/calico/cilium/"
         "unspecified network driver."},
        {"[{\"op\":\"replace\",\"path\":\"/network_driver\",\"value\":\"cilium\"}]", 400,
         "Network driver type cilium is not allowed, expecting a flannel/calico/unspecified "
         "network driver. "},
        {"[{\"op\":\"replace\",\"path\":\"/coe\",\"value\":\"nomad\"}]", 400,
         "Invalid input for field/attribute coe. Value: 'nomad'. Value should be one of: "
         "kubernetes, mesos, swarm, swarm-mode"},
        {"[{\"op\":\"replace\",\"path\":\"/coe\",\"value\":\"mesos\"}]", 400,
         "Network driver type flannel is not supported, expecting a docker/unspecified network "
         "driver."},
        {"[{\"op\":\"replace\",\"path\":\"/labels\",\"value\":\"{'delay_ms': 'x'}\"}]", 400,
         "Label delay_ms has the value 'x', which driver sim_v1 does not accept; allowed: integer "
         "from 0 up to 1000"},
        {"[{\"op\":\"replace\",\"path\":\"/driver\",\"value\":\"nobody\"}]", 400,
         "Cluster driver (nobody) not supported."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ASK("PATCH", path, rows[i].patch, rows[i].status);
        SAYS(rows[i].detail);
    }
    ASK("GET", "/v1/clustertemplates/renamed", NULL, 200);
    has_keys(answer_json(), template_keys);
    labels = json_object_get(answer_json(), "labels");
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "y"), "2");
    CU_ASSERT_EQUAL(json_object_size(labels), 2);
    CU_ASSERT_EQUAL(int_of("docker_volume_size"), 7);
    CU_ASSERT_TRUE(jsonx_bool(answer_json(), "tls_disabled", false));
    ASK("DELETE", path, NULL, 204);
    CU_ASSERT_STRING_EQUAL(answer_text(), "");
    CU_ASSERT_PTR_NULL(answer_header("Content-Type"));
    ASK("DELETE", path, NULL, 404);
}

static void templates_are_refused(void)
{
#define BASE "\"name\":\"t\",\"image_id\":\"simulated\",\"coe\":\"kubernetes\""
    static const struct {
        const char *body, *detail;
    } rows[] = {
        {"{\"coe\":\"kubernetes\"}", "Invalid input for field/attribute image_id. Value: 'None'. "
                                     "Mandatory field missing."},
        {"{\"image_id\":\"simulated\"}", "Requested COE type Unset is not supported."},
        {"{\"image_id\":\"simulated\",\"coe\":null}", "Requested COE type None is not supported."},
        {"{\"image_id\":null,\"coe\":\"swarm\"}", "Image None could not be found."},
        {"{\"image_id\":\"zzz\",\"coe\":\"swarm\"}", "Image zzz could not be found."},
        {"{\"image_id\":\"ubuntu\",\"coe\":\"mesos\"}",
         "Cluster type (vm, ubuntu, mesos) not supported."},
        {"{" BASE ",\"server_type\":\"bm\"}",
         "Cluster type (bm, simulated, kubernetes) not supported."},
        {"{" BASE ",\"volume_driver\":\"rexray\"}",
         "Volume driver type rexray is not supported, expecting a cinder/unspecified volume "
         "driver."},
        {"{" BASE ",\"docker_storage_driver\":\"devicemapper\",\"docker_volume_size\":2}",
         "docker volume size 2 GB is not valid, expecting minimum value 3GB for devicemapper "
         "storage driver."},
        {"{" BASE ",\"external_network_id\":\"private\"}",
         "Unable to find external network private."},
        {"{" BASE ",\"fixed_network\":\"nope\"}", "Unable to find fixed network nope."},
        {"{" BASE ",\"fixed_subnet\":\"nope\"}", "Unable to find fixed subnet nope."},
        {"{" BASE ",\"dns_nameserver\":\"8.8.8.8,8.8.4\"}",
         "Expected a single dns address or comma separated dns list, but received 8.8.8.8,8.8.4."},
        {"{" BASE ",\"labels\":{\"tag\":\"x1\"}}",
         "Label tag has the value 'x1', which driver sim_v1 does not accept; allowed: string "
         "matching ^v\\d+$"},
        {"{" BASE ",\"labels\":{\"mode\":\"lazy\"}}",
         "Label mode has the value 'lazy', which driver sim_v1 does not accept; allowed: one of "
         "fast, slow"},
        {"{" BASE ",\"tls_disabled\":\"perhaps\"}",
         "Invalid input for field/attribute tls_disabled. Value: 'perhaps'. "
         "Unrecognized value 'perhaps', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', "
         "'off', 'on', 't', 'true', 'y', 'yes'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ASK("POST", "/v1/clustertemplates", rows[i].body, 400);
        SAYS(rows[i].detail);
    }
    as("u", "p", "member,reader");
    ASK("POST", "/v1/clustertemplates", "{" BASE ",\"public\":true}", 403);
    SAYS("Not authorized to set public or hidden flag for cluster template.");
    as("u", "p", "reader");
    ASK("POST", "/v1/clustertemplates", "{" BASE "}", 403);
    SAYS("Policy doesn't allow clustertemplate:create to be performed.");
    as(NULL, NULL, NULL);
    static const char twin[] = "{" BASE ",\"uuid\":\"12121212-3434-4565-8787-909090909090\"}";
    ASK("POST", "/v1/clustertemplates", twin, 201);
    ASK("POST", "/v1/clustertemplates", twin, 409);
    SAYS("A ClusterTemplate with UUID 12121212-3434-4565-8787-909090909090 already exists.");
}

static const char cluster_keys[] =
    "uuid name cluster_template_id keypair node_count master_count docker_volume_size labels "
    "master_flavor_id flavor_id create_timeout links stack_id status status_reason health_status "
    "health_status_reason discovery_url api_address coe_version container_version project_id "
    "user_id node_addresses master_addresses fixed_network fixed_subnet floating_ip_enabled "
    "merge_labels labels_overridden labels_added labels_skipped master_lb_enabled created_at "
    "updated_at";

static void clusters_live(void)
{
    char path[96], resize[128], ops[128];
    const char *t = make_template("\"labels\":{\"a\":\"1\",\"b\":\"2\"}");
    int due = conductor_due;
    microversion("1.10");
    const char *c = make_cluster(t, "\"labels\":{\"b\":\"3\",\"c\":4},\"node_count\":2");
    has_keys(answer_json(), "uuid");
    for (int64_t until = clock_mono_ms() + 60000; conductor_due == due && clock_mono_ms() < until;)
        usleep(2000); /* polls the counter that the rpc thread raises */
    CU_ASSERT(conductor_due > due);
    snprintf(path, sizeof path, "/v1/clusters/%s", c);
    snprintf(resize, sizeof resize, "%s/actions/resize", path);
    snprintf(ops, sizeof ops, "%s/operations", path);
    ASK("GET", path, NULL, 200);
    has_keys(answer_json(), cluster_keys);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "CREATE_IN_PROGRESS");
    CU_ASSERT_EQUAL(int_of("node_count"), 2);
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "labels_overridden"), "b"),
                           "2");
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "labels_added"), "c"), "4");
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "labels_skipped"), "a"), "1");
    microversion("1.13");
    ASK("GET", path, NULL, 200);
    CU_ASSERT_PTR_NOT_NULL(json_object_get(answer_json(), "cluster_id"));
    CU_ASSERT_PTR_NULL(json_object_get(answer_json(), "stack_id"));
    ASK("GET", "/v1/clusters", NULL, 200);
    ASK("GET", "/v1/clusters/detail", NULL, 200);

    /* states that forbid are told at once */
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":3}]", 400);
    SAYS("Updating a cluster when status is \"CREATE_IN_PROGRESS\" is not supported.");
    ASK("POST", resize, "{\"node_count\":3}", 400);
    SAYS("Resizing a cluster when status is \"CREATE_IN_PROGRESS\" is not supported.");
    conduct();
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":\"3\"}]", 202);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "UPDATE_IN_PROGRESS");
    CU_ASSERT_EQUAL(int_of("node_count"), 3);
    ASK("POST", resize, "{\"node_count\":1,\"nodes_to_remove\":[\"1\",\"2\"]}", 202);
    CU_ASSERT_STRING_EQUAL(sql("SELECT spec->'params'->>'nodes_to_remove' FROM operation WHERE kind"
                               " = 'scale'"),
                           "[\"1\",\"2\"]");
    ASK("POST", resize, "{\"node_count\":1,\"nodegroup\":\"default-master\"}", 400);
    SAYS("Resizing the master nodegroup is not supported by this driver.");
    ASK("POST", resize, "{\"node_count\":1,\"nodegroup\":\"nope\"}", 404);
    SAYS("Nodegroup nope could not be found.");
    ASK("POST", resize, "{\"node_count\":null}", 400);
    conduct();
    ASK("GET", ops, NULL, 200);
    const json_t *list = json_object_get(answer_json(), "operations");
    CU_ASSERT_EQUAL(json_array_size(list), 3);
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_array_get(list, 0), "kind"), "scale");

    ASK("DELETE", path, NULL, 204);
    ASK("DELETE", path, NULL, 204);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE kind = 'delete'"), "1");
    ASK("GET", path, NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "DELETE_IN_PROGRESS");
    (void)sql("DELETE FROM nodegroup");
    (void)sql("DELETE FROM cluster");
    ASK("GET", path, NULL, 404);
    ASK("GET", ops, NULL, 200); /* what happened outlives the cluster */
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "operations")), 4);
    microversion(NULL);
}

static void cluster_patches_are_checked(void)
{
    char path[96];
    const char *t = make_template(NULL);
    microversion("latest");
    snprintf(path, sizeof path, "/v1/clusters/%s", make_cluster(t, "\"keypair\":\"k\""));
    conduct();
    static const struct {
        const char *patch;
        int status;
        const char *detail;
    } rows[] = {
        {"[]", 202, ""},
        {"null", 400,
         "Invalid input for field/attribute patch. Value: 'None'. Value not a valid "
         "list: None"},
        {"[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"x\"},"
         "{\"op\":\"replace\",\"path\":\"/keypair\",\"value\":\"y\"}]",
         400, "cannot change cluster property(ies) keypair, name."},
        {"[{\"op\":\"replace\",\"path\":\"/master_count\",\"value\":3}]", 400,
         "cannot change cluster property(ies) master_count."},
        {"[{\"op\":\"add\",\"path\":\"/labels/x\",\"value\":\"y\"}]", 400,
         "cannot change cluster property(ies) labels."},
        {"[{\"op\":\"replace\",\"path\":\"/stack_id\",\"value\":\"x\"}]", 400,
         "'/stack_id' is an internal attribute and can not be updated"},
        {"[{\"op\":\"replace\",\"path\":\"/trustee_password\",\"value\":\"x\"}]", 400,
         "Couldn't apply patch '[{'op': 'replace', 'path': '/trustee_password', 'value': 'x'}]'. "
         "Reason: can't replace a non-existent object 'trustee_password'"},
        {"[{\"op\":\"remove\",\"path\":\"/cluster_template_id\"}]", 400,
         "'/cluster_template_id' is a mandatory attribute and can not be removed"},
        {"[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":-2}]", 400,
         "Invalid input for field/attribute node_count. Value: '-2'. Value should be greater or "
         "equal to 0"},
        {"[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":\"two\"}]", 400,
         "Invalid input for field/attribute node_count. Value: 'two'. invalid literal for int() "
         "with base 10: 'two'"},
        {"[{\"op\":\"replace\",\"path\":\"/health_status\",\"value\":\"TIRED\"}]", 400,
         "Invalid input for field/attribute health_status. Value: 'TIRED'. Value should be one of: "
         "HEALTHY, UNHEALTHY, UNKNOWN"},
        {"[{\"op\":\"replace\",\"path\":\"/health_status\",\"value\":\"UNHEALTHY\"},"
         "{\"op\":\"replace\",\"path\":\"/health_status_reason\",\"value\":\"{'api': 'no'}\"}]",
         202, ""},
        {"[{\"op\":\"replace\",\"path\":\"/health_status_reason\",\"value\":\"{'api': \"}]", 400,
         NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ASK("PATCH", path, rows[i].patch, rows[i].status);
        if (rows[i].detail)
            SAYS(rows[i].detail);
    }
    ASK("GET", path, NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("health_status"), "UNHEALTHY");
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "health_status_reason"), "api"),
                           "no");
    CU_ASSERT_STRING_EQUAL(text_of("status"), "CREATE_COMPLETE");
    microversion("1.9");
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":0}]", 400);
    SAYS("Resizing a nodegroup to zero is not supported in the provided microversion.");
    microversion("1.10");
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":0}]", 202);
    conduct();
    ASK("PATCH", path, "[{\"op\":\"remove\",\"path\":\"/node_count\"}]", 202);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(int_of("node_count"), 1);
    microversion(NULL);
}

static void creates_are_checked_in_order(void)
{
    _cleanup_free_ char *t = str_dup(make_template(NULL));
    _cleanup_free_ char *dm = str_dup(
        make_template("\"docker_storage_driver\":\"devicemapper\",\"docker_volume_size\":5"));
    const struct {
        const char *template, *more, *version;
        int status;
        const char *detail;
    } rows[] = {
        {"nope", "", "1.9", 400, "ClusterTemplate nope could not be found."},
        {"nope", ",\"node_count\":0", "1.9", 400, "ClusterTemplate nope could not be found."},
        {"nope", "", "1.10", 404, "ClusterTemplate nope could not be found."},
        {t, ",\"node_count\":0", "1.9", 400,
         "Resizing a nodegroup to zero is not supported in the provided microversion."},
        {t, ",\"master_count\":2", "1.10", 400,
         "master nodegroup size of 2 is invalid, size cannot be an even number."},
        {t, ",\"master_count\":3", "1.10", 400,
         "master_count must be 1 when master_lb_enabled is False"},
        {dm, ",\"docker_volume_size\":1", "1.10", 400,
         "docker volume size 1 GB is not valid, expecting minimum value 3GB for devicemapper "
         "storage driver."},
        {t, ",\"flavor_id\":\"m9\"", "1.10", 400, "Unable to find flavor m9."},
        {t, ",\"labels\":{\"boot_volume_size\":\"big\"}", "1.10", 400,
         "boot_volume_size must be an integer"},
        {t, ",\"labels\":{\"delay_ms\":1001}", "1.10", 400,
         "Label delay_ms has the value '1001', which driver sim_v1 does not accept; allowed: "
         "integer from 0 up to 1000"},
        {t, ",\"labels\":{\"x\":null}", "1.10", 400,
         "Invalid input for field/attribute labels. Value: 'None'. Label x has no value"},
        {t, ",\"name\":\"1x\"", "1.10", 400,
         "Invalid input for field/attribute name. Value: '1x'. Value should match the pattern "
         "^[a-zA-Z][a-zA-Z0-9_.-]*$"},
        {t, ",\"stack_id\":\"x\"", "1.10", 400,
         "Invalid input for field/attribute stack_id. Value: 'x'. Cannot set read only field."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_free_ char *body =
            str_fmt("{\"cluster_template_id\":\"%s\"%s}", rows[i].template, rows[i].more);
        microversion(rows[i].version);
        ASK("POST", "/v1/clusters", body, rows[i].status);
        SAYS(rows[i].detail);
    }
    microversion("1.10");
    _cleanup_free_ char *body = str_fmt("{\"cluster_template_id\":\"%s\",\"master_count\":3,"
                                        "\"master_lb_enabled\":true,\"name\":null}",
                                        t);
    ASK("POST", "/v1/clusters", body, 202);
    _cleanup_free_ char *path = str_fmt("/v1/clusters/%s", text_of("uuid"));
    ASK("GET", path, NULL, 200);
    CU_ASSERT(str_ends(text_of("name"), "-cluster"));
    CU_ASSERT_EQUAL(int_of("master_count"), 3);
    path[0] = '\0';
    _cleanup_free_ char *used = str_fmt("/v1/clustertemplates/%s", t);
    ASK("DELETE", used, NULL, 400);
    CU_ASSERT(str_ends(detail(), "is referenced by one or multiple clusters."));
    ASK("PATCH", used, "[]", 400);
    ASK("PATCH", used, "[{\"op\":\"replace\",\"path\":\"/flavor_id\",\"value\":\"m1.tiny\"}]", 400);
    ASK("PATCH", used, "[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"again\"}]", 200);
    microversion(NULL);
}

static void projects_are_apart(void)
{
    as("ann", "one", "member,reader");
    char path[96], ng[128];
    snprintf(path, sizeof path, "/v1/clusters/%s", make_cluster(make_template(NULL), NULL));
    snprintf(ng, sizeof ng, "%s/nodegroups", path);
    as("bob", "two", "member,reader");
    ASK("GET", path, NULL, 404);
    ASK("DELETE", path, NULL, 404);
    microversion("1.9");
    ASK("GET", ng, NULL, 404);
    ASK("GET", "/v1/stats?project_id=one", NULL, 403);
    SAYS("Not authorized.");
    as("rea", "one", "reader");
    ASK("GET", path, NULL, 200);
    ASK("DELETE", path, NULL, 403);
    SAYS("Policy doesn't allow cluster:delete to be performed.");
    as("mate", "one", "member,reader");
    ASK("GET", "/v1/stats", NULL, 200);
    CU_ASSERT_EQUAL(int_of("clusters"), 1);
    CU_ASSERT_EQUAL(int_of("nodes"), 2);
    _cleanup_free_ char *cert = str_fmt("/v1/certificates/%s", path + strlen("/v1/clusters/"));
    ASK("GET", cert, NULL, 403); /* only the owner and admins */
    as("root", "three", "admin,member,reader");
    ASK("GET", path, NULL, 200);
    ASK("GET", ng, NULL, 200);
    ASK("GET", cert, NULL, 404); /* no admin look into other projects here */
    ASK("DELETE", path, NULL, 204);
    as(NULL, NULL, NULL);
    microversion(NULL);
}

static void quotas_limit(void)
{
    ASK("GET", "/v1/quotas/q/Cluster", NULL, 200);
    has_keys(answer_json(), "hard_limit project_id resource");
    CU_ASSERT_EQUAL(int_of("hard_limit"), 20);
    ASK("POST", "/v1/quotas", "{\"project_id\":\"q\",\"hard_limit\":\"1\"}", 201);
    has_keys(answer_json(), "id hard_limit project_id resource created_at updated_at");
    ASK("POST", "/v1/quotas", "{\"project_id\":\"q\"}", 409);
    SAYS("Quota for project q already exists for resource Cluster.");
    ASK("POST", "/v1/quotas", "{}", 400);
    SAYS("Must provide a valid project ID.");
    ASK("PATCH", "/v1/quotas/nobody/Cluster", "{\"hard_limit\":3}", 404);
    SAYS("Quota could not be found: project_id nobody resource Cluster.");
    ASK("GET", "/v1/quotas?all_tenants=True", NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "quotas")), 1);
    ASK("GET", "/v1/quotas?all_tenants=maybe", NULL, 400);
    ASK("GET", "/v1/quotas", NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "quotas")), 0);
    as("u", "q", "member,reader");
    const char *t = make_template(NULL);
    make_cluster(t, NULL);
    _cleanup_free_ char *body = str_fmt("{\"cluster_template_id\":\"%s\"}", t);
    ASK("POST", "/v1/clusters", body, 403);
    SAYS("Resource limit exceeded: You have reached the maximum clusters per project, 1. You may "
         "delete a cluster to make room for a new one.");
    ASK("GET", "/v1/quotas", NULL, 403);
    ASK("GET", "/v1/quotas/other/Cluster", NULL, 403);
    ASK("GET", "/v1/quotas/q/Cluster", NULL, 200);
    as(NULL, NULL, NULL);
    ASK("PATCH", "/v1/quotas/q/Cluster", "{\"project_id\":\"q\",\"hard_limit\":2}", 202);
    ASK("DELETE", "/v1/quotas/q/Cluster", NULL, 204);
    ASK("DELETE", "/v1/quotas/q/Cluster", NULL, 404);
}

static void repeated_creates_are_one(void)
{
    microversion("1.10");
    const char *t = make_template(NULL);
    char first[40], count[120];
    _cleanup_free_ char *body = str_fmt("{\"name\":\"once\",\"cluster_template_id\":\"%s\"}", t);
    _cleanup_free_ char *other = str_fmt("{\"name\":\"two\",\"cluster_template_id\":\"%s\"}", t);
    static const char key[] = "Idempotency-Key: k1\n";
    CU_ASSERT_EQUAL(ask_with("POST", "/v1/clusters", body, key), 202);
    CU_ASSERT_PTR_NULL(answer_header("Idempotent-Replayed"));
    snprintf(first, sizeof first, "%s", text_of("uuid"));
    CU_ASSERT_EQUAL(ask_with("POST", "/v1/clusters", body, key), 202);
    CU_ASSERT_STRING_EQUAL(text_of("uuid"), first);
    CU_ASSERT_STRING_EQUAL(answer_header("Idempotent-Replayed"), "true");
    CU_ASSERT_EQUAL(ask_with("POST", "/v1/clusters", other, key), 409);
    CU_ASSERT(error_body_good());
    as("u", "elsewhere", "member,reader"); /* keys belong to a project */
    ASK("POST", "/v1/clusters", body, 404);
    as(NULL, NULL, NULL);
    snprintf(count, sizeof count, "SELECT count(*) FROM cluster WHERE name = 'once'");
    CU_ASSERT_STRING_EQUAL(sql(count), "1");
    conduct();
    _cleanup_free_ char *resize = str_fmt("/v1/clusters/%s/actions/resize", first);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(ask_with("POST", resize, "{\"node_count\":3}", "Idempotency-Key: k2\n"),
                        202);
        CU_ASSERT_STRING_EQUAL(text_of("uuid"), first);
    }
    snprintf(count, sizeof count, "SELECT count(*) FROM operation WHERE cluster_id = '%s'", first);
    CU_ASSERT_STRING_EQUAL(sql(count), "2");
    _cleanup_str_ struct str huge = STR_INIT;
    str_append(&huge, "Idempotency-Key: ");
    for (int i = 0; i < 300; i++)
        str_append_c(&huge, 'x');
    CU_ASSERT_EQUAL(ask_with("POST", "/v1/clusters", body, str_text(&huge)), 400);
    microversion(NULL);
}

static void upgrades_ask_the_driver(void)
{
    microversion("1.10");
    _cleanup_free_ char *from = str_dup(make_template("\"labels\":{\"tag\":\"v1\",\"k\":\"a\"}"));
    _cleanup_free_ char *to = str_dup(make_template("\"labels\":{\"tag\":\"v2\",\"k\":\"b\"}"));
    _cleanup_free_ char *swarm = NULL;
    ASK("POST", "/v1/clustertemplates",
        "{\"name\":\"sw\",\"coe\":\"swarm\",\"image_id\":\"linux\",\"server_type\":\"local\"}",
        201);
    swarm = str_dup(text_of("uuid"));
    const char *c = make_cluster(from, "\"labels\":{\"k\":\"mine\"},\"merge_labels\":true");
    _cleanup_free_ char *path = str_fmt("/v1/clusters/%s/actions/upgrade", c);
    _cleanup_free_ char *show = str_fmt("/v1/clusters/%s", c);
    _cleanup_free_ char *body = str_fmt("{\"cluster_template\":\"%s\",\"max_batch_size\":2}", to);
    _cleanup_free_ char *wrong = str_fmt("{\"cluster_template\":\"%s\"}", swarm);
    ASK("POST", path, body, 400);
    SAYS("Upgrading a cluster when status is \"CREATE_IN_PROGRESS\" is not supported.");
    conduct();
    ASK("POST", path, "{}", 400);
    ASK("POST", path, "{\"cluster_template\":\"nope\"}", 404);
    ASK("POST", path, "{\"cluster_template\":\"x\",\"max_batch_size\":0}", 400);
    (void)wrong;
    validate_code = ERR_CONFLICT;
    ASK("POST", path, body, 409);
    SAYS("the driver refuses the step from org.test.sim");
    validate_code = ERR_UNSUPPORTED;
    ASK("POST", path, body, 400);
    validate_code = 0;
    ASK("GET", show, NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "CREATE_COMPLETE");
    ASK("POST", path, body, 202);
    ASK("GET", show, NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "UPDATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(text_of("cluster_template_id"), to);
    const json_t *labels = json_object_get(answer_json(), "labels");
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "tag"), "v2"); /* was the template's */
    CU_ASSERT_STRING_EQUAL(jsonx_str(labels, "k"), "mine"); /* was the user's */
    microversion(NULL);
}

static void certificates_come_from_a_conductor(void)
{
    microversion("1.12");
    const char *c = make_cluster(make_template(NULL), NULL);
    static const struct {
        const char *suffix, *pem;
    } rows[] = {{"", "CA of type kubernetes"},
                {"?ca_cert_type=etcd", "CA of type etcd"},
                {"?ca_cert_type=front_proxy", "CA of type front-proxy"},
                {"/front-proxy", "CA of type front-proxy"},
                {"?ca_cert_type=nonsense", "CA of type kubernetes"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_free_ char *path = str_fmt("/v1/certificates/%s%s", c, rows[i].suffix);
        ASK("GET", path, NULL, 200);
        has_keys(answer_json(), "cluster_uuid links pem");
        CU_ASSERT_STRING_EQUAL(text_of("pem"), rows[i].pem);
    }
    _cleanup_free_ char *sign =
        str_fmt("{\"cluster_uuid\":\"%s\",\"csr\":\"x\",\"ca_cert_type\":\"etcd\"}", c);
    ASK("POST", "/v1/certificates", sign, 201);
    has_keys(answer_json(), "cluster_uuid links csr pem ca_cert_type");
    CU_ASSERT_STRING_EQUAL(text_of("pem"), "signed etcd");
    _cleanup_free_ char *bad = str_fmt("{\"cluster_uuid\":\"%s\",\"csr\":\"hello\"}", c);
    ASK("POST", "/v1/certificates", bad, 400);
    SAYS("Received invalid csr hello.");
    ASK("POST", "/v1/certificates", "{\"cluster_uuid\":\"nope\",\"csr\":\"\"}", 400);
    SAYS("Cluster nope could not be found.");
    ASK("POST", "/v1/certificates", "{\"csr\":\"x\"}", 400);
    ASK("POST", "/v1/certificates", "{\"cluster_uuid\":\"nope\",\"days\":1}", 400);
    SAYS("Unknown attribute for argument certificate: days");
    _cleanup_free_ char *rotate = str_fmt("/v1/certificates/%s", c);
    ASK("PATCH", rotate, NULL, 400);
    SAYS("'rotate_ca_certificate' is not supported by this driver.");
    _cleanup_free_ char *credential = str_fmt("/v1/credentials/%s", c);
    ASK("PATCH", credential, "{}", 400);
    SAYS("Credential rotation is not supported by driver.");
    microversion("1.11");
    ASK("PATCH", credential, NULL, 406);
    microversion(NULL);
}

static void the_rest_is_there(void)
{
    ASK("GET", "/v1/mservices", NULL, 200);
    const json_t *m = json_array_get(json_object_get(answer_json(), "mservices"), 0);
    has_keys(m, "host binary state id report_count disabled disabled_reason created_at updated_at");
    CU_ASSERT_STRING_EQUAL(jsonx_str(m, "state"), "up");
    (void)sql("UPDATE magnum_service SET last_seen_up = now() - interval '1 hour'");
    ASK("GET", "/v1/mservices", NULL, 200);
    m = json_array_get(json_object_get(answer_json(), "mservices"), 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(m, "state"), "down");
    (void)sql("UPDATE magnum_service SET last_seen_up = now()");
    ASK("GET", "/v1/stats?type=Cluster", NULL, 200);
    ASK("GET", "/v1/stats?type=pod", NULL, 400);
    SAYS("Invalid stats type. Allowed values are 'cluster'");

    ASK("GET", "/v1/federations/detail", NULL, 200);
    ASK("GET", "/v1/federations/x", NULL, 404);
    ASK("POST", "/v1/federations", "{}", 400);
    SAYS("No hostcluster specified. Please specify a hostcluster_id.");
    _cleanup_free_ char *fed = str_fmt("{\"hostcluster_id\":\"%s\",\"properties\":{\"a\":\"b\"}}",
                                       make_cluster(make_template(NULL), NULL));
    ASK("POST", "/v1/federations", fed, 400);
    SAYS("No DNS zone specified. Please specify a `dns-zone`.");

    ASK("GET", "/v1/drivers", NULL, 200);
    const json_t *d = json_array_get(json_object_get(answer_json(), "drivers"), 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(d, "name"), "sim_v1");
    CU_ASSERT_TRUE(jsonx_bool(d, "usable", false));
    ASK("GET", "/v1/drivers/sim_v1", NULL, 200);
    CU_ASSERT_PTR_NOT_NULL(json_object_get(
        json_object_get(json_object_get(answer_json(), "labels"), "properties"), "delay_ms"));
    ASK("GET", "/v1/drivers/nope", NULL, 404);

    ASK("GET", "/v1/operations?limit=1", NULL, 200);
    const json_t *o = json_array_get(json_object_get(answer_json(), "operations"), 0);
    _cleanup_free_ char *id = str_dup(jsonx_str(o, "id"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(id);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of("next"), id));
    _cleanup_free_ char *op = str_fmt("/v1/operations/%s", id);
    _cleanup_free_ char *events = str_fmt("%s/events", op);
    _cleanup_free_ char *cancel = str_fmt("%s/cancel", op);
    ASK("GET", op, NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "PENDING");
    ASK("GET", events, NULL, 200);
    const json_t *ev = json_array_get(json_object_get(answer_json(), "events"), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ev);
    _cleanup_free_ char *after =
        str_fmt("%s?after=%lld&limit=5", events, (long long)jsonx_int(ev, "id", 0));
    ASK("GET", after, NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "events")), 0);
    as("u", "stranger", "member,reader");
    ASK("GET", op, NULL, 404);
    ASK("POST", cancel, NULL, 404);
    as(NULL, NULL, NULL);
    ASK("POST", cancel, NULL, 202);
    conduct();
    ASK("POST", cancel, NULL, 409);
    ASK("GET", "/v1/operations/99999999-2222-4333-8444-555555555555", NULL, 404);
}

/* Asks until this is the answer; a call may be under way to a conductor that is just going. */
static bool becomes(const char *path, int want)
{
    int64_t until = clock_mono_ms() + 60000;
    while (ask("GET", path, NULL) != want)
        if (clock_mono_ms() > until)
            return false;
    return true;
}

static void callers_do_not_hear_of_hosts(void)
{
    static const char *const impatient[] = {"api.rpc_timeout_ms=200", NULL};
    _cleanup_free_ char *uuid = str_dup(make_cluster(make_template(NULL), NULL));
    _cleanup_free_ char *path = str_fmt("/v1/certificates/%s", uuid);
    conduct();
    api_fixture_with(impatient);
    CU_ASSERT(becomes(path, 200));
    atomic_store(&conductors_gone, true);
    CU_ASSERT_FATAL(becomes(path, 503));
    SAYS("no conductor can be reached");
    atomic_store(&conductors_gone, false);
    CU_ASSERT(becomes(path, 200));
    api_fixture_back();
}

TEST_MAIN("api_life", api_fixture_start, api_fixture_stop, TEST(templates_live),
          TEST(templates_are_refused), TEST(clusters_live), TEST(cluster_patches_are_checked),
          TEST(creates_are_checked_in_order), TEST(projects_are_apart), TEST(quotas_limit),
          TEST(repeated_creates_are_one), TEST(upgrades_ask_the_driver),
          TEST(certificates_come_from_a_conductor), TEST(callers_do_not_hear_of_hosts),
          TEST(the_rest_is_there))
