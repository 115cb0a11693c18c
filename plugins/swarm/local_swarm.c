/* From running daemons to one swarm: find a manager that serves the API, initialise when there has
 * never been one, join who is not a member, set roles and labels, wait until all are ready.
 * Neighbours: local_run.h, swarm_api. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

enum { ASK_MS = 1000, CHANGE_MS = 10000, POLL_MS = 30, SLOW_POLL_MS = 200 };
enum { FRESH_MS = 5000, OLD_NEWS_MS = 200000 };

static bool staying(const struct mag_local_run *r, size_t i)
{
    return !r->st.v[i].leaving;
}

/* The managers go on calling a node ready for some heartbeats after its death. While its process is
 * young, the daemon itself has to say that it is back in the swarm. */
static bool says_so_itself(struct mag_local_run *r, size_t at)
{
    const struct swarm_seen *s = swarm_seen(r, at);
    return mag_record_age_ms(&r->seen[at].record) > OLD_NEWS_MS ||
           (s->up && strcmp(s->info.state, "active") == 0);
}

bool local_listed_ready(const struct mag_local_run *r, size_t at)
{
    const json_t *e = r->seen[at].entry;
    if (!e || r->seen[at].run != MAG_NODE_RUNNING || strcmp(swarm_node_state(e), "ready") != 0)
        return false;
    return !r->st.v[at].master ||
           strcmp(mag_json_text(e, "ManagerStatus.Reachability", ""), "reachable") == 0;
}

static bool is_ready(struct mag_local_run *r, size_t at)
{
    return local_listed_ready(r, at) && says_so_itself(r, at);
}

/* The entry of a node: by the id the daemon itself gave, else by host name, where one that is ready
 * goes before one that a former life of the node left behind. */
static const json_t *entry_of(struct mag_local_run *r, size_t at)
{
    const struct swarm_seen *s = swarm_seen(r, at);
    const json_t *best = NULL;
    size_t i;
    json_t *e;
    json_array_foreach(r->list, i, e)
    {
        if (s->up && s->info.id[0]) {
            if (strcmp(swarm_node_id(e), s->info.id) == 0)
                return e;
        } else if (strcmp(swarm_node_host(e), r->st.v[at].name) == 0 &&
                   (!best || strcmp(swarm_node_state(e), "ready") == 0)) {
            best = e;
        }
    }
    return best;
}

static void match(struct mag_local_run *r)
{
    for (size_t i = 0; i < r->st.n; i++)
        r->seen[i].entry = entry_of(r, i);
}

/* Daemons that are starting refuse at once; one that hangs costs ASK_MS. Why no manager answered
 * is not an error of this step: the caller decides what it means. */
int32_t local_list(struct mag_local_run *r)
{
    mag_error why = {.struct_size = sizeof why};
    json_decref(r->list);
    r->list = NULL;
    for (int pass = 0; pass < 2; pass++) { /* staying managers first, then leaving ones */
        for (size_t i = 0; i < r->st.n; i++) {
            uint32_t status = 0;
            if (!r->st.v[i].master || r->st.v[i].leaving != (pass == 1) ||
                r->seen[i].run != MAG_NODE_RUNNING || mag_out_of_time(r->c))
                continue;
            struct mag_docker d = local_docker(r, i, ASK_MS);
            int32_t rc = swarm_nodes(&d, &r->list, &status, &why);
            if (rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED) {
                *r->c->err = why;
                return rc;
            }
            swarm_seen(r, i)->up |= status != 0;
            if (rc != MAG_OK)
                continue;
            swarm_run(r)->manager = i;
            match(r);
            return MAG_OK;
        }
    }
    return MAG_AGAIN;
}

/* Asks the daemon; false: it does not answer (yet). */
static bool ask(struct mag_local_run *r, size_t at)
{
    mag_error why = {.struct_size = sizeof why};
    struct mag_docker d = local_docker(r, at, ASK_MS);
    swarm_seen(r, at)->up = r->seen[at].run == MAG_NODE_RUNNING &&
                            swarm_info(&d, &swarm_seen(r, at)->info, &why) == MAG_OK;
    return swarm_seen(r, at)->up;
}

/* Daemons that were just started are looked at often, so that a new cluster is complete as soon as
 * it can be; what takes longer than that is an election or an illness and has time. */
static uint32_t pause_ms(const struct mag_local_run *r)
{
    int64_t youngest = INT64_MAX;
    for (size_t i = 0; i < r->st.n; i++) {
        int64_t age = mag_record_age_ms(&r->seen[i].record);
        if (staying(r, i) && age < youngest)
            youngest = age;
    }
    return youngest < FRESH_MS ? POLL_MS : SLOW_POLL_MS;
}

static int32_t wait_daemons(struct mag_local_run *r)
{
    size_t up = 0, all = mag_local_staying(r);
    for (size_t i = 0; i < r->st.n; i++)
        up += staying(r, i) && swarm_seen(r, i)->up;
    return mag_again(r->c->out, pause_ms(r), 30 + (uint32_t)(15 * up / (all ? all : 1)),
                     "%zu of %zu Docker daemons answer", up, all);
}

static int32_t remember_swarm(struct mag_local_run *r)
{
    return json_object_set_new(r->st.facts, "swarm", json_true()) == 0 ? MAG_OK
                                                                       : mag_fail_nomem(r->c->err);
}

static int32_t init_first(struct mag_local_run *r, size_t first)
{
    struct mag_call *c = r->c;
    const struct mag_roster_group *g = mag_local_group_of(r, &r->st.v[first]);
    int64_t seconds;
    char address[16];
    int32_t rc = mag_label_int(mag_labels_of(c->spec, g ? g->json : NULL), "heartbeat_seconds", 1,
                               60, 1, &seconds, c->err);
    if (rc != MAG_OK)
        return rc;
    mag_local_address(r->st.v[first].index, address);
    struct mag_docker d = local_docker(r, first, CHANGE_MS);
    rc = swarm_init(&d, &(struct swarm_init){address, seconds * 1000000000}, c->err);
    if (rc != MAG_OK)
        return rc;
    rc = remember_swarm(r);
    if (rc == MAG_OK)
        rc = mag_local_save(r);
    return rc == MAG_OK ? local_list(r) : rc;
}

/* No manager serves the API. A new cluster: initialise on the first one. An old one: its managers
 * are on their way up, or have lost each other or their data. */
static int32_t no_manager(struct mag_local_run *r)
{
    const struct mag_roster_node *n = mag_roster_first_master(&r->st);
    size_t first = n ? (size_t)(n - r->st.v) : 0, lost = 0, managers = 0;
    if (!n)
        return mag_fail(r->c->err, MAG_E_INTERNAL, 0, "NoManager", NULL,
                        "The cluster has no manager that stays");
    if (!mag_json_bool(r->st.facts, "swarm", false)) {
        if (!ask(r, first))
            return wait_daemons(r);
        if (strcmp(swarm_seen(r, first)->info.state, "inactive") == 0)
            return init_first(r, first);
        /* An earlier step initialised it and died before it could say so. */
        int32_t rc = remember_swarm(r);
        return rc != MAG_OK
                   ? rc
                   : mag_again(r->c->out, pause_ms(r), 45, "Waiting for the first manager");
    }
    for (size_t i = 0; i < r->st.n; i++) {
        if (!r->st.v[i].master)
            continue;
        managers++;
        lost += ask(r, i) && strcmp(swarm_seen(r, i)->info.state, "inactive") == 0;
    }
    if (lost == managers)
        return mag_fail(r->c->err, MAG_E_NOT_FOUND, MAG_ERR_USER, "SwarmLost",
                        "delete the cluster and create it again",
                        "No manager of the cluster remembers the swarm: its data is gone");
    return mag_again(r->c->out, 200, 40, "Waiting for a majority of the %zu managers", managers);
}

static json_t *manager_addresses(const struct mag_local_run *r)
{
    json_t *list = json_array();
    size_t i;
    json_t *e;
    json_array_foreach(r->list, i, e)
    {
        const char *addr = mag_json_text(e, "ManagerStatus.Addr", NULL);
        if (addr && strcmp(mag_json_text(e, "ManagerStatus.Reachability", ""), "reachable") == 0)
            (void)json_array_append_new(list, json_string(addr));
    }
    return list;
}

static int32_t join(struct mag_local_run *r, size_t at, const struct swarm_tokens *t,
                    const json_t *managers)
{
    char address[16];
    mag_error why = {.struct_size = sizeof why};
    mag_local_address(r->st.v[at].index, address);
    struct mag_docker d = local_docker(r, at, CHANGE_MS);
    int32_t rc =
        swarm_join(&d, address, managers, r->st.v[at].master ? t->manager : t->worker, &why);
    if (rc == MAG_E_UNAVAILABLE || rc == MAG_E_TIMEOUT) {
        /* "Already part of a swarm", or it goes on trying by itself: the next look tells. */
        mag_log(r->c->self->host, MAG_LOG_INFO, "join: %s", why.message);
        return MAG_AGAIN;
    }
    if (rc != MAG_OK)
        *r->c->err = why;
    return rc;
}

/* A node that is in no swarm joins; one that is stuck in a join, was removed from the swarm, or has
 * an expired membership leaves first. MAG_OK: it is a member. */
static int32_t make_member(struct mag_local_run *r, size_t at, const struct swarm_tokens *t,
                           const json_t *managers)
{
    const struct swarm_seen *s = swarm_seen(r, at);
    if (!ask(r, at))
        return MAG_AGAIN;
    const json_t *entry = r->seen[at].entry = entry_of(r, at);
    if (strcmp(s->info.state, "inactive") == 0)
        return join(r, at, t, managers);
    bool stuck = strcmp(s->info.state, "pending") == 0 && !s->info.id[0];
    bool removed = strcmp(s->info.state, "active") == 0 && !entry;
    bool refused = strcmp(s->info.state, "error") == 0 && !entry;
    if (!stuck && !removed && !refused)
        return MAG_OK;
    struct mag_docker d = local_docker(r, at, CHANGE_MS);
    int32_t rc = swarm_leave(&d, r->c->err);
    return rc == MAG_OK ? MAG_AGAIN : rc;
}

int32_t local_make_swarm(struct mag_local_run *r)
{
    struct mag_call *c = r->c;
    int32_t rc = local_list(r);
    if (rc == MAG_AGAIN)
        rc = no_manager(r);
    if (rc != MAG_OK)
        return rc;
    if (!r->list)
        return mag_again(c->out, pause_ms(r), 45, "Waiting for the first manager");
    struct swarm_tokens tokens = {0};
    _mag_json_ json_t *managers = manager_addresses(r);
    size_t waiting = 0, all = mag_local_staying(r), joined = 0;
    for (size_t i = 0; i < r->st.n && rc >= 0; i++) {
        if (!staying(r, i) || is_ready(r, i))
            continue;
        struct mag_docker d = local_docker(r, swarm_run(r)->manager, ASK_MS);
        if (!tokens.worker[0])
            rc = swarm_tokens(&d, &tokens, c->err);
        if (rc == MAG_OK)
            rc = make_member(r, i, &tokens, managers);
        waiting += rc == MAG_AGAIN;
        joined += rc == MAG_OK;
        if (rc == MAG_AGAIN)
            rc = MAG_OK;
        if (mag_out_of_time(c))
            break;
    }
    explicit_bzero(&tokens, sizeof tokens);
    if (rc < 0)
        return rc;
    if (waiting)
        return mag_again(c->out, pause_ms(r), 50 + (uint32_t)(20 * (all - waiting) / all),
                         "%zu of %zu nodes are in the swarm", all - waiting, all);
    return joined ? local_list(r) : MAG_OK;
}

/* Entries that former lives of our nodes left: a host name of ours, another id, not alive. */
static int32_t drop_ghosts(struct mag_local_run *r)
{
    size_t i;
    json_t *e;
    int32_t rc = MAG_OK;
    struct mag_docker d = local_docker(r, swarm_run(r)->manager, CHANGE_MS);
    json_array_foreach(r->list, i, e)
    {
        bool ghost = false;
        for (size_t k = 0; k < r->st.n; k++)
            ghost |= r->seen[k].entry && r->seen[k].entry != e &&
                     strcmp(swarm_node_host(e), r->st.v[k].name) == 0 &&
                     strcmp(swarm_node_state(e), "down") == 0;
        if (!ghost)
            continue;
        if (swarm_node_is_manager(e))
            rc = swarm_node_update(&d, swarm_node_id(e), &(struct swarm_wanted){.role = "worker"},
                                   r->c->err);
        if (rc == MAG_OK)
            rc = swarm_node_delete(&d, swarm_node_id(e), r->c->err);
        if (rc != MAG_OK)
            return rc;
    }
    return MAG_OK;
}

/* The nodegroup's own labels for nodes, and ours, which tell services where they run. */
static json_t *node_labels(const struct mag_roster_group *g, const struct mag_roster_node *n)
{
    json_t *labels = json_object();
    const char *key;
    json_t *v;
    json_object_foreach(mag_json_at(g ? g->json : NULL, "node_labels"), key, v)
    {
        if (json_is_string(v))
            (void)json_object_set(labels, key, v);
    }
    (void)json_object_set_new(labels, "magnum.nodegroup", json_string(g ? g->name : ""));
    (void)json_object_set_new(labels, "magnum.role", json_string(n->master ? "manager" : "worker"));
    return labels;
}

/* *ret_changed: the entries are no longer what the swarm says. */
static int32_t set_roles(struct mag_local_run *r, bool *ret_changed)
{
    struct mag_docker d = local_docker(r, swarm_run(r)->manager, CHANGE_MS);
    for (size_t i = 0; i < r->st.n; i++) {
        const struct mag_roster_node *n = &r->st.v[i];
        if (!staying(r, i) || !r->seen[i].entry)
            continue;
        _mag_json_ json_t *labels = node_labels(mag_local_group_of(r, n), n);
        struct swarm_wanted w = {.role = n->master ? "manager" : "worker", .labels = labels};
        if (swarm_node_matches(r->seen[i].entry, &w))
            continue;
        int32_t rc = swarm_node_update(&d, swarm_node_id(r->seen[i].entry), &w, r->c->err);
        if (rc == MAG_E_NOT_FOUND)
            return MAG_AGAIN;
        if (rc != MAG_OK)
            return rc;
        *ret_changed = true;
    }
    return MAG_OK;
}

int32_t local_settle(struct mag_local_run *r)
{
    size_t ready = 0, all = mag_local_staying(r);
    bool changed = false;
    int32_t rc = r->list ? drop_ghosts(r) : MAG_AGAIN;
    if (rc == MAG_OK)
        rc = set_roles(r, &changed);
    if (rc == MAG_OK && changed)
        rc = local_list(r);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < r->st.n; i++)
        ready += staying(r, i) && is_ready(r, i);
    if (rc == MAG_OK && ready == all)
        return MAG_OK;
    return mag_again(r->c->out, pause_ms(r), 70 + (uint32_t)(20 * ready / all),
                     "%zu of %zu nodes ready", ready, all);
}
