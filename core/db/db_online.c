/* See db_online.h. */
#include "db/db_online.h"

#include "certificate_internal.h"
#include "driver_internal.h"

/* Revision 2: certificates of clusters that were made before have no rows of their own yet; the
 * conductors' sweep would add them (db_certificate_adopt). */
#define UNLISTED                                                                                   \
    " FROM cluster c WHERE c.status NOT LIKE 'DELETE%'"                                            \
    " AND coalesce(c.ca_cert_ref, '') || coalesce(c.etcd_ca_cert_ref, '') ||"                      \
    " coalesce(c.front_proxy_ca_cert_ref, '') || coalesce(c.magnum_cert_ref, '') <> ''"            \
    " AND" NO_CERTIFICATES

/* Revision 3: clusters that were made before belong to no version of their driver; their next
 * operation would give them the current one. Those with an operation in work are left to it: it may
 * have begun with another version. */
#define VERSIONS                                                                                   \
    "WITH v AS (SELECT DISTINCT ON (d.id) d.id, d.version FROM driver_copy d"                      \
    " JOIN magnum_service m ON m.instance = d.instance"                                            \
    " LEFT JOIN driver_enablement n ON n.id = d.id ORDER BY d.id, " CURRENT_FIRST ")"
#define UNVERSIONED "c.driver_id IS NOT NULL AND c.driver_version IS NULL"
#define AT_REST                                                                                    \
    " NOT EXISTS (SELECT FROM operation o WHERE o.cluster_id = c.uuid AND o.finished_at IS NULL)"

/* clang-format off: SQL */
const struct db_online db_online[] = {
    {"list_certificates", "rows for certificates of clusters made before revision 2",
     "SELECT count(*), 0::bigint" UNLISTED,
     "WITH these AS (SELECT c.*" UNLISTED " ORDER BY c.id LIMIT $1::bigint FOR UPDATE OF c),"
     " made AS (" ADOPT_CERTIFICATES("these", "") ") SELECT count(*) FROM these",
     NULL},
    {"driver_versions", "the version of its driver for clusters made before revision 3",
     VERSIONS " SELECT count(v.id) FILTER (WHERE" AT_REST
              "), count(*) - count(v.id) FILTER (WHERE" AT_REST
              ") FROM cluster c LEFT JOIN v ON v.id = c.driver_id WHERE " UNVERSIONED,
     VERSIONS
     ", these AS (SELECT c.uuid, v.version FROM cluster c JOIN v ON v.id = c.driver_id"
     " WHERE " UNVERSIONED " AND" AT_REST " ORDER BY c.id LIMIT $1::bigint FOR UPDATE OF c),"
     " done AS (UPDATE cluster c SET driver_version = s.version FROM these s WHERE c.uuid = s.uuid"
     " AND c.driver_version IS NULL RETURNING 1) SELECT count(*) FROM done",
     "a conductor that has the driver, or the end of the operation in work"},
};
/* clang-format on */
const size_t db_online_n = ARRAY_LEN(db_online);

int db_online_count(struct db *db, const struct db_online *m, int64_t *ret_needed,
                    int64_t *ret_waiting, struct err *e)
{
    const struct sql_stmt count = {NULL, m->count};
    _cleanup_result_ PGresult *r = NULL;
    int rc = sql_read(db, &count, NULL, &r, e);
    if (!rc) {
        *ret_needed = row_int(r, 0, 0, 0);
        *ret_waiting = row_int(r, 0, 1, 0);
    }
    return rc;
}

int db_online_run(struct db *db, const struct db_online *m, int64_t batch, int64_t *ret,
                  struct err *e)
{
    const struct sql_stmt run = {NULL, m->run};
    _cleanup_tx_ struct sql_tx tx = SQL_TX_INIT;
    _cleanup_params_ struct sql_params p = {.n = 0};
    _cleanup_result_ PGresult *r = NULL;
    param_int(&p, batch);
    int rc = driver_decide(db, &tx, e); /* a version that is given away must not leave meanwhile */
    if (!rc)
        rc = tx_run(&tx, &run, &p, &r, e);
    if (!rc)
        rc = tx_commit(&tx, e);
    if (!rc)
        *ret = row_int(r, 0, 0, 0);
    return rc;
}
