/* What this machine's plugin directories, the conductors and the operators say about each driver,
 * put together: see driver_manage.h. */
#include "cmd/driver_manage.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "db/db_service.h"

#include <string.h>

void driver_info_done(struct driver_info *i)
{
    plugin_list_done(&i->plugins);
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

static json_t *row_json(const struct driver_row *r)
{
    return json_pack("{s:s?,s:s?,s:s?,s:s?,s:O?,s:b,s:s?,s:O?}", "name", r->name, "kind", r->kind,
                     "version", r->version, "sha256", r->sha256, "manifest", r->manifest, "ready",
                     (int)r->ready, "not_ready_reason", r->not_ready_reason, "conductors",
                     r->conductors);
}

static int load_published(struct db *db, json_t **ret, struct err *e)
{
    struct driver_row_list rows = {0};
    int rc = db_driver_list(db, 0, &rows, e);
    if (rc != 0)
        return rc;
    json_t *out = json_object();
    for (size_t i = 0; rc == 0 && i < rows.n; i++)
        if (json_object_set_new(out, rows.v[i].id, row_json(&rows.v[i])) < 0)
            rc = err_nomem(e);
    driver_row_list_done(&rows);
    if (rc == 0)
        *ret = out;
    else
        json_decref(out);
    return rc;
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
    struct driver_info i = {0};
    int rc = plugins_scan(cfg, &i.plugins, e);
    if (rc == 0 && db)
        rc = load_published(db, &i.published, e);
    if (rc == 0 && db)
        rc = load_decisions(db, &i, e);
    if (rc != 0)
        driver_info_done(&i);
    else
        *ret = i;
    return rc;
}

const char *driver_info_state(const struct driver_info *i, const struct plugin *p, const char **why)
{
    const json_t *decided = json_object_get(i->enabled, p->id);
    const json_t *quarantine = json_object_get(i->quarantined, p->sha256);
    const char *sum = jsonx_str(decided, "sha256");
    *why = NULL;
    if (p->problem) {
        *why = p->problem;
        return "unusable";
    }
    if (quarantine) {
        *why = jsonx_str(quarantine, "reason");
        return "quarantined";
    }
    if (!i->enabled)
        return "available"; /* no database: nobody can have decided anything */
    if (!jsonx_bool(decided, "enabled", false))
        return "disabled";
    if (!str_blank(sum) && !str_eq(sum, p->sha256)) {
        *why = "the library was replaced since it was enabled: verify it, then enable it again";
        return "disabled";
    }
    const json_t *row = json_object_get(i->published, p->id);
    if (row && !jsonx_bool(row, "ready", false)) {
        *why = jsonx_str(row, "not_ready_reason");
        return "not ready";
    }
    return "enabled";
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
        const char *why, *state = driver_info_state(i, p, &why);
        if (!p->problem || details)
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
    const char *why, *state = driver_info_state(i, p, &why);
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
static int add_known(const struct driver_info *i, const char *id, json_t *item, struct err *e)
{
    const json_t *decided = json_object_get(i->enabled, id);
    const json_t *row = json_object_get(i->published, id);
    if (!i->enabled)
        return 0;
    json_t *more =
        json_pack("{s:b,s:O?,s:O?,s:O?,s:O?,s:O?,s:O?}", "enabled",
                  (int)jsonx_bool(decided, "enabled", false), "decided_by",
                  json_object_get(decided, "by"), "decided_at", json_object_get(decided, "at"),
                  "enabled_sha256", json_object_get(decided, "sha256"), "conductors",
                  json_object_get(row, "conductors"), "ready", json_object_get(row, "ready"),
                  "not_ready_reason", json_object_get(row, "not_ready_reason"));
    int bad = more ? json_object_update(item, more) : -1;
    json_decref(more);
    return bad ? err_nomem(e) : 0;
}

int driver_info_show(const struct driver_info *i, const char *id, json_t **ret, struct err *e)
{
    const struct plugin *p = plugin_find(&i->plugins, id);
    json_t *row = json_object_get(i->published, id);
    *ret = NULL;
    if (!p && !row)
        return 0;
    _cleanup_json_ json_t *item =
        p ? show_local(i, p) : json_pack("{s:s,s:s}", "id", id, "state", "elsewhere");
    if (!item || (!p && json_object_update_missing(item, row) < 0))
        return err_nomem(e);
    if (p && json_object_set_new(item, "privileged", json_boolean(p->privileged)) < 0)
        return err_nomem(e);
    int rc = add_known(i, p ? p->id : id, item, e);
    if (rc == 0)
        *ret = TAKE_PTR(item);
    return rc;
}
