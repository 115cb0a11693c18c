/* The scan of the plugin directories: manifests, files, owners, checksums. Runs no plugin code.
 * A plugin that can't be used stays in the list with its problem, so that the CLI and the API can
 * show it. See manifest.h. */
#include "drivers/manifest.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "config/config.h"
#include "drivers/sha256.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { MANIFEST_MAX = 262144, SCHEMA_MAX = 1048576, SCHEMA_DEPTH = 32 };

void plugin_list_done(struct plugin_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        plugin_done(&l->v[i]);
    free(l->v);
    *l = (struct plugin_list){0};
}

const struct plugin *plugin_find_version(const struct plugin_list *l, const char *id,
                                         const char *version)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].id, id) && (!version || str_eq(l->v[i].version, version)))
            return &l->v[i];
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].name, id) && (!version || str_eq(l->v[i].version, version)))
            return &l->v[i];
    return NULL;
}

const struct plugin *plugin_find(const struct plugin_list *l, const char *id)
{
    return plugin_find_version(l, id, NULL);
}

/* Who may write the file may run code as the driver: only root and the service user. */
static int check_owner(const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return err_errno(e, errno, "cannot look at %s", path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return err_set(e, ERR_FORBIDDEN, "%s belongs to user %u, not to root or the service user",
                       path, (unsigned)st.st_uid);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(e, ERR_FORBIDDEN, "%s may be written by others: chmod go-w %s", path, path);
    return 0;
}

static int load_schema(const char *dir, const char *file, const char *what, bool owner,
                       json_t **ret, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, file), *text = NULL;
    size_t len;
    if (!path)
        return err_nomem(e);
    int rc = owner ? check_owner(path, e) : 0;
    if (rc == 0)
        rc = io_read_file(path, SCHEMA_MAX, &text, &len, e);
    if (rc == 0)
        rc = jsonx_parse(text, len, SCHEMA_DEPTH, ret, e);
    if (rc == 0 && !json_is_object(*ret))
        rc = err_set(e, ERR_INVALID, "a schema is a JSON object");
    return rc == 0 ? 0 : err_wrap(e, "%s %s", what, path);
}

static int check_library(struct plugin *p, bool owner, struct err *e)
{
    int rc = owner ? check_owner(p->library_path, e) : 0;
    if (rc != 0)
        return rc;
    _cleanup_close_ int fd = open(p->library_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "cannot open %s", p->library_path);
    return sha256_fd(fd, p->sha256, e);
}

/* `library` of the manifest becomes a whole path. */
static int place_library(struct plugin *p, const char *dir, struct err *e)
{
    char *path = str_fmt("%s/%s", dir, p->library_path);
    if (!path)
        return err_nomem(e);
    free(p->library_path);
    p->library_path = path;
    return 0;
}

/* What the configuration keeps new clusters from; those that exist go on being served, or nobody
 * could delete them any more. */
static int note_policy(const struct config *cfg, struct plugin *p, struct err *e)
{
    if (strv_has(&cfg->drivers_disabled, p->id) || strv_has(&cfg->drivers_disabled, p->name))
        p->unwanted = str_dup("disabled by the configuration (drivers.disabled)");
    else if (!str_eq(p->maturity, "stable") && !strv_has(&cfg->drivers_enabled_beta, p->id) &&
             !strv_has(&cfg->drivers_enabled_beta, p->name))
        p->unwanted = str_fmt("it is %s: name it in drivers.enabled_beta, or enable it with --beta",
                              p->maturity);
    else
        return 0;
    return p->unwanted ? 0 : err_nomem(e);
}

int plugin_read(const struct config *cfg, const char *dir, const char *path, struct plugin *p,
                struct err *e)
{
    bool owner = cfg->drivers_check_owner;
    _cleanup_free_ char *text = NULL;
    size_t len;
    int rc = owner ? check_owner(path, e) : 0;
    if (rc == 0)
        rc = io_read_file(path, MANIFEST_MAX, &text, &len, e);
    if (rc == 0)
        rc = manifest_parse(text, len, p, e);
    if (rc == 0)
        rc = place_library(p, dir, e);
    if (rc == 0)
        rc = check_library(p, owner, e);
    const char *labels = jsonx_str(p->manifest, "labels");
    const char *config = jsonx_str(p->manifest, "config");
    if (rc == 0 && !str_blank(labels))
        rc = load_schema(dir, labels, "label schema", owner, &p->label_schema, e);
    if (rc == 0 && !str_blank(config))
        rc = load_schema(dir, config, "config schema", owner, &p->config_schema, e);
    return rc == 0 ? note_policy(cfg, p, e) : rc;
}

static const char *clash(const struct plugin_list *l, const struct plugin *p)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].id, p->id) ? str_eq(l->v[i].version, p->version)
                                      : str_eq(l->v[i].name, p->name))
            return l->v[i].manifest_path;
    return NULL;
}

static int add(struct plugin_list *l, struct plugin *p, struct err *e)
{
    struct plugin *v = realloc(l->v, (l->n + 1) * sizeof *v);
    if (!v)
        return err_nomem(e);
    l->v = v;
    l->v[l->n++] = *p;
    *p = (struct plugin){0};
    return 0;
}

/* What a manifest did not tell gets the file's name or "", so that readers find no NULL. */
static int fill_blanks(struct plugin *p, const char *dir, const char *file, struct err *e)
{
    size_t stem = strlen(file) - strlen(".yaml");
    if (!p->id)
        p->id = strndup(file, stem);
    if (!p->name)
        p->name = strndup(file, stem);
    char **texts[] = {&p->kind, &p->version, &p->vendor, &p->maturity, &p->library_path};
    bool ok = p->id && p->name;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!*texts[i])
            *texts[i] = str_dup("");
        ok = ok && *texts[i];
    }
    p->manifest_path = str_fmt("%s/%s", dir, file);
    p->ref = ok ? str_fmt("%s@%s", p->id, p->version) : NULL;
    return p->ref && p->manifest_path ? 0 : err_nomem(e);
}

static int scan_file(const struct config *cfg, const char *dir, const char *dir_problem,
                     const char *file, struct plugin_list *l, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, file);
    if (!path)
        return err_nomem(e);
    _cleanup_(plugin_done) struct plugin p = {0};
    struct err why = ERR_INIT;
    int rc = plugin_read(cfg, dir, path, &p, &why);
    if (rc == ERR_NOMEM)
        return err_nomem(e);
    int bad = fill_blanks(&p, dir, file, e);
    if (bad != 0)
        return bad;
    const char *first = clash(l, &p);
    if (dir_problem)
        p.problem = str_dup(dir_problem);
    else if (rc != 0)
        p.problem = str_dup(why.msg);
    else if (first)
        p.problem = str_fmt(
            "another plugin with this name, or this id and version, was found first: %s", first);
    if ((dir_problem || rc != 0 || first) && !p.problem)
        return err_nomem(e);
    return add(l, &p, e);
}

static int is_manifest(const struct dirent *d)
{
    return d->d_name[0] != '.' && str_ends(d->d_name, ".yaml");
}

/* The names in the directory, sorted; ERR_* when it can't be read. */
static int scan_dir(const struct config *cfg, const char *dir, struct plugin_list *l, struct err *e)
{
    struct dirent **names;
    int n = scandir(dir, &names, is_manifest, alphasort);
    if (n < 0)
        return err_errno(e, errno, "cannot read plugin directory %s", dir);
    struct err why = ERR_INIT;
    bool refused = cfg->drivers_check_owner && check_owner(dir, &why) != 0;
    int rc = 0;
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = scan_file(cfg, dir, refused ? why.msg : NULL, names[i]->d_name, l, e);
        free(names[i]);
    }
    free(names);
    return rc;
}

static int is_visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* Runs `each` on every directory in `dir`, by name; those that begin with a dot are being installed
 * or removed. */
static int walk(const struct config *cfg, const char *dir, struct plugin_list *l,
                int (*each)(const struct config *cfg, const char *dir, struct plugin_list *l,
                            struct err *e),
                struct err *e)
{
    struct dirent **names;
    int n = scandir(dir, &names, is_visible, alphasort), rc = 0;
    if (n < 0)
        return err_errno(e, errno, "cannot read directory %s", dir);
    for (int i = 0; i < n; i++) {
        struct stat st;
        _cleanup_free_ char *path = str_fmt("%s/%s", dir, names[i]->d_name);
        if (rc == 0 && !path)
            rc = err_nomem(e);
        if (rc == 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            rc = each(cfg, path, l, e);
        free(names[i]);
    }
    free(names);
    return rc;
}

static int scan_versions(const struct config *cfg, const char *dir, struct plugin_list *l,
                         struct err *e)
{
    int rc = cfg->drivers_check_owner ? check_owner(dir, e) : 0;
    return rc ? rc : walk(cfg, dir, l, scan_dir, e);
}

/* What magnum-driver-manage has installed. */
static int scan_installed(const struct config *cfg, struct plugin_list *l, struct err *e)
{
    const char *dir = cfg->drivers_install_dir;
    struct stat st;
    if (str_blank(dir) || stat(dir, &st) < 0)
        return 0; /* nothing was installed yet */
    int rc = cfg->drivers_check_owner ? check_owner(dir, e) : 0;
    return rc ? rc : walk(cfg, dir, l, scan_versions, e);
}

/* Without configuration: beside the program in a build tree, else the installed directory. */
static int default_dirs(struct strv *ret, struct err *e)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = '\0';
    _cleanup_free_ char *beside = str_fmt("%s/../plugins", exe);
    if (!beside)
        return err_nomem(e);
    struct stat st;
    const char *dir = slash && stat(beside, &st) == 0 ? beside : MAGNUM_PLUGIN_DIR;
    _cleanup_free_ char *real = realpath(dir, NULL);
    return strv_add(ret, real ? real : dir) == 0 ? 0 : err_nomem(e);
}

int plugins_scan(const struct config *cfg, struct plugin_list *ret, struct err *e)
{
    _cleanup_strv_ struct strv fallback = STRV_INIT;
    const struct strv *dirs = &cfg->drivers_plugin_dirs;
    if (dirs->n == 0) {
        int rc = default_dirs(&fallback, e);
        if (rc != 0)
            return rc;
        dirs = &fallback;
    }
    struct plugin_list l = {0};
    struct err why = ERR_INIT;
    size_t readable = 0;
    for (size_t i = 0; i < dirs->n; i++) {
        int rc = scan_dir(cfg, dirs->v[i], &l, &why);
        if (rc == ERR_NOMEM) {
            plugin_list_done(&l);
            return err_nomem(e);
        }
        readable += rc == 0;
        if (rc != 0)
            log_warn("drivers.scan", "%s, ignoring this directory", why.msg);
    }
    if (readable == 0)
        return err_set(e, ERR_CONFIG, "no plugin directory can be read: %s", why.msg);
    int rc = scan_installed(cfg, &l, &why);
    if (rc == ERR_NOMEM) {
        plugin_list_done(&l);
        return err_nomem(e);
    }
    if (rc != 0)
        log_warn("drivers.scan", "%s, ignoring what is installed there", why.msg);
    *ret = l;
    return 0;
}
