/* The periodic look: processes of this machine, /readyz, and what the API says of its nodes.
 * Reasons are "<node>.Ready" and "api", as Magnum's clients know them. An API that can't be reached
 * is UNKNOWN; one that answers "not ready", a dead process, or a node that is not ready is
 * UNHEALTHY. Neighbours: local_run.h. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

enum { ASK_MS = 3000, FAILS_SHOWN = 3, FAILS_MAX = 6 };

/* The group in which a node may be replaced; a master may while the others are a majority. */
static const char *replaceable(const struct mag_local_run *r, size_t at)
{
    size_t all = 0, others = 0;
    char why[8];
    for (size_t i = 0; i < r->st.n; i++) {
        if (!r->st.v[i].master || r->st.v[i].leaving)
            continue;
        all++;
        others += i != at && r->seen[i].run == MAG_NODE_RUNNING &&
                  !local_daemon_fails(r, i, FAILS_SHOWN, why, sizeof why);
    }
    return !r->st.v[at].master || others * 2 > all ? r->st.v[at].group : NULL;
}

static void judge_entry(const struct mag_local_run *r, size_t at, struct mag_verdict *v)
{
    const struct mag_roster_node *n = &r->st.v[at];
    const json_t *entry = r->seen[at].entry;
    const char *reason, *message, *since;
    const char *status = mag_kube_node_ready(entry, &reason, &message, &since);
    char text[400];
    bool shut = mag_json_bool(entry, "spec.unschedulable", false);
    if (strcmp(status, "True") == 0) {
        mag_verdict_node(v, n->name, shut ? "True (cordoned)" : "True");
        return;
    }
    (void)snprintf(text, sizeof text, "%s: %s%s%.160s (since %s)", *status ? status : "Unknown",
                   *reason ? reason : "never reported", *message ? ", " : "", message,
                   *since ? since : "its registration");
    mag_verdict_sick(v, n->name, replaceable(r, at), text);
}

static void judge_node(const struct mag_local_run *r, size_t at, struct mag_verdict *v)
{
    const struct mag_roster_node *n = &r->st.v[at];
    const struct mag_local_seen *s = &r->seen[at];
    char why[300], text[320];
    if (s->run <= MAG_NODE_STOPPED) {
        mag_verdict_sick(v, n->name, replaceable(r, at),
                         "False: the node is powered off (its process is gone)");
    } else if (local_daemon_fails(r, at, FAILS_SHOWN, why, sizeof why)) {
        /* a master's end a few times while etcd chooses a leader */
        bool for_good = !n->master || local_daemon_fails(r, at, FAILS_MAX, why, sizeof why);
        (void)snprintf(text, sizeof text, "False: %s", why);
        mag_verdict_sick(v, n->name, for_good ? replaceable(r, at) : NULL, text);
    } else if (n->master) {
        mag_verdict_node(v, n->name, "True");
    } else if (!r->list) {
        mag_verdict_node(v, n->name, "Unknown: the API does not answer");
    } else if (!s->entry) {
        mag_verdict_sick(v, n->name, replaceable(r, at), "False: the API does not know it");
    } else {
        judge_entry(r, at, v);
    }
}

/* The master at the address that was published last may be the one that died. */
static int32_t tell_address(struct mag_local_run *r)
{
    const char *was = mag_json_text(r->c->spec, "cluster.api_address", "");
    char address[64];
    local_api_address(r, address);
    if (!*was || !address[0] || strcmp(address, was) == 0)
        return MAG_OK;
    return mag_output_new(r->c->self->host, r->c->op, "api_address", json_string(address),
                          r->c->err);
}

static int32_t judge_api(struct mag_local_run *r, struct mag_verdict *v)
{
    char why[200];
    mag_error e = {.struct_size = sizeof e};
    struct mag_kube k = kube_api(r->c, ASK_MS);
    /* etcd without a majority goes on answering some reads from memory */
    if (!mag_local_quorum(r, "masters", why, sizeof why)) {
        v->bad = true;
        mag_verdict_api(v, why);
        return MAG_OK;
    }
    int32_t rc = tell_address(r);
    if (rc != MAG_OK)
        return rc;
    rc = mag_kube_ready(&k, why, sizeof why, &e);
    if (rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED) {
        *r->c->err = e;
        return rc;
    }
    if (rc == MAG_OK) {
        mag_verdict_api(v, "ok");
        e = (mag_error){.struct_size = sizeof e};
        struct mag_error *was = r->c->err;
        r->c->err = &e;
        rc = local_list(r);
        r->c->err = was;
        if (rc != MAG_OK) {
            v->unknown = true;
            mag_verdict_api(v, e.message);
        }
        return MAG_OK;
    }
    if (why[0] || rc == MAG_E_AUTH || rc == MAG_E_DENIED)
        v->bad = true; /* it answered */
    else
        v->unknown = true;
    mag_verdict_api(v, why[0] ? why : e.message);
    return MAG_OK;
}

static int32_t judge(struct mag_local_run *r, struct mag_verdict *v, bool *ret_whole)
{
    int32_t rc = judge_api(r, v);
    for (size_t i = 0; i < r->st.n && rc == MAG_OK; i++)
        if (!r->st.v[i].leaving)
            judge_node(r, i, v);
    *ret_whole = r->list != NULL;
    return rc;
}

int32_t local_health(struct mag_call *c)
{
    struct kube_run r = kube_run_of(c);
    int32_t rc = mag_local_health(&r.m, judge);
    mag_local_run_done(&r.m);
    return rc;
}
