/* See page_internal.h. */
#include "page_internal.h"

#include "base/uuid.h"

#include <pthread.h>
#include <string.h>

enum { INTERNED_MAX = 96 };

void page_query_done(struct page_query *q)
{
    str_free(&q->where);
    str_free(&q->order);
    param_done(&q->params);
}

void page_scope(struct page_query *q, const char *alias, const struct db_scope *s)
{
    if (s->all_projects) {
        str_append(&q->where, "true");
        return;
    }
    param_str(&q->params, s->project_id ? s->project_id : s->user_id);
    str_printf(&q->where, "%s.%s = $%d::text", alias, s->project_id ? "project_id" : "user_id",
               q->params.n);
}

static bool listed(const char *const *list, const char *s)
{
    for (; list && *list; list++)
        if (strcmp(*list, s) == 0)
            return true;
    return false;
}

static const char *sort_key(const struct db_page *p)
{
    return p && p->sort_key ? p->sort_key : "id";
}

/* json has no order: its text stands in. */
static char *sort_expr(const char *alias, const struct row_column *c)
{
    return str_fmt("%s.\"%s\"%s", alias, c->name, c->kind == KIND_JSON ? "::text" : "");
}

/* Statements that live as long as the process, by text, so that connections can prepare them.
 * NULL when there are too many already. */
static const struct sql_stmt *intern(const char *sql)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct sql_stmt stmts[INTERNED_MAX];
    static size_t n;
    const struct sql_stmt *found = NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; !found && i < n; i++)
        if (strcmp(stmts[i].sql, sql) == 0)
            found = &stmts[i];
    if (!found && n < INTERNED_MAX) {
        char *name = str_fmt("page_%zu", n), *copy = str_dup(sql);
        if (name && copy) {
            stmts[n] = (struct sql_stmt){name, copy};
            found = &stmts[n++];
        } else {
            free(name);
            free(copy);
        }
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* Orders that lists are asked for all the time; others are rare and not worth a plan that every
 * connection keeps. */
static bool usual(const struct db_page *p)
{
    static const char *const keys[] = {"id", "created_at", "name", "status", "updated_at", NULL};
    return listed(keys, sort_key(p));
}

/* The statement to run for the text: a kept one, or *once. */
static const struct sql_stmt *statement(const struct db_page *p, const char *sql,
                                        struct sql_stmt *once)
{
    const struct sql_stmt *kept = usual(p) ? intern(sql) : NULL;
    *once = (struct sql_stmt){NULL, sql};
    return kept ? kept : once;
}

/* The marker's row in the caller's scope: its id, and whether its sort value is NULL. */
static int find_marker(struct db *db, const struct page_source *src, const char *expr,
                       const struct db_page *p, struct page_query *q, int64_t *ret_id,
                       bool *ret_null, struct err *e)
{
    /* the scope's parameters, and the marker behind them for this one statement */
    struct sql_params *params = &q->params;
    char uuid[UUID_TEXT];
    param_str(params, uuid_like(p->marker, uuid) ? uuid : p->marker);
    _cleanup_free_ char *sql = str_fmt("SELECT %s.id, %s IS NULL FROM %s %s WHERE (%s) AND "
                                       "%s.%s::text = $%d::text",
                                       src->alias, expr, src->table, src->alias,
                                       str_text(&q->where), src->alias, src->marker, params->n);
    if (!sql)
        return err_nomem(e);
    struct sql_stmt once;
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, statement(p, sql, &once), params, &r, e);
    params->n--;
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "%s%s%s", src->missing_before, p->marker,
                       src->missing_after);
    *ret_id = row_int(r, 0, 0, 0);
    *ret_null = row_bool(r, 0, 1);
    return 0;
}

/* Rows behind the marker in the order that page_apply writes. */
static void put_keyset(const struct page_source *src, const char *expr, bool by_id, bool nullable,
                       bool desc, bool marker_null, int64_t marker_id, struct page_query *q)
{
    const char *a = src->alias, *cmp = desc ? "<" : ">";
    param_int(&q->params, marker_id);
    int id = q->params.n;
    if (by_id)
        str_printf(&q->where, " AND %s.id %s $%d::bigint", a, cmp, id);
    else if (marker_null && desc)
        str_printf(&q->where, " AND %s IS NULL AND %s.id < $%d::bigint", expr, a, id);
    else if (marker_null)
        str_printf(&q->where, " AND (%s IS NOT NULL OR %s.id > $%d::bigint)", expr, a, id);
    else
        str_printf(&q->where,
                   " AND ((%s, %s.id) %s ((SELECT %s FROM %s %s WHERE %s.id = $%d::bigint), "
                   "$%d::bigint)%s%s%s)",
                   expr, a, cmp, expr, src->table, a, a, id, id, desc && nullable ? " OR " : "",
                   desc && nullable ? expr : "", desc && nullable ? " IS NULL" : "");
}

int page_apply(struct db *db, const struct page_source *src, const struct db_page *p,
               struct page_query *q, struct err *e)
{
    const char *key = sort_key(p);
    const struct row_column *c = row_find(src->entity, key);
    if (!c || listed(src->unsortable, key))
        return err_set(e, ERR_INVALID, "The sort_key value \"%s\" is an invalid field for sorting",
                       key);
    bool by_id = strcmp(key, "id") == 0, desc = p && p->desc;
    bool nullable = !by_id && !listed(src->not_null, key);
    _cleanup_free_ char *expr = sort_expr(src->alias, c);
    if (!expr)
        return err_nomem(e);
    if (p && p->marker) {
        int64_t marker_id = 0;
        bool marker_null = false;
        int rc = find_marker(db, src, expr, p, q, &marker_id, &marker_null, e);
        if (rc)
            return rc;
        put_keyset(src, expr, by_id, nullable, desc, marker_null, marker_id, q);
    }
    const char *dir = desc ? "DESC" : "ASC";
    if (!by_id)
        str_printf(&q->order, "%s %s%s, ", expr, dir,
                   !nullable ? ""
                   : desc    ? " NULLS LAST"
                             : " NULLS FIRST");
    str_printf(&q->order, "%s.id %s", src->alias, dir);
    return 0;
}

/* Appended, not formatted: it is long, and made for every page. */
static char *page_statement(const struct page_source *src, const struct page_query *q,
                            const char *columns)
{
    const char *const parts[] = {
        "SELECT ",  columns,   " FROM (SELECT * FROM ", src->table,   " ",
        src->alias, " WHERE ", str_text(&q->where),     " ORDER BY ", str_text(&q->order),
        " LIMIT $"};
    struct str sql = STR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        str_append(&sql, parts[i]);
    str_printf(&sql, "%d::bigint) %s", q->params.n, src->alias);
    str_append(&sql, q->join);
    str_append(&sql, " ORDER BY ");
    str_append(&sql, str_text(&q->order));
    return str_take(&sql);
}

int page_run(struct db *db, const struct page_source *src, const struct db_page *p,
             struct page_query *q, const char *columns, PGresult **ret, struct err *e)
{
    param_int(&q->params, p && p->limit > 0 ? p->limit : MODEL_UNSET);
    _cleanup_free_ char *sql = page_statement(src, q, columns);
    if (!sql || q->where.oom || q->order.oom)
        return err_nomem(e);
    struct sql_stmt once;
    return sql_read(db, statement(p, sql, &once), &q->params, ret, e);
}
