/* See quota_internal.h. Usage is never stored: it is the sum over the nodegroups and clusters that
 * are there. A failed or deleted cluster gives back by its rows going away, and a refused change by
 * its size being put back, in the transactions that do it. */
#include "quota_internal.h"

#include <string.h>

enum { COL_MOST, COL_USED, COL_MINE };

void db_quota_defaults(struct db *db, const struct quota_limits *l)
{
    db_limits_set(db, l);
}

void quota_guard_done(struct quota_guard *g)
{
    param_done(&g->lock_p);
    param_done(&g->sum_p);
    result_free(&g->lock);
    result_free(&g->sum);
}

static bool any(struct db *db)
{
    const struct quota_limits l = db_limits_of(db);
    for (size_t i = 0; i < QUOTA_RESOURCES; i++)
        if (l.most[i] >= 0)
            return true;
    return false;
}

int quota_queue_lock(struct sql_tx *tx, struct quota_guard *g, const char *project, struct err *e)
{
    static const struct sql_stmt lock = {
        "quota_guard_lock", "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 7882))"
                            " WHERE $1::text IS NOT NULL AND ($2::boolean OR EXISTS (SELECT FROM"
                            " quotas WHERE project_id = $1 AND resource <> 'Cluster'))"};
    param_str(&g->lock_p, project);
    param_bool(&g->lock_p, any(tx->db));
    return tx_queue(tx, &lock, &g->lock_p, &g->lock, e);
}

/* The sums are taken only where something is limited, or usage is asked for. */
#define SUMS(of)                                                                                   \
    "SELECT coalesce(sum(n.node_count) FILTER (WHERE n.role = 'master'), 0) AS masters,"           \
    " coalesce(sum(n.node_count) FILTER (WHERE n.role <> 'master'), 0) AS nodes,"                  \
    " coalesce(sum(n.node_count * n.vcpus), 0) AS vcpus,"                                          \
    " coalesce(sum(n.node_count * n.ram_mb), 0) AS ram,"                                           \
    " coalesce(sum(n.node_count * n.volume_gb), 0) AS volumes,"                                    \
    " (SELECT count(*) FROM cluster c WHERE c.master_lb_enabled AND c." of ") AS balancers"        \
    " FROM nodegroup n WHERE n."
#define LIMITS                                                                                     \
    "lim AS (SELECT d.resource, d.place, coalesce(q.hard_limit, d.most) AS most"                   \
    " FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS d(resource, most, place)"           \
    " LEFT JOIN quotas q ON q.project_id = $1 AND q.resource = d.resource)"

static void limits_params(struct sql_params *p, struct db *db)
{
    const struct quota_limits l = db_limits_of(db);
    const char *names[QUOTA_RESOURCES], *most[QUOTA_RESOURCES];
    char texts[QUOTA_RESOURCES][24];
    for (size_t i = 0; i < QUOTA_RESOURCES; i++) {
        names[i] = quota_resource_name((enum quota_resource)i);
        snprintf(texts[i], sizeof texts[i], "%lld", (long long)l.most[i]);
        most[i] = texts[i];
    }
    param_list(p, names, QUOTA_RESOURCES);
    param_list(p, most, QUOTA_RESOURCES);
}

int quota_queue_sum(struct sql_tx *tx, struct quota_guard *g, const char *project,
                    const char *cluster_uuid, struct err *e)
{
    static const struct sql_stmt sum = {
        "quota_guard_sum",
        "WITH " LIMITS ", need AS MATERIALIZED (SELECT FROM lim WHERE most >= 0 LIMIT 1),"
        " a AS MATERIALIZED (SELECT s.* FROM need, LATERAL (" SUMS(
            "project_id = $1") "project_id = $1) s),"
                               " m AS MATERIALIZED (SELECT s.* FROM need, LATERAL (" SUMS(
                                   "uuid = $4") "cluster_id = $4) s)"
                                                " SELECT lim.most,"
                                                " (ARRAY[a.masters, a.nodes, a.vcpus, a.ram, "
                                                "a.volumes, a.balancers])[lim.place]::bigint,"
                                                " (ARRAY[m.masters, m.nodes, m.vcpus, m.ram, "
                                                "m.volumes, m.balancers])[lim.place]::bigint"
                                                " FROM lim, a, m ORDER BY lim.place"};
    param_str(&g->sum_p, project);
    limits_params(&g->sum_p, tx->db);
    param_str(&g->sum_p, cluster_uuid);
    return tx_queue(tx, &sum, &g->sum_p, &g->sum, e);
}

static bool counted(const struct quota_guard *g)
{
    return g && g->sum && PQntuples(g->sum) == QUOTA_RESOURCES;
}

int quota_judge(const struct quota_guard *g, const struct quota_guard *before, struct err *e)
{
    for (int i = 0; counted(g) && i < QUOTA_RESOURCES; i++) {
        enum quota_resource r = (enum quota_resource)i;
        int64_t most = row_int(g->sum, i, COL_MOST, -1), used = row_int(g->sum, i, COL_USED, 0);
        int64_t had = counted(before) ? row_int(before->sum, i, COL_MINE, 0) : 0;
        int64_t more = row_int(g->sum, i, COL_MINE, 0) - had;
        if (most < 0 || used <= most || more <= 0)
            continue;
        return err_set(e, ERR_QUOTA,
                       "Resource limit exceeded: the request needs %lld%s more of %s, and %lld of "
                       "the project's %lld are in use.",
                       (long long)more, quota_resource_unit(r), quota_resource_name(r),
                       (long long)(used - more), (long long)most);
    }
    return 0;
}

int quota_before(struct sql_tx *tx, struct quota_guard *g, const char *project,
                 const char *cluster_uuid, struct err *e)
{
    int rc = quota_queue_lock(tx, g, project, e);
    if (!rc)
        rc = tx_flush(tx, NULL, e);
    if (rc || PQntuples(g->lock) == 0)
        return rc;
    rc = quota_queue_sum(tx, g, project, cluster_uuid, e);
    return rc ? rc : tx_flush(tx, NULL, e);
}

int quota_after(struct sql_tx *tx, const struct quota_guard *before, const char *project,
                const char *cluster_uuid, struct err *e)
{
    _cleanup_quota_ struct quota_guard g = {.lock = NULL};
    if (!before->lock || PQntuples(before->lock) == 0)
        return 0;
    int rc = quota_queue_sum(tx, &g, project, cluster_uuid, e);
    if (!rc)
        rc = tx_flush(tx, NULL, e);
    return rc ? rc : quota_judge(&g, before, e);
}

int db_quota_use(struct db *db, const char *project_id, struct quota_use *ret, struct err *e)
{
    static const struct sql_stmt use = {
        "quota_use",
        "WITH " LIMITS ", a AS MATERIALIZED (" SUMS(
            "project_id = $1") "project_id = $1)"
                               " SELECT lim.most, (ARRAY[a.masters, a.nodes, a.vcpus, a.ram, "
                               "a.volumes, a.balancers])[lim.place]::bigint"
                               " FROM lim, a ORDER BY lim.place"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, project_id);
    limits_params(&p, db);
    int rc = sql_read(db, &use, &p, &r, e);
    for (int i = 0; rc == 0 && i < QUOTA_RESOURCES && i < PQntuples(r); i++) {
        ret->most[i] = row_int(r, i, COL_MOST, -1);
        ret->used[i] = row_int(r, i, COL_USED, 0);
    }
    return rc;
}
