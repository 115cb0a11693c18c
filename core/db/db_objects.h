/* The objects of the first Magnum: those that live in clusters (coe_object: pods, services,
 * replication controllers, containers) and nodes, which are records only. A caller sees those of
 * its project, as with clusters. Texts of ERR_NOT_FOUND, ERR_EXISTS and ERR_CONFLICT are Magnum's.
 */
#ifndef MAGNUM_DB_DB_OBJECTS_H
#define MAGNUM_DB_DB_OBJECTS_H

#include "db/db.h"

/* ident: uuid, or exact name. */
int db_object_get(struct db *db, const struct db_scope *s, const char *kind, const char *ident,
                  struct coe_object *ret, struct err *e) MUST_CHECK;
/* cluster: uuid, or NULL for all clusters. */
int db_object_list(struct db *db, const struct db_scope *s, const char *kind, const char *cluster,
                   const struct db_page *p, struct coe_object_list *ret, struct err *e) MUST_CHECK;
/* Fills id and created_at. ERR_NOT_FOUND: the cluster is gone. */
int db_object_insert(struct db *db, struct coe_object *o, struct err *e) MUST_CHECK;
/* Stores all but identity and ownership. ERR_NOT_FOUND: the row is gone. */
int db_object_update(struct db *db, const struct coe_object *o, struct err *e) MUST_CHECK;
/* Gone already is fine. */
int db_object_delete(struct db *db, const char *uuid, struct err *e) MUST_CHECK;

int db_node_get(struct db *db, const struct db_scope *s, const char *uuid, struct node *ret,
                struct err *e) MUST_CHECK;
int db_node_list(struct db *db, const struct db_scope *s, const struct db_page *p,
                 struct node_list *ret, struct err *e) MUST_CHECK;
/* Fills id and created_at. */
int db_node_insert(struct db *db, struct node *n, struct err *e) MUST_CHECK;
int db_node_update(struct db *db, struct node *n, struct err *e) MUST_CHECK;
int db_node_delete(struct db *db, const char *uuid, struct err *e) MUST_CHECK;

#endif
