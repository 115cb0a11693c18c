/* The inventory of certificate bundles: see db_certificate.h. */
#include "db/db_certificate.h"

#include "certificate_internal.h"
#include "op_internal.h"

#include <string.h>

/* $1..$4 after `first` parameters. */
static void key_params(struct sql_params *p, const struct cert_key *k)
{
    param_str(p, k->cluster_id);
    param_str(p, k->role);
    param_int(p, k->serial);
    param_str(p, k->manager);
}
#define KEY_IS(alias)                                                                              \
    alias ".cluster_id = $1::text AND " alias ".role = $2::text AND " alias                        \
          ".serial = $3::bigint AND " alias ".manager = $4::text"

static int declare_guarded(struct db *db, const struct op_guard *g, const struct cert_key *k,
                           const char *project_id, struct err *e)
{
    static const struct sql_stmt declare = {
        "certificate_declare_op",
        "WITH g AS (SELECT 1 FROM operation o WHERE " LEASE_ALIVE "),"
        " x AS (INSERT INTO certificate (cluster_id, role, serial, manager, project_id)"
        " SELECT $4::text, $5::text, $6::bigint, $7::text, $8::text FROM g"
        " ON CONFLICT (cluster_id, role, serial, manager) DO NOTHING) SELECT count(*) FROM g"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    guard_params(&p, g);
    key_params(&p, k);
    param_str(&p, project_id);
    int rc = sql_write(db, &declare, &p, &r, e);
    return rc ? rc : guarded(r, g, e);
}

int db_certificate_declare(struct db *db, const struct op_guard *g, const struct cert_key *k,
                           const char *project_id, struct err *e)
{
    static const struct sql_stmt declare = {
        "certificate_declare",
        "INSERT INTO certificate (cluster_id, role, serial, manager, project_id)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (cluster_id, role, serial, manager) DO NOTHING"};
    if (g)
        return declare_guarded(db, g, k, project_id, e);
    _cleanup_params_ struct sql_params p = {.n = 0};
    key_params(&p, k);
    param_str(&p, project_id);
    return sql_write(db, &declare, &p, NULL, e);
}

int db_certificate_confirm(struct db *db, const struct cert_key *k, const struct certificate *c,
                           struct err *e)
{
    static const struct sql_stmt confirm = {
        "certificate_confirm",
        "UPDATE certificate c SET ref = $5, subject = $6, fingerprint = $7, not_before = $8,"
        " not_after = $9, warned_s = CASE WHEN c.not_after IS DISTINCT FROM $9::timestamptz"
        " THEN NULL ELSE c.warned_s END, updated_at = now() WHERE " KEY_IS("c")};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    key_params(&p, k);
    param_str(&p, c->ref);
    param_str(&p, c->subject);
    param_str(&p, c->fingerprint);
    param_time(&p, c->not_before);
    param_time(&p, c->not_after);
    int rc = sql_write(db, &confirm, &p, &r, e);
    if (rc || sql_changed(r))
        return rc;
    return err_set(e, ERR_NOT_FOUND, "the certificate %s/%s/%lld is not wanted any more",
                   k->cluster_id, k->role, (long long)k->serial);
}

int db_certificate_drop(struct db *db, const struct cert_key *k, struct err *e)
{
    static const struct sql_stmt drop = {"certificate_drop",
                                         "DELETE FROM certificate c WHERE " KEY_IS("c")};
    _cleanup_params_ struct sql_params p = {.n = 0};
    key_params(&p, k);
    return sql_write(db, &drop, &p, NULL, e);
}

int db_certificate_touch(struct db *db, const struct cert_key *k, struct err *e)
{
    static const struct sql_stmt touch = {
        "certificate_touch", "UPDATE certificate c SET updated_at = now() WHERE " KEY_IS("c")};
    _cleanup_params_ struct sql_params p = {.n = 0};
    key_params(&p, k);
    return sql_write(db, &touch, &p, NULL, e);
}

int db_certificate_list(struct db *db, const char *cluster_uuid, struct certificate_list *ret,
                        struct err *e)
{
    static const struct sql_stmt list = {
        "certificate_list", "SELECT {c.certificate} FROM certificate c WHERE c.cluster_id = $1"
                            " ORDER BY c.id"};
    static const struct sql_stmt all = {"certificate_all",
                                        "SELECT {c.certificate} FROM certificate c ORDER BY c.id"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    if (cluster_uuid)
        param_str(&p, cluster_uuid);
    int rc = sql_read(db, cluster_uuid ? &list : &all, &p, &r, e);
    return rc ? rc : ROW_LIST(certificate, r, ret, e);
}

/* ---- the sweeper ---- */

int db_certificate_adopt(struct db *db, const char *cluster_uuid, struct err *e)
{
    static const struct sql_stmt adopt = {
        "certificate_adopt",
        ADOPT_CERTIFICATES("cluster", " AND CASE WHEN $1::text IS NULL"
                                      /* a delete under way has just taken them away */
                                      " THEN c.status NOT LIKE 'DELETE%' ELSE c.uuid = $1 END"
                                      " AND" NO_CERTIFICATES)};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_str(&p, cluster_uuid);
    return sql_write(db, &adopt, &p, NULL, e);
}

static int some(struct db *db, const struct sql_stmt *stmt, struct sql_params *p,
                struct certificate_list *ret, struct err *e)
{
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, stmt, p, &r, e);
    return rc ? rc : ROW_LIST(certificate, r, ret, e);
}

int db_certificate_orphans(struct db *db, int64_t min_age_s, size_t max,
                           struct certificate_list *ret, struct err *e)
{
    static const struct sql_stmt orphans = {
        "certificate_orphans",
        "SELECT {c.certificate} FROM certificate c WHERE coalesce(c.updated_at, c.created_at) <="
        " now() - $1::bigint * interval '1 second'"
        " AND NOT EXISTS (SELECT FROM cluster x WHERE x.uuid = c.cluster_id)"
        " ORDER BY c.id LIMIT $2::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_int(&p, min_age_s);
    param_int(&p, (int64_t)max);
    return some(db, &orphans, &p, ret, e);
}

int db_certificate_undated(struct db *db, size_t max, struct certificate_list *ret, struct err *e)
{
    static const struct sql_stmt undated = {
        "certificate_undated",
        "SELECT {c.certificate} FROM certificate c WHERE c.ref IS NOT NULL AND c.not_after IS NULL"
        " AND (c.updated_at IS NULL OR c.updated_at <= now() - interval '1 minute')"
        " ORDER BY c.id LIMIT $1::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    param_int(&p, (int64_t)max);
    return some(db, &undated, &p, ret, e);
}

/* Of several conductors that look at once the second waits for the row and then finds it warned. */
int db_certificate_warn(struct db *db, const int64_t *thresholds_s, size_t n, size_t max,
                        struct certificate_list *ret, struct err *e)
{
    static const struct sql_stmt warn = {
        "certificate_warn",
        "WITH due AS (SELECT c.id, min(t.s) AS s FROM certificate c"
        " JOIN unnest($1::text[]::bigint[]) AS t(s)"
        " ON c.not_after <= now() + t.s * interval '1 second'"
        " JOIN cluster k ON k.uuid = c.cluster_id WHERE c.ref IS NOT NULL"
        " GROUP BY c.id HAVING c.warned_s IS NULL OR c.warned_s > min(t.s)"
        " ORDER BY c.id LIMIT $2::bigint),"
        " u AS (UPDATE certificate c SET warned_s = due.s, updated_at = now() FROM due"
        " WHERE c.id = due.id AND (c.warned_s IS NULL OR c.warned_s > due.s) RETURNING c.*),"
        " ev AS (INSERT INTO operation_event (operation_id, cluster_id, project_id, code, actor,"
        " message, remedy) SELECT '', u.cluster_id, u.project_id, $3, 'user',"
        " 'The certificate ' || coalesce(u.subject, '') || ' (' || u.role || ') '"
        " || CASE WHEN u.not_after <= now() THEN 'expired on ' ELSE 'expires on ' END"
        " || to_char(u.not_after AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC.',"
        " 'rotate the certificates of the cluster: openstack coe ca rotate' FROM u)"
        " SELECT {u.certificate} FROM u"};
    char text[16][24];
    const char *list[16];
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    if (n > ARRAY_LEN(list))
        n = ARRAY_LEN(list);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(text[i], sizeof text[i], "%lld", (long long)thresholds_s[i]);
        list[i] = text[i];
    }
    param_list(&p, list, n);
    param_int(&p, (int64_t)max);
    param_str(&p, event_text(EVENT_CERTIFICATE_EXPIRES));
    int rc = sql_write(db, &warn, &p, &r, e);
    return rc ? rc : ROW_LIST(certificate, r, ret, e);
}

/* ---- the view ---- */

void certificate_view_list_done(struct certificate_view_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        certificate_done(&l->v[i].row);
        free(l->v[i].cluster_name);
    }
    free(l->v);
    *l = (struct certificate_view_list){0};
}

static int read_view(const PGresult *r, int row, struct certificate_view *v, struct err *e)
{
    int rc = row_read(r, row, 0, &row_certificate, &v->row, e);
    const char *name = row_str(r, row, row_certificate.n);
    v->in_use = row_bool(r, row, row_certificate.n + 1);
    v->cluster_name = str_dup(name);
    return rc == 0 && name && !v->cluster_name ? err_nomem(e) : rc;
}

int db_certificate_inventory(struct db *db, const struct db_scope *s, int64_t expiring_s,
                             int64_t after_id, int64_t limit, struct certificate_view_list *ret,
                             struct err *e)
{
    static const struct sql_stmt list = {
        "certificate_inventory",
        "SELECT {c.certificate}, k.name, k.uuid IS NOT NULL AND c.ref IN (k.ca_cert_ref,"
        " k.magnum_cert_ref, k.etcd_ca_cert_ref, k.front_proxy_ca_cert_ref)"
        " FROM certificate c LEFT JOIN cluster k ON k.uuid = c.cluster_id"
        " WHERE c.ref IS NOT NULL AND ($1::text IS NULL OR c.project_id = $1)"
        " AND ($2::bigint IS NULL OR c.not_after <= now() + $2 * interval '1 second')"
        " AND ($3::bigint = 0 OR (c.not_after, c.id) > (SELECT o.not_after, o.id"
        " FROM certificate o WHERE o.id = $3))"
        " ORDER BY c.not_after, c.id LIMIT $4::bigint"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, s->all_projects ? NULL : s->project_id ? s->project_id : "");
    param_int(&p, expiring_s);
    param_int(&p, after_id);
    param_int(&p, limit);
    int rc = sql_read(db, &list, &p, &r, e);
    if (rc)
        return rc;
    struct certificate_view_list l = {NULL, 0};
    size_t rows = (size_t)PQntuples(r);
    l.v = calloc(rows + 1, sizeof *l.v);
    if (!l.v)
        return err_nomem(e);
    for (; rc == 0 && l.n < rows; l.n++) {
        certificate_init(&l.v[l.n].row);
        rc = read_view(r, (int)l.n, &l.v[l.n], e);
    }
    if (rc) {
        certificate_view_list_done(&l);
        return rc;
    }
    certificate_view_list_done(ret);
    *ret = l;
    return 0;
}

/* ---- moving to another store ---- */

static int lock_idle_cluster(struct sql_tx *tx, const char *uuid, struct err *e)
{
    static const struct sql_stmt lock = {"certificate_lock",
                                         "SELECT 1 FROM cluster WHERE uuid = $1 FOR UPDATE"};
    static const struct sql_stmt busy = {
        "certificate_busy",
        "SELECT 1 FROM operation WHERE cluster_id = $1 AND finished_at IS NULL LIMIT 1"};
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL, *b = NULL;
    param_str(&p, uuid);
    int rc = tx_run(tx, &lock, &p, &r, e);
    if (rc == 0 && PQntuples(r) == 0)
        return err_set(e, ERR_NOT_FOUND, "Cluster %s could not be found.", uuid);
    if (rc == 0)
        rc = tx_run(tx, &busy, &p, &b, e);
    if (rc == 0 && PQntuples(b))
        return err_set(e, ERR_BUSY, "cluster %s has an unfinished operation", uuid);
    return rc;
}

int db_certificate_switch(struct db *db, const char *cluster_uuid, const char *from, const char *to,
                          struct err *e)
{
    static const struct sql_stmt set = {
        "certificate_switch",
        "WITH m AS (SELECT o.ref AS old, n.ref AS new FROM certificate o JOIN certificate n"
        " ON n.cluster_id = o.cluster_id AND n.role = o.role AND n.serial = o.serial"
        " AND n.manager = $3 AND n.ref IS NOT NULL WHERE o.cluster_id = $1 AND o.manager = $2),"
        " q AS (SELECT k.uuid,"
        " (SELECT m.new FROM m WHERE m.old = k.ca_cert_ref) AS ca,"
        " (SELECT m.new FROM m WHERE m.old = k.magnum_cert_ref) AS client,"
        " (SELECT m.new FROM m WHERE m.old = k.etcd_ca_cert_ref) AS etcd,"
        " (SELECT m.new FROM m WHERE m.old = k.front_proxy_ca_cert_ref) AS front"
        " FROM cluster k WHERE k.uuid = $1"
        " AND coalesce(nullif(k.cert_manager, ''), 'x509keypair') = $2)"
        " UPDATE cluster k SET cert_manager = $3, ca_cert_ref = q.ca, magnum_cert_ref = q.client,"
        " etcd_ca_cert_ref = q.etcd, front_proxy_ca_cert_ref = q.front FROM q"
        " WHERE k.uuid = q.uuid AND (q.ca IS NULL) = (k.ca_cert_ref IS NULL)"
        " AND (q.client IS NULL) = (k.magnum_cert_ref IS NULL)"
        " AND (q.etcd IS NULL) = (k.etcd_ca_cert_ref IS NULL)"
        " AND (q.front IS NULL) = (k.front_proxy_ca_cert_ref IS NULL)"};
    /* a rotation that could not be completed has a second bundle (db_rotation.h) */
    static const struct sql_stmt set_other = {
        "certificate_switch_other",
        "WITH m AS (SELECT o.ref AS old, n.ref AS new FROM certificate o JOIN certificate n"
        " ON n.cluster_id = o.cluster_id AND n.role = o.role AND n.serial = o.serial"
        " AND n.manager = $3 AND n.ref IS NOT NULL WHERE o.cluster_id = $1 AND o.manager = $2)"
        " UPDATE cluster_rotation t SET"
        " other_ca_ref = coalesce((SELECT new FROM m WHERE old = t.other_ca_ref), t.other_ca_ref),"
        " other_client_ref = coalesce((SELECT new FROM m WHERE old = t.other_client_ref),"
        " t.other_client_ref),"
        " other_etcd_ref = coalesce((SELECT new FROM m WHERE old = t.other_etcd_ref),"
        " t.other_etcd_ref),"
        " other_front_proxy_ref = coalesce((SELECT new FROM m WHERE old = t.other_front_proxy_ref),"
        " t.other_front_proxy_ref) WHERE t.cluster_id = $1"};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_str(&p, cluster_uuid);
    param_str(&p, from);
    param_str(&p, to);
    int rc = tx_begin(db, &tx, e);
    if (rc == 0)
        rc = lock_idle_cluster(&tx, cluster_uuid, e);
    if (rc == 0)
        rc = tx_run(&tx, &set_other, &p, NULL, e);
    if (rc == 0)
        rc = tx_run(&tx, &set, &p, &r, e);
    if (rc == 0 && sql_changed(r) == 0)
        return err_set(e, ERR_STALE,
                       "the certificates of cluster %s changed meanwhile, or not all were copied",
                       cluster_uuid);
    return rc ? rc : tx_commit(&tx, e);
}
