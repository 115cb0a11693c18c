/* Reading clusters with their derived members; shared by the lists and the observation queue. */
#ifndef MAGNUM_DB_CLUSTER_INTERNAL_H
#define MAGNUM_DB_CLUSTER_INTERNAL_H

#include "sql_internal.h"

/* Two columns that follow {c.cluster}: groups and template labels. */
#define CLUSTER_DERIVED                                                                            \
    "(SELECT json_agg(json_build_array(g.name, g.role, g.node_count, g.node_addresses, g.status,"  \
    " g.status_reason) ORDER BY g.id) FROM nodegroup g WHERE g.cluster_id = c.uuid),"              \
    " (SELECT t.labels FROM cluster_template t WHERE t.uuid = c.cluster_template_id)"

/* Parameters $2..$4 as scope_params appends them: is the row visible? */
#define SCOPE_MATCH(alias)                                                                         \
    "($2::boolean OR " alias ".project_id = $3::text OR ($3::text IS NULL AND " alias              \
    ".user_id = $4::text))"
void scope_params(struct sql_params *p, const struct db_scope *s);

/* The page source of clusters, for lists. */
extern const struct page_source cluster_source;
/* How many rows an ident found: NOT_FOUND, CONFLICT, or one. */
int cluster_only_one(int rows, const char *ident, struct err *e) MUST_CHECK;

int cluster_read(const PGresult *r, int row, int first, struct cluster *c,
                 struct err *e) MUST_CHECK;
int cluster_read_list(const PGresult *r, int first, struct cluster_list *ret,
                      struct err *e) MUST_CHECK;

#endif
