/* Old history leaves the database: purge, archive into a file under kill -9, online data
 * migrations, and a migration of the schema while somebody sits on its tables. */
#include "component/db_fixture.h"
#include "component/manage_run.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "base/str.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/magnum-history.XXXXXX";

static int start(void)
{
    return mkdtemp(dir) ? fixture_start() : 1;
}

static int stop(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return fixture_stop() | system(command);
}

static const char *path_of(const char *name)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *archive_to(const char *path, const char *more)
{
    static char args[256];
    snprintf(args, sizeof args, "archive --days 30 --file %s %s", path, more);
    return args;
}

/* n operations with two events each of clusters that are gone, as many days ago. */
static void old_operations(int n, int days)
{
    char text[1200];
    snprintf(text, sizeof text,
             "INSERT INTO operation (id, cluster_id, kind, status, generation, spec, token_sealed,"
             " finished_at, created_at) SELECT gen_random_uuid(), gen_random_uuid(), 'create',"
             " 'SUCCEEDED', 1, '{\"text\": \"\\u00e4\\\"\\n\"}', 'secret',"
             " now() - %d * interval '1 day', now() - %d * interval '1 day'"
             " FROM generate_series(1, %d);"
             "INSERT INTO operation_event (operation_id, cluster_id, code, created_at)"
             " SELECT o.id, o.cluster_id, c, o.finished_at FROM operation o,"
             " unnest(ARRAY['accepted', 'succeeded']) c WHERE NOT EXISTS"
             " (SELECT FROM operation_event e WHERE e.operation_id = o.id)",
             days, days, n);
    exec(text);
}

static void what_is_old_goes_and_the_rest_stays(void)
{
    struct made m;
    fresh_db();
    make_complete(&m, "p", "kept", 1);
    exec("UPDATE operation SET finished_at = now() - interval '400 days'");
    exec("UPDATE operation_event SET created_at = now() - interval '3 days'");
    exec("INSERT INTO driver_event (driver_id, event, created_at) SELECT 'd', 'enabled',"
         " now() - interval '50 days' FROM generate_series(1, 3)");
    exec("INSERT INTO magnum_service (host, \"binary\", last_seen_up, updated_at, created_at,"
         " disabled) SELECT host, 'magnum-conductor', seen, now() - at * interval '1 day',"
         " now() - interval '50 days', host = 'off' FROM (VALUES ('here', now(), 0),"
         " ('gone', now() - interval '40 days', 40), ('off', now() - interval '40 days', 40),"
         /* as db_service_gone leaves it */
         " ('stopped', 'epoch'::timestamptz, 1), ('stopped-long-ago', 'epoch', 40))"
         " AS v(host, seen, at)");
    old_operations(7, 40);
    old_operations(2, 1);
    exec("UPDATE operation SET status = 'RUNNING', finished_at = NULL WHERE id ="
         " (SELECT min(id) FROM operation WHERE finished_at < now() - interval '30 days'"
         " AND finished_at > now() - interval '60 days')");
    manage_expect(conninfo, "purge --days 30 --dry-run", 0, "operations     6 ");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation"), "10");
    manage_expect(conninfo, "purge --days 30 --batch 2 --pause-ms 0", 0,
                  "operations     6 removed");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(manage_output, "events         2 removed")); /* the running one's */
    CU_ASSERT_PTR_NOT_NULL(strstr(manage_output, "driver-events  2 removed"));
    CU_ASSERT_PTR_NOT_NULL(strstr(manage_output, "services       2 removed"));
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE finished_at IS NULL"), "1");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(host, ' ' ORDER BY host) FROM magnum_service"),
                           "here off stopped");
    CU_ASSERT_STRING_EQUAL(sql("SELECT cluster_id FROM operation WHERE cluster_name IS NOT NULL"),
                           m.c.uuid); /* the newest that succeeded, whatever its age */
    manage_expect(conninfo, "purge --before 2001-02-03", 0, "operations     0 removed");
    manage_expect(conninfo, "purge --before 2001-02-03T04:05:06Z", 0, "events         0 removed");
    made_done(&m);
}

static void what_is_wrong_is_said(void)
{
    fresh_db();
    manage_expect(conninfo, "purge", 1, "either --days or --before");
    manage_expect(conninfo, "purge --days 3 --before 2026-01-01", 1, "either --days or --before");
    manage_expect(conninfo, "purge --before yesterday", 1, "\"yesterday\" is no time");
    manage_expect(conninfo, "purge --before 2999-01-01", 1, "lies in the future");
    manage_expect(conninfo, "purge --days -1", 2, "no number from 0");
    manage_expect(conninfo, "purge --batch 0", 2, "no number from 1");
    manage_expect(conninfo, "archive --days 3", 1, "archive needs --file");
    manage_expect(conninfo, "archive --days 3 --file /nonexistent/a", 1,
                  "cannot open /nonexistent/a");
    manage_expect(conninfo, "archive --days 3 --file /dev/null", 1, "no ordinary file");
    manage_expect(conninfo, "online_data_migrations --max-count 0", 2, "no number from 1");
    manage_expect("host=/nonexistent dbname=x", "online_data_migrations", 2, "no connection");
    exec("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    manage_expect(conninfo, "purge --days 3", 1, "run magnum-db-manage upgrade");
}

/* --- archive --- */

/* Rows of a table in the file; each operation's and event's id must be there once. */
static int lines_of(const char *path, const char *table, json_t *seen)
{
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    _cleanup_free_ char *line = NULL;
    size_t room = 0;
    int n = 0;
    for (int at = 0; getline(&line, &room, f) > 0; at++) {
        _cleanup_json_ json_t *row = json_loads(line, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(row); /* no half line */
        if (at == 0 || !str_eq(jsonx_str(row, "table"), table))
            continue;
        const json_t *id = json_object_get(json_object_get(row, "row"), "id");
        _cleanup_free_ char *key = json_dumps(id, JSON_ENCODE_ANY);
        CU_ASSERT_PTR_NULL(json_object_get(seen, key));
        json_object_set_new(seen, key, json_true());
        n++;
    }
    return n;
}

static int count_in(const char *path, const char *table)
{
    _cleanup_json_ json_t *seen = json_object();
    return lines_of(path, table, seen);
}

static void rows_move_into_the_file(void)
{
    struct err e = ERR_INIT;
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    fresh_db();
    old_operations(5, 40);
    old_operations(1, 1);
    const char *path = path_of("plain.jsonl");
    manage_expect(conninfo, archive_to(path, "--dry-run"), 0, "operations     5 ");
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    manage_expect(conninfo, archive_to(path, "--batch 2"), 0, "operations     5 archived");
    CU_ASSERT_EQUAL(count_in(path, "operation"), 5);
    CU_ASSERT_EQUAL(count_in(path, "operation_event"), 10);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation"), "1");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation_event"), "2");
    ASSERT_OK(io_read_file(path, 1 << 20, &text, &len, &e), &e);
    CU_ASSERT_PTR_NULL(strstr(text, "secret")); /* sealed tokens are no history */
    struct stat st;
    CU_ASSERT_TRUE(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    old_operations(3, 40);
    manage_expect(conninfo, archive_to(path, ""), 0,
                  "operations     3 archived"); /* behind the others */
    CU_ASSERT_EQUAL(count_in(path, "operation"), 8);
}

static void other_files_are_left_alone(void)
{
    struct err e = ERR_INIT;
    fresh_db();
    old_operations(3, 40);
    const char *path = path_of("other");
    ASSERT_OK(io_write_file(path, "precious, precious, precious, precious, precious, precious", 58,
                            0600, &e),
              &e);
    manage_expect(conninfo, archive_to(path, ""), 1, "is no archive");
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    ASSERT_OK(io_read_file(path, 100, &text, &len, &e), &e);
    CU_ASSERT_EQUAL(len, 58);
    path = path_of("mine.jsonl");
    ASSERT_OK(io_write_file(path, "{\"magnum-archive\":1,\"id\":\"12", 29, 0600, &e),
              &e); /* torn */
    manage_expect(conninfo, archive_to(path, ""), 0, "3 archived");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CU_ASSERT_EQUAL(flock(fd, LOCK_EX), 0);
    manage_expect(conninfo, archive_to(path, ""), 1, "another process");
    close(fd);
    CU_ASSERT_EQUAL(truncate(path, 200), 0);
    manage_expect(conninfo, archive_to(path, ""), 1, "of what was archived; use a new file");
    fresh_db();
    manage_expect(conninfo, archive_to(path, ""), 1, "an archive of another database");
}

static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static pid_t manage_in_background(const char *verb, const char *archive)
{
    char program[512];
    const char *build = getenv("MAGNUM_BUILD_DIR");
    snprintf(program, sizeof program, "%s/bin/magnum-db-manage", build ? build : ".");
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDOUT_FILENO);
        execl(program, program, "--connection", conninfo, verb, archive ? "--file" : NULL, archive,
              "--days", "30", "--batch", "3", "--pause-ms", "10", (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* kill -9 when the file has grown by so much, which is in the middle of whatever it is doing. */
static void kill_9_loses_and_doubles_nothing(void)
{
    enum { ROWS = 400, KILLS = 25 };
    int status, killed = 0;
    fresh_db();
    old_operations(ROWS, 40);
    char path[96];
    snprintf(path, sizeof path, "%s", path_of("killed.jsonl"));
    int rows = ROWS;
    for (int i = 0; i < KILLS; i++) {
        int64_t until = size_of(path) + 1 + i * 397 % 9000;
        pid_t pid = manage_in_background("archive", path), ended = 0;
        while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && size_of(path) < until)
            usleep(100);
        if (ended && killed)
            break;   /* it was done before */
        if (ended) { /* and before it was looked at even once */
            old_operations(ROWS, 40);
            rows += ROWS;
            continue;
        }
        kill(pid, SIGKILL);
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        killed++;
    }
    CU_ASSERT_TRUE(killed > 0);
    manage_expect(conninfo, archive_to(path, ""), 0, "archived");
    CU_ASSERT_EQUAL(count_in(path, "operation"), rows);
    CU_ASSERT_EQUAL(count_in(path, "operation_event"), 2 * rows);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation"), "0");
}

/* A server that takes back what it was asked: what is in the file already is cut off. */
static void what_the_database_took_back_is_not_in_the_file(void)
{
    fresh_db();
    old_operations(4, 40);
    exec("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
         " $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
         "CREATE TRIGGER no AFTER UPDATE ON archive_file FOR EACH ROW EXECUTE FUNCTION no()");
    const char *path = path_of("refused.jsonl");
    CU_ASSERT_EQUAL(manage_run(conninfo, archive_to(path, "")), 1);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation"), "4");
    exec("DROP FUNCTION no CASCADE");
    manage_expect(conninfo, archive_to(path, ""), 0, "4 archived");
    CU_ASSERT_EQUAL(count_in(path, "operation"), 4);
}

/* --- online data migrations --- */

static void rows_of_older_revisions_are_filled_in(void)
{
    enum { CLUSTERS = 4 };
    struct made m[CLUSTERS];
    fresh_db();
    for (int i = 0; i < CLUSTERS - 1; i++)
        make_complete(&m[i], "p", "c", 1);
    make_cluster(&m[CLUSTERS - 1], "p", "busy", 1);
    exec("UPDATE cluster SET ca_cert_ref = 'ref', magnum_cert_ref = 'ref2', driver_version = NULL");
    manage_expect(conninfo, "online_data_migrations --max-count 2", 1,
                  "list_certificates           4          2\n");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM certificate"), "4");
    manage_expect(conninfo, "online_data_migrations --batch 1 --pause-ms 0", 0,
                  "list_certificates           2          2\n");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM certificate WHERE manager = 'x509keypair'"),
                           "8");
    /* nobody knows which versions there are */
    CU_ASSERT_PTR_NOT_NULL(strstr(manage_output, "  4 more wait for a conductor"));
    exec("INSERT INTO magnum_service (host, \"binary\", instance) VALUES ('h', 'magnum-conductor', "
         "'i');"
         "INSERT INTO driver_copy (instance, id, version, version_key) VALUES"
         " ('i', 'drv', '1.9', 'a'), ('i', 'drv', '1.10', 'b'), ('away', 'drv', '2', 'c')");
    manage_expect(conninfo, "online_data_migrations", 0,
                  "driver_versions             3          3\n");
    CU_ASSERT_PTR_NOT_NULL(strstr(manage_output, "  1 more wait for a conductor"));
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster WHERE driver_version = '1.10'"), "3");
    CU_ASSERT_STRING_EQUAL(sql("SELECT name FROM cluster WHERE driver_version IS NULL"), "busy");
    for (int i = 0; i < CLUSTERS; i++)
        made_done(&m[i]);
}

/* --- the schema, beside services --- */

static PGconn *session(const char *statement)
{
    PGconn *c = PQconnectdb(conninfo);
    PGresult *r = PQexec(c, statement);
    CU_ASSERT_EQUAL_FATAL(PQresultStatus(r), PGRES_COMMAND_OK);
    PQclear(r);
    return c;
}

static bool answers(PGconn *c, const char *statement)
{
    PGresult *r = PQexec(c, statement);
    ExecStatusType status = PQresultStatus(r);
    PQclear(r);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/* A dump, say, has every table for a long time: the migration waits for its end, and whoever comes
 * meanwhile is served. */
static void a_migration_that_waits_holds_up_nobody(void)
{
    enum { TRIES = 3, LOOKS_MAX = 20000 };
    fresh_db();
    exec("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    manage_expect(conninfo, "upgrade 0003_third", 0, "Applied 3");
    PGconn *dump = session("BEGIN; LOCK TABLE operation IN ACCESS SHARE MODE");
    PGconn *service = session("SET statement_timeout = '30s'");
    pid_t pid = manage_in_background("upgrade", NULL);
    char last[64] = "";
    int tries = 0, looks = 0, status = 0;
    bool served = true;
    for (; tries < TRIES && looks < LOOKS_MAX && served; looks++) {
        const char *since =
            sql("SELECT coalesce(max(xact_start)::text, '') FROM pg_stat_activity"
                " WHERE query LIKE 'DO %LOCK TABLE%' AND datname = current_database()");
        if (*since && strcmp(since, last) != 0) {
            snprintf(last, sizeof last, "%s", since);
            tries++;
        }
        served = answers(service, "SELECT count(*) FROM operation") &&
                 answers(service, "UPDATE operation SET percent = 1 WHERE id = 'none'");
    }
    CU_ASSERT_TRUE(served);
    CU_ASSERT_EQUAL(tries, TRIES);
    CU_ASSERT_EQUAL(waitpid(pid, &status, WNOHANG), 0);
    PQfinish(dump);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    manage_expect(conninfo, "check", 0, "as the migrations make it");
    PQfinish(service);
}

TEST_MAIN("db_history", start, stop, TEST(what_is_old_goes_and_the_rest_stays),
          TEST(what_is_wrong_is_said), TEST(rows_move_into_the_file),
          TEST(other_files_are_left_alone), TEST(kill_9_loses_and_doubles_nothing),
          TEST(what_the_database_took_back_is_not_in_the_file),
          TEST(rows_of_older_revisions_are_filled_in), TEST(a_migration_that_waits_holds_up_nobody))
