/* Nodegroups through the API: answers, inheritance, bounds, node labels and taints, drivers that
 * don't offer them. */
#include "component/api_fixture.h"

#include <stdarg.h>

static char cluster[40], base[96];

static void fresh_cluster(void)
{
    microversion("1.14");
    snprintf(cluster, sizeof cluster, "%s",
             make_cluster(make_template("\"labels\":{\"a\":\"1\"}"), "\"node_count\":1"));
    snprintf(base, sizeof base, "/v1/clusters/%s/nodegroups", cluster);
}

static const char *at(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", base, name);
    return path;
}

static void groups_live(void)
{
    fresh_cluster();
    ASK("POST", base, "{\"name\":\"ng\"}", 409);
    SAYS("Cluster API address is not available yet");
    ASK("POST", base, "{}", 409);
    conduct();
    ASK("POST", base, "{}", 400);
    ASK("POST", base,
        "{\"name\":\"ng\",\"node_count\":2,\"max_node_count\":4,\"labels\":{\"b\":2},"
        "\"merge_labels\":true,\"node_labels\":{\"tier\":\"gold\"},"
        "\"node_taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]}",
        202);
    CU_ASSERT_PTR_NULL(json_object_get(answer_json(), "id"));
    CU_ASSERT_PTR_NULL(json_object_get(answer_json(), "status"));
    CU_ASSERT_STRING_EQUAL(text_of("flavor_id"), "m1.small");
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "labels"), "a"), "1");
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "labels_added"), "b"), "2");
    ASK("GET", at("ng"), NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "CREATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(text_of("cluster_id"), cluster);
    CU_ASSERT_EQUAL(int_of("max_node_count"), 4);
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "node_labels"), "tier"),
                           "gold");
    ASK("GET", base, NULL, 200);
    const json_t *l = json_object_get(answer_json(), "nodegroups");
    CU_ASSERT_EQUAL(json_array_size(l), 3);
    CU_ASSERT(json_is_null(json_object_get(json_array_get(l, 2), "max_node_count")));
    _cleanup_free_ char *masters = str_fmt("%s/?role=master", base);
    ASK("GET", masters, NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "nodegroups")), 1);
    conduct();
    _cleanup_free_ char *resize = str_fmt("/v1/clusters/%s/actions/resize", cluster);
    ASK("POST", resize, "{\"node_count\":5,\"nodegroup\":\"ng\"}", 400);
    SAYS("Resizing ng outside the allowed range: min_node_count = 0, max_node_count = 4");
    ASK("POST", resize, "{\"node_count\":4,\"nodegroup\":\"ng\"}", 202);
    conduct();
    ASK("DELETE", at("default-worker"), NULL, 400);
    SAYS("Deleting a default nodegroup is not supported.");
    ASK("DELETE", at("ng"), NULL, 204);
    ASK("GET", at("ng"), NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "DELETE_IN_PROGRESS");
    ASK("DELETE", at("nope"), NULL, 404);
    SAYS("Nodegroup nope could not be found.");
    ASK("DELETE", base, NULL, 400);
    SAYS("Missing argument: \"nodegroup_id\"");
}

static void creates_are_refused(void)
{
    fresh_cluster();
    conduct();
    static const struct {
        const char *body;
        int status;
        const char *detail;
    } rows[] = {
        {"{\"name\":\"x\",\"min_node_count\":3,\"max_node_count\":2}", 409,
         "max_node_count for x is invalid (min_node_count (3) should be less or equal to "
         "max_node_count (2))."},
        {"{\"name\":\"x\",\"node_count\":4,\"max_node_count\":2}", 409,
         "max_node_count for x is invalid (node_count (4) should be less or equal to "
         "max_node_count (2))."},
        {"{\"name\":\"x\",\"node_count\":1,\"min_node_count\":2}", 409,
         "min_node_count for x is invalid (min_node_count (2) should be less or equal to "
         "node_count (1))."},
        {"{\"name\":\"x\",\"role\":\"master\"}", 400,
         "Creating master nodegroups is currently not supported."},
        {"{\"name\":\"x\",\"role\":\"master\",\"node_labels\":{\"a\":\"b\"}}", 409,
         "node_labels for x is invalid (node_labels may not be set on master nodegroups)."},
        {"{\"name\":\"x\",\"node_taints\":[{\"effect\":\"NoSchedule\"}]}", 409,
         "node_taints for x is invalid (node_taints[0].key is required)."},
        {"{\"name\":\"x\",\"node_taints\":[{\"key\":\"a\",\"effect\":\"Maybe\"}]}", 409,
         "node_taints for x is invalid (node_taints[0].effect must be one of NoSchedule, "
         "PreferNoSchedule, NoExecute)."},
        {"{\"name\":\"x\",\"node_taints\":[{\"key\":\"a\",\"effect\":\"NoExecute\",\"z\":\"1\","
         "\"b\":\"1\"}]}",
         409,
         "node_taints for x is invalid (node_taints[0] contains unrecognised field(s) b, z; "
         "allowed fields are key, value, effect)."},
        {"{\"name\":\"x\",\"flavor_id\":\"m9\"}", 400, "Unable to find flavor m9."},
        {"{\"name\":\"x\",\"labels\":{\"delay_ms\":-1}}", 400,
         "Label delay_ms has the value '-1', which driver sim_v1 does not accept; allowed: integer "
         "from 0 up to 1000"},
        {"{\"name\":\"x\",\"stack_id\":\"y\"}", 400,
         "Invalid input for field/attribute stack_id. Value: 'y'. Cannot set read only field."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ASK("POST", base, rows[i].body, rows[i].status);
        SAYS(rows[i].detail);
    }
    ASK("POST", base, "{\"name\":\"x\",\"node_labels\":{\"foo.k8s.io/x\":\"y\"}}", 409);
    CU_ASSERT_PTR_NOT_NULL(strstr(detail(), "restricted Kubernetes namespace"));
    ASK("POST", base, "{\"name\":\"default-worker\"}", 409);
    CU_ASSERT(str_starts(detail(), "A node group with name default-worker already exists in"));
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE kind = 'nodegroup_create' AND"
                               " status = 'PENDING'"),
                           "0");
}

static void bounds_and_labels_change(void)
{
    fresh_cluster();
    conduct();
    static const struct {
        const char *patch;
        int status;
        const char *detail;
    } rows[] = {
        {"[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"x\"}]", 400,
         "'/name' is an internal attribute and can not be updated"},
        {"[{\"op\":\"replace\",\"path\":\"/min_node_count\",\"value\":5}]", 409,
         "min_node_count for default-worker is invalid (min_node_count (5) should be less or equal "
         "to node_count (1))."},
        {"[{\"op\":\"replace\",\"path\":\"/max_node_count\",\"value\":\"3\"}]", 202, ""},
        {"[{\"op\":\"replace\",\"path\":\"/node_labels\",\"value\":\"{'a': 'b'}\"},"
         "{\"op\":\"add\",\"path\":\"/node_labels/c\",\"value\":\"d\"}]",
         202, ""},
        {"[{\"op\":\"replace\",\"path\":\"/node_taints\",\"value\":"
         "\"[{'key': 'k', 'value': 'v', 'effect': 'NoExecute'}]\"}]",
         202, ""},
        {"[{\"op\":\"replace\",\"path\":\"/node_taints\",\"value\":\"[{'key': 'k'}]\"}]", 409,
         "node_taints for default-worker is invalid (node_taints[0].effect must be one of "
         "NoSchedule, PreferNoSchedule, NoExecute)."},
        {"[{\"op\":\"replace\",\"path\":\"/node_taints\",\"value\":\"{'key': 'k'}\"}]", 400,
         "Invalid input for field/attribute node_taints. Value: '{'key': 'k'}'. Value not a valid "
         "list: {'key': 'k'}"},
        {"[]", 202, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ASK("PATCH", at("default-worker"), rows[i].patch, rows[i].status);
        SAYS(rows[i].detail);
        conduct();
    }
    CU_ASSERT_EQUAL(ask("GET", at("default-worker"), NULL), 200);
    CU_ASSERT_EQUAL(int_of("max_node_count"), 3);
    CU_ASSERT_EQUAL(json_object_size(json_object_get(answer_json(), "node_labels")), 2);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "node_taints")), 1);
    ASK("PATCH", at("default-worker"), "[{\"op\":\"remove\",\"path\":\"/max_node_count\"}]", 202);
    CU_ASSERT(json_is_null(json_object_get(answer_json(), "max_node_count")));
}

static void drivers_without_groups_say_so(void)
{
    fresh_cluster();
    conduct();
    _cleanup_free_ char *cut =
        str_fmt("UPDATE cluster SET driver_id = 'gone' WHERE uuid = '%s'", cluster);
    (void)sql(cut);
    ASK("POST", base, "{\"name\":\"x\"}", 400);
    SAYS("'create_nodegroup' is not supported by this driver.");
}

TEST_MAIN("api_nodegroups", api_fixture_start, api_fixture_stop, TEST(groups_live),
          TEST(creates_are_refused), TEST(bounds_and_labels_change),
          TEST(drivers_without_groups_say_so))
