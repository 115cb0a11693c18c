/* magnum-keygen and magnum-status as an operator runs them, with a real database. */
#include "base/io.h"
#include "base/jsonx.h"
#include "base/str.h"
#include "support/cunit_main.h"
#include "support/pg.h"

#include <sys/stat.h>
#include <sys/wait.h>

static char dir[] = "/tmp/magnum-status-XXXXXX";
static struct pg *pg;

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
    _cleanup_free_ char *cmd = str_fmt("rm -rf %s", dir);
    return system(cmd);
}

/* Runs a program of the build; its exit status, its output (both streams) in *out. */
static int run(char **out, const char *args)
{
    const char *build = getenv("MAGNUM_BUILD_DIR");
    _cleanup_free_ char *cmd =
        str_fmt("cd %s && %s/bin/%s >out.txt 2>&1", dir, build ? build : ".", args);
    _cleanup_free_ char *path = str_fmt("%s/out.txt", dir);
    struct err e = ERR_INIT;
    int status = system(cmd);
    ASSERT_OK(io_read_file(path, 1 << 20, out, NULL, &e), &e);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *args, int status, const char *part)
{
    _cleanup_free_ char *out = NULL;
    int got = run(&out, args);
    if (got != status || !strstr(out, part))
        fprintf(stderr, "%s: exit %d, want %d with \"%s\":\n%s\n", args, got, status, part, out);
    CU_ASSERT_EQUAL(got, status);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, part));
}

static void put(const char *name, const char *text)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name);
    ASSERT_OK(io_write_file(path, text, strlen(text), 0600, &e), &e);
}

static void wrong_usage(void)
{
    expect("magnum-status", 2, "a command is missing");
    expect("magnum-status upgrade", 2, "unknown command");
    expect("magnum-status config sample more", 2, "too many arguments");
    expect("magnum-status --what", 2, "--what");
    expect("magnum-status --help", 0, "upgrade check");
    expect("magnum-status --version", 0, "magnum-status ");
    expect("magnum-keygen", 2, "--dir or --seal-key is missing");
    expect("magnum-keygen --dir a b", 2, "too many arguments");
    expect("magnum-keygen --help", 0, "--force");
    expect("magnum-keygen --seal-key seal.key", 0, "seal.key");
    expect("magnum-keygen --dir /proc/nothing", 1, "/proc/nothing");
}

static void keys(void)
{
    expect("magnum-keygen --dir keys", 0, "keys/authorized/api.key");
    _cleanup_free_ char *path = str_fmt("%s/keys/api.key", dir), *a = NULL, *b = NULL, *c = NULL;
    struct err e = ERR_INIT;
    ASSERT_OK(io_read_file(path, 4096, &a, NULL, &e), &e);
    expect("magnum-keygen keys", 0, "keys/api.key");
    ASSERT_OK(io_read_file(path, 4096, &b, NULL, &e), &e);
    CU_ASSERT_STRING_EQUAL(a, b);
    expect("magnum-keygen --force --dir keys", 0, "keys/api.key");
    ASSERT_OK(io_read_file(path, 4096, &c, NULL, &e), &e);
    CU_ASSERT_STRING_NOT_EQUAL(a, c);
}

static void configuration(void)
{
    _cleanup_free_ char *sample = NULL;
    CU_ASSERT_EQUAL(run(&sample, "magnum-status config sample"), 0);
    put("sample.yaml", sample);
    expect("magnum-status --config sample.yaml config check", 0, "sample.yaml: the configuration");
    put("bad.yaml", "api:\n  prot: 1\n");
    expect("magnum-status --config bad.yaml config check", 2,
           "bad.yaml:2: unknown option api.prot; did you mean api.port?");
    expect("magnum-status --config gone.yaml config check", 2, "cannot open gone.yaml");
    expect("magnum-status --config sample.yaml --set conductor.backoff_max_ms=600 config check", 2,
           "conductor.backoff_max_ms (600) must be at least conductor.backoff_ms (1000)");
    expect("magnum-status --config sample.yaml --set x config check", 2, "SECTION.NAME=VALUE");
    expect("magnum-status --config bad.yaml upgrade check", 255, "unknown option");
}

/* The line after "Check: <name>" says `result`. */
static bool says(const char *out, const char *name, const char *result)
{
    const char *check = strstr(out, name);
    const char *line = check ? strstr(check, "| Result: ") : NULL;
    return line && strncmp(line + 10, result, strlen(result)) == 0;
}

static void upgrade_check(void)
{
    _cleanup_free_ char *conninfo = pg_new_database(pg, "status");
    _cleanup_free_ char *options = str_fmt("--config /dev/null --set 'database.connection=%s' "
                                           "--set rpc.keys_dir=%s/k --set drivers.plugin_dirs=%s/p",
                                           conninfo, dir, dir);
    _cleanup_free_ char *check = str_fmt("magnum-status %s upgrade check", options);
    _cleanup_free_ char *out = NULL, *out2 = NULL, *out3 = NULL;
    /* nothing is there: each check says so, and the tool does not stop at the first */
    CU_ASSERT_EQUAL(run(&out, check), 2);
    CU_ASSERT(says(out, "Database Connection", "Success"));
    CU_ASSERT(says(out, "Database Schema", "Failure"));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "magnum-db-manage"));
    CU_ASSERT(says(out, "Certificate Sealing Key", "Warning"));
    CU_ASSERT(says(out, "Message Keys", "Failure"));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "magnum-keygen"));
    CU_ASSERT(says(out, "Driver Plugins", "Failure"));

    _cleanup_free_ char *upgrade =
        str_fmt("magnum-db-manage --config /dev/null --connection '%s' upgrade", conninfo);
    _cleanup_free_ char *plugins = str_fmt("%s/p", dir);
    expect(upgrade, 0, "Applied");
    expect("magnum-keygen --dir k", 0, "k/api.key");
    CU_ASSERT_EQUAL(mkdir(plugins, 0755), 0);
    put("seal", "0123456789abcdef0123456789abcdef");
    _cleanup_free_ char *sealed =
        str_fmt("magnum-status %s --set certificates.key_file=%s/seal upgrade check", options, dir);
    CU_ASSERT_EQUAL(run(&out2, sealed), 1); /* no driver is installed */
    CU_ASSERT(says(out2, "Database Schema", "Success"));
    CU_ASSERT(says(out2, "Data Migrations", "Success"));
    CU_ASSERT(says(out2, "Certificate Sealing Key", "Success"));
    CU_ASSERT(says(out2, "Message Keys", "Success"));
    CU_ASSERT(says(out2, "Driver Plugins", "Warning"));

    CU_ASSERT(pg_exec(conninfo, "ALTER TABLE cluster ADD COLUMN by_hand int;"
                                "INSERT INTO cluster (uuid, name, cluster_template_id, status,"
                                " ca_cert_ref) VALUES ('u', 'n', 't', 'CREATE_COMPLETE', 'ref')"));
    _cleanup_free_ char *seal = str_fmt("%s/seal", dir);
    CU_ASSERT_EQUAL(chmod(seal, 0644), 0);
    CU_ASSERT_EQUAL(run(&out3, sealed), 2);
    CU_ASSERT(says(out3, "Database Schema", "Warning"));
    CU_ASSERT(says(out3, "Data Migrations", "Warning"));
    CU_ASSERT(says(out3, "Certificate Sealing Key", "Failure"));
}

static void health(void)
{
    _cleanup_free_ char *conninfo = pg_new_database(pg, "health");
    _cleanup_free_ char *upgrade =
        str_fmt("magnum-db-manage --config /dev/null --connection '%s' upgrade", conninfo);
    expect(upgrade, 0, "Applied");
    _cleanup_free_ char *look = str_fmt("magnum-status --config /dev/null "
                                        "--set 'database.connection=%s' --set api.port=1 health",
                                        conninfo);
    expect(look, 2, "Services: none has reported yet");
    CU_ASSERT(pg_exec(conninfo, "INSERT INTO magnum_service (host, \"binary\", last_seen_up) VALUES"
                                " ('h1', 'magnum-conductor', now()),"
                                " ('h2', 'magnum-conductor', now() - interval '1 day')"));
    _cleanup_free_ char *out = NULL;
    CU_ASSERT_EQUAL(run(&out, look), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "API: "));
    const char *h1 = strstr(out, "h1"), *h2 = strstr(out, "h2");
    CU_ASSERT_PTR_NOT_NULL_FATAL(h1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h2);
    CU_ASSERT(strstr(h1, " up ") && strstr(h1, " up ") < strchr(h1, '\n'));
    CU_ASSERT(strstr(h2, " down ") && strstr(h2, " down ") < strchr(h2, '\n'));
    expect("magnum-status --config /dev/null --set database.connection=host=/nonexistent health", 2,
           "Database: ");
}

/* The finding of this name in the JSON of health; NULL when there is none. Borrowed. */
static const json_t *finding(const json_t *doc, const char *name)
{
    size_t i;
    json_t *f;
    json_array_foreach(json_object_get(doc, "checks"), i, f)
    {
        if (str_eq(jsonx_str(f, "check"), name))
            return f;
    }
    return NULL;
}

static bool found(const json_t *doc, const char *name, const char *result, const char *part)
{
    const json_t *f = finding(doc, name);
    const char *details = jsonx_str(f, "details");
    bool ok = f && str_eq(jsonx_str(f, "result"), result) && details && strstr(details, part);
    if (!ok)
        fprintf(stderr, "%s: %s: %s\n", name, f ? jsonx_str(f, "result") : "not there",
                details ? details : "");
    return ok;
}

static json_t *ask_health(const char *conninfo, const char *more)
{
    _cleanup_free_ char *look =
        str_fmt("magnum-status --config /dev/null --set 'database.connection=%s' --set api.port=1"
                " %s --format json health",
                conninfo, more);
    _cleanup_free_ char *out = NULL;
    struct err e = ERR_INIT;
    json_t *doc = NULL;
    CU_ASSERT_EQUAL(run(&out, look), 2); /* no API listens on port 1 */
    ASSERT_OK(jsonx_parse(out, strlen(out), 16, &doc, &e), &e);
    return doc;
}

static void health_of_the_deployment(void)
{
    _cleanup_free_ char *conninfo = pg_new_database(pg, "deployment");
    _cleanup_free_ char *upgrade =
        str_fmt("magnum-db-manage --config /dev/null --connection '%s' upgrade", conninfo);
    expect(upgrade, 0, "Applied");
    _cleanup_json_ json_t *empty = ask_health(conninfo, "");
    CU_ASSERT_STRING_EQUAL(jsonx_str(empty, "result"), "Failure");
    CU_ASSERT(found(empty, "API", "Failure", "127.0.0.1:1"));
    CU_ASSERT(found(empty, "Database", "Success", "PostgreSQL"));
    CU_ASSERT(found(empty, "Schema", "Success", "revision"));
    CU_ASSERT(found(empty, "Services", "Warning", "none has reported"));
    CU_ASSERT(found(empty, "Operations due", "Success", "none"));
    CU_ASSERT(found(empty, "Operations blocked", "Success", "none"));
    CU_ASSERT(found(empty, "Drivers", "Warning", "0 ready"));
    CU_ASSERT(found(empty, "Certificates", "Success", "within 30 days"));
    CU_ASSERT_PTR_NULL(finding(empty, "Keystone")); /* it is not used */
    CU_ASSERT_PTR_NULL(finding(empty, "Replication"));
    /* a conductor that lives and does not answer, one that is silent, one that was stopped */
    CU_ASSERT(pg_exec(
        conninfo,
        "INSERT INTO magnum_service (host, \"binary\", last_seen_up, instance, endpoint, "
        "public_key)"
        " VALUES ('h1', 'magnum-conductor', now(), 'i1', 'tcp://127.0.0.1:1', ''),"
        " ('h2', 'magnum-conductor', now() - interval '1 hour', 'i2', 'tcp://127.0.0.1:2', ''),"
        " ('h3', 'magnum-conductor', 'epoch', 'i3', NULL, NULL)"));
    CU_ASSERT(pg_exec(conninfo,
                      "INSERT INTO operation (id, cluster_id, generation, spec, kind, status, "
                      "due_at, blocked_since,"
                      " code, actor)"
                      " VALUES ('op-due', 'c1', 1, '{}', 'create', 'PENDING', now() - interval '1 "
                      "hour', NULL, NULL, NULL),"
                      " ('op-stuck', 'c2', 1, '{}', 'create', 'BLOCKED', now() + interval '1 day',"
                      " now() - interval '100 s', 'QuotaExceeded', 'user')"));
    CU_ASSERT(pg_exec(conninfo, "INSERT INTO driver_quarantine (sha256, id, reason)"
                                " VALUES ('ab', 'org.example.bad', 'it kept dying')"));
    CU_ASSERT(pg_exec(conninfo,
                      "INSERT INTO certificate (cluster_id, role, serial, manager, ref, not_after)"
                      " VALUES ('c1', 'ca', 1, 'x509keypair', 'r', now() + interval '50 hours')"));
    _cleanup_json_ json_t *ill = ask_health(
        conninfo, "--set auth.strategy=keystone --set keystone.auth_url=http://127.0.0.1:1/v3");
    CU_ASSERT(found(ill, "Conductor", "Success", "h1, heartbeat"));
    CU_ASSERT(found(ill, "Conductor answers", "Warning", "h1 at tcp://127.0.0.1:1"));
    CU_ASSERT(found(ill, "Conductors", "Failure", "none answers"));
    CU_ASSERT(found(ill, "Operations due", "Warning", "1 wait"));
    CU_ASSERT(found(ill, "Operations blocked", "Warning", "op-stuck"));
    CU_ASSERT(found(ill, "Driver quarantined", "Warning", "org.example.bad: it kept dying"));
    CU_ASSERT(found(ill, "Certificates", "Warning", "in 2 days"));
    CU_ASSERT(found(ill, "Keystone", "Failure", "127.0.0.1:1"));
    CU_ASSERT_EQUAL(json_array_size(json_object_get(ill, "services")), 3);
    _cleanup_free_ char *text = json_dumps(ill, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "h2 has been silent for 3"));
    CU_ASSERT_PTR_NULL(strstr(text, "h3 has been silent"));
}

TEST_MAIN("component/status_tool", setup, teardown, TEST(wrong_usage), TEST(keys),
          TEST(configuration), TEST(upgrade_check), TEST(health), TEST(health_of_the_deployment))
