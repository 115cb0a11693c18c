/* From running daemons to a cluster that can be used: the API serves, the nodes have their labels
 * and taints and are ready, and pods can be made. Neighbours: local_run.h, lib/kube. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/spawn.h"

#include <stdio.h>
#include <string.h>

enum { ASK_MS = 3000, CHANGE_MS = 10000, POLL_MS = 100, FAILS_MAX = 6 };

/* A daemon that can't live will not make the next look better: its own last words are the reason.
 */
static int32_t give_up_on(struct mag_local_run *r)
{
    char why[400], remedy[160], base[MAG_LOCAL_BASE_MAX + 8];
    for (size_t i = 0; i < r->st.n; i++) {
        if (r->st.v[i].leaving || !local_daemon_fails(r, i, FAILS_MAX, why, sizeof why))
            continue;
        mag_local_base(&r->cl, r->st.v[i].index, base);
        (void)snprintf(remedy, sizeof remedy, "look into the logs in %s on the conductor's machine",
                       base);
        return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_OPERATOR, "DaemonFailed", remedy,
                        "Node %s: %s", r->st.v[i].name, why);
    }
    return MAG_OK;
}

int32_t local_wait_more(struct mag_local_run *r, uint32_t percent, const char *what)
{
    int32_t rc = give_up_on(r);
    return rc == MAG_OK ? mag_again(r->c->out, POLL_MS, percent, "%s", what) : rc;
}

/* What the API can't say now is not an error of this step, unless we may not go on at all. */
static bool is_final(int32_t rc)
{
    return rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED || rc == MAG_E_INTERNAL;
}

int32_t local_wait_api(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    char address[64], why[160], text[200];
    mag_error e = {.struct_size = sizeof e};
    local_api_address(r, address);
    if (!address[0])
        return local_wait_more(r, 30, "Waiting for a master");
    int32_t rc = mag_output_new(c->self->host, c->op, "api_address", json_string(address), c->err);
    if (rc != MAG_OK)
        return rc;
    struct mag_kube k = kube_api(c, ASK_MS);
    rc = mag_kube_ready(&k, why, sizeof why, &e);
    kube_run(r)->api_up = rc == MAG_OK;
    if (rc == MAG_OK)
        return MAG_OK;
    if (is_final(rc)) {
        *c->err = e;
        return rc;
    }
    (void)snprintf(text, sizeof text, "Waiting for the Kubernetes API%s%.120s", why[0] ? ": " : "",
                   why);
    return local_wait_more(r, 35, text);
}

int32_t local_list(struct mag_local_run *r)
{
    struct mag_kube k = kube_api(r->c, CHANGE_MS);
    json_decref(r->list);
    r->list = NULL;
    for (size_t i = 0; i < r->st.n; i++)
        r->seen[i].entry = NULL;
    int32_t rc = mag_kube_list(&k, "/api/v1/nodes", 0, &r->list, NULL, r->c->err);
    for (size_t i = 0; i < r->st.n && rc == MAG_OK; i++)
        r->seen[i].entry = mag_kube_named(r->list, r->st.v[i].name);
    return rc;
}

bool local_is_ready(const struct mag_local_run *r, size_t at)
{
    const struct mag_local_seen *s = &r->seen[at];
    return s->run == MAG_NODE_RUNNING &&
           (r->st.v[at].master ||
            (s->entry && strcmp(mag_kube_node_ready(s->entry, NULL, NULL, NULL), "True") == 0));
}

/* ---- labels and taints of a nodegroup ---- */

static json_t *wanted_labels(const struct mag_roster_group *g, const json_t *former)
{
    json_t *labels = json_object();
    const char *key, *role = mag_json_text(g ? g->json : NULL, "role", "worker");
    char name[128];
    size_t i;
    json_t *v;
    json_array_foreach(former, i, v)
    {
        if (json_is_string(v))
            (void)json_object_set_new(labels, json_string_value(v), json_null());
    }
    json_object_foreach(mag_json_at(g ? g->json : NULL, "node_labels"), key, v)
    {
        if (json_is_string(v))
            (void)json_object_set(labels, key, v);
    }
    (void)json_object_set_new(labels, "magnum.openstack.org/nodegroup",
                              json_string(g ? g->name : ""));
    (void)json_object_set_new(labels, "magnum.openstack.org/role", json_string(role));
    (void)snprintf(name, sizeof name, "node-role.kubernetes.io/%.60s", role);
    (void)json_object_set_new(labels, name, json_string(""));
    return labels;
}

/* What was set for a group earlier, by key: {"labels": [..], "taints": [..]}; so that one that is
 * taken out of the nodegroup leaves its nodes too. */
static json_t *former_of(const struct mag_local_run *r, const char *uuid, const char *what)
{
    return mag_json_at(json_object_get(mag_json_at(r->st.facts, "sets"), uuid), what);
}

static json_t *keys_of(const struct mag_roster_group *g, bool taints)
{
    json_t *list = json_array(), *v;
    const char *key;
    size_t i;
    if (taints) {
        json_array_foreach(mag_json_at(g->json, "node_taints"), i, v)
        {
            (void)json_array_append_new(list, json_string(mag_json_text(v, "key", "")));
        }
    } else {
        json_object_foreach(mag_json_at(g->json, "node_labels"), key, v)
        {
            (void)json_array_append_new(list, json_string(key));
        }
    }
    return list;
}

/* Adds what is wanted now to what was ever set; `only`: forgets the rest. */
static bool remember(struct mag_local_run *r, bool only)
{
    _mag_json_ json_t *sets = json_object();
    for (size_t g = 0; g < r->n_groups; g++) {
        const struct mag_roster_group *group = &r->groups[g];
        json_t *one = json_pack("{s:o, s:o}", "labels", keys_of(group, false), "taints",
                                keys_of(group, true));
        for (int t = 0; t < 2 && !only; t++) {
            const char *what = t ? "taints" : "labels";
            size_t i, k;
            json_t *v, *h, *list = json_object_get(one, what);
            json_array_foreach(former_of(r, group->uuid, what), i, v)
            {
                bool there = false;
                json_array_foreach(list, k, h)
                {
                    there |= json_equal(h, v) != 0;
                }
                if (!there)
                    (void)json_array_append(list, v);
            }
        }
        if (json_array_size(json_object_get(one, "labels")) ||
            json_array_size(json_object_get(one, "taints")))
            (void)json_object_set(sets, group->uuid, one);
        json_decref(one);
    }
    json_t *was = json_object_get(r->st.facts, "sets");
    if (was ? json_equal(was, sets) : json_object_size(sets) == 0)
        return false;
    (void)json_object_set(r->st.facts, "sets", sets);
    return true;
}

int32_t local_set_node(struct mag_local_run *r, size_t at)
{
    struct mag_roster_node *n = &r->st.v[at];
    const struct mag_roster_group *g = mag_local_group_of(r, n);
    struct mag_kube k = kube_api(r->c, CHANGE_MS);
    _mag_json_ json_t *labels = wanted_labels(g, former_of(r, n->group, "labels"));
    _mag_json_ json_t *none = json_array();
    const json_t *taints = mag_json_at(g ? g->json : NULL, "node_taints");
    const struct mag_kube_wanted w = {.labels = labels,
                                      .taints = taints ? taints : none,
                                      .former_taints = former_of(r, n->group, "taints"),
                                      /* only what an upgrade of ours shut is opened */
                                      .unschedulable = n->drain_ms ? 0 : -1};
    mag_error e = {.struct_size = sizeof e};
    int32_t rc = mag_kube_node_set(&k, r->seen[at].entry, &w, &e);
    if (rc == MAG_E_BUSY || rc == MAG_E_NOT_FOUND) /* changed meanwhile: the next look tells */
        return MAG_AGAIN;
    if (rc != MAG_OK)
        *r->c->err = e;
    if (rc != MAG_OK || !n->drain_ms)
        return rc;
    n->drain_ms = 0;
    return mag_local_save(r);
}

static int32_t set_nodes(struct mag_local_run *r)
{
    int32_t result = MAG_OK;
    bool changed = remember(r, false);
    int32_t rc = changed ? mag_local_save(r) : MAG_OK;
    for (size_t i = 0; i < r->st.n && rc >= 0; i++) {
        if (r->st.v[i].leaving || r->st.v[i].master || !r->seen[i].entry)
            continue;
        rc = local_set_node(r, i);
        result = rc == MAG_AGAIN ? rc : result;
    }
    if (rc >= 0 && result == MAG_OK && remember(r, true))
        rc = mag_local_save(r);
    return rc < 0 ? rc : result;
}

/* Until then the API refuses every pod: the default service account comes from a controller, and up
 * to 1.23 its token does too. */
static bool pods_can_be_made(struct mag_local_run *r)
{
    _mag_json_ json_t *account = NULL;
    unsigned v[3] = {0};
    mag_error e = {.struct_size = sizeof e};
    struct mag_kube k = kube_api(r->c, ASK_MS);
    if (mag_json_bool(r->st.facts, "usable", false))
        return true;
    if (mag_kube_call(&k, "GET", "/api/v1/namespaces/default/serviceaccounts/default", NULL, NULL,
                      &account, NULL, &e) != MAG_OK)
        return false;
    (void)mag_kube_parse_version(mag_json_text(r->st.facts, "version", "0.0"), v);
    return v[1] >= 24 || json_array_size(mag_json_at(account, "secrets")) > 0;
}

int32_t local_settle(struct mag_local_run *r)
{
    size_t ready = 0, all = mag_local_staying(r);
    char text[96];
    int32_t rc = local_list(r);
    if (rc == MAG_OK)
        rc = set_nodes(r);
    if (rc < 0 && rc != MAG_E_UNAVAILABLE && rc != MAG_E_TIMEOUT)
        return rc;
    for (size_t i = 0; i < r->st.n && r->list; i++)
        ready += !r->st.v[i].leaving && local_is_ready(r, i);
    (void)snprintf(text, sizeof text, "%zu of %zu nodes are ready", ready, all);
    if (rc != MAG_OK || ready < all)
        return local_wait_more(r, 50 + (uint32_t)(35 * ready / all), text);
    if (!pods_can_be_made(r))
        return local_wait_more(r, 88, "Waiting for the default service account");
    if (mag_json_bool(r->st.facts, "usable", false))
        return MAG_OK;
    (void)json_object_set_new(r->st.facts, "usable", json_true());
    return mag_local_save(r);
}
