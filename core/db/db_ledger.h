/* The ledger of external resources, guarded by the operation's lease like every other write. */
#ifndef MAGNUM_DB_DB_LEDGER_H
#define MAGNUM_DB_DB_LEDGER_H

#include "db/db_operation.h"

int db_ledger_declare(struct db *db, const struct op_guard *g, const char *kind, const char *name,
                      const json_t *data, struct err *e) MUST_CHECK;
int db_ledger_confirm(struct db *db, const struct op_guard *g, const char *kind, const char *name,
                      const char *external_id, struct err *e) MUST_CHECK;
int db_ledger_drop(struct db *db, const struct op_guard *g, const char *kind, const char *name,
                   struct err *e) MUST_CHECK;
int db_ledger_list(struct db *db, const char *cluster_uuid, const char *kind,
                   struct ledger_entry_list *ret, struct err *e) MUST_CHECK;

#endif
