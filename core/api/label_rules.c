/* See label_rules.h. */
#include "api/label_rules.h"

#include "api/api_internal.h"
#include "api/labels.h"

#include <string.h>

enum { NAMES_SHOWN = 20 };

/* Labels that the core itself reads, whichever driver the cluster has. */
static const char *const of_the_core[] = {"auto_healing_enabled", "auto_healing_controller",
                                          "boot_volume_size", "min_node_count"};

static bool known(const json_t *schema, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(of_the_core); i++)
        if (strcmp(of_the_core[i], name) == 0)
            return true;
    return json_object_get(json_object_get(schema, "properties"), name) != NULL;
}

int label_rules_sort(const json_t *schema, const json_t *labels, struct strv *ret_unknown,
                     struct strv *ret_deprecated)
{
    const json_t *properties = json_object_get(schema, "properties");
    const char *name;
    json_t *v;
    int rc = 0;
    if (!json_is_object(properties) || !json_is_object(labels))
        return 0;
    json_object_foreach((json_t *)labels, name, v)
    {
        const json_t *rule = json_object_get(properties, name);
        if (rc == 0 && !known(schema, name))
            rc = strv_add(ret_unknown, name);
        else if (rc == 0 && json_is_true(json_object_get(rule, "deprecated")))
            rc = strv_add(ret_deprecated, name);
    }
    return rc;
}

/* Names go into a header and a sentence: what could end either is shown as '?'. */
static void list_names(const struct strv *names, struct str *o)
{
    for (size_t i = 0; i < names->n && i < NAMES_SHOWN; i++) {
        str_append(o, i ? ", " : "");
        for (const char *p = names->v[i]; *p && p - names->v[i] < 64; p++)
            str_append_c(o, *p > ' ' && *p < 0x7f && !strchr("\"\\,", *p) ? *p : '?');
    }
    if (names->n > NAMES_SHOWN)
        str_printf(o, " and %zu more", names->n - NAMES_SHOWN);
}

/* One header for all that is to be said: RFC 9111 allows a list, old clients read none of it. */
static int warn(struct api_call *c, const struct driver_row *d, const struct strv *unknown,
                const struct strv *deprecated, struct err *e)
{
    _cleanup_str_ struct str o = STR_INIT;
    if (unknown->n) {
        str_printf(&o, "299 magnum \"driver %s does not know these labels: ", d->name);
        list_names(unknown, &o);
        str_append_c(&o, '"');
    }
    if (deprecated->n) {
        str_printf(&o, "%s299 magnum \"deprecated labels of driver %s: ", o.len ? ", " : "",
                   d->name);
        list_names(deprecated, &o);
        str_append_c(&o, '"');
    }
    if (o.oom)
        return err_nomem(e);
    if (!o.len)
        return 0;
    return http_response_header(c->rp, "Warning", str_text(&o)) < 0 ? err_nomem(e) : 0;
}

static int refuse(const struct driver_row *d, const json_t *labels, const struct strv *unknown,
                  struct err *e)
{
    _cleanup_str_ struct str names = STR_INIT;
    const char *value = jsonx_str(labels, unknown->v[0]);
    list_names(unknown, &names);
    return err_set(e, ERR_INVALID,
                   "Driver %s does not know these labels: %s (the first has the value '%.100s'); "
                   "allowed: those that GET /v1/drivers/%s lists",
                   d->name, str_text(&names), value ? value : "", d->name);
}

int label_rules_check(struct api_call *c, const struct driver_row *d, const json_t *labels,
                      struct err *e)
{
    _cleanup_strv_ struct strv unknown = STRV_INIT, deprecated = STRV_INIT;
    const char *policy = c->api->cfg->api_unknown_labels;
    int rc = labels_check(d->label_schema, d->name, labels, e);
    if (rc < 0)
        return rc;
    if (label_rules_sort(d->label_schema, labels, &unknown, &deprecated) < 0)
        return err_nomem(e);
    /* a driver that says so itself takes none but its own */
    bool strict = json_is_false(json_object_get(d->label_schema, "additionalProperties"));
    if (unknown.n && (strict || strcmp(policy, "refuse") == 0))
        return refuse(d, labels, &unknown, e);
    if (strcmp(policy, "warn") != 0)
        strv_free(&unknown);
    return warn(c, d, &unknown, &deprecated, e);
}

static void shown(const json_t *v, struct str *o)
{
    if (!v)
        str_append(o, "unset");
    else if (json_is_string(v))
        str_printf(o, "'%.200s'", json_string_value(v));
    else
        jw_document(o, v);
}

int label_rules_change(const json_t *schema, const json_t *before, const json_t *after,
                       struct err *e)
{
    const char *name;
    json_t *rule;
    json_object_foreach(json_object_get(schema, "properties"), name, rule)
    {
        const json_t *was = json_object_get(before, name), *is = json_object_get(after, name);
        const json_t *standard = json_object_get(rule, "default");
        if (!str_eq(jsonx_str(rule, "mutable"), "never") ||
            labels_same(rule, was ? was : standard, is ? is : standard))
            continue;
        _cleanup_str_ struct str from = STR_INIT, to = STR_INIT;
        shown(was, &from);
        shown(is, &to);
        return err_set(e, ERR_INVALID,
                       "Label %s can't be changed to %.250s: it takes effect only when a cluster "
                       "is made; allowed: %.250s, as the cluster has it",
                       name, str_text(&to), str_text(&from));
    }
    return 0;
}
