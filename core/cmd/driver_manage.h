/* The parts of magnum-driver-manage: what is known of each driver (driver_manage_info.c, _list.c),
 * the check of one plugin (driver_manage_verify.c), decisions (_decide.c, _versions.c, _explain.c,
 * _settings.c), bundles (_bundle.c), the kit and new drivers (_vendor.c), verdicts (_verdict.c),
 * leaks and backends (_leaks.c), printing (_output.c).
 * Neighbours: magnum-driver-manage.c. */
#ifndef MAGNUM_CMD_DRIVER_MANAGE_H
#define MAGNUM_CMD_DRIVER_MANAGE_H

#include "config/config.h"
#include "drivers/manifest.h"

struct db;

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_VALUE };

struct request { /* one command as it was asked for */
    const char *file, *connection;
    struct strv plugin_dirs, add, sets;
    bool details, paths, any_file, beta, as_default, beside, migrate, partial, allow_unsigned,
        force;
    const char *project, *key, *output, *to, *template, *cluster, *verdict, *id, *vendor;
    int64_t limit;
    enum output_format format;
    const char *arg; /* the first argument of the command; NULL = none */
    char **args;     /* all of them */
    int n_args;
    struct config *cfg;
    struct db *db; /* NULL when none is configured */
};
/* ERR_CONFIG when none is configured. */
int need_database(const struct request *r, struct err *e) MUST_CHECK;
/* Who asks, for the records: user@host. */
void who_am_i(char *ret, size_t size);
enum { WHO = 320 };

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
    const struct config *cfg;
    struct plugin_list plugins;
    json_t *releases;  /* all versions, see db_driver_releases; NULL without a database */
    json_t *published; /* id to the current one of them */
    json_t *enabled;   /* id to {enabled, sha256, version, previous_version, beta, projects, ...} */
    json_t *quarantined; /* sha256 to {id, reason, since} */
};
int driver_info_load(const struct config *cfg, struct db *db, struct driver_info *ret,
                     struct err *e) MUST_CHECK;
void driver_info_done(struct driver_info *i);
/* By id or name (then the current version), or by "id@version", of those in the database. */
const json_t *driver_info_release(const struct driver_info *i, const char *id);
/* The same among the plugins of this machine. */
const struct plugin *driver_info_plugin(const struct driver_info *i, const char *id);
/* The id behind an id, a name or an "id@version"; NULL = nobody knows it. Borrowed. */
const char *driver_info_id(const struct driver_info *i, const char *text);
/* A version as it stands: here (p) or elsewhere (release), either may be NULL. "enabled",
 * "disabled", "beta", "installed", "draining", "quarantined", "not ready", "unusable", "missing",
 * "available" (no database); *why: more, or NULL. Both borrowed. */
const char *driver_info_state(const struct driver_info *i, const struct plugin *p,
                              const json_t *release, const char **why);
/* One row per (server type, os, coe) with the members Name, Server_Type, OS, COE, State, Problem,
 * Path. details: also what can't be used. Owned; NULL = no memory. */
json_t *driver_info_rows(const struct driver_info *i, bool details);
/* One row per version: id, name, version, vendor, provides, state, problem, verdict, clusters,
 * conductors, sha256. */
int driver_info_versions(const struct driver_info *i, json_t **ret, struct err *e) MUST_CHECK;
/* All that is known of one driver; *ret NULL when nobody knows it. */
int driver_info_show(const struct driver_info *i, const char *id, json_t **ret,
                     struct err *e) MUST_CHECK;
/* What is wrong with the configuration file's options for a driver, by its schema. Adds to *ret. */
int driver_options_wrong(const struct config *cfg, const struct plugin *p, struct strv *ret,
                         struct err *e) MUST_CHECK;

/* Checks one plugin the way a conductor would, and more: rows of {check, result, detail}.
 * *ok: it can be used. */
int driver_verify(const struct config *cfg, const char *id, json_t **ret_rows, bool *ok,
                  struct err *e) MUST_CHECK;
/* Loads one plugin in a child and asks it whether it can work here. ERR_*: it can't be loaded.
 * isolation: what shut its process in, see driver_pool_isolation; may be NULL. */
int driver_load(const struct config *cfg, const struct plugin_list *plugins, const char *id,
                bool *ready, char why[512], json_t **isolation, struct err *e) MUST_CHECK;

/* A verdict's file, with the signature beside it (FILE.sig, raw ed25519): *ret is what is kept of
 * it, with signed_by, the name of a trusted key or null. FORBIDDEN: signed, but by nobody who is
 * trusted, or changed since; INVALID: it is about another file than this plugin's. */
int verdict_read(const struct config *cfg, const struct plugin *p, const char *file, json_t **ret,
                 struct err *e) MUST_CHECK;
/* Where a plugin's verdict lies by convention. Caller frees; NULL = no memory. */
char *verdict_beside(const struct plugin *p);

/* ---- verbs ---- */
int do_enable(struct request *r, struct err *e) MUST_CHECK;
int do_disable(struct request *r, struct err *e) MUST_CHECK;
int do_default_list(struct request *r, struct err *e) MUST_CHECK;
int do_default_set(struct request *r, struct err *e) MUST_CHECK;
int do_default_unset(struct request *r, struct err *e) MUST_CHECK;
int do_quarantine_list(struct request *r, struct err *e) MUST_CHECK;
int do_quarantine_add(struct request *r, struct err *e) MUST_CHECK;
int do_quarantine_clear(struct request *r, struct err *e) MUST_CHECK;
int do_upgrade(struct request *r, struct err *e) MUST_CHECK;
int do_rollback(struct request *r, struct err *e) MUST_CHECK;
int do_migrate_clusters(struct request *r, struct err *e) MUST_CHECK;
int do_explain(struct request *r, struct err *e) MUST_CHECK;
int do_config_get(struct request *r, struct err *e) MUST_CHECK;
int do_config_set(struct request *r, struct err *e) MUST_CHECK;
int do_config_unset(struct request *r, struct err *e) MUST_CHECK;
int do_events(struct request *r, struct err *e) MUST_CHECK;
int do_install(struct request *r, struct err *e) MUST_CHECK;
int do_uninstall(struct request *r, struct err *e) MUST_CHECK;
int do_bundle(struct request *r, struct err *e) MUST_CHECK;
int do_keys_list(struct request *r, struct err *e) MUST_CHECK;
int do_keys_trust(struct request *r, struct err *e) MUST_CHECK;
int do_keys_distrust(struct request *r, struct err *e) MUST_CHECK;
int do_keys_new(struct request *r, struct err *e) MUST_CHECK;
int do_check(struct request *r, struct err *e) MUST_CHECK;
int do_new(struct request *r, struct err *e) MUST_CHECK;

/* What sweeps found; what to remove (id NULL: all that is certain); endpoints left alone. */
int leaks_list(const struct config *cfg, struct db *db, enum output_format f,
               struct err *e) MUST_CHECK;
int leaks_remove(const struct config *cfg, struct db *db, const char *id, struct err *e) MUST_CHECK;
int backends_list(struct db *db, enum output_format f, struct err *e) MUST_CHECK;

#endif
