/* Clusters for the REST API: one statement, its rows borrowed as they are. What the statement
 * leaves out is what makes it quick: lists have no addresses and no labels of templates. See
 * db_cluster.h, model/cluster_shown.h. */
#include "base/uuid.h"
#include "cluster_internal.h"
#include "db/db_cluster.h"
#include "page_internal.h"

#include <string.h>

#define MASTER "g.role = 'master'"
#define OTHERS "g.role <> 'master'"
#define SUM_OF(which) "sum(CASE WHEN " which " THEN g.node_count END)::bigint"
/* ["a", "b"] and ["c"] become "a", "b","c" */
#define ITEMS_OF(which)                                                                            \
    "string_agg(CASE WHEN " which " THEN nullif(btrim(g.node_addresses::text, '[] '), '') END, "   \
    "',')"

#define COUNTS                                                                                     \
    " LEFT JOIN LATERAL (SELECT " SUM_OF(OTHERS) " AS nodes, " SUM_OF(                             \
        MASTER) " AS masters"                                                                      \
                " FROM nodegroup g WHERE g.cluster_id = c.uuid) d ON true"
#define COUNTS_AND_ITEMS                                                                           \
    " LEFT JOIN LATERAL (SELECT " SUM_OF(OTHERS) " AS nodes, " SUM_OF(                             \
        MASTER) " AS masters, " ITEMS_OF(OTHERS) " AS node_items, " ITEMS_OF(MASTER) " AS "        \
                                                                                     "master_"     \
                                                                                     "items FROM " \
                                                                                     "(SELECT "    \
                                                                                     "n.role,"     \
                                                                                     " n.node_"    \
                                                                                     "count, "     \
                                                                                     "n.node_"     \
                                                                                     "addresses "  \
                                                                                     "FROM "       \
                                                                                     "nodegroup "  \
                                                                                     "n WHERE "    \
                                                                                     "n.cluster_"  \
                                                                                     "id = "       \
                                                                                     "c.uuid "     \
                                                                                     "ORDER BY "   \
                                                                                     "n.id)"       \
                                                                                     " g) d ON "   \
                                                                                     "true"
#define LISTED "{c.cluster_listed}, d.nodes, d.masters"
#define SHOWN                                                                                      \
    "{c.cluster_shown}, d.nodes, d.masters, d.node_items, d.master_items,"                         \
    " (SELECT t.labels FROM cluster_template t WHERE t.uuid = c.cluster_template_id),"             \
    " CASE WHEN c.status LIKE '%FAILED' THEN (SELECT json_object_agg(g.name, g.status_reason"      \
    " ORDER BY g.id) FROM nodegroup g WHERE g.cluster_id = c.uuid AND g.status LIKE '%FAILED') "   \
    "END"

void cluster_page_done(struct cluster_page *p)
{
    PQclear(p->rows);
    free(p->v);
    *p = (struct cluster_page)CLUSTER_PAGE_INIT;
}

static void read_shown(const PGresult *r, int row, bool full, struct cluster_shown *c)
{
    const struct row_entity *t = full ? &row_cluster_shown : &row_cluster_listed;
    int col = t->n;
    row_borrow(r, row, 0, t, c);
    c->node_count = row_int(r, row, col++, 0);
    c->master_count = row_int(r, row, col++, 0);
    if (!full)
        return;
    c->node_addresses = row_str(r, row, col++);
    c->master_addresses = row_str(r, row, col++);
    c->template_labels = row_str(r, row, col++);
    c->faults = row_str(r, row, col);
}

/* Takes the rows. */
static int read_page(PGresult *rows, bool full, struct cluster_page *ret, struct err *e)
{
    int n = PQntuples(rows);
    struct cluster_page p = {.rows = rows, .v = calloc((size_t)n + 1, sizeof *p.v), .n = (size_t)n};
    if (!p.v) {
        cluster_page_done(&p);
        return err_nomem(e);
    }
    for (int i = 0; i < n; i++)
        read_shown(rows, i, full, &p.v[i]);
    cluster_page_done(ret);
    *ret = p;
    return 0;
}

int db_cluster_list(struct db *db, const struct db_scope *s, const struct db_page *p, bool full,
                    struct cluster_page *ret, struct err *e)
{
    _cleanup_(page_query_done) struct page_query q = PAGE_QUERY_INIT;
    _cleanup_result_ PGresult *r = NULL;
    page_scope(&q, "c", s);
    int rc = page_apply(db, &cluster_source, p, &q, e);
    q.join = full ? COUNTS_AND_ITEMS : COUNTS;
    if (!rc)
        rc = page_run(db, &cluster_source, p, &q, full ? SHOWN : LISTED, &r, e);
    return rc ? rc : read_page(TAKE_PTR(r), full, ret, e);
}

int db_cluster_show(struct db *db, const struct db_scope *s, const char *ident,
                    struct cluster_page *ret, struct err *e)
{
    static const struct sql_stmt by_uuid = {"cluster_shown_by_uuid",
                                            "SELECT " SHOWN " FROM cluster c" COUNTS_AND_ITEMS
                                            " WHERE c.uuid = $1 AND " SCOPE_MATCH("c")};
    static const struct sql_stmt by_name = {"cluster_shown_by_name",
                                            "SELECT " SHOWN " FROM cluster c" COUNTS_AND_ITEMS
                                            " WHERE c.name = $1 AND " SCOPE_MATCH("c") " LIMIT 2"};
    static const struct sql_stmt by_case = {
        "cluster_shown_by_case",
        "SELECT " SHOWN " FROM cluster c" COUNTS_AND_ITEMS
        " WHERE lower(c.name) = lower($1::text) AND " SCOPE_MATCH("c") " LIMIT 2"};
    char uuid[UUID_TEXT];
    bool is_uuid = uuid_like(ident, uuid);
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, is_uuid ? uuid : ident);
    scope_params(&p, s);
    int rc = sql_read(db, is_uuid ? &by_uuid : &by_name, &p, &r, e);
    if (!rc && !is_uuid && s->any_case && PQntuples(r) == 0) {
        result_free(&r);
        rc = sql_read(db, &by_case, &p, &r, e);
    }
    if (!rc)
        rc = cluster_only_one(PQntuples(r), ident, e);
    return rc ? rc : read_page(TAKE_PTR(r), true, ret, e);
}
