/* What a cluster's row knows of its trustee and trust in Keystone. Every write is guarded by the
 * operation's lease (db_operation.h). Neighbours: conductor/trust.c. */
#ifndef MAGNUM_DB_DB_TRUST_H
#define MAGNUM_DB_DB_TRUST_H

#include "db/db_operation.h"

/* Before anything is made in Keystone: what the trustee is called, and its password, sealed. */
int db_trust_intend(struct db *db, const struct op_guard *g, const char *username,
                    const char *password_sealed, struct err *e) MUST_CHECK;
/* Both are made: the ids. The token of who asked goes away in the same transaction. */
int db_trust_made(struct db *db, const struct op_guard *g, const char *user_id,
                  const char *trust_id, struct err *e) MUST_CHECK;
/* Both are gone. */
int db_trust_gone(struct db *db, const struct op_guard *g, struct err *e) MUST_CHECK;

#endif
