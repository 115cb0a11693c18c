/* What this machine's plugin directories, the conductors and the operators say about each driver,
 * put together: see driver_manage.h. */
#include "cmd/driver_manage.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "db/db_driver.h"
#include "db/db_service.h"

#include <string.h>

void driver_info_done(struct driver_info *i)
{
    plugin_list_done(&i->plugins);
    json_decref(i->releases);
    json_decref(i->published);
    json_decref(i->enabled);
    json_decref(i->quarantined);
    *i = (struct driver_info){0};
}

/* A list of objects as an object by one of their members. */
static json_t *by_member(const json_t *list, const char *member)
{
    json_t *out = json_object();
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        const char *key = jsonx_str(v, member);
        if (key && json_object_set(out, key, v) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static int load_published(struct db *db, struct driver_info *i, struct err *e)
{
    size_t k;
    json_t *v;
    int rc = db_driver_releases(db, 0, &i->releases, e);
    if (rc != 0)
        return rc;
    i->published = json_object();
    json_array_foreach(i->releases, k, v)
    {
        if (jsonx_bool(v, "current", false) &&
            json_object_set(i->published, jsonx_str(v, "id"), v) < 0)
            return err_nomem(e);
    }
    return i->published ? 0 : err_nomem(e);
}

static int load_decisions(struct db *db, struct driver_info *i, struct err *e)
{
    _cleanup_json_ json_t *enabled = NULL, *quarantined = NULL;
    int rc = db_driver_enablement_list(db, &enabled, e);
    if (rc == 0)
        rc = db_driver_quarantine_list(db, &quarantined, e);
    if (rc != 0)
        return rc;
    i->enabled = by_member(enabled, "id");
    i->quarantined = by_member(quarantined, "sha256");
    return i->enabled && i->quarantined ? 0 : err_nomem(e);
}

int driver_info_load(const struct config *cfg, struct db *db, struct driver_info *ret,
                     struct err *e)
{
    struct driver_info i = {.cfg = cfg};
    int rc = plugins_scan(cfg, &i.plugins, e);
    if (rc == 0 && db)
        rc = load_published(db, &i, e);
    if (rc == 0 && db)
        rc = load_decisions(db, &i, e);
    if (rc != 0)
        driver_info_done(&i);
    else
        *ret = i;
    return rc;
}

/* "id@version", or id or name. */
static bool is_release(const json_t *v, const char *text, bool *exact)
{
    const char *id = jsonx_str(v, "id"), *at = strchr(text, '@');
    size_t n = at ? (size_t)(at - text) : strlen(text);
    *exact = at && str_eq(jsonx_str(v, "version"), at + 1);
    const char *name = jsonx_str(v, "name");
    bool it = (strlen(id) == n && strncmp(id, text, n) == 0) ||
              (name && strlen(name) == n && strncmp(name, text, n) == 0);
    return it && (!at || *exact);
}

const json_t *driver_info_release(const struct driver_info *i, const char *id)
{
    size_t k;
    json_t *v;
    const json_t *first = NULL;
    json_array_foreach(i->releases, k, v)
    {
        bool exact = false;
        if (!is_release(v, id, &exact))
            continue;
        if (exact || jsonx_bool(v, "current", false))
            return v;
        first = first ? first : v;
    }
    return first;
}

const struct plugin *driver_info_plugin(const struct driver_info *i, const char *id)
{
    const char *at = strchr(id, '@');
    if (at) {
        _cleanup_free_ char *alone = strndup(id, (size_t)(at - id));
        return alone ? plugin_find_version(&i->plugins, alone, at + 1) : NULL;
    }
    const struct plugin *p = plugin_find(&i->plugins, id);
    const json_t *row = p ? json_object_get(i->published, p->id) : NULL;
    const struct plugin *now =
        p ? plugin_find_version(&i->plugins, p->id, jsonx_str(row, "version")) : NULL;
    return now ? now : p;
}

const char *driver_info_id(const struct driver_info *i, const char *text)
{
    const struct plugin *p = driver_info_plugin(i, text);
    return p ? p->id : jsonx_str(driver_info_release(i, text), "id");
}

static bool is_beta(const struct driver_info *i, const char *maturity, const json_t *decided,
                    const char *id, const char *name)
{
    return maturity && !str_eq(maturity, "stable") && !jsonx_bool(decided, "beta", false) &&
           !strv_has(&i->cfg->drivers_enabled_beta, id) &&
           !(name && strv_has(&i->cfg->drivers_enabled_beta, name));
}

/* Of the version for new clusters. */
static const char *current_state(const struct driver_info *i, const json_t *decided, const char *id,
                                 const char *sha256, const json_t *release, const char **why)
{
    const char *sum = jsonx_str(decided, "sha256");
    if (strv_has(&i->cfg->drivers_disabled, id)) {
        *why = "disabled by the configuration (drivers.disabled)";
        return "disabled";
    }
    if (i->cfg->drivers_require_enable && !jsonx_bool(decided, "enabled", false)) {
        *why = json_object_size(json_object_get(decided, "projects")) ? "see its projects: show"
                                                                      : NULL;
        return "disabled";
    }
    if (!str_blank(sum) && !str_eq(sum, sha256)) {
        *why = "the library was replaced since it was enabled: verify it, then enable it again";
        return "disabled";
    }
    if (release && !jsonx_bool(release, "ready", false)) {
        *why = jsonx_str(release, "not_ready_reason");
        return "not ready";
    }
    return "enabled";
}

const char *driver_info_state(const struct driver_info *i, const struct plugin *p,
                              const json_t *release, const char **why)
{
    const char *id = p ? p->id : jsonx_str(release, "id");
    const char *sha256 = p ? p->sha256 : jsonx_str(release, "sha256");
    const char *maturity =
        jsonx_str(p ? p->manifest : json_object_get(release, "manifest"), "maturity");
    const char *name = p ? p->name : jsonx_str(release, "name");
    const json_t *decided = json_object_get(i->enabled, id);
    const json_t *quarantine = sha256 ? json_object_get(i->quarantined, sha256) : NULL;
    const json_t *now = json_object_get(i->published, id);
    bool published = json_array_size(json_object_get(release, "conductors")) > 0;
    *why = NULL;
    if (p && p->problem) {
        *why = p->problem;
        return "unusable";
    }
    if (quarantine) {
        *why = jsonx_str(quarantine, "reason");
        return "quarantined";
    }
    if (is_beta(i, maturity, decided, id, name)) {
        *why = "it is not stable yet: name it in drivers.enabled_beta, or enable it with --beta";
        return "beta";
    }
    if (!i->enabled)
        return "available"; /* no database: nobody can have decided anything */
    if (!p && !published)
        return "missing";
    if (now && release && !jsonx_bool(release, "current", false))
        return jsonx_int(release, "clusters", 0) || jsonx_int(release, "operations", 0)
                   ? "draining"
                   : "installed";
    if (now && !release)
        return "installed"; /* here, but no conductor has found it yet */
    return current_state(i, decided, id, sha256, release, why);
}

static int add_rows(json_t *rows, const char *name, const json_t *manifest, const char *state,
                    const char *why, const char *path)
{
    json_t *provides = json_object_get(manifest, "provides");
    size_t n = json_array_size(provides);
    for (size_t k = 0; k < (n ? n : 1); k++) {
        const json_t *p = json_array_get(provides, k);
        json_t *row = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "Name", name, "Server_Type",
                                n ? jsonx_str(p, "server_type") : "", "OS",
                                n ? jsonx_str(p, "os") : "", "COE", n ? jsonx_str(p, "coe") : "",
                                "State", state, "Problem", why ? why : "", "Path", path);
        if (json_array_append_new(rows, row) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

json_t *driver_info_rows(const struct driver_info *i, bool details)
{
    json_t *rows = json_array();
    int bad = rows ? 0 : ERR_NOMEM;
    for (size_t k = 0; !bad && k < i->plugins.n; k++) {
        const struct plugin *p = &i->plugins.v[k];
        const char *why, *state = driver_info_state(i, p, driver_info_release(i, p->ref), &why);
        if ((!p->problem && driver_info_plugin(i, p->id) == p) || details)
            bad = add_rows(rows, p->name, p->manifest, state, why, p->library_path);
    }
    const char *id;
    json_t *row;
    json_object_foreach(i->published, id, row)
    {
        bool here = false;
        for (size_t k = 0; k < i->plugins.n; k++)
            here = here || str_eq(i->plugins.v[k].id, id);
        if (!bad && !here)
            bad = add_rows(rows, jsonx_str(row, "name") ? jsonx_str(row, "name") : id,
                           json_object_get(row, "manifest"), "elsewhere",
                           "only on other conductors", "n/a");
    }
    if (bad) {
        json_decref(rows);
        return NULL;
    }
    return rows;
}

static json_t *text_or_null(const char *s)
{
    return str_blank(s) ? json_null() : json_string(s);
}

static json_t *label_names(const struct plugin *p)
{
    json_t *names = json_array();
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(p->label_schema, "properties"), key, v)
    {
        json_array_append_new(names, json_string(key));
    }
    return names;
}

static json_t *show_local(const struct driver_info *i, const struct plugin *p)
{
    const char *why, *state = driver_info_state(i, p, driver_info_release(i, p->ref), &why);
    const json_t *m = p->manifest;
    json_t *limits = json_object_get(m, "limits");
    return json_pack(
        "{s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:o,s:O?,s:O?,s:O?,s:s,s:b,s:b,s:O?,s:o,s:o,s:o,s:s}", "id",
        p->id, "name", p->name, "kind", text_or_null(p->kind), "version", text_or_null(p->version),
        "vendor", text_or_null(p->vendor), "maturity", text_or_null(p->maturity), "state", state,
        "problem", text_or_null(why), "provides", json_object_get(m, "provides"), "interfaces",
        json_object_get(m, "interfaces"), "operations", json_object_get(m, "operations"), "network",
        p->network_direct ? "direct" : "brokered", "exec", (int)p->exec, "unix_sockets",
        (int)p->unix_sockets, "limits", limits, "labels", label_names(p), "library",
        text_or_null(p->library_path), "sha256", text_or_null(p->sha256), "manifest",
        p->manifest_path);
}

/* What the database knows is added under its own names. */
static int add_known(const struct driver_info *i, const char *id, const json_t *release,
                     json_t *item, struct err *e)
{
    const json_t *decided = json_object_get(i->enabled, id);
    json_t *versions = json_array();
    size_t k;
    json_t *v;
    if (!i->enabled) {
        json_decref(versions);
        return 0;
    }
    json_array_foreach(i->releases, k, v)
    {
        if (str_eq(jsonx_str(v, "id"), id))
            json_array_append(versions, json_object_get(v, "version"));
    }
    json_t *more = json_pack(
        "{s:b,s:b,s:O?,s:O?,s:O?,s:O?,s:O?,s:o,s:O?,s:O?,s:O?,s:O?,s:O?,s:O?,s:O?}", "enabled",
        (int)jsonx_bool(decided, "enabled", false), "beta_accepted",
        (int)jsonx_bool(decided, "beta", false), "decided_by", json_object_get(decided, "by"),
        "decided_at", json_object_get(decided, "at"), "enabled_sha256",
        json_object_get(decided, "sha256"), "projects", json_object_get(decided, "projects"),
        "previous_version", json_object_get(decided, "previous_version"), "versions", versions,
        "clusters", json_object_get(release, "clusters"), "open_operations",
        json_object_get(release, "operations"), "conductors",
        json_object_get(release, "conductors"), "ready", json_object_get(release, "ready"),
        "not_ready_reason", json_object_get(release, "not_ready_reason"), "verdict",
        json_object_get(release, "verdict"), "verdict_at", json_object_get(release, "verdict_at"));
    int bad = more ? json_object_update(item, more) : -1;
    json_decref(more);
    return bad ? err_nomem(e) : 0;
}

int driver_info_show(const struct driver_info *i, const char *id, json_t **ret, struct err *e)
{
    const struct plugin *p = driver_info_plugin(i, id);
    const json_t *row = driver_info_release(i, p ? p->ref : id);
    *ret = NULL;
    if (!p && !row)
        return 0;
    _cleanup_json_ json_t *item = p ? show_local(i, p) : json_pack("{s:s}", "state", "elsewhere");
    if (!item || (!p && json_object_update_missing(item, (json_t *)(uintptr_t)row) < 0))
        return err_nomem(e);
    int rc = add_known(i, p ? p->id : jsonx_str(row, "id"), row, item, e);
    if (rc == 0)
        *ret = TAKE_PTR(item);
    return rc;
}
