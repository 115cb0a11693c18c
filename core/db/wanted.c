/* See wanted_internal.h. */
#include "wanted_internal.h"

#include "db/db_operation.h"
#include "model/spec.h"

#include <string.h>

static int read_groups(struct sql_tx *tx, const struct sql_params *p, struct nodegroup_list *ret,
                       struct err *e)
{
    static const struct sql_stmt groups = {
        "wanted_groups",
        "SELECT {n.nodegroup} FROM nodegroup n WHERE n.cluster_id = $1 ORDER BY n.id"};
    _cleanup_result_ PGresult *r = NULL;
    int rc = tx_run(tx, &groups, p, &r, e);
    return rc ? rc : ROW_LIST(nodegroup, r, ret, e);
}

/* spec_build wants the groups side by side: the wanted ones are moved to the front, shallowly. */
static json_t *build(const struct cluster *c, const struct template *t,
                     const struct nodegroup_list *l, bool all, const json_t *params)
{
    struct nodegroup *v = calloc(l->n ? l->n : 1, sizeof *v);
    if (!v)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (all || !str_eq(l->v[i].status, "DELETE_IN_PROGRESS"))
            v[n++] = l->v[i];
    json_t *spec = spec_build(c, t, v, n, params);
    free(v);
    return spec;
}

int wanted_spec(struct sql_tx *tx, const char *cluster_uuid, enum op_kind kind,
                const json_t *params, json_t **ret, struct err *e)
{
    static const struct sql_stmt rows = {
        "wanted_rows", "SELECT {c.cluster}, {t.template} FROM cluster c LEFT JOIN cluster_template"
                       " t ON t.uuid = c.cluster_template_id WHERE c.uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    int rc = tx_run(tx, &rows, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Cluster %s could not be found.", cluster_uuid);
    struct cluster c;
    struct template t;
    struct nodegroup_list groups = {NULL, 0};
    cluster_init(&c);
    template_init(&t);
    rc = row_read(r, 0, 0, &row_cluster, &c, e);
    if (!rc)
        rc = row_read(r, 0, row_cluster.n, &row_template, &t, e);
    if (!rc)
        rc = read_groups(tx, &p, &groups, e);
    if (!rc) {
        *ret = build(&c, t.uuid ? &t : NULL, &groups, kind == OP_DELETE, params);
        rc = *ret ? 0 : err_nomem(e);
    }
    cluster_done(&c);
    template_done(&t);
    nodegroup_list_done(&groups);
    return rc;
}

int wanted_prior(struct sql_tx *tx, const char *cluster_uuid, json_t **ret, struct err *e)
{
    static const struct sql_stmt last = {
        "wanted_prior", "SELECT spec FROM operation WHERE cluster_id = $1 AND status = 'SUCCEEDED'"
                        " ORDER BY generation DESC LIMIT 1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    int rc = tx_run(tx, &last, &p, &r, e);
    if (rc || PQntuples(r) == 0)
        return rc;
    return row_json(r, 0, 0, ret, e);
}

int db_cluster_spec(struct db *db, const char *cluster_uuid, json_t **ret, struct err *e)
{
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = tx_begin(db, &tx, e);
    return rc ? rc : wanted_spec(&tx, cluster_uuid, OP_HEALTH, NULL, ret, e);
}
