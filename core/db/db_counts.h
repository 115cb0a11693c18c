/* What there is in the whole deployment, counted for the metrics. Cheap, but not for every request:
 * conductor/measure.c asks now and then. */
#ifndef MAGNUM_DB_DB_COUNTS_H
#define MAGNUM_DB_DB_COUNTS_H

#include "db/db.h"

/* Called for every group with what it has in common (n texts, never NULL; borrowed). */
typedef void (*db_count_fn)(void *ctx, const char *const *group, int64_t n);

/* Operations that have not ended, by kind, status and driver ("core" when they have none). */
int db_count_operations(struct db *db, db_count_fn fn, void *ctx, struct err *e) MUST_CHECK;
/* Those of them that could be worked on and are not, and for how long the first one has waited. */
int db_count_due(struct db *db, int64_t *ret_n, int64_t *ret_age_ms, struct err *e) MUST_CHECK;
/* By status and health; reads all clusters. */
int db_count_clusters(struct db *db, db_count_fn fn, void *ctx, struct err *e) MUST_CHECK;
/* By binary and "up" or "down" (silent for down_s). Those that were stopped in order, or have been
 * silent for a day, are not there any more. */
int db_count_services(struct db *db, int64_t down_s, db_count_fn fn, void *ctx,
                      struct err *e) MUST_CHECK;
/* Stored certificates that end within "1", "7" and "30" days; "0": they have ended. */
int db_count_certificates(struct db *db, db_count_fn fn, void *ctx, struct err *e) MUST_CHECK;

#endif
