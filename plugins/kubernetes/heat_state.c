/* What was decided about a cluster's nodes, kept in the driver's state. See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINE "kubernetes"

int32_t heat_open(struct mag_call *c, struct heat_run *r)
{
    *r = (struct heat_run){.c = c};
    r->masters = mag_params_group(c->spec, true);
    r->workers = mag_params_group(c->spec, false);
    if (!r->masters || !r->workers)
        return mag_fail(c->err, MAG_E_INVALID, 0, "NoNodegroups", NULL,
                        "The cluster has no default nodegroups");
    return mag_heat_set_open(&r->set, &c->self->services, c->op, 0, c->err);
}

void heat_done(struct heat_run *r)
{
    mag_heat_set_done(&r->set);
}

/* ---- who is meant ---- */

static const char *meant_group(const struct heat_run *r)
{
    return r->c->op->nodegroup_id && *r->c->op->nodegroup_id
               ? r->c->op->nodegroup_id
               : mag_json_text(r->c->spec, "params.nodegroup", "");
}

/* Masters and default workers stand in one stack and are upgraded together. */
bool heat_is_meant(const struct heat_run *r, const json_t *group)
{
    const char *uuid = meant_group(r);
    bool whole = !*uuid || strcmp(uuid, mag_json_text(r->masters, "uuid", "")) == 0 ||
                 strcmp(uuid, mag_json_text(r->workers, "uuid", "")) == 0;
    bool shared = group == r->masters || group == r->workers;
    if (!*uuid)
        return true;
    return whole ? shared : strcmp(uuid, mag_json_text(group, "uuid", "")) == 0;
}

/* ---- state ---- */

static json_t *mine(const struct heat_run *r)
{
    return mag_json_at(r->set.state, MINE);
}

static json_t *entry_of(const struct heat_run *r, const json_t *group)
{
    return json_object_get(mag_json_at(mine(r), "groups"), mag_json_text(group, "uuid", ""));
}

int64_t heat_generation(const struct heat_run *r, const json_t *group)
{
    return mag_json_int(entry_of(r, group), "generation", 1);
}

const char *heat_version(const struct heat_run *r, const json_t *group)
{
    return mag_json_text(entry_of(r, group), "version", "");
}

const char *heat_ca_phase(const struct heat_run *r)
{
    return mag_json_text(mine(r), "ca", "");
}

static void phase_key(const struct heat_run *r, const char *phase, char ret[128])
{
    (void)snprintf(ret, 128, "%s/%s", r->c->op->op_id ? r->c->op->op_id : "", phase);
}

bool heat_decided(const struct heat_run *r, const char *phase)
{
    char key[128];
    phase_key(r, phase, key);
    return strcmp(mag_json_text(mine(r), "op", ""), key) == 0;
}

/* What the group's nodes were last told, as their stack's outputs have it; NULL: there are none. */
static int32_t told(struct heat_run *r, const json_t *group, json_t **ret)
{
    bool shared = group == r->masters || group == r->workers;
    struct mag_heat_stack s = {.outputs = NULL};
    *ret = NULL;
    if (r->c->op->kind == MAG_OP_CREATE)
        return MAG_OK;
    int32_t rc =
        mag_heat_set_look(&r->set, shared ? NULL : mag_json_text(group, "uuid", ""), &s, r->c->err);
    if (rc == MAG_OK && s.outputs)
        *ret = json_incref(mag_json_at(s.outputs, group == r->masters ? "told.master"
                                                  : shared            ? "told.worker"
                                                                      : "told"));
    mag_heat_stack_done(&s);
    return rc;
}

static int64_t number_of(const json_t *v)
{
    if (json_is_string(v)) /* Heat's parameters are texts now and then */
        return strtoll(json_string_value(v), NULL, 10);
    return json_is_integer(v) ? json_integer_value(v) : 0;
}

/* A group that this operation meets for the first time: it goes on from what its nodes were told,
 * and nodes that are new begin with what the group's labels say. */
static int32_t know(struct heat_run *r, const json_t *group, bool *changed)
{
    char tag[64];
    _mag_json_ json_t *before = NULL;
    if (entry_of(r, group))
        return MAG_OK;
    int32_t rc = mag_label_text(mag_labels_of(r->c->spec, group), "kube_tag", "", tag, sizeof tag,
                                r->c->err);
    if (rc == MAG_OK)
        rc = told(r, group, &before);
    if (rc != MAG_OK)
        return rc;
    int64_t generation = number_of(mag_json_at(before, "generation"));
    const char *version = mag_json_text(before, "metadata.magnum_kube_version", tag);
    const char *ca = mag_json_text(before, "metadata.magnum_ca_phase", "");
    *changed = true;
    int bad = json_object_set_new(mag_json_at(mine(r), "groups"), mag_json_text(group, "uuid", ""),
                                  json_pack("{s:I, s:s}", "generation",
                                            (json_int_t)(generation > 0 ? generation : 1),
                                            "version", version));
    if (*ca && !*heat_ca_phase(r))
        bad |= json_object_set_new(mine(r), "ca", json_string(ca));
    return bad ? mag_fail_nomem(r->c->err) : MAG_OK;
}

/* The version is the cluster's: a group's own labels still say the former one. */
static int32_t count_up(struct heat_run *r, const json_t *group, bool upgrade)
{
    json_t *entry = entry_of(r, group);
    char tag[64];
    int32_t rc =
        mag_label_text(mag_labels_of(r->c->spec, NULL), "kube_tag", "", tag, sizeof tag, r->c->err);
    if (rc != MAG_OK)
        return rc;
    int bad = json_object_set_new(entry, "generation", json_integer(heat_generation(r, group) + 1));
    if (upgrade)
        bad |= json_object_set_new(entry, "version", json_string(tag));
    return bad ? mag_fail_nomem(r->c->err) : MAG_OK;
}

int32_t heat_note(struct heat_run *r, const char *phase)
{
    char key[128];
    phase_key(r, phase, key);
    return json_object_set_new(mine(r), "op", json_string(key)) < 0
               ? mag_fail_nomem(r->c->err)
               : mag_heat_set_save(&r->set, r->c->err);
}

static int32_t decide_phase(struct heat_run *r, const char *phase)
{
    char key[128];
    size_t i;
    const json_t *g;
    bool upgrade = strcmp(phase, "upgrade") == 0;
    int32_t rc = MAG_OK;
    phase_key(r, phase, key);
    json_array_foreach(mag_json_at(r->c->spec, "nodegroups"), i, g)
    {
        if (rc == MAG_OK && heat_is_meant(r, g))
            rc = count_up(r, g, upgrade);
    }
    if (rc != MAG_OK)
        return rc;
    int bad = json_object_set_new(mine(r), "op", json_string(key));
    if (!upgrade)
        bad |= json_object_set_new(mine(r), "ca", json_string(phase));
    return bad ? mag_fail_nomem(r->c->err) : MAG_OK;
}

int32_t heat_decide(struct heat_run *r, const char *phase)
{
    bool changed = false;
    size_t i;
    const json_t *g;
    if (!json_is_object(mag_json_at(mine(r), "groups")) &&
        json_object_set_new(r->set.state, MINE, json_pack("{s:{}}", "groups")) < 0)
        return mag_fail_nomem(r->c->err);
    int32_t rc = MAG_OK;
    json_array_foreach(mag_json_at(r->c->spec, "nodegroups"), i, g)
    {
        if (rc == MAG_OK && (heat_is_meant(r, g) || g == r->masters))
            rc = know(r, g, &changed);
    }
    if (rc == MAG_OK)
        rc = heat_recall_lives(r, &changed);
    if (rc == MAG_OK && phase && !heat_decided(r, phase)) {
        rc = decide_phase(r, phase);
        changed = true;
    }
    return rc == MAG_OK && changed ? mag_heat_set_save(&r->set, r->c->err) : rc;
}
