/* /v1/stats (api.md 13). See api_internal.h. */
#include "api/api_internal.h"
#include "db/db_cluster.h"

#include <strings.h>

int api_stats_show(struct api_call *c, struct err *e)
{
    const char *type = query_get(&c->query, "type"), *project = query_get(&c->query, "project_id");
    int64_t clusters = 0, nodes = 0;
    int rc = 0;
    if (str_blank(project))
        project = NULL;
    bool others = !c->who.is_admin && project && !str_eq(project, c->who.project_id);
    /* 15.0.1 lets everybody pass who has no project, too, and then looks at whose it is */
    if (!others || !api_zed(c))
        rc = enforce_self(c, "stats:get_all", e);
    if (rc == 0 && type && strcasecmp(type, "cluster") != 0)
        rc = err_set(e, ERR_INVALID, "Invalid stats type. Allowed values are 'cluster'");
    /* only an admin may leave the project out, which means all of them */
    if (!c->who.is_admin && !project)
        project = c->who.project_id ? c->who.project_id : "";
    if (rc == 0 && others)
        rc = err_set(e, ERR_FORBIDDEN, "Not authorized.");
    if (rc == 0)
        rc = db_cluster_stats(db_for_lists(c->api->db), project, &clusters, &nodes, e);
    if (rc < 0)
        return rc;
    str_append_c(&c->rp->body, '{');
    jw_int(&c->rp->body, "clusters", clusters);
    jw_int(&c->rp->body, "nodes", nodes);
    str_append_c(&c->rp->body, '}');
    return answer(c, 200, e);
}
