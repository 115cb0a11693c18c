/* What a manifest asks for and what a cluster says about an object, as the columns of its row.
 * See workload_internal.h. Documents of Kubernetes are its own; a driver describes a container as
 * {"name", "image", "status", "status_reason", "host", "labels"}. */
#include "base/jsonx.h"
#include "base/parse.h"
#include "conductor/workload_internal.h"

#include <string.h>

enum { MEMORY_MIN = 4 * 1024 * 1024 };

/* ---- columns ---- */

static int set_text(char **column, const char *value, bool *changed, struct err *e)
{
    if (str_eq(*column, value))
        return 0;
    char *copy = str_dup(value);
    if (value && !copy)
        return err_nomem(e);
    free(*column);
    *column = copy;
    *changed = true;
    return 0;
}

/* Takes value; NULL leaves the column as it is. */
static void set_json(json_t **column, json_t *value, bool *changed)
{
    if (!value || (*column && json_equal(*column, value))) {
        json_decref(value);
        return;
    }
    json_decref(*column);
    *column = value;
    *changed = true;
}

static const json_t *at(const json_t *doc, const char *a, const char *b, const char *c)
{
    const json_t *v = json_object_get(doc, a);
    v = b ? json_object_get(v, b) : v;
    return c ? json_object_get(v, c) : v;
}

/* The labels without our own. */
static json_t *labels_of(const json_t *doc)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)at(doc, "metadata", "labels", NULL));
    if (copy)
        (void)json_object_del(copy, WORKLOAD_LABEL);
    return copy ? copy : json_object();
}

static json_t *images_of(const json_t *containers)
{
    json_t *list = json_array();
    size_t i;
    json_t *v;
    json_array_foreach(containers, i, v)
    {
        const char *image = jsonx_str(v, "image");
        if (image && json_array_append_new(list, json_string(image)) < 0)
            break;
    }
    return list;
}

static const json_t *containers_of(const char *kind, const json_t *doc)
{
    const json_t *spec = json_object_get(doc, "spec");
    return str_eq(kind, "pod") ? json_object_get(spec, "containers")
                               : at(json_object_get(spec, "template"), "spec", "containers", NULL);
}

static json_t *ref(const json_t *v)
{
    return json_incref((json_t *)(uintptr_t)v);
}

/* Both of a manifest and of Kubernetes' own document. */
static int take_common(struct coe_object *o, const json_t *doc, bool *changed, struct err *e)
{
    const json_t *spec = json_object_get(doc, "spec");
    const json_t *notes = at(doc, "metadata", "annotations", NULL);
    int rc = set_text(&o->name, jsonx_str(json_object_get(doc, "metadata"), "name"), changed, e);
    if (rc == 0)
        rc = set_text(&o->description, jsonx_str(notes, "description"), changed, e);
    set_json(&o->labels, labels_of(doc), changed);
    if (str_eq(o->kind, "service")) {
        const json_t *selector = json_object_get(spec, "selector");
        set_json(&o->selector, selector ? ref(selector) : json_object(), changed);
        set_json(&o->ports, ref(json_object_get(spec, "ports")), changed);
        return rc;
    }
    set_json(&o->images, images_of(containers_of(o->kind, doc)), changed);
    if (str_eq(o->kind, "rc")) {
        int64_t replicas = jsonx_int(spec, "replicas", 1);
        *changed |= replicas != o->replicas;
        o->replicas = replicas;
    }
    return rc;
}

/* ---- manifests ---- */

static int need(const char *field, struct err *e)
{
    return err_set(e, ERR_INVALID, "Field %s can't be empty in manifest.", field);
}

static int check_manifest(const char *kind, const json_t *manifest, struct err *e)
{
    const json_t *meta = json_object_get(manifest, "metadata");
    const json_t *spec = json_object_get(manifest, "spec");
    const char *title = str_eq(kind, "pod")       ? "Pod"
                        : str_eq(kind, "service") ? "Service"
                                                  : "ReplicationController";
    const char *said = jsonx_str(manifest, "kind");
    if (said && !str_eq(said, title))
        return err_set(e, ERR_INVALID, "The manifest is of the kind %.60s, not %s.", said, title);
    if (str_blank(jsonx_str(meta, "name")))
        return need("metadata['name']", e);
    if (str_eq(kind, "service"))
        return json_array_size(json_object_get(spec, "ports")) ? 0 : need("spec['ports']", e);
    if (json_array_size(containers_of(kind, manifest)))
        return 0;
    return need(
        str_eq(kind, "pod") ? "spec['containers']" : "spec['template']['spec']['containers']", e);
}

static int add_label(json_t *manifest, const char *uuid, struct err *e)
{
    json_t *meta = json_object_get(manifest, "metadata");
    if (!json_is_object(json_object_get(meta, "labels")) &&
        json_object_set_new(meta, "labels", json_object()) < 0)
        return err_nomem(e);
    json_t *labels = json_object_get(meta, "labels");
    return json_object_set_new(labels, WORKLOAD_LABEL, json_string(uuid)) < 0 ? err_nomem(e) : 0;
}

int facts_of_manifest(struct coe_object *o, json_t *manifest, struct err *e)
{
    bool changed = false;
    const json_t *meta = json_object_get(manifest, "metadata");
    int rc = check_manifest(o->kind, manifest, e);
    if (rc == 0)
        rc = take_common(o, manifest, &changed, e);
    if (rc)
        return rc;
    const char *space = jsonx_str(meta, "namespace");
    _cleanup_free_ char *target =
        str_fmt("%s/%s", str_blank(space) ? "default" : space, jsonx_str(meta, "name"));
    if (!target)
        return err_nomem(e);
    rc = set_text(&o->target, target, &changed, e);
    return rc ? rc : add_label(manifest, o->uuid, e);
}

/* ---- containers ---- */

static int read_memory(const char *text, int64_t *ret, struct err *e)
{
    static const char units[] = "bkmg";
    size_t n = strlen(text);
    const char *unit = n ? strchr(units, text[n - 1]) : NULL;
    char digits[24];
    size_t len = unit ? n - 1 : n;
    int64_t number;
    bool fits = len < sizeof digits;
    if (fits) {
        memcpy(digits, text, len);
        digits[len] = '\0';
        fits = parse_i64(digits, 0, INT64_C(1) << 32, &number);
    }
    if (!fits)
        return err_set(e, ERR_INVALID,
                       "Invalid docker memory specified. Acceptable values are format: "
                       "<number>[<unit>],where unit = b, k, m or g");
    *ret = number << (unit ? 10 * (unit - units) : 0);
    if (*ret < MEMORY_MIN)
        return err_set(e, ERR_INVALID, "Docker Minimum memory limit allowed is %d B.", MEMORY_MIN);
    return 0;
}

int facts_of_container(struct coe_object *o, const json_t *params, json_t **ret, struct err *e)
{
    bool changed = false;
    int64_t memory = 0;
    int rc = set_text(&o->name, jsonx_str(params, "name"), &changed, e);
    if (rc == 0)
        rc = set_text(&o->image, jsonx_str(params, "image"), &changed, e);
    if (rc == 0)
        rc = set_text(&o->command, jsonx_str(params, "command"), &changed, e);
    if (rc == 0)
        rc = set_text(&o->memory, jsonx_str(params, "memory"), &changed, e);
    if (rc == 0)
        rc = set_text(&o->target, o->uuid, &changed, e);
    if (rc == 0 && str_blank(o->image))
        rc = err_set(e, ERR_INVALID, "A container needs an image.");
    if (rc == 0 && !str_blank(o->memory))
        rc = read_memory(o->memory, &memory, e);
    if (rc)
        return rc;
    *ret = json_pack("{s:s, s:s*, s:s, s:s*, s:I, s:{s:s}}", "id", o->uuid, "name", o->name,
                     "image", o->image, "command", o->command, "memory", (json_int_t)memory,
                     "labels", WORKLOAD_LABEL, o->uuid);
    return *ret ? 0 : err_nomem(e);
}

/* ---- what the cluster says ---- */

static int take_container(struct coe_object *o, const json_t *doc, bool *changed, struct err *e)
{
    int rc = set_text(&o->status, jsonx_str(doc, "status"), changed, e);
    if (rc == 0)
        rc = set_text(&o->status_reason, jsonx_str(doc, "status_reason"), changed, e);
    return rc ? rc : set_text(&o->host, jsonx_str(doc, "host"), changed, e);
}

static int take_kubernetes(struct coe_object *o, const json_t *doc, bool *changed, struct err *e)
{
    const json_t *spec = json_object_get(doc, "spec"), *status = json_object_get(doc, "status");
    int rc = take_common(o, doc, changed, e);
    if (rc == 0)
        rc = set_text(&o->status_reason, jsonx_str(status, "message"), changed, e);
    if (rc == 0 && str_eq(o->kind, "pod")) {
        rc = set_text(&o->status, jsonx_str(status, "phase"), changed, e);
        return rc ? rc : set_text(&o->host, jsonx_str(spec, "nodeName"), changed, e);
    }
    if (rc == 0 && str_eq(o->kind, "service"))
        rc = set_text(&o->ip, jsonx_str(spec, "clusterIP"), changed, e);
    return rc;
}

int facts_take(struct coe_object *o, const json_t *doc, bool *changed, struct err *e)
{
    int rc = set_text(&o->phase, "present", changed, e);
    if (rc)
        return rc;
    return str_eq(o->kind, "container") ? take_container(o, doc, changed, e)
                                        : take_kubernetes(o, doc, changed, e);
}

int facts_missing(struct coe_object *o, const char *why, bool *changed, struct err *e)
{
    int rc = set_text(&o->phase, "missing", changed, e);
    if (rc == 0)
        rc = set_text(&o->status, str_eq(o->kind, "container") ? "Error" : "Failed", changed, e);
    return rc ? rc : set_text(&o->status_reason, why, changed, e);
}

const char *facts_owner(const char *kind, const json_t *doc)
{
    const json_t *labels = str_eq(kind, "container") ? json_object_get(doc, "labels")
                                                     : at(doc, "metadata", "labels", NULL);
    return jsonx_str(labels, WORKLOAD_LABEL);
}

bool facts_are_of(const struct coe_object *o, const json_t *doc)
{
    return str_eq(facts_owner(o->kind, doc), o->uuid);
}
