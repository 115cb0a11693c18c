/* Configuration: where a value comes from, what is refused and how it is said. */
#include "config/config.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "config/yaml.h"
#include "support/cunit_main.h"

#include <stdlib.h>
#include <unistd.h>

static char file[] = "/tmp/magnum-config-XXXXXX";

static int setup(void)
{
    int fd = mkstemp(file);
    if (fd < 0)
        return 1;
    close(fd);
    return unsetenv("MAGNUM_CONFIG");
}

static int teardown(void)
{
    return unlink(file);
}

static int try_load(const char *text, struct config **c, struct err *e)
{
    struct err io = ERR_INIT;
    ASSERT_OK(io_write_file(file, text, strlen(text), 0600, &io), &io);
    return config_load(file, c, e);
}

static struct config *load(const char *text)
{
    struct config *c = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(try_load(text, &c, &e), &e);
    return c;
}

/* The message is "<file><rest>". */
static void refuse(const char *text, const char *rest)
{
    _cleanup_config_ struct config *c = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(try_load(text, &c, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NULL(c);
    size_t n = strlen(file);
    bool same = strncmp(e.msg, file, n) == 0 && strcmp(e.msg + n, rest) == 0;
    if (!same)
        fprintf(stderr, "%s: got \"%s\", want \"%s\"\n", text, e.msg, rest);
    CU_ASSERT_TRUE(same);
}

static void defaults(void)
{
    _cleanup_config_ struct config *c = load("");
    CU_ASSERT_STRING_EQUAL(c->log_level, "info");
    CU_ASSERT_EQUAL(c->api_port, 9511);
    CU_ASSERT_TRUE(c->drivers_require_enable);
    CU_ASSERT_FALSE(c->certificates_allow_ca);
    CU_ASSERT_EQUAL(c->drivers_plugin_dirs.n, 0);
    CU_ASSERT_EQUAL(c->certificates_allowed_key_usage.n, 3);
    CU_ASSERT_STRING_EQUAL(c->certificates_allowed_key_usage.v[0], "Digital Signature");
    CU_ASSERT_STRING_EQUAL(c->source, file);
    CU_ASSERT_EQUAL(json_object_size(c->driver_config), 0);
}

static void values_of_a_file(void)
{
    _cleanup_config_ struct config *c =
        load("api: {port: 0, host: '::1'}\n"
             "log:\n  level: debug\n  format:\n"
             "certificates:\n  allow_ca: true\n  allowed_key_usage: [Digital Signature]\n"
             "drivers:\n  plugin_dirs: /a, /b\n"
             "auth:\n"
             "driver_config:\n  org.x.y: {region: one, count: 3, flag: true}\n  org.z:\n");
    CU_ASSERT_EQUAL(c->api_port, 0);
    CU_ASSERT_STRING_EQUAL(c->api_host, "::1");
    CU_ASSERT_STRING_EQUAL(c->log_level, "debug");
    CU_ASSERT_STRING_EQUAL(c->log_format, "text");
    CU_ASSERT_TRUE(c->certificates_allow_ca);
    CU_ASSERT_EQUAL(c->certificates_allowed_key_usage.n, 1);
    CU_ASSERT_EQUAL(c->drivers_plugin_dirs.n, 2);
    CU_ASSERT_STRING_EQUAL(c->drivers_plugin_dirs.v[1], "/b");
    const json_t *mine = json_object_get(c->driver_config, "org.x.y");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(mine, "region")), "one");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(mine, "count")), "3");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(mine, "flag")), "true");
}

static void mistakes_are_named(void)
{
    refuse("api:\n  prot: 1\n", ":2: unknown option api.prot; did you mean api.port?");
    refuse("\n\napii:\n  port: 1\n", ":3: unknown section \"apii\"; did you mean \"api\"?");
    refuse("zzzzzzzz: {}\n", ":1: unknown section \"zzzzzzzz\"");
    refuse("api:\n  port: 1\n  qqqqqqqqqq: 1\n", ":3: unknown option api.qqqqqqqqqq");
    refuse("api:\n  keys_dir: x\n", ":2: unknown option api.keys_dir; did you mean rpc.keys_dir?");
    refuse("api:\n  port: 65536\n", ":2: api.port must be a whole number from 0 to 65535");
    refuse("api: {port: '80'}\n", ":1: api.port must be a whole number from 0 to 65535");
    refuse("api: {port: 80.5}\n", ":1: api.port must be a whole number from 0 to 65535");
    refuse("api: {host: 7}\n", ":1: api.host must be text; quote it if it looks like a number");
    refuse("drivers: {check_owner: yes}\n", ":1: drivers.check_owner must be true or false");
    refuse("drivers: {disabled: [1]}\n",
           ":1: drivers.disabled must be a list of texts; quote numbers and true/false");
    refuse("drivers: {disabled: {a: b}}\n",
           ":1: drivers.disabled must be a list, or text with commas");
    refuse("log:\n  level: loud\n",
           ":2: log.level must be one of error, warning, info, debug, not \"loud\"");
    refuse("log: {level: inf}\n",
           ":1: log.level must be one of error, warning, info, debug, not \"inf\"");
    refuse("log: {level: ''}\n",
           ":1: log.level must be one of error, warning, info, debug, not \"\"");
    refuse("log: 5\n", ":1: section log must be a mapping of options");
    refuse("- a\n", ": must be a mapping of sections");
    refuse("log:\n  level: [\n", ": line 3, column 1: did not find expected node content");
    refuse("driver_config: {a: 1}\n", ":1: driver_config.a must be a mapping");
    refuse("driver_config: {a: {b: [1]}}\n", ":1: driver_config.a.b must be one value");
}

static void long_names_are_cut(void)
{
    _cleanup_str_ struct str t = STR_INIT;
    for (int i = 0; i < 5000; i++)
        str_append_c(&t, 'x');
    str_append(&t, ": {}\n");
    _cleanup_config_ struct config *c = NULL;
    struct err e = ERR_INIT;
    /* beyond what YAML allows for a simple key */
    CU_ASSERT_EQUAL(try_load(str_text(&t), &c, &e), ERR_CONFIG);
    str_clear(&t);
    str_append(&t, "api:\n  ");
    for (int i = 0; i < 900; i++)
        str_append_c(&t, 'x');
    str_append(&t, ": 1\n");
    CU_ASSERT_EQUAL(try_load(str_text(&t), &c, &e), ERR_CONFIG);
    CU_ASSERT(strlen(e.msg) < 200);
}

static void cross(const char *text, const char *message)
{
    _cleanup_config_ struct config *c = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(try_load(text, &c, &e), ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(e.msg, message);
}

static void checks_between(void)
{
    cross("conductor: {min_wait_ms: 60000, max_wait_ms: 100}",
          "conductor.max_wait_ms (100) must be at least conductor.min_wait_ms (60000)");
    cross("conductor: {backoff_ms: 5000, backoff_max_ms: 4000}",
          "conductor.backoff_max_ms (4000) must be at least conductor.backoff_ms (5000)");
    cross("conductor: {service_down_time_s: 3}", "conductor.service_down_time_s (3) must be at "
                                                 "least twice conductor.heartbeat_ms (2000)");
    cross("rpc: {peer_timeout_ms: 100}",
          "rpc.peer_timeout_ms (100) must be at least twice conductor.heartbeat_ms (2000)");
    cross("cluster_template: {kubernetes_default_network_driver: weave}",
          "cluster_template.kubernetes_default_network_driver (weave) is not among "
          "cluster_template.kubernetes_allowed_network_drivers");
    _cleanup_config_ struct config *c = load("conductor: {lease_ms: 4000}");
    CU_ASSERT_EQUAL(c->conductor_lease_ms, 4000);
}

static void environment_wins_over_file(void)
{
    setenv("MAGNUM_API_PORT", "1234", 1);
    setenv("MAGNUM_CLUSTER_TEMPLATE_SWARM_DEFAULT_NETWORK_DRIVER", "overlay", 1);
    setenv("MAGNUM_DRIVERS_REQUIRE_ENABLE", "off", 1);
    setenv("MAGNUM_DRIVERS_DISABLED", "a, b", 1);
    _cleanup_config_ struct config *c = load("api: {port: 5}\n");
    CU_ASSERT_EQUAL(c->api_port, 1234);
    CU_ASSERT_STRING_EQUAL(c->cluster_template_swarm_default_network_driver, "overlay");
    CU_ASSERT_FALSE(c->drivers_require_enable);
    CU_ASSERT_EQUAL(c->drivers_disabled.n, 2);
    setenv("MAGNUM_API_PORT", "x", 1);
    struct config *none = NULL;
    struct err e = ERR_INIT;
    CU_ASSERT_EQUAL(config_load(file, &none, &e), ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(
        e.msg,
        "environment variable MAGNUM_API_PORT: api.port must be a whole number from 0 to 65535");
    unsetenv("MAGNUM_API_PORT");
    unsetenv("MAGNUM_CLUSTER_TEMPLATE_SWARM_DEFAULT_NETWORK_DRIVER");
    unsetenv("MAGNUM_DRIVERS_REQUIRE_ENABLE");
    unsetenv("MAGNUM_DRIVERS_DISABLED");
}

static void which_file(void)
{
    struct err e = ERR_INIT;
    _cleanup_config_ struct config *c = load("api: {port: 77}\n");
    config_free(&c);
    setenv("MAGNUM_CONFIG", file, 1);
    ASSERT_OK(config_load(NULL, &c, &e), &e);
    CU_ASSERT_EQUAL(c->api_port, 77);
    config_free(&c);
    setenv("MAGNUM_CONFIG", "/nonexistent/magnum.yaml", 1);
    CU_ASSERT_EQUAL(config_load(NULL, &c, &e), ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(e.msg,
                           "cannot open /nonexistent/magnum.yaml: No such file or directory");
    unsetenv("MAGNUM_CONFIG");
    CU_ASSERT_EQUAL(config_load("/", &c, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NULL(c);
}

static void set_one_option(void)
{
    struct err e = ERR_INIT;
    _cleanup_config_ struct config *c = load("");
    ASSERT_OK(config_set(c, "api.port", "1", &e), &e);
    CU_ASSERT_EQUAL(c->api_port, 1);
    ASSERT_OK(config_set(c, "drivers.enabled_beta", "x,y", &e), &e);
    CU_ASSERT_EQUAL(c->drivers_enabled_beta.n, 2);
    ASSERT_OK(config_set(c, "driver_config.org.x.y.region", "two", &e), &e);
    const json_t *mine = json_object_get(c->driver_config, "org.x.y");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(mine, "region")), "two");
    CU_ASSERT_EQUAL(config_set(c, "api.port", "-1", &e), ERR_CONFIG);
    CU_ASSERT_EQUAL(c->api_port, 1);
    CU_ASSERT_EQUAL(config_set(c, "port", "1", &e), ERR_CONFIG);
    CU_ASSERT_EQUAL(config_set(c, "api.", "1", &e), ERR_CONFIG);
    CU_ASSERT_EQUAL(config_set(c, ".port", "1", &e), ERR_CONFIG);
    CU_ASSERT_EQUAL(config_set(c, "driver_config.x", "1", &e), ERR_CONFIG);
    CU_ASSERT_EQUAL(config_set(c, "api.prt", "1", &e), ERR_CONFIG);
    CU_ASSERT_STRING_EQUAL(e.msg, "unknown option api.prt; did you mean api.port?");
    ASSERT_OK(config_set(c, "conductor.backoff_max_ms", "600", &e), &e);
    CU_ASSERT_EQUAL(config_check(c, &e), ERR_CONFIG);
    ASSERT_OK(config_set(c, "conductor.backoff_ms", "300", &e), &e);
    ASSERT_OK(config_check(c, &e), &e);
}

/* The sample as it is changes nothing; with every option uncommented it still equals the
 * defaults, so that what it shows is true. */
static void sample_is_true(void)
{
    _cleanup_free_ char *sample = config_sample();
    CU_ASSERT_PTR_NOT_NULL_FATAL(sample);
    _cleanup_config_ struct config *plain = load(sample);
    _cleanup_str_ struct str all = STR_INIT;
    for (const char *line = sample; *line; line = strchr(line, '\n') + 1) {
        size_t n = (size_t)(strchr(line, '\n') - line) + 1;
        bool option = str_starts(line, "  #") && line[3] != ' ' && line[3] != '<';
        if (option)
            str_append(&all, "  ");
        str_append_n(&all, option ? line + 3 : line, option ? n - 3 : n);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&all), "\n  port: 9511\n"));
    _cleanup_config_ struct config *full = load(str_text(&all));
    const struct strv *lists[2];
#define OPT_STR(section, name, def, help)                                                          \
    CU_ASSERT_STRING_EQUAL(plain->section##_##name, def);                                          \
    CU_ASSERT_STRING_EQUAL(full->section##_##name, def);                                           \
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&all), "\n  " #name ": \"" def "\""));
#define OPT_INT(section, name, def, min, max, help)                                                \
    CU_ASSERT_EQUAL(plain->section##_##name, def);                                                 \
    CU_ASSERT_EQUAL(full->section##_##name, def);                                                  \
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&all), "\n  " #name ": " #def "\n"));
#define OPT_BOOL(section, name, def, help)                                                         \
    CU_ASSERT_EQUAL(plain->section##_##name, def);                                                 \
    CU_ASSERT_EQUAL(full->section##_##name, def);
#define OPT_LIST(section, name, def, help)                                                         \
    lists[0] = &plain->section##_##name;                                                           \
    lists[1] = &full->section##_##name;                                                            \
    CU_ASSERT_EQUAL_FATAL(lists[0]->n, lists[1]->n);                                               \
    for (size_t i = 0; i < lists[0]->n; i++)                                                       \
        CU_ASSERT_STRING_EQUAL(lists[0]->v[i], lists[1]->v[i]);
#include "config/options.def"
}

TEST_MAIN("unit/config", setup, teardown, TEST(defaults), TEST(values_of_a_file),
          TEST(mistakes_are_named), TEST(long_names_are_cut), TEST(checks_between),
          TEST(environment_wins_over_file), TEST(which_file), TEST(set_one_option),
          TEST(sample_is_true))
