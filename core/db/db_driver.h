/* Decisions about drivers and what became of them: versions, projects, defaults per kind of
 * cluster, settings, verdicts, events. Each decision and its event are one transaction, and they
 * are made one after the other, so that the last event's id tells whether anything changed.
 * Enablement, quarantine and what conductors publish: db_service.h.
 * Neighbours: magnum-driver-manage decides, conductor and api follow. */
#ifndef MAGNUM_DB_DB_DRIVER_H
#define MAGNUM_DB_DB_DRIVER_H

#include "db/db.h"

/* Grows with every decision and event. */
int db_driver_news(struct db *db, int64_t *ret, struct err *e) MUST_CHECK;
/* Newest first, of one driver or (id NULL) of all: [{id, driver, version, event, detail, by, at}].
 */
int db_driver_events(struct db *db, const char *id, int64_t limit, json_t **ret,
                     struct err *e) MUST_CHECK;
/* version, detail and by may be NULL. */
int db_driver_event(struct db *db, const char *id, const char *version, const char *event,
                    const char *detail, const char *by, struct err *e) MUST_CHECK;

/* ---- versions ---- */
/* Sorts as versions do: numbers by value, 1.0-rc1 before 1.0. Caller frees; NULL = no memory. */
char *db_driver_version_key(const char *version);
/* Every version anyone has or had: [{id, version, name, kind, vendor, sha256, manifest, conductors:
 * [host], ready, not_ready_reason, files: number of different files it is published with, clusters,
 * operations: open ones, verdict, verdict_at, current}], highest version first. */
int db_driver_releases(struct db *db, int64_t max_age_ms, json_t **ret, struct err *e) MUST_CHECK;
/* "id@version" that once was here and now no conductor has any more, and (away) that those who have
 * it are silent or not ready. */
int db_driver_missing(struct db *db, int64_t max_age_ms, struct strv *gone, struct strv *away,
                      struct err *e) MUST_CHECK;
/* The version for new clusters from now on; what it was is kept for the way back. event: "upgraded"
 * or "rolled back". NOT_FOUND: not published or not enabled yet. */
int db_driver_choose(struct db *db, const char *id, const char *version, const char *sha256,
                     const char *event, const char *by, struct err *e) MUST_CHECK;
/* Before a version is installed: what new clusters get now they go on getting until somebody
 * chooses. */
int db_driver_hold(struct db *db, const char *id, struct err *e) MUST_CHECK;
/* By which versions the clusters are served that db_driver_move would move: [{version, clusters:
 * how many, example: the name of one}]. */
int db_driver_movable(struct db *db, const char *id, const char *version,
                      const struct strv *clusters, json_t **ret, struct err *e) MUST_CHECK;
/* Clusters of the driver (those of the list by uuid or name, or all) that are not at `version` are
 * from their next operation on. */
int db_driver_move(struct db *db, const char *id, const char *version, const struct strv *clusters,
                   const char *by, int64_t *ret_n, struct err *e) MUST_CHECK;
/* What an operation without a version, or of one that is gone, is carried out by; for the cluster
 * as well when it had the same (`old`, may be NULL). */
int db_driver_pin(struct db *db, const char *operation, const char *old, const char *version,
                  struct err *e) MUST_CHECK;
/* Forgets a version. CONFLICT when clusters or open operations belong to it. */
int db_driver_forget(struct db *db, const char *id, const char *version, const char *by,
                     struct err *e) MUST_CHECK;
/* The kit's verdict over the file with this sha256. */
int db_driver_verdict(struct db *db, const char *id, const char *version, const char *sha256,
                      const json_t *verdict, const char *by, struct err *e) MUST_CHECK;

/* ---- who may use it ---- */
/* beta: also while it is not stable. */
int db_driver_beta(struct db *db, const char *id, bool beta, const char *by,
                   struct err *e) MUST_CHECK;
/* For one project, whatever holds for the others. */
int db_driver_project(struct db *db, const char *id, const char *project, bool enabled,
                      const char *by, struct err *e) MUST_CHECK;
/* [{server_type, os, coe, id, by, at}] */
int db_driver_defaults(struct db *db, json_t **ret, struct err *e) MUST_CHECK;
/* id NULL: no choice any more. */
int db_driver_default(struct db *db, const char *server_type, const char *os, const char *coe,
                      const char *id, const char *by, struct err *e) MUST_CHECK;

/* ---- settings ---- */
/* {id: {key: value}} */
int db_driver_settings(struct db *db, json_t **ret, struct err *e) MUST_CHECK;
/* value NULL: unset; NOT_FOUND when it was not set. */
int db_driver_set(struct db *db, const char *id, const char *key, const json_t *value,
                  const char *by, struct err *e) MUST_CHECK;

#endif
