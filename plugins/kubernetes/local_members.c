/* Masters that are replaced: etcd's members follow the roster, one change at a time, while the
 * others go on serving. The one that goes is stopped and taken out; its successor is taken in, gets
 * the list of members it joins (BASE/etcd-join), is started, and is waited for. Every look may find
 * a replacement anywhere on that way. At the end the workers learn where the masters are.
 * etcd is asked inside the masters' own networks, by its own tool.
 * Neighbours: local_run.h, lib/etcd (decides), local_nodes.c (starts), local_leave.c (removes). */
#include "local_files.h"

#include "lib/cleanup.h"
#include "lib/etcd.h"
#include "lib/fail.h"
#include "lib/local/files.h"
#include "lib/local/spawn.h"

#include <stdio.h>
#include <string.h>

enum { ASK_MS = 6000, CHANGE_MS = 10000, POLL_MS = 150, GRACE_MS = 3000, GROUP_MAX = 1 << 20 };

struct etcd { /* what one look says */
    struct mag_local_run *r;
    char nsenter[256], ctl[256];
    struct mag_etcd_host hosts[MAG_ETCD_MEMBERS_MAX];
    size_t at[MAG_ETCD_MEMBERS_MAX]; /* of a host in the roster */
    size_t n_hosts;
    struct mag_etcd_member members[MAG_ETCD_MEMBERS_MAX];
    size_t n_members;
    size_t running; /* hosts whose processes live */
    int via;        /* a host that is well, to be asked for changes; or MAG_ETCD_NONE */
    char why[200];  /* how the last one that is not well put it */
};

static void join_path(const char *base, char ret[MAG_LOCAL_BASE_MAX + 32])
{
    (void)snprintf(ret, MAG_LOCAL_BASE_MAX + 32, "%s/etcd-join", base);
}

char *local_join_list(const char *base)
{
    char path[MAG_LOCAL_BASE_MAX + 32];
    char *text = NULL;
    join_path(base, path);
    return mag_read_file(path, 4096, &text, NULL) == MAG_OK ? text : NULL;
}

bool local_awaits_etcd(const struct mag_local_run *r, const struct mag_roster_node *n)
{
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 32];
    mag_local_base(&r->cl, n->index, base);
    join_path(base, path);
    return n->master && !n->version[0] && mag_json_bool(r->st.facts, "usable", false) &&
           access(path, F_OK) < 0;
}

/* ---- asking etcd ---- */

static int32_t find_tool(const struct etcd *e, const char *name, const char *package, char *ret,
                         size_t cap)
{
    char remedy[120];
    if (mag_find_program(e->r->site->path, name, ret, cap))
        return MAG_OK;
    (void)snprintf(remedy, sizeof remedy, "on the conductor's machine: apt-get install %s",
                   package);
    return mag_fail(e->r->c->err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing", remedy,
                    "Masters are replaced with %s, which is not installed", name);
}

struct command {
    char netns[128], ca[MAG_LOCAL_BASE_MAX + 48], cert[MAG_LOCAL_BASE_MAX + 48];
    char key[MAG_LOCAL_BASE_MAX + 48];
    const char *argv[16];
};

/* words: of etcdctl, ended by NULL. */
static void command_of(const struct etcd *e, size_t at, const char *const *words, struct command *c)
{
    const struct mag_local_cluster *cl = &e->r->cl;
    char base[MAG_LOCAL_BASE_MAX + 8], netns[96];
    size_t n = 0;
    mag_local_base(cl, e->r->st.v[at].index, base);
    mag_local_netns(cl, e->r->st.v[at].index, netns);
    (void)snprintf(c->netns, sizeof c->netns, "--net=/run/netns/%s", netns);
    (void)snprintf(c->ca, sizeof c->ca, "--cacert=%s/pki/etcd-ca.pem", base);
    (void)snprintf(c->cert, sizeof c->cert, "--cert=%s/pki/etcd-client.pem", base);
    (void)snprintf(c->key, sizeof c->key, "--key=%s/pki/etcd-client.pem", base);
    c->argv[n++] = e->nsenter;
    c->argv[n++] = c->netns;
    c->argv[n++] = e->ctl;
    c->argv[n++] = "--endpoints=https://127.0.0.1:2379";
    c->argv[n++] = "--dial-timeout=2s";
    c->argv[n++] = "--command-timeout=4s";
    c->argv[n++] = c->ca;
    c->argv[n++] = c->cert;
    c->argv[n++] = c->key;
    while (*words && n + 1 < MAG_LEN(c->argv))
        c->argv[n++] = *words++;
    c->argv[n] = NULL;
}

/* All at once: each tells by an answer that takes a majority. */
static void ask_each(struct etcd *e)
{
    static const char *const words[] = {"endpoint", "health", NULL};
    struct mag_child child[MAG_ETCD_MEMBERS_MAX];
    bool begun[MAG_ETCD_MEMBERS_MAX] = {false};
    struct command c;
    for (size_t i = 0; i < e->n_hosts; i++) {
        mag_error why = {.struct_size = sizeof why};
        child[i] = MAG_CHILD_INIT;
        if (e->r->seen[e->at[i]].run != MAG_NODE_RUNNING)
            continue;
        e->running++;
        command_of(e, e->at[i], words, &c);
        begun[i] = mag_child_start(c.argv, NULL, -1, &child[i], &why) == MAG_OK;
    }
    for (size_t i = 0; i < e->n_hosts; i++) {
        mag_error why = {.struct_size = sizeof why};
        e->hosts[i].well = begun[i] && mag_child_wait(&child[i], ASK_MS, NULL, &why) == MAG_OK;
        if (!e->hosts[i].well)
            (void)snprintf(e->why, sizeof e->why, "%.63s%s%.120s", e->r->st.v[e->at[i]].name,
                           begun[i] ? ": " : " does not run", begun[i] ? why.message : "");
        else if (e->via == MAG_ETCD_NONE || (e->hosts[e->via].leaving && !e->hosts[i].leaving))
            e->via = (int)i;
    }
}

bool local_is_member(struct mag_local_run *r, size_t at)
{
    struct etcd e = {.r = r, .at = {at}, .n_hosts = 1, .via = MAG_ETCD_NONE};
    if (!mag_find_program(r->site->path, "nsenter", e.nsenter, sizeof e.nsenter) ||
        !mag_find_program(r->site->path, "etcdctl", e.ctl, sizeof e.ctl))
        return local_serves(r, at); /* an open port has to be enough */
    ask_each(&e);
    return e.hosts[0].well;
}

static int32_t run_ctl(const struct etcd *e, const char *const *words, char **ret)
{
    struct command c;
    command_of(e, e->at[e->via], words, &c);
    int32_t rc = mag_run(c.argv, NULL, -1, CHANGE_MS, ret, e->r->c->err);
    return rc == MAG_OK ? rc : mag_fail_wrap(e->r->c->err, rc, "etcdctl %s", words[1]);
}

/* The list is empty when nobody could be asked. Of the first `upto` nodes of the roster. */
static int32_t look(struct mag_local_run *r, size_t upto, struct etcd *e)
{
    static const char *const words[] = {"member", "list", NULL};
    _mag_free_ char *text = NULL;
    char address[16];
    *e = (struct etcd){.r = r, .via = MAG_ETCD_NONE};
    for (size_t i = 0; i < upto && e->n_hosts < MAG_LEN(e->hosts); i++) {
        if (!r->st.v[i].master)
            continue;
        struct mag_etcd_host *h = &e->hosts[e->n_hosts];
        mag_local_address(r->st.v[i].index, address);
        (void)snprintf(h->peer, sizeof h->peer, "https://%s:2380", address);
        h->leaving = r->st.v[i].leaving;
        e->at[e->n_hosts++] = i;
    }
    int32_t rc = find_tool(e, "nsenter", "util-linux", e->nsenter, sizeof e->nsenter);
    if (rc == MAG_OK)
        rc = find_tool(e, "etcdctl", "etcd-client", e->ctl, sizeof e->ctl);
    if (rc == MAG_OK)
        ask_each(e);
    if (rc != MAG_OK || e->via == MAG_ETCD_NONE)
        return rc;
    rc = run_ctl(e, words, &text);
    return rc == MAG_OK ? mag_etcd_members(text, e->members, &e->n_members, r->c->err) : rc;
}

/* ---- what is refused ---- */

static int32_t no_majority(struct mag_local_run *r, const struct etcd *e, size_t well)
{
    size_t all = e->n_members ? e->n_members : e->n_hosts;
    if (well * 2 > all)
        return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "QuorumWouldBeLost",
                        "name fewer masters, or start those that are down first",
                        "Of %zu etcd members %zu answer: without those that were named no majority "
                        "would be left (%zu are needed)",
                        all, well, all / 2 + 1);
    return mag_fail(
        r->c->err, MAG_E_INVALID, MAG_ERR_USER, "QuorumLost",
        "resize without naming masters first: it starts those that are down again, on "
        "the data they have",
        "etcd has no majority, so that no master can be replaced now: %zu of %zu run, and "
        "%zu are needed (%s)",
        e->running, all, all / 2 + 1, e->why);
}

int32_t local_check_members(struct mag_local_run *r, size_t had)
{
    struct etcd e;
    size_t masters = 0, go = 0, well = 0, ill_go = 0, well_go = 0;
    for (size_t i = 0; i < had; i++) {
        masters += r->st.v[i].master;
        go += r->st.v[i].master && r->st.v[i].leaving;
    }
    if (go == 0)
        return MAG_OK;
    if (masters == 1)
        return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "QuorumWouldBeLost",
                        "make a cluster with three masters; a resize that names none starts a "
                        "master that is down again",
                        "The only master has the cluster's only etcd: all that the cluster knows "
                        "would go with it");
    if (!mag_json_bool(r->st.facts, "usable", false))
        return mag_fail(r->c->err, MAG_E_INVALID, MAG_ERR_USER, "NeverWorked",
                        "delete the cluster and make it anew",
                        "No master can be replaced in a cluster that never worked");
    int32_t rc = look(r, had, &e);
    if (rc != MAG_OK)
        return rc;
    for (size_t i = 0; i < e.n_hosts; i++) {
        well += e.hosts[i].well;
        ill_go += e.hosts[i].leaving && !e.hosts[i].well;
        well_go += e.hosts[i].leaving && e.hosts[i].well;
    }
    return mag_etcd_may_go(e.n_members, well, ill_go, well_go) ? MAG_OK : no_majority(r, &e, well);
}

/* ---- the changes ---- */

static const char *name_at(const struct etcd *e, int host)
{
    return host >= 0 ? e->r->st.v[e->at[host]].name : "a master of former times";
}

static int32_t take_out(struct etcd *e, const struct mag_etcd_next *next)
{
    struct mag_local_run *r = e->r;
    const char *const words[] = {"member", "remove", e->members[next->member].id, NULL};
    _mag_free_ char *text = NULL;
    int32_t rc = MAG_OK;
    if (next->host >= 0 && r->seen[e->at[next->host]].run > MAG_NODE_STOPPED) {
        unsigned index = r->st.v[e->at[next->host]].index;
        rc = mag_nodes_stop(&r->cl, &index, 1, GRACE_MS, r->c->err);
        if (rc == MAG_OK || rc == MAG_AGAIN)
            return mag_again(r->c->out, 50, 26, "%s is powered off", name_at(e, next->host));
        return rc;
    }
    rc = run_ctl(e, words, &text);
    return rc == MAG_OK ? mag_again(r->c->out, 0, 27, "%s is no member of etcd any more",
                                    name_at(e, next->host))
                        : rc;
}

/* The members as the new one has to be told them: itself, and all that ever ran. */
static int32_t write_join(struct etcd *e, int host)
{
    struct mag_local_run *r = e->r;
    unsigned index = r->st.v[e->at[host]].index;
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 32], list[2048] = "", one[160];
    for (size_t i = 0; i < e->n_members; i++) {
        const struct mag_etcd_member *m = &e->members[i];
        bool mine = strcmp(m->peer, e->hosts[host].peer) == 0;
        if (!m->name[0] && !mine)
            continue;
        (void)snprintf(one, sizeof one, "m%u", index);
        const char *name = mine ? one : m->name;
        size_t len = strlen(list);
        (void)snprintf(list + len, sizeof list - len, "%s%s=%s", len ? "," : "", name, m->peer);
    }
    mag_local_base(&r->cl, index, base);
    join_path(base, path);
    int32_t rc = mag_mkdirs(base, 0711, r->c->err);
    return rc == MAG_OK ? mag_write_file(path, mag_text(list), 0600, r->c->err) : rc;
}

static int32_t take_in(struct etcd *e, int host)
{
    char name[24], urls[96];
    const char *const words[] = {"member", "add", name, urls, NULL};
    _mag_free_ char *text = NULL;
    (void)snprintf(name, sizeof name, "m%u", e->r->st.v[e->at[host]].index);
    (void)snprintf(urls, sizeof urls, "--peer-urls=%s", e->hosts[host].peer);
    int32_t rc = run_ctl(e, words, &text);
    return rc == MAG_OK
               ? mag_again(e->r->c->out, 0, 28, "%s becomes a member of etcd", name_at(e, host))
               : rc;
}

/* One that was added is told whom it joins; else its etcd is on its way, or never will be. */
static int32_t wait_for(struct etcd *e, int host)
{
    char text[300];
    struct mag_local_run *r = e->r;
    if (local_awaits_etcd(r, &r->st.v[e->at[host]])) {
        int32_t rc = write_join(e, host);
        return rc == MAG_OK ? mag_again(r->c->out, 0, 29, "%s is started", name_at(e, host)) : rc;
    }
    (void)snprintf(text, sizeof text, "Waiting for etcd of %s", name_at(e, host));
    return local_wait_more(r, 30, text);
}

/* Changes are refused while etcd is not sure of its members, for some seconds after each. */
static int32_t change(struct etcd *e, const struct mag_etcd_next *next)
{
    struct mag_local_run *r = e->r;
    int32_t rc = next->action == MAG_ETCD_REMOVE ? take_out(e, next) : take_in(e, next->host);
    if (rc != MAG_E_UNAVAILABLE && rc != MAG_E_TIMEOUT)
        return rc;
    char text[300];
    (void)snprintf(text, sizeof text, "%.280s", r->c->err->message);
    return local_wait_more(r, 27, text);
}

/* ---- what follows from it ---- */

/* The successors serve the API too. */
static int32_t wait_apis(struct mag_local_run *r)
{
    char text[160];
    for (size_t i = 0; i < r->st.n; i++) {
        if (!r->st.v[i].master || r->st.v[i].leaving || local_serves(r, i))
            continue;
        (void)snprintf(text, sizeof text, "Waiting for the API of %s", r->st.v[i].name);
        return local_wait_more(r, 32, text);
    }
    return MAG_OK;
}

/* A worker's way to the masters; its other daemons are left alone. */
static int32_t show_way(struct mag_local_run *r, size_t at, json_t *masters)
{
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 32];
    _mag_free_ char *text = NULL;
    _mag_json_ json_t *doc = NULL;
    size_t i;
    json_t *part;
    bool changed = false;
    mag_local_base(&r->cl, r->st.v[at].index, base);
    (void)snprintf(path, sizeof path, "%s/group.json", base);
    int32_t rc = mag_read_file(path, GROUP_MAX, &text, NULL);
    if (rc == MAG_OK)
        rc = mag_json_parse(mag_text(text), path, &doc, NULL);
    if (rc != MAG_OK)
        return MAG_OK; /* it is written when the node is started */
    json_array_foreach(mag_json_at(doc, "parts"), i, part)
    {
        json_t *to = json_object_get(part, "to");
        if (!to || json_equal(to, masters))
            continue;
        changed = true;
        if (json_object_set(part, "to", masters) < 0)
            return mag_fail_nomem(r->c->err);
    }
    if (changed)
        rc = files_put_json(base, "group.json", json_incref(doc), r->c->err);
    if (rc == MAG_OK) /* again, should the last step have ended in between: no change, no effect */
        local_tell_group(r, at);
    return rc;
}

static int32_t show_ways(struct mag_local_run *r)
{
    _mag_json_ json_t *masters = local_masters_of(r);
    int32_t rc = masters ? MAG_OK : mag_fail_nomem(r->c->err);
    for (size_t i = 0; i < r->st.n && rc == MAG_OK; i++)
        if (!r->st.v[i].master && !r->st.v[i].leaving)
            rc = show_way(r, i, masters);
    return rc;
}

/* ---- the phase ---- */

static bool any_master_leaves(const struct mag_local_run *r)
{
    for (size_t i = 0; i < r->st.n; i++)
        if (r->st.v[i].master && r->st.v[i].leaving)
            return true;
    return false;
}

static int32_t step(struct mag_local_run *r, struct etcd *e)
{
    size_t well = 0;
    for (size_t i = 0; i < e->n_hosts; i++)
        well += e->hosts[i].well;
    if (e->via == MAG_ETCD_NONE) {
        char text[300];
        (void)snprintf(text, sizeof text, "Waiting for etcd's majority: %s", e->why);
        return local_wait_more(r, 26, text);
    }
    struct mag_etcd_next next = mag_etcd_next(e->hosts, e->n_hosts, e->members, e->n_members);
    switch (next.action) {
    case MAG_ETCD_WAIT:
        return wait_for(e, next.host);
    case MAG_ETCD_REMOVE:
    case MAG_ETCD_ADD:
        return change(e, &next);
    case MAG_ETCD_LOST:
        return no_majority(r, e, well);
    default:
        return MAG_OK;
    }
}

int32_t local_replace_masters(struct mag_local_run *r)
{
    struct etcd e;
    if (!any_master_leaves(r))
        return MAG_OK;
    int32_t rc = look(r, r->st.n, &e);
    if (rc == MAG_E_UNAVAILABLE || rc == MAG_E_TIMEOUT) {
        char text[300];
        (void)snprintf(text, sizeof text, "%.280s", r->c->err->message);
        return local_wait_more(r, 26, text);
    }
    if (rc == MAG_OK)
        rc = step(r, &e);
    if (rc == MAG_OK)
        rc = wait_apis(r);
    return rc == MAG_OK ? show_ways(r) : rc;
}
