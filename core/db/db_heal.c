/* See db_heal.h. */
#include "db/db_heal.h"

#include "model/codes.h"
#include "op_internal.h"

int db_heal_note(struct db *db, const char *cluster_uuid, const json_t *sick, bool masters,
                 int64_t gap_s, int64_t window_s, json_t **ret, struct err *e)
{
    /* what this statement changes is read from RETURNING: the tables still show the state before */
    static const struct sql_stmt note = {
        "heal_note",
        "WITH listed AS (SELECT DISTINCT ON (i.node) i.node, i.reason, g.uuid AS nodegroup_id,"
        " g.node_count, g.role = 'master' AS master FROM json_to_recordset($2::json) AS i(node "
        "text, nodegroup text,"
        " reason text) JOIN nodegroup g ON g.cluster_id = $1 AND g.uuid = i.nodegroup"
        " AND ($5::boolean OR g.role <> 'master') WHERE i.node <> '' ORDER BY i.node),"
        " well AS (DELETE FROM sick_node s WHERE s.cluster_id = $1"
        " AND NOT EXISTS (SELECT FROM listed l WHERE l.node = s.node)),"
        " kept AS (INSERT INTO sick_node AS s (cluster_id, node, nodegroup_id, reason)"
        " SELECT $1, node, nodegroup_id, reason FROM listed"
        " WHERE EXISTS (SELECT FROM cluster c WHERE c.uuid = $1)"
        " ON CONFLICT (cluster_id, node) DO UPDATE SET nodegroup_id = excluded.nodegroup_id,"
        " reason = excluded.reason, seen_at = now(), since = CASE WHEN"
        " s.seen_at < now() - $3::bigint * interval '1 second' THEN now() ELSE s.since END"
        " RETURNING s.*)"
        " SELECT json_build_object('status', c.status,"
        " 'busy', EXISTS (SELECT FROM operation o WHERE o.cluster_id = $1"
        " AND o.finished_at IS NULL),"
        " 'quiet_s', (SELECT floor(extract(epoch FROM now() - max(o.finished_at)))::bigint"
        " FROM operation o WHERE o.cluster_id = $1),"
        " 'workers', (SELECT coalesce(sum(g.node_count), 0) FROM nodegroup g"
        " WHERE g.cluster_id = $1 AND g.role <> 'master'),"
        " 'masters', (SELECT coalesce(sum(g.node_count), 0) FROM nodegroup g"
        " WHERE g.cluster_id = $1 AND g.role = 'master'),"
        " 'replaced', (SELECT count(*) FROM healing h WHERE h.cluster_id = $1"
        " AND h.created_at >= now() - $4::bigint * interval '1 second'),"
        " 'sick', (SELECT coalesce(json_agg(json_build_object('node', k.node,"
        " 'nodegroup', k.nodegroup_id, 'master', l.master, 'node_count', l.node_count,"
        " 'reason', k.reason,"
        " 'age_s', floor(extract(epoch FROM now() - k.since))::bigint)"
        " ORDER BY k.since, k.node), '[]') FROM kept k JOIN listed l ON l.node = k.node))"
        " FROM cluster c WHERE c.uuid = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    param_json(&p, sick);
    param_int(&p, gap_s);
    param_int(&p, window_s);
    param_bool(&p, masters);
    int rc = sql_write(db, &note, &p, &r, e);
    if (rc)
        return rc;
    if (PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Cluster %s could not be found.", cluster_uuid);
    return row_json(r, 0, 0, ret, e);
}

int db_heal_count(struct db *db, const char *cluster_uuid, const json_t *nodes,
                  const char *operation_id, int64_t window_s, struct err *e)
{
    static const struct sql_stmt count = {
        "heal_count", "WITH old AS (DELETE FROM healing WHERE cluster_id = $1"
                      " AND created_at < now() - $4::bigint * interval '1 second')"
                      " INSERT INTO healing (cluster_id, node, operation_id, reason)"
                      " SELECT $1, i.node, $3, i.reason FROM json_to_recordset($2::json)"
                      " AS i(node text, reason text)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, cluster_uuid);
    param_json(&p, nodes);
    param_str(&p, operation_id);
    param_int(&p, window_s);
    return sql_write(db, &count, &p, NULL, e);
}

int db_heal_tell(struct db *db, const char *operation_id, const char *message, struct err *e)
{
    static const struct sql_stmt tell = {
        "heal_tell", "INSERT INTO operation_event (operation_id, cluster_id, project_id, code,"
                     " percent, request_id, message) SELECT id, cluster_id, project_id, $2,"
                     " percent, request_id, $3 FROM operation WHERE id = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, operation_id);
    param_str(&p, event_text(EVENT_HEALING));
    param_str(&p, message);
    return sql_write(db, &tell, &p, NULL, e);
}
