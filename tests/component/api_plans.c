/* Dry runs, forced deletes and retries: a plan goes the way of the real request, says what would
 * happen and leaves nothing behind; a forced delete is a right of its own. */
#include "component/api_fixture.h"

#include <unistd.h>

/* Everything that accepting could have touched. */
static const char *world(void)
{
    return sql("SELECT md5(concat((SELECT json_agg(c ORDER BY id) FROM cluster c)::text,"
               " (SELECT json_agg(n ORDER BY id) FROM nodegroup n)::text,"
               " (SELECT json_agg(o ORDER BY id) FROM operation o)::text,"
               " (SELECT json_agg(e ORDER BY id) FROM operation_event e)::text,"
               " (SELECT json_agg(i ORDER BY key) FROM idempotency i)::text,"
               " (SELECT json_agg(b ORDER BY cluster_id) FROM observation b)::text))");
}

static const json_t *plan(void)
{
    return json_object_get(answer_json(), "plan");
}

static int64_t number(const json_t *o, const char *a, const char *b)
{
    return jsonx_int(json_object_get(o, a), b, -1);
}

/* Asks twice for the same plan and once without: only the last one changes the world. */
static void planned(const char *method, const char *path, const char *body)
{
    _cleanup_free_ char *before = str_dup(world());
    _cleanup_free_ char *dry = str_fmt("%s?plan=true", path);
    int due = atomic_load(&conductor_due);
    ASK(method, dry, body, 200);
    CU_ASSERT_TRUE(json_is_object(plan()));
    CU_ASSERT_STRING_EQUAL(world(), before);
    CU_ASSERT_EQUAL(atomic_load(&conductor_due), due);
}

static void plans_store_nothing(void)
{
    char cluster[40], path[160], create[300];
    const char *t = make_template(NULL);
    snprintf(create, sizeof create,
             "{\"name\":\"p1\",\"cluster_template_id\":\"%s\",\"node_count\":3}", t);
    planned("POST", "/v1/clusters", create);
    CU_ASSERT_STRING_EQUAL(jsonx_str(plan(), "kind"), "create");
    CU_ASSERT_EQUAL(number(plan(), "nodes", "now"), 0);
    CU_ASSERT_EQUAL(number(plan(), "nodes", "then"), 4);
    int64_t clusters = number(plan(), "quota", "now");
    CU_ASSERT_EQUAL(number(plan(), "quota", "then"), clusters + 1);
    CU_ASSERT_EQUAL(number(plan(), "quota", "limit"), 20);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(plan(), "make")), 2);
    CU_ASSERT_TRUE(json_is_null(json_object_get(plan(), "cluster_id")));
    CU_ASSERT_FALSE(jsonx_bool(plan(), "by_driver", true));
    ASK("GET", "/v1/clusters/p1", NULL, 404);

    snprintf(cluster, sizeof cluster, "%s", make_cluster(t, "\"node_count\":2"));
    conduct();
    snprintf(path, sizeof path, "/v1/clusters/%s/actions/resize", cluster);
    microversion("1.10");
    planned("POST", path, "{\"node_count\":5}");
    CU_ASSERT_STRING_EQUAL(jsonx_str(plan(), "kind"), "scale");
    CU_ASSERT_EQUAL(number(plan(), "nodes", "now"), 3);
    CU_ASSERT_EQUAL(number(plan(), "nodes", "then"), 6);
    const json_t *made = json_array_get(json_object_get(plan(), "make"), 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(made, "detail"), "3 nodes");
    ASK("POST", path, "{\"node_count\":5}", 202); /* now for real: then it is in the way */
    microversion(NULL);
    snprintf(path, sizeof path, "/v1/clusters/%s", cluster);
    planned("DELETE", path, NULL);
    CU_ASSERT_STRING_EQUAL(jsonx_str(plan(), "kind"), "delete");
    CU_ASSERT_EQUAL(json_array_size(json_object_get(plan(), "replaces")), 1);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(plan(), "remove")), 2);
    CU_ASSERT_EQUAL(number(plan(), "nodes", "then"), 0);
    conduct();
    planned("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":1}]");
    CU_ASSERT_STRING_EQUAL(jsonx_str(plan(), "kind"), "update");
    CU_ASSERT_EQUAL(json_array_size(json_object_get(plan(), "remove")), 1);
    /* nothing to do is no plan, and reports of health are not stored either */
    _cleanup_free_ char *before = str_dup(world());
    _cleanup_free_ char *dry = str_fmt("%s?plan=true", path);
    ASK("PATCH", dry, "[]", 200);
    CU_ASSERT_TRUE(json_is_null(plan()));
    ASK("PATCH", dry, "[{\"op\":\"replace\",\"path\":\"/health_status\",\"value\":\"HEALTHY\"}]",
        200);
    CU_ASSERT_STRING_EQUAL(world(), before);
    microversion("1.9");
    snprintf(path, sizeof path, "/v1/clusters/%s/nodegroups", cluster);
    planned("POST", path, "{\"name\":\"more\",\"node_count\":2}");
    CU_ASSERT_STRING_EQUAL(jsonx_str(plan(), "kind"), "nodegroup_create");
    CU_ASSERT_EQUAL(json_array_size(json_object_get(plan(), "nodegroups")), 3);
    microversion(NULL);
}

static void plans_are_checked_like_changes(void)
{
    char path[160];
    const char *t = make_template(NULL);
    ASK("POST", "/v1/clusters?plan=true", "{\"cluster_template_id\":\"nobody\"}", 400);
    ASK("POST", "/v1/clusters?plan=maybe", "{}", 400);
    ASK("GET", "/v1/clusters?plan=true", NULL, 400); /* reading has no plan */
    snprintf(path, sizeof path, "/v1/clusters/%s?plan=true", make_cluster(t, NULL));
    ASK("PATCH", path, "[{\"op\":\"replace\",\"path\":\"/node_count\",\"value\":2}]", 400);
    SAYS("Updating a cluster when status is \"CREATE_IN_PROGRESS\" is not supported.");
    as("u", "p", "reader");
    _cleanup_free_ char *body = str_fmt("{\"cluster_template_id\":\"%s\"}", t);
    CU_ASSERT_NOT_EQUAL(ask("POST", "/v1/clusters?plan=true", body), 200);
    as(NULL, NULL, NULL);
    /* the quota speaks here too */
    (void)sql("INSERT INTO quotas (project_id, resource, hard_limit)"
              " VALUES ('default', 'Cluster', 0)");
    ASK("POST", "/v1/clusters?plan=true", body, 403);
    (void)sql("DELETE FROM quotas");
}

/* What the driver says stands in the plan, and its refusal is the plan's. */
static void drivers_have_a_say(void)
{
    const char *t = make_template(NULL);
    _cleanup_free_ char *body = str_fmt("{\"cluster_template_id\":\"%s\"}", t);
    (void)sql("UPDATE driver_copy SET manifest = replace(manifest::text, '\"interfaces\":[',"
              " '\"interfaces\":[\"mag.coe.plan/1\",')::json");
    for (int i = 0; i < 1000; i++) { /* the list of drivers is read once a second */
        ASK("POST", "/v1/clusters?plan=true", body, 200);
        if (jsonx_bool(plan(), "by_driver", false))
            break;
        usleep(50000);
    }
    CU_ASSERT_TRUE(jsonx_bool(plan(), "by_driver", false));
    const json_t *made = json_array_get(json_object_get(plan(), "make"), 0);
    CU_ASSERT_STRING_EQUAL(jsonx_str(made, "name"), "of create");
    atomic_store(&validate_code, ERR_INVALID);
    ASK("POST", "/v1/clusters?plan=true", body, 400);
    SAYS("the driver refuses the step from org.test.sim");
    atomic_store(&validate_code, ERR_UNAVAILABLE);
    ASK("POST", "/v1/clusters?plan=true", body, 200);
    CU_ASSERT_FALSE(jsonx_bool(plan(), "by_driver", true));
    CU_ASSERT_PTR_NOT_NULL(jsonx_str(plan(), "note"));
    atomic_store(&validate_code, 0);
}

static const char *newest(const char *cluster)
{
    static char id[40];
    char path[120];
    snprintf(path, sizeof path, "/v1/clusters/%s/operations?limit=1", cluster);
    ASK("GET", path, NULL, 200);
    const json_t *op = json_array_get(json_object_get(answer_json(), "operations"), 0);
    snprintf(id, sizeof id, "%s", jsonx_str(op, "id"));
    return id;
}

static void deletes_are_forced_by_right(void)
{
    char path[160], cluster[40];
    snprintf(cluster, sizeof cluster, "%s", make_cluster(make_template(NULL), NULL));
    snprintf(path, sizeof path, "/v1/clusters/%s?force=true", cluster);
    as("u", "p", "reader");
    CU_ASSERT_NOT_EQUAL(ask("DELETE", path, NULL), 204);
    as(NULL, NULL, NULL);
    snprintf(path, sizeof path, "/v1/clusters/%s", cluster);
    ASK("DELETE", path, NULL, 204);
    _cleanup_free_ char *op = str_dup(newest(cluster));
    snprintf(path, sizeof path, "/v1/operations/%s", op);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_FALSE(jsonx_bool(answer_json(), "force", true));
    snprintf(path, sizeof path, "/v1/clusters/%s?force=true", cluster);
    ASK("DELETE", path, NULL, 204);
    CU_ASSERT_STRING_EQUAL(newest(cluster), op); /* the one under way became a forced one */
    snprintf(path, sizeof path, "/v1/operations/%s", op);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_TRUE(jsonx_bool(answer_json(), "force", false));
    CU_ASSERT_TRUE(json_is_null(json_object_get(answer_json(), "report")));
    _cleanup_free_ char *report = str_fmt(
        "UPDATE operation SET report = '{\"left_behind\":[{\"kind\":\"node\"}]}' WHERE id = '%s'",
        op);
    (void)sql(report);
    ASK("GET", path, NULL, 200);
    CU_ASSERT_EQUAL(
        json_array_size(json_object_get(json_object_get(answer_json(), "report"), "left_behind")),
        1);
    conduct();
}

static void operations_are_retried(void)
{
    char path[160], cluster[40], query[300];
    snprintf(cluster, sizeof cluster, "%s", make_cluster(make_template(NULL), NULL));
    _cleanup_free_ char *op = str_dup(newest(cluster));
    snprintf(path, sizeof path, "/v1/operations/%s/retry", op);
    ASK("POST", path, NULL, 409); /* it is at work */
    snprintf(query, sizeof query,
             "UPDATE operation SET status = 'FAILED', code = 'Unavailable', finished_at = now()"
             " WHERE id = '%s'",
             op);
    (void)sql(query);
    snprintf(query, sizeof query, "UPDATE cluster SET status = 'CREATE_FAILED' WHERE uuid = '%s'",
             cluster);
    (void)sql(query);
    as("stranger", "elsewhere", "member,reader");
    CU_ASSERT_NOT_EQUAL(ask("POST", path, NULL), 202);
    as(NULL, NULL, NULL);
    int due = atomic_load(&conductor_due);
    ASK("POST", path, NULL, 202);
    CU_ASSERT_STRING_EQUAL(text_of("retry_of"), op);
    CU_ASSERT_STRING_EQUAL(text_of("status"), "PENDING");
    CU_ASSERT_STRING_NOT_EQUAL(text_of("id"), op);
    for (int i = 0; i < 3000 && atomic_load(&conductor_due) == due; i++)
        usleep(20000);
    CU_ASSERT_TRUE(atomic_load(&conductor_due) > due); /* a conductor was woken */
    _cleanup_free_ char *again = str_dup(text_of("id"));
    ASK("POST", path, NULL, 202); /* asked twice it is still one */
    CU_ASSERT_STRING_EQUAL(text_of("id"), again);
    ASK("POST", "/v1/operations/nobody/retry", NULL, 404);
    conduct();
}

TEST_MAIN("api_plans", api_fixture_start, api_fixture_stop, TEST(plans_store_nothing),
          TEST(plans_are_checked_like_changes), TEST(drivers_have_a_say),
          TEST(deletes_are_forced_by_right), TEST(operations_are_retried))
