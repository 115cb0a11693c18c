/* What a driver does with the nodes of a Kubernetes cluster. See kube.h. */
#include "lib/kube.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAME_CAP = 256, PAST_GRACE_S = 5 };

const char *mag_kube_name(const json_t *object)
{
    return mag_json_text(object, "metadata.name", "");
}

const json_t *mag_kube_named(const json_t *items, const char *name)
{
    size_t i;
    json_t *j;
    json_array_foreach(items, i, j)
    {
        if (strcmp(mag_kube_name(j), name) == 0)
            return j;
    }
    return NULL;
}

const char *mag_kube_node_ready(const json_t *node, const char **reason, const char **message,
                                const char **since)
{
    size_t i;
    json_t *c;
    const char *status = "";
    const json_t *found = NULL;
    json_array_foreach(mag_json_at(node, "status.conditions"), i, c)
    {
        if (strcmp(mag_json_text(c, "type", ""), "Ready") == 0)
            found = c;
    }
    status = mag_json_text(found, "status", "");
    if (reason)
        *reason = mag_json_text(found, "reason", "");
    if (message)
        *message = mag_json_text(found, "message", "");
    if (since)
        *since = mag_json_text(found, "lastTransitionTime", "");
    return status;
}

static int32_t node_path(char *out, size_t cap, const char *name, mag_error *err)
{
    char quoted[NAME_CAP];
    if (mag_http_quote(quoted, sizeof quoted, name) &&
        snprintf(out, cap, "/api/v1/nodes/%s", quoted) < (int)cap)
        return MAG_OK;
    return mag_fail(err, MAG_E_INVALID, 0, "BadName", NULL, "'%.60s' is no name of a node", name);
}

/* Labels that differ from what the node has; NULL = nothing to do. */
static json_t *label_changes(const json_t *node, const json_t *wanted)
{
    const char *key;
    json_t *v, *changes = json_object();
    const json_t *have = mag_json_at(node, "metadata.labels");
    json_object_foreach((json_t *)(uintptr_t)wanted, key, v)
    {
        const json_t *now = json_object_get(have, key);
        if (json_is_null(v) ? now != NULL : !now || !json_equal(now, v))
            (void)json_object_set(changes, key, v);
    }
    if (json_object_size(changes))
        return changes;
    json_decref(changes);
    return NULL;
}

static bool same_taint(const json_t *a, const json_t *b)
{
    return strcmp(mag_json_text(a, "key", ""), mag_json_text(b, "key", "")) == 0 &&
           strcmp(mag_json_text(a, "effect", ""), mag_json_text(b, "effect", "")) == 0;
}

static bool listed(const json_t *taints, const json_t *one)
{
    size_t i;
    json_t *t;
    json_array_foreach(taints, i, t)
    {
        if (same_taint(t, one))
            return true;
    }
    return false;
}

static bool has_text(const json_t *list, const char *text)
{
    size_t i;
    json_t *j;
    json_array_foreach(list, i, j)
    {
        if (json_is_string(j) && strcmp(json_string_value(j), text) == 0)
            return true;
    }
    return false;
}

/* The node's whole new list; NULL = it has it already. */
static json_t *taint_changes(const json_t *node, const struct mag_kube_wanted *w)
{
    size_t i;
    json_t *t, *list = json_array();
    bool changed = false;
    const json_t *have = mag_json_at(node, "spec.taints");
    json_array_foreach(have, i, t)
    {
        bool former = has_text(w->former_taints, mag_json_text(t, "key", ""));
        bool stays = !listed(w->taints, t) && !former;
        if (stays)
            (void)json_array_append(list, t);
        else
            changed |= !listed(w->taints, t);
    }
    json_array_foreach(w->taints, i, t)
    {
        size_t k;
        json_t *h;
        bool there = false;
        json_array_foreach(have, k, h)
        {
            there |= same_taint(h, t) &&
                     strcmp(mag_json_text(h, "value", ""), mag_json_text(t, "value", "")) == 0;
        }
        changed |= !there;
        (void)json_array_append(list, t);
    }
    if (changed)
        return list;
    json_decref(list);
    return NULL;
}

int32_t mag_kube_node_set(const struct mag_kube *k, const json_t *node,
                          const struct mag_kube_wanted *w, mag_error *err)
{
    char path[NAME_CAP + 32];
    _mag_json_ json_t *labels = label_changes(node, w->labels);
    _mag_json_ json_t *taints = w->taints || w->former_taints ? taint_changes(node, w) : NULL;
    bool off = mag_json_bool(node, "spec.unschedulable", false);
    bool turn = w->unschedulable >= 0 && off != (w->unschedulable == 1);
    if (!labels && !taints && !turn)
        return MAG_OK;
    _mag_json_ json_t *patch = json_object(), *spec = json_object();
    if (taints) /* the version makes a list that changed meanwhile a conflict, not a loss */
        (void)json_object_set_new(patch, "metadata",
                                  json_pack("{s:s}", "resourceVersion",
                                            mag_json_text(node, "metadata.resourceVersion", "")));
    if (labels) {
        if (!json_object_get(patch, "metadata"))
            (void)json_object_set_new(patch, "metadata", json_object());
        (void)json_object_set(json_object_get(patch, "metadata"), "labels", labels);
    }
    if (taints)
        (void)json_object_set(spec, "taints", taints);
    if (turn)
        (void)json_object_set_new(spec, "unschedulable",
                                  w->unschedulable ? json_true() : json_null());
    if (json_object_size(spec))
        (void)json_object_set(patch, "spec", spec);
    int32_t rc = node_path(path, sizeof path, mag_kube_name(node), err);
    return rc == MAG_OK ? mag_kube_call(k, "PATCH", path, MAG_KUBE_MERGE, patch, NULL, NULL, err)
                        : rc;
}

/* Pods that no drain moves: copies of a node's static pods, and those a daemon set wants there. */
static bool belongs_to_node(const json_t *pod)
{
    size_t i;
    json_t *o;
    const json_t *notes = mag_json_at(pod, "metadata.annotations");
    if (json_object_get(notes, "kubernetes.io/config.mirror"))
        return true;
    json_array_foreach(mag_json_at(pod, "metadata.ownerReferences"), i, o)
    {
        const char *kind = mag_json_text(o, "kind", "");
        if (strcmp(kind, "DaemonSet") == 0 || strcmp(kind, "Node") == 0)
            return true;
    }
    return false;
}

/* The time by which a pod that was told to go had to be gone; 0: it was not told. */
static int64_t end_of_grace(const json_t *pod)
{
    struct tm t = {0};
    const char *text = mag_json_text(pod, "metadata.deletionTimestamp", "");
    return *text && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &t) ? (int64_t)timegm(&t) : 0;
}

/* It was told to go, and all of its containers have, or should have long ago: only the kubelet's
 * tidying up is left, which takes it some seconds more and which a node that goes away does not
 * need. */
static bool is_over(const json_t *pod)
{
    size_t i;
    json_t *c;
    const json_t *all = mag_json_at(pod, "status.containerStatuses");
    int64_t end = end_of_grace(pod);
    if (end == 0)
        return false;
    if ((int64_t)time(NULL) > end + PAST_GRACE_S)
        return true;
    json_array_foreach(all, i, c)
    {
        if (!mag_json_at(c, "state.terminated"))
            return false;
    }
    return json_array_size(all) > 0;
}

/* 200/201: it goes; 404: it is gone; 429: a budget forbids it for now. */
static int32_t send_away(const struct mag_kube *k, const json_t *pod, bool hurry, bool *ret_blocked,
                         mag_error *err)
{
    char path[NAME_CAP * 3], ns[NAME_CAP], name[NAME_CAP];
    const char *space = mag_json_text(pod, "metadata.namespace", "default");
    uint32_t status = 0;
    if (!mag_http_quote(ns, sizeof ns, space) ||
        !mag_http_quote(name, sizeof name, mag_kube_name(pod)))
        return MAG_OK;
    (void)snprintf(path, sizeof path, "/api/v1/namespaces/%s/pods/%s%s", ns, name,
                   hurry ? "" : "/eviction");
    _mag_json_ json_t *body = hurry ? json_pack("{s:s, s:s, s:i}", "kind", "DeleteOptions",
                                                "apiVersion", "v1", "gracePeriodSeconds", 0)
                                    : json_pack("{s:s, s:s, s:{s:s, s:s}}", "kind", "Eviction",
                                                "apiVersion", "policy/v1beta1", "metadata", "name",
                                                mag_kube_name(pod), "namespace", space);
    int32_t rc = mag_kube_call(k, hurry ? "DELETE" : "POST", path, NULL, body, NULL, &status, err);
    if (!hurry && (status == 400 || status == 422)) { /* 1.22 and later speak policy/v1 alone */
        (void)json_object_set_new(body, "apiVersion", json_string("policy/v1"));
        rc = mag_kube_call(k, "POST", path, NULL, body, NULL, &status, err);
    }
    *ret_blocked = status == 429;
    return status == 404 || status == 429 ? MAG_OK : rc;
}

static bool must_end(const struct mag_kube *k)
{
    return k->host->cancelled && k->host->cancelled(k->host->ctx, k->op);
}

/* An API that can't do it now, such as one whose webhooks hang or fail, is no error of the drain:
 * `why` tells, and the other pods are not asked in this pass, since each would take as long. */
static int32_t ask_to_go(const struct mag_kube *k, const json_t *pod, bool hurry, char why[192],
                         bool *ret_stop, mag_error *err)
{
    mag_error e = {.struct_size = sizeof e};
    bool blocked = false;
    const char *space = mag_json_text(pod, "metadata.namespace", "");
    int32_t rc = send_away(k, pod, hurry, &blocked, &e);
    if (blocked)
        (void)snprintf(why, 192, "a disruption budget protects %.60s/%.60s", space,
                       mag_kube_name(pod));
    if (rc == MAG_E_TIMEOUT || rc == MAG_E_UNAVAILABLE) {
        const char *at = strstr(e.message, " answered "); /* the path says nothing new */
        (void)snprintf(why, 192, "%.40s/%.40s: %.100s", space, mag_kube_name(pod),
                       at ? at + 1 : e.message);
        *ret_stop = true;
        return MAG_OK;
    }
    if (rc != MAG_OK && err)
        *err = e;
    return rc;
}

int32_t mag_kube_drain(const struct mag_kube *k, const char *node, bool hurry, size_t *ret_left,
                       char *blocked, size_t cap, mag_error *err)
{
    char quoted[NAME_CAP], path[NAME_CAP + 64];
    _mag_json_ json_t *pods = NULL;
    *ret_left = 0;
    if (blocked)
        blocked[0] = '\0';
    if (!mag_http_quote(quoted, sizeof quoted, node))
        return mag_fail(err, MAG_E_INVALID, 0, "BadName", NULL, "'%.60s' is no name of a node",
                        node);
    (void)snprintf(path, sizeof path, "/api/v1/pods?fieldSelector=spec.nodeName%%3D%s", quoted);
    int32_t rc = mag_kube_list(k, path, 0, &pods, NULL, err);
    size_t i;
    json_t *pod;
    bool stop = false;
    json_array_foreach(pods, i, pod)
    {
        char why[192] = "";
        if (rc != MAG_OK)
            break;
        if (belongs_to_node(pod))
            continue;
        bool going = mag_json_text(pod, "metadata.deletionTimestamp", NULL) != NULL;
        bool over = is_over(pod);
        *ret_left += !over;
        stop = stop || must_end(k);
        if (!stop && (!going || over || hurry))
            rc = ask_to_go(k, pod, over || hurry, why, &stop, err);
        if (why[0] && blocked && !blocked[0])
            (void)snprintf(blocked, cap, "%s", why);
    }
    return rc;
}
