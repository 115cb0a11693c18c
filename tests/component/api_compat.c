/* What the release played decides, and what only old clients know: bays and baymodels up to 1.10,
 * names in any case, Mesos, and federations. */
#include "component/api_fixture.h"

#include <stdarg.h>

static const char *const zed[] = {"api.compat=zed", NULL};

static void begin_zed(const char *version)
{
    api_fixture_with(zed);
    microversion(version);
}

static void end_zed(void)
{
    microversion(NULL);
    as(NULL, NULL, NULL);
    api_fixture_back();
}

/* Texts that live as long as a test. */
static const char *fmt(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *fmt(const char *format, ...)
{
    static char text[64][512];
    static size_t n;
    char *s = text[n++ % ARRAY_LEN(text)];
    va_list ap;
    va_start(ap, format);
    vsnprintf(s, sizeof text[0], format, ap);
    va_end(ap);
    return s;
}

static bool has(const char *key)
{
    return json_object_get(answer_json(), key) != NULL;
}

static bool is_null(const char *key)
{
    return json_is_null(json_object_get(answer_json(), key));
}

static size_t count(const char *key)
{
    return json_array_size(json_object_get(answer_json(), key));
}

#define MODEL                                                                                      \
    "\"coe\":\"kubernetes\",\"image_id\":\"simulated\",\"keypair_id\":\"k\","                      \
    "\"external_network_id\":\"public\",\"flavor_id\":\"m1.small\""

static const char *make_model(const char *name)
{
    static char uuid[40];
    ASK("POST", "/v1/baymodels", fmt("{\"name\":\"%s\"," MODEL "}", name), 201);
    snprintf(uuid, sizeof uuid, "%s", text_of("uuid"));
    return uuid;
}

static void old_names_are_gone_from_head(void)
{
    static const char *const paths[] = {"/v1/bays", "/v1/baymodels", "/v1/bays/x", "/bays"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        ASK("GET", paths[i], NULL, 404);
        SAYS("");
        ASK("PUT", paths[i], NULL, 404);
        CU_ASSERT_PTR_NULL(answer_header("OpenStack-API-Version"));
    }
    ASK("HEAD", "/v1/bays", NULL, 405);
    ASK("GET", "/v1", NULL, 200);
    CU_ASSERT_FALSE(has("bays"));
    CU_ASSERT_TRUE(has("credentials"));
}

static void models_are_templates(void)
{
    begin_zed("1.1");
    ASK("GET", "/v1", NULL, 200);
    CU_ASSERT_TRUE(has("bays") && has("baymodels"));
    _cleanup_free_ char *uuid = str_dup(make_model("Model"));
    CU_ASSERT_STRING_EQUAL(strstr(answer_header("Location"), "/v1/"),
                           fmt("/v1/baymodels/%s", uuid));
    CU_ASSERT_TRUE(is_null("labels"));
    CU_ASSERT_FALSE(has("project_id") || has("user_id") || has("driver"));
    ASK("GET", fmt("/v1/clustertemplates/%s", uuid), NULL, 200);
    CU_ASSERT_TRUE(has("project_id"));
    ASK("GET", "/v1/baymodels/MODEL", NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("uuid"), uuid);
    ASK("GET", "/v1/baymodels/detail", NULL, 200);
    CU_ASSERT(count("baymodels") >= 1);
    ASK("POST", "/v1/baymodels", "{\"coe\":\"kubernetes\",\"image_id\":\"simulated\"}", 400);
    SAYS("Invalid input for field/attribute keypair_id. Value: 'None'. Mandatory field missing.");
    ASK("POST", "/v1/baymodels", "{" MODEL ",\"dns_nameserver\":\"8.8.8.8,8.8.4.4\"}", 400);
    SAYS("Invalid input for field/attribute dns_nameserver. Value: '8.8.8.8,8.8.4.4'. Value should "
         "be IPv4 format");
    ASK("POST", "/v1/baymodels", "{" MODEL ",\"labels\":{\"a\":1}}", 400);
    const char *path = fmt("/v1/baymodels/%s", uuid);
    ASK("PATCH", path, "[{\"op\":\"remove\",\"path\":\"/keypair_id\"}]", 400);
    SAYS("'/keypair_id' is a mandatory attribute and can not be removed");
    ASK("PATCH", path, "[{\"op\":\"remove\",\"path\":\"/name\"}]", 200);
    CU_ASSERT_TRUE(str_ends(text_of("name"), "-model"));
    as("u2", "p2", "member");
    ASK("GET", path, NULL, 404);
    ASK("DELETE", path, NULL, 404);
    /* an admin's reach ends at his project here */
    as("root", "p2", "admin");
    ASK("GET", path, NULL, 404);
    as(NULL, NULL, NULL);
    ASK("DELETE", path, NULL, 204);
    end_zed();
}

static void bays_answer_by_version(void)
{
    begin_zed("1.1");
    _cleanup_free_ char *model = str_dup(make_model("bm"));
    const char *body = fmt("{\"name\":\"b1\",\"baymodel_id\":\"bm\",\"bay_create_timeout\":7,"
                           "\"labels\":{\"a\":\"1\"}}");
    ASK("POST", "/v1/bays", body, 201);
    _cleanup_free_ char *uuid = str_dup(text_of("uuid"));
    const char *path = fmt("/v1/bays/%s", uuid);
    CU_ASSERT_STRING_EQUAL(strstr(answer_header("Location"), "/v1/"), path);
    CU_ASSERT_STRING_EQUAL(text_of("baymodel_id"), model);
    CU_ASSERT_EQUAL(int_of("bay_create_timeout"), 7);
    CU_ASSERT_FALSE(has("keypair") || has("health_status") || has("project_id"));
    ASK("GET", fmt("/v1/clusters/%s", uuid), NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("keypair"), "k");
    CU_ASSERT_STRING_EQUAL(text_of("cluster_template_id"), model);
    ASK("GET", "/v1/bays/B1", NULL, 200);
    ASK("DELETE", fmt("/v1/baymodels/%s", model), NULL, 400);
    conduct();
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":3}]", 200);
    CU_ASSERT_STRING_EQUAL(text_of("uuid"), uuid);
    CU_ASSERT_EQUAL(int_of("node_count"), 3);
    conduct();
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":0}]", 400);
    SAYS("Invalid input for field/attribute node_count. Value: '0'. Value should be greater or "
         "equal to 1");
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/bay_create_timeout\",\"value\":9}]", 400);
    SAYS("cannot change cluster property(ies) create_timeout.");
    ASK("PATCH", path, "[{\"op\":\"remove\",\"path\":\"/baymodel_id\"}]", 400);
    ASK("PATCH", fmt("%s?rollback=true", path), "[]", 400);
    microversion("1.10");
    ASK("PATCH", fmt("%s?rollback=true", path),
        "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":2}]", 202);
    CU_ASSERT_EQUAL(json_object_size(answer_json()), 1);
    conduct();
    ASK("GET", "/v1/bays?limit=1", NULL, 200);
    CU_ASSERT_EQUAL(count("bays"), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of("next"), "/v1/bays?sort_key=id"));
    ASK("GET", "/v1/bays/detail", NULL, 200);
    ASK("DELETE", path, NULL, 204);
    conduct();
    ASK("POST", "/v1/bays", fmt("{\"baymodel_id\":\"%s\"}", model), 202);
    ASK("GET", fmt("/v1/bays/%s", text_of("uuid")), NULL, 200);
    CU_ASSERT_TRUE(str_ends(text_of("name"), "-bay"));
    end_zed();
}

static void bays_refuse(void)
{
    static const struct {
        const char *body, *detail;
    } rows[] = {
        {"{}", "Invalid input for field/attribute baymodel_id. Value: 'None'. Mandatory field "
               "missing."},
        {"{\"baymodel_id\":\"none\"}", "ClusterTemplate none could not be found."},
        {"{\"baymodel_id\":null}", "ClusterTemplate None could not be found."},
        {"{\"cluster_template_id\":\"x\"}",
         "Unknown attribute for argument bay: cluster_template_id"},
        {"{\"baymodel_id\":\"none\",\"node_count\":0}", "ClusterTemplate none could not be found."},
        {"{\"baymodel_id\":\"other\",\"node_count\":0}",
         "Invalid input for field/attribute node_count. Value: '0'. Value should be greater or "
         "equal to 1"},
        {"{\"baymodel_id\":\"other\",\"master_count\":2}",
         "master_count must be 1 when master_lb_enabled is False"},
    };
    begin_zed("1.10");
    (void)make_model("other");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ASK("POST", "/v1/bays", rows[i].body, 400);
        SAYS(rows[i].detail);
    }
    ASK("GET", "/v1/bays/none", NULL, 404);
    SAYS("Cluster none could not be found.");
    ASK("POST", "/v1/bays/x", "{}", 400);
    ASK("PATCH", "/v1/bays", "[]", 400);
    SAYS("Missing argument: \"bay_ident\"");
    ASK("GET", "/v1/bays/x/nodegroups", NULL, 404);
    end_zed();
}

static void case_counts_in_head_only(void)
{
    ASK("POST", "/v1/clustertemplates", "{\"name\":\"Cased\"," MODEL "}", 201);
    ASK("GET", "/v1/clustertemplates/cased", NULL, 404);
    begin_zed(NULL);
    ASK("GET", "/v1/clustertemplates/cASED", NULL, 200);
    ASK("POST", "/v1/clustertemplates", "{\"name\":\"cased\"," MODEL "}", 201);
    _cleanup_free_ char *uuid = str_dup(text_of("uuid"));
    /* who says it exactly means it */
    ASK("GET", "/v1/clustertemplates/cased", NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("uuid"), uuid);
    ASK("GET", "/v1/clustertemplates/CASED", NULL, 409);
    end_zed();
}

static void mesos_is_a_coe_when_a_driver_brings_it(void)
{
    const char *body = "{\"coe\":\"mesos\",\"image_id\":\"simulated\"}";
    ASK("POST", "/v1/clustertemplates", body, 400);
    SAYS("Cluster type (vm, simulated, mesos) not supported.");
    begin_zed(NULL);
    ASK("POST", "/v1/clustertemplates", body, 400);
    SAYS("Requested COE type mesos is not supported.");
    ASK("POST", "/v1/clustertemplates", "{\"coe\":\"swarm-mode\",\"image_id\":\"simulated\"}", 400);
    SAYS("Cluster type (vm, simulated, swarm-mode) not supported.");
    end_zed();
}

/* ---- federations ---- */

static const char *make_federation(const char *name, const char *host)
{
    static char uuid[40];
    ASK("POST", "/v1/federations",
        fmt("{\"name\":\"%s\",\"hostcluster_id\":\"%s\",\"properties\":{\"dns-zone\":\"x.org\"}}",
            name, host),
        202);
    CU_ASSERT_EQUAL(json_object_size(answer_json()), 1);
    snprintf(uuid, sizeof uuid, "%s", text_of("uuid"));
    return uuid;
}

static void federations_are_kept(void)
{
    _cleanup_free_ char *host = str_dup(make_cluster(make_template(NULL), NULL));
    _cleanup_free_ char *uuid = str_dup(make_federation("fed", host));
    const char *path = fmt("/v1/federations/%s", uuid);
    ASK("GET", "/v1/federations/fed", NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("uuid"), uuid);
    CU_ASSERT_STRING_EQUAL(text_of("hostcluster_id"), host);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "CREATE_COMPLETE");
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "properties"), "dns-zone"),
                           "x.org");
    ASK("GET", "/v1/federations", NULL, 200);
    CU_ASSERT_EQUAL(count("federations"), 1);
    CU_ASSERT_PTR_NULL(json_object_get(
        json_array_get(json_object_get(answer_json(), "federations"), 0), "created_at"));
    ASK("GET", "/v1/federations/detail?limit=1&sort_key=name", NULL, 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of("next"), uuid));
    ASK("GET", "/v1/federations?sort_key=colour", NULL, 400);
    (void)make_federation("fed", host);
    ASK("GET", "/v1/federations/fed", NULL, 409);
    SAYS("Multiple federations exist with same name. Please use the federation uuid instead.");
    as("u2", "p2", "member");
    ASK("GET", path, NULL, 404);
    ASK("DELETE", path, NULL, 404);
    ASK("PATCH", path, "[]", 404);
    as(NULL, NULL, NULL);
    ASK("DELETE", path, NULL, 204);
    ASK("GET", path, NULL, 404);
    SAYS(fmt("Federation %s could not be found.", uuid));
}

#define JOIN "[{\"op\":\"add\",\"path\":\"/member_ids\",\"value\":\"%s\"}]"
#define LEAVE "[{\"op\":\"remove\",\"path\":\"/member_ids\",\"value\":\"%s\"}]"

static void members_join_and_leave(void)
{
    _cleanup_free_ char *host = str_dup(make_cluster(make_template(NULL), NULL));
    _cleanup_free_ char *member = str_dup(make_cluster(make_template(NULL), NULL));
    const char *path = fmt("/v1/federations/%s", make_federation("members", host));
    ASK("PATCH", path, fmt(JOIN, member), 202);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(count("member_ids"), 1);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "UPDATE_COMPLETE");
    ASK("PATCH", path, fmt(JOIN, member), 409);
    SAYS(fmt("A cluster with UUID %s is already a member of the federation members.", member));
    ASK("PATCH", path, fmt(JOIN, "nothing"), 404);
    SAYS("Cluster nothing could not be found.");
    ASK("PATCH", path, fmt(LEAVE, host), 404);
    SAYS(fmt("Cluster %s is not a member of the federation members.", host));
    ASK("PATCH", path, fmt(LEAVE, member), 202);
    ASK("PATCH", path, "[{\"op\":\"add\",\"path\":\"/properties/b\",\"value\":\"c\"}]", 202);
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"other\"}]", 400);
    SAYS("cannot change federation property(ies) name.");
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/uuid\",\"value\":\"x\"}]", 400);
    ASK("PATCH", path, "[]", 202);
    ASK("PATCH", fmt("%s?rollback=perhaps", path), "[]", 400);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(count("member_ids"), 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "properties"), "b"), "c");
}

/* ---- nodegroups ---- */

static void what_was_removed_shows_as_null(void)
{
    microversion("1.14");
    const char *path = fmt("/v1/clusters/%s/nodegroups", make_cluster(make_template(NULL), NULL));
    conduct();
    ASK("POST", path,
        "{\"name\":\"ng\",\"node_labels\":{\"a\":\"b\"},\"node_taints\":[{\"key\":\"k\","
        "\"effect\":\"NoExecute\"}]}",
        202);
    conduct();
    path = fmt("%s/ng", path);
    ASK("PATCH", path, "[{\"op\":\"remove\",\"path\":\"/node_taints\"}]", 202);
    CU_ASSERT_TRUE(is_null("node_taints"));
    CU_ASSERT_TRUE(json_is_object(json_object_get(answer_json(), "node_labels")));
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(count("node_taints"), 0);
    CU_ASSERT_FALSE(is_null("node_taints"));
    microversion(NULL);
    path = fmt("/v1/clustertemplates/%s", make_template("\"labels\":{\"a\":\"1\"}"));
    ASK("PATCH", path, "[{\"op\":\"remove\",\"path\":\"/labels\"}]", 200);
    CU_ASSERT_TRUE(is_null("labels"));
    ASK("GET", path, NULL, 200);
    CU_ASSERT_TRUE(json_is_object(json_object_get(answer_json(), "labels")));
    ASK("PATCH", path, "[{\"op\":\"add\",\"path\":\"/labels/b\",\"value\":\"2\"}]", 200);
    CU_ASSERT_STRING_EQUAL(jsonx_str(json_object_get(answer_json(), "labels"), "b"), "2");
}

TEST_MAIN("api_compat", api_fixture_start, api_fixture_stop, TEST(old_names_are_gone_from_head),
          TEST(models_are_templates), TEST(bays_answer_by_version), TEST(bays_refuse),
          TEST(case_counts_in_head_only), TEST(mesos_is_a_coe_when_a_driver_brings_it),
          TEST(federations_are_kept), TEST(members_join_and_leave),
          TEST(what_was_removed_shows_as_null))
