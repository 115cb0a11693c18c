/* Reading clusters and nodegroups. Texts of NOT_FOUND and CONFLICT are Magnum's own. */
#ifndef MAGNUM_DB_DB_CLUSTER_H
#define MAGNUM_DB_DB_CLUSTER_H

#include "db/db.h"
#include "model/cluster_shown.h"

/* ident: uuid-like -> by uuid, else by exact name (several: ERR_CONFLICT). Fills the derived
 * members (counts, addresses, template_labels, faults) in the same statement: one round trip. *ret
 * must be initialised; on failure it is unchanged. */
int db_cluster_get(struct db *db, const struct db_scope *s, const char *ident, struct cluster *ret,
                   struct err *e) MUST_CHECK;
/* For the API, in one statement whatever the number of rows: a page (full: with the columns and
 * derived members that a list leaves out), or the one cluster (full), found as db_cluster_get does.
 * *ret is replaced; on failure it is unchanged. */
int db_cluster_list(struct db *db, const struct db_scope *s, const struct db_page *p, bool full,
                    struct cluster_page *ret, struct err *e) MUST_CHECK;
int db_cluster_show(struct db *db, const struct db_scope *s, const char *ident,
                    struct cluster_page *ret, struct err *e) MUST_CHECK;
void cluster_page_done(struct cluster_page *p);
/* stats: clusters and nodes (masters included) of a project, or of all when project is NULL. */
int db_cluster_stats(struct db *db, const char *project_id, int64_t *clusters, int64_t *nodes,
                     struct err *e) MUST_CHECK;

/* ident inside the cluster: uuid or name; NULL = the default worker group. */
int db_nodegroup_get(struct db *db, const char *cluster_uuid, const char *ident,
                     struct nodegroup *ret, struct err *e) MUST_CHECK;
/* role NULL = all. p NULL = all rows by id. */
int db_nodegroup_list(struct db *db, const char *cluster_uuid, const char *role,
                      const struct db_page *p, struct nodegroup_list *ret,
                      struct err *e) MUST_CHECK;

#endif
