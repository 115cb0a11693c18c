/* See mesos_internal.h: agents that go, and how the cluster is. The masters' state decides; a
 * change of their leader in the middle is waited for. */
#include "mesos_internal.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/verdict.h"

#include <stdio.h>
#include <string.h>

enum { POLL_MS = 2000 };

static bool ends_call(int32_t rc)
{
    return rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED;
}

/* ---- who goes first ---- */

/* A node that the masters do not know is of the least use, then those with the fewest tasks. */
static int64_t use_of(const struct mesos_state *s, const json_t *node)
{
    const struct mesos_agent *a = mesos_agent_at(s, mag_json_text(node, "address", ""));
    return a && a->active ? 1 + (int64_t)a->tasks : 0;
}

/* Stable: among equals the given order, newest first, stays. */
static void sort_by_use(const struct mesos_state *s, json_t *nodes)
{
    for (size_t i = 1; i < json_array_size(nodes); i++) {
        json_t *node = json_incref(json_array_get(nodes, i));
        size_t k = i;
        for (; k > 0 && use_of(s, json_array_get(nodes, k - 1)) > use_of(s, node); k--)
            (void)json_array_set(nodes, k, json_array_get(nodes, k - 1));
        (void)json_array_set_new(nodes, k, node);
    }
}

int32_t mesos_order(struct mag_coe_run *r, json_t *nodes)
{
    struct mag_call *c = r->c;
    struct mesos_masters m = mesos_masters_of(c);
    struct mesos_state state = {0};
    mag_error why = {.struct_size = sizeof why};
    int32_t rc = mesos_state_read(&m, &state, &why);
    if (ends_call(rc) || rc == MAG_E_BUSY) { /* an election is short: the choice can wait for it */
        *c->err = why;
        return rc;
    }
    if (rc == MAG_OK)
        sort_by_use(&state, nodes);
    else
        mag_log(c->self->host, MAG_LOG_WARNING, "The newest agents go: %s", why.message);
    mesos_state_done(&state);
    return MAG_OK;
}

/* ---- leaving ---- */

static json_t *hosts_of(const json_t *nodes)
{
    json_t *list = json_array(), *node;
    size_t i;
    json_array_foreach(nodes, i, node)
    {
        (void)json_array_append_new(list, json_string(mag_json_text(node, "address", "")));
    }
    return list;
}

typedef int32_t (*masters_verb)(const struct mesos_masters *m, const struct mesos_state *s,
                                const json_t *hosts, mag_error *err);

/* Asks the leader for these things of the hosts, one after the other. *ret_left_ms: how long may be
 * waited for masters that can't do it now; why: what they said. Negative only what ends the call;
 * *ret: what came of it. */
static int32_t ask_for(struct mag_coe_run *r, const json_t *nodes, const masters_verb *verbs,
                       size_t n, int64_t *ret_left_ms, int32_t *ret, mag_error *why)
{
    struct mesos_masters m = mesos_masters_of(r->c);
    struct mesos_state state = {0};
    _mag_json_ json_t *hosts = hosts_of(nodes);
    int32_t rc = mag_coe_time_left(r, ret_left_ms);
    if (rc != MAG_OK)
        return rc;
    *ret = mesos_state_read(&m, &state, why);
    for (size_t i = 0; i < n && *ret == MAG_OK; i++)
        *ret = verbs[i](&m, &state, hosts, why);
    mesos_state_done(&state);
    if (!ends_call(*ret))
        return MAG_OK;
    *r->c->err = *why;
    return *ret;
}

int32_t mesos_leave(struct mag_coe_run *r, const json_t *nodes)
{
    static const masters_verb verbs[] = {mesos_maintain, mesos_machines_down};
    mag_error why = {.struct_size = sizeof why};
    int64_t left_ms;
    int32_t done, rc = ask_for(r, nodes, verbs, MAG_LEN(verbs), &left_ms, &done, &why);
    if (rc != MAG_OK || done == MAG_OK)
        return rc;
    if (left_ms > 0)
        return mag_again(r->c->out, POLL_MS, 10, "Agents can't be taken down yet: %s", why.message);
    mag_log(r->c->self->host, MAG_LOG_WARNING, "%zu agents go with their tasks: %s",
            json_array_size(nodes), why.message);
    return MAG_OK;
}

/* Addresses come back one day: a machine that is down for ever would shut its successor out. */
int32_t mesos_left(struct mag_coe_run *r, const json_t *nodes)
{
    static const masters_verb verbs[] = {mesos_machines_forget};
    mag_error why = {.struct_size = sizeof why};
    int64_t left_ms;
    int32_t done, rc = ask_for(r, nodes, verbs, MAG_LEN(verbs), &left_ms, &done, &why);
    if (rc != MAG_OK || done == MAG_OK)
        return rc;
    if (done == MAG_E_BUSY && left_ms > 0)
        return mag_again(r->c->out, POLL_MS, 95, "%s", why.message);
    mag_log(r->c->self->host, MAG_LOG_WARNING, "Machines stay in the maintenance schedule: %s",
            why.message);
    return MAG_OK;
}

/* ---- masters that are replaced ---- */

static bool is_leaving(const json_t *nodes, const char *address)
{
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        if (strcmp(mag_coe_reach(node), address) == 0)
            return true;
    }
    return false;
}

/* Each master has a ZooKeeper beside it: those that stay have to be a majority of both. Nothing is
 * told to the ones that go, since their successors have the same names and addresses. */
int32_t mesos_masters_leave(struct mag_coe_run *r, const json_t *nodes)
{
    struct mesos_masters m = mesos_masters_of(r->c);
    size_t alive = 0, usable = 0;
    int64_t left_ms;
    int32_t rc = mag_coe_time_left(r, &left_ms);
    for (size_t i = 0; i < m.n && rc == MAG_OK; i++) {
        mag_error why = {.struct_size = sizeof why};
        int32_t one = mesos_health_of(&m, i, &why);
        alive += one == MAG_OK;
        usable += one == MAG_OK && !is_leaving(nodes, m.address[i]);
        if (ends_call(one)) {
            *r->c->err = why;
            rc = one;
        }
    }
    if (rc != MAG_OK || usable * 2 > m.n)
        return rc;
    if (left_ms > 0)
        return mag_again(r->c->out, POLL_MS, 10, "%zu of %zu other masters are well", usable,
                         m.n - json_array_size(nodes));
    if (alive)
        return mag_coe_quorum(r, usable, m.n);
    return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "QuorumUnknown",
                    "give the conductor a way to the masters",
                    "Whether the other masters keep their majority can't be asked");
}

/* ---- health ---- */

static size_t look_at_masters(const struct mesos_masters *m, struct mag_verdict *v, int32_t *ret)
{
    size_t alive = 0;
    for (size_t i = 0; i < m->n && !ends_call(*ret); i++) {
        mag_error why = {.struct_size = sizeof why};
        *ret = mesos_health_of(m, i, &why);
        alive += *ret == MAG_OK;
        mag_verdict_node(v, m->address[i], *ret == MAG_OK ? "True" : why.message);
    }
    return alive;
}

static void judge_agents(const struct mag_call *c, const struct mesos_state *s,
                         struct mag_verdict *v)
{
    size_t i, active = 0, wanted = 0;
    json_t *g;
    char text[96];
    json_array_foreach(mag_json_at(c->spec, "nodegroups"), i, g)
    {
        if (strcmp(mag_json_text(g, "role", ""), "master") != 0)
            wanted += (size_t)mag_json_int(g, "node_count", 0);
    }
    for (i = 0; i < s->n; i++) {
        mag_verdict_node(v, s->v[i].host,
                         s->v[i].active ? "True" : "False: the agent is not active");
        active += s->v[i].active;
    }
    (void)snprintf(text, sizeof text, "%zu of %zu agents are active", active, wanted);
    if (active < wanted) {
        v->bad = true;
        mag_verdict_node(v, "agents", text);
    }
}

static int32_t look_at_marathon(const struct mag_call *c, const struct mesos_masters *m,
                                struct mag_verdict *v)
{
    struct marathon_info info = {0};
    mag_error why = {.struct_size = sizeof why};
    const char *address = mag_json_text(c->spec, "cluster.api_address", "");
    if (!*address)
        return MAG_OK;
    int32_t rc = marathon_info(m, address, &info, &why);
    bool leads = rc == MAG_OK && info.leader[0];
    v->bad |= rc == MAG_OK && !leads;
    v->unknown |= rc != MAG_OK;
    mag_verdict_api(v, rc != MAG_OK ? why.message : leads ? "ok" : "Marathon has no leader");
    if (ends_call(rc))
        *c->err = why;
    return rc;
}

/* MAG_OK, or what ends the call. */
static int32_t judge(const struct mag_call *c, const struct mesos_masters *m, struct mag_verdict *v)
{
    struct mesos_state state = {0};
    mag_error why = {.struct_size = sizeof why};
    int32_t rc = MAG_OK;
    size_t alive = look_at_masters(m, v, &rc);
    if (ends_call(rc))
        return mag_fail(c->err, rc, 0, "Stopped", NULL, "The look was ended");
    if (alive == 0) { /* as well may the conductor have no way to the network */
        v->unknown = true;
        mag_verdict_api(v, "No master answers");
        return MAG_OK;
    }
    v->bad |= alive * 2 <= m->n;
    rc = mesos_state_read(m, &state, &why);
    if (rc == MAG_OK) {
        mag_verdict_node(v, "leader", "True");
        judge_agents(c, &state, v);
    } else {
        v->unknown = true;
        mag_verdict_node(v, "leader", why.message);
    }
    mesos_state_done(&state);
    if (!ends_call(rc))
        rc = look_at_marathon(c, m, v);
    return ends_call(rc) ? mag_fail(c->err, rc, 0, "Stopped", NULL, "The look was ended") : MAG_OK;
}

int32_t mesos_health(struct mag_call *c)
{
    struct mag_verdict v = mag_verdict_new();
    struct mesos_masters m = mesos_masters_of(c);
    int32_t rc = judge(c, &m, &v);
    if (rc == MAG_OK)
        rc = mag_verdict_publish(&v, c->self->host, c->op, false, c->err);
    mag_verdict_done(&v);
    return rc;
}

int32_t mesos_stats(struct mag_call *c, json_t **ret)
{
    struct mesos_state s = {0};
    struct mesos_masters m = mesos_masters_of(c);
    int32_t rc = mesos_state_read(&m, &s, c->err);
    if (rc != MAG_OK)
        return rc;
    *ret = json_pack("{s:I, s:{s:f, s:f}, s:{s:I, s:I}}", "nodes", (json_int_t)s.n, "cpu",
                     "capacity", s.cpus, "used", s.cpus_used, "memory_mb", "capacity",
                     (json_int_t)s.mem, "used", (json_int_t)s.mem_used);
    mesos_state_done(&s);
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}
