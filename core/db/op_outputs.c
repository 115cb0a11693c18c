/* See outputs_store in op_internal.h. */
#include "op_internal.h"

#include "base/log.h"

#include <string.h>

int op_lock_cluster(struct sql_tx *tx, const char *operation_id, char **ret_uuid, struct err *e)
{
    static const struct sql_stmt lock = {
        "op_lock_cluster", "SELECT c.uuid FROM cluster c WHERE c.uuid ="
                           " (SELECT o.cluster_id FROM operation o WHERE o.id = $1) FOR UPDATE"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, operation_id);
    int rc = tx_run(tx, &lock, &p, &r, e);
    if (rc)
        return rc;
    *ret_uuid = PQntuples(r) ? str_dup(row_str(r, 0, 0)) : NULL;
    return PQntuples(r) && !*ret_uuid ? err_nomem(e) : 0;
}

static bool is_text(const json_t *v)
{
    return json_is_string(v) || json_is_null(v);
}

static bool is_health(const json_t *v)
{
    const char *s = json_string_value(v);
    return s &&
           (strcmp(s, "HEALTHY") == 0 || strcmp(s, "UNHEALTHY") == 0 || strcmp(s, "UNKNOWN") == 0);
}

/* Whether this is a fact of the cluster or of a nodegroup, and of the right type. */
static bool accepted(const char *key, const json_t *v, bool *ret_group)
{
    static const char *const texts[] = {"api_address", "coe_version", "container_version",
                                        "stack_id", "discovery_url"};
    *ret_group = false;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (strcmp(key, texts[i]) == 0)
            return is_text(v);
    if (strcmp(key, "health_status") == 0)
        return is_health(v);
    if (strcmp(key, "health_status_reason") == 0)
        return json_is_object(v);
    *ret_group = true;
    if (!str_starts(key, "nodegroup/"))
        return false;
    if (str_ends(key, "/node_addresses"))
        return json_is_array(v);
    if (str_ends(key, "/stack_id"))
        return is_text(v);
    return str_ends(key, "/node_count") && json_is_integer(v) && json_integer_value(v) >= 0;
}

static int store_cluster(struct sql_tx *tx, const char *uuid, const json_t *facts, struct err *e)
{
    static const struct sql_stmt set = {
        "outputs_cluster",
        "UPDATE cluster c SET (api_address, coe_version, container_version, stack_id,"
        " discovery_url, health_status, health_status_reason, health_at, updated_at) ="
        " (n.api, n.coe, n.container, n.stack, n.discovery, n.health, n.reason,"
        " CASE WHEN $2::json->'health_status' IS NULL THEN n.health_at ELSE now() END, now())"
        " FROM (SELECT o.uuid, o.health_at,"
        " CASE WHEN j ? 'api_address' THEN j->>'api_address' ELSE o.api_address END AS api,"
        " CASE WHEN j ? 'coe_version' THEN j->>'coe_version' ELSE o.coe_version END AS coe,"
        " CASE WHEN j ? 'container_version' THEN j->>'container_version'"
        " ELSE o.container_version END AS container,"
        " CASE WHEN j ? 'stack_id' THEN j->>'stack_id' ELSE o.stack_id END AS stack,"
        " CASE WHEN j ? 'discovery_url' THEN j->>'discovery_url' ELSE o.discovery_url END"
        " AS discovery,"
        " coalesce(j->>'health_status', o.health_status) AS health,"
        " coalesce($2::json->'health_status_reason', o.health_status_reason) AS reason"
        " FROM cluster o, (SELECT $2::json::jsonb) AS q(j) WHERE o.uuid = $1) n"
        " WHERE c.uuid = n.uuid AND (c.api_address, c.coe_version, c.container_version,"
        " c.stack_id, c.discovery_url, c.health_status, c.health_status_reason::text)"
        " IS DISTINCT FROM"
        " (n.api, n.coe, n.container, n.stack, n.discovery, n.health, n.reason::text)"};
    /* the default groups belong to the cluster's own stack (data-model.md 3) */
    static const struct sql_stmt stack = {
        "outputs_stack", "UPDATE nodegroup SET stack_id = $2 WHERE cluster_id = $1 AND is_default"
                         " AND stack_id IS DISTINCT FROM $2"};
    _cleanup_params_ struct sql_params p = {.n = 0}, s = {.n = 0};
    param_str(&p, uuid);
    param_json(&p, facts);
    int rc = tx_run(tx, &set, &p, NULL, e);
    const char *stack_id = json_string_value(json_object_get(facts, "stack_id"));
    if (rc || !stack_id)
        return rc;
    param_str(&s, uuid);
    param_str(&s, stack_id);
    return tx_run(tx, &stack, &s, NULL, e);
}

static int store_groups(struct sql_tx *tx, const char *uuid, const char *operation,
                        const json_t *facts, struct err *e)
{
    static const struct sql_stmt set = {
        "outputs_groups",
        "UPDATE nodegroup g SET node_addresses = n.addresses, node_count = n.count,"
        " stack_id = n.stack, updated_at = now() FROM (SELECT o.id,"
        " coalesce($2::json->('nodegroup/' || o.uuid || '/node_addresses'), o.node_addresses)"
        " AS addresses,"
        " coalesce($2::json->>('nodegroup/' || o.uuid || '/stack_id'), o.stack_id) AS stack,"
        " CASE WHEN sizes THEN coalesce(($2::json->>('nodegroup/' || o.uuid ||"
        " '/node_count'))::bigint, o.node_count) ELSE o.node_count END"
        " AS count FROM nodegroup o, (SELECT NOT EXISTS (SELECT FROM operation q"
        " WHERE q.cluster_id = $1 AND q.finished_at IS NULL AND q.superseded_by IS NULL"
        " AND q.id IS DISTINCT FROM $3) AS sizes) may WHERE o.cluster_id = $1) n"
        " WHERE g.id = n.id AND (g.node_addresses::text, g.node_count, g.stack_id)"
        " IS DISTINCT FROM (n.addresses::text, n.count, n.stack)"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, uuid);
    param_json(&p, facts);
    param_str(&p, operation);
    return tx_run(tx, &set, &p, NULL, e);
}

int outputs_store(struct sql_tx *tx, const char *cluster_uuid, const char *operation_id, bool sizes,
                  const json_t *outputs, struct err *e)
{
    _cleanup_json_ json_t *cluster = json_object(), *groups = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)outputs, key, value)
    {
        bool group = false;
        if (!accepted(key, value, &group)) {
            log_debug("db.output", "%s: unknown key or wrong type, ignoring", key);
            continue;
        }
        if (!sizes && json_is_integer(value))
            continue;
        if (json_object_set(group ? groups : cluster, key, value))
            return err_nomem(e);
    }
    int rc = json_object_size(cluster) ? store_cluster(tx, cluster_uuid, cluster, e) : 0;
    if (!rc && json_object_size(groups))
        rc = store_groups(tx, cluster_uuid, operation_id, groups, e);
    return rc;
}
