/* The periodic look: processes of this machine, /readyz, and what the API says of its nodes.
 * Reasons are "<node>.Ready" and "api", as Magnum's clients know them. An API that can't be reached
 * is UNKNOWN; one that answers "not ready", a dead process, or a node that is not ready is
 * UNHEALTHY. Neighbours: local_run.h. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

enum { ASK_MS = 3000, FAILS_SHOWN = 3 };

struct verdict {
    bool bad, unknown;
    json_t *reasons;
    json_t *sick; /* workers that are not well, for who replaces them */
};

static void ill(struct verdict *v, const struct mag_roster_node *n, const char *why)
{
    if (!n->master)
        (void)json_array_append_new(v->sick, json_pack("{s:s, s:s, s:s}", "node", n->name,
                                                       "nodegroup", n->group, "reason", why));
}

static void say(struct verdict *v, const char *node, const char *text)
{
    char key[96], line[300];
    (void)snprintf(key, sizeof key, "%s.Ready", node);
    mag_line(line, sizeof line, text);
    (void)json_object_set_new(v->reasons, key, json_string(line));
}

static void judge_entry(const struct mag_roster_node *n, const json_t *entry, struct verdict *v)
{
    const char *name = n->name;
    const char *reason, *message, *since;
    const char *status = mag_kube_node_ready(entry, &reason, &message, &since);
    char text[400];
    bool shut = mag_json_bool(entry, "spec.unschedulable", false);
    if (strcmp(status, "True") == 0) {
        say(v, name, shut ? "True (cordoned)" : "True");
        return;
    }
    v->bad = true;
    (void)snprintf(text, sizeof text, "%s: %s%s%.160s (since %s)", *status ? status : "Unknown",
                   *reason ? reason : "never reported", *message ? ", " : "", message,
                   *since ? since : "its registration");
    say(v, name, text);
    ill(v, n, text);
}

static void judge_node(const struct local_run *r, size_t at, struct verdict *v)
{
    const struct mag_roster_node *n = &r->st.v[at];
    const struct local_seen *s = &r->seen[at];
    char why[300], text[320];
    if (s->run <= MAG_NODE_STOPPED) {
        v->bad = true;
        say(v, n->name, "False: the node is powered off (its process is gone)");
        ill(v, n, "powered off (its process is gone)");
    } else if (local_daemon_fails(r, at, FAILS_SHOWN, why, sizeof why)) {
        v->bad = true;
        (void)snprintf(text, sizeof text, "False: %s", why);
        say(v, n->name, text);
        ill(v, n, why);
    } else if (n->master) {
        say(v, n->name, "True");
    } else if (!r->list) {
        say(v, n->name, "Unknown: the API does not answer");
    } else if (!s->entry) {
        v->bad = true;
        say(v, n->name, "False: the API does not know it");
        ill(v, n, "the API does not know it");
    } else {
        judge_entry(n, s->entry, v);
    }
}

static void put_api(struct verdict *v, const char *text)
{
    (void)json_object_set_new(v->reasons, "api", json_string(text));
}

/* etcd without a majority goes on answering some reads from memory: counted by process. */
static bool has_quorum(const struct local_run *r, char *why, size_t cap)
{
    size_t masters = 0, alive = 0;
    for (size_t i = 0; i < r->st.n; i++) {
        masters += r->st.v[i].master && !r->st.v[i].leaving;
        alive += r->st.v[i].master && !r->st.v[i].leaving && r->seen[i].run == MAG_NODE_RUNNING;
    }
    (void)snprintf(why, cap, "%zu of %zu masters are alive, %zu are needed", alive, masters,
                   masters / 2 + 1);
    return alive * 2 > masters;
}

static int32_t judge_api(struct local_run *r, struct verdict *v)
{
    char why[200];
    mag_error e = {.struct_size = sizeof e};
    struct mag_kube k = kube_api(r->c, ASK_MS);
    if (!has_quorum(r, why, sizeof why)) {
        v->bad = true;
        put_api(v, why);
        return MAG_OK;
    }
    int32_t rc = mag_kube_ready(&k, why, sizeof why, &e);
    if (rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED) {
        *r->c->err = e;
        return rc;
    }
    if (rc == MAG_OK) {
        put_api(v, "ok");
        e = (mag_error){.struct_size = sizeof e};
        struct mag_error *was = r->c->err;
        r->c->err = &e;
        rc = local_list(r);
        r->c->err = was;
        if (rc != MAG_OK) {
            v->unknown = true;
            put_api(v, e.message);
        }
        return MAG_OK;
    }
    if (why[0] || rc == MAG_E_AUTH || rc == MAG_E_DENIED)
        v->bad = true; /* it answered */
    else
        v->unknown = true;
    put_api(v, why[0] ? why : e.message);
    return MAG_OK;
}

/* whole: the API told of all nodes; else nobody is to be replaced for what this look found. */
static int32_t publish(struct kube_call *c, struct verdict *v, bool whole)
{
    const char *status = v->bad ? "UNHEALTHY" : v->unknown ? "UNKNOWN" : "HEALTHY";
    int32_t rc = mag_output_new(c->self->host, c->op, "health_status", json_string(status), c->err);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "health_status_reason", json_incref(v->reasons),
                            c->err);
    if (rc == MAG_OK && whole)
        rc = mag_output_new(c->self->host, c->op, "unhealthy_nodes", json_incref(v->sick), c->err);
    return rc;
}

static void not_known(struct verdict *v, const char *why)
{
    v->unknown = true;
    put_api(v, why);
}

static int32_t judge(struct local_run *r, struct verdict *v)
{
    if (r->st.n == 0) {
        not_known(v, "no node of this cluster is known on this machine");
        return MAG_OK;
    }
    int32_t rc = judge_api(r, v);
    for (size_t i = 0; i < r->st.n && rc == MAG_OK; i++)
        if (!r->st.v[i].leaving)
            judge_node(r, i, v);
    return rc;
}

int32_t local_health(struct kube_call *c)
{
    struct local_run r;
    struct verdict v = {.reasons = json_object(), .sick = json_array()};
    int32_t rc = local_open_readonly(c, &r);
    if (rc == MAG_OK)
        rc = judge(&r, &v);
    else if (rc == MAG_E_UNAVAILABLE) /* on another machine, whose conductor can tell */
        not_known(&v, c->err->message);
    if (rc == MAG_OK || rc == MAG_E_UNAVAILABLE)
        rc = publish(c, &v, r.list != NULL);
    json_decref(v.reasons);
    json_decref(v.sick);
    local_run_done(&r);
    return rc;
}
