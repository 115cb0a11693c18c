/* /v1/quotas (api.md 12). See api_internal.h. */
#include "api/api_internal.h"
#include "api/quota_sizes.h"
#include "api/views.h"
#include "db/db_service.h"

#include <string.h>

int api_quota_list(struct api_call *c, struct err *e)
{
    struct quota_list l = {NULL, 0};
    struct page p;
    bool all = false;
    char last[24] = "";
    int rc = enforce_self(c, "quota:get_all", e);
    if (rc == 0)
        rc = query_bool(&c->query, "all_tenants", &all, e);
    if (rc == 0)
        rc = page_read(c, true, &p, e);
    if (rc == 0)
        rc = db_quota_list(c->api->db,
                           all                 ? NULL
                           : c->who.project_id ? c->who.project_id
                                               : "",
                           &p.db, &l, e);
    if (rc == 0) {
        str_append(&c->rp->body, "{\"quotas\":[");
        for (size_t i = 0; i < l.n; i++)
            view_quota(c, &l.v[i]);
        if (l.n)
            snprintf(last, sizeof last, "%lld", (long long)l.v[l.n - 1].id);
        page_close(c, &p, "quotas", l.n, last);
        rc = answer(c, 200, e);
    }
    quota_list_done(&l);
    return rc;
}

/* The row, or what counts without one. */
static int get_or_default(struct api_call *c, const char *project, const char *resource,
                          struct quota *q, struct err *e)
{
    struct err missing = ERR_INIT;
    bool oom = false;
    int rc = db_quota_get(c->api->db, project, resource, q, &missing);
    if (rc != ERR_NOT_FOUND)
        return rc < 0 ? err_set(e, rc, "%s", missing.msg) : 0;
    enum quota_resource r = quota_resource_parse(resource);
    struct quota_limits limits;
    quota_limits_of(c->api->cfg, &limits);
    q->project_id = copy(project, &oom);
    q->resource = copy(r < QUOTA_RESOURCES ? resource : "Cluster", &oom);
    q->hard_limit =
        r < QUOTA_RESOURCES ? limits.most[r] : c->api->cfg->quotas_max_clusters_per_project;
    return oom ? err_nomem(e) : 0;
}

static int show(struct api_call *c, int status, const struct quota *q, struct err *e)
{
    view_quota(c, q);
    return answer(c, status, e);
}

int api_quota_show(struct api_call *c, struct err *e)
{
    struct quota q;
    quota_init(&q);
    int rc = enforce_self(c, "quota:get", e);
    if (rc == 0 && !c->who.is_admin && !str_eq(c->arg[0], c->who.project_id))
        rc = err_set(e, ERR_FORBIDDEN, "Not authorized.");
    if (rc == 0)
        rc = get_or_default(c, c->arg[0], c->arg[1], &q, e);
    if (rc == 0)
        rc = show(c, 200, &q, e);
    quota_done(&q);
    return rc;
}

int api_quota_create(struct api_call *c, struct err *e)
{
    struct quota q;
    bool oom = false;
    quota_init(&q);
    int rc = enforce_self(c, "quota:create", e);
    if (rc == 0 && !jsonx_str(c->body, "project_id"))
        rc = err_set(e, ERR_INVALID, "Must provide a valid project ID.");
    if (rc == 0)
        rc = auth_check_project(c->api->auth, jsonx_str(c->body, "project_id"), e);
    if (rc == 0) {
        q.project_id = copy(jsonx_str(c->body, "project_id"), &oom);
        q.resource = copy(jsonx_str(c->body, "resource"), &oom);
        q.hard_limit = jsonx_int(c->body, "hard_limit", 1);
        rc = oom ? err_nomem(e) : db_quota_insert(c->api->db, &q, e);
    }
    if (rc == 0)
        rc = show(c, 201, &q, e);
    quota_done(&q);
    return rc;
}

int api_quota_update(struct api_call *c, struct err *e)
{
    struct quota q;
    bool oom = false;
    quota_init(&q);
    int rc = enforce_self(c, "quota:update", e);
    if (rc == 0) {
        q.project_id = copy(c->arg[0], &oom);
        q.resource = copy(c->arg[1], &oom);
        q.hard_limit = jsonx_int(c->body, "hard_limit", 1);
        rc = oom ? err_nomem(e) : db_quota_update(c->api->db, &q, e);
    }
    if (rc == 0)
        rc = show(c, 202, &q, e);
    quota_done(&q);
    return rc;
}

int api_quota_delete(struct api_call *c, struct err *e)
{
    int rc = enforce_self(c, "quota:delete", e);
    if (rc == 0)
        rc = db_quota_delete(c->api->db, c->arg[0], c->arg[1], e);
    return rc < 0 ? rc : answer_nothing(c);
}

/* ---- usage: not one of Magnum's own documents ---- */
static void show_use(struct api_call *c, const char *resource, int64_t most, int64_t used)
{
    struct str *o = &c->rp->body;
    jw_next(o);
    str_append_c(o, '{');
    jw_str(o, "resource", resource);
    jw_int(o, "hard_limit", most);
    jw_int(o, "in_use", used);
    str_append_c(o, '}');
}

int api_quota_usage(struct api_call *c, struct err *e)
{
    const char *project = c->n_args ? c->arg[0] : c->who.project_id ? c->who.project_id : "";
    int64_t most = 0, clusters = 0;
    struct quota_use use;
    int rc = enforce_self(c, "quota:get", e);
    if (rc == 0 && !c->who.is_admin && !str_eq(project, c->who.project_id))
        rc = err_set(e, ERR_FORBIDDEN, "Not authorized.");
    if (rc == 0)
        rc = db_quota_clusters(c->api->db, project, c->api->cfg->quotas_max_clusters_per_project,
                               &most, &clusters, e);
    if (rc == 0)
        rc = db_quota_use(c->api->db, project, &use, e);
    if (rc < 0)
        return rc;
    str_append_c(&c->rp->body, '{');
    jw_str(&c->rp->body, "project_id", project);
    str_append(&c->rp->body, ",\"quota_usage\":[");
    show_use(c, "Cluster", most, clusters);
    for (size_t i = 0; i < QUOTA_RESOURCES; i++)
        show_use(c, quota_resource_name((enum quota_resource)i), use.most[i], use.used[i]);
    str_append(&c->rp->body, "]}");
    return answer(c, 200, e);
}
