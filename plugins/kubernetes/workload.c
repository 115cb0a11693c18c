/* Pods, services, replication controllers and nodes, straight to the cluster's API with the
 * conductor's certificate. Documents are Kubernetes' own; so are the errors.
 * A list's query: {"namespace": text (absent: "default", "*": all), "label_selector": text}. In the
 * other calls a name may be "namespace/name". Neighbours: kubernetes.c, lib/kube. */
#include "kubernetes_internal.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <stdio.h>
#include <string.h>

/* An answer has to fit in one frame to the core (drivers.max_frame_bytes, 4 MiB by default). */
enum { ITEMS_MAX = 10000, ANSWER_MAX = 3 << 20, QUOTED = 256, PATH_CAP = 1200, UPDATE_TRIES = 5 };

struct resource {
    const char *kind, *plural, *title; /* title: what the manifest calls it */
    bool namespaced;
};

static const struct resource *find(struct mag_call *c, const char *kind)
{
    static const struct resource all[] = {
        {"pod", "pods", "Pod", true},
        {"service", "services", "Service", true},
        {"rc", "replicationcontrollers", "ReplicationController", true},
        {"node", "nodes", "Node", false},
    };
    for (size_t i = 0; i < MAG_LEN(all); i++)
        if (strcmp(all[i].kind, kind) == 0)
            return &all[i];
    (void)mag_fail(c->err, MAG_E_UNSUPPORTED, MAG_ERR_USER, "KindNotOffered", NULL,
                   "Kubernetes clusters have no objects of the kind '%.40s'", kind);
    return NULL;
}

/* /api/v1[/namespaces/NS]/PLURAL[/NAME] */
static int32_t path_of(struct mag_call *c, const struct resource *r, const char *space,
                       const char *name, char ret[PATH_CAP])
{
    char ns[QUOTED * 3] = "", own[QUOTED * 3] = "";
    bool all = !r->namespaced || strcmp(space, "*") == 0;
    if ((!all && !mag_http_quote(ns, sizeof ns, space)) ||
        (name && !mag_http_quote(own, sizeof own, name)) ||
        snprintf(ret, PATH_CAP, "/api/v1%s%s/%s%s%s", all ? "" : "/namespaces/", ns, r->plural,
                 name ? "/" : "", own) >= PATH_CAP)
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadName", NULL,
                        "'%.60s' is too long for a name", name ? name : space);
    return MAG_OK;
}

static int32_t object_path(struct mag_call *c, const struct resource *r, const char *name,
                           char ret[PATH_CAP])
{
    char space[QUOTED] = "default";
    const char *slash = strchr(name, '/');
    if (slash && snprintf(space, sizeof space, "%.*s", (int)(slash - name), name) >= QUOTED)
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadName", NULL,
                        "'%.60s' is too long for a name", name);
    return path_of(c, r, space, slash ? slash + 1 : name, ret);
}

struct listing {
    json_t *items; /* owned */
    size_t bytes;
    bool cut;
};

/* managedFields, the server's own bookkeeping, is often most of an object and of no use to anybody
 * here. */
static int32_t add_item(void *ctx, const json_t *item, mag_error *err)
{
    struct listing *l = ctx;
    if (!item) {
        json_decref(l->items);
        *l = (struct listing){.items = json_array()};
        return l->items ? MAG_OK : mag_fail_nomem(err);
    }
    (void)json_object_del(mag_json_at(item, "metadata"), "managedFields");
    size_t size = json_dumpb(item, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) + 1;
    l->cut = l->bytes + size > ANSWER_MAX || json_array_size(l->items) == ITEMS_MAX;
    if (l->cut)
        return MAG_AGAIN;
    l->bytes += size;
    return json_array_append(l->items, (json_t *)(uintptr_t)item) < 0 ? mag_fail_nomem(err)
                                                                      : MAG_OK;
}

int32_t workload_list(struct mag_call *c, const struct mag_object *w, json_t **ret)
{
    const struct resource *r = find(c, w->kind);
    _mag_json_ json_t *query = NULL;
    char path[PATH_CAP], quoted[QUOTED * 3];
    struct listing l = {.items = NULL};
    struct mag_kube k = kube_api(c, 0);
    if (!r)
        return MAG_E_UNSUPPORTED;
    int32_t rc = mag_json_parse(w->doc, "query", &query, c->err);
    if (rc == MAG_OK)
        rc = path_of(c, r, mag_json_text(query, "namespace", "default"), NULL, path);
    const char *selector = mag_json_text(query, "label_selector", "");
    if (rc == MAG_OK && *selector && mag_http_quote(quoted, sizeof quoted, selector)) {
        size_t n = strlen(path);
        (void)snprintf(path + n, sizeof path - n, "?labelSelector=%s", quoted);
    }
    if (rc == MAG_OK)
        rc = mag_kube_each(&k, path, add_item, &l, c->err);
    if (rc == MAG_OK) {
        *ret = json_pack("{s:O, s:b}", "items", l.items, "truncated", (int)l.cut);
        rc = *ret ? MAG_OK : mag_fail_nomem(c->err);
    }
    json_decref(l.items);
    return rc;
}

static int32_t need_object(struct mag_call *c, json_t **ret)
{
    return *ret ? MAG_OK
                : mag_fail(c->err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BadAnswer", NULL,
                           "The Kubernetes API answered with no object");
}

int32_t workload_get(struct mag_call *c, const struct mag_object *w, json_t **ret)
{
    const struct resource *r = find(c, w->kind);
    char path[PATH_CAP];
    struct mag_kube k = kube_api(c, 0);
    int32_t rc = r ? object_path(c, r, w->name, path) : MAG_E_UNSUPPORTED;
    if (rc == MAG_OK)
        rc = mag_kube_call(&k, "GET", path, NULL, NULL, ret, NULL, c->err);
    return rc == MAG_OK ? need_object(c, ret) : rc;
}

static int32_t read_manifest(struct mag_call *c, const struct resource *r, mag_bytes doc,
                             json_t **ret)
{
    int32_t rc = mag_json_parse(doc, "manifest", ret, c->err);
    if (rc != MAG_OK)
        return rc;
    if (!json_is_object(*ret))
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadManifest", NULL,
                        "The manifest is no object");
    const char *kind = mag_json_text(*ret, "kind", r->title);
    if (strcmp(kind, r->title) != 0)
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadManifest", NULL,
                        "The manifest is of the kind %.60s, not %s", kind, r->title);
    (void)json_object_set_new(*ret, "kind", json_string(r->title));
    if (!mag_json_text(*ret, "apiVersion", NULL))
        (void)json_object_set_new(*ret, "apiVersion", json_string("v1"));
    return MAG_OK;
}

int32_t workload_create(struct mag_call *c, const struct mag_object *w, json_t **ret)
{
    const struct resource *r = find(c, w->kind);
    _mag_json_ json_t *doc = NULL;
    char path[PATH_CAP];
    struct mag_kube k = kube_api(c, 0);
    int32_t rc = r ? read_manifest(c, r, w->doc, &doc) : MAG_E_UNSUPPORTED;
    if (rc == MAG_OK)
        rc = path_of(c, r, mag_json_text(doc, "metadata.namespace", "default"), NULL, path);
    if (rc == MAG_OK)
        rc = mag_kube_call(&k, "POST", path, NULL, doc, ret, NULL, c->err);
    return rc == MAG_OK ? need_object(c, ret) : rc;
}

/* A manifest that names no version replaces what is there now, whoever changed it meanwhile; what
 * the API gave out itself and allows no change of is carried over. */
static int32_t replace_once(struct mag_call *c, const char *path, const json_t *wanted,
                            json_t **ret, uint32_t *status)
{
    struct mag_kube k = kube_api(c, 0);
    _mag_json_ json_t *now = NULL, *next = json_deep_copy(wanted);
    int32_t rc = mag_kube_call(&k, "GET", path, NULL, NULL, &now, status, c->err);
    if (rc != MAG_OK)
        return rc;
    json_t *meta = json_object_get(next, "metadata"), *spec = json_object_get(next, "spec");
    if (!json_is_object(meta)) {
        (void)json_object_set_new(next, "metadata", json_object());
        meta = json_object_get(next, "metadata");
    }
    if (!json_object_get(meta, "name"))
        (void)json_object_set_new(meta, "name", json_string(mag_kube_name(now)));
    (void)json_object_set(meta, "resourceVersion", mag_json_at(now, "metadata.resourceVersion"));
    if (json_is_object(spec) && !json_object_get(spec, "clusterIP") &&
        mag_json_at(now, "spec.clusterIP"))
        (void)json_object_set(spec, "clusterIP", mag_json_at(now, "spec.clusterIP"));
    return mag_kube_call(&k, "PUT", path, NULL, next, ret, status, c->err);
}

int32_t workload_update(struct mag_call *c, const struct mag_object *w, json_t **ret)
{
    const struct resource *r = find(c, w->kind);
    _mag_json_ json_t *doc = NULL;
    char path[PATH_CAP];
    uint32_t status = 409;
    struct mag_kube k = kube_api(c, 0);
    int32_t rc = r ? read_manifest(c, r, w->doc, &doc) : MAG_E_UNSUPPORTED;
    if (rc == MAG_OK)
        rc = object_path(c, r, w->name, path);
    if (rc != MAG_OK)
        return rc;
    if (mag_json_text(doc, "metadata.resourceVersion", NULL))
        return mag_kube_call(&k, "PUT", path, NULL, doc, ret, NULL, c->err);
    for (int i = 0; i < UPDATE_TRIES && status == 409; i++)
        rc = replace_once(c, path, doc, ret, &status);
    return rc;
}

/* The pods of a replication controller go with it. */
int32_t workload_remove(struct mag_call *c, const struct mag_object *w, json_t **ret)
{
    const struct resource *r = find(c, w->kind);
    char path[PATH_CAP];
    struct mag_kube k = kube_api(c, 0);
    _mag_json_ json_t *body = json_pack("{s:s, s:s, s:s}", "kind", "DeleteOptions", "apiVersion",
                                        "v1", "propagationPolicy", "Background");
    int32_t rc = r ? object_path(c, r, w->name, path) : MAG_E_UNSUPPORTED;
    (void)ret;
    return rc == MAG_OK ? mag_kube_call(&k, "DELETE", path, NULL, body, NULL, NULL, c->err) : rc;
}
