/* What every handler needs: answers, scopes, rights, accepted operations, calls to a conductor.
 * See api_internal.h. */
#include "api/admit.h"
#include "api/api_internal.h"
#include "api/follow.h"
#include "api/text.h"
#include "base/log.h"
#include "base/trace.h"
#include "base/uuid.h"

#include <string.h>

int answer(struct api_call *c, int status, struct err *e)
{
    c->rp->status = status;
    if (c->rp->body.oom)
        return err_nomem(e);
    return http_response_header(c->rp, "Content-Type", "application/json") < 0 ? err_nomem(e) : 0;
}

int answer_nothing(struct api_call *c)
{
    c->rp->status = 204;
    return 0;
}

int answer_uuid(struct api_call *c, int status, const char *uuid, struct err *e)
{
    str_append_c(&c->rp->body, '{');
    jw_str(&c->rp->body, "uuid", uuid);
    str_append_c(&c->rp->body, '}');
    return answer(c, status, e);
}

struct db_scope scope_own(const struct api_call *c)
{
    return (struct db_scope){.project_id = c->who.project_id,
                             .user_id = c->who.user_id,
                             .admin = c->who.is_admin,
                             .any_case = api_zed(c)}; /* its databases compare names that way */
}

int scope_all(struct api_call *c, const char *rule, struct db_scope *ret, struct err *e)
{
    *ret = scope_own(c);
    if (!c->who.is_admin)
        return 0;
    int rc = enforce_self(c, rule, e);
    if (rc < 0)
        return rc;
    ret->all_projects = true;
    return 0;
}

int enforce(struct api_call *c, const char *rule, const char *project, const char *user,
            struct err *e)
{
    return auth_enforce(c->api->auth, &c->who, rule, project, user, e);
}

char *copy(const char *s, bool *oom)
{
    char *d = str_dup(s);
    *oom |= s && !d;
    return d;
}

int idempotency_read(const struct api_call *c, struct idempotency *ret, struct err *e)
{
    enum { KEY_MAX = 255 };
    const char *key = http_request_header(c->rq, "Idempotency-Key");
    *ret = (struct idempotency){.db = {.key = NULL}};
    if (!key)
        return 0;
    if (!*key || strlen(key) > KEY_MAX || !text_utf8(key))
        return err_set(e, ERR_INVALID, "The Idempotency-Key must have 1 to %d characters", KEY_MAX);
    struct text_mark m;
    text_mark_init(&m);
    text_mark_add(&m, c->rq->method, strlen(c->rq->method));
    text_mark_add(&m, c->rq->path, strlen(c->rq->path));
    text_mark_add(&m, c->rq->body, c->rq->body_len);
    text_mark_hex(&m, ret->hash);
    ret->db.key = key;
    ret->db.hash = ret->hash;
    ret->db.keep_hours = c->api->cfg->api_idempotency_hours;
    return 0;
}

int idempotency_mark(const struct api_call *c, const struct idempotency *i, struct err *e)
{
    if (!i->db.replayed)
        return 0;
    return http_response_header(c->rp, "Idempotent-Replayed", "true") < 0 ? err_nomem(e) : 0;
}

int operation_prepare(const struct api_call *c, enum op_kind kind, const struct cluster *cl,
                      int64_t timeout_min, struct operation *op, struct err *e)
{
    char id[UUID_TEXT];
    bool oom = false;
    uuid_make(id);
    if (timeout_min <= 0)
        timeout_min = c->api->cfg->conductor_default_timeout_min;
    op->id = copy(id, &oom);
    op->kind = copy(op_kind_name(kind), &oom);
    op->cluster_id = copy(cl->uuid, &oom);
    op->cluster_name = copy(cl->name, &oom);
    op->project_id = copy(cl->project_id, &oom);
    op->user_id = copy(c->who.user_id, &oom);
    op->driver_id = copy(cl->driver_id, &oom);
    op->request_id = copy(c->who.request_id, &oom);
    op->traceparent = trace_store(&oom);
    op->deadline_at = db_clock_us(c->api->db) + timeout_min * 60 * 1000000;
    if (kind == OP_ROTATE_CA) /* waiting for the clients is no part of the work */
        op->deadline_at += c->api->cfg->certificates_rotation_grace_s * 1000000;
    return oom ? err_nomem(e) : 0;
}

void operation_wake(struct api_call *c, const char *method, const char *operation_id)
{
    if (!operation_id)
        return;
    log_context_add(&(struct log_context){.operation = operation_id});
    follow_operation(c->api->follow, operation_id);
    if (!c->api->rpc)
        return;
    _cleanup_json_ json_t *params = json_pack("{s:s}", "operation", operation_id);
    if (params) /* without memory the conductors' own look at due times finds it */
        rpc_client_notify(c->api->rpc, method, params, strcmp(method, "op.cancel") == 0);
}

int operation_accept(struct api_call *c, const struct cluster *cl, enum op_kind kind, bool rollback,
                     const struct db_change *ch, struct idempotency *idem, struct err *e)
{
    struct operation op;
    struct idempotency none = {.db = {.key = NULL}};
    int64_t timeout = kind == OP_DELETE ? c->api->cfg->conductor_delete_timeout_min
                      : cl->create_timeout == MODEL_UNSET ? 0
                                                          : cl->create_timeout;
    operation_init(&op);
    int rc = operation_prepare(c, kind, cl, timeout, &op, e);
    op.rollback = rollback;
    if (rc == 0 && kind == OP_DELETE)
        rc = query_bool(&c->query, "force", &op.force, e);
    if (rc == 0 && op.force)
        rc = enforce(c, "cluster:force_delete", cl->project_id, cl->user_id, e);
    if (rc == 0 && ch->nodegroup) {
        bool oom = false;
        op.nodegroup_id = copy(ch->nodegroup, &oom);
        rc = oom ? err_nomem(e) : 0;
    }
    if (rc == 0 && c->plan) {
        none.db.dry_run = true;
        rc = db_accept_change(c->api->db, cl->uuid, &op, ch, &none.db, e);
        if (rc == 0)
            rc = plan_note(c, &op, e);
    } else if (rc == 0) {
        rc = operation_seal_token(c, kind, &op, e);
        if (rc == 0)
            rc = db_accept_change(c->api->db, cl->uuid, &op, ch, idem ? &idem->db : &none.db, e);
        if (rc == 0) {
            log_context_add(&(struct log_context){.cluster = cl->uuid});
            operation_wake(c, "op.due", op.id);
        }
    }
    operation_done(&op);
    return rc;
}

int conductor_said(struct api_call *c, int rc, struct err *e)
{
    static const char nobody[] = "no conductor can be reached";
    c->show_5xx = rc < 0;
    if (rc != ERR_UNAVAILABLE || !str_starts(e->msg, nobody))
        return rc;
    log_warn("api.no_conductor", "%s", e->msg);
    return err_set(e, rc, "%s", nobody);
}

int conductor_call(struct api_call *c, const char *method, const json_t *params, json_t **ret,
                   struct err *e)
{
    c->show_5xx = true;
    if (!params)
        return err_nomem(e);
    if (!c->api->rpc)
        return err_set(e, ERR_UNAVAILABLE, "No conductor can be asked at the moment.");
    admit_outside();
    int rc = rpc_client_call(c->api->rpc, method, params, c->api->cfg->api_rpc_timeout_ms, ret, e);
    admit_inside();
    return conductor_said(c, rc, e);
}
