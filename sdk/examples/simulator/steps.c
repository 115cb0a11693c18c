/* Every operation is the same walk of sim_steps steps: look, do a share of what differs, misbehave
 * if asked to, checkpoint. The last step does all that is left, settles the ledger and publishes.
 * See sim.h. */
#include "sim.h"

#include <magnum/nodegroups.h>
#include <magnum/rotate.h>
#include <magnum/upgrade.h>

#include <stdio.h>
#include <string.h>

struct walk {
    const struct sim *sim;
    const mag_op *op;
    const char *kind; /* for sim_fail_kind */
    bool removing;
    struct sim_mark mark;
    json_t *spec; /* owned */
    char dir[SIM_PATH];
    struct sim_labels labels;
    int64_t step; /* the one being done, from 1 */
};

/* The number of the last step done by this verb of this operation; another one's state counts
 * nothing. */
static int64_t steps_done(const mag_op *op, const char *kind)
{
    _mag_json_ json_t *state = json_loadb(op->state.len ? op->state.data : "{}",
                                          op->state.len ? (size_t)op->state.len : 2, 0, NULL);
    if (strcmp(mag_json_text(state, "op", ""), op->op_id) != 0 ||
        strcmp(mag_json_text(state, "kind", kind), kind) != 0)
        return 0;
    int64_t n = mag_json_int(state, "step", 0);
    return n < 0 ? 0 : n;
}

static int32_t begin(struct walk *w, mag_error *err)
{
    int32_t rc = sim_need_state_dir(w->sim, err);
    if (rc != MAG_OK)
        return rc;
    if (!sim_cluster_dir(w->sim, w->op->cluster_id, w->dir))
        return mag_fail(err, MAG_E_INVALID, 0, "BadClusterId", NULL,
                        "The cluster's id can't be a file name");
    rc = mag_json_parse(w->op->spec, "the spec", &w->spec, err);
    if (rc == MAG_OK)
        rc = sim_labels_read(w->spec, !w->removing, &w->labels, err);
    if (rc == MAG_OK && (w->op->flags & MAG_OPF_CANCEL))
        rc = mag_fail(err, MAG_E_CANCELLED, 0, "Cancelled", NULL, "Stopped as asked");
    w->step = steps_done(w->op, w->kind) + 1;
    return rc;
}

/* Does this step's share of the differences. *ret_left: how many remain. */
static int32_t do_share(struct walk *w, size_t *ret_left, mag_error *err)
{
    const struct sim *s = w->sim;
    struct sim_nodes have;
    struct sim_changes todo = {0};
    int32_t rc = sim_nodes_list(w->dir, &have, err);
    if (rc != MAG_OK)
        return rc;
    rc = sim_diff(&have, w->op->cluster_id, w->removing ? NULL : w->spec, w->mark, &todo, err);
    int64_t steps_left = w->labels.steps - w->step + 1;
    size_t share = todo.n;
    if (steps_left > 1)
        share = (todo.n + (size_t)steps_left - 1) / (size_t)steps_left;
    size_t done = 0;
    while (rc == MAG_OK && done < share &&
           !s->services.host->cancelled(s->services.host->ctx, w->op))
        rc = sim_change_apply(s, w->op, w->dir, &todo.v[done++], err);
    *ret_left = todo.n - done;
    sim_changes_done(&todo);
    sim_nodes_done(&have);
    return rc;
}

static bool node_exists(const struct sim_nodes *have, const char *name)
{
    for (size_t i = 0; i < have->n; i++)
        if (strcmp(have->v[i].name, name) == 0)
            return true;
    return false;
}

/* After a crash between file and ledger the two may differ: the files are the truth. */
static int32_t settle_ledger(struct walk *w, mag_error *err)
{
    const struct mag_services *sv = &w->sim->services;
    _mag_json_ json_t *entries = NULL;
    struct sim_nodes have;
    int32_t rc = mag_ledger_list(sv, w->op, SIM_NODE_KIND, &entries, err);
    if (rc == MAG_OK)
        rc = sim_nodes_list(w->dir, &have, err);
    if (rc != MAG_OK)
        return rc;
    size_t i;
    json_t *v;
    json_array_foreach(entries, i, v)
    {
        const char *name = mag_json_text(v, "name", "");
        bool intent = strcmp(mag_json_text(v, "state", ""), "intent") == 0;
        if (rc == MAG_OK && !node_exists(&have, name))
            rc = mag_ledger_drop(sv, w->op, SIM_NODE_KIND, name, err);
        else if (rc == MAG_OK && intent)
            rc = mag_ledger_confirm(sv, w->op, SIM_NODE_KIND, name, NULL, err);
    }
    sim_nodes_done(&have);
    return rc;
}

static int32_t checkpoint(struct walk *w, mag_error *err)
{
    _mag_json_ json_t *state = json_pack("{s:i,s:I,s:s,s:s}", "v", 1, "step", (json_int_t)w->step,
                                         "op", w->op->op_id, "kind", w->kind);
    return state ? mag_checkpoint(w->sim->services.host, w->op, state, err) : mag_fail_nomem(err);
}

static void report(const struct walk *w, mag_step *out)
{
    out->wait_ms = (uint32_t)w->labels.step_ms;
    out->percent =
        (uint32_t)(w->step * 100 / (w->labels.steps > w->step ? w->labels.steps : w->step + 1));
    if (w->labels.lie)
        out->percent = w->step % 2 ? 250 : 1;
    snprintf(out->message, sizeof out->message, "%s: step %lld of %lld", w->kind,
             (long long)w->step, (long long)w->labels.steps);
}

/* Nodes that no ledger knows, as a driver with a mistake would leave them. */
static int32_t leave_behind(struct walk *w, mag_error *err)
{
    int32_t rc = MAG_OK;
    for (int64_t i = 0; rc == MAG_OK && i < w->labels.leave; i++) {
        struct sim_node n = {0};
        sim_node_name(&n, w->op->cluster_id, "left", i);
        n.doc =
            json_pack("{s:s,s:s,s:s}", "name", n.name, "nodegroup", n.group, "address", n.address);
        rc = n.doc ? sim_node_write(w->dir, &n, err) : mag_fail_nomem(err);
        json_decref(n.doc);
    }
    return rc;
}

static int32_t finish(struct walk *w, mag_error *err)
{
    int32_t rc = settle_ledger(w, err);
    if (rc != MAG_OK)
        return rc;
    if (!w->removing)
        return sim_publish(w->sim, w->op, w->dir, w->spec, err);
    return w->labels.leave > 0 ? leave_behind(w, err) : sim_dir_remove(w->dir, err);
}

static int32_t do_step(struct walk *w, mag_step *out, mag_error *err)
{
    size_t left = 0;
    int32_t rc = begin(w, err);
    if (rc == MAG_OK && w->step == 1 && !w->removing)
        rc = sim_publish_stacks(w->sim, w->op, w->spec, err);
    if (rc == MAG_OK)
        rc = do_share(w, &left, err);
    if (rc == MAG_OK)
        rc = sim_faults_apply(&w->labels.faults, w->dir, w->kind, w->step, err);
    if (rc == MAG_OK)
        rc = checkpoint(w, err);
    if (rc != MAG_OK)
        return rc;
    report(w, out);
    if (w->step < w->labels.steps || left > 0) /* left: asked to stop in the middle */
        return MAG_AGAIN;
    rc = finish(w, err);
    if (rc == MAG_OK)
        out->percent = 100;
    return rc;
}

static int32_t walk(void *self, const mag_op *op, const char *kind, struct sim_mark mark,
                    mag_step *out, mag_error *err)
{
    struct walk w = {
        .sim = self, .op = op, .kind = kind, .removing = strcmp(kind, "delete") == 0, .mark = mark};
    int32_t rc = do_step(&w, out, err);
    json_decref(w.spec);
    return rc;
}

static const struct sim_mark no_mark = {0};

/* ---- mag.coe.lifecycle/1 ---- */

static int32_t sim_validate(void *self, const mag_op *op, mag_error *err)
{
    _mag_json_ json_t *spec = NULL;
    struct sim_labels l;
    int32_t rc = sim_need_state_dir(self, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(op->spec, "the spec", &spec, err);
    if (rc == MAG_OK)
        rc = sim_labels_read(spec, true, &l, err);
    if (rc == MAG_OK && l.validate_fail[0])
        rc = mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "SimulatedRefusal",
                      "Remove the label sim_validate_fail.", "%s", l.validate_fail);
    return rc;
}

static int32_t sim_create(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return walk(self, op, "create", no_mark, out, err);
}
static int32_t sim_update(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return walk(self, op, "update", no_mark, out, err);
}
static int32_t sim_remove(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return walk(self, op, "delete", no_mark, out, err);
}
static int32_t sim_scale(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return walk(self, op, "scale", no_mark, out, err);
}

/* A node whose file says `"ready": false` is not well. */
static void list_sick(const struct sim_nodes *have, json_t *reason, json_t *sick)
{
    char key[MAG_NAME_MAX + 8];
    for (size_t i = 0; i < have->n; i++) {
        if (mag_json_bool(have->v[i].doc, "ready", true))
            continue;
        (void)snprintf(key, sizeof key, "%s.Ready", have->v[i].name);
        (void)json_object_set_new(reason, key, json_string("False: as its file says"));
        (void)json_array_append_new(sick, json_pack("{s:s, s:s, s:s}", "node", have->v[i].name,
                                                    "nodegroup", have->v[i].group, "reason",
                                                    "as its file says"));
    }
}

/* Counts the nodes of each group; reason: {group name: what is wrong}. */
static int32_t look(const struct sim *s, const mag_op *op, const json_t *spec, json_t *reason,
                    json_t *sick, mag_error *err)
{
    char dir[SIM_PATH];
    struct sim_nodes have;
    if (!sim_cluster_dir(s, op->cluster_id, dir))
        return mag_fail(err, MAG_E_INVALID, 0, "BadClusterId", NULL,
                        "The cluster's id can't be a file name");
    int32_t rc = sim_nodes_list(dir, &have, err);
    if (rc != MAG_OK)
        return rc;
    list_sick(&have, reason, sick);
    size_t i;
    json_t *g;
    json_array_foreach(mag_json_at(spec, "nodegroups"), i, g)
    {
        int64_t n = 0, wanted = mag_json_int(g, "node_count", 0);
        for (size_t k = 0; k < have.n; k++)
            n += strcmp(have.v[k].group, mag_json_text(g, "uuid", "")) == 0;
        const char *name = mag_json_text(g, "name", mag_json_text(g, "uuid", "?"));
        if (n != wanted)
            json_object_set_new(
                reason, name, json_sprintf("%lld of %lld nodes", (long long)n, (long long)wanted));
    }
    sim_nodes_done(&have);
    return MAG_OK;
}

static int32_t sim_health(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    const struct sim *s = self;
    _mag_json_ json_t *spec = NULL, *reason = json_object(), *sick = json_array();
    struct sim_labels l;
    (void)out;
    int32_t rc = sim_need_state_dir(s, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(op->spec, "the spec", &spec, err);
    if (rc == MAG_OK)
        rc = sim_labels_read(spec, false, &l, err);
    if (rc == MAG_OK)
        rc = look(s, op, spec, reason, sick, err);
    if (rc != MAG_OK)
        return rc;
    const char *status = json_object_size(reason) ? "UNHEALTHY" : "HEALTHY";
    if (l.health[0]) {
        status = l.health;
        json_object_set_new(reason, "simulator", json_string("as label sim_health asks"));
    }
    rc = mag_output_new(s->services.host, op, "health_status", json_string(status), err);
    if (rc == MAG_OK)
        rc = mag_output_new(s->services.host, op, "health_status_reason", json_incref(reason), err);
    if (rc == MAG_OK && strcmp(status, "UNKNOWN") != 0)
        rc = mag_output_new(s->services.host, op, "unhealthy_nodes", json_incref(sick), err);
    return rc;
}

const struct mag_lifecycle sim_lifecycle = {.struct_size = sizeof sim_lifecycle,
                                            .validate = sim_validate,
                                            .create = sim_create,
                                            .update = sim_update,
                                            .remove = sim_remove,
                                            .scale = sim_scale,
                                            .health = sim_health};

/* ---- mag.coe.nodegroups/1, mag.coe.upgrade/1, mag.coe.rotate/1 ---- */

static int32_t sim_nodegroup(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return walk(self, op, "nodegroup", no_mark, out, err);
}
static int32_t sim_upgrade(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return walk(self, op, "upgrade", no_mark, out, err); /* the version is part of the spec */
}
static int32_t sim_ca_prepare(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    int32_t rc = walk(self, op, "ca_prepare", (struct sim_mark){"ca", "both"}, out, err);
    return rc == MAG_OK ? sim_note_trust(self, op, "both", err) : rc;
}
static int32_t sim_ca_complete(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    int32_t rc = walk(self, op, "ca_complete", (struct sim_mark){"ca", "new"}, out, err);
    return rc == MAG_OK ? sim_note_trust(self, op, "new", err) : rc;
}
static int32_t sim_credential(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return walk(self, op, "credential", (struct sim_mark){"credential", op->op_id}, out, err);
}

const void *sim_step_interface(const char *id)
{
    static const mag_nodegroups nodegroups = {.struct_size = sizeof nodegroups,
                                              .create = sim_nodegroup,
                                              .update = sim_nodegroup,
                                              .remove = sim_nodegroup};
    static const mag_upgrade upgrade = {
        .struct_size = sizeof upgrade, .plan = sim_upgrade_plan, .upgrade = sim_upgrade};
    static const mag_rotate rotate = {.struct_size = sizeof rotate,
                                      .ca_prepare = sim_ca_prepare,
                                      .ca_complete = sim_ca_complete,
                                      .credential = sim_credential};
    if (strcmp(id, MAG_IFACE_NODEGROUPS) == 0)
        return &nodegroups;
    if (strcmp(id, MAG_IFACE_UPGRADE) == 0)
        return &upgrade;
    return strcmp(id, MAG_IFACE_ROTATE) == 0 ? &rotate : NULL;
}
