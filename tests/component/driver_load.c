/* From file to running host: the scan, the loader's refusals, probes, and what a host process is
 * allowed to do. */
#include "support/driver_pool.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "support/cunit_main.h"

#include <errno.h>
#include <sys/stat.h>

static void test_scan(void)
{
    struct test_pool t;
    test_pool_prepare(&t);
    test_pool_start(&t, NULL);
    const struct plugin *p = plugin_find(&t.plugins, SIM_ID);
    CU_ASSERT_FATAL(p != NULL);
    CU_ASSERT_PTR_NULL(p->problem);
    CU_ASSERT_STRING_EQUAL(p->name, "simulator");
    CU_ASSERT_EQUAL(strlen(p->sha256), 64);
    CU_ASSERT(json_is_object(json_object_get(p->label_schema, "properties")));
    CU_ASSERT_PTR_EQUAL(plugin_find(&t.plugins, "simulator"), p);
    CU_ASSERT_PTR_NULL(plugin_find(&t.plugins, "nobody"));
    const struct plugin *beta = plugin_find(&t.plugins, "test.fixture.beta");
    CU_ASSERT_FATAL(beta && beta->unwanted && !beta->problem);
    CU_ASSERT_PTR_NOT_NULL(strstr(beta->unwanted, "enabled_beta"));
    test_pool_end(&t);
}

static void expect_problem(const char *dir, const char *file, const char *text, const char *want)
{
    struct err e = ERR_INIT;
    struct plugin_list l = {0};
    struct config *cfg = NULL;
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, file);
    ASSERT_OK(io_write_file(path, text, strlen(text), 0644, &e), &e);
    ASSERT_OK(config_load("/dev/null", &cfg, &e), &e);
    ASSERT_OK(config_set(cfg, "drivers.plugin_dirs", dir, &e), &e);
    ASSERT_OK(plugins_scan(cfg, &l, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 1);
    CU_ASSERT_FATAL(l.v[0].problem != NULL);
    if (!strstr(l.v[0].problem, want))
        fprintf(stderr, "got: %s\nwant: %s\n", l.v[0].problem, want);
    CU_ASSERT_PTR_NOT_NULL(strstr(l.v[0].problem, want));
    plugin_list_done(&l);
    config_free(&cfg);
    unlink(path);
}

static void test_scan_problems(void)
{
    char dir[] = "/tmp/magnum-test-XXXXXX";
    CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
    static const char good[] =
        "manifest: 1\nid: a.b\nkind: coe-driver\nname: n\nversion: 1.0.0\nlibrary: no.so\n"
        "abi: {major: 1, min_minor: 0}\nprovides: [{server_type: vm, os: x, coe: y}]\n"
        "interfaces: [mag.coe.lifecycle/1]\n";
    expect_problem(dir, "a.yaml", good, "no.so: No such file");
    expect_problem(dir, "a.yaml", "[1, 2", "manifest");
    expect_problem(dir, "a.yaml", "", "mapping");
    _cleanup_free_ char *labels = str_fmt("%slabels: none.json\n", good);
    _cleanup_free_ char *lib = str_fmt("%s/no.so", dir);
    struct err e = ERR_INIT;
    ASSERT_OK(io_write_file(lib, "x", 1, 0644, &e), &e);
    expect_problem(dir, "a.yaml", labels, "label schema");
    CU_ASSERT_EQUAL(chmod(lib, 0666), 0);
    expect_problem(dir, "a.yaml", good, "chmod go-w");
    CU_ASSERT_EQUAL(chmod(lib, 0644), 0);
    CU_ASSERT_EQUAL(chmod(dir, 0777), 0);
    expect_problem(dir, "a.yaml", good, "written by others");
    CU_ASSERT_EQUAL(chmod(dir, 0755), 0);
    if (geteuid() == 0) {
        CU_ASSERT_EQUAL(chown(lib, 12345, 12345), 0);
        expect_problem(dir, "a.yaml", good, "belongs to user 12345");
    }
    unlink(lib);
    rmdir(dir);
    struct config *cfg = NULL;
    struct plugin_list l = {0};
    ASSERT_OK(config_load("/dev/null", &cfg, &e), &e);
    ASSERT_OK(config_set(cfg, "drivers.plugin_dirs", dir, &e), &e);
    CU_ASSERT_EQUAL(plugins_scan(cfg, &l, &e), ERR_CONFIG);
    config_free(&cfg);
}

static void test_first_of_two_wins(void)
{
    struct test_pool t;
    struct err e = ERR_INIT;
    struct plugin_list l = {0};
    test_pool_prepare(&t);
    _cleanup_free_ char *twice =
        str_fmt("%s,%s", t.cfg->drivers_plugin_dirs.v[0], t.cfg->drivers_plugin_dirs.v[0]);
    test_pool_set(&t, "drivers.plugin_dirs", twice);
    ASSERT_OK(plugins_scan(t.cfg, &l, &e), &e);
    size_t fine = 0, refused = 0;
    for (size_t i = 0; i < l.n; i++)
        if (str_eq(l.v[i].id, SIM_ID)) {
            fine += l.v[i].problem == NULL;
            refused += l.v[i].problem && strstr(l.v[i].problem, "found first");
        }
    CU_ASSERT_EQUAL(fine, 1);
    CU_ASSERT_EQUAL(refused, 1);
    CU_ASSERT_PTR_NULL(plugin_find(&l, SIM_ID)->problem);
    plugin_list_done(&l);
    test_pool_end(&t);
}

/* What is not wanted for new clusters can still serve (and delete) those that exist. */
static void test_disabled(void)
{
    struct test_pool t;
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    test_pool_prepare(&t);
    test_pool_set(&t, "drivers.disabled", "simulator");
    test_pool_set(&t, "drivers.enabled_beta", "fixture_beta");
    test_pool_start(&t, NULL);
    struct coe_call c = test_call(SIM_ID, "health", NULL, "c", NULL);
    CU_ASSERT_PTR_NOT_NULL(strstr(plugin_find(&t.plugins, SIM_ID)->unwanted, "drivers.disabled"));
    ASSERT_OK(front_coe_call(t.pool, &c, &r, &e), &e);
    coe_result_done(&r);
    bool ready = false;
    char why[512];
    ASSERT_OK(front_coe_probe(t.pool, "test.fixture.beta", &ready, why, &e), &e);
    CU_ASSERT(ready);
    test_pool_end(&t);
}

/* Two versions of one driver: each call reaches the one it names, and they fail apart. */
static void test_versions(void)
{
    struct test_pool t;
    struct err e = ERR_INIT;
    struct coe_result r = {0};
    char dir[] = "/tmp/magnum-test-XXXXXX";
    CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
    const char *build = getenv("MAGNUM_BUILD_DIR");
    _cleanup_free_ char *copy =
        str_fmt("mkdir -p %s/%s/9.0 %s/%s/.incoming && for d in 9.0 .incoming; do cp "
                "%s/plugins/simulator.* %s/%s/$d; sed -i 's/^version: .*/version: \"9.0\"/' "
                "%s/%s/$d/simulator.yaml; done",
                dir, SIM_ID, dir, SIM_ID, build ? build : ".", dir, SIM_ID, dir, SIM_ID);
    CU_ASSERT_EQUAL_FATAL(system(copy), 0);
    test_pool_prepare(&t);
    test_pool_set(&t, "drivers.install_dir", dir);
    test_pool_start(&t, NULL);
    const struct plugin *old = plugin_find(&t.plugins, SIM_ID);
    const struct plugin *new = plugin_find_version(&t.plugins, "simulator", "9.0");
    CU_ASSERT_FATAL(old && new &&old != new && !old->problem && !new->problem);
    CU_ASSERT_PTR_NULL(plugin_find_version(&t.plugins, SIM_ID, "8"));
    CU_ASSERT_STRING_EQUAL(new->ref, SIM_ID "@9.0");
    struct coe_call c = test_call(SIM_ID, "health", NULL, "c", NULL);
    pid_t pid = 0, pids[2] = {0};
    c.ret_pid = &pid;
    for (size_t i = 0; i < 4; i++) {
        c.driver_version = i % 2 ? "9.0" : old->version;
        ASSERT_OK(front_coe_call(t.pool, &c, &r, &e), &e);
        coe_result_done(&r);
        CU_ASSERT(pids[i % 2] == 0 || pids[i % 2] == pid); /* each has a process of its own */
        pids[i % 2] = pid;
    }
    CU_ASSERT_NOT_EQUAL(pids[0], pids[1]);
    driver_pool_quarantine(t.pool, SIM_ID "@9.0", true);
    CU_ASSERT_EQUAL(front_coe_call(t.pool, &c, &r, &e), ERR_UNAVAILABLE);
    c.driver_version = "8";
    CU_ASSERT_EQUAL(front_coe_call(t.pool, &c, &r, &e), ERR_NOT_FOUND);
    c.driver_version = old->version;
    ASSERT_OK(front_coe_call(t.pool, &c, &r, &e), &e);
    coe_result_done(&r);
    test_pool_end(&t);
    _cleanup_free_ char *clean = str_fmt("rm -rf %s", dir);
    CU_ASSERT_EQUAL(system(clean), 0);
}

static void test_refusals(void)
{
    static const struct {
        const char *id, *why;
    } cases[] = {{"test.fixture.wrong_magic", "magic number is 0x12345678"},
                 {"test.fixture.wrong_major", "plugin ABI is 9.0, this host offers 1.0"},
                 {"test.fixture.short", "descriptor has 24 bytes"},
                 {"test.fixture.wrong_id", "library says its id is test.fixture.somebody_else"},
                 {"test.fixture.refuses", "refuses ABI 1.0"},
                 {"test.fixture.unlisted", "offers mag.cert.sign/1, the manifest does not list"},
                 {"test.fixture.lacks_interface", "lists mag.coe.stats/1, the library does not"},
                 {"test.fixture.future_interface", "lists mag.coe.future/1, the library does not"},
                 {"test.fixture.lacks_verb", "lists operation 'delete', the library does not"},
                 {"test.fixture.create_fails", "it can't work today"}};
    struct test_pool t;
    test_pool_prepare(&t);
    test_pool_set(&t, "drivers.quarantine_deaths", "2");
    test_pool_start(&t, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = ERR_INIT;
        bool ready = true;
        char why[512];
        CU_ASSERT_EQUAL(front_coe_probe(t.pool, cases[i].id, &ready, why, &e), ERR_UNAVAILABLE);
        if (!strstr(e.msg, cases[i].why))
            fprintf(stderr, "%s: %s\n", cases[i].id, e.msg);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, cases[i].why));
        /* A call says the same, as often as it is made: a refusal is no death. */
        for (int k = 0; k < 3; k++) {
            struct coe_result r = {0};
            struct coe_call c = test_call(cases[i].id, "create", NULL, "c", NULL);
            c.op_id = k % 2 ? "op-1" : "op-2";
            CU_ASSERT_EQUAL(front_coe_call(t.pool, &c, &r, &e), ERR_UNAVAILABLE);
            CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, cases[i].why));
        }
    }
    test_pool_end(&t);
}

static void test_bad_starts(void)
{
    struct test_pool t;
    struct err e = ERR_INIT;
    bool ready = true;
    char why[512];
    test_pool_prepare(&t);
    test_pool_start(&t, NULL);
    CU_ASSERT_EQUAL(front_coe_probe(t.pool, "test.fixture.crash_at_start", &ready, why, &e),
                    ERR_UNAVAILABLE);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "killed by signal 11 (Segmentation fault)"));
#endif
    t.cfg->drivers_start_timeout_ms = 300;
    CU_ASSERT_EQUAL(front_coe_probe(t.pool, "test.fixture.silent", &ready, why, &e),
                    ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "no hello within 300 ms"));
    test_pool_end(&t);
}

static void test_probe(void)
{
    struct test_pool t;
    struct err e = ERR_INIT;
    bool ready = false;
    char why[512];
    test_pool_prepare(&t);
    test_pool_start(&t, NULL);
    ASSERT_OK(front_coe_probe(t.pool, SIM_ID, &ready, why, &e), &e);
    CU_ASSERT(ready);
    ready = true;
    ASSERT_OK(front_coe_probe(t.pool, "com.example.hello", &ready, why, &e), &e);
    CU_ASSERT_FALSE(ready);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "no backend is configured"));
    CU_ASSERT_EQUAL(front_coe_probe(t.pool, "nobody", &ready, why, &e), ERR_NOT_FOUND);
    test_pool_end(&t);

    static const struct {
        const char *config, *want;
    } cases[] = {{"again", "still starting"}, {"broken", "no daemon here. Install it."}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        test_pool_prepare(&t);
        test_pool_set(&t, "driver_config." PLAIN_ID ".probe", cases[i].config);
        test_pool_start(&t, NULL);
        ASSERT_OK(front_coe_probe(t.pool, PLAIN_ID, &ready, why, &e), &e);
        CU_ASSERT_FALSE(ready);
        CU_ASSERT_STRING_EQUAL(why, cases[i].want);
        test_pool_end(&t);
    }
    test_pool_prepare(&t);
    test_pool_set(&t, "driver_config." PLAIN_ID ".probe", "segv");
    test_pool_start(&t, NULL);
    CU_ASSERT_EQUAL(front_coe_probe(t.pool, PLAIN_ID, &ready, why, &e), ERR_UNAVAILABLE);
    test_pool_end(&t);
}

/* What the process looks like from inside, with few rights and with many. */
static json_t *look(struct test_pool *t, const char *id)
{
    struct record r;
    struct coe_result last = {0};
    record_init(&r);
    json_t *spec = json_pack("{s:{s:s}}", "params", "mode", "look");
    struct coe_call c = test_call(id, "create", spec, "c", NULL);
    CU_ASSERT_EQUAL(test_walk(t->pool, c, &r, NULL, &last), MAG_OK);
    json_t *seen = json_incref(json_object_get(r.outputs, "look"));
    coe_result_done(&last);
    json_decref(spec);
    record_done(&r);
    CU_ASSERT_FATAL(json_is_object(seen));
    return seen;
}

static void test_rights(void)
{
    struct test_pool t;
    test_pool_prepare(&t);
    test_pool_set(&t, "driver_config." PLAIN_ID ".greeting", "hello there");
    test_pool_set(&t, "driver_config." PLAIN_ID ".number", "42");
    json_object_set_new(json_object_get(t.cfg->driver_config, PLAIN_ID), "number",
                        json_integer(42));
    setenv("LD_PRELOAD_TEST", "secret of the conductor", 1);
    test_pool_start(&t, NULL);
    _cleanup_json_ json_t *plain = look(&t, PLAIN_ID), *trusted = look(&t, "test.fixture.trusted");
    unsetenv("LD_PRELOAD_TEST");
    CU_ASSERT_EQUAL(jsonx_int(plain, "fds", -1), 5);
    CU_ASSERT_EQUAL(jsonx_int(plain, "inherited", -1), 0);
    CU_ASSERT_EQUAL(jsonx_int(trusted, "inherited", -1), 0);
    CU_ASSERT_EQUAL(jsonx_int(plain, "open_files", -1), 40);
    CU_ASSERT_EQUAL(jsonx_int(plain, "core", -1), 0);
    CU_ASSERT_EQUAL(jsonx_int(plain, "no_new_privs", -1), 1);
    CU_ASSERT_EQUAL(jsonx_int(trusted, "no_new_privs", -1), 1);
    CU_ASSERT_STRING_EQUAL(jsonx_str(plain, "cwd"), "/");
    CU_ASSERT_EQUAL(json_array_size(json_object_get(plain, "env")), 2);
    CU_ASSERT_STRING_EQUAL(jsonx_str(plain, "config"), "hello there");
    CU_ASSERT_STRING_EQUAL(jsonx_str(plain, "config_number"), "42");
    CU_ASSERT_EQUAL(jsonx_int(trusted, "local_ok", -1), 1);
    CU_ASSERT_EQUAL(jsonx_int(trusted, "exec_errno", -1), 0);
    CU_ASSERT_EQUAL(jsonx_int(trusted, "inet_errno", -1), 0);
    CU_ASSERT_EQUAL(jsonx_int(trusted, "open_files", -1), 256);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    CU_ASSERT_EQUAL(jsonx_int(plain, "dumpable", -1), 0);
    CU_ASSERT_EQUAL(jsonx_int(plain, "memory_mb", -1), 200);
    CU_ASSERT_EQUAL(jsonx_int(plain, "exec_errno", -1), EPERM);
    CU_ASSERT_EQUAL(jsonx_int(plain, "inet_errno", -1), EPERM);
    CU_ASSERT_EQUAL(jsonx_int(plain, "local_ok", -1), 0);
#endif
    test_pool_end(&t);
}

static int copy_file(const char *from, const char *to)
{
    _cleanup_free_ char *data = NULL;
    size_t len;
    struct err e = ERR_INIT;
    int rc = io_read_file(from, 64 << 20, &data, &len, &e);
    return rc ? rc : io_write_file(to, data, len, 0644, &e);
}

/* A library that was written to after the scan is not run; one replaced by rename is not looked
 * at, for the checked one is open. */
static void test_changed_library(void)
{
    struct test_pool t;
    struct err e = ERR_INIT;
    bool ready = false;
    char why[512], so[128], yaml[128];
    test_pool_prepare(&t);
    const char *from = t.cfg->drivers_plugin_dirs.v[1];
    _cleanup_free_ char *so_from = str_fmt("%s/fixture_plain.so", from);
    _cleanup_free_ char *yaml_from = str_fmt("%s/fixture_plain.yaml", from);
    snprintf(so, sizeof so, "%s/fixture_plain.so", t.dir);
    snprintf(yaml, sizeof yaml, "%s/fixture_plain.yaml", t.dir);
    CU_ASSERT_EQUAL(copy_file(so_from, so), 0);
    CU_ASSERT_EQUAL(copy_file(yaml_from, yaml), 0);
    test_pool_set(&t, "drivers.plugin_dirs", t.dir);
    test_pool_start(&t, NULL);
    ASSERT_OK(front_coe_probe(t.pool, PLAIN_ID, &ready, why, &e), &e);
    CU_ASSERT_EQUAL(copy_file("/bin/true", so), 0); /* io_write_file renames */
    ASSERT_OK(front_coe_probe(t.pool, PLAIN_ID, &ready, why, &e), &e);
    test_pool_end(&t);

    test_pool_prepare(&t);
    snprintf(so, sizeof so, "%s/fixture_plain.so", t.dir);
    snprintf(yaml, sizeof yaml, "%s/fixture_plain.yaml", t.dir);
    CU_ASSERT_EQUAL(copy_file(so_from, so), 0);
    CU_ASSERT_EQUAL(copy_file(yaml_from, yaml), 0);
    test_pool_set(&t, "drivers.plugin_dirs", t.dir);
    test_pool_start(&t, NULL);
    FILE *f = fopen(so, "r+");
    CU_ASSERT_FATAL(f != NULL);
    fseek(f, -1, SEEK_END);
    fputc('x', f);
    fclose(f);
    CU_ASSERT_EQUAL(front_coe_probe(t.pool, PLAIN_ID, &ready, why, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "is not the file that was found"));
    test_pool_end(&t);
}

static void test_no_program(void)
{
    struct test_pool t;
    struct err e = ERR_INIT;
    bool ready = false;
    char why[512];
    test_pool_prepare(&t);
    test_pool_set(&t, "drivers.host_program", "/nonexistent/magnum-driver-host");
    test_pool_start(&t, NULL);
    CU_ASSERT_EQUAL(front_coe_probe(t.pool, PLAIN_ID, &ready, why, &e), ERR_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "/nonexistent/magnum-driver-host"));
    test_pool_end(&t);
}

TEST_MAIN("driver_load", NULL, NULL, TEST(test_scan), TEST(test_scan_problems),
          TEST(test_first_of_two_wins), TEST(test_disabled), TEST(test_versions),
          TEST(test_refusals), TEST(test_bad_starts), TEST(test_probe), TEST(test_rights),
          TEST(test_changed_library), TEST(test_no_program))
