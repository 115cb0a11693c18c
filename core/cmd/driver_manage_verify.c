/* `verify`: the loader's steps on one plugin, each with its own line, in a child as a conductor
 * would run it. See driver_manage.h. */
#include "cmd/driver_manage.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "drivers/front_coe.h"
#include "drivers/isolation.h"
#include "host/elf_exports.h"

#include <string.h>
#include <unistd.h>

enum { LIBRARY_MAX = 256 << 20 };

static int add(json_t *rows, const char *check, bool ok, const char *detail, struct err *e)
{
    json_t *row = json_pack("{s:s,s:s,s:s}", "check", check, "result", ok ? "ok" : "FAILED",
                            "detail", detail);
    return json_array_append_new(rows, row) < 0 ? err_nomem(e) : 0;
}

static int note_export(void *ctx, const char *name)
{
    struct str *s = ctx;
    if (s->len < 200)
        str_printf(s, "%s%s", s->len ? ", " : "", name);
    return 0;
}

/* Exactly the entry function is exported: statically linked libraries stay hidden. */
static int check_exports(const struct plugin *p, json_t *rows, bool *ok, struct err *e)
{
    _cleanup_free_ char *data = NULL;
    _cleanup_str_ struct str names = STR_INIT;
    char why[ELF_WHY] = "";
    size_t len;
    int rc = io_read_file(p->library_path, LIBRARY_MAX, &data, &len, e);
    if (rc != 0)
        return rc;
    long n = elf_exports(data, len, note_export, &names, why);
    *ok = n == 1 && str_eq(names.s, "mag_plugin_entry");
    _cleanup_free_ char *detail =
        n < 0 ? str_dup(why)
              : str_fmt(*ok ? "%s" : "%s; wanted is mag_plugin_entry alone", str_text(&names));
    return detail ? add(rows, "exports", *ok, detail, e) : err_nomem(e);
}

/* What its process was shut in by, on this machine. */
static int add_isolation(const json_t *isolation, json_t *rows, struct err *e)
{
    size_t i;
    json_t *v;
    json_array_foreach(isolation, i, v)
    {
        const char *state = jsonx_str(v, "state"), *detail = jsonx_str(v, "detail");
        json_t *row = json_pack(
            "{s:s+,s:s,s:s+++}", "check", "isolation: ", jsonx_str(v, "measure"), "result",
            str_eq(state, "in force") ? "ok" : "note", "detail", state, ": ", detail, "");
        if (json_array_append_new(rows, row) < 0)
            return err_nomem(e);
    }
    return 0;
}

int driver_load(const struct config *cfg, const struct plugin_list *plugins, const char *id,
                bool *ready, char why[512], json_t **isolation, struct err *e)
{
    struct driver_pool *pool = NULL;
    int rc = driver_pool_new(cfg, plugins, &pool, e);
    if (rc != 0)
        return rc;
    rc = front_coe_probe(pool, id, ready, why, e);
    if (isolation)
        *isolation = driver_pool_isolation(pool, id);
    driver_pool_free(&pool);
    return rc;
}

static int check_run(const struct config *cfg, const struct plugin_list *plugins,
                     const struct plugin *p, json_t *rows, bool *ok, struct err *e)
{
    char why[512] = "";
    struct err load = ERR_INIT;
    bool ready = false;
    _cleanup_json_ json_t *isolation = NULL;
    int loaded = driver_load(cfg, plugins, p->ref, &ready, why, &isolation, &load);
    int rc = add(rows, "load", loaded == 0,
                 loaded == 0 ? "handshake, id, interfaces, operations" : load.msg, e);
    if (rc == 0)
        rc = add_isolation(isolation, rows, e);
    if (rc == 0 && loaded == 0)
        rc = add(rows, "probe", ready, ready ? "it can work on this machine" : why, e);
    *ok = loaded == 0 && ready;
    return rc;
}

static int add_note(json_t *rows, const char *check, const char *text, struct err *e)
{
    json_t *row = json_pack("{s:s,s:s,s:s?}", "check", check, "result", "note", "detail", text);
    return json_array_append_new(rows, row) < 0 ? err_nomem(e) : 0;
}

/* What is not wrong, but worth a look. */
static int add_notes(const struct config *cfg, const struct plugin *p, json_t *rows, struct err *e)
{
    _cleanup_strv_ struct strv unknown = STRV_INIT, options = STRV_INIT;
    int rc = manifest_unknown(p->manifest, &unknown, e);
    rc = rc ? rc : driver_options_wrong(cfg, p, &options, e);
    for (size_t i = 0; rc == 0 && i < unknown.n; i++) {
        _cleanup_free_ char *text = str_fmt("member '%s' of the manifest is not known to this "
                                            "version",
                                            unknown.v[i]);
        rc = add_note(rows, "manifest", text, e);
    }
    for (size_t i = 0; rc == 0 && i < options.n; i++)
        rc = add_note(rows, "options", options.v[i], e);
    return rc;
}

/* The kit's verdict beside the manifest, when it came with one: advice, not a condition. */
static int add_verdict(const struct config *cfg, const struct plugin *p, json_t *rows,
                       struct err *e)
{
    _cleanup_free_ char *file = verdict_beside(p), *text = NULL;
    _cleanup_json_ json_t *kept = NULL;
    struct err why = ERR_INIT;
    if (!file)
        return err_nomem(e);
    if (access(file, F_OK) < 0)
        return add_note(rows, "verdict", "none beside the manifest", e);
    if (verdict_read(cfg, p, file, &kept, &why) != 0)
        return add_note(rows, "verdict", why.msg, e);
    const char *signer = jsonx_str(kept, "signed_by");
    text = str_fmt("%s, %s%s", jsonx_str(kept, "result"), signer ? "signed by " : "unsigned",
                   signer ? signer : "");
    if (!text)
        return err_nomem(e);
    return str_eq(jsonx_str(kept, "result"), "passed") ? add(rows, "verdict", true, text, e)
                                                       : add_note(rows, "verdict", text, e);
}

static int verify(const struct config *cfg, const struct plugin_list *plugins,
                  const struct plugin *p, json_t *rows, bool *ok, struct err *e)
{
    bool exports = false, runs = false;
    *ok = p->problem == NULL;
    int rc = add(rows, "files and manifest", *ok, *ok ? p->manifest_path : p->problem, e);
    if (rc != 0 || !*ok)
        return rc;
    rc = add_notes(cfg, p, rows, e);
    if (rc == 0)
        rc = add(rows, "sha256", true, p->sha256, e);
    if (rc == 0)
        rc = add_verdict(cfg, p, rows, e);
    if (rc == 0)
        rc = check_exports(p, rows, &exports, e);
    if (rc == 0)
        rc = check_run(cfg, plugins, p, rows, &runs, e);
    *ok = exports && runs;
    return rc;
}

int driver_verify(const struct config *cfg, const char *id, json_t **ret_rows, bool *ok,
                  struct err *e)
{
    struct driver_info info;
    int rc = driver_info_load(cfg, NULL, &info, e);
    if (rc != 0)
        return rc;
    const struct plugin *p = driver_info_plugin(&info, id);
    json_t *rows = json_array();
    if (!p)
        rc = err_set(e, ERR_NOT_FOUND, "there is no driver %s in the plugin directories", id);
    else if (rows)
        rc = verify(cfg, &info.plugins, p, rows, ok, e);
    driver_info_done(&info);
    if (rc == 0 && rows)
        *ret_rows = rows;
    else
        json_decref(rows);
    return rc == 0 && !rows ? err_nomem(e) : rc;
}
