/* The public face of this folder: see front_coe.h. What a caller learns of a host's death, hang or
 * nonsense is put into words here, and only here. */
#include "drivers/front_coe.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "drivers/conversation.h"
#include "drivers/supervisor.h"
#include "magnum/lifecycle.h"

#include <string.h>

enum { DEATH_PATIENCE_MS = 1000 };

void coe_result_done(struct coe_result *r)
{
    json_decref(r->value);
    *r = (struct coe_result){0};
}

int coe_result_error(const struct coe_result *r, struct err *e)
{
    static const struct {
        int32_t rc;
        int code;
    } map[] = {{MAG_E_INVALID, ERR_INVALID},
               {MAG_E_NOT_FOUND, ERR_NOT_FOUND},
               {MAG_E_EXISTS, ERR_EXISTS},
               {MAG_E_BUSY, ERR_BUSY},
               {MAG_E_DENIED, ERR_FORBIDDEN},
               {MAG_E_AUTH, ERR_UNAVAILABLE},
               {MAG_E_QUOTA, ERR_QUOTA},
               {MAG_E_UNAVAILABLE, ERR_UNAVAILABLE},
               {MAG_E_TIMEOUT, ERR_TIMEOUT},
               {MAG_E_CANCELLED, ERR_CANCELLED},
               {MAG_E_UNSUPPORTED, ERR_UNSUPPORTED},
               {MAG_E_PRECONDITION, ERR_CONFLICT}};
    if (r->host_died)
        return err_set(e, ERR_UNAVAILABLE, "the driver's process ended: %s", r->died_why);
    if (r->rc == MAG_OK)
        return 0;
    if (r->rc == MAG_AGAIN)
        return err_set(e, ERR_BUSY, "the driver is not done yet");
    for (size_t i = 0; i < ARRAY_LEN(map); i++)
        if (map[i].rc == r->rc)
            return err_set(e, map[i].code, "%s", r->err_message[0] ? r->err_message : r->reason);
    return err_set(e, ERR_INTERNAL, "%s", r->err_message[0] ? r->err_message : r->reason);
}

static bool lists(const json_t *manifest, const char *iface)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(manifest, "interfaces"), i, v)
    {
        if (str_eq(json_string_value(v), iface))
            return true;
    }
    return false;
}

static int unsupported(const struct driver *d, const struct coe_call *c, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "driver %s does not offer %s of %s", d->plugin->id, c->verb,
                   c->interface);
}

static void fill_death(struct coe_result *r, const char *why)
{
    bool checkpointed = r->checkpointed;
    coe_result_done(r);
    r->rc = MAG_E_INTERNAL;
    r->host_died = true;
    r->checkpointed = checkpointed;
    r->err_flags = MAG_ERR_RETRYABLE;
    snprintf(r->died_why, sizeof r->died_why, "%s", why);
    snprintf(r->reason, sizeof r->reason, "DriverHostDied");
    snprintf(r->err_message, sizeof r->err_message, "The driver's process ended: %s.", why);
}

/* The host is lost: how did it end? A process that died says more than the socket does. */
static int end_broken(struct driver_pool *p, struct child *c, const struct coe_call *call,
                      const char *what, struct coe_result *ret)
{
    char why[DEATH_WHY];
    bool by_itself = child_wait_end(c, DEATH_PATIENCE_MS);
    if (!by_itself)
        child_kill(c, 0);
    /* The note needs the cause, the cause needs the burial: count afterwards. */
    struct driver *d = c->driver;
    pool_dead(p, c, call->op_id, false, why);
    const char *cause = by_itself && *why ? why : what;
    fill_death(ret, cause);
    pool_note_death(p, d, call->op_id, cause);
    return 0;
}

static int end_hung(struct driver_pool *p, struct child *c, const struct coe_call *call,
                    const char *what, struct coe_result *ret)
{
    char why[DEATH_WHY];
    struct driver *d = c->driver;
    child_kill(c, p->cfg->drivers_term_grace_ms);
    pool_dead(p, c, call->op_id, false, why);
    fill_death(ret, what);
    pool_note_death(p, d, call->op_id, what);
    return 0;
}

static int settle(struct driver_pool *p, struct child *c, const struct coe_call *call, int rc,
                  struct coe_result *ret, const struct err *why, struct err *e)
{
    char end[DEATH_WHY];
    switch (rc) {
    case 0:
    case ERR_TOO_LARGE:
    case ERR_NOMEM:
        if (child_ended(c))
            pool_dead(p, c, call->op_id, true, end); /* after its answer: the answer counts */
        else
            pool_release(p, c, true);
        return rc == 0 ? 0 : err_set(e, rc, "%s", why->msg);
    case ERR_CANCELLED:
        child_kill(c, 0); /* its grace is over */
        pool_dead(p, c, call->op_id, false, end);
        return err_set(e, rc, "%s", why->msg);
    case ERR_TIMEOUT:
        return end_hung(p, c, call, why->msg, ret);
    default:
        return end_broken(p, c, call, why->msg, ret);
    }
}

static int carry_out(struct driver_pool *p, const struct coe_call *c, struct coe_result *ret,
                     struct err *e)
{
    struct driver *d = pool_driver_version(p, c->driver_id, c->driver_version);
    if (!d)
        return err_set(e, ERR_NOT_FOUND, "driver %s is not installed here, or can't be used",
                       c->driver_id);
    const struct verb *verb = verb_find(c->interface, c->verb);
    if (!verb || !lists(d->plugin->manifest, c->interface))
        return unsupported(d, c, e);
    struct child *child = NULL;
    bool died;
    int rc = pool_acquire(p, d, clock_mono_ms() + c->budget_ms, &child, &died, e);
    if (rc != 0) {
        if (died)
            pool_note_death(p, d, c->op_id, e ? e->msg : "it did not start");
        return rc;
    }
    if (!child_offers(child, c->interface, c->verb)) {
        pool_release(p, child, true);
        return unsupported(d, c, e);
    }
    struct coe_result r = {0};
    struct err why = ERR_INIT;
    if (c->ret_pid)
        *c->ret_pid = child->conn.pid;
    rc = converse(p, child, c, verb, &r, &why);
    rc = settle(p, child, c, rc, &r, &why, e);
    if (rc == 0)
        *ret = r;
    else
        coe_result_done(&r);
    return rc;
}

/* Within the trace of who asks; what the driver has done over HTTP meanwhile is below it. */
static void begin_span(struct trace_span *s, const struct coe_call *c)
{
    const struct trace_context *parent = trace_current();
    *s = (struct trace_span){.kind = TRACE_CLIENT};
    if (!parent)
        return;
    trace_span_begin(s, parent, TRACE_CLIENT);
    trace_span_enter(s);
    trace_span_name(s, "%s/%s", c->interface, c->verb);
    trace_span_text(s, "rpc.system", "magnum.driver");
    trace_span_text(s, "rpc.service", c->interface);
    trace_span_text(s, "rpc.method", c->verb);
    trace_span_text(s, "magnum.driver.id", c->driver_id);
    trace_span_text(s, "magnum.driver.version", c->driver_version);
    trace_span_text(s, "magnum.cluster.id", c->cluster_id);
    trace_span_number(s, "magnum.operation.attempt", c->attempt);
}

static void end_span(struct trace_span *s, int rc, const struct coe_result *r, const struct err *e)
{
    if (rc == 0)
        trace_span_number(s, "magnum.driver.result", r->rc);
    if (rc == 0 && r->rc < 0) {
        trace_span_text(s, "error.type", r->reason);
        trace_span_fail(s, r->err_message);
    } else if (rc < 0) {
        trace_span_text(s, "error.type", err_token(rc));
        trace_span_fail(s, e ? e->msg : NULL);
    }
    trace_span_end(s);
}

static int call_driver(struct driver_pool *p, const struct coe_call *c, struct coe_result *ret,
                       struct err *e)
{
    struct trace_span span;
    begin_span(&span, c);
    int rc = carry_out(p, c, ret, e);
    end_span(&span, rc, ret, e);
    return rc;
}

int front_coe_call(struct driver_pool *p, const struct coe_call *c, struct coe_result *ret,
                   struct err *e)
{
    int64_t begun = clock_mono_us();
    int rc = call_driver(p, c, ret, e);
    bool failed = rc == 0 && ret->rc < 0;
    metrics_inc(METRIC_DRIVER_CALLS,
                METRICS_LABELS_OF(c->driver_id, c->verb, failed ? "error" : metrics_result(rc)));
    metrics_observe_us(METRIC_DRIVER_CALL_DURATION, clock_mono_us() - begun,
                       METRICS_LABELS_OF(c->driver_id, c->verb));
    return rc;
}

/* "<what is missing>. <what to do>" */
static void explain(const struct coe_result *r, bool *ready, char reason[512])
{
    *ready = r->rc == MAG_OK;
    reason[0] = '\0';
    if (r->rc == MAG_AGAIN)
        snprintf(reason, 512, "still starting");
    if (r->rc >= 0)
        return;
    const char *what = r->err_message[0] ? r->err_message : r->reason;
    const char *joint = !r->remedy[0] ? "" : str_ends(what, ".") ? " " : ". ";
    snprintf(reason, 512, "%.250s%s%s", what, joint, r->remedy);
}

int front_coe_probe(struct driver_pool *p, const char *driver_id, bool *ready, char reason[512],
                    struct err *e)
{
    struct driver *d = pool_driver(p, driver_id);
    if (!d)
        return err_set(e, ERR_NOT_FOUND, "driver %s is not installed here, or can't be used",
                       driver_id);
    struct child *c = NULL;
    bool died;
    int rc = pool_start(p, d, &c, &died, e);
    if (rc != 0)
        return rc;
    const struct coe_call call = {.driver_id = driver_id,
                                  .interface = "",
                                  .verb = "probe",
                                  .budget_ms = p->cfg->drivers_start_timeout_ms};
    struct coe_result r = {0};
    struct err why = ERR_INIT;
    rc = converse(p, c, &call, NULL, &r, &why);
    if (rc == 0) {
        explain(&r, ready, reason);
        coe_result_done(&r);
        keeper_retire(p, c);
        return 0;
    }
    char end[DEATH_WHY];
    if (!child_wait_end(c, rc == ERR_TIMEOUT || rc == ERR_CANCELLED ? 0 : DEATH_PATIENCE_MS))
        child_kill(c, 0);
    child_bury(&c, end);
    return err_set(e, rc == ERR_CANCELLED ? rc : ERR_UNAVAILABLE, "probe of %s: %s", driver_id,
                   rc == ERR_PROTOCOL && *end ? end : why.msg);
}
