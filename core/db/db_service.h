/* magnum_service heartbeats, the drivers each conductor publishes, their enablement, quotas,
 * federations and x509 key pairs: the small tables. */
#ifndef MAGNUM_DB_DB_SERVICE_H
#define MAGNUM_DB_DB_SERVICE_H

#include "db/db.h"
#include "model/quota_resource.h"

/* Insert or refresh (host, binary): report_count + 1, last_seen_up = now; without an endpoint,
 * while it starts, it is known and not up. */
int db_service_beat(struct db *db, const struct mservice *s, struct err *e) MUST_CHECK;
/* A graceful end: endpoint cleared, last_seen_up set back, so that nobody asks it any more. */
int db_service_gone(struct db *db, const char *host, const char *binary, struct err *e) MUST_CHECK;
int db_service_list(struct db *db, struct mservice_list *ret, struct err *e) MUST_CHECK;
/* Those with an endpoint, not disabled, seen within max_age_ms. */
int db_service_live(struct db *db, const char *binary, int64_t max_age_ms,
                    struct mservice_list *ret, struct err *e) MUST_CHECK;

/* Publishes the drivers one conductor instance found, every version of them (replaces its earlier
 * list). Members used: id, name, kind, version, vendor, sha256, manifest, label_schema, ready,
 * not_ready_reason. */
int db_driver_publish(struct db *db, const char *instance, const struct driver_row_list *l,
                      struct err *e) MUST_CHECK;
/* All drivers published by conductors alive within max_age_ms (0 = any), merged per id: its current
 * version, with what was decided about it. */
int db_driver_list(struct db *db, int64_t max_age_ms, struct driver_row_list *ret,
                   struct err *e) MUST_CHECK;
/* sha256 NULL = whatever file is there. by: who. */
int db_driver_enable(struct db *db, const char *id, bool enabled, const char *sha256,
                     const char *by, struct err *e) MUST_CHECK;
/* What operators decided, also for drivers that no conductor published:
 * [{id, enabled, sha256 or null, version or null, previous_version, beta, projects, by, at}]. */
int db_driver_enablement_list(struct db *db, json_t **ret, struct err *e) MUST_CHECK;
/* Quarantine rows: keyed by sha256. */
int db_driver_quarantine(struct db *db, const char *id, const char *sha256, const char *reason,
                         struct err *e) MUST_CHECK;
int db_driver_quarantined(struct db *db, const char *sha256, bool *ret, struct err *e) MUST_CHECK;
int db_driver_quarantine_list(struct db *db, json_t **ret,
                              struct err *e) MUST_CHECK; /* [{id,sha256,reason,since}] */
int db_driver_quarantine_clear(struct db *db, const char *id /* NULL = all */,
                               struct err *e) MUST_CHECK;

struct op_guard;
/* x509keypair: private_key arrives sealed (certs/seal.h). derived_key makes put idempotent: the
 * same key gives the first row back (uuid filled); other content under it: ERR_EXISTS is not
 * raised, the first row wins (a repeated create after a crash). */
/* g: only while this lease is alive, else ERR_FENCED; NULL = whoever asks. */
int db_x509_put(struct db *db, const struct op_guard *g, struct x509keypair *k,
                struct err *e) MUST_CHECK;
int db_x509_get(struct db *db, const char *uuid, struct x509keypair *ret, struct err *e) MUST_CHECK;
int db_x509_by_key(struct db *db, const char *derived_key, struct x509keypair *ret,
                   struct err *e) MUST_CHECK;
int db_x509_delete(struct db *db, const char *uuid, struct err *e) MUST_CHECK;

int db_quota_get(struct db *db, const char *project_id, const char *resource, struct quota *ret,
                 struct err *e) MUST_CHECK;
/* How many clusters the project may have (quota_default without a row) and has. */
int db_quota_clusters(struct db *db, const char *project_id, int64_t quota_default,
                      int64_t *ret_limit, int64_t *ret_clusters, struct err *e) MUST_CHECK;
/* What else is limited (model/quota_resource.h): of a project, and what it uses. */
struct quota_use {
    int64_t most[QUOTA_RESOURCES]; /* -1 = no limit */
    int64_t used[QUOTA_RESOURCES];
};
int db_quota_use(struct db *db, const char *project_id, struct quota_use *ret,
                 struct err *e) MUST_CHECK;
/* The limits of projects without rows of their own; none until this is called. Any thread. */
void db_quota_defaults(struct db *db, const struct quota_limits *l);
int db_quota_list(struct db *db, const char *project_id /* NULL = all */, const struct db_page *p,
                  struct quota_list *ret, struct err *e) MUST_CHECK;
int db_quota_insert(struct db *db, struct quota *q, struct err *e) MUST_CHECK;
int db_quota_update(struct db *db, struct quota *q, struct err *e) MUST_CHECK;
int db_quota_delete(struct db *db, const char *project_id, const char *resource,
                    struct err *e) MUST_CHECK;

#endif
