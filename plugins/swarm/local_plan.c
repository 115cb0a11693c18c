/* mag.coe.plan/1 for local clusters: the same decision as a change makes about the list of nodes,
 * on a copy that is thrown away. Neighbours: local_run.h, swarm.c. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <string.h>

static const char *group_name(const struct mag_roster_group *groups, size_t n, const char *uuid)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(groups[i].uuid, uuid) == 0)
            return groups[i].name;
    return "";
}

static int entry(json_t *list, const struct mag_roster_node *n, const char *group)
{
    return json_array_append_new(list, json_pack("{s:s,s:s,s:s++}", "kind", "node", "name", n->name,
                                                 "detail", n->master ? "manager" : "worker",
                                                 *group ? " of " : "", group));
}

/* had: so many of the nodes were there before the decision; what was added stands behind them. */
static json_t *lists_of(const struct mag_local_run *r, size_t had, bool all_go)
{
    json_t *make = json_array(), *remove = json_array();
    int bad = 0;
    for (size_t i = 0; i < r->st.n; i++) {
        const struct mag_roster_node *n = &r->st.v[i];
        const char *group = group_name(r->groups, r->n_groups, n->group);
        if (i >= had)
            bad |= entry(make, n, group);
        else if (all_go || n->leaving)
            bad |= entry(remove, n, group);
    }
    json_t *doc = json_pack("{s:o,s:[],s:o}", "make", make, "change", "remove", remove);
    if (bad) {
        json_decref(doc);
        doc = NULL;
    }
    return doc;
}

int32_t local_plan(struct mag_call *c, json_t **ret)
{
    struct swarm_run r = swarm_run_of(c);
    const char *kind = mag_json_text(c->spec, "params.kind", "");
    bool all_go = strcmp(kind, "delete") == 0, changed = false;
    int32_t rc = mag_local_run_peek(&r.m);
    size_t had = r.m.st.n;
    if (rc == MAG_OK && !all_go)
        rc = local_groups(&r.m);
    if (rc == MAG_OK && !all_go)
        rc = mag_roster_plan(&r.m.st, mag_json_text(c->spec, "cluster.name", "swarm"), r.m.groups,
                             r.m.n_groups, mag_json_at(c->spec, "params.nodes_to_remove"), &changed,
                             c->err);
    if (rc == MAG_OK) {
        *ret = lists_of(&r.m, had, all_go);
        rc = *ret ? MAG_OK : mag_fail_nomem(c->err);
    }
    swarm_run_done(&r);
    return rc;
}
