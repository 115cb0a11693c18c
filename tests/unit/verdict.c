/* What a health look publishes: the whole by the worst that is known, reasons by node, and the
 * nodes that may be replaced only when the look could tell of all. */
#include "lib/verdict.h"
#include "lib/cleanup.h"
#include "support/cunit_main.h"

static json_t *published;

static int32_t on_output(void *ctx, const mag_op *op, const char *key, mag_bytes json, mag_error *e)
{
    (void)ctx;
    (void)op;
    (void)e;
    json_t *v = json_loadb(json.data, json.len, JSON_DECODE_ANY, NULL);
    return json_object_set_new(published, key, v) == 0 ? MAG_OK : MAG_E_INTERNAL;
}
static const mag_host host = {.struct_size = sizeof host, .output = on_output};
static const mag_op op = {.struct_size = sizeof op};

static const char *text(const char *path)
{
    return mag_json_text(published, path, "");
}

static void publish(struct mag_verdict *v, bool whole)
{
    mag_error err = {.struct_size = sizeof err};
    json_decref(published);
    published = json_object();
    CU_ASSERT_EQUAL(mag_verdict_publish(v, &host, &op, whole, &err), MAG_OK);
    mag_verdict_done(v);
}

static void the_worst_decides(void)
{
    static const struct {
        bool bad, unknown;
        const char *status;
    } rows[] = {{false, false, "HEALTHY"},
                {false, true, "UNKNOWN"},
                {true, false, "UNHEALTHY"},
                {true, true, "UNHEALTHY"}};
    for (size_t i = 0; i < MAG_LEN(rows); i++) {
        struct mag_verdict v = mag_verdict_new();
        v.bad = rows[i].bad;
        v.unknown = rows[i].unknown;
        publish(&v, true);
        CU_ASSERT_STRING_EQUAL(text("health_status"), rows[i].status);
        CU_ASSERT_EQUAL(json_array_size(json_object_get(published, "unhealthy_nodes")), 0);
    }
}

static void sick_nodes_are_listed(void)
{
    struct mag_verdict v = mag_verdict_new();
    mag_verdict_api(&v, "ok");
    mag_verdict_node(&v, "w1", "True");
    mag_verdict_sick(&v, "w2", "g", "False: powered\noff");
    mag_verdict_sick(&v, "w3", "g", "Unknown: NodeStatusUnknown");
    mag_verdict_sick(&v, "m1", NULL, "False: powered off");
    publish(&v, true);
    const json_t *reasons = mag_json_at(published, "health_status_reason");
    const json_t *sick = mag_json_at(published, "unhealthy_nodes");
    CU_ASSERT_STRING_EQUAL(text("health_status"), "UNHEALTHY");
    CU_ASSERT_EQUAL(json_object_size(reasons), 5);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(reasons, "w1.Ready")), "True");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(reasons, "w2.Ready")),
                           "False: powered off");
    CU_ASSERT_EQUAL_FATAL(json_array_size(sick), 2); /* a master is never replaced */
    CU_ASSERT_STRING_EQUAL(mag_json_text(json_array_get(sick, 0), "node", ""), "w2");
    CU_ASSERT_STRING_EQUAL(mag_json_text(json_array_get(sick, 0), "nodegroup", ""), "g");
    CU_ASSERT_STRING_EQUAL(mag_json_text(json_array_get(sick, 0), "reason", ""), "powered off");
    CU_ASSERT_STRING_EQUAL(mag_json_text(json_array_get(sick, 1), "reason", ""),
                           "Unknown: NodeStatusUnknown");
}

static void half_a_look_replaces_nobody(void)
{
    struct mag_verdict v = mag_verdict_new();
    mag_verdict_sick(&v, "w2", "g", "False: powered off");
    publish(&v, false);
    CU_ASSERT_STRING_EQUAL(text("health_status"), "UNHEALTHY");
    CU_ASSERT_PTR_NULL(json_object_get(published, "unhealthy_nodes"));
    json_decref(published);
    published = NULL;
}

TEST_MAIN("verdict", NULL, NULL, TEST(the_worst_decides), TEST(sick_nodes_are_listed),
          TEST(half_a_look_replaces_nobody))
