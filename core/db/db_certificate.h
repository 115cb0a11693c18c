/* The inventory of certificate bundles: one row per bundle in whatever store. A row is declared
 * before the bundle is put there and dropped after it was deleted; rows without a reference are
 * bundles that may or may not exist. Texts of NOT_FOUND name the bundle. */
#ifndef MAGNUM_DB_DB_CERTIFICATE_H
#define MAGNUM_DB_DB_CERTIFICATE_H

#include "db/db_operation.h"

/* Names one bundle. Borrowed. */
struct cert_key {
    const char *cluster_id, *role, *manager;
    int64_t serial;
};

/* Durable before it returns; twice is fine. g NULL: by no operation. With a guard: ERR_FENCED when
 * the lease is gone, as in the ledger also for superseded operations. */
int db_certificate_declare(struct db *db, const struct op_guard *g, const struct cert_key *k,
                           const char *project_id, struct err *e) MUST_CHECK;
/* The bundle is there: reference and what its certificate says. NOT_FOUND: the row was dropped
 * meanwhile, so the bundle has no owner any more. Members used of c: ref, subject, fingerprint,
 * not_before, not_after. */
int db_certificate_confirm(struct db *db, const struct cert_key *k, const struct certificate *c,
                           struct err *e) MUST_CHECK;
int db_certificate_drop(struct db *db, const struct cert_key *k, struct err *e) MUST_CHECK;
/* All of a cluster, or all when cluster_uuid is NULL; by id. */
int db_certificate_list(struct db *db, const char *cluster_uuid, struct certificate_list *ret,
                        struct err *e) MUST_CHECK;

/* What clusters of older revisions refer to gets its rows (roles by column, serial 1, dates unset).
 * Only clusters without any row are looked at. cluster_uuid NULL = all of them. */
int db_certificate_adopt(struct db *db, const char *cluster_uuid, struct err *e) MUST_CHECK;
/* Rows that are left of clusters that are gone, untouched for min_age_s; at most max. */
int db_certificate_orphans(struct db *db, int64_t min_age_s, size_t max,
                           struct certificate_list *ret, struct err *e) MUST_CHECK;
/* Stored ones whose dates are not known yet, untouched for a minute; at most max. */
int db_certificate_undated(struct db *db, size_t max, struct certificate_list *ret,
                           struct err *e) MUST_CHECK;
/* Puts off the next look at a row that could not be worked on. */
int db_certificate_touch(struct db *db, const struct cert_key *k, struct err *e) MUST_CHECK;
/* Takes the warnings that are due: stored rows whose end is nearer than a threshold (seconds,
 * falling) that was not warned of yet. Each is returned to one caller only, with warned_s set to
 * the threshold; at most max. */
int db_certificate_warn(struct db *db, const int64_t *thresholds_s, size_t n, size_t max,
                        struct certificate_list *ret, struct err *e) MUST_CHECK;

/* One line of the inventory as users see it. */
struct certificate_view {
    struct certificate row;
    char *cluster_name; /* owned, NULL = the cluster is gone or has none */
    bool in_use;        /* the cluster's row refers to it */
};
struct certificate_view_list {
    struct certificate_view *v;
    size_t n;
};
void certificate_view_list_done(struct certificate_view_list *l);
/* Those in scope that end within expiring_s (MODEL_UNSET = all), soonest first, at most limit.
 * after_id: of the last one seen, 0 = from the start. */
int db_certificate_inventory(struct db *db, const struct db_scope *s, int64_t expiring_s,
                             int64_t after_id, int64_t limit, struct certificate_view_list *ret,
                             struct err *e) MUST_CHECK;

/* For migration: the cluster's references into `from` become those of the bundles of the same role
 * and serial in `to`, in one transaction. ERR_BUSY: it has an unfinished operation; ERR_STALE: it
 * refers to something else, or not everything it refers to is in `to`. */
int db_certificate_switch(struct db *db, const char *cluster_uuid, const char *from, const char *to,
                          struct err *e) MUST_CHECK;

#endif
