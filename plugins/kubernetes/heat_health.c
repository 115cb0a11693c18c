/* The periodic look at a cluster in a cloud: its stacks (from one list for all clusters of the
 * project), /readyz, and what the API says of its nodes. Reasons are "<node>.Ready", "api" and
 * "stack" as far as there is something to say. An API that can't be reached is UNKNOWN.
 * See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_MS = 3000, LIST_AGE_MS = 30000 };

struct verdict {
    bool bad, unknown;
    json_t *reasons;
};

static void say(struct verdict *v, const char *key, const char *text)
{
    char line[300];
    mag_line(line, sizeof line, text);
    (void)json_object_set_new(v->reasons, key, json_string(line));
}

/* ---- stacks ---- */

static void judge_stack(const struct mag_call *c, const json_t *stacks, const char *nodegroup,
                        const char *called, struct verdict *v)
{
    char name[MAG_NAME_MAX], key[96], text[400];
    mag_name(name, c->op->cluster_id, nodegroup);
    const json_t *s = json_object_get(stacks, name);
    const char *status = mag_json_text(s, "status", "");
    (void)snprintf(key, sizeof key, "stack%s%.60s", nodegroup ? "." : "", called);
    if (!s) {
        v->bad = true;
        (void)snprintf(text, sizeof text, "stack %s was deleted outside of Magnum", name);
        say(v, key, text);
    } else if (strcmp(status, "FAILED") == 0) {
        v->bad = true;
        (void)snprintf(text, sizeof text, "%s_FAILED: %.300s", mag_json_text(s, "action", "?"),
                       mag_json_text(s, "reason", ""));
        say(v, key, text);
    }
}

static void judge_stacks(struct mag_call *c, struct verdict *v)
{
    const struct mag_heat heat = {&c->self->services, c->op, ASK_MS};
    const json_t *stacks = NULL, *g;
    mag_error e = {.struct_size = sizeof e};
    int64_t age = atoll(mag_config(c->self->host, "stack_list_age_ms", "30000"));
    size_t i;
    if (mag_heat_cache_list(&kubernetes_of(c)->stacks, &heat, age > 0 ? age : LIST_AGE_MS, &stacks,
                            &e) != MAG_OK) {
        v->unknown = true;
        say(v, "stack", e.message);
        return;
    }
    if (mag_json_text(c->spec, "cluster.stack_id", NULL))
        judge_stack(c, stacks, NULL, "", v);
    json_array_foreach(mag_json_at(c->spec, "nodegroups"), i, g)
    {
        if (!mag_json_bool(g, "is_default", false) && mag_json_text(g, "stack_id", NULL))
            judge_stack(c, stacks, mag_json_text(g, "uuid", ""), mag_json_text(g, "name", ""), v);
    }
}

/* ---- the cluster's own word ---- */

static void judge_node(const json_t *node, struct verdict *v)
{
    const char *reason = "", *message = "", *since = "";
    const char *status = mag_kube_node_ready(node, &reason, &message, &since);
    char key[128], text[400];
    (void)snprintf(key, sizeof key, "%.100s.Ready", mag_kube_name(node));
    if (strcmp(status, "True") == 0) {
        say(v, key, mag_json_bool(node, "spec.unschedulable", false) ? "True (cordoned)" : "True");
        return;
    }
    v->bad = true;
    (void)snprintf(text, sizeof text, "%s: %.60s%s%.160s (since %.40s)",
                   *status ? status : "Unknown", reason && *reason ? reason : "never reported",
                   message && *message ? ", " : "", message ? message : "",
                   since && *since ? since : "its registration");
    say(v, key, text);
}

static int32_t judge_nodes(struct mag_call *c, struct verdict *v, mag_error *e)
{
    struct mag_kube k = kube_api(c, ASK_MS);
    _mag_json_ json_t *nodes = NULL;
    size_t i;
    const json_t *n;
    int32_t rc = mag_kube_list(&k, "/api/v1/nodes", 0, &nodes, NULL, e);
    json_array_foreach(nodes, i, n) judge_node(n, v);
    if (rc != MAG_OK) {
        v->unknown = true;
        say(v, "api", e->message);
    }
    return rc;
}

static int32_t judge_api(struct mag_call *c, struct verdict *v)
{
    char why[200] = "";
    mag_error e = {.struct_size = sizeof e};
    struct mag_kube k = kube_api(c, ASK_MS);
    if (!mag_json_text(c->spec, "cluster.api_address", NULL)) {
        v->unknown = true;
        say(v, "api", "the cluster has no API yet");
        return MAG_OK;
    }
    int32_t rc = mag_kube_ready(&k, why, sizeof why, &e);
    if (rc == MAG_OK) {
        say(v, "api", "ok");
        rc = judge_nodes(c, v, &e);
    } else if (why[0] || rc == MAG_E_AUTH || rc == MAG_E_DENIED) {
        v->bad = true; /* it answered */
        say(v, "api", why[0] ? why : e.message);
    } else {
        v->unknown = true;
        say(v, "api", e.message);
    }
    if (rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED) {
        *c->err = e;
        return rc;
    }
    return MAG_OK;
}

int32_t heat_health(struct mag_call *c)
{
    struct verdict v = {.reasons = json_object()};
    judge_stacks(c, &v);
    int32_t rc = judge_api(c, &v);
    const char *status = v.bad ? "UNHEALTHY" : v.unknown ? "UNKNOWN" : "HEALTHY";
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "health_status", json_string(status), c->err);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "health_status_reason", json_incref(v.reasons),
                            c->err);
    json_decref(v.reasons);
    return rc;
}

/* ---- capacity ---- */

int32_t heat_stats(struct mag_call *c, json_t **ret)
{
    struct mag_kube k = kube_api(c, 0);
    _mag_json_ json_t *nodes = NULL;
    struct kube_use used = {.n = 0};
    double cpu = 0, bytes = 0, v;
    size_t i;
    const json_t *n;
    int32_t rc = mag_kube_list(&k, "/api/v1/nodes", 0, &nodes, NULL, c->err);
    if (rc == MAG_OK)
        rc = kube_pods_use(c, &used);
    if (rc != MAG_OK)
        return rc;
    json_array_foreach(nodes, i, n)
    {
        if (mag_kube_quantity(mag_json_text(n, "status.capacity.cpu", NULL), &v))
            cpu += v;
        if (mag_kube_quantity(mag_json_text(n, "status.capacity.memory", NULL), &v))
            bytes += v;
    }
    *ret =
        json_pack("{s:I, s:I, s:{s:f, s:f}, s:{s:I, s:I}}", "nodes",
                  (json_int_t)json_array_size(nodes), "pods", (json_int_t)used.n, "cpu", "capacity",
                  cpu, "used", used.amount.cpu, "memory_mb", "capacity",
                  (json_int_t)(bytes / 1048576), "used", (json_int_t)(used.amount.bytes / 1048576));
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}
