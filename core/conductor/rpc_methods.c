/* What the API asks a conductor at once: wake-ups, certificates, a driver's judgement. The methods
 * and their parameters are listed in rpc/rpc.h. Every method may be repeated. */
#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "conductor/cert_store.h"
#include "conductor/conductor_internal.h"
#include "conductor/workload_internal.h"
#include "db/db_cluster.h"
#include "magnum/host.h"

#include <string.h>

static const struct db_scope all_rows = {.all_projects = true, .admin = true};

static int text_param(const json_t *params, const char *key, const char **ret, struct err *e)
{
    *ret = jsonx_str(params, key);
    return str_blank(*ret) ? err_set(e, ERR_INVALID, "parameter %s is missing", key) : 0;
}

static int64_t budget(int64_t configured_ms, int64_t deadline_mono_ms)
{
    int64_t left = deadline_mono_ms - clock_mono_ms();
    return left < configured_ms ? (left > 1 ? left : 1) : configured_ms;
}

/* ---- certificates ---- */
static int find_cluster(struct conductor *c, const json_t *params, struct cluster *ret,
                        struct err *e)
{
    const char *uuid = NULL;
    int rc = text_param(params, "cluster", &uuid, e);
    if (rc == 0 && str_eq(jsonx_str(params, "type"), "client"))
        rc = err_set(e, ERR_INVALID, "\"client\" is not a CA");
    return rc ? rc : db_cluster_get(c->db, &all_rows, uuid, ret, e);
}

static int answer_pem(int rc, const char *pem, json_t **result, struct err *e)
{
    if (rc)
        return rc;
    *result = json_pack("{s:s}", "pem", pem);
    return *result ? 0 : err_nomem(e);
}

static int cert_ca(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                   struct err *e)
{
    (void)deadline;
    _cleanup_free_ char *pem = NULL, *signer = NULL;
    const char *type = jsonx_str(params, "type");
    const struct rotate_asker who = {.node = jsonx_bool(params, "node", false)};
    struct cluster cl;
    cluster_init(&cl);
    int rc = find_cluster(c, params, &cl, e);
    if (rc == 0)
        rc = who.node ? rotate_trusted_by_nodes(c, &cl, &who, type, &pem, &signer, e)
                      : rotate_trusted(c, &cl, type, &pem, e);
    rc = answer_pem(rc, pem, result, e);
    cluster_done(&cl);
    return rc;
}

static int cert_sign(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                     struct err *e)
{
    (void)deadline;
    const char *csr = NULL, *type = jsonx_str(params, "type");
    _cleanup_free_ char *pem = NULL, *trusted = NULL, *signer = NULL;
    const struct rotate_asker who = {.node = jsonx_bool(params, "node", false)};
    struct cert_authority ca = {0};
    struct cluster cl;
    cluster_init(&cl);
    int rc = text_param(params, "csr", &csr, e);
    if (rc == 0)
        rc = find_cluster(c, params, &cl, e);
    const struct cert_site site = cert_site_of(c, &cl, NULL);
    if (rc == 0 && who.node)
        rc = rotate_trusted_by_nodes(c, &cl, &who, type, &trusted, &signer, e);
    if (rc == 0)
        rc = signer ? cert_authority_load(&site, signer, &ca, e)
                    : certs_authority(c, &cl, type, &ca, e);
    if (rc == 0)
        rc = cert_authority_sign(&ca, csr, &c->cert_policy, &pem, e);
    rc = answer_pem(rc, pem, result, e);
    cert_authority_done(&ca);
    cluster_done(&cl);
    return rc;
}

static int cert_migrate(struct conductor *c, const json_t *params, int64_t deadline,
                        json_t **result, struct err *e)
{
    (void)deadline;
    const char *cluster = NULL, *from = NULL, *to = NULL;
    int64_t moved = 0;
    int rc = text_param(params, "cluster", &cluster, e);
    if (rc == 0)
        rc = text_param(params, "from", &from, e);
    if (rc == 0)
        rc = text_param(params, "to", &to, e);
    if (rc == 0)
        rc = certs_migrate(c, cluster, from, to, &moved, e);
    if (rc)
        return rc;
    *result = json_pack("{s:I}", "moved", (json_int_t)moved);
    return *result ? 0 : err_nomem(e);
}

/* ---- trusts ---- */
static int token_seal(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                      struct err *e)
{
    const char *operation = NULL, *token = NULL;
    _cleanup_free_ char *sealed = NULL;
    (void)deadline;
    int rc = text_param(params, "operation", &operation, e);
    if (rc == 0)
        rc = text_param(params, "token", &token, e);
    if (rc == 0)
        rc = trust_seal_token(c, operation, token, &sealed, e);
    if (rc)
        return rc;
    *result = json_pack("{s:s}", "sealed", sealed);
    return *result ? 0 : err_nomem(e);
}

/* ---- drivers ---- */
int rpc_call_driver(struct conductor *c, struct coe_call *call, enum op_kind kind, json_t **result,
                    struct err *e)
{
    struct driver_ref d = {0};
    const char *remedy = NULL;
    struct coe_result r = {0};
    char id[UUID_TEXT];
    const struct driver_want want = {.id = call->driver_id,
                                     .version = call->driver_version,
                                     .project = call->project_id,
                                     .kind = kind};
    int rc = drivers_use(c, &want, &d, &remedy, e);
    if (rc)
        return rc;
    call->driver_version = d.plugin->version;
    _cleanup_json_ json_t *outputs = json_object();
    struct call_ctx x = {.c = c,
                         .cluster_id = call->cluster_id,
                         .project_id = call->project_id,
                         .plugin = d.plugin,
                         .outputs = outputs};
    struct coe_services services = services_for(&x);
    uuid_make(id);
    call->op_id = id;
    log_context_add(&(struct log_context){.cluster = call->cluster_id, .driver = call->driver_id});
    call->attempt = 1;
    call->services = &services;
    rc = front_coe_call(d.pool, call, &r, e);
    if (rc == 0)
        rc = coe_result_error(&r, e);
    if (rc == 0)
        *result = TAKE_PTR(r.value);
    coe_result_done(&r);
    call_ctx_done(&x);
    driver_ref_done(&d);
    return rc;
}

/* A spec that is not stored anywhere, with the kind it is for: for validate and plan. */
static int judge(struct conductor *c, const json_t *params, struct coe_call *call, json_t **result,
                 struct err *e)
{
    const char *kind_name = NULL;
    enum op_kind kind = OP_CREATE;
    int rc = text_param(params, "driver_id", &call->driver_id, e);
    call->driver_version = jsonx_str(params, "driver_version");
    if (rc == 0)
        rc = text_param(params, "kind", &kind_name, e);
    if (rc == 0 && !op_kind_parse(kind_name, &kind))
        rc = err_set(e, ERR_INVALID, "operation kind \"%s\" is not known", kind_name);
    if (rc)
        return rc;
    _cleanup_json_ json_t *spec = json_deep_copy(json_object_get(params, "spec"));
    json_t *p = json_object_get(spec, "params");
    if (json_is_object(spec) && !json_is_object(p) &&
        json_object_set_new(spec, "params", p = json_object()))
        return err_nomem(e);
    if (!json_is_object(spec))
        return err_set(e, ERR_INVALID, "parameter spec is no object");
    if (json_object_set_new(p, "kind", json_string(kind_name)))
        return err_nomem(e);
    const json_t *cluster = json_object_get(spec, "cluster");
    call->cluster_id = jsonx_str(cluster, "uuid");
    call->project_id = jsonx_str(cluster, "project_id");
    call->spec = spec;
    return rpc_call_driver(c, call, kind, result, e);
}

/* A driver without validate accepts everything; so does one that can't be asked in time, because
 * the operation itself will tell. */
static int driver_validate(struct conductor *c, const json_t *params, int64_t deadline,
                           json_t **result, struct err *e)
{
    struct coe_call call = {.interface = "mag.coe.lifecycle/1",
                            .verb = "validate",
                            .op_kind = MAG_OP_VALIDATE,
                            .budget_ms = budget(c->cfg->conductor_validate_budget_ms, deadline)};
    int rc = judge(c, params, &call, result, e);
    return rc == ERR_UNSUPPORTED ? 0 : rc;
}

static int driver_plan(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                       struct err *e)
{
    struct coe_call call = {.interface = "mag.coe.plan/1",
                            .verb = "plan",
                            .op_kind = MAG_OP_QUERY,
                            .budget_ms = budget(c->cfg->conductor_step_budget_ms, deadline)};
    return judge(c, params, &call, result, e);
}

static int driver_call(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                       struct err *e)
{
    const char *uuid = NULL, *interface = NULL, *verb = NULL;
    struct cluster cl;
    int rc = text_param(params, "cluster", &uuid, e);
    if (rc == 0)
        rc = text_param(params, "interface", &interface, e);
    if (rc == 0)
        rc = text_param(params, "verb", &verb, e);
    if (rc)
        return rc;
    _cleanup_json_ json_t *spec = NULL;
    cluster_init(&cl);
    rc = db_cluster_get(c->db, &all_rows, uuid, &cl, e);
    if (rc == 0)
        rc = db_cluster_spec(c->db, cl.uuid, &spec, e);
    if (rc == 0) {
        struct coe_call call = {.driver_id = cl.driver_id,
                                .driver_version = cl.driver_version,
                                .interface = interface,
                                .verb = verb,
                                .op_kind = MAG_OP_QUERY,
                                .cluster_id = cl.uuid,
                                .project_id = cl.project_id,
                                .generation = cl.generation,
                                .spec = spec,
                                .args = params,
                                .budget_ms = budget(c->cfg->conductor_step_budget_ms, deadline)};
        rc = rpc_call_driver(c, &call, OP_UPDATE, result, e);
    }
    cluster_done(&cl);
    return rc;
}

/* ---- the table ---- */
static int ping(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                struct err *e)
{
    (void)params;
    (void)deadline;
    *result = json_pack("{s:s}", "instance", c->instance);
    return *result ? 0 : err_nomem(e);
}

static int op_due(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                  struct err *e)
{
    (void)deadline;
    (void)result;
    (void)e;
    sleeper_wake(&c->scheduler);
    if (jsonx_str(params, "operation")) /* other API processes have waiting requests too */
        news_tell(c, jsonx_str(params, "operation"), NULL);
    return 0;
}

/* The operation may run here: look whether a cancel is asked for. It may also wait: take it. */
static int op_cancel(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
                     struct err *e)
{
    (void)params;
    (void)deadline;
    (void)result;
    (void)e;
    sleeper_wake(&c->renewer);
    sleeper_wake(&c->scheduler);
    return 0;
}

static const struct {
    const char *name;
    int (*fn)(struct conductor *c, const json_t *params, int64_t deadline, json_t **result,
              struct err *e);
} methods[] = {{"op.due", op_due},
               {"op.cancel", op_cancel},
               {"ping", ping},
               {"cert.ca", cert_ca},
               {"cert.sign", cert_sign},
               {"cert.migrate", cert_migrate},
               {"driver.validate", driver_validate},
               {"driver.call", driver_call},
               {"token.seal", token_seal},
               {"driver.plan", driver_plan},
               {"workload.create", workload_create},
               {"workload.update", workload_update},
               {"workload.delete", workload_delete},
               {"workload.action", workload_action},
               {"workload.refresh", workload_refresh}};

int rpc_method(void *conductor, const char *method, const json_t *params, int64_t deadline_mono_ms,
               json_t **result, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (strcmp(methods[i].name, method) == 0)
            return methods[i].fn(conductor, params, deadline_mono_ms, result, e);
    return err_set(e, ERR_UNSUPPORTED, "this conductor has no method %s", method);
}
