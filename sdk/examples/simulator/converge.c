/* The heart: compares what is there with what the spec wants, and carries out one difference at a
 * time. It never asks which operation it is for, so create, update, scale, upgrade and delete, run
 * once or resumed anywhere, end in the same place. See sim.h. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NODE_CPU = 2, NODE_MEMORY_MB = 4096 };

void sim_changes_done(struct sim_changes *c)
{
    for (size_t i = 0; i < c->n; i++)
        json_decref(c->v[i].node.doc);
    free(c->v);
    *c = (struct sim_changes){0};
}

/* doc: taken, also on failure. */
static int32_t add_change(struct sim_changes *c, enum sim_what what, const struct sim_node *node,
                          json_t *doc, mag_error *err)
{
    struct sim_change *v = realloc(c->v, (c->n + 1) * sizeof *v);
    if (!v) {
        json_decref(doc);
        return mag_fail_nomem(err);
    }
    c->v = v;
    v[c->n] = (struct sim_change){.node = *node};
    v[c->n].what = what;
    v[c->n++].node.doc = doc;
    return MAG_OK;
}

const char *sim_version(const json_t *spec, const json_t *group)
{
    const char *tag = mag_json_text(group, "labels.kube_tag", NULL);
    return tag ? tag : mag_json_text(spec, "cluster.labels.kube_tag", "v1.31.0");
}

/* What a node's file shall say: what it says now (old, may be NULL) with the wanted members. */
static json_t *wanted_doc(const json_t *old, const struct sim_node *n, const json_t *spec,
                          const json_t *group, struct sim_mark mark)
{
    json_t *doc = json_is_object(old) ? json_deep_copy(old) : json_object();
    json_t *set = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s*}", "name", n->name, "nodegroup", n->group,
                            "address", n->address, "role", mag_json_text(group, "role", "worker"),
                            "version", sim_version(spec, group), mark.key ? mark.key : "mark",
                            mark.key ? mark.value : NULL);
    if (!doc || !set || json_object_update(doc, set) < 0 ||
        json_object_set_new(doc, "index", json_integer(n->index)) < 0 ||
        json_object_set_new(doc, "cpu", json_integer(NODE_CPU)) < 0 ||
        json_object_set_new(doc, "memory_mb", json_integer(NODE_MEMORY_MB)) < 0) {
        json_decref(doc);
        doc = NULL;
    }
    json_decref(set);
    return doc;
}

/* Is this node named by nodes_to_remove: by its name, its index or its address? */
static bool to_remove(const json_t *spec, const json_t *group, const struct sim_node *n)
{
    const char *meant = mag_json_text(spec, "params.nodegroup", NULL);
    if (meant && strcmp(meant, mag_json_text(group, "uuid", "")) != 0 &&
        strcmp(meant, mag_json_text(group, "name", "")) != 0)
        return false;
    char index[24];
    snprintf(index, sizeof index, "%" PRId64, n->index);
    size_t i;
    json_t *v;
    json_array_foreach(mag_json_at(spec, "params.nodes_to_remove"), i, v)
    {
        const char *s = json_string_value(v);
        if ((json_is_integer(v) && json_integer_value(v) == n->index) ||
            (s && (strcmp(s, n->name) == 0 || strcmp(s, index) == 0 || strcmp(s, n->address) == 0)))
            return true;
    }
    return false;
}

static bool has_index(const struct sim_nodes *have, const char *group, int64_t index)
{
    for (size_t i = 0; i < have->n; i++)
        if (have->v[i].index == index && strcmp(have->v[i].group, group) == 0)
            return true;
    return false;
}

/* The nodes of one group that must go: the named ones, then the youngest until the count fits.
 * *ret_kept: how many stay. */
static int32_t diff_removals(const struct sim_nodes *have, const json_t *spec, const json_t *group,
                             const char *uuid, int64_t wanted, int64_t *ret_kept,
                             struct sim_changes *ret, mag_error *err)
{
    int64_t kept = 0;
    int32_t rc = MAG_OK;
    for (size_t i = 0; i < have->n; i++)
        kept += strcmp(have->v[i].group, uuid) == 0 && !to_remove(spec, group, &have->v[i]);
    for (size_t i = have->n; rc == MAG_OK && i-- > 0;) { /* highest index first */
        const struct sim_node *n = &have->v[i];
        if (strcmp(n->group, uuid) != 0)
            continue;
        bool named = to_remove(spec, group, n);
        if (named || kept > wanted)
            rc = add_change(ret, SIM_REMOVE, n, NULL, err);
        kept -= !named && kept > wanted;
    }
    *ret_kept = kept;
    return rc;
}

static bool is_removed(const struct sim_changes *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].what == SIM_REMOVE && strcmp(c->v[i].node.name, name) == 0)
            return true;
    return false;
}

static int32_t diff_changes(const struct sim_nodes *have, const json_t *spec, const json_t *group,
                            const char *uuid, struct sim_mark mark, struct sim_changes *ret,
                            mag_error *err)
{
    int32_t rc = MAG_OK;
    for (size_t i = 0; rc == MAG_OK && i < have->n; i++) {
        struct sim_node n = have->v[i];
        if (strcmp(n.group, uuid) != 0 || is_removed(ret, n.name))
            continue;
        if (!n.address[0]) /* a damaged file: made again as it would have been */
            sim_node_name(&n, mag_json_text(spec, "cluster.uuid", ""), uuid, n.index);
        json_t *doc = wanted_doc(n.doc, &n, spec, group, mark);
        if (!doc)
            return mag_fail_nomem(err);
        if (json_equal(doc, n.doc))
            json_decref(doc);
        else
            rc = add_change(ret, SIM_CHANGE, &n, doc, err);
    }
    return rc;
}

static int32_t diff_additions(const struct sim_nodes *have, const char *cluster_id,
                              const json_t *spec, const json_t *group, const char *uuid,
                              int64_t missing, struct sim_mark mark, struct sim_changes *ret,
                              mag_error *err)
{
    int32_t rc = MAG_OK;
    for (int64_t index = 0; rc == MAG_OK && missing > 0; index++) {
        struct sim_node n = {0};
        sim_node_name(&n, cluster_id, uuid, index);
        /* A node that was named for removal is not made again under the same name. */
        if (has_index(have, uuid, index) || to_remove(spec, group, &n))
            continue;
        json_t *doc = wanted_doc(NULL, &n, spec, group, mark);
        rc = doc ? add_change(ret, SIM_MAKE, &n, doc, err) : mag_fail_nomem(err);
        missing--;
    }
    return rc;
}

static const json_t *group_of(const json_t *spec, const char *uuid)
{
    size_t i;
    json_t *g;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, g)
    {
        if (strcmp(mag_json_text(g, "uuid", ""), uuid) == 0)
            return g;
    }
    return NULL;
}

/* Nodes of groups that are no longer wanted at all. */
static int32_t diff_orphans(const struct sim_nodes *have, const json_t *spec,
                            struct sim_changes *ret, mag_error *err)
{
    int32_t rc = MAG_OK;
    for (size_t i = have->n; rc == MAG_OK && i-- > 0;)
        if (!group_of(spec, have->v[i].group))
            rc = add_change(ret, SIM_REMOVE, &have->v[i], NULL, err);
    return rc;
}

int32_t sim_diff(const struct sim_nodes *have, const char *cluster_id, const json_t *spec,
                 struct sim_mark mark, struct sim_changes *ret, mag_error *err)
{
    *ret = (struct sim_changes){0};
    const json_t *groups = mag_json_at(spec, "nodegroups");
    int32_t rc = diff_orphans(have, spec, ret, err);
    size_t i;
    json_t *g;
    json_array_foreach(groups, i, g)
    {
        const char *uuid = mag_json_text(g, "uuid", "");
        int64_t wanted = mag_json_int(g, "node_count", 0), kept = 0;
        if (rc == MAG_OK && (!*uuid || strlen(uuid) >= sizeof have->v->group))
            rc = mag_fail(err, MAG_E_INVALID, 0, "BadNodegroup", NULL, "A nodegroup has no uuid");
        if (rc == MAG_OK && (wanted < 0 || wanted > SIM_MAX_NODES))
            rc = mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "BadNodeCount", NULL,
                          "A nodegroup of the simulator has 0 to %d nodes", SIM_MAX_NODES);
        if (rc == MAG_OK)
            rc = diff_removals(have, spec, g, uuid, wanted, &kept, ret, err);
        if (rc == MAG_OK)
            rc = diff_changes(have, spec, g, uuid, mark, ret, err);
        if (rc == MAG_OK)
            rc = diff_additions(have, cluster_id, spec, g, uuid, wanted - kept, mark, ret, err);
    }
    if (rc != MAG_OK)
        sim_changes_done(ret);
    return rc;
}

int32_t sim_change_apply(const struct sim *s, const mag_op *op, const char *dir,
                         const struct sim_change *c, mag_error *err)
{
    const char *name = c->node.name;
    int32_t rc = MAG_OK;
    if (c->what == SIM_REMOVE) {
        rc = sim_node_remove(dir, name, err);
        return rc == MAG_OK ? mag_ledger_drop(&s->services, op, SIM_NODE_KIND, name, err) : rc;
    }
    if (c->what == SIM_MAKE)
        rc = mag_ledger_declare(&s->services, op, SIM_NODE_KIND, name, c->node.doc, err);
    if (rc == MAG_OK)
        rc = sim_node_write(dir, &c->node, err);
    if (rc == MAG_OK && c->what == SIM_MAKE)
        rc = mag_ledger_confirm(&s->services, op, SIM_NODE_KIND, name, c->node.address, err);
    return rc;
}

/* ---- outputs ---- */

static int32_t publish_group(const struct sim *s, const mag_op *op, const struct sim_nodes *have,
                             const char *uuid, mag_error *err)
{
    char key[160];
    json_t *addresses = json_array();
    int64_t count = 0;
    for (size_t i = 0; i < have->n; i++)
        if (strcmp(have->v[i].group, uuid) == 0) {
            json_array_append_new(addresses, json_string(have->v[i].address));
            count++;
        }
    snprintf(key, sizeof key, "nodegroup/%.64s/node_addresses", uuid);
    int32_t rc = mag_output_new(s->services.host, op, key, addresses, err);
    if (rc != MAG_OK)
        return rc;
    snprintf(key, sizeof key, "nodegroup/%.64s/node_count", uuid);
    return mag_output_new(s->services.host, op, key, json_integer(count), err);
}

/* A stand-in for what an orchestrator calls the thing it made for this id: another uuid. */
static json_t *stack_of(const char *id)
{
    enum { VERSION_DIGIT = 14 };
    char stack[64];
    snprintf(stack, sizeof stack, "%.63s", id);
    if (strlen(stack) > VERSION_DIGIT)
        stack[VERSION_DIGIT] = '8';
    return json_string(stack);
}

int32_t sim_publish_stacks(const struct sim *s, const mag_op *op, const json_t *spec,
                           mag_error *err)
{
    size_t i;
    json_t *g;
    int32_t rc = mag_output_new(s->services.host, op, "stack_id", stack_of(op->cluster_id), err);
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, g)
    {
        char key[160];
        const char *uuid = mag_json_text(g, "uuid", "");
        if (rc != MAG_OK || mag_json_bool(g, "is_default", false))
            continue; /* the default groups are part of the cluster's own */
        snprintf(key, sizeof key, "nodegroup/%.64s/stack_id", uuid);
        rc = mag_output_new(s->services.host, op, key, stack_of(uuid), err);
    }
    return rc;
}

static int32_t publish_cluster(const struct sim *s, const mag_op *op, const struct sim_nodes *have,
                               const json_t *spec, mag_error *err)
{
    bool swarm = strncmp(mag_json_text(spec, "template.coe", ""), "swarm", 5) == 0;
    const char *address = "127.0.0.1";
    for (size_t i = have->n; i-- > 0;) /* the first master there is */
        if (strcmp(mag_json_text(have->v[i].doc, "role", ""), "master") == 0)
            address = have->v[i].address;
    json_t *url = json_sprintf(swarm ? "tcp://%s:2376" : "https://%s:6443", address);
    int32_t rc = mag_output_new(s->services.host, op, "api_address", url, err);
    if (rc == MAG_OK)
        rc = mag_output_new(s->services.host, op, "coe_version",
                            json_string(sim_version(spec, NULL)), err);
    return rc;
}

int32_t sim_publish(const struct sim *s, const mag_op *op, const char *dir, const json_t *spec,
                    mag_error *err)
{
    struct sim_nodes have;
    int32_t rc = sim_nodes_list(dir, &have, err);
    if (rc != MAG_OK)
        return rc;
    size_t i;
    json_t *g;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, g)
    {
        if (rc == MAG_OK)
            rc = publish_group(s, op, &have, mag_json_text(g, "uuid", ""), err);
    }
    if (rc == MAG_OK)
        rc = publish_cluster(s, op, &have, spec, err);
    sim_nodes_done(&have);
    return rc;
}
