/* What both ways of accepting share: idempotency, the operation with its first event. */
#ifndef MAGNUM_DB_ACCEPT_INTERNAL_H
#define MAGNUM_DB_ACCEPT_INTERNAL_H

#include "db/db_accept.h"
#include "wanted_internal.h"

/* Claims the key for `resource`, or sets idem->replayed with the first answer's resource.
 * idem may be NULL. Another request under the same key waits here until the first one ends. */
int accept_claim(struct sql_tx *tx, const char *project_id, const char *resource,
                 struct db_idempotency *idem, struct err *e) MUST_CHECK;
/* A fresh uuid into *member unless it has one. */
int accept_uuid(char **member, struct err *e) MUST_CHECK;
int accept_set(char **member, const char *value, struct err *e) MUST_CHECK;
/* Inserts the operation (due at `now`, PENDING) and the event "accepted"; fills created_at. */
int accept_operation(struct sql_tx *tx, struct operation *op, int64_t now,
                     struct err *e) MUST_CHECK;
/* Inserts a group, unset counts and role by default; fills id and created_at. A taken name is
 * ERR_EXISTS with Magnum's text. */
int accept_nodegroup(struct sql_tx *tx, struct nodegroup *n, const char *cluster_name,
                     struct err *e) MUST_CHECK;
/* The template may not be deleted before this transaction ends; *ret_now is the server's time. */
int accept_lock_template(struct sql_tx *tx, const char *uuid, int64_t *ret_now,
                         struct err *e) MUST_CHECK;

#endif
