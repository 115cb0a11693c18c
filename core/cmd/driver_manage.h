/* The parts of magnum-driver-manage: what is known of each driver (driver_manage_info.c), the check
 * of one plugin (driver_manage_verify.c), leaks and backends (driver_manage_leaks.c), printing
 * (driver_manage_output.c).
 * Neighbours: magnum-driver-manage.c. */
#ifndef MAGNUM_CMD_DRIVER_MANAGE_H
#define MAGNUM_CMD_DRIVER_MANAGE_H

#include "config/config.h"
#include "drivers/manifest.h"

struct db;

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_VALUE };

bool output_format_parse(const char *text, enum output_format *ret);
/* rows: a list of objects; columns: the members shown, in order, NULL-terminated; they are the
 * headings too. Documents are shown as JSON, null as nothing. */
int output_list(enum output_format f, const json_t *rows, const char *const *columns,
                struct err *e) MUST_CHECK;
/* One object; tables have a row per member. */
int output_item(enum output_format f, const json_t *item, struct err *e) MUST_CHECK;

/* Everything known: the plugins of this machine, and (db not NULL) what conductors published and
 * operators decided. */
struct driver_info {
    struct plugin_list plugins;
    json_t *published;   /* id to the conductors' row, or NULL without a database */
    json_t *enabled;     /* id to {enabled, sha256, by, at} */
    json_t *quarantined; /* sha256 to {id, reason, since} */
};
int driver_info_load(const struct config *cfg, struct db *db, struct driver_info *ret,
                     struct err *e) MUST_CHECK;
void driver_info_done(struct driver_info *i);
/* "enabled", "disabled", "quarantined", "unusable", ...; *why: more, or NULL. Both borrowed. */
const char *driver_info_state(const struct driver_info *i, const struct plugin *p,
                              const char **why);
/* One row per (server type, os, coe) with the members Name, Server_Type, OS, COE, State, Problem,
 * Path. details: also what can't be used. Owned; NULL = no memory. */
json_t *driver_info_rows(const struct driver_info *i, bool details);
/* All that is known of one driver; *ret NULL when nobody knows it. */
int driver_info_show(const struct driver_info *i, const char *id, json_t **ret,
                     struct err *e) MUST_CHECK;

/* Checks one plugin the way a conductor would, and more: rows of {check, result, detail}.
 * *ok: it can be used. */
int driver_verify(struct config *cfg, const char *id, json_t **ret_rows, bool *ok,
                  struct err *e) MUST_CHECK;

/* What sweeps found; what to remove (id NULL: all that is certain); endpoints left alone. */
int leaks_list(const struct config *cfg, struct db *db, enum output_format f,
               struct err *e) MUST_CHECK;
int leaks_remove(const struct config *cfg, struct db *db, const char *id, struct err *e) MUST_CHECK;
int backends_list(struct db *db, enum output_format f, struct err *e) MUST_CHECK;

#endif
