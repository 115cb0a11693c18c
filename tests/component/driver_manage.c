/* magnum-driver-manage as an operator runs it: without a database, then with one. */
#include "base/cleanup.h"
#include "base/str.h"
#include "support/cunit_main.h"
#include "support/pg.h"

#include <jansson.h>
#include <sys/wait.h>

static char dir[] = "/tmp/magnum-manage-XXXXXX";
static struct pg *pg;
static char *options; /* before every command */

static int setup(void)
{
    static const char *const names[] = {"MAGNUM_CONFIG", "MAGNUM_DATABASE_CONNECTION"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unsetenv(names[i]);
    pg = pg_start(false, NULL);
    return !pg || !mkdtemp(dir);
}

static int teardown(void)
{
    pg_stop(&pg);
    free(options);
    _cleanup_free_ char *cmd = str_fmt("rm -rf %s", dir);
    return system(cmd);
}

static const char *build_dir(void)
{
    const char *b = getenv("MAGNUM_BUILD_DIR");
    return b ? b : ".";
}

/* Runs a program of the build; its exit status, and what it printed (both streams). */
static int run(const char *program, const char *args, char **out)
{
    _cleanup_str_ struct str text = STR_INIT;
    _cleanup_free_ char *cmd =
        str_fmt("%s/bin/%s %s %s 2>&1", build_dir(), program, options ? options : "", args);
    FILE *f = popen(cmd, "re");
    CU_ASSERT_FATAL(f != NULL);
    char buf[4096];
    for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;)
        str_append_n(&text, buf, n);
    int status = pclose(f);
    *out = str_take(&text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *args, int status, const char *part)
{
    _cleanup_free_ char *out = NULL;
    int got = run("magnum-driver-manage", args, &out);
    if (got != status || !strstr(out, part))
        fprintf(stderr, "%s: exit %d, want %d with \"%s\":\n%s\n", args, got, status, part, out);
    CU_ASSERT_EQUAL(got, status);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, part));
}

static json_t *ask(const char *args)
{
    _cleanup_free_ char *out = NULL, *all = str_fmt("-f json %s", args);
    CU_ASSERT_EQUAL(run("magnum-driver-manage", all, &out), 0);
    json_t *j = json_loads(out, 0, NULL);
    if (!j)
        fprintf(stderr, "%s: not JSON: %s\n", args, out);
    CU_ASSERT_FATAL(j != NULL);
    return j;
}

static void use_options(const char *more)
{
    free(options);
    options =
        str_fmt("--config /dev/null --plugin-dir %s/tests/driver_plugins %s", build_dir(), more);
}

static void wrong_usage(void)
{
    use_options("");
    expect("", 2, "a command is missing");
    expect("frob", 2, "unknown command: frob");
    expect("quarantine", 2, "unknown command: quarantine");
    expect("quarantine frob", 2, "unknown command");
    expect("show", 2, "which driver?");
    expect("show a b", 2, "too many arguments");
    expect("-f xml list-drivers", 2, "unknown format: xml");
    expect("--frob list-drivers", 2, "--frob");
    expect("--help", 0, "usage: magnum-driver-manage");
    expect("--version", 0, "magnum-driver-manage ");
    expect("--config /nonexistent list-drivers", 1, "/nonexistent");
    expect("--plugin-dir /nonexistent list-drivers", 0, "fixture_plain"); /* others are read */
    free(options);
    options = str_fmt("--config /dev/null --plugin-dir /nonexistent");
    expect("list-drivers", 1, "no plugin directory can be read");
}

static const json_t *row(const json_t *rows, const char *name)
{
    size_t i;
    json_t *v;
    json_array_foreach(rows, i, v)
    {
        if (str_eq(json_string_value(json_object_get(v, "Name")), name))
            return v;
    }
    fprintf(stderr, "no row %s\n", name);
    CU_FAIL_FATAL("row missing");
    return NULL;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "(none)";
}

static void lists(void)
{
    use_options("");
    _cleanup_free_ char *plain = NULL;
    CU_ASSERT_EQUAL(run("magnum-driver-manage", "list-drivers", &plain), 0);
    CU_ASSERT(str_starts(plain, "Name"));
    CU_ASSERT_PTR_NULL(strstr(plain, "fixture_beta")); /* can't be used as things are */
    expect("list-drivers -d", 0, "Name");
    expect("list-drivers --details --paths", 0, "fixture_plain.so");
    expect("-f value list-drivers -d", 0, "fixture_plain vm none kubernetes available");
    expect("-f yaml list-drivers", 0, "- Name: fixture_");
    _cleanup_json_ json_t *all = ask("list-drivers -d");
    CU_ASSERT_STRING_EQUAL(text(row(all, "fixture_plain"), "Server_Type"), "vm");
    CU_ASSERT_STRING_EQUAL(text(row(all, "fixture_beta"), "State"), "unusable");
    CU_ASSERT_PTR_NOT_NULL(strstr(text(row(all, "fixture_beta"), "Problem"), "enabled_beta"));
    _cleanup_json_ json_t *one = ask("show fixture_plain"), *same = ask("show test.fixture.plain");
    CU_ASSERT(json_equal(one, same));
    CU_ASSERT_STRING_EQUAL(text(one, "id"), "test.fixture.plain");
    CU_ASSERT_EQUAL(strlen(text(one, "sha256")), 64);
    expect("show nobody", 1, "there is no driver nobody");
    expect("-f value show fixture_plain", 0, "test.fixture.plain");
}

static void verifies(void)
{
    use_options("");
    expect("verify fixture_plain", 0, "it can work on this machine");
    expect("verify fixture_beta", 0, "it can work on this machine"); /* works, wanted or not */
    expect("verify fixture_two_exports", 1, "wanted is mag_plugin_entry alone");
    expect("verify fixture_wrong_magic", 1, "magic number is 0x12345678");
    expect("verify fixture_crash_at_start", 1, "before its hello");
    expect("verify nobody", 1, "there is no driver nobody");
    _cleanup_free_ char *out = NULL;
    CU_ASSERT_EQUAL(run("magnum-driver-manage", "verify fixture_wrong_id", &out), 1);
    CU_ASSERT_PTR_NULL(strstr(out, "driver.retired"));
    /* A misspelt member is told, the plugin is not refused for it. */
    _cleanup_free_ char *copy =
        str_fmt("cp %s/tests/driver_plugins/fixture_plain.* %s && printf 'exce: true\\n' >> "
                "%s/fixture_plain.yaml && chmod 755 %s",
                build_dir(), dir, dir, dir);
    CU_ASSERT_EQUAL(system(copy), 0);
    free(options);
    options = str_fmt("--config /dev/null --plugin-dir %s", dir);
    expect("verify fixture_plain", 0, "'exce' of the manifest is not known");
}

static void without_database(void)
{
    use_options("");
    expect("enable fixture_plain", 1, "none is configured");
    expect("disable fixture_plain", 1, "none is configured");
    expect("quarantine list", 1, "none is configured");
    expect("quarantine clear", 1, "none is configured");
    use_options("--connection 'host=/nonexistent'");
    expect("list-drivers", 1, "magnum-driver-manage: ");
}

static void sql(const char *statement)
{
    CU_ASSERT_FATAL(pg_exec(pg_conninfo(pg), statement));
}

static void with_database(void)
{
    _cleanup_free_ char *connection = str_fmt("--connection '%s'", pg_conninfo(pg)), *out = NULL;
    free(options);
    options = str_fmt("--config /dev/null %s", connection);
    CU_ASSERT_EQUAL_FATAL(run("magnum-db-manage", "upgrade", &out), 0);
    use_options(connection);

    expect("-f value list-drivers -d", 0, "fixture_plain vm none kubernetes disabled");
    expect("enable nobody", 1, "there is no driver nobody");
    expect("enable fixture_beta", 1, "enabled_beta");
    expect("enable fixture_plain", 0, "is enabled for the file with sha256 ");
    expect("-f value list-drivers -d", 0, "fixture_plain vm none kubernetes enabled");
    _cleanup_json_ json_t *one = ask("show fixture_plain");
    CU_ASSERT_STRING_EQUAL(text(one, "enabled_sha256"), text(one, "sha256"));
    CU_ASSERT_PTR_NOT_NULL(strchr(text(one, "decided_by"), '@'));

    sql("UPDATE driver_enablement SET sha256 = 'another'");
    expect("list-drivers -d", 0, "the library was replaced since it was enabled");
    expect("enable fixture_plain --any-file", 0, "whatever its file");
    expect("-f value list-drivers -d", 0, "fixture_plain vm none kubernetes enabled");
    expect("disable fixture_plain", 0, "existing clusters can still be deleted");
    expect("-f value list-drivers -d", 0, "fixture_plain vm none kubernetes disabled");

    expect("quarantine list", 0, "");
    expect("quarantine clear fixture_plain", 1, "is not quarantined");
    _cleanup_free_ char *insert =
        str_fmt("INSERT INTO driver_quarantine (id, sha256, reason) VALUES"
                " ('test.fixture.plain', '%s', 'died five times'), ('a.b', 'x', 'too')",
                text(one, "sha256"));
    sql(insert);
    expect("list-drivers -d", 0, "died five times");
    expect("quarantine list", 0, "died five times");
    expect("quarantine clear fixture_plain", 0, "Cleared 1 quarantine");
    expect("quarantine list", 0, "a.b");
    expect("quarantine clear", 0, "Cleared 1 quarantine");
    _cleanup_json_ json_t *none = ask("quarantine list");
    CU_ASSERT_EQUAL(json_array_size(none), 0);

    /* A driver that only another conductor has. */
    sql("INSERT INTO driver (instance, id, name, kind, version, sha256, manifest, ready) VALUES"
        " ('i', 'far.away', 'far_v1', 'coe-driver', '1', 'abc', "
        "'{\"provides\":[{\"server_type\":\"bm\",\"os\":\"x\",\"coe\":\"y\"}]}', true)");
    expect("-f value list-drivers -d -p", 0, "far_v1 bm x y elsewhere");
    expect("show far.away", 0, "elsewhere");
    expect("enable far.away", 0, "for the file with sha256 abc");
}

TEST_MAIN("driver_manage", setup, teardown, TEST(wrong_usage), TEST(lists), TEST(verifies),
          TEST(without_database), TEST(with_database))
