/* magnum-db-manage as an operator meets it: output, one-line errors, exit statuses. */
#include "component/db_fixture.h"
#include "component/manage_run.h"

#include "base/str.h"

#include <string.h>

static void from_nothing_to_head(void)
{
    char *info = pg_new_database(server, "managed");
    manage_expect(info, "version", 0, "Current DB revision is 0 (none)");
    manage_expect(info, "revision-list", 0, "0001  pending  0001_initial");
    manage_expect(info, "check", 1, "run magnum-db-manage upgrade");
    manage_expect(info, "upgrade 0001_initial", 0, "Applied 1 revision\n");
    manage_expect(info, "upgrade", 0, "");
    manage_expect(info, "upgrade head", 0, "Nothing to do");
    manage_expect(info, "revision-list", 0, "0001  applied  0001_initial");
    manage_expect(info, "check", 0, "as the migrations make it");
    CU_ASSERT_TRUE(pg_exec(info, "ALTER TABLE cluster ALTER name TYPE varchar(9)"));
    manage_expect(info, "check", 1, "column cluster.name is \"character varying(9)");
    manage_expect(info, "stamp 0", 0, "Stamped revision 0");
    manage_expect(info, "version", 0, "0 (none)");
    manage_expect(info, "upgrade", 1, "revision 0001_initial: relation \"cluster\" already exists");
    free(info);
}

static void what_is_wrong_is_said(void)
{
    char *info = pg_new_database(server, "managed");
    manage_expect(info, "", 2, "a command is missing");
    manage_expect(info, "downgrade", 2, "unknown command: downgrade");
    manage_expect(info, "stamp", 2, "the revision is missing");
    manage_expect(info, "version now", 2, "too many arguments");
    manage_expect(info, "--nonsense version", 2, "nonsense");
    manage_expect(info, "upgrade 77", 1, "there is no revision \"77\"");
    manage_expect(info, "upgrade 0", 1, "no way back");
    manage_expect(info, "--help", 0, "usage: magnum-db-manage");
    manage_expect(info, "--version", 0, "magnum-db-manage ");
    manage_expect("host=/nonexistent dbname=x", "version", 1, "no connection to the database");
    manage_expect("host=/nonexistent bro ken", "version", 1, "not a libpq connection string");
    manage_expect(info, "--config /nonexistent/magnum.yaml version", 1, "/nonexistent/magnum.yaml");
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
    manage_expect(NULL, args, 0, "Applied");
    CU_ASSERT_EQUAL(unlink(path), 0);
    free(info);
}

TEST_MAIN("db_manage", fixture_start, fixture_stop, TEST(from_nothing_to_head),
          TEST(what_is_wrong_is_said), TEST(the_configuration_names_the_database))
