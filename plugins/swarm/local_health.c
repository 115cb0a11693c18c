/* The periodic look: processes of this machine and the managers' own list, never a worker's word
 * about itself. Reasons are "<node>.Ready" and "api", as Magnum's clients know them.
 * Neighbours: local_run.h. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

struct verdict {
    bool bad, unknown;
    json_t *reasons;
};

static void say(struct verdict *v, const char *node, const char *text)
{
    char key[96];
    (void)snprintf(key, sizeof key, "%s.Ready", node);
    (void)json_object_set_new(v->reasons, key, json_string(text));
}

static void judge_node(const struct local_run *r, size_t at, struct verdict *v)
{
    const struct mag_roster_node *n = &r->st.v[at];
    const struct local_seen *s = &r->seen[at];
    char text[160];
    if (s->run <= MAG_NODE_STOPPED) {
        v->bad = true;
        say(v, n->name, "False: the node is powered off (its process is gone)");
    } else if (!r->list) {
        say(v, n->name, "Unknown: no manager answers");
    } else if (!s->entry) {
        v->bad = true;
        say(v, n->name, "False: not a member of the swarm");
    } else if (strcmp(swarm_node_state(s->entry), "unknown") == 0) {
        v->unknown = true;
        say(v, n->name, "Unknown: the managers have not heard of it since they were restarted");
    } else if (!local_listed_ready(r, at)) {
        const char *why = mag_json_text(s->entry, "Status.Message", "");
        v->bad = true;
        (void)snprintf(text, sizeof text, "False: %s%s%.100s", swarm_node_state(s->entry),
                       *why ? ", " : "", why);
        say(v, n->name, text);
    } else {
        say(v, n->name, "True");
    }
}

static void judge_api(const struct local_run *r, struct verdict *v)
{
    size_t managers = 0, alive = 0;
    char text[160];
    for (size_t i = 0; i < r->st.n; i++) {
        managers += r->st.v[i].master && !r->st.v[i].leaving;
        alive += r->st.v[i].master && !r->st.v[i].leaving && r->seen[i].run == MAG_NODE_RUNNING;
    }
    if (alive * 2 <= managers) { /* a manager without majority goes on telling old news */
        (void)snprintf(text, sizeof text,
                       "no quorum: %zu of %zu managers are alive, %zu are needed", alive, managers,
                       managers / 2 + 1);
        v->bad = true;
    } else if (!r->list) {
        (void)snprintf(text, sizeof text, "no manager answers");
        v->unknown = true;
    } else {
        (void)snprintf(text, sizeof text, "ok");
    }
    (void)json_object_set_new(v->reasons, "api", json_string(text));
}

static int32_t publish(struct swarm_call *c, struct verdict *v)
{
    const char *status = v->bad ? "UNHEALTHY" : v->unknown ? "UNKNOWN" : "HEALTHY";
    return mag_output_health(c->self->host, c->op, status, v->reasons, c->err);
}

int32_t local_open_readonly(struct swarm_call *c, struct local_run *r)
{
    *r = (struct local_run){.c = c, .cl = MAG_LOCAL_CLUSTER_INIT};
    (void)snprintf(r->cl.uuid, sizeof r->cl.uuid, "%.36s", c->op->cluster_id);
    int32_t rc = mag_roster_here(c->op, c->self->state_dir, c->err);
    if (rc == MAG_OK)
        rc = mag_local_find(c->self->state_dir, c->op->cluster_id, r->cl.dir, c->err);
    if (rc == MAG_OK)
        rc = mag_roster_load(c->self->host, c->op, r->cl.dir, &r->st, c->err);
    if (rc == MAG_OK)
        rc = local_look(r);
    return rc;
}

/* No manager that answers is a finding, not a failure. */
static int32_t look_at_list(struct local_run *r)
{
    int32_t rc = r->st.n ? local_list(r) : MAG_OK;
    return rc == MAG_AGAIN ? MAG_OK : rc;
}

static void not_known(struct verdict *v, const char *why)
{
    v->unknown = true;
    (void)json_object_set_new(v->reasons, "api", json_string(why));
}

static int32_t judge(struct local_run *r, struct verdict *v)
{
    int32_t rc = look_at_list(r);
    if (rc != MAG_OK)
        return rc;
    if (r->st.n == 0) {
        not_known(v, "no node of this cluster is known on this machine");
        return MAG_OK;
    }
    judge_api(r, v);
    for (size_t i = 0; i < r->st.n; i++)
        if (!r->st.v[i].leaving)
            judge_node(r, i, v);
    return MAG_OK;
}

int32_t local_health(struct swarm_call *c)
{
    struct local_run r;
    struct verdict v = {.reasons = json_object()};
    int32_t rc = local_open_readonly(c, &r);
    if (rc == MAG_OK)
        rc = judge(&r, &v);
    else if (rc == MAG_E_UNAVAILABLE) /* on another machine, whose conductor can tell */
        not_known(&v, c->err->message);
    if (rc == MAG_OK || rc == MAG_E_UNAVAILABLE)
        rc = publish(c, &v);
    json_decref(v.reasons);
    local_run_done(&r);
    return rc;
}
