/* What a change would do, before it is made: nodes to be made, to go, and to be upgraded, by name.
 * Nodes that are there are those of the stacks' outputs. See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 200, NODES_MAX = 2000 };

static int32_t names_of(struct heat_run *r, const json_t *group, json_t **ret)
{
    bool own = group == r->masters || group == r->workers;
    const char *key = group == r->masters ? "master_names" : own ? "worker_names" : "names";
    struct mag_heat_stack s = {.outputs = NULL};
    int32_t rc =
        mag_heat_set_look(&r->set, own ? NULL : mag_json_text(group, "uuid", ""), &s, r->c->err);
    if (rc == MAG_OK) {
        json_t *names = mag_json_at(s.outputs, key);
        *ret = json_is_array(names) ? json_deep_copy(names) : json_array();
        rc = *ret ? MAG_OK : mag_fail_nomem(r->c->err);
    }
    mag_heat_stack_done(&s);
    return rc;
}

int32_t heat_upgrade_step(const struct mag_call *c, const char *from)
{
    char tag[64];
    int32_t rc =
        mag_label_text(mag_labels_of(c->spec, NULL), "kube_tag", "", tag, sizeof tag, c->err);
    if (rc != MAG_OK)
        return rc;
    if (!tag[0])
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "NoVersion",
                        "take a template with the label kube_tag",
                        "The template does not say which version of Kubernetes to upgrade to");
    return *from ? kube_upgrade_step(from, tag, c->err) : MAG_OK;
}

int32_t heat_validate(struct mag_call *c)
{
    int32_t rc = heat_check(c);
    bool upgrade = strcmp(mag_json_text(c->spec, "params.kind", ""), "upgrade") == 0;
    return rc == MAG_OK && upgrade
               ? heat_upgrade_step(c, mag_json_text(c->spec, "cluster.coe_version", ""))
               : rc;
}

/* ---- create, update, scale ---- */

static void note(json_t *list, const char *name, const char *detail)
{
    (void)json_array_append_new(
        list, json_pack("{s:s, s:s, s:s}", "kind", "node", "name", name, "detail", detail));
}

static bool is_removed(const json_t *removals, const char *name)
{
    const char *number = strrchr(name, '-') ? strrchr(name, '-') + 1 : "";
    size_t i;
    const json_t *v;
    json_array_foreach(removals, i, v)
    {
        if (strcmp(json_string_value(v), number) == 0)
            return true;
    }
    return false;
}

/* Numbers go up and are not used twice. */
static long next_number(const json_t *names)
{
    long next = 0;
    size_t i;
    const json_t *v;
    json_array_foreach(names, i, v)
    {
        const char *dash = strrchr(json_string_value(v), '-');
        long n = dash ? strtol(dash + 1, NULL, 10) : 0;
        next = n >= next ? n + 1 : next;
    }
    return next;
}

static int32_t plan_group(struct heat_run *r, const json_t *group, json_t *doc)
{
    _mag_json_ json_t *names = NULL, *removals = heat_removals(r, group);
    char base[64], name[96], detail[96];
    int64_t wanted = mag_json_int(group, "node_count", 1), left = 0;
    int32_t rc = names_of(r, group, &names);
    if (rc != MAG_OK)
        return rc;
    mag_params_node_name(r->c->spec, group, base);
    (void)snprintf(detail, sizeof detail, "%s, flavor %.60s",
                   group == r->masters ? "master" : "worker",
                   mag_json_text(group, "flavor_id", "?"));
    size_t n = json_array_size(names);
    for (size_t i = 0; i < n; i++)
        left += !is_removed(removals, json_string_value(json_array_get(names, i)));
    for (size_t i = n; i > 0; i--) {
        const char *there = json_string_value(json_array_get(names, i - 1));
        bool named = is_removed(removals, there);
        if (named || left > wanted)
            note(json_object_get(doc, "remove"), there, detail);
        if (named && group == r->masters) { /* its successor has its name */
            note(json_object_get(doc, "make"), there, detail);
            left++;
        }
        left -= !named && left > wanted;
    }
    for (long next = next_number(names); left < wanted && left < NODES_MAX; left++, next++) {
        (void)snprintf(name, sizeof name, "%s-%ld", base, next);
        note(json_object_get(doc, "make"), name, detail);
    }
    return MAG_OK;
}

int32_t heat_plan(struct mag_call *c, json_t **ret)
{
    struct heat_run r;
    size_t i;
    const json_t *g;
    int32_t rc = heat_check(c);
    if (rc == MAG_OK)
        rc = heat_open(c, &r);
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *doc = json_pack("{s:[], s:[], s:[]}", "make", "change", "remove");
    json_array_foreach(mag_json_at(c->spec, "nodegroups"), i, g)
    {
        if (rc == MAG_OK && heat_is_meant(&r, g))
            rc = plan_group(&r, g, doc);
    }
    heat_done(&r);
    if (rc == MAG_OK)
        *ret = MAG_TAKE(doc);
    return rc;
}

/* ---- upgrade ---- */

static int32_t add_names(struct heat_run *r, const json_t *group, json_t *all)
{
    _mag_json_ json_t *names = NULL;
    int32_t rc = heat_is_meant(r, group) ? names_of(r, group, &names) : MAG_OK;
    return rc == MAG_OK && names && json_array_extend(all, names) < 0 ? mag_fail_nomem(r->c->err)
                                                                      : rc;
}

/* Masters come first, one at a time; a node that runs the version already is told nothing. */
static int32_t plan_upgrade(struct heat_run *r, json_t *names)
{
    size_t i;
    const json_t *g;
    int32_t rc = add_names(r, r->masters, names);
    json_array_foreach(mag_json_at(r->c->spec, "nodegroups"), i, g)
    {
        if (rc == MAG_OK && g != r->masters)
            rc = add_names(r, g, names);
    }
    return rc;
}

int32_t heat_upgrade_plan(struct mag_call *c, json_t **ret)
{
    struct heat_run r;
    _mag_json_ json_t *names = json_array();
    int64_t batch = mag_json_int(c->spec, "params.max_batch_size", 1);
    batch = batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch;
    int32_t rc = heat_open(c, &r);
    if (rc != MAG_OK)
        return rc;
    rc = heat_check(c);
    if (rc == MAG_OK)
        rc = heat_upgrade_step(c, mag_json_text(c->spec, "cluster.coe_version", ""));
    if (rc == MAG_OK)
        rc = plan_upgrade(&r, names);
    heat_done(&r);
    bool allowed = rc == MAG_OK;
    if (rc != MAG_OK && rc != MAG_E_INVALID)
        return rc;
    *ret = json_pack("{s:b, s:s, s:O, s:I}", "allowed", allowed, "reason",
                     allowed ? "" : c->err->message, "replace", names, "batch", (json_int_t)batch);
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}
