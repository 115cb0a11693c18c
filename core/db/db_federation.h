/* Federations: names for groups of a project's clusters. They are records only; nothing acts on
 * them. A caller sees those of its project. */
#ifndef MAGNUM_DB_DB_FEDERATION_H
#define MAGNUM_DB_DB_FEDERATION_H

#include "db/db.h"

/* ident: uuid or exact name. Texts of ERR_NOT_FOUND and ERR_CONFLICT are Magnum's. */
int db_federation_get(struct db *db, const char *project_id, const char *ident,
                      struct federation *ret, struct err *e) MUST_CHECK;
int db_federation_list(struct db *db, const char *project_id, const struct db_page *p,
                       struct federation_list *ret, struct err *e) MUST_CHECK;
/* Fills id and created_at. */
int db_federation_insert(struct db *db, struct federation *f, struct err *e) MUST_CHECK;
/* Stores members, properties and status of f as read before, and fills updated_at. ERR_CONFLICT
 * when somebody else has changed it since. */
int db_federation_update(struct db *db, struct federation *f, struct err *e) MUST_CHECK;
int db_federation_delete(struct db *db, const char *uuid, struct err *e) MUST_CHECK;

#endif
