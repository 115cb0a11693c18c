/* Unit tests of the API's semantic rules: labels and their schema, the label rules of 15.0.1,
 * nodegroup bounds, node labels and taints, choice of a driver, the built-in catalogue. */
#include "api/catalog.h"
#include "api/driver_select.h"
#include "api/labels.h"
#include "api/labels_zed.h"
#include "api/nodegroup_rules.h"
#include "base/jsonx.h"
#include "config/config.h"
#include "support/cunit_main.h"

static int with_labels(const char *text, int (*fn)(const json_t *labels, struct err *e),
                       struct err *e)
{
    _cleanup_json_ json_t *labels = json_loads(text, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(labels);
    return fn(labels, e);
}

static int by_schema(const json_t *labels, struct err *e)
{
    static const char text[] =
        "{\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9},"
        "\"r\":{\"type\":\"number\",\"minimum\":0.5},\"b\":{\"type\":\"boolean\"},"
        "\"c\":{\"enum\":[\"x\",\"y\",3]},\"p\":{\"type\":\"string\",\"pattern\":\"^v\\\\d+$\"},"
        "\"l\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":3},"
        "\"odd\":{\"pattern\":\"(((\"}}}";
    _cleanup_json_ json_t *schema = json_loads(text, 0, NULL);
    return labels_check(schema, "d", labels, e);
}

static void schemas_are_enforced(void)
{
    static const struct {
        const char *labels;
        int rc;
    } rows[] = {
        {"{}", 0},
        {"{\"unknown\":\"x\"}", 0},
        {"{\"n\":\"1\"}", 0},
        {"{\"n\":\"9\"}", 0},
        {"{\"n\":\"0\"}", ERR_INVALID},
        {"{\"n\":\"10\"}", ERR_INVALID},
        {"{\"n\":\"1.5\"}", ERR_INVALID},
        {"{\"n\":\"\"}", ERR_INVALID},
        {"{\"n\":5}", 0},
        {"{\"r\":\"0.5\"}", 0},
        {"{\"r\":\"1e3\"}", 0},
        {"{\"r\":\"0.4\"}", ERR_INVALID},
        {"{\"r\":\"nan\"}", ERR_INVALID},
        {"{\"r\":\"inf\"}", ERR_INVALID},
        {"{\"r\":\"0x10\"}", ERR_INVALID},
        {"{\"b\":\"True\"}", 0},
        {"{\"b\":\"off\"}", 0},
        {"{\"b\":\"2\"}", ERR_INVALID},
        {"{\"c\":\"y\"}", 0},
        {"{\"c\":\"3\"}", 0},
        {"{\"c\":\"z\"}", ERR_INVALID},
        {"{\"p\":\"v12\"}", 0},
        {"{\"p\":\"v\"}", ERR_INVALID},
        {"{\"p\":\"xv12\"}", ERR_INVALID},
        {"{\"l\":\"ab\"}", 0},
        {"{\"l\":\"a\"}", ERR_INVALID},
        {"{\"l\":\"abcd\"}", ERR_INVALID},
        {"{\"odd\":\"anything\"}", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT;
        CU_ASSERT_EQUAL(with_labels(rows[i].labels, by_schema, &e), rows[i].rc);
    }
    struct err e = ERR_INIT;
    (void)with_labels("{\"n\":\"77\"}", by_schema, &e);
    CU_ASSERT_STRING_EQUAL(e.msg, "Label n has the value '77', which driver d does not accept; "
                                  "allowed: integer from 1 up to 9");
    CU_ASSERT_EQUAL(with_labels("{\"a\":null}", labels_no_null, &e), ERR_INVALID);
    CU_ASSERT_EQUAL(labels_check(NULL, "d", NULL, &e), 0);
}

static void old_labels_are_checked(void)
{
    static const struct {
        const char *labels, *detail;
    } rows[] = {
        {"{}", NULL},
        {"{\"swarm_strategy\":\"spread\"}", NULL},
        {"{\"swarm_strategy\":\"magic\"}",
         "property \"labels/swarm_strategy\" with value \"magic\" is not supported, supported "
         "values are: spread, binpack, random, unspecified"},
        {"{\"mesos_slave_isolation\":\"posix/cpu,posix/mem\"}", NULL},
        {"{\"mesos_slave_isolation\":\"posix/gpu\"}",
         "property \"labels/mesos_slave_isolation\" with value \"posix/gpu\" is not supported, "
         "supported values are: filesystem/posix, filesystem/linux, filesystem/shared, posix/cpu, "
         "posix/mem, posix/disk, cgroups/cpu, cgroups/mem, docker/runtime, namespaces/pid, "
         "unspecified"},
        {"{\"mesos_slave_image_providers\":\"docker\",\"mesos_slave_isolation\":"
         "\"docker/runtime\"}",
         NULL},
        {"{\"mesos_slave_image_providers\":\"docker\"}",
         "Required parameter docker/runtime isolator in mesos_slave_isolation not provided."},
        {"{\"mesos_slave_executor_env_variables\":\"{not json\"}", "Json format error"},
        {"{\"mesos_slave_executor_env_variables\":\"{}\"}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT;
        int rc = with_labels(rows[i].labels, labels_zed_check, &e);
        CU_ASSERT_EQUAL(rc, rows[i].detail ? ERR_INVALID : 0);
        if (rows[i].detail)
            CU_ASSERT_STRING_EQUAL(e.msg, rows[i].detail);
    }
}

static void labels_merge_and_differ(void)
{
    _cleanup_json_ json_t *base = json_pack("{s:s, s:s}", "a", "1", "b", "2");
    _cleanup_json_ json_t *own = json_pack("{s:s, s:s}", "b", "3", "c", "4");
    _cleanup_json_ json_t *merged = labels_merge(base, own), *none = labels_merge(NULL, NULL);
    static const char *const want[] = {"{\"b\":\"2\"}", "{\"c\":\"4\"}", "{\"a\":\"1\"}"};
    CU_ASSERT_STRING_EQUAL(jsonx_str(merged, "b"), "3");
    CU_ASSERT_EQUAL(json_object_size(merged), 3);
    CU_ASSERT_STRING_EQUAL(jsonx_str(base, "b"), "2");
    CU_ASSERT(labels_empty(none));
    for (int part = LABELS_OVERRIDDEN; part <= LABELS_SKIPPED; part++) {
        _cleanup_str_ struct str o = STR_INIT;
        labels_diff(&o, (enum labels_part)part, base, own);
        CU_ASSERT_STRING_EQUAL(str_text(&o), want[part]);
        str_clear(&o);
        labels_diff(&o, (enum labels_part)part, NULL, NULL);
        CU_ASSERT_STRING_EQUAL(str_text(&o), "{}");
    }
}

static void bounds_hold(void)
{
    static const struct {
        int64_t count, least, most;
        bool good;
    } rows[] = {{1, 0, MODEL_UNSET, true},
                {1, MODEL_UNSET, 1, true},
                {2, 0, 1, false},
                {0, 1, MODEL_UNSET, false},
                {3, 3, 2, false},
                {5, 0, 0, true},
                {0, 0, 0, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct nodegroup n;
        struct err e = ERR_INIT;
        nodegroup_init(&n);
        n.name = (char *)(uintptr_t) "g";
        n.node_count = rows[i].count;
        n.min_node_count = rows[i].least;
        n.max_node_count = rows[i].most;
        CU_ASSERT_EQUAL(nodegroup_check_counts(&n, &e), rows[i].good ? 0 : ERR_CONFLICT);
    }
}

static void kubernetes_labels_are_guarded(void)
{
    static const struct {
        const char *key;
        bool good;
    } rows[] = {{"tier", true},
                {"example.org/tier", true},
                {"kubernetes", true},
                {"kubernetes.io/role", false},
                {"kubernetes.io/os", true},
                {"foo.kubernetes.io/x", false},
                {"k8s.io/x", false},
                {"foo.k8s.io/x", false},
                {"notk8s.io/x", true},
                {"node.kubernetes.io/anything", true},
                {"kubelet.kubernetes.io/x", true},
                {"a.node.kubernetes.io/x", false},
                {"topology.kubernetes.io/zone", true},
                {"topology.kubernetes.io/rack", false},
                {"/x", true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct nodegroup n;
        struct err e = ERR_INIT;
        nodegroup_init(&n);
        n.name = str_dup("g");
        n.role = str_dup("worker");
        n.node_labels = json_pack("{s:s}", rows[i].key, "v");
        CU_ASSERT_EQUAL(nodegroup_check_node_attributes(&n, &e), rows[i].good ? 0 : ERR_CONFLICT);
        free(n.role);
        n.role = str_dup("master");
        CU_ASSERT_EQUAL(nodegroup_check_node_attributes(&n, &e), ERR_CONFLICT);
        nodegroup_done(&n);
    }
}

/* ---- drivers ---- */

static struct driver_row_list drivers;

static void add_driver(const char *id, const char *name, const char *manifest, bool enabled,
                       bool ready)
{
    struct driver_row *d = driver_row_list_add(&drivers);
    d->id = str_dup(id);
    d->name = str_dup(name);
    d->kind = str_dup("coe-driver");
    d->manifest = json_loads(manifest, 0, NULL);
    d->enabled = enabled;
    d->ready = ready;
    d->not_ready_reason = ready ? NULL : str_dup("dockerd is missing");
    CU_ASSERT_PTR_NOT_NULL_FATAL(d->manifest);
}

static void drivers_are_chosen(void)
{
#define VM "{\"server_type\":\"vm\",\"os\":\"u\",\"coe\":\"k\"}"
    struct config cfg = {.drivers_require_enable = true};
    const struct driver_triple vm = {"vm", "u", "k"}, beta = {"bm", "u", "k"},
                               off = {"a", "b", "c"}, odd = {"vm", NULL, "k"};
    const struct driver_row *d = NULL;
    struct err e = ERR_INIT;
    add_driver("z", "zeta", "{\"provides\":[" VM "]}", true, true);
    add_driver("a", "alpha", "{\"provides\":[" VM "],\"interfaces\":[\"i/1\"]}", true, true);
    add_driver("o", "off", "{\"provides\":[{\"server_type\":\"a\",\"os\":\"b\",\"coe\":\"c\"}]}",
               false, true);
    add_driver("b", "beta",
               "{\"maturity\":\"beta\",\"provides\":[{\"server_type\":\"bm\",\"os\":\"u\",\"coe\":"
               "\"k\"}]}",
               true, true);
    add_driver("n", "notready", "{}", true, false);
    ASSERT_OK(driver_for_triple(&cfg, NULL, &drivers, &vm, &d, &e), &e);
    CU_ASSERT_STRING_EQUAL(d->name, "alpha");
    CU_ASSERT(driver_offers(d, "i/1"));
    CU_ASSERT_FALSE(driver_offers(d, "i/2"));
    CU_ASSERT_EQUAL(driver_for_triple(&cfg, NULL, &drivers, &odd, &d, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Cluster type (vm, None, k) not supported.");
    CU_ASSERT_EQUAL(driver_for_triple(&cfg, NULL, &drivers, &off, &d, &e), ERR_INVALID);
    CU_ASSERT(str_starts(e.msg, "Cluster type (a, b, c) not supported. Driver off is not enabled"));
    CU_ASSERT_EQUAL(driver_for_triple(&cfg, NULL, &drivers, &beta, &d, &e), ERR_INVALID);
    strv_add(&cfg.drivers_enabled_beta, "beta");
    CU_ASSERT_EQUAL(driver_for_triple(&cfg, NULL, &drivers, &beta, &d, &e), 0);
    CU_ASSERT_EQUAL(driver_named(&cfg, NULL, &drivers, "z", &d, &e), 0);
    CU_ASSERT_EQUAL(driver_named(&cfg, NULL, &drivers, "nobody", &d, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Cluster driver (nobody) not supported.");
    CU_ASSERT_EQUAL(driver_named(&cfg, NULL, &drivers, "notready", &d, &e), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "dockerd is missing"));
    strv_add(&cfg.drivers_disabled, "alpha");
    ASSERT_OK(driver_for_triple(&cfg, NULL, &drivers, &vm, &d, &e), &e);
    CU_ASSERT_STRING_EQUAL(d->name, "zeta");
    cfg.drivers_require_enable = false;
    CU_ASSERT_EQUAL(driver_named(&cfg, NULL, &drivers, "off", &d, &e), 0);
    strv_free(&cfg.drivers_disabled);
    strv_free(&cfg.drivers_enabled_beta);
    driver_row_list_done(&drivers);
}

static struct driver_row *made(const char *name)
{
    for (size_t i = 0; i < drivers.n; i++)
        if (str_eq(drivers.v[i].name, name))
            return &drivers.v[i];
    CU_FAIL_FATAL("no such driver");
    return NULL;
}

static const char *chosen_for(const struct config *cfg, const char *project)
{
    const struct driver_triple vm = {"vm", "u", "k"};
    const struct driver_row *d = NULL;
    struct err e = ERR_INIT;
    return driver_for_triple(cfg, project, &drivers, &vm, &d, &e) == 0 ? d->name : "none";
}

static void operators_decide(void)
{
    struct config cfg = {.drivers_require_enable = true};
    add_driver("a", "alpha", "{\"provides\":[" VM "]}", true, true);
    add_driver("z", "zeta", "{\"provides\":[" VM "]}", true, true);
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, NULL), "alpha");
    made("zeta")->default_for = json_loads("[" VM "]", 0, NULL);
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, NULL), "zeta");
    made("zeta")->ready = false; /* nobody stands in for what was chosen */
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, NULL), "none");
    made("zeta")->enabled = false;
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, NULL), "alpha");
    made("zeta")->ready = true;
    made("zeta")->projects = json_pack("{s:b}", "p1", 1); /* for one project only */
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, "p1"), "zeta");
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, "p2"), "alpha");
    made("alpha")->projects = json_pack("{s:b}", "p2", 0); /* for all but one */
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, "p2"), "none");
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, "p3"), "alpha");
    made("alpha")->sha256 = str_dup("new");
    made("alpha")->enabled_sha256 = str_dup("old"); /* the file was replaced */
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, "p3"), "none");
    cfg.drivers_require_enable = false;
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, "p3"), "zeta");
    CU_ASSERT_STRING_EQUAL(chosen_for(&cfg, "p1"), "zeta");
    driver_row_list_done(&drivers);
}

/* ---- catalogue ---- */

static void catalogue_is_asked(void)
{
    static const char text[] = "images:\n"
                               "- {id: i1, name: a, os_distro: x}\n"
                               "- {id: i2, name: twin, os_distro: x}\n"
                               "- {id: i3, name: twin, os_distro: x}\n"
                               "- {id: i4, name: bare}\n"
                               "- {id: i5, name: mine, os_distro: x, private: p1}\n"
                               "flavors: [{id: '1', name: f, disk_gb: 3}]\n"
                               "keypairs: [{name: k, user: u1}]\n"
                               "networks:\n"
                               "- {id: n1, name: out, external: true}\n"
                               "- {id: n2, name: in}\n"
                               "- {id: n3, name: in}\n"
                               "subnets: [{id: s1, name: sub}]\n";
    struct catalog *c = NULL;
    struct err e = ERR_INIT;
    struct auth_context who = {.project_id = (char *)(uintptr_t) "p1",
                               .user_id = (char *)(uintptr_t) "u1"};
    struct auth_context other = {.project_id = (char *)(uintptr_t) "p2"};
    struct cat_image i;
    struct cat_flavor f;
    ASSERT_OK(catalog_builtin("test", text, sizeof text - 1, &c, &e), &e);
    ASSERT_OK(c->ops->image(c->self, &who, "i1", &i, &e), &e);
    CU_ASSERT_STRING_EQUAL(i.os_distro, "x");
    CU_ASSERT_EQUAL(catalog_check_distro(&i, "i1", &e), 0);
    cat_image_done(&i);
    CU_ASSERT_EQUAL(c->ops->image(c->self, &who, "twin", &i, &e), ERR_CONFLICT);
    CU_ASSERT_EQUAL(c->ops->image(c->self, &who, NULL, &i, &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Image None could not be found.");
    ASSERT_OK(c->ops->image(c->self, &who, "bare", &i, &e), &e);
    CU_ASSERT_EQUAL(catalog_check_distro(&i, "bare", &e), ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(e.msg, "Image bare doesn't contain os_distro field.");
    CU_ASSERT_EQUAL(c->ops->image(c->self, &other, "mine", &i, &e), ERR_FORBIDDEN);
    ASSERT_OK(c->ops->image(c->self, &who, "mine", &i, &e), &e);
    cat_image_done(&i);
    CU_ASSERT_EQUAL(c->ops->flavor(c->self, &who, "1", &f, &e), 0);
    CU_ASSERT_EQUAL(f.disk_gb, 3);
    CU_ASSERT_EQUAL(c->ops->flavor(c->self, &who, "g", &f, &e), ERR_INVALID);
    CU_ASSERT_EQUAL(c->ops->keypair(c->self, &who, "k", &e), 0);
    CU_ASSERT_EQUAL(c->ops->keypair(c->self, &other, "k", &e), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(c->ops->external_network(c->self, &who, "out", &e), 0);
    CU_ASSERT_EQUAL(c->ops->external_network(c->self, &who, "n2", &e), ERR_INVALID);
    CU_ASSERT_EQUAL(c->ops->fixed_network(c->self, &who, "in", &e), ERR_CONFLICT);
    CU_ASSERT_EQUAL(c->ops->fixed_network(c->self, &who, "n2", &e), 0);
    CU_ASSERT_EQUAL(c->ops->fixed_subnet(c->self, &who, "sub", &e), 0);
    catalog_free(&c);
    CU_ASSERT_PTR_NULL(c);
}

static void bad_catalogues_are_refused(void)
{
    static const char *const bad[] = {"- a",
                                      "pictures: []",
                                      "images: {}",
                                      "images: [{id: x}]",
                                      "images: [{name: x, size: 3}]",
                                      "flavors: [{name: x, disk_gb: big}]",
                                      "flavors: [{name: x, disk_gb: -1}]",
                                      "networks: [{name: x, external: 1}]",
                                      "images: [",
                                      ""};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct catalog *c = NULL;
        struct err e = ERR_INIT;
        CU_ASSERT_EQUAL(catalog_builtin("test", bad[i], strlen(bad[i]), &c, &e), ERR_CONFIG);
        CU_ASSERT_PTR_NULL(c);
    }
    struct config cfg = {.catalog_file = (char *)(uintptr_t) "/nonexistent/catalog.yaml",
                         .catalog_source = (char *)(uintptr_t) "auto",
                         .auth_strategy = (char *)(uintptr_t) "keystone"};
    struct catalog *c = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(catalog_open(&cfg, &c, &e), ERR_CONFIG);
    cfg.catalog_file = (char *)(uintptr_t) "";
    cfg.auth_strategy = (char *)(uintptr_t) "noauth";
    ASSERT_OK(catalog_open(&cfg, &c, &e), &e);
    struct auth_context who = {.project_id = NULL};
    CU_ASSERT_EQUAL(c->ops->external_network(c->self, &who, "public", &e), 0);
    CU_ASSERT_EQUAL(c->ops->keypair(c->self, &who, "any", &e), 0);
    catalog_free(&c);
    cfg.catalog_source = (char *)(uintptr_t) "openstack"; /* with whose tokens? */
    CU_ASSERT_EQUAL(catalog_open(&cfg, &c, &e), ERR_CONFIG);
    cfg.catalog_source = (char *)(uintptr_t) "elsewhere";
    CU_ASSERT_EQUAL(catalog_open(&cfg, &c, &e), ERR_CONFIG);
}

TEST_MAIN("api_rules", NULL, NULL, TEST(schemas_are_enforced), TEST(old_labels_are_checked),
          TEST(labels_merge_and_differ), TEST(bounds_hold), TEST(kubernetes_labels_are_guarded),
          TEST(drivers_are_chosen), TEST(operators_decide), TEST(catalogue_is_asked),
          TEST(bad_catalogues_are_refused))
