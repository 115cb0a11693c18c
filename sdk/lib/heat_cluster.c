/* See heat_cluster.h. State: {"heat": {"op": id, "begun": [stack names]}}: a new operation begins
 * with an empty list, so that a stack that failed before is tried once more. */
#include "lib/heat_cluster.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

enum { STATE_VERSION = 1 }; /* member "v", which every checkpoint has to have */

/* ---- state ---- */

static json_t *begun_list(const struct mag_heat_set *s)
{
    return mag_json_at(s->state, "heat.begun");
}

int32_t mag_heat_set_open(struct mag_heat_set *s, const struct mag_services *services,
                          const mag_op *op, uint32_t timeout_ms, mag_error *err)
{
    *s = (struct mag_heat_set){.services = services, .op = op};
    s->heat = (struct mag_heat){.services = services, .op = op, .timeout_ms = timeout_ms};
    int32_t rc = mag_json_parse(op->state, "state", &s->state, err);
    if (rc != MAG_OK)
        return rc;
    if (!json_is_object(s->state)) {
        json_decref(s->state);
        s->state = json_pack("{s:i}", "v", STATE_VERSION);
    }
    const char *op_id = op->op_id ? op->op_id : "";
    if (strcmp(mag_json_text(s->state, "heat.op", "-"), op_id) == 0 && begun_list(s))
        return MAG_OK;
    json_t *mine = json_pack("{s:s,s:[]}", "op", op_id, "begun");
    if (!mine || json_object_set_new(s->state, "heat", mine) < 0) {
        mag_heat_set_done(s);
        return mag_fail_nomem(err);
    }
    return MAG_OK;
}

void mag_heat_set_done(struct mag_heat_set *s)
{
    json_decref(s->state);
    s->state = NULL;
}

int32_t mag_heat_set_save(struct mag_heat_set *s, mag_error *err)
{
    return mag_checkpoint(s->services->host, s->op, s->state, err);
}

void mag_heat_set_name(const struct mag_heat_set *s, const char *nodegroup, char ret[MAG_NAME_MAX])
{
    mag_name(ret, s->op->cluster_id, nodegroup);
}

static bool has_begun(const struct mag_heat_set *s, const char *name)
{
    size_t i;
    const json_t *v;
    json_array_foreach(begun_list(s), i, v)
    {
        if (strcmp(json_string_value(v) ? json_string_value(v) : "", name) == 0)
            return true;
    }
    return false;
}

bool mag_heat_set_begun(const struct mag_heat_set *s, const char *nodegroup)
{
    char name[MAG_NAME_MAX];
    mag_heat_set_name(s, nodegroup, name);
    return has_begun(s, name);
}

/* ---- one stack ---- */

static int32_t publish_id(struct mag_heat_set *s, const char *nodegroup, const char *id,
                          mag_error *err)
{
    char key[96] = "stack_id";
    if (nodegroup)
        (void)snprintf(key, sizeof key, "nodegroup/%s/stack_id", nodegroup);
    return mag_output_new(s->services->host, s->op, key, json_string(id), err);
}

int32_t mag_heat_set_converge(struct mag_heat_set *s, const char *nodegroup,
                              const struct mag_heat_want *want, struct mag_heat_stack *ret,
                              mag_step *out, mag_error *err)
{
    char name[MAG_NAME_MAX];
    struct mag_heat_want w = *want;
    mag_heat_set_name(s, nodegroup, name);
    w.name = name;
    *ret = (struct mag_heat_stack){.outputs = NULL};
    bool before = has_begun(s, name), begun = before;
    int32_t rc = mag_heat_converge(&s->heat, &w, &begun, ret, out, err);
    if (rc < 0 || begun == before)
        return rc == MAG_OK ? publish_id(s, nodegroup, ret->id, err) : rc;
    int32_t kept = MAG_OK;
    if (json_array_append_new(begun_list(s), json_string(name)) < 0)
        kept = mag_fail_nomem(err);
    if (kept == MAG_OK)
        kept = mag_heat_set_save(s, err);
    /* so that people can look at it while Heat works */
    if (kept == MAG_OK)
        kept = publish_id(s, nodegroup, ret->id, err);
    return kept == MAG_OK ? rc : kept;
}

int32_t mag_heat_set_look(struct mag_heat_set *s, const char *nodegroup, struct mag_heat_stack *ret,
                          mag_error *err)
{
    char name[MAG_NAME_MAX], id[sizeof ret->id];
    mag_heat_set_name(s, nodegroup, name);
    int32_t rc = mag_heat_find(&s->heat, name, ret, err);
    if (rc != MAG_OK || !ret->id[0])
        return rc;
    memcpy(id, ret->id, sizeof id);
    return mag_heat_show(&s->heat, name, id, ret, err);
}

int32_t mag_heat_set_show(struct mag_heat_set *s, const char *nodegroup, struct mag_heat_stack *ret,
                          mag_error *err)
{
    char name[MAG_NAME_MAX];
    mag_heat_set_name(s, nodegroup, name);
    int32_t rc = mag_heat_set_look(s, nodegroup, ret, err);
    if (rc == MAG_OK && !ret->id[0])
        return mag_fail(err, MAG_E_PRECONDITION, MAG_ERR_USER, "StackGone",
                        "delete the cluster; its stack was deleted outside of Magnum",
                        "stack %s does not exist any more", name);
    return rc;
}

/* ---- removal ---- */

int32_t mag_heat_set_remove_group(struct mag_heat_set *s, const char *nodegroup, mag_step *out,
                                  mag_error *err)
{
    char name[MAG_NAME_MAX];
    mag_heat_set_name(s, nodegroup, name);
    return mag_heat_remove(&s->heat, name, out, err);
}

/* Removes all of `names` but `last` at once: Heat works on them side by side. */
static int32_t remove_others(struct mag_heat_set *s, const json_t *names, const char *last,
                             mag_step *out, mag_error *err)
{
    const char *name;
    json_t *v;
    int32_t worst = MAG_OK;
    mag_error first = {.struct_size = sizeof first};
    json_object_foreach((json_t *)(uintptr_t)names, name, v)
    {
        mag_error e = {.struct_size = sizeof e};
        if (strcmp(name, last) == 0)
            continue;
        int32_t rc = mag_heat_remove(&s->heat, name, out, &e);
        if (rc < 0 && worst >= 0)
            first = e;
        if (rc < 0 || (rc == MAG_AGAIN && worst == MAG_OK))
            worst = worst < 0 ? worst : rc;
    }
    if (worst < 0 && err)
        *err = first;
    return worst;
}

static int32_t all_names(struct mag_heat_set *s, const json_t *groups, json_t *ret, mag_error *err)
{
    _mag_json_ json_t *ledger = NULL;
    char name[MAG_NAME_MAX];
    size_t i;
    const json_t *g;
    int32_t rc = mag_ledger_list(s->services, s->op, MAG_HEAT_LEDGER_KIND, &ledger, err);
    if (rc != MAG_OK)
        return rc;
    int bad = 0;
    json_array_foreach(ledger, i, g) bad |=
        json_object_set_new(ret, mag_json_text(g, "name", ""), json_true());
    json_array_foreach(groups, i, g)
    {
        /* the default ones live in the cluster's own stack */
        const char *uuid = mag_json_text(g, "uuid", NULL);
        if (!uuid || mag_json_bool(g, "is_default", false))
            continue;
        mag_heat_set_name(s, uuid, name);
        bad |= json_object_set_new(ret, name, json_true());
    }
    return bad ? mag_fail_nomem(err) : MAG_OK;
}

int32_t mag_heat_set_remove_all(struct mag_heat_set *s, const json_t *groups, mag_step *out,
                                mag_error *err)
{
    char own[MAG_NAME_MAX];
    _mag_json_ json_t *names = json_object();
    mag_heat_set_name(s, NULL, own);
    int32_t rc = names ? all_names(s, groups, names, err) : mag_fail_nomem(err);
    if (rc == MAG_OK)
        rc = remove_others(s, names, own, out, err);
    return rc == MAG_OK ? mag_heat_remove(&s->heat, own, out, err) : rc;
}

/* ---- one list for many clusters ---- */

struct mag_heat_cached {
    char project[64];
    int64_t at_ms;
    json_t *list;
};

static struct mag_heat_cached *cached_for(struct mag_heat_cache *c, const char *project,
                                          int64_t age_ms)
{
    int64_t now = mag_now_ms();
    size_t kept = 0;
    struct mag_heat_cached *found = NULL;
    for (size_t i = 0; i < c->n; i++) { /* what is old is of no use to anybody */
        if (now - c->v[i].at_ms >= age_ms) {
            json_decref(c->v[i].list);
            continue;
        }
        c->v[kept] = c->v[i];
        if (strcmp(c->v[kept].project, project) == 0)
            found = &c->v[kept];
        kept++;
    }
    c->n = kept;
    return found;
}

int32_t mag_heat_cache_list(struct mag_heat_cache *c, const struct mag_heat *h, int64_t age_ms,
                            const json_t **ret, mag_error *err)
{
    const char *project = h->op->project_id ? h->op->project_id : "";
    struct mag_heat_cached *e = cached_for(c, project, age_ms);
    if (e) {
        *ret = e->list;
        return MAG_OK;
    }
    struct mag_heat_cached *more = realloc(c->v, (c->n + 1) * sizeof *more);
    if (!more)
        return mag_fail_nomem(err);
    c->v = more;
    struct mag_heat_cached fresh = {.at_ms = mag_now_ms()};
    (void)snprintf(fresh.project, sizeof fresh.project, "%s", project);
    int32_t rc = mag_heat_list(h, &fresh.list, err);
    if (rc != MAG_OK)
        return rc;
    c->v[c->n++] = fresh;
    *ret = fresh.list;
    return MAG_OK;
}

void mag_heat_cache_done(struct mag_heat_cache *c)
{
    for (size_t i = 0; i < c->n; i++)
        json_decref(c->v[i].list);
    free(c->v);
    *c = (struct mag_heat_cache){.n = 0};
}

/* ---- outputs ---- */

int32_t mag_heat_publish_nodes(struct mag_heat_set *s, const char *nodegroup,
                               const json_t *addresses, int64_t count, mag_error *err)
{
    char key[96];
    json_t *list = json_array();
    size_t i;
    json_t *v;
    json_array_foreach(addresses, i, v)
    {
        if (json_string_length(v) > 0)
            (void)json_array_append(list, v);
    }
    (void)snprintf(key, sizeof key, "nodegroup/%s/node_addresses", nodegroup);
    int32_t rc = mag_output_new(s->services->host, s->op, key, list, err);
    (void)snprintf(key, sizeof key, "nodegroup/%s/node_count", nodegroup);
    return rc == MAG_OK ? mag_output_new(s->services->host, s->op, key, json_integer(count), err)
                        : rc;
}
