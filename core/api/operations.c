/* Operations: what was accepted, how far it is, what happened on the way. Ours, beside the v1 API
 * of Magnum: /v1/operations[/{id}[/events|/cancel]], /v1/clusters/{id}/operations. The rights are
 * those of the cluster. See api_internal.h. */
#include "api/api_internal.h"
#include "api/views.h"
#include "base/parse.h"
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
        str_printf(&next, "%s/v1/%s?limit=%lld&marker=%s", c->base, path, (long long)p->limit,
                   l->v[l->n - 1].id);
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
    int rc = enforce_self(c, "operation:get_all", e);
    if (rc == 0)
        rc = scope_all(c, "operation:get_all_all_projects", &scope, e);
    if (rc == 0)
        rc = page_read(c, false, &p, e);
    if (rc == 0)
        rc = db_operation_list(c->api->db, &scope, NULL, &p.db, &l, e);
    if (rc == 0)
        rc = write_list(c, &p, &l, "operations", e);
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
        rc = db_operation_list(c->api->db, &scope, uuid, &p.db, &l, e);
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

static int get(struct api_call *c, const char *rule, const char *all_rule, struct operation *op,
               struct err *e)
{
    struct db_scope scope;
    int rc = scope_all(c, all_rule, &scope, e);
    if (rc == 0)
        rc = db_operation_get(c->api->db, &scope, c->arg[0], op, e);
    if (rc == 0)
        rc = enforce(c, rule, op->project_id, op->user_id, e);
    return rc;
}

int api_operation_show(struct api_call *c, struct err *e)
{
    struct operation op;
    operation_init(&op);
    int rc = get(c, "operation:get", "operation:get_one_all_projects", &op, e);
    if (rc == 0) {
        view_operation(c, &op);
        rc = answer(c, 200, e);
    }
    operation_done(&op);
    return rc;
}

int api_operation_events(struct api_call *c, struct err *e)
{
    struct operation_event_list l = {NULL, 0};
    struct operation op;
    int64_t after = 0, most = c->api->cfg->api_max_limit, limit = most;
    operation_init(&op);
    int rc = query_int(&c->query, "after", 0, &after, e);
    if (rc == 0)
        rc = query_int(&c->query, "limit", most, &limit, e);
    if (rc == 0 && limit <= 0)
        rc = err_set(e, ERR_INVALID, "Limit must be positive");
    if (rc == 0)
        rc = get(c, "operation:get", "operation:get_one_all_projects", &op, e);
    if (rc == 0)
        rc = db_operation_events(c->api->db, op.id, after, limit < most ? limit : most, &l, e);
    if (rc == 0) {
        str_append(&c->rp->body, "{\"events\":[");
        for (size_t i = 0; i < l.n; i++)
            view_operation_event(c, &l.v[i]);
        str_append(&c->rp->body, "]}");
        rc = answer(c, 200, e);
    }
    operation_event_list_done(&l);
    operation_done(&op);
    return rc;
}

int api_operation_cancel(struct api_call *c, struct err *e)
{
    struct operation op;
    operation_init(&op);
    int rc = get(c, "operation:cancel", "operation:cancel_all_projects", &op, e);
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
