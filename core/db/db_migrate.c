/* See db_migrate.h. A migration's first line is "-- compatible-with: N": programs that know at
 * least revision N can work on the schema it makes, so that a database may be migrated before the
 * last old process is gone. */
#include "db/db_migrate.h"

#include "base/clock.h"
#include "migrate_internal.h"
#include "sql_internal.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* "magnumdb": the advisory lock of everything that changes the schema. */
#define LOCK_KEY "7881708054302876770"
/* How long a starter waits for another one's migration. */
#define LOCK_WAIT "SET lock_timeout = '120s'; SET statement_timeout = 0;"
enum { TABLE_WAIT_MS = 120000, FIRST_WAIT_MS = 20, LAST_WAIT_MS = 200 };

static const char make_table[] =
    "CREATE TABLE IF NOT EXISTS schema_migration ("
    "number integer PRIMARY KEY, name text NOT NULL, compatible integer NOT NULL,"
    "applied_at timestamptz NOT NULL DEFAULT now())";

static int newest(void)
{
    return migrations[migration_count - 1].number;
}

static int compatible_with(const struct migration *m)
{
    int n = m->number;
    return sscanf(m->sql, "-- compatible-with: %d", &n) == 1 ? n : m->number;
}

/* Revision of the schema (0 = none) and the oldest program revision it is made for. */
static int read_version(struct conn *c, int *ret, int *ret_compatible, struct err *e)
{
    static const struct sql_stmt exists = {NULL,
                                           "SELECT to_regclass('schema_migration') IS NOT NULL"};
    static const struct sql_stmt last = {
        NULL, "SELECT number, compatible FROM schema_migration ORDER BY number DESC LIMIT 1"};
    _cleanup_result_ PGresult *there = NULL, *r = NULL;
    int rc = conn_run(c, &exists, NULL, &there, e);
    if (rc)
        return rc;
    *ret = *ret_compatible = 0;
    if (!row_bool(there, 0, 0))
        return 0;
    rc = conn_run(c, &last, NULL, &r, e);
    if (rc || PQntuples(r) == 0)
        return rc;
    *ret = (int)row_int(r, 0, 0, 0);
    *ret_compatible = (int)row_int(r, 0, 1, 0);
    return 0;
}

/* A connection of its own settings under the lock; given back it is closed, which unlocks. */
static int take_locked(struct db *db, struct conn **ret, struct err *e)
{
    struct conn *c = NULL;
    int rc = pool_take(db, &c, e);
    if (rc)
        return rc;
    c->timeout_ms = 0;
    rc = conn_script(c, LOCK_WAIT "SELECT pg_advisory_lock(" LOCK_KEY ")", e);
    if (!rc)
        rc = conn_script(c, make_table, e);
    if (rc) {
        c->broken = true;
        pool_give(db, c);
        return rc == ERR_TIMEOUT ? err_set(e, rc, "another migration of this database is running")
                                 : rc;
    }
    *ret = c;
    return 0;
}

static void give_locked(struct db *db, struct conn *c)
{
    c->broken = true;
    pool_give(db, c);
}

static int record(struct conn *c, const struct migration *m, struct err *e)
{
    static const struct sql_stmt insert = {
        NULL, "INSERT INTO schema_migration (number, name, compatible) "
              "VALUES ($1::integer, $2, $3::integer) ON CONFLICT (number) DO NOTHING"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, m->number);
    param_str(&p, m->name);
    param_int(&p, compatible_with(m));
    return conn_run(c, &insert, &p, &r, e);
}

/* --- beside running services --- */

/* Appends the names behind each `token` of the SQL text, quoted, separated by commas. */
static void names_after(const char *sql, const char *token, struct str *ret)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    for (const char *s = sql; (s = strstr(s, token)) != NULL;) {
        s += strlen(token);
        size_t n = strspn(s, letters);
        if (n)
            str_printf(ret, "%s'%.*s'", ret->len ? "," : "", (int)n, s);
    }
}

/* All tables that this revision changes, at once and before it changes the first: who holds a lock
 * on one and waits for another would else be in a deadlock with it. */
static int lock_tables(struct conn *c, const struct migration *m, struct err *e)
{
    _cleanup_str_ struct str names = STR_INIT, sql = STR_INIT;
    names_after(m->sql, "ALTER TABLE ", &names);
    names_after(m->sql, " ON ", &names);
    names_after(m->sql, "REFERENCES ", &names);
    if (!names.len && !names.oom)
        return 0;
    str_printf(&sql,
               "DO $$ DECLARE t text; BEGIN FOR t IN SELECT DISTINCT n FROM unnest(ARRAY[%s]) n"
               " WHERE to_regclass(n) IS NOT NULL ORDER BY n LOOP EXECUTE format("
               "'LOCK TABLE %%I IN ACCESS EXCLUSIVE MODE', t); END LOOP; END $$",
               str_text(&names));
    return names.oom || sql.oom ? err_nomem(e) : conn_script(c, str_text(&sql), e);
}

static int attempt(struct conn *c, const struct migration *m, int wait_ms, struct err *e)
{
    char begin[64];
    snprintf(begin, sizeof begin, "BEGIN; SET LOCAL lock_timeout = %d", wait_ms);
    int rc = conn_script(c, begin, e);
    if (!rc)
        rc = lock_tables(c, m, e);
    if (!rc)
        rc = conn_script(c, m->sql, e);
    if (!rc)
        rc = record(c, m, e);
    return rc ? rc : conn_script(c, "COMMIT", e);
}

/* Whoever comes while it waits for a table waits behind it, so it waits briefly, lets them pass,
 * and tries again: a long transaction (a dump, say) holds up the migration and nobody else. The
 * waits of one attempt stay below the second after which a server looks for deadlocks, and ends the
 * transaction that waited for so long. */
static int apply(struct conn *c, const struct migration *m, struct err *e)
{
    int64_t until = clock_mono_ms() + TABLE_WAIT_MS;
    int wait_ms = FIRST_WAIT_MS, rc;
    while ((rc = attempt(c, m, wait_ms, e)) == ERR_TIMEOUT || rc == ERR_BUSY) {
        if (clock_mono_ms() >= until) {
            err_set(e, rc, "other transactions use its tables all the time: %s", c->detail);
            break;
        }
        rc = conn_script(c, "ROLLBACK", e);
        if (rc)
            break;
        (void)poll(NULL, 0, 2 * wait_ms);
        wait_ms = wait_ms * 3 / 2 < LAST_WAIT_MS ? wait_ms * 3 / 2 : LAST_WAIT_MS;
    }
    if (rc == ERR_INTERNAL || rc == ERR_EXISTS || rc == ERR_CONFIG)
        err_set(e, rc, "%s", c->detail);
    if (rc)
        err_wrap(e, "revision %s", m->name);
    return rc; /* after a failure the connection is closed, which rolls back */
}

int db_migrate_upgrade(struct db *db, int to, int *ret_applied, struct err *e)
{
    if (to == 0)
        to = newest();
    if (to < 0 || to > newest())
        return err_set(e, ERR_INVALID, "there is no revision %d; the newest is %d", to, newest());
    struct conn *c = NULL;
    int rc = take_locked(db, &c, e), at = 0, compatible, applied = 0;
    if (rc)
        return rc;
    rc = read_version(c, &at, &compatible, e);
    if (!rc && to < at && to != newest())
        rc = err_set(e, ERR_INVALID, "the schema is at revision %d already; it can't go back to %d",
                     at, to);
    for (int i = 0; !rc && i < migration_count; i++) {
        if (migrations[i].number <= at || migrations[i].number > to)
            continue;
        rc = apply(c, &migrations[i], e);
        applied += !rc;
    }
    give_locked(db, c);
    if (!rc && ret_applied)
        *ret_applied = applied;
    return rc;
}

int db_migrate_version(struct db *db, int *ret, struct err *e)
{
    struct conn *c = NULL;
    int rc = pool_take(db, &c, e), compatible;
    if (rc)
        return rc;
    rc = read_version(c, ret, &compatible, e);
    pool_give(db, c);
    return rc;
}

int db_migrate_stamp(struct db *db, int number, struct err *e)
{
    if (number < 0 || number > newest())
        return err_set(e, ERR_INVALID, "there is no revision %d; the newest is %d", number,
                       newest());
    struct conn *c = NULL;
    int rc = take_locked(db, &c, e);
    if (rc)
        return rc;
    rc = conn_script(c, "BEGIN; DELETE FROM schema_migration", e);
    for (int i = 0; !rc && i < migration_count; i++)
        if (migrations[i].number <= number)
            rc = record(c, &migrations[i], e);
    if (!rc)
        rc = conn_script(c, "COMMIT", e);
    give_locked(db, c);
    return rc;
}

int db_migrate_list(struct db *db, struct db_revision **ret, size_t *n, struct err *e)
{
    int at = 0;
    int rc = db_migrate_version(db, &at, e);
    if (rc)
        return rc;
    struct db_revision *v = calloc((size_t)migration_count, sizeof *v);
    if (!v)
        return err_nomem(e);
    for (int i = 0; i < migration_count; i++)
        v[i] = (struct db_revision){migrations[i].number, migrations[i].name,
                                    migrations[i].number <= at};
    *ret = v;
    *n = (size_t)migration_count;
    return 0;
}

int db_schema_check(struct db *db, struct err *e)
{
    struct conn *c = NULL;
    int rc = pool_take(db, &c, e), at = 0, compatible = 0;
    if (rc)
        return rc;
    rc = read_version(c, &at, &compatible, e);
    pool_give(db, c);
    if (rc)
        return rc;
    if (at == 0)
        return err_set(e, ERR_CONFIG, "the database has no schema: run magnum-db-manage upgrade");
    if (at < newest())
        return err_set(e, ERR_CONFIG,
                       "the database schema is at revision %d, this program needs %d: run "
                       "magnum-db-manage upgrade",
                       at, newest());
    if (compatible > newest())
        return err_set(e, ERR_CONFIG,
                       "the database schema is at revision %d, which needs a newer program than "
                       "this one (revision %d)",
                       at, newest());
    return 0;
}
