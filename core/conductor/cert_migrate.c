/* Moving the certificates of one cluster to another manager: copied, read back and compared, then
 * the cluster refers to the copies, then the originals go away. May be cut off anywhere and
 * repeated; the cluster is never without its certificates. See cert_store.h. */
#include "conductor/cert_internal.h"

#include "db/db_cluster.h"
#include "drivers/front_cert.h"

#include <string.h>

static const struct db_scope all_rows = {.all_projects = true, .admin = true};

struct move {
    struct cert_site from, to;
    struct certificate_list rows;
    int64_t moved;
};

/* What an earlier, older migration left there is no copy of this. */
static int copy_is_good(const struct cert_site *to, const char *ref, const struct cert_pair *pair,
                        bool with_key, struct err *e)
{
    struct cert_pair there = {0};
    int rc = cert_store_get(to, ref, with_key, &there, e);
    if (rc == 0 && !cert_pair_equal(pair, &there))
        rc = err_set(e, ERR_CONFLICT, "another certificate lies in %s under the same key",
                     to->manager);
    cert_pair_done(&there);
    return rc;
}

static int copy(const struct move *m, const struct certificate *row, struct err *e)
{
    struct cert_pair pair = {0}, kept = {0};
    _cleanup_free_ char *ref = NULL;
    bool signs = false;
    int rc = cert_manager_signs(&m->to, &signs, e);
    if (rc == 0)
        rc = cert_store_get(&m->from, row->ref, true, &pair, e);
    if (rc == 0)
        rc = certs_pair_open(pair.cert_pem, pair.key_pem.data, NULL, &kept, e);
    if (rc == 0)
        rc = cert_store_put(&m->to, row->role, row->serial, &kept, &ref, e);
    if (rc == 0)
        rc = copy_is_good(&m->to, ref, &pair, !signs || str_eq(row->role, CERT_ROLE_CLIENT), e);
    cert_pair_done(&pair);
    cert_pair_done(&kept);
    return rc ? err_wrap(e, "%s of cluster %s", row->role, row->cluster_id) : 0;
}

static bool lies_in(const struct certificate *row, const char *manager)
{
    return row->ref && str_eq(row->manager, manager);
}

static int copy_all(struct move *m, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->rows.n; i++)
        if (lies_in(&m->rows.v[i], m->from.manager)) {
            rc = copy(m, &m->rows.v[i], e);
            m->moved += rc == 0;
        }
    return rc;
}

static int delete_old(const struct move *m, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->rows.n; i++)
        if (str_eq(m->rows.v[i].manager, m->from.manager))
            rc = cert_store_delete_in(&m->from, m->rows.v[i].role, m->rows.v[i].serial, e);
    return rc;
}

static int move(struct conductor *c, const struct cluster *cl, const char *from, const char *to,
                int64_t *ret, struct err *e)
{
    const char *now = str_blank(cl->cert_manager) ? "x509keypair" : cl->cert_manager;
    struct move m = {.from = cert_site_of(c, cl, NULL), .to = cert_site_of(c, cl, NULL)};
    m.from.manager = from;
    m.to.manager = to;
    if (!str_eq(now, from) && !str_eq(now, to))
        return err_set(e, ERR_CONFLICT, "the certificates of cluster %s are kept by %s", cl->uuid,
                       now);
    int rc = db_certificate_adopt(c->db, cl->uuid, e);
    if (rc == 0)
        rc = db_certificate_list(c->db, cl->uuid, &m.rows, e);
    if (rc == 0 && str_eq(now, from))
        rc = copy_all(&m, e);
    if (rc == 0 && str_eq(now, from))
        rc = db_certificate_switch(c->db, cl->uuid, from, to, e);
    if (rc == 0)
        rc = delete_old(&m, e);
    *ret = m.moved;
    certificate_list_done(&m.rows);
    return rc;
}

int certs_migrate(struct conductor *c, const char *cluster, const char *from, const char *to,
                  int64_t *ret_moved, struct err *e)
{
    struct cluster cl;
    if (str_eq(from, to))
        return err_set(e, ERR_INVALID, "the certificates are to stay where they are");
    cluster_init(&cl);
    int rc = db_cluster_get(c->db, &all_rows, cluster, &cl, e);
    if (rc == 0)
        rc = move(c, &cl, from, to, ret_moved, e);
    cluster_done(&cl);
    return rc;
}
