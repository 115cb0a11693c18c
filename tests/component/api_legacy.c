/* The objects of the first Magnum through the API: rights, tenancy, pages, patches, what is refused
 * before a conductor is asked; and nodes, which need none. The conductor is a stand-in that keeps
 * rows. */
#include "component/api_fixture.h"

#include "db/db_objects.h"

static char *last_method, *last_params;

static void note(const char *method, const json_t *params)
{
    free(last_method);
    free(last_params);
    last_method = str_dup(method);
    last_params = jsonx_canonical(params);
}

/* Rows as a conductor would leave them. */
static int keep_row(const json_t *params, struct err *e)
{
    struct coe_object o;
    coe_object_init(&o);
    o.uuid = str_dup(jsonx_str(params, "uuid"));
    o.kind = str_dup(jsonx_str(params, "kind"));
    o.cluster_id = str_dup(jsonx_str(params, "cluster"));
    o.project_id = str_dup(jsonx_str(params, "project_id"));
    o.user_id = str_dup(jsonx_str(params, "user_id"));
    o.name = str_dup(jsonx_str(params, "name") ? jsonx_str(params, "name") : "n");
    o.image = str_dup(jsonx_str(params, "image"));
    o.phase = str_dup("present");
    o.status = str_dup("Running");
    int rc = db_object_insert(db, &o, e);
    coe_object_done(&o);
    return rc;
}

static int stand_in(const char *method, const json_t *params, json_t **result, struct err *e)
{
    if (!str_starts(method, "workload."))
        return 0;
    note(method, params);
    if (strstr(last_params, "unreachable"))
        return err_set(e, ERR_UNAVAILABLE, "the cluster is away");
    if (str_eq(method, "workload.create"))
        return keep_row(params, e);
    if (str_eq(method, "workload.delete"))
        return db_object_delete(db, jsonx_str(params, "object"), e);
    if (str_eq(method, "workload.action"))
        *result = json_pack("{s:s, s:i}", "output", "said", "exit_code", 7);
    return 0;
}

static char bay[40], swarm[40];

static void clusters(void)
{
    conductor_extra = stand_in;
    snprintf(bay, sizeof bay, "%s", make_cluster(make_template(NULL), NULL));
    ASK("POST", "/v1/clustertemplates",
        "{\"coe\":\"swarm\",\"image_id\":\"simulated\",\"flavor_id\":\"m1.small\","
        "\"master_flavor_id\":\"m1.small\",\"external_network_id\":\"public\"}",
        201);
    _cleanup_free_ char *template = str_dup(text_of("uuid"));
    snprintf(swarm, sizeof swarm, "%s", make_cluster(template, NULL));
    conduct();
}

static void make(const char *collection, const char *cluster, const char *more, int want)
{
    char path[60], body[300];
    snprintf(path, sizeof path, "/v1/%s", collection);
    snprintf(body, sizeof body, "{\"bay_uuid\":\"%s\"%s%s}", cluster, *more ? "," : "", more);
    ASK("POST", path, body, want);
}

static void objects_are_made_by_a_conductor(void)
{
    char want[200], uuid[40];
    clusters();
    make("pods", bay, "\"manifest\":\"m\"", 201);
    snprintf(uuid, sizeof uuid, "%s", text_of("uuid"));
    CU_ASSERT_STRING_EQUAL(last_method, "workload.create");
    CU_ASSERT_PTR_NOT_NULL(strstr(last_params, "\"manifest\":\"m\""));
    snprintf(want, sizeof want, "/v1/pods/%s", uuid);
    CU_ASSERT(str_ends(answer_header("Location"), want));
    CU_ASSERT_STRING_EQUAL(text_of("bay_uuid"), bay);
    CU_ASSERT_PTR_NOT_NULL(json_object_get(answer_json(), "links"));
    ASK("GET", want, NULL, 200);
    CU_ASSERT_STRING_EQUAL(last_method, "workload.refresh");
    ASK("GET", "/v1/pods/detail", NULL, 200);
    ASK("PATCH", want, "[{\"op\":\"replace\",\"path\":\"/manifest\",\"value\":\"new\"}]", 200);
    CU_ASSERT_STRING_EQUAL(last_method, "workload.update");
    CU_ASSERT_PTR_NOT_NULL(strstr(last_params, "\"manifest\":\"new\""));
    ASK("PATCH", want, "[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"x\"}]", 400);
    SAYS("'/name' is an internal attribute and can not be updated");
    ASK("PATCH", want, "[{\"op\":\"remove\",\"path\":\"/bay_uuid\"}]", 400);
    ASK("PATCH", want, "[{\"op\":\"replace\",\"path\":\"/bay_uuid\",\"value\":\"x\"}]", 400);
    SAYS("A pod can not move to another bay.");
    ASK("DELETE", want, NULL, 204);
    ASK("GET", want, NULL, 404);
}

static void wrong_ones_are_refused_at_once(void)
{
    clusters();
    note("", NULL);
    make("services", swarm, "\"manifest\":\"m\"", 400);
    SAYS("Cannot fulfill request with a swarm bay, expecting a kubernetes bay.");
    make("containers", bay, "\"image\":\"i\"", 400);
    SAYS("Cannot fulfill request with a kubernetes bay, expecting a swarm bay.");
    make("containers", swarm, "", 400);
    make("pods", "nothing", "\"manifest\":\"m\"", 400);
    SAYS("Cluster nothing could not be found.");
    make("pods", bay, "\"status\":\"x\"", 400);
    make("pods", bay, "\"surprise\":1", 400);
    ASK("POST", "/v1/pods", "{\"manifest\":\"m\"}", 400);
    ASK("POST", "/v1/pods", "{\"bay_uuid\":null}", 400);
    ASK("POST", "/v1/pods/x", "{}", 400);
    ASK("DELETE", "/v1/pods", NULL, 400);
    ASK("GET", "/v1/pods?bay_ident=nothing", NULL, 400);
    ASK("GET", "/v1/pods?surprise=1", NULL, 400);
    ASK("GET", "/v1/rcs/nobody", NULL, 404);
    SAYS("ReplicationController nobody could not be found.");
    ASK("PUT", "/v1/pods/x", "{}", 405);
    CU_ASSERT_STRING_EQUAL(last_method, ""); /* nobody was asked */
}

static void containers_act(void)
{
    char uuid[40], path[120];
    clusters();
    make("containers", swarm, "\"image_id\":\"i\",\"name\":\"web\"", 201);
    snprintf(uuid, sizeof uuid, "%s", text_of("uuid"));
    CU_ASSERT_STRING_EQUAL(text_of("image"), "i");
    static const char *const verbs[] = {"start", "stop", "reboot", "pause", "unpause"};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        snprintf(path, sizeof path, "/v1/containers/%s/%s", verbs[i], uuid);
        ASK("PUT", path, NULL, 200);
        snprintf(path, sizeof path, "\"verb\":\"%s\"", verbs[i]);
        CU_ASSERT_PTR_NOT_NULL(strstr(last_params, path));
    }
    ASK("GET", "/v1/containers/logs/web", NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("output"), "said");
    ASK("PUT", "/v1/containers/execute/web?command=a%3Bb%20c", NULL, 200);
    CU_ASSERT_EQUAL(int_of("exit_code"), 7);
    CU_ASSERT_PTR_NOT_NULL(strstr(last_params, "\"command\":\"a;b c\""));
    ASK("PUT", "/v1/containers/execute/web/ls", NULL, 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(last_params, "\"command\":\"ls\""));
    ASK("PUT", "/v1/containers/execute/web", NULL, 400);
    ASK("GET", "/v1/containers/start/web", NULL, 405);
    CU_ASSERT_STRING_EQUAL(answer_header("Allow"), "PUT");
    ASK("PUT", "/v1/containers/explode/web", NULL, 404);
    ASK("PATCH", "/v1/containers/web", "[{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"x\"}]",
        200);
    CU_ASSERT_STRING_EQUAL(text_of("name"), "x");
    make("containers", swarm, "\"image\":\"i\",\"name\":\"x\"", 201);
    ASK("GET", "/v1/containers/x", NULL, 409);
    SAYS("Multiple containers exist with same name. Please use the container uuid instead.");
}

static void a_cluster_that_is_away_is_told(void)
{
    char path[120];
    clusters();
    make("containers", swarm, "\"image\":\"i\",\"name\":\"w\"", 201);
    snprintf(path, sizeof path, "/v1/containers/%s", text_of("uuid"));
    make("containers", swarm, "\"image\":\"unreachable\"", 503);
    SAYS("the cluster is away");
    conductor_extra = NULL; /* no refresh either way: what is stored */
    ASK("GET", path, NULL, 200);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "Running");
}

static void others_see_nothing(void)
{
    char path[120];
    clusters();
    as("ann", "p1", "member,reader");
    ASK("POST", "/v1/nodes", "{\"type\":\"virt\"}", 201);
    snprintf(path, sizeof path, "/v1/nodes/%s", text_of("uuid"));
    ASK("GET", path, NULL, 200);
    make("pods", bay, "\"manifest\":\"m\"", 400); /* another's cluster */
    as("bob", "p2", "member,reader");
    ASK("GET", path, NULL, 404);
    ASK("DELETE", path, NULL, 404);
    ASK("GET", "/v1/nodes", NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "nodes")), 0);
    as("eve", "p1", "reader");
    ASK("GET", path, NULL, 200);
    ASK("DELETE", path, NULL, 403);
    ASK("POST", "/v1/nodes", "{}", 403);
    as(NULL, NULL, NULL);
}

static void nodes_are_records(void)
{
    char path[120], link[400];
    clusters();
    as("ann", "pages", "member,reader");
    for (int i = 0; i < 3; i++)
        ASK("POST", "/v1/nodes", "{\"type\":\"bare\",\"image_id\":\"i\"}", 201);
    ASK("GET", "/v1/nodes?limit=2", NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "nodes")), 2);
    snprintf(link, sizeof link, "%s", strstr(text_of("next"), "/v1/"));
    ASK("GET", link, NULL, 200);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(answer_json(), "nodes")), 1);
    ASK("POST", "/v1/nodes", "{\"type\":\"cloud\"}", 400);
    ASK("POST", "/v1/nodes", "{\"ironic_node_id\":\"x1\"}", 201);
    snprintf(path, sizeof path, "/v1/nodes/%s", text_of("uuid"));
    ASK("POST", "/v1/nodes", "{\"ironic_node_id\":\"x1\"}", 409);
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/type\",\"value\":\"virt\"}]", 200);
    CU_ASSERT_STRING_EQUAL(text_of("type"), "virt");
    ASK("PATCH", path, "[{\"op\":\"remove\",\"path\":\"/ironic_node_id\"}]", 200);
    CU_ASSERT(json_is_null(json_object_get(answer_json(), "ironic_node_id")));
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/type\",\"value\":\"x\"}]", 400);
    ASK("GET", "/v1/nodes/name", NULL, 404);
    SAYS("Node name could not be found.");
    ASK("DELETE", path, NULL, 204);
    ASK("DELETE", path, NULL, 404);
    as(NULL, NULL, NULL);
}

static int stop(void)
{
    note(NULL, NULL);
    free(last_method);
    free(last_params);
    return api_fixture_stop();
}

TEST_MAIN("api_legacy", api_fixture_start, stop, TEST(objects_are_made_by_a_conductor),
          TEST(wrong_ones_are_refused_at_once), TEST(containers_act),
          TEST(a_cluster_that_is_away_is_told), TEST(others_see_nothing), TEST(nodes_are_records))
