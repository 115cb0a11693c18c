/* What db_driver*.c share: decisions about drivers with their events, and which version is the
 * current one. */
#ifndef MAGNUM_DB_DRIVER_INTERNAL_H
#define MAGNUM_DB_DRIVER_INTERNAL_H

#include "db/db_driver.h"
#include "sql_internal.h"

#define ISO(column)                                                                                \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"

/* Of several versions d of a driver the first is for new clusters: the chosen one, else the file
 * that was enabled, else the highest. n: its row of driver_enablement, or NULLs. */
#define CURRENT_FIRST                                                                              \
    "(d.version IS NOT DISTINCT FROM n.version) DESC,"                                             \
    " (d.sha256 IS NOT DISTINCT FROM n.sha256) DESC, d.version_key DESC, d.updated_at DESC,"       \
    " d.instance"

struct driver_note {
    const char *id, *version, *event, *detail, *by;
};
/* Begins a transaction for a decision; it waits for others that decide. */
int driver_decide(struct db *db, struct sql_tx *tx, struct err *e) MUST_CHECK;
/* Writes its event and commits. */
int driver_decided(struct sql_tx *tx, const struct driver_note *n, struct err *e) MUST_CHECK;

#endif
