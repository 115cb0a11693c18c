/* See patch.h. */
#include "api/patch.h"

#include "api/attrs.h"
#include "api/pyliteral.h"
#include "base/cleanup.h"
#include "base/jsonx.h"
#include "base/parse.h"
#include "base/str.h"

#include <string.h>

#define COMMON "/created_at", "/id", "/links", "/updated_at", "/uuid", "/project_id", "/user_id"
#define CLUSTER_INTERNAL                                                                           \
    COMMON, "/api_address", "/node_addresses", "/master_addresses", "/stack_id", "/ca_cert_ref",   \
        "/magnum_cert_ref", "/etcd_ca_cert_ref", "/front_proxy_ca_cert_ref"
static const char *const cluster_internal[] = {CLUSTER_INTERNAL, "/cluster_id", NULL};
static const char *const cluster_internal_zed[] = {
    CLUSTER_INTERNAL,    "/trust_id", "/trustee_user_name", "/trustee_password", "/trustee_user_id",
    "/trustee_username", NULL};
static const char *const cluster_mandatory[] = {"/cluster_template_id", NULL};
static const char *const cluster_literals[] = {"labels", "health_status_reason", NULL};
static const char *const common_internal[] = {COMMON, NULL};
static const char *const template_mandatory[] = {"/image_id",
                                                 "/network_driver",
                                                 "/external_network_id",
                                                 "/tls_disabled",
                                                 "/public",
                                                 "/server_type",
                                                 "/coe",
                                                 "/registry_enabled",
                                                 "/cluster_distro",
                                                 "/hidden",
                                                 NULL};
static const char *const bay_mandatory[] = {"/baymodel_id", NULL};
static const char *const baymodel_mandatory[] = {"/image_id",
                                                 "/keypair_id",
                                                 "/external_network_id",
                                                 "/coe",
                                                 "/tls_disabled",
                                                 "/public",
                                                 "/registry_enabled",
                                                 "/server_type",
                                                 "/cluster_distro",
                                                 "/network_driver",
                                                 "/hidden",
                                                 NULL};
static const char *const label_literals[] = {"labels", NULL};
static const char *const nodegroup_internal[] = {
    COMMON,        "/name",          "/cluster_id", "/docker_volume_size",
    "/labels",     "/flavor_id",     "/image_id",   "/node_addresses",
    "/node_count", "/role",          "/is_default", "/stack_id",
    "/status",     "/status_reason", "/version",    NULL};
static const char *const nodegroup_literals[] = {"labels", "node_labels", "node_taints", NULL};
static const char *const federation_literals[] = {"properties", "member_ids", NULL};
static const char *const none[] = {NULL};

const struct patch_rules patch_cluster = {cluster_internal, cluster_internal_zed, cluster_mandatory,
                                          cluster_literals};
const struct patch_rules patch_template = {common_internal, NULL, template_mandatory,
                                           label_literals};
const struct patch_rules patch_bay = {cluster_internal_zed, NULL, bay_mandatory, cluster_literals};
const struct patch_rules patch_baymodel = {common_internal, NULL, baymodel_mandatory,
                                           label_literals};
const struct patch_rules patch_nodegroup = {nodegroup_internal, NULL, none, nodegroup_literals};
const struct patch_rules patch_federation = {common_internal, NULL, none, federation_literals};

static bool listed(const char *const *list, const char *s)
{
    for (; *list; list++)
        if (strcmp(*list, s) == 0)
            return true;
    return false;
}

static int check_operation(const json_t *op, const struct patch_rules *r, bool zed, struct err *e)
{
    _cleanup_json_ json_t *checked = NULL;
    int rc = attrs_check(&attrs_patch_operation, false, op, &checked, e);
    if (rc < 0)
        return rc;
    const char *path = jsonx_str(checked, "path"), *verb = jsonx_str(checked, "op");
    if (!path || !verb) { /* an explicit null */
        return attrs_invalid(e, path ? "op" : "path", NULL, "Mandatory field missing.");
    }
    if (listed(zed && r->internal_zed ? r->internal_zed : r->internal, path))
        return err_set(e, ERR_INVALID, "'%s' is an internal attribute and can not be updated",
                       path);
    bool remove = strcmp(verb, "remove") == 0;
    if (remove && listed(r->mandatory, path))
        return err_set(e, ERR_INVALID, "'%s' is a mandatory attribute and can not be removed",
                       path);
    const json_t *value = json_object_get(op, "value");
    if (!remove && (!value || json_is_null(value)))
        return err_set(e, ERR_INVALID, "'add' and 'replace' operations needs value");
    return 0;
}

int patch_check(const json_t *patch, const struct patch_rules *r, bool zed, struct err *e)
{
    size_t i;
    json_t *op;
    if (json_is_null(patch))
        return 0;
    if (!json_is_array(patch)) {
        _cleanup_str_ struct str shown = STR_INIT, why = STR_INIT;
        py_str(patch, &shown);
        str_printf(&why, "Value not a valid list: %.300s", str_text(&shown));
        return attrs_invalid(e, "patch", patch, str_text(&why));
    }
    json_array_foreach(patch, i, op)
    {
        int rc = check_operation(op, r, zed, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

bool patch_touches(const json_t *patch, const char *path)
{
    size_t i;
    json_t *op;
    json_array_foreach(patch, i, op)
    {
        const char *p = jsonx_str(op, "path");
        if (p && strcmp(p, path) == 0)
            return true;
    }
    return false;
}

static int refuse(struct err *e, const json_t *patch, const char *reason)
{
    _cleanup_str_ struct str shown = STR_INIT;
    py_repr(patch, &shown);
    return err_set(e, ERR_INVALID, "Couldn't apply patch '%.1000s'. Reason: %s", str_text(&shown),
                   reason);
}

/* `a=1,b=2`, as older Terraform providers write labels. */
static json_t *pairs(const char *text)
{
    _cleanup_strv_ struct strv parts = STRV_INIT;
    _cleanup_json_ json_t *o = json_object();
    if (!strchr(text, '=') || strv_split(&parts, text, ',') < 0)
        return NULL;
    for (size_t i = 0; i < parts.n; i++) {
        char *eq = strchr(parts.v[i], '=');
        if (!eq || eq == parts.v[i])
            return NULL;
        *eq = '\0';
        if (json_object_set_new(o, parts.v[i], json_string(eq + 1)) < 0)
            return NULL;
    }
    return TAKE_PTR(o);
}

static int literal(const json_t *patch, const char *name, const json_t *value, json_t **ret,
                   struct err *e)
{
    struct err why = ERR_INIT;
    const char *text = json_string_value(value);
    if (!text)
        return refuse(e, patch, "malformed node or string");
    if (strcmp(name, "labels") == 0 && *text != '{')
        *ret = pairs(text);
    if (*ret || py_literal_parse(text, ret, &why) == 0)
        return 0;
    return refuse(e, patch, why.msg);
}

/* The checks Magnum makes on all operations before it applies the first. */
static int check_add(const json_t *doc, const char *path, struct err *e)
{
    const json_t *now = json_object_get(doc, path + 1);
    if (!now)
        return err_set(e, ERR_INVALID,
                       "Adding a new attribute %s to the root of the resource is not allowed.",
                       path);
    if (!json_is_null(now))
        return err_set(e, ERR_INVALID,
                       "The attribute %s has existed, please use 'replace' operation instead.",
                       path);
    return 0;
}

/* The container a path ends in; *ret_last is the last segment. */
static json_t *parent_of(json_t *doc, const char *path, char *segments, const char **ret_last)
{
    json_t *at = doc;
    char *save = NULL;
    strcpy(segments, path + 1);
    char *part = strtok_r(segments, "/", &save);
    for (char *next; part && (next = strtok_r(NULL, "/", &save)); part = next) {
        int64_t i = -1;
        if (json_is_object(at))
            at = json_object_get(at, part);
        else if (json_is_array(at) && parse_i64(part, 0, INT32_MAX, &i))
            at = json_array_get(at, (size_t)i);
        else
            at = NULL;
        if (!at) {
            *ret_last = part;
            return NULL;
        }
    }
    *ret_last = part;
    return at;
}

static int change_object(json_t *o, const char *verb, const char *key, json_t *value, char *why,
                         size_t size)
{
    bool there = json_object_get(o, key) != NULL;
    if (!there && strcmp(verb, "add") != 0) {
        snprintf(why, size, "can't %s a non-existent object '%.200s'", verb, key);
        return -1;
    }
    if (strcmp(verb, "remove") == 0)
        return json_object_del(o, key);
    return json_object_set(o, key, value);
}

static int change_array(json_t *a, const char *verb, const char *key, json_t *value, char *why,
                        size_t size)
{
    int64_t i = -1;
    bool add = strcmp(verb, "add") == 0;
    int64_t n = (int64_t)json_array_size(a);
    if (add && strcmp(key, "-") == 0)
        i = n;
    else if (!parse_i64(key, 0, add ? n : n - 1, &i)) {
        snprintf(why, size, "can't %s outside of list at '%.200s'", verb, key);
        return -1;
    }
    if (add)
        return json_array_insert(a, (size_t)i, value);
    if (strcmp(verb, "remove") == 0)
        return json_array_remove(a, (size_t)i);
    return json_array_set(a, (size_t)i, value);
}

static int apply(json_t *doc, const json_t *patch, const json_t *op, const struct patch_rules *r,
                 struct err *e)
{
    const char *path = jsonx_str(op, "path"), *verb = jsonx_str(op, "op"), *last = NULL;
    json_t *given = json_object_get(op, "value");
    _cleanup_json_ json_t *value = NULL;
    char why[400] = "";
    int rc = 0;
    if (strcmp(verb, "replace") == 0 && listed(r->literals, path + 1)) {
        rc = literal(patch, path + 1, given, &value, e);
        if (rc < 0)
            return rc;
    } else {
        value = json_incref(given);
    }
    _cleanup_free_ char *segments = malloc(strlen(path) + 1);
    if (!segments)
        return err_nomem(e);
    json_t *parent = parent_of(doc, path, segments, &last);
    if (json_is_object(parent))
        rc = change_object(parent, verb, last, value, why, sizeof why);
    else if (json_is_array(parent))
        rc = change_array(parent, verb, last, value, why, sizeof why);
    else
        snprintf(why, sizeof why, "member '%.200s' not found", last ? last : "");
    if (why[0])
        return refuse(e, patch, why);
    return rc < 0 ? err_nomem(e) : 0;
}

int patch_apply(const json_t *doc, const json_t *patch, const struct patch_rules *r, json_t **ret,
                struct err *e)
{
    size_t i;
    json_t *op;
    if (!json_is_array(patch))
        return attrs_invalid(e, "patch", patch, "Value not a valid list: None");
    json_array_foreach(patch, i, op)
    {
        const char *path = jsonx_str(op, "path");
        if (strcmp(jsonx_str(op, "op"), "add") != 0 || strchr(path + 1, '/'))
            continue;
        int rc = check_add(doc, path, e);
        if (rc < 0)
            return rc;
    }
    _cleanup_json_ json_t *copy = json_deep_copy(doc);
    if (!copy)
        return err_nomem(e);
    json_array_foreach(patch, i, op)
    {
        int rc = apply(copy, patch, op, r, e);
        if (rc < 0)
            return rc;
    }
    *ret = TAKE_PTR(copy);
    return 0;
}
