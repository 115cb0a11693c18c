/* `config`: a driver's own section of the configuration, over what the file says, checked against
 * the schema that its manifest names (config: FILE); and `events`. See driver_manage.h. */
#include "cmd/driver_manage.h"

#include "api/labels.h"
#include "base/jsonx.h"
#include "db/db_driver.h"

#include <stdio.h>
#include <string.h>

static int load(struct request *r, struct driver_info *i, const struct plugin **ret, struct err *e)
{
    int rc = need_database(r, e);
    if (rc == 0)
        rc = driver_info_load(r->cfg, r->db, i, e);
    if (rc != 0)
        return rc;
    *ret = driver_info_plugin(i, r->arg);
    if (*ret)
        return 0;
    driver_info_done(i);
    return err_set(e, ERR_NOT_FOUND, "there is no driver %s on this machine", r->arg);
}

/* ---- get ---- */
static int add_rows(json_t *rows, const json_t *section, const json_t *over, const char *from,
                    struct err *e)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)section, key, v)
    {
        json_t *row = json_pack("{s:s,s:O,s:s}", "key", key, "value", v, "from", from);
        if (!json_object_get(over, key) && json_array_append_new(rows, row) < 0)
            return err_nomem(e);
        if (json_object_get(over, key))
            json_decref(row);
    }
    return 0;
}

/* What could be set and is not. */
static int add_unset(json_t *rows, const struct plugin *p, const json_t *file, const json_t *set,
                     struct err *e)
{
    const char *key;
    json_t *rule;
    json_object_foreach(json_object_get(p->config_schema, "properties"), key, rule)
    {
        if (json_object_get(file, key) || json_object_get(set, key))
            continue;
        json_t *row = json_pack("{s:s,s:O?,s:s}", "key", key, "value",
                                json_object_get(rule, "default"), "from", "default");
        if (json_array_append_new(rows, row) < 0)
            return err_nomem(e);
    }
    return 0;
}

int do_config_get(struct request *r, struct err *e)
{
    static const char *const columns[] = {"key", "value", "from", NULL};
    _cleanup_json_ json_t *all = NULL, *rows = json_array(), *one = json_array();
    struct driver_info i;
    const struct plugin *p = NULL;
    int rc = load(r, &i, &p, e);
    if (rc != 0)
        return rc;
    const json_t *file = json_object_get(r->cfg->driver_config, p->id);
    rc = db_driver_settings(r->db, &all, e);
    const json_t *set = json_object_get(all, p->id);
    if (rc == 0)
        rc = add_rows(rows, set, NULL, "operator", e);
    if (rc == 0)
        rc = add_rows(rows, file, set, "file", e);
    if (rc == 0)
        rc = add_unset(rows, p, file, set, e);
    driver_info_done(&i);
    size_t k;
    json_t *v;
    json_array_foreach(rows, k, v)
    {
        if (r->n_args > 1 && str_eq(jsonx_str(v, "key"), r->args[1]))
            json_array_append(one, v);
    }
    if (rc == 0 && r->n_args > 1 && json_array_size(one) == 0)
        rc = err_set(e, ERR_NOT_FOUND, "%s of driver %s is not set", r->args[1], r->arg);
    return rc == 0 ? output_list(r->format, r->n_args > 1 ? one : rows, columns, e) : rc;
}

/* ---- set ---- */
static int allowed(const struct plugin *p, const char *key, const char *value, struct err *e)
{
    const json_t *properties = json_object_get(p->config_schema, "properties");
    const json_t *rule = json_object_get(properties, key);
    if (!p->config_schema)
        return 0; /* a driver that tells no schema takes what it likes */
    if (!rule) {
        _cleanup_str_ struct str known = STR_INIT;
        const char *name;
        json_t *v;
        json_object_foreach((json_t *)(uintptr_t)properties, name, v)
        {
            str_printf(&known, "%s%s", known.len ? ", " : "", name);
        }
        return err_set(e, ERR_INVALID, "driver %s has no option %s; it has%s%s", p->id, key,
                       known.len ? ": " : " none", str_text(&known));
    }
    struct err why = ERR_INIT;
    _cleanup_json_ json_t *as_label = json_pack("{s:s}", key, value);
    if (labels_check(p->config_schema, p->name, as_label, &why) == 0)
        return 0;
    const char *text = str_starts(why.msg, "Label ") ? why.msg + strlen("Label ") : why.msg;
    return err_set(e, ERR_INVALID, "option %s", text);
}

static int check(const struct plugin *p, const char *key, const char *value, struct err *e)
{
    const json_t *rule = json_object_get(json_object_get(p->config_schema, "properties"), key);
    if (jsonx_bool(rule, "writeOnly", false))
        return err_set(e, ERR_INVALID,
                       "%s is a secret: it belongs into driver_config of the configuration file, "
                       "which only the service may read",
                       key);
    return allowed(p, key, value, e);
}

int driver_options_wrong(const struct config *cfg, const struct plugin *p, struct strv *ret,
                         struct err *e)
{
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(cfg->driver_config, p->id), key, v)
    {
        struct err why = ERR_INIT;
        if (allowed(p, key, json_string_value(v), &why) != 0 && strv_add(ret, why.msg) != 0)
            return err_nomem(e);
    }
    return 0;
}

int do_config_set(struct request *r, struct err *e)
{
    struct driver_info i;
    const struct plugin *p = NULL;
    char who[WHO];
    who_am_i(who, sizeof who);
    int rc = load(r, &i, &p, e);
    if (rc != 0)
        return rc;
    for (int pass = 0; pass < 2; pass++) /* all or none */
        for (int k = 1; rc == 0 && k < r->n_args; k++) {
            const char *eq = strchr(r->args[k], '=');
            _cleanup_free_ char *key = eq ? strndup(r->args[k], (size_t)(eq - r->args[k])) : NULL;
            _cleanup_json_ json_t *value = json_string(eq ? eq + 1 : "");
            if (!eq || eq == r->args[k])
                rc = err_set(e, ERR_INVALID, "%s is not KEY=VALUE", r->args[k]);
            else if (!key || !value)
                rc = value ? err_nomem(e) : err_set(e, ERR_INVALID, "%s is not UTF-8", key);
            else
                rc = pass ? db_driver_set(r->db, p->id, key, value, who, e)
                          : check(p, key, eq + 1, e);
            if (rc == 0 && pass)
                printf("%s of driver %s is set\n", key, p->id);
        }
    driver_info_done(&i);
    return rc;
}

int do_config_unset(struct request *r, struct err *e)
{
    struct driver_info i;
    const struct plugin *p = NULL;
    char who[WHO];
    who_am_i(who, sizeof who);
    int rc = load(r, &i, &p, e);
    if (rc != 0)
        return rc;
    rc = db_driver_set(r->db, p->id, r->args[1], NULL, who, e);
    if (rc == 0)
        printf("%s of driver %s is as the configuration file says\n", r->args[1], p->id);
    driver_info_done(&i);
    return rc;
}

/* ---- events ---- */
int do_events(struct request *r, struct err *e)
{
    static const char *const columns[] = {"at", "driver", "version", "event", "detail", "by", NULL};
    _cleanup_json_ json_t *rows = NULL;
    struct driver_info i;
    int rc = need_database(r, e);
    if (rc == 0)
        rc = driver_info_load(r->cfg, r->db, &i, e);
    if (rc != 0)
        return rc;
    const char *known = r->arg ? driver_info_id(&i, r->arg) : NULL;
    rc = db_driver_events(r->db, known ? known : r->arg, r->limit, &rows, e);
    driver_info_done(&i);
    return rc == 0 ? output_list(r->format, rows, columns, e) : rc;
}
