/* See db_rotation.h. Phases change only along NONE -> NEW -> OLD -> NONE, or back from NEW; a
 * statement that finds another phase changes nothing and says so. */
#include "db/db_rotation.h"

#include "op_internal.h"

#include <string.h>

#define LIVE "WITH g AS (SELECT o.id, o.cluster_id FROM operation o WHERE " LEASE_ALIVE

void rotation_done(struct rotation *r)
{
    free(r->operation_id);
    free(r->other.ca);
    free(r->other.client);
    free(r->other.etcd);
    free(r->other.front_proxy);
    free(r->given_up);
    *r = (struct rotation){.grace_until = TIME_UNSET};
}

static enum rotation_phase phase_of(const char *text)
{
    if (text && strcmp(text, "new") == 0)
        return ROTATION_NEW;
    return text && strcmp(text, "old") == 0 ? ROTATION_OLD : ROTATION_NONE;
}

static int copy(char **to, const PGresult *r, int col, struct err *e)
{
    const char *text = row_str(r, 0, col);
    *to = str_dup(text);
    return text && !*to ? err_nomem(e) : 0;
}

int db_rotation_get(struct db *db, const char *cluster_uuid, struct rotation *ret, struct err *e)
{
    static const struct sql_stmt get = {
        "rotation_get", "SELECT phase, serial, other_serial, grace_until, operation_id,"
                        " other_ca_ref, other_client_ref, other_etcd_ref, other_front_proxy_ref,"
                        " given_up FROM cluster_rotation WHERE cluster_id = $1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    struct rotation x = {.serial = 1, .other_serial = MODEL_UNSET, .grace_until = TIME_UNSET};
    param_str(&p, cluster_uuid);
    int rc = sql_read(db, &get, &p, &r, e);
    if (rc == 0 && PQntuples(r) == 1) {
        char **const texts[] = {&x.operation_id, &x.other.ca,          &x.other.client,
                                &x.other.etcd,   &x.other.front_proxy, &x.given_up};
        x.phase = phase_of(row_str(r, 0, 0));
        x.serial = row_int(r, 0, 1, 1);
        x.other_serial = row_int(r, 0, 2, MODEL_UNSET);
        x.grace_until = row_time(r, 0, 3);
        for (size_t i = 0; rc == 0 && i < ARRAY_LEN(texts); i++)
            rc = copy(texts[i], r, 4 + (int)i, e);
    }
    if (rc)
        rotation_done(&x);
    else
        *ret = x;
    return rc;
}

/* The statement counted what it changed; none: the lease is lost, or the phase is another one. */
static int changed(struct db *db, const struct op_guard *g, const struct sql_stmt *s,
                   const struct sql_params *p, struct err *e)
{
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_write(db, s, p, &r, e);
    return rc ? rc : guarded(r, g, e);
}

int db_rotation_begin(struct db *db, const struct op_guard *g, int64_t serial,
                      const struct rotation_refs *refs, struct err *e)
{
    static const struct sql_stmt begin = {
        "rotation_begin",
        LIVE " AND o.superseded_by IS NULL),"
             " u AS (INSERT INTO cluster_rotation AS r (cluster_id, phase, operation_id,"
             " other_serial, other_ca_ref, other_client_ref, other_etcd_ref,"
             " other_front_proxy_ref) SELECT cluster_id, 'new', id, $4::bigint, $5, $6, $7, $8"
             " FROM g ON CONFLICT (cluster_id) DO UPDATE SET phase = 'new',"
             " operation_id = excluded.operation_id, other_serial = excluded.other_serial,"
             " other_ca_ref = excluded.other_ca_ref, other_client_ref = excluded.other_client_ref,"
             " other_etcd_ref = excluded.other_etcd_ref,"
             " other_front_proxy_ref = excluded.other_front_proxy_ref, updated_at = now()"
             " WHERE r.phase = 'none' OR r.operation_id = excluded.operation_id RETURNING 1)"
             " SELECT count(*) FROM u"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    guard_params(&p, g);
    param_int(&p, serial);
    param_str(&p, refs->ca);
    param_str(&p, refs->client);
    param_str(&p, refs->etcd);
    param_str(&p, refs->front_proxy);
    return changed(db, g, &begin, &p, e);
}

int db_rotation_switch(struct db *db, const struct op_guard *g, int64_t grace_ms, struct err *e)
{
    /* both updates see the rows as they were before the statement: they change places */
    static const struct sql_stmt swap = {
        "rotation_switch",
        LIVE " AND o.superseded_by IS NULL),"
             " b AS (SELECT r.*, c.ca_cert_ref AS ca, c.magnum_cert_ref AS client,"
             " c.etcd_ca_cert_ref AS etcd, c.front_proxy_ca_cert_ref AS front_proxy"
             " FROM g, cluster_rotation r, cluster c WHERE r.cluster_id = g.cluster_id"
             " AND c.uuid = g.cluster_id AND r.phase = 'new' AND r.operation_id = g.id"
             " FOR UPDATE),"
             " c AS (UPDATE cluster t SET ca_cert_ref = b.other_ca_ref,"
             " magnum_cert_ref = b.other_client_ref, etcd_ca_cert_ref = b.other_etcd_ref,"
             " front_proxy_ca_cert_ref = b.other_front_proxy_ref, updated_at = now() FROM b"
             " WHERE t.uuid = b.cluster_id),"
             " u AS (UPDATE cluster_rotation t SET phase = 'old', serial = b.other_serial,"
             " other_serial = b.serial, other_ca_ref = b.ca, other_client_ref = b.client,"
             " other_etcd_ref = b.etcd, other_front_proxy_ref = b.front_proxy,"
             " grace_until = now() + $4::bigint * interval '1 millisecond', updated_at = now()"
             " FROM b WHERE t.cluster_id = b.cluster_id RETURNING 1)"
             " SELECT count(*) FROM u"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    guard_params(&p, g);
    param_int(&p, grace_ms);
    return changed(db, g, &swap, &p, e);
}

#define ONE_CA                                                                                     \
    " phase = 'none', operation_id = NULL, other_ca_ref = NULL,"                                   \
    " other_client_ref = NULL, other_etcd_ref = NULL, other_front_proxy_ref = NULL,"               \
    " grace_until = NULL, updated_at = now()"

int db_rotation_end(struct db *db, const struct op_guard *g, struct err *e)
{
    static const struct sql_stmt end = {
        "rotation_end", LIVE "), u AS (UPDATE cluster_rotation r SET given_up = NULL,"
                             " other_serial = NULL," ONE_CA
                             " FROM g WHERE r.cluster_id = g.cluster_id AND r.phase = 'old'"
                             " RETURNING 1) SELECT count(*) FROM u"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    guard_params(&p, g);
    return changed(db, g, &end, &p, e);
}

int db_rotation_give_up(struct db *db, const char *cluster_uuid, const char *operation_id,
                        const char *given_up, struct err *e)
{
    static const struct sql_stmt back = {
        "rotation_give_up", "UPDATE cluster_rotation SET given_up = $3," ONE_CA
                            " WHERE cluster_id = $1 AND operation_id = $2 AND phase = 'new'"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, cluster_uuid);
    param_str(&p, operation_id);
    param_str(&p, given_up);
    return sql_write(db, &back, &p, NULL, e);
}

int db_rotation_forget(struct db *db, const char *cluster_uuid, int64_t other_serial, struct err *e)
{
    static const struct sql_stmt forget = {
        "rotation_forget", "UPDATE cluster_rotation SET other_serial = NULL WHERE cluster_id = $1"
                           " AND other_serial = $2::bigint AND phase = 'none'"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, cluster_uuid);
    param_int(&p, other_serial);
    return sql_write(db, &forget, &p, NULL, e);
}
