/* Healing: nodes that a driver's health named as not well for too long are replaced by an ordinary
 * resize that names them, where the cluster's label asks for it and the limits allow; masters where
 * the driver's manifest says that it replaces them. A look that could not tell changes nothing.
 * Neighbours: health.c calls it with what a look found, heal_plan.c decides. */
#include "conductor/heal_plan.h"

#include "base/jsonx.h"
#include "base/log.h"
#include "conductor/conductor_internal.h"
#include "db/db_accept.h"
#include "db/db_heal.h"

enum { LOOKS_MISSED = 3, LEAST_GAP_S = 60, MESSAGE_MAX = 900 };

static char *copied(const char *s, bool *oom)
{
    char *d = str_dup(s);
    *oom |= s && !d;
    return d;
}

static int prepare(const struct conductor *c, const struct cluster *cl, struct operation *op,
                   const char *nodegroup, struct err *e)
{
    char id[UUID_TEXT], request[UUID_TEXT + 4];
    bool oom = false;
    int64_t minutes =
        cl->create_timeout > 0 ? cl->create_timeout : c->cfg->conductor_default_timeout_min;
    uuid_make(id);
    snprintf(request, sizeof request, "req-%s", id);
    op->id = copied(id, &oom);
    op->kind = copied(op_kind_name(OP_SCALE), &oom);
    op->cluster_id = copied(cl->uuid, &oom);
    op->cluster_name = copied(cl->name, &oom);
    op->project_id = copied(cl->project_id, &oom);
    op->driver_id = copied(cl->driver_id, &oom);
    op->nodegroup_id = copied(nodegroup, &oom);
    op->request_id = copied(request, &oom);
    op->deadline_at = conductor_now_us(c) + minutes * 60 * 1000000;
    return oom ? err_nomem(e) : 0;
}

/* "healing: n1 (Unknown: ...), n2 (...)"; what does not fit is counted. */
static void message_of(const struct heal_choice *h, struct str *o)
{
    size_t i, left = 0;
    json_t *n;
    str_append(o, "healing: ");
    json_array_foreach(h->nodes, i, n)
    {
        const char *reason = jsonx_str(n, "reason");
        if (o->len > MESSAGE_MAX)
            left++;
        else
            str_printf(o, "%s%.80s (not ready for %lld s: %.200s)", i ? ", " : "",
                       jsonx_str(n, "node"), (long long)jsonx_int(n, "age_s", 0),
                       reason ? reason : "no reason given");
    }
    if (left)
        str_printf(o, " and %zu more", left);
}

static json_t *params_of(const struct heal_choice *h, const char *message)
{
    size_t i;
    json_t *n, *names = json_array();
    json_array_foreach(h->nodes, i, n)
    {
        if (json_array_append(names, json_object_get(n, "node")) < 0) {
            json_decref(names);
            return NULL;
        }
    }
    return json_pack("{s:s, s:I, s:o, s:s}", "nodegroup", h->nodegroup, "node_count",
                     (json_int_t)h->node_count, "nodes_to_remove", names, "reason", message);
}

static int replace(struct conductor *c, const struct cluster *cl, const struct heal_choice *h,
                   struct err *e)
{
    struct db_change ch = DB_CHANGE_INIT;
    struct db_idempotency none = {.key = NULL};
    struct operation op;
    _cleanup_str_ struct str message = STR_INIT;
    _cleanup_json_ json_t *params = NULL;
    message_of(h, &message);
    params = params_of(h, str_text(&message));
    if (!params || message.oom)
        return err_nomem(e);
    operation_init(&op);
    int rc = prepare(c, cl, &op, h->nodegroup, e);
    ch.nodegroup = h->nodegroup;
    ch.params = params;
    if (rc == 0)
        rc = db_heal_count(c->db, cl->uuid, h->nodes, op.id, c->cfg->conductor_heal_window_s, e);
    if (rc == 0)
        rc = db_accept_change(c->db, cl->uuid, &op, &ch, &none, e);
    if (rc == 0)
        rc = db_heal_tell(c->db, op.id, str_text(&message), e);
    if (rc == 0) {
        log_info("heal.replace", "%s", str_text(&message));
        news_tell(c, op.id, cl->uuid);
        sleeper_wake(&c->scheduler);
    }
    operation_done(&op);
    return rc;
}

void heal_after_look(struct conductor *c, const struct cluster *cl, const json_t *sick,
                     bool masters, json_t *reason)
{
    const struct heal_limits limits = heal_limits_of(c->cfg);
    int64_t gap_s = LOOKS_MISSED * c->cfg->conductor_health_interval_s;
    _cleanup_json_ json_t *facts = NULL;
    struct heal_choice h = {.nodes = NULL};
    struct err e = ERR_INIT;
    if (!json_is_array(sick) || !heal_wanted(cl->labels))
        return;
    int rc = db_heal_note(c->db, cl->uuid, sick, masters, gap_s > LEAST_GAP_S ? gap_s : LEAST_GAP_S,
                          limits.window_s, &facts, &e);
    if (rc == 0)
        heal_choose(&limits, facts, &h);
    if (h.nodes)
        rc = replace(c, cl, &h, &e);
    if (rc == 0 && h.why[0] && json_is_object(reason)) /* else the look says less: it may */
        (void)json_object_set_new(reason, "auto_healing", json_string(h.why));
    if (rc < 0 && rc != ERR_NOT_FOUND && rc != ERR_UNSUPPORTED)
        log_warn("heal", "%s, ignoring: it is looked at again", e.msg);
    heal_choice_done(&h);
}
