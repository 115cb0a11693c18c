/* Every attribute of every body with every value it must refuse, each beside a body that is fine
 * without it; free texts that look dangerous and are none; conflicts between attributes; documents
 * that are broken, deep, doubled or huge. See api_bad.h for the demands. */
#include "component/api_bad.h"

static char cluster[40], cluster_template[40];

/* A resource's POST (or PATCH with an object) and a body that is well formed. `fine` is never sent
 * as it is: its own values may name what does not exist. */
struct target {
    const char *method, *path, *fine;
    const struct attr_table *table;
};

static bool hidden(const struct attr *a, bool zed)
{
    return zed ? (a->flags & ATTR_HEAD) != 0 : (a->flags & ATTR_ZED) != 0;
}

static void one_attribute(const struct target *t, const struct attr *a)
{
    _cleanup_strv_ struct strv values = STRV_INIT;
    struct stored before = stored_now();
    bad_values(a, &values);
    CU_ASSERT(values.n > 0);
    for (size_t i = 0; i < values.n; i++) {
        _cleanup_free_ char *body = with_member(t->fine, a->name, values.v[i]);
        /* Magnum's text about addresses is a sentence of its own */
        bool dns = a->type == ATTR_DNS || a->type == ATTR_IPV4;
        refused(t->method, t->path, body, 0, a->name, dns ? "dns" : t->table->argument);
    }
    for (size_t i = 0; i < broken_texts_n; i++) {
        _cleanup_free_ char *body = with_member(t->fine, a->name, broken_texts[i]);
        refused(t->method, t->path, body, 0, NULL, NULL);
    }
    check_untouched(&before, a->name);
}

static bool zed;

static void walk(const struct target *t)
{
    for (size_t i = 0; i < t->table->n; i++)
        if (!hidden(&t->table->v[i], zed))
            one_attribute(t, &t->table->v[i]);
}

/* ---- the resources ---- */

static char *targets_path(const char *tail)
{
    return str_fmt("/v1/clusters/%s/%s", cluster, tail);
}

static void template_attributes(void)
{
    walk(&(struct target){"POST", "/v1/clustertemplates",
                          "{\"name\":\"t\",\"coe\":\"kubernetes\",\"image_id\":\"simulated\"}",
                          &attrs_template});
}

static void cluster_attributes(void)
{
    _cleanup_free_ char *fine =
        str_fmt("{\"name\":\"c\",\"cluster_template_id\":\"%s\"}", cluster_template);
    walk(&(struct target){"POST", "/v1/clusters", fine, &attrs_cluster});
}

static void nodegroup_attributes(void)
{
    _cleanup_free_ char *path = targets_path("nodegroups");
    walk(&(struct target){"POST", path, "{\"name\":\"n\"}", &attrs_nodegroup});
}

static void action_attributes(void)
{
    _cleanup_free_ char *resize = targets_path("actions/resize");
    _cleanup_free_ char *upgrade = targets_path("actions/upgrade");
    walk(&(struct target){"POST", resize, "{\"node_count\":2}", &attrs_resize});
    walk(&(struct target){"POST", upgrade, "{\"cluster_template\":\"x\"}", &attrs_upgrade});
}

static void quota_attributes(void)
{
    ASK("POST", "/v1/quotas", "{\"project_id\":\"bad\",\"hard_limit\":3}", 201);
    walk(&(struct target){"POST", "/v1/quotas", "{\"project_id\":\"z\"}", &attrs_quota});
    walk(&(struct target){"PATCH", "/v1/quotas/bad/Cluster", "{\"hard_limit\":4}",
                          &attrs_quota_update});
}

static void federation_attributes(void)
{
    _cleanup_free_ char *fine = str_fmt("{\"name\":\"f\",\"hostcluster_id\":\"%s\","
                                        "\"properties\":{\"dns-zone\":\"z\"}}",
                                        cluster);
    walk(&(struct target){"POST", "/v1/federations", fine, &attrs_federation});
}

/* Only the names are checked before the handler looks: it must refuse by itself. */
static void certificate_attributes(void)
{
    _cleanup_free_ char *fine = str_fmt("{\"cluster_uuid\":\"%s\",\"csr\":\"x\"}", cluster);
    walk(&(struct target){"POST", "/v1/certificates", fine, &attrs_certificate});
}

/* ---- bodies as a whole ---- */

static const struct {
    const char *method, *path, *argument;
} bodies[] = {
    {"POST", "/v1/clustertemplates", "cluster_template"},
    {"POST", "/v1/clusters", "cluster"},
    {"POST", "/v1/clusters/%s/nodegroups", "nodegroup"},
    {"POST", "/v1/clusters/%s/actions/resize", "cluster_resize_req"},
    {"POST", "/v1/clusters/%s/actions/upgrade", "cluster_upgrade_req"},
    {"POST", "/v1/certificates", "certificate"},
    {"POST", "/v1/quotas", "quota"},
    {"PATCH", "/v1/quotas/bad/Cluster", "quotapatch"},
    {"POST", "/v1/federations", "federation"},
};

static char *path_of(size_t i)
{
    return strstr(bodies[i].path, "%s")
               ? str_fmt("/v1/clusters/%s%s", cluster, strstr(bodies[i].path, "%s") + 2)
               : str_dup(bodies[i].path);
}

static char *nested(size_t depth, bool objects)
{
    struct str s = STR_INIT;
    for (size_t i = 0; i < depth; i++)
        str_append(&s, objects ? "{\"labels\":" : "[");
    str_append(&s, "1");
    for (size_t i = 0; i < depth; i++)
        str_append(&s, objects ? "}" : "]");
    return str_take(&s);
}

static void whole_bodies(void)
{
    static const char *const wrong[] = {"[]", "[{}]", "\"x\"", "1", "true", "null"};
    static const char *const unreadable[] = {
        "{",           "[",          "\"",     "nul",        "{\"a\":1,}",     "{'a': 1}",
        "{\"a\":1}{}", "  ",         "/**/{}", "\xff\xfe{}", "\xef\xbb\xbf{}", "{\"a\"}",
        "{a:1}",       "{\"a\":1}]", "\x01{}", "{} trailing"};
    struct stored before = stored_now();
    for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
        _cleanup_free_ char *path = path_of(b);
        _cleanup_free_ char *name = long_text(1000 * 1000);
        _cleanup_free_ char *unknown = str_fmt("{%s:1}", name);
        _cleanup_free_ char *deep = nested(1000, false), *deep_objects = nested(1000, true);
        _cleanup_free_ char *just = nested(32, true);
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
            refused(bodies[b].method, path, wrong[i], 0, bodies[b].argument, NULL);
        for (size_t i = 0; i < ARRAY_LEN(unreadable); i++)
            refused(bodies[b].method, path, unreadable[i], 0, "JSON", NULL);
        refused(bodies[b].method, path, "{\"zz\":1,\"aa\":2}", 0, "aa, zz", NULL);
        refused(bodies[b].method, path, unknown, 0, bodies[b].argument, NULL);
        refused(bodies[b].method, path, deep, 0, "JSON", NULL);
        refused(bodies[b].method, path, deep_objects, 0, "JSON", NULL);
        refused(bodies[b].method, path, just, 0, NULL, NULL);
    }
    check_untouched(&before, "whole bodies");
}

/* Which of two equal keys counts is anybody's guess: neither does. */
static void doubled_keys(void)
{
    struct stored before = stored_now();
    static const char *const doubled[] = {
        "{\"name\":\"a\",\"name\":\"b\"}",
        "{\"name\":\"a\",\"n\\u0061me\":\"a\"}",
        "{\"name\":\"a\",\"labels\":{\"x\":\"1\",\"x\":\"2\"}}",
        "{\"node_count\":1,\"node_count\":2}",
        "{\"project_id\":\"z\",\"project_id\":\"y\"}",
    };
    for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
        _cleanup_free_ char *path = path_of(b);
        for (size_t i = 0; i < ARRAY_LEN(doubled); i++)
            refused(bodies[b].method, path, doubled[i], 0, "JSON", NULL);
    }
    check_untouched(&before, "doubled keys");
}

/* Bytes behind a NUL are part of the body. */
static void nul_bytes(void)
{
    static const char body[] = "{\"name\":\"a\"}\0{\"name\":\"b\"}";
    struct stored before = stored_now();
    for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
        _cleanup_free_ char *path = path_of(b);
        int status = ask_bytes(bodies[b].method, path, body, sizeof body - 1, NULL);
        CU_ASSERT_EQUAL(status, 400);
        CU_ASSERT(error_body_good());
    }
    check_untouched(&before, "NUL bytes");
}

/* ---- attributes that contradict each other ---- */

static void conflicts(void)
{
    _cleanup_free_ char *groups = targets_path("nodegroups");
    _cleanup_free_ char *resize = targets_path("actions/resize");
    const struct {
        const char *path, *body, *names;
        int status;
    } cases[] = {
        {"/v1/clusters", "\"master_count\":3,\"master_lb_enabled\":false", "master_count", 400},
        {"/v1/clusters", "\"master_count\":2", "master", 400},
        {"/v1/clusters", "\"flavor_id\":\"no-such\"", "no-such", 400},
        {"/v1/clusters", "\"fixed_network\":\"no-such\"", "no-such", 400},
        {"/v1/clusters", "\"labels\":{\"boot_volume_size\":\"many\"}", "boot_volume_size", 400},
        {"/v1/clusters", "\"labels\":{\"mode\":\"sideways\"}", "mode", 400},
        {"/v1/clusters", "\"labels\":{\"a\":null}", "labels", 400},
        {"/v1/clustertemplates", "\"network_driver\":\"weave\"", "weave", 400},
        {"/v1/clustertemplates", "\"volume_driver\":\"rexray\"", "rexray", 400},
        {"/v1/clustertemplates",
         "\"docker_storage_driver\":\"devicemapper\",\"docker_volume_size\":2", "docker volume",
         400},
        {"/v1/clustertemplates", "\"docker_storage_driver\":\"devicemapper\"", "docker volume",
         400},
        {"/v1/clustertemplates", "\"external_network_id\":\"no-such\"", "no-such", 400},
        {"/v1/clustertemplates", "\"server_type\":\"bm\"", "bm", 400},
        {"/v1/clustertemplates", "\"driver\":\"no-such\"", "no-such", 400},
        {groups, "\"min_node_count\":3,\"max_node_count\":2,\"node_count\":3", "max_node_count",
         409},
        {groups, "\"node_count\":1,\"min_node_count\":2", "min_node_count", 409},
        {groups, "\"node_count\":5,\"max_node_count\":4", "max_node_count", 409},
        {groups, "\"role\":\"master\"", "master", 400},
        {groups, "\"role\":\"master\",\"node_labels\":{\"a\":\"b\"}", "node_labels", 409},
        {groups, "\"node_labels\":{\"kubernetes.io/x\":\"b\"}", "node_labels", 409},
        {groups, "\"node_taints\":[{\"key\":\"a\",\"effect\":\"Sometimes\"}]", "node_taints", 409},
        {groups, "\"node_taints\":[{\"effect\":\"NoSchedule\"}]", "node_taints", 409},
        {groups, "\"node_taints\":[{\"key\":\"a\",\"effect\":\"NoExecute\",\"why\":\"\"}]",
         "node_taints", 409},
        {resize, "\"node_count\":1,\"nodegroup\":\"no-such\"", "no-such", 404},
        {resize, "\"node_count\":3,\"nodegroup\":\"default-master\"", "master", 400},
    };
    struct stored before = stored_now();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *base = strcmp(cases[i].path, "/v1/clusters") == 0 ? cluster_template : NULL;
        _cleanup_free_ char *head =
            base ? str_fmt("\"name\":\"x\",\"cluster_template_id\":\"%s\",", base)
            : cases[i].path == groups ? str_dup("\"name\":\"x\",")
            : cases[i].path == resize
                ? str_dup("")
                : str_dup("\"name\":\"x\",\"coe\":\"kubernetes\",\"image_id\":\"simulated\",");
        _cleanup_free_ char *body = str_fmt("{%s%s}", head, cases[i].body);
        int status = ask("POST", cases[i].path, body);
        bool good =
            status == cases[i].status && error_body_good() && strstr(detail(), cases[i].names);
        if (!good)
            fprintf(stderr, "%s %s: %d, not %d: %s\n", cases[i].path, body, status, cases[i].status,
                    answer_text());
        CU_ASSERT(good);
    }
    check_untouched(&before, "conflicts");
}

/* What a version does not know yet or the other release no longer. */
static void versions(void)
{
    _cleanup_free_ char *resize = targets_path("actions/resize");
    _cleanup_free_ char *both =
        str_fmt("{\"cluster_uuid\":\"%s\",\"bay_uuid\":\"x\",\"csr\":\"x\"}", cluster);
    _cleanup_free_ char *zero = str_fmt(
        "{\"name\":\"x\",\"cluster_template_id\":\"%s\",\"node_count\":0}", cluster_template);
    struct stored before = stored_now();
    microversion("1.9");
    refused("POST", "/v1/clusters", zero, 0, "zero", NULL);
    refused("POST", resize, "{\"node_count\":0}", 0, "zero", NULL);
    microversion("latest");
    refused("POST", "/v1/certificates", both, 0, "bay_uuid", NULL);
    check_untouched(&before, "versions");
}

/* ---- texts that are only texts ---- */

/* Names and tags may hold anything: it comes back as it was sent, and nothing else happens. */
static void free_texts(void)
{
    for (size_t i = 0; i < bad_texts_n; i++) {
        _cleanup_free_ char *named = with_member(
            "{\"coe\":\"kubernetes\",\"image_id\":\"simulated\"}", "name", bad_texts[i]);
        _cleanup_free_ char *body = with_member(named, "tags", bad_texts[i]);
        _cleanup_json_ json_t *sent = json_loads(bad_texts[i], JSON_DECODE_ANY, NULL);
        ASK("POST", "/v1/clustertemplates", body, 201);
        _cleanup_free_ char *path = str_fmt("/v1/clustertemplates/%s", text_of("uuid"));
        ASK("GET", path, NULL, 200);
        CU_ASSERT_STRING_EQUAL(text_of("name"), json_string_value(sent));
        CU_ASSERT_STRING_EQUAL(text_of("tags"), json_string_value(sent));
        ASK("DELETE", path, NULL, 204);
    }
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM pg_tables WHERE tablename = 'cluster'"), "1");
}

/* ---- the older release ---- */

/* Bays and baymodels are its own; everything else has its messages. */
static void other_release(void)
{
    static const char *const options[] = {"api.compat=zed", NULL};
    _cleanup_free_ char *bay = str_fmt("{\"name\":\"b\",\"baymodel_id\":\"%s\"}", cluster_template);
    api_fixture_with(options);
    zed = true;
    walk(&(struct target){"POST", "/v1/bays", bay, &attrs_bay});
    walk(&(struct target){"POST", "/v1/baymodels",
                          "{\"name\":\"t\",\"coe\":\"kubernetes\",\"image_id\":\"simulated\","
                          "\"keypair_id\":\"k\",\"external_network_id\":\"public\"}",
                          &attrs_baymodel});
    template_attributes();
    cluster_attributes();
    nodegroup_attributes();
    action_attributes();
    federation_attributes();
    certificate_attributes();
    zed = false;
    api_fixture_back();
}

/* The first test: what the others need. */
static void resources(void)
{
    microversion("latest");
    snprintf(cluster_template, sizeof cluster_template, "%s", make_template(NULL));
    snprintf(cluster, sizeof cluster, "%s", make_cluster(cluster_template, NULL));
    conduct();
}

TEST_MAIN("api_bad_bodies", api_fixture_start, api_fixture_stop, TEST(resources),
          TEST(template_attributes), TEST(cluster_attributes), TEST(nodegroup_attributes),
          TEST(action_attributes), TEST(quota_attributes), TEST(federation_attributes),
          TEST(certificate_attributes), TEST(whole_bodies), TEST(doubled_keys), TEST(nul_bytes),
          TEST(conflicts), TEST(versions), TEST(free_texts), TEST(other_release))
