/* Lists: scope, sort key and keyset of api.md 5.2 as SQL. Unset values sort before all others
 * (first ascending, last descending), ties are broken by id in the same direction. A page begins
 * behind the marker's values, not after N skipped rows, so its cost does not grow with the offset.
 */
#ifndef MAGNUM_DB_PAGE_INTERNAL_H
#define MAGNUM_DB_PAGE_INTERNAL_H

#include "sql_internal.h"

struct page_source {
    const char *table, *alias;
    const struct row_entity *entity;
    const char *marker;                         /* column the marker names */
    const char *missing_before, *missing_after; /* text around an unknown marker */
    const char *const *not_null;   /* NULL-terminated: nullable columns cost an index */
    const char *const *unsortable; /* NULL-terminated, may be NULL: secrets */
};

/* A list under construction: `where` and `params` hold the scope, set by the caller. */
struct page_query {
    struct str where, order;
    struct sql_params params;
    const char *join; /* more of FROM, behind the page's rows; NULL: nothing */
};
#define PAGE_QUERY_INIT                                                                            \
    {                                                                                              \
        .where = STR_INIT, .order = STR_INIT, .params = {.n = 0}, .join = NULL                     \
    }
void page_query_done(struct page_query *q);

/* Appends the rows the scope allows (cluster, operation: own project, or own user). */
void page_scope(struct page_query *q, const char *alias, const struct db_scope *s);
/* Appends the keyset to `where` and fills `order` ("ORDER BY ... LIMIT $n" and the bare order).
 * p NULL: everything by id. Looks the marker up: NOT_FOUND. */
int page_apply(struct db *db, const struct page_source *src, const struct db_page *p,
               struct page_query *q, struct err *e) MUST_CHECK;
/* Runs "SELECT <columns> FROM (SELECT * FROM table WHERE ... LIMIT n) alias ORDER BY ...";
 * prepared when its order is a usual one. */
int page_run(struct db *db, const struct page_source *src, const struct db_page *p,
             struct page_query *q, const char *columns, PGresult **ret, struct err *e) MUST_CHECK;

#endif
