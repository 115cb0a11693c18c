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
    expect("show", 2, "which one?");
    expect("default set vm none", 2, "too few arguments");
    expect("--set nonsense list", 1, "is not OPTION=VALUE");
    expect("--limit 0 events", 2, "not a number from 1 to 100000");
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
    expect("list-drivers -d", 0, "Name");
    expect("list-drivers --details --paths", 0, "fixture_plain.so");
    expect("-f value list-drivers -d", 0, "fixture_plain vm none kubernetes available");
    expect("-f yaml list-drivers", 0, "- Name: fixture_");
    _cleanup_json_ json_t *all = ask("list-drivers -d");
    CU_ASSERT_STRING_EQUAL(text(row(all, "fixture_plain"), "Server_Type"), "vm");
    CU_ASSERT_STRING_EQUAL(text(row(all, "fixture_beta"), "State"), "beta");
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
    expect("explain vm none kubernetes", 1, "not supported");
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

/* ---- decisions ---- */

/* Two versions of fixture_plain as two conductors would publish them, the second with one alone. */
static void publish(void)
{
    sql("INSERT INTO magnum_service (host, \"binary\", instance, last_seen_up, report_count)"
        " VALUES ('h1', 'magnum-conductor', 'i1', now(), 1),"
        " ('h2', 'magnum-conductor', 'i2', now(), 1)");
    _cleanup_json_ json_t *one = ask("show fixture_plain");
    _cleanup_free_ char *insert = str_fmt(
        "INSERT INTO driver_copy (instance, id, version, version_key, name, kind, sha256, ready,"
        " manifest) SELECT i, 'test.fixture.plain', v, k, 'fixture_plain', 'coe-driver', s, true,"
        " '{\"provides\":[{\"server_type\":\"vm\",\"os\":\"none\",\"coe\":\"kubernetes\"}],"
        "\"maturity\":\"stable\"}' FROM (VALUES ('i1', '1.0.0', '1', '%s'), ('i2', '1.0.0', '1',"
        " '%s'), ('i1', '1.10.0', '10', 'newer')) t(i, v, k, s)",
        text(one, "sha256"), text(one, "sha256"));
    sql(insert);
    sql("INSERT INTO driver_release (id, version, sha256) SELECT DISTINCT id, version, sha256"
        " FROM driver_copy");
}

static const json_t *version(const json_t *rows, const char *number)
{
    size_t i;
    json_t *v;
    json_array_foreach(rows, i, v)
    {
        if (str_eq(text(v, "id"), "test.fixture.plain") && str_eq(text(v, "version"), number))
            return v;
    }
    CU_FAIL_FATAL("version missing");
    return NULL;
}

static void is(const char *number, const char *state)
{
    _cleanup_json_ json_t *rows = ask("list");
    const char *got = text(version(rows, number), "state");
    if (!str_eq(got, state))
        fprintf(stderr, "version %s is %s, want %s\n", number, got, state);
    CU_ASSERT_STRING_EQUAL(got, state);
}

static void cluster(const char *name, const char *driver_version)
{
    _cleanup_free_ char *insert = str_fmt(
        "INSERT INTO cluster (uuid, name, project_id, user_id, cluster_template_id, status,"
        " driver_id, driver_version) VALUES ('u-%s', '%s', 'p', 'u', 't', 'CREATE_COMPLETE',"
        " 'test.fixture.plain', '%s')",
        name, name, driver_version);
    sql(insert);
}

/* 1.0.0 has the cluster "old" and gets new ones; the manifest of 1.10.0 says with which clusters it
 * can go on. */
static void takes_over(void)
{
    sql("UPDATE driver_copy SET manifest = manifest::jsonb || '{\"takes_over\": \"1.5.0\"}'"
        " WHERE version = '1.10.0'");
    expect("upgrade fixture_plain 1.10.0 --partial --migrate", 1,
           "takes over clusters from version 1.5.0 on, and 1 belongs to 1.0.0 (such as old)");
    is("1.0.0", "enabled"); /* nothing was done */
    expect("migrate-clusters fixture_plain old --to 1.10.0", 1, "or give --force");
    expect("migrate-clusters fixture_plain nobody --to 1.10.0", 0, "0 clusters");
    expect("upgrade fixture_plain 1.10.0 --partial", 0, "1 clusters stay with version 1.0.0");
    expect("rollback fixture_plain", 0, "new clusters get version 1.0.0");
    expect("migrate-clusters fixture_plain old --to 1.10.0 --force", 0, "1 cluster of driver");
    expect("migrate-clusters fixture_plain old --to 1.0.0", 0, "1 cluster of driver");
    sql("UPDATE driver_copy SET manifest = manifest::jsonb || '{\"takes_over\": \"1.0.0-rc1\"}'"
        " WHERE version = '1.10.0'");
    expect("upgrade fixture_plain 1.10.0 --partial --migrate", 0, "1 cluster of driver");
    expect("rollback fixture_plain --migrate", 0, "1 cluster of driver");
}

static void several_versions(void)
{
    publish();
    is("1.0.0", "installed");
    is("1.10.0", "disabled"); /* nothing was decided: the highest would get the new clusters */
    expect("enable fixture_plain@1.0.0", 0, "is enabled");
    expect("upgrade fixture_plain", 1, "not on these conductors yet: h2");
    expect("upgrade fixture_plain 9.9", 1, "no conductor has version 9.9");
    is("1.0.0", "enabled"); /* the file that was enabled, not the highest version */
    is("1.10.0", "installed");
    expect("rollback fixture_plain", 1, "had no other version before");
    cluster("old", "1.0.0");
    expect("upgrade fixture_plain --partial", 0, "new clusters get version 1.10.0 (before: 1.0.0)");
    expect("upgrade fixture_plain", 1, "is at version 1.10.0 already");
    is("1.0.0", "draining");
    is("1.10.0", "enabled");
    expect("explain vm none kubernetes", 0, "chosen");
    expect("uninstall test.fixture.plain@1.0.0", 1, "1 clusters and 0 open operations belong");
    expect("uninstall fixture_plain 1.10.0", 1, "gets the new clusters");
    expect("uninstall fixture_plain", 1, "say which version");
    expect("migrate-clusters fixture_plain nobody", 0, "0 clusters");
    expect("migrate-clusters fixture_plain old", 0, "1 cluster of driver test.fixture.plain");
    is("1.0.0", "installed");
    expect("uninstall fixture_plain 1.0.0", 1, "was not installed"); /* it came another way */
    expect("rollback fixture_plain --migrate", 0, "1 cluster of driver");
    expect("explain --cluster old", 0, "1.0.0");
    takes_over();
    sql("INSERT INTO driver_quarantine (id, sha256, reason) VALUES"
        " ('test.fixture.plain', 'newer', 'died')");
    expect("upgrade fixture_plain 1.10.0 --partial", 1, "is quarantined");
    expect("quarantine clear fixture_plain", 0, "Cleared 1");
    sql("UPDATE driver_copy SET ready = false, not_ready_reason = 'no such daemon'"
        " WHERE sha256 = 'newer'");
    expect("upgrade fixture_plain 1.10.0 --partial", 1, "no such daemon");
    sql("DELETE FROM cluster");
    sql("UPDATE driver_enablement SET version = '7.7' WHERE id = 'test.fixture.plain'");
    expect("explain vm none kubernetes", 0, "version 7.7 was chosen, but no conductor has it");
    sql("UPDATE driver_enablement SET version = NULL WHERE id = 'test.fixture.plain'");
}

static void two_for_one_kind(void)
{
    expect("enable fixture_trusted", 1,
           "driver test.fixture.plain is enabled and makes (vm, none, "
           "kubernetes) too: choose with --as-default");
    expect("enable fixture_trusted --beside", 0, "is enabled");
    expect("-f value default list", 0, "vm none kubernetes test.fixture.plain");
    expect("disable fixture_trusted", 0, "is disabled");
    expect("enable fixture_trusted", 0, "is enabled"); /* it was decided already */
    expect("default set vm none kubernetes fixture_trusted", 0, "test.fixture.trusted gets");
    expect("default set vm no kubernetes fixture_trusted", 1, "does not make (vm, no, kubernetes)");
    expect("default unset vm none kubernetes", 0, "No driver is chosen");
    expect("default unset vm none kubernetes", 1, "no driver is chosen");
    expect("disable fixture_trusted", 0, "is disabled");
}

static void for_one_project(void)
{
    expect("disable fixture_plain", 0, "is disabled");
    expect("explain vm none kubernetes --project p1", 1, "not enabled");
    expect("enable fixture_plain --project p1", 0, "enabled for project p1");
    expect("explain vm none kubernetes --project p1", 0, "chosen");
    expect("explain vm none kubernetes", 1, "not enabled");
    expect("enable fixture_plain", 0, "is enabled");
    expect("disable fixture_plain --project p1", 0, "for project p1");
    expect("explain vm none kubernetes --project p1", 1, "not enabled");
    expect("explain vm none kubernetes --project p2", 0, "chosen");
    expect("explain", 1, "say what to explain");
    expect("enable fixture_beta --beta --as-default", 0, "is enabled");
    expect("disable fixture_beta --beta", 0, "is disabled");
    expect("enable fixture_beta --as-default", 1, "enabled_beta");
}

static void settings(void)
{
    _cleanup_free_ char *schema = str_fmt(
        "cp %s/tests/driver_plugins/fixture_plain.* %s && printf 'config: own.json\n' >> "
        "%s/fixture_plain.yaml && printf '%%s' '{\"properties\":{\"size\":{\"type\":\"integer\","
        "\"minimum\":1,\"maximum\":9,\"default\":3},\"password\":{\"type\":\"string\","
        "\"writeOnly\":true}}}' > %s/own.json",
        build_dir(), dir, dir, dir);
    CU_ASSERT_EQUAL_FATAL(system(schema), 0);
    free(options);
    options = str_fmt("--config /dev/null --plugin-dir %s --connection '%s'", dir, pg_conninfo(pg));
    expect("-f value config get fixture_plain size", 0, "size 3 default");
    expect("config set fixture_plain size=10", 1, "allowed: integer from 1 up to 9");
    expect("config set fixture_plain siz=1", 1, "has no option siz; it has: size, password");
    expect("config set fixture_plain size", 1, "is not KEY=VALUE");
    expect("config set fixture_plain password=x", 1, "is a secret");
    expect("config set fixture_plain size=4 nothing=1", 1, "has no option nothing");
    expect("-f value config get fixture_plain size", 0, "size 3 default"); /* all or none */
    expect("config set fixture_plain size=4", 0, "is set");
    expect("-f value config get fixture_plain", 0, "size 4 operator");
    expect("config unset fixture_plain size", 0, "as the configuration file says");
    expect("config get fixture_plain other", 1, "is not set");
    expect("events fixture_plain", 0, "unset");
    expect("-f value events --limit 1", 0, "size");
}

/* What we ship tells all of its options: misspelt keys, wrong types and ranges are found when they
 * are set, those of the file by verify. */
static void settings_of_ours(void)
{
    static const struct {
        const char *set, *told; /* told NULL: it is taken */
    } cases[] = {
        {"org.magnum.kubernetes stack_list_age_ms=5000", NULL},
        {"org.magnum.kubernetes stack_list_age_ms=0", "integer from 1 up to 3600000"},
        {"org.magnum.kubernetes stack_list_age_ms=soon", "integer from 1 up to 3600000"},
        {"org.magnum.kubernetes kubernetes_path=/a:/b", NULL},
        {"org.magnum.kubernetes kubernetes_path=a:/b", "matching"},
        {"org.magnum.kubernetes kubernets_path=/a", "has no option kubernets_path"},
        {"org.magnum.kubernetes state_dir=/0123456789/0123456789/0123456789/0123456789", "40"},
        {"org.magnum.kubernetes auth_url=keystone", "matching"},
        {"org.magnum.swarm container_log_lines=20", NULL},
        {"org.magnum.swarm container_log_lines=0", "integer from 1 up to 1000000"},
        {"org.magnum.swarm verify_ca=maybe", "one of true, false"},
        {"org.magnum.mesos nodes_affinity_policy=anti-affinity", NULL},
        {"org.magnum.mesos nodes_affinity_policy=close", "one of soft-anti-affinity"},
        {"org.magnum.mesos state_dir=/x", "has no option state_dir"},
        {"org.magnum.certs-local key_file=key", "matching"},
        {"org.magnum.certs-local key_file=/etc/magnum/key", NULL},
        {"org.magnum.certs-barbican anything=1", "it has none"},
    };
    free(options);
    options = str_fmt("--config /dev/null --plugin-dir %s/plugins --connection '%s'", build_dir(),
                      pg_conninfo(pg));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *args = str_fmt("config set %s", cases[i].set);
        expect(args, cases[i].told ? 1 : 0, cases[i].told ? cases[i].told : "is set");
    }
    expect("-f value config get org.magnum.swarm container_log_lines", 0,
           "container_log_lines 20 operator");
    expect("-f value config get org.magnum.certs-local storage_path", 0,
           "storage_path /var/lib/magnum/certificates default");
    expect("verify org.magnum.certs-barbican --set "
           "driver_config.org.magnum.certs-barbican.storage_path=/x",
           0, "has no option storage_path");
}

static void a_verdict_is_kept(void)
{
    _cleanup_json_ json_t *one = ask("show fixture_plain");
    _cleanup_free_ char *verdict = str_fmt(
        "printf '{\"kit\":\"1\",\"plugin\":{\"sha256\":\"%s\"},\"passed\":41,\"failed\":0,"
        "\"skipped\":2,\"results\":[]}' > %s/v.json && sed s/failed.:0/failed'\"':1/ %s/v.json >"
        " %s/bad.json && sed s/sha256...../sha256'\"':'\"'0/ %s/v.json > %s/other.json",
        text(one, "sha256"), dir, dir, dir, dir, dir);
    CU_ASSERT_EQUAL_FATAL(system(verdict), 0);
    _cleanup_free_ char *good = str_fmt("check fixture_plain --verdict %s/v.json", dir);
    _cleanup_free_ char *bad = str_fmt("check fixture_plain --verdict %s/bad.json", dir);
    _cleanup_free_ char *other = str_fmt("check fixture_plain --verdict %s/other.json", dir);
    expect(bad, 1, "1 checks of test.fixture.plain@");
    expect(good, 0, "passed");
    expect(other, 1, "about another file");
    expect("list", 0, "passed (41 of 41)");
    expect("show fixture_plain", 0, "\"skipped\":2");
    sql("UPDATE driver_copy SET sha256 = 'rebuilt' WHERE version = '1.0.0'");
    _cleanup_free_ char *out = NULL;
    CU_ASSERT_EQUAL(run("magnum-driver-manage", "list", &out), 0);
    CU_ASSERT_PTR_NULL(strstr(out, "41 of 41")); /* it was over another file */
}

/* Signed verdicts count when their signer is trusted; everything else about them is told. */
static void a_verdict_is_signed(void)
{
    _cleanup_json_ json_t *one = ask("show fixture_plain");
    _cleanup_free_ char *connection = TAKE_PTR(options);
    _cleanup_free_ char *prepare = str_fmt(
        "set -e; cd %s; mkdir trusted; for k in vendor stranger; do openssl genpkey -algorithm "
        "ed25519 "
        "-out $k.key; openssl pkey -in $k.key -pubout -out $k.pem; done; cp vendor.pem trusted; "
        "printf '{\"kit\":\"1\",\"key\":\"%%s\",\"plugin\":{\"sha256\":\"%s\"},\"passed\":7,"
        "\"failed\":0,\"skipped\":0,\"results\":[]}' \"$(openssl pkey -pubin -in vendor.pem "
        "-outform "
        "DER | tail -c 32 | sha256sum | cut -c1-64)\" > good.json; "
        "sed 's/sha256.:..../&0/' good.json > other.json; cp good.json strange.json; "
        "sed 's/skipped.:0/skipped\":1/' good.json > changed.json; "
        "sign() { openssl pkeyutl -sign -inkey $1.key -rawin -in $2 -out $3.sig; }; "
        "sign vendor good.json good.json; sign vendor other.json other.json; "
        "sign stranger strange.json strange.json; sign vendor good.json changed.json; "
        "cp good.json short.json; head -c 60 good.json.sig > short.json.sig; "
        "cp good.json alone.json; cp good.json fixture_plain.verdict.json",
        dir, text(one, "sha256"));
    CU_ASSERT_EQUAL_FATAL(system(prepare), 0);
    _cleanup_free_ char *same = str_fmt(
        "UPDATE driver_copy SET sha256 = '%s' WHERE version = '1.0.0'", text(one, "sha256"));
    sql(same);
    options = str_fmt("%s --set drivers.trusted_keys_dir=%s/trusted", connection, dir);
    const struct {
        const char *file, *told;
        int code;
    } cases[] = {{"good", "passed, signed by vendor", 0},
                 {"changed", "is not that of the key vendor", 1},
                 {"strange", "is not that of the key vendor", 1}, /* it says so itself */
                 {"other", "about another file", 1},
                 {"short", "is no ed25519 signature", 1},
                 {"alone", "passed, unsigned", 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *args =
            str_fmt("check fixture_plain --verdict %s/%s.json", dir, cases[i].file);
        expect(args, cases[i].code, cases[i].told);
    }
    expect("-f value list", 0, "passed (7 of 7) unsigned");
    expect("verify fixture_plain", 0, "passed, unsigned");
    _cleanup_free_ char *good = str_fmt("check fixture_plain --verdict %s/good.json", dir);
    expect(good, 0, "signed by vendor");
    expect("-f value list", 0, "passed (7 of 7) vendor");
    expect("show fixture_plain", 0, "\"signed_by\":\"vendor\"");
    _cleanup_free_ char *sign =
        str_fmt("cd %s && cp good.json.sig fixture_plain.verdict.json.sig", dir);
    CU_ASSERT_EQUAL_FATAL(system(sign), 0);
    expect("verify fixture_plain", 0, "passed, signed by vendor");
    _cleanup_free_ char *distrust =
        str_fmt("cd %s/trusted && mv vendor.pem ../gone.pem && cp ../stranger.pem .", dir);
    CU_ASSERT_EQUAL_FATAL(system(distrust), 0);
    expect(good, 1, "was made by none of the keys in");
    expect("verify fixture_plain", 0, "was made by none of the keys in");
    free(options);
    options = TAKE_PTR(connection);
}

static void bundles(void)
{
    _cleanup_free_ char *prepare =
        str_fmt("mkdir -p %s/b/more && cp %s/tests/driver_plugins/fixture_plain.* %s/b && echo x > "
                "%s/b/more/file && mkdir %s/empty",
                dir, build_dir(), dir, dir, dir);
    CU_ASSERT_EQUAL_FATAL(system(prepare), 0);
    free(options);
    options = str_fmt("--config /dev/null --plugin-dir %s/empty --set drivers.install_dir=%s/in"
                      " --set drivers.trusted_keys_dir=%s/keys",
                      dir, dir, dir);
#define CMD(name, ...) _cleanup_free_ char *name = str_fmt(__VA_ARGS__)
    CMD(make_key, "keys new %s/k", dir);
    CMD(trust, "keys trust %s/k.pem vendor", dir);
    CMD(trust_private, "keys trust %s/k.key", dir);
    CMD(pack, "bundle %s/b/fixture_plain.yaml --key %s/k.key --add more -o %s/x.bundle", dir, dir,
        dir);
    CMD(pack_bare, "bundle %s/b/fixture_plain.yaml -o %s/bare.bundle", dir, dir);
    CMD(pack_hidden, "bundle %s/b/fixture_plain.yaml --add ../k.key -o %s/h.bundle", dir, dir);
    CMD(install, "install %s/x.bundle", dir);
    CMD(install_bare, "install %s/bare.bundle", dir);
    CMD(install_bare_so, "install %s/bare.bundle --allow-unsigned", dir);
    CMD(install_text, "install %s/v.json --allow-unsigned", dir);
    CMD(installed, "test -f %s/in/test.fixture.plain/1.0.0/more/file", dir);
    CMD(removed, "test ! -e %s/in/test.fixture.plain", dir);
#undef CMD
    expect(make_key, 0, "signs bundles");
    expect(make_key, 1, "is there already");
    expect(trust_private, 1, "no public ed25519 key");
    expect(pack, 0, "3 files, signed");
    expect(pack_hidden, 1, "no name for a file of a bundle");
    expect(install, 1, "made by none of the keys");
    expect(trust, 0, "are installed from now on");
    expect("-f value keys list", 0, "vendor ");
    expect(install, 0, "(signed by vendor)");
    CU_ASSERT_EQUAL(system(installed), 0);
    expect(install, 0, "is installed already");
    expect("-f value list-drivers", 0, "fixture_plain");
    expect("verify fixture_plain@1.0.0", 0, "it can work on this machine");
    expect(pack_bare, 0, "unsigned");
    expect(install_bare, 1, "is not signed");
    CU_ASSERT_EQUAL_FATAL(system(prepare), 256); /* mkdir: it is there */
    expect("uninstall fixture_plain 1.0.0", 0, "is removed");
    CU_ASSERT_EQUAL(system(removed), 0);
    expect("uninstall fixture_plain 1.0.0", 1, "there is no driver");
    expect(install_bare_so, 0, "(unsigned)");
    expect(install_text, 1, "it is no bundle");
    expect("keys distrust vendor", 0, "not trusted any more");
    expect("keys distrust vendor", 1, "no key vendor");
    expect("keys distrust ../x", 1, "no name for a key");
}

static void begins_a_driver(void)
{
    _cleanup_free_ char *args = str_fmt(
        "new my_coe --template %s/template --id org.me.coe --vendor Me -o %s/mine", dir, dir);
    _cleanup_free_ char *template =
        str_fmt("mkdir -p %s/template/sub && echo 'id: @ID@ @VENDOR@ @OTHER@ a@b' > "
                "%s/template/sub/@NAME@.yaml",
                dir, dir);
    _cleanup_free_ char *right = str_fmt("test \"$(cat %s/mine/sub/my_coe.yaml)\" = "
                                         "'id: org.me.coe Me @OTHER@ a@b'",
                                         dir);
    CU_ASSERT_EQUAL_FATAL(system(template), 0);
    expect(args, 0, "a driver org.me.coe");
    CU_ASSERT_EQUAL(system(right), 0);
    expect(args, 1, "is there already");
    expect("new My-coe", 1, "begins with a small letter");
    expect("new x --template /nonexistent", 1, "cannot read the template");
}

TEST_MAIN("driver_manage", setup, teardown, TEST(wrong_usage), TEST(lists), TEST(verifies),
          TEST(without_database), TEST(with_database), TEST(several_versions),
          TEST(two_for_one_kind), TEST(for_one_project), TEST(settings_of_ours), TEST(settings),
          TEST(a_verdict_is_kept), TEST(a_verdict_is_signed), TEST(bundles), TEST(begins_a_driver))
