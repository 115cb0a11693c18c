/* db_migrate_check: the migrations are run once more in a scratch schema of a transaction that is
 * rolled back, and the catalogs of both schemas are compared: tables, columns, constraints,
 * indexes and triggers. So nobody has to keep a second description of the schema. */
#include "db/db_migrate.h"

#include "migrate_internal.h"
#include "sql_internal.h"

/* One line per object of a schema: what it is, its table, its name and its definition. */
#define OBJECTS(schema)                                                                            \
    "SELECT 'table' AS kind, c.relname::text AS rel, '' AS name,"                                  \
    " 'options ' || coalesce(array_to_string(c.reloptions, ','), 'none') AS def"                   \
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"                               \
    " WHERE n.nspname = " schema " AND c.relkind = 'r' "                                           \
    "UNION ALL "                                                                                   \
    "SELECT 'column', c.relname, a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),"  \
    " (SELECT 'collate ' || l.collname FROM pg_collation l WHERE l.oid = a.attcollation),"         \
    " CASE WHEN a.attnotnull THEN 'not null' END,"                                                 \
    " CASE WHEN a.attidentity <> '' THEN 'identity ' || a.attidentity::text END,"                  \
    " (SELECT 'default ' || pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d"                     \
    " WHERE d.adrelid = c.oid AND d.adnum = a.attnum))"                                            \
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"                               \
    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"           \
    " WHERE n.nspname = " schema " AND c.relkind = 'r' "                                           \
    "UNION ALL "                                                                                   \
    "SELECT 'constraint', c.relname, k.conname,"                                                   \
    " replace(pg_get_constraintdef(k.oid), quote_ident(n.nspname) || '.', '')"                     \
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"                               \
    " JOIN pg_constraint k ON k.conrelid = c.oid WHERE n.nspname = " schema " "                    \
    "UNION ALL "                                                                                   \
    "SELECT 'index', c.relname, x.relname,"                                                        \
    " replace(pg_get_indexdef(x.oid), quote_ident(n.nspname) || '.', '')"                          \
    " || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END"                                     \
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"                               \
    " JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid"               \
    " WHERE n.nspname = " schema " AND c.relkind = 'r' "                                           \
    "UNION ALL "                                                                                   \
    "SELECT 'trigger', c.relname, t.tgname, pg_get_triggerdef(t.oid)"                              \
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"                               \
    " JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal"                               \
    " WHERE n.nspname = " schema

/* $1 the real schema, $2 the scratch one. Tables that no migration made are not ours. */
static const struct sql_stmt difference = {
    NULL,
    "WITH wanted AS (" OBJECTS("$2") "), found AS (" OBJECTS(
        "$1") ") "
              "SELECT coalesce(w.kind, f.kind), coalesce(w.rel, f.rel), coalesce(w.name, f.name),"
              " w.def, f.def FROM wanted w FULL JOIN found f USING (kind, rel, name)"
              " WHERE w.def IS DISTINCT FROM f.def"
              " AND coalesce(w.rel, f.rel) IN (SELECT rel FROM wanted)"
              " ORDER BY coalesce(w.kind, f.kind) <> 'table', 2, 1, 3 LIMIT 1"};

static int report(const PGresult *r, struct err *e)
{
    if (PQntuples(r) == 0)
        return 0;
    const char *kind = row_str(r, 0, 0), *rel = row_str(r, 0, 1), *name = row_str(r, 0, 2);
    const char *wanted = row_str(r, 0, 3), *found = row_str(r, 0, 4);
    const char *dot = *name ? "." : "";
    if (!found)
        return err_set(e, ERR_CONFIG, "%s %s%s%s is missing", kind, rel, dot, name);
    if (!wanted)
        return err_set(e, ERR_CONFIG, "%s %s%s%s was added by hand: %s", kind, rel, dot, name,
                       found);
    return err_set(e, ERR_CONFIG, "%s %s%s%s is \"%s\", must be \"%s\"", kind, rel, dot, name,
                   found, wanted);
}

static int compare(struct sql_tx *tx, struct err *e)
{
    static const struct sql_stmt names = {
        NULL, "SELECT current_schema()::text, 'magnum_check_' || pg_backend_pid()"};
    _cleanup_result_ PGresult *schemas = NULL, *diff = NULL;
    int rc = tx_run(tx, &names, NULL, &schemas, e);
    if (rc)
        return rc;
    const char *real = row_str(schemas, 0, 0), *scratch = row_str(schemas, 0, 1);
    _cleanup_free_ char *begin =
        str_fmt("CREATE SCHEMA %s; SET LOCAL search_path = %s", scratch, scratch);
    if (!begin)
        return err_nomem(e);
    rc = conn_script(tx->conn, begin, e);
    for (int i = 0; !rc && i < migration_count; i++)
        rc = conn_script(tx->conn, migrations[i].sql, e);
    if (rc)
        return err_wrap(e, "build the schema for comparison");
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, real);
    param_str(&p, scratch);
    rc = tx_run(tx, &difference, &p, &diff, e);
    return rc ? rc : report(diff, e);
}

int db_migrate_check(struct db *db, struct err *e)
{
    int rc = db_schema_check(db, e), at = 0;
    if (!rc)
        rc = db_migrate_version(db, &at, e);
    if (rc)
        return rc;
    if (at > migrations[migration_count - 1].number)
        return err_set(e, ERR_CONFIG,
                       "the schema is at revision %d, newer than this program's %d: check with the "
                       "newer one",
                       at, migrations[migration_count - 1].number);
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    rc = tx_begin(db, &tx, e);
    return rc ? rc : compare(&tx, e);
}
