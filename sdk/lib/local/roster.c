/* See roster.h. */
#include "lib/local/roster.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cluster.h"
#include "lib/names.h"

#include <stdio.h>
#include <string.h>

enum { MASTERS_MAX = 7 };

void mag_roster_done(struct mag_roster *r)
{
    json_decref(r->facts);
    free(r->v);
    *r = (struct mag_roster){0};
}

static int32_t add_node(struct mag_roster *r, const struct mag_roster_node *n, mag_error *err)
{
    struct mag_roster_node *v = realloc(r->v, (r->n + 1) * sizeof *v);
    if (!v)
        return mag_fail_nomem(err);
    r->v = v;
    v[r->n++] = *n;
    return MAG_OK;
}

static int32_t read_node(struct mag_roster *r, const json_t *j, mag_error *err)
{
    int64_t index = mag_json_int(j, "i", 0);
    const char *name = mag_json_text(j, "name", ""), *group = mag_json_text(j, "ng", "");
    struct mag_roster_node n = {.index = (unsigned)index,
                                .master = mag_json_bool(j, "master", false),
                                .leaving = mag_json_bool(j, "leaving", false),
                                .drain_ms = mag_json_int(j, "drain", 0)};
    if (index < 1 || index > MAG_LOCAL_NODES_MAX || mag_roster_find(r, n.index) ||
        strlen(name) >= sizeof n.name || strlen(group) >= sizeof n.group)
        return MAG_OK;
    memcpy(n.name, name, strlen(name));
    memcpy(n.group, group, strlen(group));
    (void)snprintf(n.version, sizeof n.version, "%s", mag_json_text(j, "version", ""));
    return add_node(r, &n, err);
}

int32_t mag_roster_read(const json_t *doc, struct mag_roster *ret, mag_error *err)
{
    json_t *facts = mag_json_at(doc, "facts");
    struct mag_roster r = {.rev = mag_json_int(doc, "rev", 0),
                           .last_index =
                               (unsigned)mag_json_int(doc, "last", 0) % (MAG_LOCAL_NODES_MAX + 1),
                           .facts = json_is_object(facts) ? json_deep_copy(facts) : json_object()};
    size_t i;
    json_t *j;
    int32_t rc = r.facts ? MAG_OK : mag_fail_nomem(err);
    (void)snprintf(r.machine, sizeof r.machine, "%s", mag_json_text(doc, "machine", ""));
    (void)snprintf(r.host, sizeof r.host, "%s", mag_json_text(doc, "host", ""));
    json_array_foreach(mag_json_at(doc, "nodes"), i, j)
    {
        if (rc == MAG_OK)
            rc = read_node(&r, j, err);
    }
    if (rc == MAG_OK)
        *ret = r;
    else
        mag_roster_done(&r);
    return rc;
}

json_t *mag_roster_write(const struct mag_roster *r)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < r->n; i++) {
        const struct mag_roster_node *n = &r->v[i];
        json_t *j =
            json_pack("{s:i, s:s, s:s}", "i", (int)n->index, "name", n->name, "ng", n->group);
        if (n->master)
            (void)json_object_set_new(j, "master", json_true());
        if (n->leaving)
            (void)json_object_set_new(j, "leaving", json_true());
        if (n->drain_ms)
            (void)json_object_set_new(j, "drain", json_integer(n->drain_ms));
        if (n->version[0])
            (void)json_object_set_new(j, "version", json_string(n->version));
        if (json_array_append_new(nodes, j) < 0) {
            json_decref(nodes);
            return NULL;
        }
    }
    return json_pack("{s:i, s:I, s:I, s:s, s:s, s:O, s:o}", "v", 1, "rev", (json_int_t)r->rev,
                     "last", (json_int_t)r->last_index, "machine", r->machine, "host", r->host,
                     "facts", r->facts, "nodes", nodes);
}

struct mag_roster_node *mag_roster_find(const struct mag_roster *r, unsigned index)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->v[i].index == index)
            return &r->v[i];
    return NULL;
}

void mag_roster_drop(struct mag_roster *r, unsigned index)
{
    struct mag_roster_node *n = mag_roster_find(r, index);
    if (!n)
        return;
    size_t at = (size_t)(n - r->v);
    memmove(n, n + 1, (r->n - at - 1) * sizeof *n);
    r->n--;
}

const struct mag_roster_node *mag_roster_first_master(const struct mag_roster *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->v[i].master && !r->v[i].leaving)
            return &r->v[i];
    return NULL;
}

static int32_t check_counts(size_t masters, size_t all, mag_error *err)
{
    char remedy[64];
    if (masters == 0)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "NoMaster",
                        "set master_count to 1, 3 or 5",
                        "A cluster needs at least one master (master_count)");
    if (masters % 2 == 0)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "EvenMasters",
                        "set master_count to 1, 3, 5 or 7",
                        "%zu masters survive no more failures than %zu; the number of masters "
                        "must be odd",
                        masters, masters - 1);
    if (masters > MASTERS_MAX)
        return mag_fail(
            err, MAG_E_INVALID, MAG_ERR_USER, "TooManyMasters", "set master_count to 1, 3, 5 or 7",
            "%zu masters are more than a cluster works well with (%d)", masters, MASTERS_MAX);
    (void)snprintf(remedy, sizeof remedy, "ask for at most %d nodes in all", MAG_LOCAL_NODES_MAX);
    if (all > MAG_LOCAL_NODES_MAX)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "TooManyNodes", remedy,
                        "%zu nodes are more than one machine carries (%d)", all,
                        MAG_LOCAL_NODES_MAX);
    return MAG_OK;
}

int32_t mag_roster_groups(const json_t *spec, const char *gone_group,
                          struct mag_roster_group ret[MAG_ROSTER_GROUPS_MAX], size_t *ret_n,
                          mag_error *err)
{
    size_t i, n = 0, masters = 0, all = 0;
    json_t *j;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, j)
    {
        struct mag_roster_group g = {.uuid = mag_json_text(j, "uuid", ""),
                                     .name = mag_json_text(j, "name", "nodes"),
                                     .master = strcmp(mag_json_text(j, "role", ""), "master") == 0,
                                     .json = j};
        int64_t count = mag_json_int(j, "node_count", 0);
        g.by_name = !g.master;
        if (!mag_is_uuid(g.uuid) || count < 0 || n == MAG_ROSTER_GROUPS_MAX)
            return mag_fail(err, MAG_E_INVALID, 0, "BadNodegroup", NULL,
                            "Nodegroup %s has no usable uuid or node count, or is one too many",
                            g.name);
        if (gone_group && strcmp(gone_group, g.uuid) == 0)
            count = 0;
        g.count = count > MAG_LOCAL_NODES_MAX ? MAG_LOCAL_NODES_MAX + 1 : (size_t)count;
        all += g.count;
        masters += g.master ? g.count : 0;
        ret[n++] = g;
    }
    *ret_n = n;
    return check_counts(masters, all, err);
}

void mag_roster_masters_by_name(struct mag_roster_group *groups, size_t n, const json_t *spec)
{
    const char *meant = mag_json_text(spec, "params.nodegroup", NULL);
    for (size_t i = 0; i < n; i++)
        groups[i].by_name |= !meant || strcmp(meant, groups[i].uuid) == 0;
}

static bool names_node(const char *what, const struct mag_roster_node *n)
{
    char text[16];
    mag_local_address(n->index, text);
    if (strcmp(what, text) == 0 || strcmp(what, n->name) == 0)
        return true;
    (void)snprintf(text, sizeof text, "%u", n->index);
    return strcmp(what, text) == 0;
}

static bool is_named(const json_t *remove, const struct mag_roster_node *n)
{
    size_t i;
    json_t *j;
    json_array_foreach(remove, i, j)
    {
        if (json_is_string(j) && names_node(json_string_value(j), n))
            return true;
        if (json_is_integer(j) && json_integer_value(j) == (json_int_t)n->index)
            return true;
    }
    return false;
}

/* An index that this very request names for removal is not taken, else the repeated step would
 * remove the new node too. */
static int32_t add_new(struct mag_roster *r, const char *cluster, const struct mag_roster_group *g,
                       const json_t *remove, mag_error *err)
{
    struct mag_roster_node n = {.master = g->master};
    const char *role = mag_json_text(g->json, "role", "worker");
    const char *kind = g->master ? "master"
                       : strcmp(role, "worker") == 0 && mag_json_bool(g->json, "is_default", false)
                           ? "worker"
                           : g->name;
    (void)snprintf(n.group, sizeof n.group, "%s", g->uuid);
    for (unsigned k = 1; k <= MAG_LOCAL_NODES_MAX; k++) {
        n.index = (r->last_index + k - 1) % MAG_LOCAL_NODES_MAX + 1;
        mag_hostname(n.name, cluster, kind, n.index);
        if (mag_roster_find(r, n.index) || is_named(remove, &n))
            continue;
        r->last_index = n.index;
        return add_node(r, &n, err);
    }
    return mag_fail(err, MAG_E_QUOTA, MAG_ERR_USER | MAG_ERR_RETRYABLE, "TooManyNodes",
                    "wait until leaving nodes are gone", "No address is free for a new node");
}

static size_t count_group(const struct mag_roster *r, const char *uuid)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += !r->v[i].leaving && strcmp(r->v[i].group, uuid) == 0;
    return n;
}

static const struct mag_roster_group *group_by(const struct mag_roster_group *groups, size_t n,
                                               const char *uuid)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(groups[i].uuid, uuid) == 0)
            return &groups[i];
    return NULL;
}

int32_t mag_roster_plan(struct mag_roster *r, const char *cluster_name,
                        const struct mag_roster_group *groups, size_t n_groups,
                        const json_t *remove, bool *ret_changed, mag_error *err)
{
    bool changed = false;
    for (size_t i = 0; i < r->n; i++) {
        struct mag_roster_node *n = &r->v[i];
        const struct mag_roster_group *g = group_by(groups, n_groups, n->group);
        bool out = !g || (g->by_name && is_named(remove, n));
        changed |= out && !n->leaving;
        n->leaving |= out;
    }
    for (size_t g = 0; g < n_groups; g++) {
        size_t have = count_group(r, groups[g].uuid);
        for (size_t i = r->n; i-- > 0 && have > groups[g].count;) {
            if (r->v[i].leaving || strcmp(r->v[i].group, groups[g].uuid) != 0)
                continue;
            r->v[i].leaving = changed = true;
            have--;
        }
        for (; have < groups[g].count; have++) {
            int32_t rc = add_new(r, cluster_name, &groups[g], remove, err);
            if (rc != MAG_OK)
                return rc;
            changed = true;
        }
    }
    *ret_changed = changed;
    return MAG_OK;
}
