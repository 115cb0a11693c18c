/* magnum-db-manage as an operator meets it: its output and exit status. Neighbours:
 * tests/component/db_manage.c, db_history.c. */
#ifndef MAGNUM_TESTS_MANAGE_RUN_H
#define MAGNUM_TESTS_MANAGE_RUN_H

/* What the last run printed, stdout and stderr. */
extern char manage_output[8192];

/* Runs it with these arguments on this database (info NULL: the configured one); the exit status.
 */
int manage_run(const char *info, const char *args);
/* The same with assertions: status, and a text that has to be in the output. A failure (1) is told
 * in one line. */
void manage_expect(const char *info, const char *args, int status, const char *text);

#endif
