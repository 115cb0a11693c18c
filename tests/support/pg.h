/* A private PostgreSQL for component tests: its own directory, a Unix socket only, no fsync unless
 * asked for, as user `postgres` when the test runs as root. A keeper process owns the server: it
 * stops it and removes the directory when the test ends in whatever way, also by a crash.
 * Neighbours: every test that needs a database. One thread at a time per server. */
#ifndef MAGNUM_TESTS_PG_H
#define MAGNUM_TESTS_PG_H

#include <stdbool.h>
#include <sys/types.h>

struct pg;

/* Starts one; ready when it returns. Prints why and returns NULL when that is impossible.
 * durable: fsync on, as in production. extra: more lines for postgresql.conf, or NULL. */
struct pg *pg_start(bool durable, const char *extra);
/* For the database "magnum", which is made by pg_start and empty. Valid until pg_stop. */
const char *pg_conninfo(const struct pg *pg);
/* Makes a fresh database (dropping an old one) and returns its conninfo; caller frees. */
char *pg_new_database(struct pg *pg, const char *name);
/* Runs SQL in the database of this conninfo; first column of the first row as text, caller frees;
 * "" for none. Prints the server's message and returns NULL on an error. */
char *pg_query(const char *conninfo, const char *sql);
bool pg_exec(const char *conninfo, const char *sql);
/* A transaction that has done this and stands still, so that whoever meets its locks waits; NULL
 * when that failed. Ended, undone, by pg_let_go (NULL is fine). */
struct pg_hold *pg_hold(const char *conninfo, const char *statement);
void pg_let_go(struct pg_hold **hold);

pid_t pg_pid(const struct pg *pg); /* of the postmaster */
const char *pg_dir(const struct pg *pg);
/* SIGKILL to the postmaster and, by that, to its sessions; then a start on the same data. */
bool pg_kill(struct pg *pg);
bool pg_restart(struct pg *pg);
void pg_stop(struct pg **pg); /* NULL is fine */

#endif
