/* The observation queue of db_operation.h: which clusters' health is looked at, by whom, when. */
#include "cluster_internal.h"
#include "op_internal.h"

/* The states conductor.md 8.2 names. */
#define OBSERVABLE                                                                                 \
    "('CREATE_IN_PROGRESS', 'CREATE_FAILED', 'CREATE_COMPLETE', 'UPDATE_IN_PROGRESS',"             \
    " 'UPDATE_COMPLETE', 'UPDATE_FAILED', 'DELETE_IN_PROGRESS', 'DELETE_FAILED',"                  \
    " 'ROLLBACK_IN_PROGRESS')"

int db_observe_lease(struct db *db, const char *owner, size_t max, int64_t lease_ms,
                     const struct strv *drivers, struct cluster_list *ret, struct err *e)
{
    static const struct sql_stmt lease = {
        "observe_lease",
        "WITH due AS (SELECT ob.cluster_id FROM observation ob"
        " JOIN cluster x ON x.uuid = ob.cluster_id WHERE ob.due_at <= now()"
        " AND (ob.lease_until IS NULL OR ob.lease_until <= now()) AND x.status IN " OBSERVABLE
        " AND ($4::text[] IS NULL OR coalesce(x.driver_id, '') = ''"
        " OR coalesce(x.driver_id || '@' || x.driver_version, x.driver_id) = ANY ($4::text[])"
        " OR x.driver_id || '@*' = ANY ($4::text[]))"
        " ORDER BY ob.due_at LIMIT $3::bigint FOR UPDATE OF ob SKIP LOCKED),"
        " leased AS (UPDATE observation ob SET lease_owner = $1,"
        " lease_until = now() + $2::bigint * interval '1 millisecond'"
        " FROM due WHERE ob.cluster_id = due.cluster_id RETURNING ob.cluster_id)"
        " SELECT {c.cluster}, " CLUSTER_DERIVED
        " FROM cluster c WHERE c.uuid IN (SELECT cluster_id FROM leased)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, owner);
    param_int(&p, lease_ms);
    param_int(&p, (int64_t)max);
    drivers_param(&p, drivers);
    int rc = sql_write(db, &lease, &p, &r, e);
    return rc ? rc : cluster_read_list(r, 0, ret, e);
}

/* Cluster first, then the observation: the order of db_op_finish. updated_at moves only when the
 * health does; health_at says when it was true. */
static const struct sql_stmt store = {
    "observe_store",
    "WITH c AS (SELECT uuid FROM cluster WHERE uuid = $1 FOR UPDATE),"
    " ob AS (UPDATE observation o SET lease_owner = NULL, lease_until = NULL,"
    " due_at = now() + $5::bigint * interval '1 millisecond' FROM c"
    " WHERE o.cluster_id = c.uuid AND o.lease_owner = $2 AND o.lease_until > clock_timestamp()"
    " RETURNING o.cluster_id),"
    " u AS (UPDATE cluster x SET health_status = coalesce($3::text, x.health_status),"
    " health_status_reason = coalesce($4::json, x.health_status_reason),"
    " health_at = CASE WHEN $6::boolean THEN now() ELSE x.health_at END,"
    " updated_at = CASE WHEN (x.health_status, x.health_status_reason::text) IS DISTINCT FROM"
    " (coalesce($3::text, x.health_status), coalesce($4::json, x.health_status_reason)::text)"
    " THEN now() ELSE x.updated_at END"
    " FROM ob WHERE x.uuid = ob.cluster_id AND ($3::text IS NOT NULL OR $4::json IS NOT NULL))"
    " SELECT count(*) FROM ob"};

int db_observe_store(struct db *db, const char *owner, const char *cluster_uuid,
                     const char *health_status, const json_t *reason, const json_t *outputs,
                     bool was_read, int64_t next_in_ms, struct err *e)
{
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    param_str(&p, owner);
    param_str(&p, health_status);
    param_json(&p, reason);
    param_int(&p, next_in_ms);
    param_bool(&p, was_read);
    if (json_object_size(outputs) == 0)
        return sql_write(db, &store, &p, NULL, e);
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    int rc = tx_begin(db, &tx, e);
    if (!rc)
        rc = tx_run(&tx, &store, &p, &r, e);
    if (!rc && row_int(r, 0, 0, 0))
        rc = outputs_store(&tx, cluster_uuid, NULL, true, outputs, e);
    return rc ? rc : tx_commit(&tx, e);
}

int db_observe_decay(struct db *db, int64_t stale_s, int64_t batch, int64_t *ret_n, struct err *e)
{
    static const struct sql_stmt decay = {
        "observe_decay",
        "WITH old AS (SELECT c.uuid FROM observation ob JOIN cluster c ON c.uuid = ob.cluster_id"
        " WHERE ob.due_at < now() - $1::bigint * interval '1 second'"
        " AND (ob.lease_until IS NULL OR ob.lease_until <= now())"
        " AND c.health_status <> 'UNKNOWN' AND c.status IN " OBSERVABLE
        " ORDER BY ob.due_at LIMIT $2::bigint FOR UPDATE OF c SKIP LOCKED),"
        " u AS (UPDATE cluster c SET health_status = 'UNKNOWN', updated_at = now(),"
        " health_status_reason = json_build_object('health', 'no conductor looks at it',"
        " 'last_read', floor(extract(epoch FROM now() - c.health_at)) || ' s ago')"
        " FROM old WHERE c.uuid = old.uuid RETURNING 1) SELECT count(*) FROM u"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, stale_s);
    param_int(&p, batch);
    int rc = sql_write(db, &decay, &p, &r, e);
    if (!rc)
        *ret_n = row_int(r, 0, 0, 0);
    return rc;
}
