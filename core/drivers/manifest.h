/* A plugin's manifest (YAML beside the .so) and the scan of the plugin directories. No plugin code
 * runs here. One bad plugin is skipped with its reason and never stops the others. Several versions
 * of one driver may stand side by side, each with its own files.
 * Neighbours: registry users (conductor, magnum-driver-manage), supervisor. */
#ifndef MAGNUM_DRIVERS_MANIFEST_H
#define MAGNUM_DRIVERS_MANIFEST_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>
#include <stdint.h>

struct config;

struct plugin { /* one installed plugin file with its manifest */
    char *id, *kind, *name, *version, *vendor, *maturity; /* kind: coe-driver | cert-manager */
    char *ref; /* "id@version": names it among the versions of one driver */
    char *manifest_path, *library_path;
    char sha256[65];               /* of the library */
    json_t *manifest;              /* the whole manifest as JSON */
    json_t *label_schema;          /* parsed labels file, or NULL */
    json_t *config_schema;         /* parsed config file: what its own section may hold, or NULL */
    json_t *settings;              /* of the operators, over the file's section; or NULL */
    char *problem;                 /* why it can't be used; NULL = fine */
    char *unwanted;                /* why the configuration gives it no new clusters; or NULL */
    int64_t memory_mb, open_files; /* limits; 0 = default */
    int64_t processes, file_mb;    /* too */
    bool exec, network_direct, unix_sockets;
    bool privileged;    /* asks for the conductor's own rights (drivers.privileged grants them) */
    const json_t *dirs; /* in manifest, or NULL: option of its own to default of a directory */
    bool service_token; /* calls without the cluster's trust may be made as the service user */
};
struct plugin_list {
    struct plugin *v;
    size_t n;
};
void plugin_list_done(struct plugin_list *l);
/* Scans drivers_plugin_dirs in order, then drivers_install_dir/ID/VERSION; of two with one id and
 * version, or one name and different ids, the first wins, the second gets a problem.
 * check_owner: directory and files must belong to root or the service user and not be writable by
 * others. Fails only when no directory can be read. */
int plugins_scan(const struct config *cfg, struct plugin_list *ret, struct err *e) MUST_CHECK;
const struct plugin *plugin_find(const struct plugin_list *l, const char *id); /* id or name */
/* One version of it; version NULL = the first. */
const struct plugin *plugin_find_version(const struct plugin_list *l, const char *id,
                                         const char *version);
/* Everything about one manifest file that can be seen without running anything; for bundles, whose
 * files are not in place yet. p is filled as far as it goes. */
int plugin_read(const struct config *cfg, const char *dir, const char *path, struct plugin *p,
                struct err *e) MUST_CHECK;
/* Parses one manifest text (for tests and the fuzzer). */
int manifest_parse(const char *text, size_t len, struct plugin *ret, struct err *e) MUST_CHECK;
void plugin_done(struct plugin *p);
/* Members of a manifest that this version does not know: of a later one, or misspelt. Adds to *ret.
 */
int manifest_unknown(const json_t *manifest, struct strv *ret, struct err *e) MUST_CHECK;

#endif
