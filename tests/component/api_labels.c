/* Labels as the API judges them: values, unknown and deprecated ones by the operator's choice, and
 * what an upgrade may change, at every request that can bring labels. */
#include "api_fixture.h"
#include "base/cleanup.h"

#define COE "\"name\":\"x\",\"coe\":\"kubernetes\",\"image_id\":\"simulated\","
#define BAD_MODE                                                                                   \
    "Label mode has the value 'sideways', which driver sim_v1 does not accept; allowed: one of "   \
    "fast, slow"

static char plain[64]; /* a template without labels */

static void values_are_checked_everywhere(void)
{
    _cleanup_free_ char *t = NULL, *cluster = NULL, *path = NULL;
    snprintf(plain, sizeof plain, "%s", make_template(NULL));
    ASK("POST", "/v1/clustertemplates", "{" COE "\"labels\":{\"mode\":\"sideways\"}}", 400);
    SAYS(BAD_MODE);
    path = str_fmt("/v1/clustertemplates/%s", plain);
    ASK("PATCH", path, "[{\"op\":\"add\",\"path\":\"/labels/mode\",\"value\":\"sideways\"}]", 400);
    SAYS(BAD_MODE);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(json_object_size(json_object_get(answer_json(), "labels")), 0);

    /* the labels a cluster ends up with: the template's and its own */
    t = str_dup(make_template("\"labels\":{\"mode\":\"fast\",\"delay_ms\":\"10\"}"));
    _cleanup_free_ char *bad = str_fmt("{\"name\":\"c\",\"cluster_template_id\":\"%s\","
                                       "\"merge_labels\":true,\"labels\":{\"delay_ms\":\"1001\"}}",
                                       t);
    ASK("POST", "/v1/clusters", bad, 400);
    SAYS("Label delay_ms has the value '1001', which driver sim_v1 does not accept; allowed: "
         "integer from 0 up to 1000");
    cluster = str_dup(make_cluster(t, "\"merge_labels\":true,\"labels\":{\"dry\":\"yes\"}"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(cluster);
}

static void unknown_ones_are_the_operators_choice(void)
{
    static const char *const warns[] = {"api.unknown_labels=warn", NULL};
    static const char *const refuses[] = {"api.unknown_labels=refuse", NULL};
    static const char body[] =
        "{" COE "\"labels\":{\"odd\":\"1\",\"a\\nb\\\"\":\"2\",\"mode\":\"slow\"}}";
    ASK("POST", "/v1/clustertemplates", body, 201);
    CU_ASSERT_PTR_NULL(answer_header("Warning"));
    ASK("POST", "/v1/clustertemplates", "{" COE "\"labels\":{\"past\":\"1\"}}", 201);
    CU_ASSERT_STRING_EQUAL(answer_header("Warning"),
                           "299 magnum \"deprecated labels of driver sim_v1: past\"");

    api_fixture_with(warns);
    ASK("POST", "/v1/clustertemplates", body, 201);
    CU_ASSERT_STRING_EQUAL(answer_header("Warning"),
                           "299 magnum \"driver sim_v1 does not know these labels: odd, a?b?\"");
    api_fixture_back();

    api_fixture_with(refuses);
    ASK("POST", "/v1/clustertemplates", body, 400);
    SAYS("Driver sim_v1 does not know these labels: odd, a?b? (the first has the value '1'); "
         "allowed: those that GET /v1/drivers/sim_v1 lists");
    ASK("POST", "/v1/clustertemplates",
        "{" COE "\"labels\":{\"mode\":\"slow\",\"min_node_count\":\"1\"}}", 201);
    _cleanup_free_ char *cluster = str_fmt("{\"name\":\"c\",\"cluster_template_id\":\"%s\","
                                           "\"labels\":{\"odd\":\"1\"}}",
                                           plain);
    ASK("POST", "/v1/clusters", cluster, 400);
    CU_ASSERT_PTR_NOT_NULL(strstr(detail(), "odd"));
    api_fixture_back();
}

static void upgrades_keep_what_was_settled(void)
{
    _cleanup_free_ char *from = str_dup(make_template("\"labels\":{\"size\":\"5\"}"));
    _cleanup_free_ char *other = str_dup(make_template("\"labels\":{\"size\":\"6\"}"));
    _cleanup_free_ char *moved = str_dup(make_template("\"labels\":{\"place\":\"there\"}"));
    _cleanup_free_ char *wrong = str_dup(make_template("\"labels\":{\"size\":\"5\"}"));
    _cleanup_free_ char *fine =
        str_dup(make_template("\"labels\":{\"size\":\"5\",\"place\":\"here\",\"mode\":\"slow\"}"));
    _cleanup_free_ char *cluster = str_dup(make_cluster(from, NULL));
    conduct();
    _cleanup_free_ char *path = str_fmt("/v1/clusters/%s/actions/upgrade", cluster);
    struct {
        const char *template;
        int status;
        const char *says;
    } rows[] = {
        {other, 400,
         "Label size can't be changed to '6': it takes effect only when a cluster is made; "
         "allowed: '5', as the cluster has it"},
        {moved, 400,
         "Label place can't be changed to 'there': it takes effect only when a cluster is made; "
         "allowed: unset, as the cluster has it"},
        {wrong, 202, ""},
        {fine, 202, ""},
    };
    microversion("1.14");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_free_ char *body = str_fmt("{\"cluster_template\":\"%s\"}", rows[i].template);
        ASK("POST", path, body, rows[i].status);
        SAYS(rows[i].says);
        conduct();
    }
    microversion(NULL);
}

TEST_MAIN("api_labels", api_fixture_start, api_fixture_stop, TEST(values_are_checked_everywhere),
          TEST(unknown_ones_are_the_operators_choice), TEST(upgrades_keep_what_was_settled))
