/* Cluster templates: own ones, public ones, hidden ones (api.md 9.2). */
#ifndef MAGNUM_DB_DB_TEMPLATE_H
#define MAGNUM_DB_DB_TEMPLATE_H

#include "db/db.h"

/* ident: uuid, name, or (int_id) the integer id tried first for digits-only text. */
int db_template_get(struct db *db, const struct db_scope *s, const char *ident, bool int_id,
                    struct template *ret, struct err *e) MUST_CHECK;
int db_template_list(struct db *db, const struct db_scope *s, const struct db_page *p,
                     struct template_list *ret, struct err *e) MUST_CHECK;
/* Fills id and created_at. Same uuid: ERR_EXISTS. */
int db_template_insert(struct db *db, struct template *t, struct err *e) MUST_CHECK;
/* Stores all columns but id, uuid, project_id, user_id, created_at; fills updated_at. */
int db_template_update(struct db *db, struct template *t, struct err *e) MUST_CHECK;
/* ERR_INVALID with Magnum's text when a cluster uses it (checked in the same transaction). */
int db_template_delete(struct db *db, const char *uuid, struct err *e) MUST_CHECK;
int db_template_referenced(struct db *db, const char *uuid, bool *ret, struct err *e) MUST_CHECK;

#endif
