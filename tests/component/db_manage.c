/* magnum-db-manage as an operator meets it: output, one-line errors, exit statuses. */
#include "component/db_fixture.h"

#include "base/str.h"

#include <string.h>
#include <sys/wait.h>

static char output[4096];

/* Runs it with these arguments; the exit status, with stdout and stderr in `output`. */
static int run(const char *info, const char *args)
{
    char command[1024];
    const char *build = getenv("MAGNUM_BUILD_DIR");
    snprintf(command, sizeof command, "%s/bin/magnum-db-manage %s%s%s %s 2>&1", build ? build : ".",
             info ? "--connection '" : "", info ? info : "", info ? "'" : "", args);
    FILE *f = popen(command, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    size_t n = fread(output, 1, sizeof output - 1, f);
    output[n] = '\0';
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *info, const char *args, int status, const char *text)
{
    int got = run(info, args);
    if (got != status || !strstr(output, text))
        fprintf(stderr, "%s: %d: %s", args, got, output);
    CU_ASSERT_EQUAL(got, status);
    CU_ASSERT_PTR_NOT_NULL(strstr(output, text));
    if (status == 1) { /* one line says why */
        char *end = strchr(output, '\n');
        CU_ASSERT_TRUE(end && end[1] == '\0');
    }
}

static void from_nothing_to_head(void)
{
    char *info = pg_new_database(server, "managed");
    expect(info, "version", 0, "Current DB revision is 0 (none)");
    expect(info, "revision-list", 0, "0001  pending  0001_initial");
    expect(info, "check", 1, "run magnum-db-manage upgrade");
    expect(info, "upgrade 0001_initial", 0, "Applied 1 revision\n");
    expect(info, "upgrade", 0, "");
    expect(info, "upgrade head", 0, "Nothing to do");
    expect(info, "revision-list", 0, "0001  applied  0001_initial");
    expect(info, "check", 0, "as the migrations make it");
    CU_ASSERT_TRUE(pg_exec(info, "ALTER TABLE cluster ALTER name TYPE varchar(9)"));
    expect(info, "check", 1, "column cluster.name is \"character varying(9)");
    expect(info, "stamp 0", 0, "Stamped revision 0");
    expect(info, "version", 0, "0 (none)");
    expect(info, "upgrade", 1, "revision 0001_initial: relation \"cluster\" already exists");
    free(info);
}

static void what_is_wrong_is_said(void)
{
    char *info = pg_new_database(server, "managed");
    expect(info, "", 2, "a command is missing");
    expect(info, "downgrade", 2, "unknown command: downgrade");
    expect(info, "stamp", 2, "the revision is missing");
    expect(info, "version now", 2, "too many arguments");
    expect(info, "--nonsense version", 2, "nonsense");
    expect(info, "upgrade 77", 1, "there is no revision \"77\"");
    expect(info, "upgrade 0", 1, "no way back");
    expect(info, "--help", 0, "usage: magnum-db-manage");
    expect(info, "--version", 0, "magnum-db-manage ");
    expect("host=/nonexistent dbname=x", "version", 1, "no connection to the database");
    expect("host=/nonexistent bro ken", "version", 1, "not a libpq connection string");
    expect(info, "--config /nonexistent/magnum.yaml version", 1, "/nonexistent/magnum.yaml");
    free(info);
}

static void the_configuration_names_the_database(void)
{
    char *info = pg_new_database(server, "managed");
    char path[] = "/tmp/magnum-db-manage.XXXXXX", args[128];
    int fd = mkstemp(path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    dprintf(fd, "database:\n  connection: \"%s\"\n", info);
    close(fd);
    snprintf(args, sizeof args, "--config %s upgrade", path);
    expect(NULL, args, 0, "Applied");
    CU_ASSERT_EQUAL(unlink(path), 0);
    free(info);
}

TEST_MAIN("db_manage", fixture_start, fixture_stop, TEST(from_nothing_to_head),
          TEST(what_is_wrong_is_said), TEST(the_configuration_names_the_database))
