/* See heat_coe.h. An operation runs through four phases, of which the state knows how many are
 * over: nodes that go are chosen, leave the engine, the stacks are brought to the spec, and the
 * engine forgets who left. */
#include "lib/heat_coe_internal.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum phase { CHOSEN, LEFT_ENGINE, FORGOTTEN };
#define CLUSTER_TEMPLATE "coe_cluster.yaml"
#define GROUP_TEMPLATE "coe_nodegroup.yaml"

/* ---- groups and nodes ---- */

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static const char *uuid_of(const json_t *group)
{
    return mag_json_text(group, "uuid", "");
}

static bool is_master(const json_t *group)
{
    return same(mag_json_text(group, "role", ""), "master");
}

/* Which one has to go: only the verb that removes a group says so. */
static bool is_gone(const struct mag_coe_run *r, const json_t *group)
{
    const mag_op *op = r->c->op;
    return op->kind == MAG_OP_NODEGROUP_DELETE && same(op->nodegroup_id, uuid_of(group));
}

static bool has_stack(const json_t *group)
{
    return !is_master(group) && !mag_json_bool(group, "is_default", false);
}

static int64_t wanted(const struct mag_coe_run *r, const json_t *group)
{
    return is_gone(r, group) ? 0 : mag_json_int(group, "node_count", 0);
}

/* The number at a name's end. */
static int64_t number_of(const char *name)
{
    const char *dash = name ? strrchr(name, '-') : NULL;
    return dash ? strtoll(dash + 1, NULL, 10) : -1;
}

static const char *text_at(const json_t *list, size_t i)
{
    const char *t = json_string_value(json_array_get(list, i));
    return t ? t : "";
}

static json_t *nodes_of(const json_t *outputs, const char *prefix, const char *group)
{
    char key[64];
    const json_t *v[4];
    static const char *const what[] = {"names", "ids", "private_addresses", "public_addresses"};
    for (size_t i = 0; i < MAG_LEN(v); i++) {
        (void)snprintf(key, sizeof key, "%s%s", prefix, what[i]);
        v[i] = json_object_get(outputs, key);
    }
    json_t *list = json_array();
    for (size_t i = 0; list && i < json_array_size(v[0]); i++) {
        const char *name = text_at(v[0], i);
        json_t *node = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s}", "n", (json_int_t)number_of(name),
                                 "name", name, "id", text_at(v[1], i), "address", text_at(v[2], i),
                                 "public", text_at(v[3], i), "group", group);
        if (json_array_append_new(list, node) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *mag_coe_masters(const json_t *outputs, const char *group)
{
    return nodes_of(outputs, "master_", group);
}

json_t *mag_coe_workers(const json_t *outputs, const char *group)
{
    return nodes_of(outputs, json_object_get(outputs, "names") ? "" : "worker_", group);
}

const char *mag_coe_reach(const json_t *node)
{
    const char *outside = mag_json_text(node, "public", "");
    return *outside ? outside : mag_json_text(node, "address", "");
}

/* ---- who goes ---- */

static bool names_node(const json_t *what, const json_t *node)
{
    static const char *const by[] = {"name", "id", "address", "public"};
    char number[24];
    (void)snprintf(number, sizeof number, "%lld", (long long)mag_json_int(node, "n", -1));
    if (json_is_integer(what))
        return json_integer_value(what) == mag_json_int(node, "n", -1);
    const char *text = json_string_value(what);
    for (size_t i = 0; i < MAG_LEN(by); i++)
        if (text && *text && same(text, mag_json_text(node, by[i], "")))
            return true;
    return same(text, number);
}

bool coe_is_named(const struct mag_coe_run *r, const json_t *node)
{
    size_t i;
    json_t *what;
    const char *meant = mag_json_text(r->c->spec, "params.nodegroup", NULL);
    if (r->c->op->kind != MAG_OP_SCALE || (meant && !same(meant, mag_json_text(node, "group", ""))))
        return false;
    json_array_foreach(mag_json_at(r->c->spec, "params.nodes_to_remove"), i, what)
    {
        if (names_node(what, node))
            return true;
    }
    return false;
}

static bool has_number(const json_t *list, int64_t number)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (json_integer_value(v) == number)
            return true;
    }
    return false;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = mag_json_int(*(json_t *const *)a, "n", 0);
    int64_t y = mag_json_int(*(json_t *const *)b, "n", 0);
    return (x < y) - (x > y);
}

/* The newest first: what every driver does that knows nothing better. */
static void newest_first(json_t *nodes)
{
    json_t *v[256];
    size_t n = json_array_size(nodes);
    if (n > MAG_LEN(v))
        return;
    for (size_t i = 0; i < n; i++)
        v[i] = json_incref(json_array_get(nodes, i));
    qsort(v, n, sizeof *v, by_number);
    for (size_t i = 0; i < n; i++)
        (void)json_array_set_new(nodes, i, v[i]);
}

/* The removed numbers of a group, in the state. */
static json_t *removed_of(struct mag_heat_set *s, const json_t *group)
{
    json_t *all = json_object_get(s->state, "removed");
    if (!all)
        (void)json_object_set_new(s->state, "removed", all = json_object());
    json_t *list = json_object_get(all, uuid_of(group));
    if (!list)
        (void)json_object_set_new(all, uuid_of(group), list = json_array());
    return list;
}

/* Numbers that earlier operations took away: the stack says them, as the texts they were given as.
 */
static void recall_removed(struct mag_coe_run *r, const json_t *group, const json_t *outputs)
{
    json_t *removed = removed_of(&r->set, group), *v;
    size_t i;
    json_array_foreach(json_object_get(outputs, "nodes_removed"), i, v)
    {
        const char *text = json_string_value(v);
        int64_t number = text ? strtoll(text, NULL, 10) : -1;
        if (text && *text && !has_number(removed, number))
            (void)json_array_append_new(removed, json_integer(number));
    }
}

/* What stands in the outputs of the stack that has the group; nothing when it is yet to be made. */
static int32_t look(struct mag_coe_run *r, const json_t *group, json_t **ret)
{
    struct mag_heat_stack stack;
    int32_t rc =
        mag_heat_set_show(&r->set, has_stack(group) ? uuid_of(group) : NULL, &stack, r->c->err);
    if (rc == MAG_OK) {
        recall_removed(r, group, stack.outputs);
        *ret = mag_coe_workers(stack.outputs, uuid_of(group));
        rc = *ret ? MAG_OK : mag_fail_nomem(r->c->err);
    } else if (rc == MAG_E_PRECONDITION && r->c->err && same(r->c->err->reason, "StackGone")) {
        *ret = json_array();
        rc = *ret ? MAG_OK : rc;
    }
    mag_heat_stack_done(&stack);
    return rc;
}

/* Moves those that leave to `leaving`, and their numbers to `removed`. */
static int32_t choose_in(struct mag_coe_run *r, const json_t *group, json_t *removed,
                         json_t *leaving)
{
    _mag_json_ json_t *nodes = NULL, *rest = json_array(), *go = json_array();
    size_t i;
    json_t *node;
    int32_t rc = look(r, group, &nodes);
    json_array_foreach(nodes, i, node)
    {
        if (has_number(removed, mag_json_int(node, "n", -1)))
            continue;
        (void)json_array_append(coe_is_named(r, node) ? go : rest, node);
    }
    newest_first(rest);
    size_t want = (size_t)wanted(r, group), have = json_array_size(rest);
    if (rc == MAG_OK && have > want && r->coe->order)
        rc = r->coe->order(r, rest);
    for (size_t k = 0; rc == MAG_OK && k + want < have; k++)
        (void)json_array_append(go, json_array_get(rest, k));
    json_array_foreach(go, i, node)
    {
        (void)json_array_append(leaving, node);
        (void)json_array_append_new(removed, json_integer(mag_json_int(node, "n", -1)));
    }
    return rc;
}

/* ---- what the engine is told ---- */

static json_t *of_role(const json_t *nodes, bool masters)
{
    json_t *list = json_array(), *node;
    size_t i;
    json_array_foreach(nodes, i, node)
    {
        if (mag_json_bool(node, "master", false) == masters)
            (void)json_array_append(list, node);
    }
    return list;
}

typedef int32_t (*nodes_fn)(struct mag_coe_run *r, const json_t *nodes);

static int32_t tell_engine(struct mag_coe_run *r, nodes_fn masters, nodes_fn others)
{
    const json_t *all = mag_json_at(r->set.state, "plan.leaving");
    _mag_json_ json_t *m = of_role(all, true), *o = of_role(all, false);
    int32_t rc = json_array_size(m) && masters ? masters(r, m) : MAG_OK;
    return rc == MAG_OK && json_array_size(o) && others ? others(r, o) : rc;
}

static int32_t choose(struct mag_coe_run *r, json_t *leaving)
{
    size_t i;
    json_t *group;
    int32_t rc = MAG_OK;
    if (r->c->op->kind == MAG_OP_CREATE)
        return MAG_OK;
    json_array_foreach(mag_json_at(r->c->spec, "nodegroups"), i, group)
    {
        if (rc == MAG_OK && !is_master(group))
            rc = choose_in(r, group, removed_of(&r->set, group), leaving);
        else if (rc == MAG_OK && coe_concerns_masters(r, group))
            rc = coe_choose_masters(r, group, leaving);
    }
    return rc;
}

static enum phase phase_of(const struct mag_heat_set *s)
{
    return (enum phase)mag_json_int(s->state, "plan.phase", CHOSEN);
}

static int32_t enter(struct mag_coe_run *r, enum phase phase)
{
    json_t *plan = mag_json_at(r->set.state, "plan");
    (void)json_object_set_new(plan, "phase", json_integer(phase));
    (void)json_object_del(plan, "since"); /* the next phase has a patience of its own */
    return mag_heat_set_save(&r->set, r->c->err);
}

/* The state is an operation's own; what outlives it is told by the cluster's stack. */
static int32_t recall(struct mag_heat_set *s, mag_error *err)
{
    struct mag_heat_stack stack;
    mag_error why = {.struct_size = sizeof why};
    if (s->op->kind == MAG_OP_CREATE || json_object_get(s->state, "generation"))
        return MAG_OK;
    int32_t rc = mag_heat_set_show(s, NULL, &stack, &why);
    int64_t generation = 1;
    json_t *v = rc == MAG_OK ? json_object_get(stack.outputs, "generation") : NULL;
    if (json_is_integer(v))
        generation = json_integer_value(v);
    else if (json_is_string(v))
        generation = strtoll(json_string_value(v), NULL, 10);
    const char *word = mag_json_text(stack.outputs, "change.magnum_change", "");
    json_t *lives = json_object_get(stack.outputs, "master_lives");
    bool bad = json_object_set_new(s->state, "generation", json_integer(generation)) < 0 ||
               (json_is_array(lives) && json_object_set(s->state, "lives", lives) < 0) ||
               json_object_set_new(s->state, "change", json_pack("{s:s}", "word", word)) < 0;
    mag_heat_stack_done(&stack);
    if (rc == MAG_OK || (rc == MAG_E_PRECONDITION && strcmp(why.reason, "StackGone") == 0))
        return bad ? mag_fail_nomem(err) : MAG_OK;
    *err = why;
    return rc;
}

/* Once for each operation; a new one of the same wish starts from what is there now. */
static int32_t plan(struct mag_coe_run *r)
{
    const char *op = r->c->op->op_id ? r->c->op->op_id : "";
    if (same(mag_json_text(r->set.state, "plan.op", "-"), op))
        return MAG_OK;
    json_t *leaving = json_array();
    int32_t rc = choose(r, leaving);
    json_t *made = json_pack("{s:s, s:i, s:o}", "op", op, "phase", CHOSEN, "leaving", leaving);
    if (rc == MAG_OK && !made)
        rc = mag_fail_nomem(r->c->err);
    if (rc != MAG_OK) {
        json_decref(made);
        return rc;
    }
    (void)json_object_set_new(r->set.state, "v", json_integer(1));
    (void)json_object_set_new(r->set.state, "plan", made);
    return mag_heat_set_save(&r->set, r->c->err);
}

/* ---- stacks ---- */

static int32_t add_user_data(struct mag_coe_run *r, const json_t *group, const char *prefix,
                             json_t *p, json_t *files)
{
    char key[64], name[64], *text = NULL;
    (void)snprintf(name, sizeof name, "user-data-%.40s", uuid_of(group));
    (void)snprintf(key, sizeof key, "%suser_data_file", prefix);
    int32_t rc = r->coe->user_data(r, group, &text);
    if (rc != MAG_OK)
        return rc;
    bool bad = json_object_set_new(files, name, json_string(text)) < 0 ||
               json_object_set_new(p, key, json_string(name)) < 0;
    explicit_bzero(text, strlen(text));
    free(text);
    return bad ? mag_fail_nomem(r->c->err) : MAG_OK;
}

static json_t *metadata(const struct mag_heat_set *s)
{
    return json_pack("{s:s}", "magnum_change", mag_json_text(s->state, "change.word", ""));
}

/* Numbers as texts: that is what Heat calls the members of a group. */
static json_t *to_remove(struct mag_coe_run *r, const json_t *group)
{
    json_t *list = json_array(), *v;
    size_t i;
    json_array_foreach(removed_of(&r->set, group), i, v)
    {
        (void)json_array_append_new(list, json_sprintf("%lld", (long long)json_integer_value(v)));
    }
    return list;
}

static int32_t add_group(struct mag_coe_run *r, const json_t *group, const char *prefix, json_t *p,
                         json_t *files)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%scount", prefix);
    (void)json_object_set_new(p, key, json_integer(wanted(r, group)));
    (void)snprintf(key, sizeof key, "%sgeneration", prefix);
    (void)json_object_set_new(p, key, json_integer(mag_json_int(r->set.state, "generation", 1)));
    (void)snprintf(key, sizeof key, "%smetadata", prefix);
    (void)json_object_set_new(p, key, metadata(&r->set));
    return add_user_data(r, group, prefix, p, files);
}

static int32_t bring(struct mag_coe_run *r, const char *group, const char *main_file, json_t *p,
                     const json_t *more_files, struct mag_heat_stack *ret)
{
    _mag_json_ json_t *files = NULL;
    _mag_free_ char *template = NULL;
    int32_t rc = mag_heat_templates(r->c->self->host, r->coe->templates, main_file, &files,
                                    &template, r->c->err);
    if (rc != MAG_OK)
        return rc;
    if (json_object_update(files, (json_t *)(uintptr_t)more_files) < 0)
        return mag_fail_nomem(r->c->err);
    const struct mag_heat_want want = {.template = template,
                                       .parameters = p,
                                       .files = files,
                                       .must_exist = !group && r->c->op->kind != MAG_OP_CREATE};
    return mag_heat_set_converge(&r->set, group, &want, ret, r->c->out, r->c->err);
}

static int32_t cluster_stack(struct mag_coe_run *r, struct mag_heat_stack *ret)
{
    const json_t *masters = mag_params_group(r->c->spec, true);
    const json_t *workers = mag_params_group(r->c->spec, false);
    _mag_json_ json_t *p = NULL, *files = json_object();
    int32_t rc = mag_params_cluster(r->c->self->host, r->c->spec, &p, r->c->err);
    if (rc == MAG_OK)
        rc = mag_params_subnet(&r->set, p, r->c->err);
    if (rc == MAG_OK)
        rc = mag_params_keep(&r->set, NULL, p, r->c->err);
    if (rc == MAG_OK)
        rc = r->coe->parameters(r, p);
    if (rc == MAG_OK)
        rc = add_group(r, masters, "master_", p, files);
    if (rc == MAG_OK)
        rc = add_group(r, workers, "worker_", p, files);
    if (rc == MAG_OK)
        (void)json_object_set_new(p, "nodes_to_remove", to_remove(r, workers));
    if (rc == MAG_OK)
        (void)json_object_set_new(p, "master_lives", json_deep_copy(coe_lives(&r->set)));
    return rc == MAG_OK ? bring(r, NULL, CLUSTER_TEMPLATE, p, files, ret) : rc;
}

static int32_t publish(struct mag_coe_run *r, const json_t *group, json_t *nodes)
{
    _mag_json_ json_t *addresses = json_array();
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        (void)json_array_append_new(addresses, json_string(mag_coe_reach(node)));
    }
    int64_t count = (int64_t)json_array_size(nodes);
    json_decref(nodes);
    return mag_heat_publish_nodes(&r->set, uuid_of(group), addresses, count, r->c->err);
}

static int32_t group_stack(struct mag_coe_run *r, const json_t *group, const json_t *outputs)
{
    _mag_json_ json_t *p = NULL, *files = json_object();
    struct mag_heat_stack stack = {.outputs = NULL};
    if (is_gone(r, group))
        return mag_heat_set_remove_group(&r->set, uuid_of(group), r->c->out, r->c->err);
    int32_t rc =
        mag_params_group_stack(r->c->self->host, r->c->spec, group, outputs, &p, r->c->err);
    if (rc == MAG_OK)
        rc = mag_params_keep(&r->set, uuid_of(group), p, r->c->err);
    if (rc == MAG_OK)
        rc = add_group(r, group, "", p, files);
    if (rc == MAG_OK)
        (void)json_object_set_new(p, "nodes_to_remove", to_remove(r, group));
    if (rc == MAG_OK)
        rc = bring(r, uuid_of(group), GROUP_TEMPLATE, p, files, &stack);
    if (rc == MAG_OK)
        rc = publish(r, group, mag_coe_workers(stack.outputs, uuid_of(group)));
    mag_heat_stack_done(&stack);
    return rc;
}

static int32_t stacks(struct mag_coe_run *r, json_t **ret_outputs)
{
    struct mag_heat_stack stack = {.outputs = NULL};
    const json_t *masters = mag_params_group(r->c->spec, true);
    const json_t *workers = mag_params_group(r->c->spec, false);
    size_t i;
    json_t *group;
    int32_t rc = cluster_stack(r, &stack);
    if (rc == MAG_OK)
        rc = publish(r, masters, mag_coe_masters(stack.outputs, uuid_of(masters)));
    if (rc == MAG_OK)
        rc = publish(r, workers, mag_coe_workers(stack.outputs, uuid_of(workers)));
    json_array_foreach(mag_json_at(r->c->spec, "nodegroups"), i, group)
    {
        if (rc == MAG_OK && has_stack(group))
            rc = group_stack(r, group, stack.outputs);
    }
    if (rc == MAG_OK && ret_outputs)
        *ret_outputs = json_incref(stack.outputs);
    mag_heat_stack_done(&stack);
    return rc;
}

static int32_t converge(struct mag_coe_run *r, json_t **ret_outputs)
{
    const struct mag_coe *coe = r->coe;
    int32_t rc = recall(&r->set, r->c->err);
    if (rc == MAG_OK)
        rc = plan(r);
    const json_t *leaving = rc == MAG_OK ? mag_json_at(r->set.state, "plan.leaving") : NULL;
    bool any = json_array_size(leaving) > 0;
    if (any && phase_of(&r->set) < LEFT_ENGINE) {
        rc = tell_engine(r, coe->masters_leave, coe->leave);
        if (rc == MAG_OK)
            rc = enter(r, LEFT_ENGINE);
    }
    if (rc == MAG_OK)
        rc = stacks(r, ret_outputs);
    if (rc == MAG_OK && any && phase_of(&r->set) < FORGOTTEN) {
        rc = tell_engine(r, coe->masters_left, coe->left);
        if (rc == MAG_OK)
            rc = enter(r, FORGOTTEN);
    }
    return rc;
}

/* Counts the generation up once for each operation and word; stored before it returns. */
static int32_t tell(struct mag_coe_run *r, const char *word)
{
    struct mag_heat_set *s = &r->set;
    const char *op = s->op->op_id ? s->op->op_id : "";
    int32_t rc = recall(s, r->c->err);
    if (rc != MAG_OK || (same(mag_json_text(s->state, "change.op", "-"), op) &&
                         same(mag_json_text(s->state, "change.word", ""), word)))
        return rc;
    json_t *change = json_pack("{s:s, s:s}", "op", op, "word", word);
    int64_t generation = mag_json_int(s->state, "generation", 1) + 1;
    if (!change || json_object_set_new(s->state, "change", change) < 0 ||
        json_object_set_new(s->state, "generation", json_integer(generation)) < 0)
        return mag_fail_nomem(r->c->err);
    /* the stacks are asked for another thing than before */
    (void)json_object_set_new(mag_json_at(s->state, "heat"), "begun", json_array());
    return mag_heat_set_save(s, r->c->err);
}

static int32_t step(struct mag_call *c, const struct mag_coe *coe, const char *word)
{
    struct mag_coe_run r = {.c = c, .coe = coe};
    _mag_json_ json_t *outputs = NULL;
    int32_t rc = mag_heat_set_open(&r.set, &c->self->services, c->op, 0, c->err);
    if (rc != MAG_OK)
        return rc;
    if (word)
        rc = tell(&r, word);
    if (rc == MAG_OK)
        rc = converge(&r, &outputs);
    if (rc == MAG_OK && !word && coe->publish)
        rc = coe->publish(&r, outputs);
    if (rc == MAG_OK)
        c->out->percent = 100;
    mag_heat_set_done(&r.set);
    return rc;
}

int32_t mag_coe_converge(struct mag_call *c, const struct mag_coe *coe)
{
    return step(c, coe, NULL);
}

int32_t mag_coe_change(struct mag_call *c, const struct mag_coe *coe, const char *word)
{
    return step(c, coe, word);
}

int32_t mag_coe_remove(struct mag_call *c)
{
    struct mag_heat_set set;
    int32_t rc = mag_heat_set_open(&set, &c->self->services, c->op, 0, c->err);
    if (rc == MAG_OK)
        rc = mag_heat_set_remove_all(&set, mag_json_at(c->spec, "nodegroups"), c->out, c->err);
    mag_heat_set_done(&set);
    if (rc == MAG_OK)
        c->out->percent = 100;
    return rc;
}

int32_t mag_coe_time_left(struct mag_coe_run *r, int64_t *ret_ms)
{
    json_t *plan = mag_json_at(r->set.state, "plan");
    int64_t seconds, since = mag_json_int(plan, "since", 0);
    int32_t rc = mag_label_int(mag_labels_of(r->c->spec, NULL), "drain_timeout_seconds", 0, 3600,
                               60, &seconds, r->c->err);
    if (rc == MAG_OK && !since) {
        since = mag_unix_ms();
        (void)json_object_set_new(plan, "since", json_integer(since));
        rc = mag_heat_set_save(&r->set, r->c->err);
    }
    *ret_ms = since + seconds * 1000 - mag_unix_ms();
    return rc;
}
