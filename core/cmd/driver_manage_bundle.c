/* Bundles: making, installing and removing them, and whose keys are trusted. See driver_manage.h.
 */
#include "cmd/driver_manage.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "db/db_driver.h"
#include "drivers/install.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_MAX = 16384, DEPTH_MAX = 16 };

/* ---- install ---- */
static int check_signer(const struct request *r, const struct bundle *b, char **signer,
                        struct err *e)
{
    int rc = bundle_signer(b, r->cfg->drivers_trusted_keys_dir, signer, e);
    if (rc == 0 && !*signer && !r->allow_unsigned)
        rc = err_set(e, ERR_FORBIDDEN, "it is not signed (see --allow-unsigned)");
    return rc;
}

/* As a conductor would load it; whether it is ready here is another question. */
static int check_loads(const struct request *r, struct install *i, struct err *e)
{
    struct plugin_list one = {.v = &i->plugin, .n = 1};
    char why[512] = "";
    bool ready = false;
    int rc = driver_load(r->cfg, &one, i->plugin.ref, &ready, why, NULL, e);
    if (rc == 0 && !ready)
        log_warn("install", "%s can't work on this machine as it is: %s", i->plugin.ref, why);
    return rc;
}

static int tell(const struct request *r, const struct install *i, const char *signer, struct err *e)
{
    char who[WHO];
    who_am_i(who, sizeof who);
    _cleanup_free_ char *detail =
        str_fmt("%s%s", signer ? "signed by " : "unsigned", signer ? signer : "");
    printf("Version %s of %s is installed in %s (%s)\n", i->plugin.version, i->plugin.id, i->target,
           detail ? detail : "");
    return r->db ? db_driver_event(r->db, i->plugin.id, i->plugin.version, "installed", detail, who,
                                   e)
                 : 0;
}

static int put_in_place(const struct request *r, const struct bundle *b, const char *signer,
                        struct err *e)
{
    struct install i = {.lock = -1};
    bool same = false;
    int rc = install_stage(r->cfg, b, &i, &same, e);
    if (rc != 0)
        return rc;
    if (same)
        printf("Version %s of %s is installed already\n", i.plugin.version, i.plugin.id);
    else
        rc = check_loads(r, &i, e);
    if (rc == 0 && !same && r->db)
        rc = db_driver_hold(r->db, i.plugin.id, e);
    if (rc == 0 && !same)
        rc = install_commit(r->cfg, &i, e);
    if (rc == 0 && !same)
        rc = tell(r, &i, signer, e);
    install_done(&i);
    return rc;
}

int do_install(struct request *r, struct err *e)
{
    struct bundle b = {.n = 0};
    _cleanup_free_ char *signer = NULL;
    size_t max = (size_t)r->cfg->drivers_bundle_max_mb << 20;
    int rc = bundle_open(r->arg, max, &b, e);
    if (rc != 0)
        return rc;
    rc = check_signer(r, &b, &signer, e);
    if (rc == 0)
        rc = install_check(&b, e);
    if (rc == 0)
        rc = put_in_place(r, &b, signer, e);
    bundle_done(&b);
    return rc == 0 ? 0 : err_wrap(e, "%s is not installed", r->arg);
}

/* ---- uninstall ---- */
static int check_unused(const struct driver_info *i, const char *ref, const char *id, struct err *e)
{
    const json_t *row = driver_info_release(i, ref), *decided = json_object_get(i->enabled, id);
    if (row && jsonx_bool(row, "current", false) && jsonx_bool(decided, "enabled", false))
        return err_set(e, ERR_CONFLICT,
                       "%s gets the new clusters: upgrade, roll back or disable the driver first",
                       ref);
    return 0;
}

static int uninstall(struct request *r, const struct driver_info *i, const char *ref, struct err *e)
{
    const char *id = driver_info_id(i, r->arg), *version = strchr(ref, '@') + 1;
    char who[WHO];
    who_am_i(who, sizeof who);
    if (!id)
        return err_set(e, ERR_NOT_FOUND, "there is no driver %s", r->arg);
    _cleanup_free_ char *whole = str_fmt("%s@%s", id, version);
    int rc = whole ? check_unused(i, whole, id, e) : err_nomem(e);
    if (rc == 0 && r->db)
        rc = db_driver_forget(r->db, id, version, who, e);
    if (rc == 0)
        rc = install_remove(r->cfg, id, version, e);
    if (rc == 0 && r->db) /* conductors look once more, now that it is away */
        rc = db_driver_event(r->db, id, version, "removed", NULL, who, e);
    if (rc == 0)
        printf("Version %s of %s is removed\n", version, id);
    return rc;
}

int do_uninstall(struct request *r, struct err *e)
{
    struct driver_info i;
    _cleanup_free_ char *ref =
        r->n_args > 1 ? str_fmt("%s@%s", r->arg, r->args[1]) : str_dup(r->arg);
    if (!ref)
        return err_nomem(e);
    if (!strchr(ref, '@'))
        return err_set(e, ERR_INVALID, "say which version of %s", r->arg);
    int rc = driver_info_load(r->cfg, r->db, &i, e);
    if (rc != 0)
        return rc;
    rc = uninstall(r, &i, ref, e);
    driver_info_done(&i);
    return rc;
}

/* ---- bundle ---- */
/* A file, or all files below a directory, by their names relative to dir. */
static int collect(const char *dir, const char *name, int depth, struct strv *ret, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name);
    struct stat st;
    struct dirent **names = NULL;
    if (!path)
        return err_nomem(e);
    if (stat(path, &st) < 0)
        return err_errno(e, errno, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode))
        return strv_has(ret, name) ? 0 : strv_add(ret, name) ? err_nomem(e) : 0;
    int n = depth < DEPTH_MAX ? scandir(path, &names, NULL, alphasort) : -1, rc = 0;
    if (n < 0)
        return err_errno(e, errno, "cannot read directory %s", path);
    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *inner = str_fmt("%s/%s", name, names[i]->d_name);
        if (rc == 0 && names[i]->d_name[0] != '.')
            rc = inner ? collect(dir, inner, depth + 1, ret, e) : err_nomem(e);
        free(names[i]);
    }
    free(names);
    return rc;
}

int do_bundle(struct request *r, struct err *e)
{
    static const char *const members[] = {"library", "labels", "config"};
    _cleanup_free_ char *copy = str_dup(r->arg), *copy2 = str_dup(r->arg), *text = NULL;
    _cleanup_strv_ struct strv files = STRV_INIT;
    struct plugin p = {0};
    size_t len = 0;
    if (!copy || !copy2)
        return err_nomem(e);
    const char *dir = dirname(copy), *manifest = basename(copy2);
    int rc = io_read_file(r->arg, 1 << 20, &text, &len, e);
    if (rc == 0)
        rc = manifest_parse(text, len, &p, e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(members); i++) {
        const char *name = jsonx_str(p.manifest, members[i]);
        if (!str_blank(name))
            rc = collect(dir, name, 0, &files, e);
    }
    for (size_t i = 0; rc == 0 && i < r->add.n; i++)
        rc = collect(dir, r->add.v[i], 0, &files, e);
    _cleanup_free_ char *out =
        r->output ? str_dup(r->output) : str_fmt("%s-%s.bundle", p.name, p.version);
    if (rc == 0)
        rc = out ? bundle_write(out, dir, manifest, &files, r->key, e) : err_nomem(e);
    if (rc == 0)
        printf("%s: version %s of %s, %zu files, %s\n", out, p.version, p.id, files.n + 1,
               r->key ? "signed" : "unsigned");
    plugin_done(&p);
    return rc;
}

/* ---- keys ---- */
static int key_row(const char *dir, const char *file, json_t *rows, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, file), *pem = NULL;
    char fingerprint[65] = "";
    size_t len = 0;
    struct err why = ERR_INIT;
    if (!path)
        return err_nomem(e);
    int rc = io_read_file(path, KEY_MAX, &pem, &len, &why);
    if (rc == 0)
        rc = bundle_key_check(pem, len, fingerprint, &why);
    json_t *row = json_pack("{s:s%,s:s,s:s}", "name", file, strlen(file) - strlen(".pem"),
                            "fingerprint", fingerprint, "problem", rc ? why.msg : "");
    return json_array_append_new(rows, row) < 0 ? err_nomem(e) : 0;
}

int do_keys_list(struct request *r, struct err *e)
{
    static const char *const columns[] = {"name", "fingerprint", "problem", NULL};
    const char *dir = r->cfg->drivers_trusted_keys_dir;
    _cleanup_json_ json_t *rows = json_array();
    struct dirent **names = NULL;
    int n = scandir(dir, &names, NULL, alphasort), rc = 0;
    if (n < 0 && errno != ENOENT)
        return err_errno(e, errno, "cannot read %s", dir);
    for (int i = 0; i < n; i++) {
        if (rc == 0 && names[i]->d_name[0] != '.' && str_ends(names[i]->d_name, ".pem"))
            rc = key_row(dir, names[i]->d_name, rows, e);
        free(names[i]);
    }
    free(names);
    return rc == 0 ? output_list(r->format, rows, columns, e) : rc;
}

/* The file of a trusted key by its name. */
static int key_path(const struct request *r, const char *name, char **ret, struct err *e)
{
    if (!*name || strchr(name, '/') || *name == '.')
        return err_set(e, ERR_INVALID, "'%s' is no name for a key", name);
    *ret = str_fmt("%s/%s.pem", r->cfg->drivers_trusted_keys_dir, name);
    return *ret ? 0 : err_nomem(e);
}

int do_keys_trust(struct request *r, struct err *e)
{
    _cleanup_free_ char *pem = NULL, *path = NULL, *copy = str_dup(r->arg);
    char fingerprint[65];
    size_t len = 0;
    if (!copy)
        return err_nomem(e);
    char *name = basename(copy);
    if (str_ends(name, ".pem"))
        name[strlen(name) - strlen(".pem")] = '\0';
    int rc = io_read_file(r->arg, KEY_MAX, &pem, &len, e);
    if (rc == 0)
        rc = bundle_key_check(pem, len, fingerprint, e);
    if (rc == 0)
        rc = key_path(r, r->n_args > 1 ? r->args[1] : name, &path, e);
    if (rc == 0)
        rc = io_mkdirs(r->cfg->drivers_trusted_keys_dir, 0755, e);
    if (rc == 0)
        rc = io_write_file(path, pem, len, 0644, e);
    if (rc == 0)
        printf("Bundles signed with the key %s are installed from now on\n", fingerprint);
    return rc == 0 ? 0 : err_wrap(e, "%s", r->arg);
}

int do_keys_distrust(struct request *r, struct err *e)
{
    _cleanup_free_ char *path = NULL;
    int rc = key_path(r, r->arg, &path, e);
    if (rc != 0)
        return rc;
    if (unlink(path) < 0)
        return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "no key %s is trusted", r->arg)
                               : err_errno(e, errno, "cannot remove %s", path);
    printf("The key %s is not trusted any more; what is installed stays\n", r->arg);
    return 0;
}

int do_keys_new(struct request *r, struct err *e)
{
    _cleanup_free_ char *private_path = str_fmt("%s.key", r->arg);
    _cleanup_free_ char *public_path = str_fmt("%s.pem", r->arg);
    int rc =
        private_path && public_path ? bundle_key_make(private_path, public_path, e) : err_nomem(e);
    if (rc == 0)
        printf("%s signs bundles: keep it to yourself; %s is for those who install them\n",
               private_path, public_path);
    return rc;
}
