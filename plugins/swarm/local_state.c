/* See local_state.h. */
#include "local_state.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cluster.h"
#include "lib/names.h"

#include <stdio.h>
#include <string.h>

enum { MANAGERS_MAX = 7 };

void local_state_done(struct local_state *st)
{
    free(st->v);
    *st = (struct local_state){0};
}

static int32_t add_node(struct local_state *st, const struct local_node *n, mag_error *err)
{
    struct local_node *v = realloc(st->v, (st->n + 1) * sizeof *v);
    if (!v)
        return mag_fail_nomem(err);
    st->v = v;
    v[st->n++] = *n;
    return MAG_OK;
}

int32_t local_state_read(const json_t *doc, struct local_state *ret, mag_error *err)
{
    struct local_state st = {.rev = mag_json_int(doc, "rev", 0),
                             .last_index =
                                 (unsigned)mag_json_int(doc, "last", 0) % (MAG_LOCAL_NODES_MAX + 1),
                             .swarm_made = mag_json_bool(doc, "swarm", false)};
    size_t i;
    json_t *j;
    (void)snprintf(st.machine, sizeof st.machine, "%s", mag_json_text(doc, "machine", ""));
    (void)snprintf(st.host, sizeof st.host, "%s", mag_json_text(doc, "host", ""));
    json_array_foreach(mag_json_at(doc, "nodes"), i, j)
    {
        int64_t index = mag_json_int(j, "i", 0);
        const char *name = mag_json_text(j, "name", ""), *group = mag_json_text(j, "ng", "");
        struct local_node n = {.index = (unsigned)index,
                               .manager = mag_json_bool(j, "manager", false),
                               .leaving = mag_json_bool(j, "leaving", false),
                               .drain_ms = mag_json_int(j, "drain", 0)};
        if (index < 1 || index > MAG_LOCAL_NODES_MAX || local_state_find(&st, n.index) ||
            strlen(name) >= sizeof n.name || strlen(group) >= sizeof n.group)
            continue;
        memcpy(n.name, name, strlen(name));
        memcpy(n.group, group, strlen(group));
        int32_t rc = add_node(&st, &n, err);
        if (rc != MAG_OK) {
            local_state_done(&st);
            return rc;
        }
    }
    *ret = st;
    return MAG_OK;
}

json_t *local_state_write(const struct local_state *st)
{
    _mag_json_ json_t *nodes = json_array();
    for (size_t i = 0; i < st->n; i++) {
        const struct local_node *n = &st->v[i];
        json_t *j =
            json_pack("{s:i, s:s, s:s}", "i", (int)n->index, "name", n->name, "ng", n->group);
        if (n->manager)
            (void)json_object_set_new(j, "manager", json_true());
        if (n->leaving)
            (void)json_object_set_new(j, "leaving", json_true());
        if (n->drain_ms)
            (void)json_object_set_new(j, "drain", json_integer(n->drain_ms));
        if (json_array_append_new(nodes, j) < 0)
            return NULL;
    }
    return json_pack("{s:i, s:I, s:s, s:s, s:i, s:b, s:O}", "v", 1, "rev", (json_int_t)st->rev,
                     "machine", st->machine, "host", st->host, "last", (int)st->last_index, "swarm",
                     st->swarm_made, "nodes", nodes);
}

struct local_node *local_state_find(const struct local_state *st, unsigned index)
{
    for (size_t i = 0; i < st->n; i++)
        if (st->v[i].index == index)
            return &st->v[i];
    return NULL;
}

void local_state_drop(struct local_state *st, unsigned index)
{
    struct local_node *n = local_state_find(st, index);
    if (!n)
        return;
    size_t at = (size_t)(n - st->v);
    memmove(n, n + 1, (st->n - at - 1) * sizeof *n);
    st->n--;
}

const struct local_node *local_state_first_manager(const struct local_state *st)
{
    for (size_t i = 0; i < st->n; i++)
        if (st->v[i].manager && !st->v[i].leaving)
            return &st->v[i];
    return NULL;
}

static int32_t check_counts(size_t managers, size_t all, mag_error *err)
{
    char remedy[64];
    if (managers == 0)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "NoManager",
                        "set master_count to 1, 3 or 5",
                        "A swarm needs at least one manager (master_count)");
    if (managers % 2 == 0)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "EvenManagers",
                        "set master_count to 1, 3, 5 or 7",
                        "%zu managers survive no more failures than %zu; the number of managers "
                        "must be odd",
                        managers, managers - 1);
    if (managers > MANAGERS_MAX)
        return mag_fail(
            err, MAG_E_INVALID, MAG_ERR_USER, "TooManyManagers", "set master_count to 1, 3, 5 or 7",
            "%zu managers are more than a swarm works well with (%d)", managers, MANAGERS_MAX);
    (void)snprintf(remedy, sizeof remedy, "ask for at most %d nodes in all", MAG_LOCAL_NODES_MAX);
    if (all > MAG_LOCAL_NODES_MAX)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "TooManyNodes", remedy,
                        "%zu nodes are more than one machine carries (%d)", all,
                        MAG_LOCAL_NODES_MAX);
    return MAG_OK;
}

int32_t local_groups(const json_t *spec, const char *gone_group,
                     struct local_group ret[LOCAL_GROUPS_MAX], size_t *ret_n, mag_error *err)
{
    size_t i, n = 0, managers = 0, all = 0;
    json_t *j;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, j)
    {
        struct local_group g = {.uuid = mag_json_text(j, "uuid", ""),
                                .name = mag_json_text(j, "name", "nodes"),
                                .manager = strcmp(mag_json_text(j, "role", ""), "master") == 0,
                                .json = j};
        int64_t count = mag_json_int(j, "node_count", 0);
        if (!mag_is_uuid(g.uuid) || count < 0 || n == LOCAL_GROUPS_MAX)
            return mag_fail(err, MAG_E_INVALID, 0, "BadNodegroup", NULL,
                            "Nodegroup %s has no usable uuid or node count, or is one too many",
                            g.name);
        if (gone_group && strcmp(gone_group, g.uuid) == 0)
            count = 0;
        g.count = count > MAG_LOCAL_NODES_MAX ? MAG_LOCAL_NODES_MAX + 1 : (size_t)count;
        all += g.count;
        managers += g.manager ? g.count : 0;
        ret[n++] = g;
    }
    *ret_n = n;
    return check_counts(managers, all, err);
}

static bool names_node(const char *what, const struct local_node *n, const char *id)
{
    char text[16];
    mag_local_address(n->index, text);
    if (strcmp(what, text) == 0 || strcmp(what, n->name) == 0 || (id && strcmp(what, id) == 0))
        return true;
    (void)snprintf(text, sizeof text, "%u", n->index);
    return strcmp(what, text) == 0;
}

static bool is_named(const json_t *remove, const struct local_node *n, const char *id)
{
    size_t i;
    json_t *j;
    json_array_foreach(remove, i, j)
    {
        if (json_is_string(j) && names_node(json_string_value(j), n, id))
            return true;
        if (json_is_integer(j) && json_integer_value(j) == (json_int_t)n->index)
            return true;
    }
    return false;
}

/* The next index that is free, behind the last one given out: an index, and so a name and an
 * address, comes back as late as possible. One that this very request names for removal is not
 * taken, else the repeated step would remove the new node too. */
static int32_t add_new(struct local_state *st, const char *cluster, const struct local_group *g,
                       const json_t *remove, mag_error *err)
{
    struct local_node n = {.manager = g->manager};
    const char *role = mag_json_text(g->json, "role", "worker");
    const char *kind = g->manager ? "manager"
                       : strcmp(role, "worker") == 0 && mag_json_bool(g->json, "is_default", false)
                           ? "worker"
                           : g->name;
    (void)snprintf(n.group, sizeof n.group, "%s", g->uuid);
    for (unsigned k = 1; k <= MAG_LOCAL_NODES_MAX; k++) {
        n.index = (st->last_index + k - 1) % MAG_LOCAL_NODES_MAX + 1;
        mag_hostname(n.name, cluster, kind, n.index);
        if (local_state_find(st, n.index) || is_named(remove, &n, NULL))
            continue;
        st->last_index = n.index;
        return add_node(st, &n, err);
    }
    return mag_fail(err, MAG_E_QUOTA, MAG_ERR_USER | MAG_ERR_RETRYABLE, "TooManyNodes",
                    "wait until leaving nodes are gone", "No address is free for a new node");
}

static size_t count_group(const struct local_state *st, const char *uuid)
{
    size_t n = 0;
    for (size_t i = 0; i < st->n; i++)
        n += !st->v[i].leaving && strcmp(st->v[i].group, uuid) == 0;
    return n;
}

static const struct local_group *group_of(const struct local_group *groups, size_t n,
                                          const char *uuid)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(groups[i].uuid, uuid) == 0)
            return &groups[i];
    return NULL;
}

int32_t local_state_plan(struct local_state *st, const char *cluster_name,
                         const struct local_group *groups, size_t n_groups, const json_t *remove,
                         local_id_fn id_of, void *ctx, bool *ret_changed, mag_error *err)
{
    bool changed = false;
    for (size_t i = 0; i < st->n; i++) {
        struct local_node *n = &st->v[i];
        bool out = !group_of(groups, n_groups, n->group) ||
                   is_named(remove, n, id_of ? id_of(ctx, n->index) : NULL);
        changed |= out && !n->leaving;
        n->leaving |= out;
    }
    for (size_t g = 0; g < n_groups; g++) {
        size_t have = count_group(st, groups[g].uuid);
        for (size_t i = st->n; i-- > 0 && have > groups[g].count;) {
            if (st->v[i].leaving || strcmp(st->v[i].group, groups[g].uuid) != 0)
                continue;
            st->v[i].leaving = changed = true;
            have--;
        }
        for (; have < groups[g].count; have++) {
            int32_t rc = add_new(st, cluster_name, &groups[g], remove, err);
            if (rc != MAG_OK)
                return rc;
            changed = true;
        }
    }
    *ret_changed = changed;
    return MAG_OK;
}
