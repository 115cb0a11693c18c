/* What the conductors know of the backends' endpoints: rows that their circuit breakers write when
 * they change (conductor/breaker.c) and magnum-driver-manage shows. */
#ifndef MAGNUM_DB_DB_BACKEND_H
#define MAGNUM_DB_DB_BACKEND_H

#include "db/db.h"

/* state: "closed", "open" or "half-open"; closed removes the row. */
int db_backend_set(struct db *db, const char *instance, const char *endpoint, const char *state,
                   int64_t failures, const char *reason, struct err *e) MUST_CHECK;
/* [{host, endpoint, state, failures, reason, since}] of conductors that are still there. */
int db_backend_list(struct db *db, json_t **ret, struct err *e) MUST_CHECK;
/* Removes the rows of conductors that are gone. */
int db_backend_trim(struct db *db, struct err *e) MUST_CHECK;

#endif
