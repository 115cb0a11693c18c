/* One step of a driver: the call with everything it may ask back, and what its answer is to the
 * engine. See conductor_internal.h. */
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "conductor/conductor_internal.h"
#include "db/db_cluster.h"
#include "db/db_driver.h"
#include "db/db_ledger.h"
#include "magnum/error.h"
#include "magnum/host.h"
#include "model/codes.h"

#include <string.h>

/* The engine is pure and includes no SDK header; its numbers are the ABI's. */
_Static_assert((int)RC_OK == MAG_OK && (int)RC_AGAIN == MAG_AGAIN, "codes");
_Static_assert((int)RC_INVALID == MAG_E_INVALID && (int)RC_NOT_FOUND == MAG_E_NOT_FOUND, "codes");
_Static_assert((int)RC_EXISTS == MAG_E_EXISTS && (int)RC_BUSY == MAG_E_BUSY, "codes");
_Static_assert((int)RC_DENIED == MAG_E_DENIED && (int)RC_AUTH == MAG_E_AUTH, "codes");
_Static_assert((int)RC_QUOTA == MAG_E_QUOTA && (int)RC_UNAVAILABLE == MAG_E_UNAVAILABLE, "codes");
_Static_assert((int)RC_TIMEOUT == MAG_E_TIMEOUT && (int)RC_CANCELLED == MAG_E_CANCELLED, "codes");
_Static_assert((int)RC_UNSUPPORTED == MAG_E_UNSUPPORTED, "codes");
_Static_assert((int)RC_PRECONDITION == MAG_E_PRECONDITION, "codes");
_Static_assert((int)RC_INTERNAL == MAG_E_INTERNAL, "codes");
_Static_assert(RCF_RETRYABLE == MAG_ERR_RETRYABLE && RCF_USER == MAG_ERR_USER, "flags");
_Static_assert(RCF_OPERATOR == MAG_ERR_OPERATOR && RCF_MAY_LEAK == MAG_ERR_MAY_LEAK, "flags");
_Static_assert(CALLF_RESUMED == MAG_OPF_RESUMED && CALLF_CANCEL == MAG_OPF_CANCEL, "flags");
_Static_assert(CALLF_ROLLBACK == MAG_OPF_ROLLBACK && CALLF_FORCE == MAG_OPF_FORCE, "flags");
_Static_assert((int)OP_CREATE == MAG_OP_CREATE && (int)OP_SCALE == MAG_OP_SCALE &&
                   (int)OP_NODEGROUP_DELETE == MAG_OP_NODEGROUP_DELETE,
               "kinds");

enum { OUTPUTS_MAX = 512, OUTPUT_KEY_MAX = 200 };

/* ---- upcalls ---- */
static int seen(struct call_ctx *x, int rc)
{
    x->fenced |= rc == ERR_FENCED;
    return rc;
}

static int up_checkpoint(void *ctx, const char *state, size_t len, struct err *e)
{
    struct call_ctx *x = ctx;
    struct run *r = x->run;
    _cleanup_free_ char *copy = strndup(state ? state : "", len);
    if (!copy)
        return err_nomem(e);
    bool changed = !str_eq(copy, r->op.state);
    int rc = db_op_checkpoint(x->c->db, &r->guard, copy, -1, NULL, e);
    if (rc)
        return seen(x, rc);
    x->new_state |= changed;
    free(r->op.state);
    r->op.state = TAKE_PTR(copy);
    return 0;
}

static int up_output(void *ctx, const char *key, const json_t *value, struct err *e)
{
    struct call_ctx *x = ctx;
    if (strlen(key) > OUTPUT_KEY_MAX || json_object_size(x->outputs) >= OUTPUTS_MAX)
        return err_set(e, ERR_TOO_LARGE, "too many outputs, or too long a key");
    json_t *copy = json_deep_copy(value);
    if (!copy || json_object_set_new(x->outputs, key, copy))
        return err_nomem(e);
    return 0;
}

static bool asked_to_stop(const struct run *r)
{
    return atomic_load(&r->cancel) || atomic_load(&r->superseded);
}

static bool up_cancelled(void *ctx)
{
    struct call_ctx *x = ctx;
    return x->run && (!run_held(x->run) || (asked_to_stop(x->run) && !x->may_cancel));
}

static json_t *ledger_json(const struct ledger_entry_list *l)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < l->n; i++) {
        const struct ledger_entry *en = &l->v[i];
        json_t *o = json_pack("{s:s,s:s,s:s,s:s?,s:O?}", "kind", en->kind, "name", en->name,
                              "state", en->state, "external_id", en->external_id, "data", en->data);
        if (json_array_append_new(list, o)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int ledger_list(struct call_ctx *x, const char *kind, json_t **ret, struct err *e)
{
    struct ledger_entry_list l = {0};
    int rc = db_ledger_list(x->c->db, x->cluster_id, kind, &l, e);
    if (rc == 0)
        *ret = ledger_json(&l);
    ledger_entry_list_done(&l);
    return rc == 0 && !*ret ? err_nomem(e) : rc;
}

static int up_ledger(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e)
{
    struct call_ctx *x = ctx;
    const char *kind = jsonx_str(args, "kind"), *name = jsonx_str(args, "name");
    if (strcmp(verb, "list") == 0)
        return ledger_list(x, kind, ret, e);
    if (!x->run)
        return err_set(e, ERR_UNSUPPORTED, "only an operation changes the ledger");
    const struct op_guard *g = &x->run->guard;
    x->touched = true;
    const json_t *data = json_object_get(args, "data");
    if (strcmp(verb, "declare") == 0)
        return seen(
            x, db_ledger_declare(x->c->db, g, kind, name, json_is_object(data) ? data : NULL, e));
    if (strcmp(verb, "confirm") == 0)
        return seen(x,
                    db_ledger_confirm(x->c->db, g, kind, name, jsonx_str(args, "external_id"), e));
    return seen(x, db_ledger_drop(x->c->db, g, kind, name, e));
}

struct coe_services services_for(struct call_ctx *x)
{
    return (struct coe_services){.ctx = x,
                                 .checkpoint = x->run ? up_checkpoint : NULL,
                                 .output = up_output,
                                 .cancelled = up_cancelled,
                                 .http = broker_http,
                                 .ledger = up_ledger,
                                 .cert = certs_upcall,
                                 .secret = trust_secret};
}

void call_ctx_done(struct call_ctx *x)
{
    if (x->have_row)
        cluster_done(&x->row);
    x->have_row = false;
}

int call_cluster(struct call_ctx *x, const struct cluster **ret, struct err *e)
{
    static const struct db_scope all = {.all_projects = true, .admin = true};
    if (!x->have_row) {
        cluster_init(&x->row);
        int rc = db_cluster_get(x->c->db, &all, x->cluster_id, &x->row, e);
        if (rc)
            return rc;
        x->have_row = true;
    }
    *ret = &x->row;
    return 0;
}

/* ---- the call ---- */
static void answered(struct run *r, enum engine_event_kind kind, int rc, const char *reason,
                     const char *message)
{
    r->ev = (struct engine_event){.kind = kind, .rc = rc, .reason = reason};
    if (message) {
        (void)snprintf(r->text, sizeof r->text, "%s", message);
        r->ev.message = r->text;
    }
}

/* The call could not be made at all. */
static void not_tried(struct run *r, int rc, const struct err *e)
{
    if (rc == ERR_NOT_FOUND)
        answered(r, EV_NO_DRIVER, 0, NULL, e->msg);
    else
        answered(r, EV_STEP, engine_rc_of(rc),
                 rc == ERR_UNAVAILABLE ? code_text(CODE_DRIVER_BUSY) : NULL, e->msg);
}

static void tried(struct run *r, const struct call_ctx *x, bool overrun)
{
    const struct coe_result *res = &r->result;
    if (res->host_died) {
        answered(r, overrun ? EV_OVERRUN : EV_DIED, res->rc, NULL, res->died_why);
    } else {
        r->ev = (struct engine_event){.kind = EV_STEP,
                                      .rc = res->rc,
                                      .wait_ms = res->wait_ms,
                                      .percent = res->percent,
                                      .flags = res->err_flags,
                                      .retry_after_ms = res->retry_after_ms,
                                      .reason = res->reason,
                                      .message = res->rc < 0 ? res->err_message : res->message,
                                      .remedy = res->remedy};
    }
    r->ev.checkpointed = x->new_state;
    r->ev.touched = x->touched;
    r->ev.outputs = json_object_size(r->outputs) > 0;
}

static int call(struct run *r, const struct engine_action *a, const struct driver_ref *d,
                struct call_ctx *x, struct err *e)
{
    const struct operation *op = &r->op;
    struct coe_services services = services_for(x);
    struct coe_call c = {.driver_id = op->driver_id,
                         .driver_version = d->plugin->version,
                         .interface = a->stage->interface,
                         .verb = a->stage->verb,
                         .op_kind = (uint32_t)r->s.kind,
                         .flags = a->flags,
                         .attempt = a->attempt,
                         .op_id = op->id,
                         .cluster_id = op->cluster_id,
                         .project_id = op->project_id,
                         .nodegroup_id = op->nodegroup_id,
                         .request_id = op->request_id,
                         .generation = op->generation,
                         .spec = op->spec,
                         .prior = op->prior,
                         .state = op->state,
                         .deadline_unix_ms =
                             op->deadline_at == TIME_UNSET ? 0 : op->deadline_at / 1000,
                         .budget_ms = a->budget_ms,
                         .begin_before_ms = atomic_load(&r->held_until_ms),
                         .services = &services};
    coe_result_done(&r->result);
    return front_coe_call(d->pool, &c, &r->result, e);
}

/* It had no version yet, or one that is gone: from now on it belongs to this one. */
static int pin(struct run *r, const char *version, struct err *e)
{
    char *copy = str_dup(version);
    if (!copy)
        return err_nomem(e);
    int rc = db_driver_pin(r->c->db, r->op.id, r->op.driver_version, version, e);
    if (rc) {
        free(copy);
        return rc;
    }
    if (r->op.driver_version)
        log_warn("driver.gone", "version %s of %s is not installed any more; going on with %s",
                 r->op.driver_version, r->op.driver_id, version);
    free(r->op.driver_version);
    r->op.driver_version = copy;
    return 0;
}

void step_call(struct run *r, const struct engine_action *a)
{
    struct err e = ERR_INIT;
    struct driver_ref d = {0};
    const char *remedy = NULL;
    const struct driver_want want = {.id = r->op.driver_id,
                                     .version = r->op.driver_version,
                                     .project = r->op.project_id,
                                     .kind = r->s.kind,
                                     .begun = r->op.steps > 0};
    if (drivers_use(r->c, &want, &d, &remedy, &e)) {
        answered(r, EV_NO_DRIVER, 0, NULL, e.msg);
        r->ev.remedy = remedy;
        return;
    }
    if (!str_eq(want.version, d.plugin->version) && pin(r, d.plugin->version, &e)) {
        driver_ref_done(&d);
        answered(r, EV_STORE_FAILED, 0, NULL, e.msg);
        return;
    }
    if (!r->outputs && !(r->outputs = json_object())) {
        driver_ref_done(&d);
        answered(r, EV_STEP, RC_UNAVAILABLE, code_text(CODE_OUT_OF_MEMORY), "out of memory");
        return;
    }
    struct call_ctx x = {.c = r->c,
                         .run = r,
                         .cluster_id = r->op.cluster_id,
                         .project_id = r->op.project_id,
                         .plugin = d.plugin,
                         .outputs = r->outputs,
                         .may_cancel = (a->flags & CALLF_CANCEL) != 0};
    int64_t begun = clock_mono_ms();
    int rc = call(r, a, &d, &x, &e);
    if (rc)
        not_tried(r, rc, &e);
    else
        tried(r, &x, clock_mono_ms() - begun >= a->budget_ms);
    call_ctx_done(&x);
    driver_ref_done(&d);
    if (atomic_load(&r->lost))
        answered(r, EV_FENCED, 0, NULL, NULL);
    else if (!run_held(r)) /* it may have stopped for that alone: its answer tells nothing */
        answered(r, EV_STORE_FAILED, 0, NULL, "the lease could not be prolonged");
    else if (x.fenced && !atomic_load(&r->superseded)) /* the lease, or only a newer request? */
        runner_look_again(r);
}
