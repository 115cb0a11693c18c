/* See heat_coe.h: what an operation would do, from the counts that are wanted and the nodes that
 * were published last. Asks nobody. */
#include "lib/heat_coe.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

static void note(json_t *list, const char *kind, const char *name, const char *detail)
{
    (void)json_array_append_new(
        list, json_pack("{s:s, s:s, s:s}", "kind", kind, "name", name, "detail", detail));
}

static void plan_group(const json_t *spec, const json_t *group, bool all_go, json_t *doc)
{
    const json_t *have = mag_json_at(group, "node_addresses");
    size_t is = json_array_size(have);
    size_t want = all_go ? 0 : (size_t)mag_json_int(group, "node_count", 0);
    const char *role = mag_json_text(group, "role", "worker");
    char name[64];
    mag_params_node_name(spec, group, name);
    for (size_t i = is; i < want; i++)
        note(json_object_get(doc, "make"), "node", name, role);
    for (size_t i = want; i < is; i++)
        note(json_object_get(doc, "remove"), "node", name, role);
}

int32_t mag_coe_plan(struct mag_call *c, json_t **ret)
{
    const mag_op *op = c->op;
    const json_t *spec = c->spec;
    const char *kind = mag_json_text(spec, "params.kind", "");
    bool all_go = strcmp(kind, "delete") == 0, is_new = strcmp(kind, "create") == 0;
    json_t *doc = json_pack("{s:[], s:[], s:[]}", "make", "change", "remove");
    char stack[MAG_NAME_MAX];
    size_t i;
    json_t *group, *what;
    if (!doc)
        return mag_fail_nomem(c->err);
    mag_name(stack, op->cluster_id ? op->cluster_id : "", NULL);
    note(json_object_get(doc, all_go   ? "remove"
                              : is_new ? "make"
                                       : "change"),
         "stack", stack, "Heat stack of the cluster");
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, group)
    {
        plan_group(spec, group, all_go, doc);
    }
    json_array_foreach(mag_json_at(spec, "params.nodes_to_remove"), i, what)
    {
        if (json_is_string(what))
            note(json_object_get(doc, "remove"), "node", json_string_value(what), "named");
    }
    *ret = doc;
    return MAG_OK;
}
