/* Manifests: what is read, every rule broken once. The count of deaths. Exports of libraries. */
#include "drivers/manifest.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "drivers/quarantine.h"
#include "host/elf_exports.h"
#include "support/cunit_main.h"

static const char good[] = "manifest: 1\n"
                           "id: com.example.hello\n"
                           "kind: coe-driver\n"
                           "name: hello_v1\n"
                           "version: 1.0.0\n"
                           "library: hello.so\n"
                           "abi: { major: 1, min_minor: 0 }\n"
                           "provides:\n"
                           "  - { server_type: vm, os: ubuntu, coe: kubernetes }\n"
                           "interfaces: [mag.coe.lifecycle/1]\n"
                           "operations: [create, delete]\n"
                           "maturity: beta\n"
                           "network: direct\n"
                           "exec: true\n"
                           "unix_sockets: true\n"
                           "limits: { memory_mb: 256, open_files: 64, processes: 7, file_mb: 9 }\n"
                           "privileged: true\n"
                           "directories: { state_dir: /var/lib/magnum/hello, cache: '' }\n"
                           "labels: hello.labels.schema.json\n"
                           "later: { a: member, of: the future }\n";

static void test_good(void)
{
    struct plugin p = {0};
    struct err e = ERR_INIT;
    ASSERT_OK(manifest_parse(good, strlen(good), &p, &e), &e);
    CU_ASSERT_STRING_EQUAL(p.id, "com.example.hello");
    CU_ASSERT_STRING_EQUAL(p.kind, "coe-driver");
    CU_ASSERT_STRING_EQUAL(p.name, "hello_v1");
    CU_ASSERT_STRING_EQUAL(p.version, "1.0.0");
    CU_ASSERT_STRING_EQUAL(p.vendor, "");
    CU_ASSERT_STRING_EQUAL(p.maturity, "beta");
    CU_ASSERT_STRING_EQUAL(p.library_path, "hello.so");
    CU_ASSERT(p.exec && p.network_direct && p.unix_sockets);
    CU_ASSERT_EQUAL(p.memory_mb, 256);
    CU_ASSERT_EQUAL(p.open_files, 64);
    CU_ASSERT_EQUAL(p.processes, 7);
    CU_ASSERT_EQUAL(p.file_mb, 9);
    CU_ASSERT(p.privileged);
    CU_ASSERT_EQUAL(json_object_size(p.dirs), 2);
    CU_ASSERT_PTR_NOT_NULL(json_object_get(p.manifest, "later")); /* kept, not understood */
    plugin_done(&p);
}

static void test_defaults(void)
{
    static const char least[] = "manifest: 1\nid: a.b\nkind: cert-manager\nname: n\n"
                                "version: '2'\nlibrary: n.so\nabi: {major: 1, min_minor: 0}\n"
                                "interfaces: [mag.cert.store/1]\n";
    struct plugin p = {0};
    struct err e = ERR_INIT;
    ASSERT_OK(manifest_parse(least, strlen(least), &p, &e), &e);
    CU_ASSERT_STRING_EQUAL(p.maturity, "stable");
    CU_ASSERT_FALSE(p.exec || p.network_direct || p.unix_sockets);
    CU_ASSERT_EQUAL(p.memory_mb, 0);
    CU_ASSERT_FALSE(p.privileged);
    CU_ASSERT_PTR_NULL(p.dirs);
    plugin_done(&p);
}

/* What the vendors' guide names is known, whoever reads it. */
static void test_unknown(void)
{
    _cleanup_free_ char *text = str_fmt("%s%s", good,
                                        "vendor: Example\ntakes_over: '0.9'\nservice_token: true\n"
                                        "resize_master: true\netcd_discovery: optional\n"
                                        "config: hello.config.schema.json\n");
    _cleanup_strv_ struct strv unknown = STRV_INIT;
    struct plugin p = {0};
    struct err e = ERR_INIT;
    ASSERT_OK(manifest_parse(text, strlen(text), &p, &e), &e);
    ASSERT_OK(manifest_unknown(p.manifest, &unknown, &e), &e);
    CU_ASSERT_EQUAL_FATAL(unknown.n, 1);
    CU_ASSERT_STRING_EQUAL(unknown.v[0], "later");
    plugin_done(&p);
}

/* The good one with one line put in another's place ("" = left out). */
static void expect_refused(const char *line, const char *instead, const char *want)
{
    const char *at = strstr(good, line);
    CU_ASSERT_FATAL(at != NULL);
    const char *end = strchr(at, '\n') + 1;
    _cleanup_free_ char *text =
        str_fmt("%.*s%s%s%s", (int)(at - good), good, instead, *instead ? "\n" : "", end);
    struct plugin p = {0};
    struct err e = ERR_INIT;
    int rc = manifest_parse(text, strlen(text), &p, &e);
    if (rc == 0 || !strstr(e.msg, want))
        fprintf(stderr, "%s -> %s: %d %s\n", line, instead, rc, e.msg);
    CU_ASSERT(rc == ERR_INVALID || rc == ERR_UNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, want));
    CU_ASSERT_PTR_NULL(p.id); /* nothing half-filled */
    plugin_done(&p);
}

static void test_rules(void)
{
    static const struct {
        const char *line, *instead, *want;
    } cases[] = {
        {"manifest:", "", "manifest must be 1"},
        {"manifest:", "manifest: 2", "manifest must be 1"},
        {"id:", "", "id is missing"},
        {"id:", "id: hello", "reverse domain name"},
        {"id:", "id: 'com.example/../x'", "reverse domain name"},
        {"id:", "id: .com.x", "reverse domain name"},
        {"kind:", "kind: driver", "not one of: coe-driver, cert-manager"},
        {"kind:", "kind: cert-manager", "interfaces must list mag.cert.store/1"},
        {"name:", "name: 'a b'", "name may hold"},
        {"name:", "name: ''", "name is missing"},
        {"version:", "version: 1.0", "put quotes around the number"},
        {"version:", "version: [1]", "version must be text"},
        {"library:", "library: /lib/x.so", "without slashes"},
        {"library:", "library: ../x.so", "without slashes"},
        {"library:", "library: .hidden.so", "manifest's directory"},
        {"library:", "", "library is missing"},
        {"labels:", "labels: ../../etc/passwd", "without slashes"},
        {"abi:", "", "abi must be"},
        {"abi:", "abi: { major: 2, min_minor: 0 }", "needs plugin ABI 2.0"},
        {"abi:", "abi: { major: 1, min_minor: 77 }", "needs plugin ABI 1.77"},
        {"abi:", "abi: { major: '1', min_minor: 0 }", "abi must be"},
        {"  - { server", "  - { server_type: vm, os: ubuntu }", "provides[0] lacks coe"},
        {"  - { server", "  - text", "provides[0] lacks server_type"},
        {"interfaces:", "interfaces: []", "interfaces must list mag.coe.lifecycle/1"},
        {"interfaces:", "interfaces: text", "list of texts"},
        {"interfaces:", "interfaces: [1]", "list of texts"},
        {"operations:", "operations: { a: b }", "list of texts"},
        {"maturity:", "maturity: great", "not one of: stable, beta, experimental"},
        {"network:", "network: wild", "not one of: brokered, direct"},
        {"exec:", "exec: 'yes'", "exec must be true or false"},
        {"unix_sockets:", "unix_sockets: 1", "unix_sockets must be true or false"},
        {"limits:", "limits: 5", "limits must be"},
        {"limits:", "limits: { memory_mb: 1 }", "memory_mb must be a whole number from"},
        {"limits:", "limits: { open_files: many }", "open_files must be a whole number"},
        {"limits:", "limits: { processes: 0 }", "processes must be a whole number"},
        {"limits:", "limits: { file_mb: -1 }", "file_mb must be a whole number"},
        {"privileged:", "privileged: 1", "privileged must be true or false"},
        {"later:", "takes_over: \"a b\"", "takes_over must be a version"},
        {"directories:", "directories: [a]", "directories must be {option: default"},
        {"directories:", "directories: { a: 1 }", "the default of a must be"},
        {"directories:", "directories: { a: /etc }", "below /var/lib/magnum/"},
        {"directories:", "directories: { a: /var/lib/magnum/../../../etc }", "the default of a"},
        {"id:", "id: a.b\nid: c.d", "id"},
        {"id:", "id: [", "manifest"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_refused(cases[i].line, cases[i].instead, cases[i].want);
    _cleanup_str_ struct str s = STR_INIT;
    str_append(&s, "id: a.");
    for (int i = 0; i < 200; i++)
        str_append_c(&s, 'b');
    expect_refused("id:", str_text(&s), "longer than");
}

static void test_garbage(void)
{
    static const char *const texts[] = {"", "1", "[]", "null", "\x00\x01", "---\n---\n", "a: &x 1"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct plugin p = {0};
        struct err e = ERR_INIT;
        CU_ASSERT(manifest_parse(texts[i], strlen(texts[i]), &p, &e) < 0);
        CU_ASSERT(e.msg[0] != '\0');
    }
    for (size_t cut = 0; cut < strlen(good); cut += 3) { /* cut off anywhere: no crash */
        struct plugin p = {0};
        struct err e = ERR_INIT;
        if (manifest_parse(good, cut, &p, &e) == 0)
            plugin_done(&p);
    }
}

/* ---- quarantine ---- */

static void test_deaths(void)
{
    struct death_log d;
    CU_ASSERT_EQUAL_FATAL(death_log_init(&d, 3), 0);
    CU_ASSERT_FALSE(death_log_add(&d, 1000, 600, "a"));
    CU_ASSERT_FALSE(death_log_add(&d, 1001, 600, "b"));
    CU_ASSERT(death_log_add(&d, 1002, 600, "a"));
    CU_ASSERT(death_log_add(&d, 1600, 600, "a"));       /* 1001, 1002, 1600 */
    CU_ASSERT_FALSE(death_log_add(&d, 1603, 600, "b")); /* 1002 is too long ago */
    death_log_clear(&d);
    for (int i = 0; i < 10; i++) /* one operation alone */
        CU_ASSERT_FALSE(death_log_add(&d, 2000, 600, "a"));
    CU_ASSERT(death_log_add(&d, 2000, 600, "b"));
    CU_ASSERT(death_log_add(&d, 2000, 600, NULL));
    death_log_done(&d);
}

/* ---- exports ---- */

static int note_name(void *ctx, const char *name)
{
    struct str *all = ctx;
    str_printf(all, "%s ", name);
    return 0;
}

static int ignore_name(void *ctx, const char *name)
{
    (void)ctx;
    return strlen(name) > 100000;
}

static void expect_exports(const char *file, long want, const char *names)
{
    _cleanup_free_ char *path =
        str_fmt("%s/%s", getenv("MAGNUM_BUILD_DIR") ? getenv("MAGNUM_BUILD_DIR") : ".", file);
    _cleanup_free_ char *data = NULL;
    _cleanup_str_ struct str all = STR_INIT;
    struct err e = ERR_INIT;
    size_t len;
    char why[ELF_WHY] = "";
    ASSERT_OK(io_read_file(path, 64 << 20, &data, &len, &e), &e);
    CU_ASSERT_EQUAL(elf_exports(data, len, note_name, &all, why), want);
    if (names)
        CU_ASSERT_STRING_EQUAL(str_text(&all), names);
    /* Cut off or damaged anywhere: an answer, never a crash. */
    for (size_t cut = 0; cut < len; cut += len / 50 + 1)
        (void)elf_exports(data, cut, ignore_name, NULL, why);
    for (size_t at = 0; at < len; at += at < 4096 ? 3 : len / 200 + 1) {
        char keep = data[at];
        data[at] = (char)~keep;
        (void)elf_exports(data, len, ignore_name, NULL, why);
        (void)elf_imports(data, len, ignore_name, NULL, why);
        (void)elf_needed(data, len, ignore_name, NULL, why);
        data[at] = keep;
    }
}

static void test_wants(void)
{
    _cleanup_free_ char *path = str_fmt(
        "%s/plugins/hello.so", getenv("MAGNUM_BUILD_DIR") ? getenv("MAGNUM_BUILD_DIR") : ".");
    _cleanup_free_ char *data = NULL;
    _cleanup_str_ struct str imports = STR_INIT, libraries = STR_INIT;
    struct err e = ERR_INIT;
    size_t len;
    char why[ELF_WHY] = "";
    ASSERT_OK(io_read_file(path, 64 << 20, &data, &len, &e), &e);
    CU_ASSERT(elf_imports(data, len, note_name, &imports, why) > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&imports), "calloc "));
    CU_ASSERT_PTR_NULL(strstr(str_text(&imports), "mag_plugin_entry"));
    CU_ASSERT(elf_needed(data, len, note_name, &libraries, why) > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(str_text(&libraries), "libc.so.6 "));
}

static void test_exports(void)
{
    expect_exports("plugins/hello.so", 1, "mag_plugin_entry ");
    expect_exports("plugins/simulator.so", 1, "mag_plugin_entry ");
    expect_exports("tests/driver_plugins/fixture_two_exports.so", 2, NULL);
    char why[ELF_WHY] = "";
    CU_ASSERT_EQUAL(elf_exports("#!/bin/sh\n", 10, ignore_name, NULL, why), -1);
    CU_ASSERT_STRING_EQUAL(why, "not an ELF file");
}

TEST_MAIN("manifest", NULL, NULL, TEST(test_good), TEST(test_defaults), TEST(test_unknown),
          TEST(test_rules), TEST(test_garbage), TEST(test_deaths), TEST(test_exports),
          TEST(test_wants))
