/* Operations: what was accepted and how far it is. Ours, beside the v1 API of Magnum:
 * /v1/operations[/{id}[/cancel|/retry]], /v1/clusters/{id}/operations; events.c has what happened
 * on the way. See api_internal.h. */
#include "api/api_internal.h"
#include "api/views.h"
#include "base/trace.h"
#include "base/uuid.h"
#include "db/db_cluster.h"
#include "db/db_operation.h"

#include <string.h>

static int write_list(struct api_call *c, const struct page *p, const struct operation_list *l,
                      const char *path, struct err *e)
{
    str_append(&c->rp->body, "{\"operations\":[");
    for (size_t i = 0; i < l->n; i++)
        view_operation(c, &l->v[i]);
    str_append_c(&c->rp->body, ']');
    if (l->n > 0 && (int64_t)l->n == p->limit) {
        _cleanup_str_ struct str next = STR_INIT;
        str_printf(&next, "%s/v1/%s%climit=%lld&marker=%s", c->base, path,
                   strchr(path, '?') ? '&' : '?', (long long)p->limit, l->v[l->n - 1].id);
        jw_str(&c->rp->body, "next", str_text(&next));
    }
    str_append_c(&c->rp->body, '}');
    return answer(c, 200, e);
}

int api_operation_list(struct api_call *c, struct err *e)
{
    struct operation_list l = {NULL, 0};
    struct db_scope scope;
    struct page p;
    bool open = false;
    int rc = enforce_self(c, "operation:get_all", e);
    if (rc == 0)
        rc = scope_all(c, "operation:get_all_all_projects", &scope, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc == 0)
        rc = query_bool(&c->query, "open", &open, e);
    if (rc == 0 && open)
        rc = db_operation_list_open(db_for_lists(c->api->db), &scope, &p.db, &l, e);
    else if (rc == 0)
        rc = db_operation_list(db_for_lists(c->api->db), &scope, NULL, &p.db, &l, e);
    if (rc == 0)
        rc = write_list(c, &p, &l, open ? "operations?open=true" : "operations", e);
    operation_list_done(&l);
    return rc;
}

/* A cluster that is gone has left its operations behind: they are found by its uuid. */
int api_cluster_operations(struct api_call *c, struct err *e)
{
    struct operation_list l = {NULL, 0};
    struct db_scope scope;
    struct page p;
    struct cluster cl;
    struct err gone = ERR_INIT;
    char uuid[UUID_TEXT] = "", path[96];
    cluster_init(&cl);
    int rc = enforce_self(c, "operation:get_all", e);
    if (rc == 0)
        rc = scope_all(c, "operation:get_all_all_projects", &scope, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc < 0)
        return rc;
    int found = db_cluster_get(c->api->db, &scope, c->arg[0], &cl, &gone);
    if (found == 0)
        snprintf(uuid, sizeof uuid, "%s", cl.uuid);
    if (found == 0 || (found == ERR_NOT_FOUND && uuid_like(c->arg[0], uuid)))
        rc = db_operation_list(db_for_lists(c->api->db), &scope, uuid, &p.db, &l, e);
    if (rc == 0 && found < 0 && l.n == 0)
        rc = err_set(e, found, "%s", gone.msg);
    if (rc == 0) {
        snprintf(path, sizeof path, "clusters/%s/operations", uuid);
        rc = write_list(c, &p, &l, path, e);
    }
    operation_list_done(&l);
    cluster_done(&cl);
    return rc;
}

int operation_get(struct api_call *c, const char *rule, const char *all_rule, struct operation *op,
                  struct err *e)
{
    struct db_scope scope;
    int rc = scope_all(c, all_rule, &scope, e);
    if (rc == 0)
        rc = db_operation_show(c->api->db, &scope, c->arg[0], op, e);
    if (rc == 0)
        rc = enforce(c, rule, op->project_id, op->user_id, e);
    return rc;
}

int api_operation_show(struct api_call *c, struct err *e)
{
    struct operation op;
    operation_init(&op);
    int rc = operation_get(c, "operation:get", "operation:get_one_all_projects", &op, e);
    if (rc == 0) {
        view_operation(c, &op);
        rc = answer(c, 200, e);
    }
    operation_done(&op);
    return rc;
}

int api_operation_cancel(struct api_call *c, struct err *e)
{
    struct operation op;
    operation_init(&op);
    int rc = operation_get(c, "operation:cancel", "operation:cancel_all_projects", &op, e);
    if (rc == 0)
        rc = db_accept_cancel(c->api->db, op.id, c->who.user_id ? c->who.user_id : "user", e);
    if (rc == 0) {
        operation_wake(c, "op.cancel", op.id);
        str_append_c(&c->rp->body, '{');
        jw_str(&c->rp->body, "id", op.id);
        str_append_c(&c->rp->body, '}');
        rc = answer(c, 202, e);
    }
    operation_done(&op);
    return rc;
}

/* A blocked operation goes on at once; a failed one is repeated by a new operation, which is then
 * the one that is answered. */
int api_operation_retry(struct api_call *c, struct err *e)
{
    const char *actor = c->who.user_id ? c->who.user_id : "user";
    const struct config *cfg = c->api->cfg;
    struct operation op;
    operation_init(&op);
    int rc = operation_get(c, "operation:retry", "operation:retry_all_projects", &op, e);
    if (rc == 0) {
        bool deletes = str_eq(op.kind, op_kind_name(OP_DELETE)), oom = false;
        int64_t minutes =
            deletes ? cfg->conductor_delete_timeout_min : cfg->conductor_default_timeout_min;
        op.deadline_at = db_clock_us(c->api->db) + minutes * 60 * 1000000;
        free(op.request_id);
        op.request_id = copy(c->who.request_id, &oom);
        free(op.traceparent);
        op.traceparent = trace_store(&oom);
        free(op.user_id);
        op.user_id = copy(c->who.user_id, &oom);
        rc = oom ? err_nomem(e) : db_accept_retry(c->api->db, &op, actor, e);
    }
    if (rc == 0) {
        operation_wake(c, "op.due", op.id);
        view_operation(c, &op);
        rc = answer(c, 202, e);
    }
    operation_done(&op);
    return rc;
}
