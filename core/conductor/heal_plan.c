/* See heal_plan.h. */
#include "conductor/heal_plan.h"

#include "base/jsonx.h"
#include "base/parse.h"
#include "config/config.h"

#include <stdio.h>
#include <string.h>

void heal_choice_done(struct heal_choice *c)
{
    json_decref(c->nodes);
    c->nodes = NULL;
}

struct heal_limits heal_limits_of(const struct config *cfg)
{
    return (struct heal_limits){cfg->conductor_heal_after_s, cfg->conductor_heal_window_s,
                                cfg->conductor_heal_max_nodes, cfg->conductor_heal_max_percent,
                                cfg->conductor_heal_cool_down_s};
}

int heal_wanted(const json_t *labels)
{
    const json_t *v = json_object_get(labels, "auto_healing_enabled");
    bool on = json_is_true(v);
    if (json_is_string(v) && !parse_bool(json_string_value(v), &on))
        return 0;
    return on && !str_eq(jsonx_str(labels, "auto_healing_controller"), "magnum-auto-healer");
}

#define SAY(c, ...) ((void)snprintf((c)->why, sizeof(c)->why, __VA_ARGS__))

static int64_t count_sick(const json_t *facts, bool masters)
{
    int64_t count = 0;
    size_t i;
    json_t *n;
    json_array_foreach(json_object_get(facts, "sick"), i, n)
    {
        count += jsonx_bool(n, "master", false) == masters;
    }
    return count;
}

/* What speaks against touching the cluster now, whichever node it is about. */
static int held_back(const struct heal_limits *l, const json_t *facts, struct heal_choice *c)
{
    const char *status = jsonx_str(facts, "status");
    int64_t sick = count_sick(facts, false), ill = count_sick(facts, true);
    int64_t masters = jsonx_int(facts, "masters", 0);
    int64_t workers = jsonx_int(facts, "workers", 0), done = jsonx_int(facts, "replaced", 0);
    int64_t quiet_s = jsonx_int(facts, "quiet_s", INT64_MAX);
    if (l->max_nodes == 0)
        SAY(c, "held back: conductor.heal_max_nodes is 0");
    else if (str_ends(status, "_FAILED"))
        SAY(c, "held back: the cluster is %s", status);
    else if (jsonx_bool(facts, "busy", false) || !str_ends(status, "_COMPLETE"))
        SAY(c, "waits for the operation under way");
    else if (ill && (masters - ill) * 2 <= masters)
        SAY(c, "held back: %lld of %lld masters are not well, the others are no majority",
            (long long)ill, (long long)masters);
    else if (sick > 1 && sick * 100 > workers * l->max_percent)
        SAY(c, "held back: %lld of %lld worker nodes are not ready, more than %lld %%",
            (long long)sick, (long long)workers, (long long)l->max_percent);
    else if (done >= l->max_nodes)
        SAY(c, "held back: %lld nodes were replaced within %lld s, the limit", (long long)done,
            (long long)l->window_s);
    else if (quiet_s < l->cool_down_s)
        SAY(c, "waits for %lld s after the last operation", (long long)l->cool_down_s);
    return c->why[0] != '\0';
}

/* Masters one at a time: each has to be a part of the majority before the next goes. */
static int pick(json_t *sick, int64_t after_s, int64_t room, struct heal_choice *c)
{
    size_t i;
    json_t *n;
    json_array_foreach(sick, i, n)
    {
        const char *group = jsonx_str(n, "nodegroup");
        if (jsonx_int(n, "age_s", 0) < after_s)
            continue;
        if (!c->nodegroup) {
            c->nodegroup = group;
            c->node_count = jsonx_int(n, "node_count", 0);
            c->masters = jsonx_bool(n, "master", false);
            room = c->masters && room > 1 ? 1 : room;
        }
        if (!str_eq(group, c->nodegroup) || (int64_t)json_array_size(c->nodes) >= room)
            continue;
        if (json_array_append(c->nodes, n) < 0)
            return -1;
    }
    return 0;
}

void heal_choose(const struct heal_limits *l, const json_t *facts, struct heal_choice *ret)
{
    json_t *sick = json_object_get(facts, "sick");
    *ret = (struct heal_choice){.nodes = NULL};
    if (json_array_size(sick) == 0 || held_back(l, facts, ret))
        return;
    ret->nodes = json_array();
    if (!ret->nodes ||
        pick(sick, l->after_s, l->max_nodes - jsonx_int(facts, "replaced", 0), ret) < 0 ||
        json_array_size(ret->nodes) == 0) {
        heal_choice_done(ret);
        SAY(ret, "a node is replaced when it was not ready for %lld s", (long long)l->after_s);
        return;
    }
    SAY(ret, "%zu of %lld %s replaced: not ready for %lld s", json_array_size(ret->nodes),
        (long long)jsonx_int(facts, ret->masters ? "masters" : "workers", 0),
        ret->masters ? "masters" : "worker nodes",
        (long long)jsonx_int(json_array_get(ret->nodes, 0), "age_s", 0));
}
