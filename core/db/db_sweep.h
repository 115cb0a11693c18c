/* Looking for leaks: which driver's backend is compared with the ledger, by whom, when; and what
 * was found. A leak is something the backend holds under this deployment's names that no ledger
 * entry names, of a cluster without an operation in work. It is certain once it was seen again
 * after a time of grace. Neighbours: conductor/sweep.c; magnum-driver-manage shows the rows. */
#ifndef MAGNUM_DB_DB_SWEEP_H
#define MAGNUM_DB_DB_SWEEP_H

#include "db/db.h"

/* One of these drivers whose sweep is due, leased; *ret_driver NULL = none (caller frees).
 * *ret_began: when, by the server's clock. */
int db_sweep_lease(struct db *db, const char *owner, const struct strv *drivers, int64_t lease_ms,
                   char **ret_driver, int64_t *ret_began, struct err *e) MUST_CHECK;
/* One page of what the backend holds: [{kind, name, cluster_id, external_id}]. */
int db_sweep_page(struct db *db, const char *driver, const json_t *items, struct err *e) MUST_CHECK;
/* The end. problem NULL: the list was whole, so what was not seen since `began` is no leak any
 * more. Ignored when the lease was lost. */
int db_sweep_done(struct db *db, const char *owner, const char *driver, int64_t began,
                  const char *problem, int64_t next_in_ms, struct err *e) MUST_CHECK;

/* Certain leaks that shall be removed: asked for by the operator, or (all) every one whose cluster
 * is gone. [{id, kind, name, cluster_id}]; caller owns. */
int db_leak_due(struct db *db, const char *driver, bool all, int64_t grace_s, json_t **ret,
                struct err *e) MUST_CHECK;
int db_leak_removed(struct db *db, int64_t id, struct err *e) MUST_CHECK;
/* [{id, driver_id, kind, name, cluster_id, external_id, cluster: bool, first_seen, last_seen,
 *   certain, remove}], oldest first. */
int db_leak_list(struct db *db, int64_t grace_s, json_t **ret, struct err *e) MUST_CHECK;
/* [{driver_id, swept_at, problem}] */
int db_sweep_list(struct db *db, json_t **ret, struct err *e) MUST_CHECK;
/* Asks for the removal of one (or, id 0, of all that are certain) and makes the sweeps due.
 * *ret_n: how many. */
int db_leak_ask(struct db *db, int64_t id, int64_t grace_s, int64_t *ret_n,
                struct err *e) MUST_CHECK;

#endif
