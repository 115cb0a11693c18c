/* The certificates of a cluster: made in an early stage of a create, removed in a late one of a
 * delete, and read for drivers and API.
 *
 * The stages may be cut off and repeated anywhere: each bundle has a derived key, the first one
 * stored under it wins, and the client certificate is issued by the CA that is stored, not by the
 * one that was just made. Neighbours: cert_store.h. */
#include "base/log.h"
#include "conductor/cert_internal.h"
#include "db/db_cluster.h"

#include <string.h>

#define NO_KEY_FILE                                                                                \
    "certificates.key_file is not set: private keys of clusters are sealed with it; make one "     \
    "with "                                                                                        \
    "magnum-keygen --seal-key FILE"

static const struct db_scope all_rows = {.all_projects = true, .admin = true};

int cert_policy_load(struct conductor *c, struct err *e)
{
    const struct config *cfg = c->cfg;
    bool builtin = cert_builtin(cfg->certificates_cert_manager_type);
    if (builtin && str_blank(cfg->certificates_key_file))
        return err_set(e, ERR_CONFIG, NO_KEY_FILE);
    c->cert_policy =
        (struct cert_policy){.key_type = cfg->certificates_ca_key_type,
                             .days = cfg->certificates_term_of_validity_days,
                             .allow_ca = cfg->certificates_allow_ca,
                             .no_key_identifier = str_eq(cfg->api_compat, "zed"),
                             .allowed_extensions = &cfg->certificates_allowed_extensions,
                             .allowed_key_usage = &cfg->certificates_allowed_key_usage};
    int rc = cert_cache_new((size_t)cfg->certificates_cache_entries,
                            cfg->certificates_cache_s * 1000, &c->certs, e);
    if (rc == 0)
        rc = key_pool_new(cfg->certificates_ca_key_type, (size_t)cfg->certificates_key_pool,
                          &c->cert_policy.keys, e);
    if (rc || str_blank(cfg->certificates_key_file))
        return rc;
    struct seal_keys *keys = NULL;
    rc = seal_keys_load(cfg->certificates_key_file, &keys, e);
    (void)box_put(&c->seal, keys);
    return rc ? err_wrap(e, "certificates.key_file") : 0;
}

void cert_policy_done(struct conductor *c)
{
    key_pool_free(&c->cert_policy.keys);
    cert_cache_free(&c->certs);
    box_done(&c->seal);
}

/* ---- sealing ---- */
int cert_keys_read_again(struct conductor *c, const struct config *fresh, struct seal_keys **ret,
                         struct err *e)
{
    _cleanup_seal_keys_ struct seal_keys *used = box_get(&c->seal), *now = NULL;
    const char *path = c->cfg->certificates_key_file;
    bool all = true;
    *ret = NULL;
    if (!used || !str_eq(path, fresh->certificates_key_file))
        return 0;
    int rc = seal_keys_load(path, &now, e);
    if (rc)
        return err_wrap(e, "certificates.key_file");
    if (!seal_keys_succeed(now, used, &all))
        return err_set(e, ERR_CONFIG,
                       "certificates.key_file: %s has no longer the key in use, and nobody could "
                       "open what that has sealed: put it into a line below the new one",
                       path);
    if (!all)
        log_warn("certificates.key_file",
                 "%s has lost a former key: what only that one opens can't be read any more", path);
    *ret = TAKE_PTR(now);
    return 0;
}

int conductor_seal(struct conductor *c, const char *context, const void *data, size_t len,
                   char **ret, struct err *e)
{
    _cleanup_seal_keys_ struct seal_keys *keys = box_get(&c->seal);
    if (!keys)
        return err_set(e, ERR_CONFIG, NO_KEY_FILE);
    return seal_keys_seal(keys, context, data, len, ret, e);
}

int conductor_unseal(struct conductor *c, const char *context, const char *sealed,
                     struct secret *ret, struct err *e)
{
    _cleanup_seal_keys_ struct seal_keys *keys = box_get(&c->seal);
    if (!keys)
        return err_set(e, ERR_CONFIG, NO_KEY_FILE);
    return seal_keys_open(keys, context, sealed, ret, e);
}

/* ---- loading ---- */
static const char *reference(const struct cluster *c, const char *type)
{
    if (type && strcmp(type, "etcd") == 0)
        return c->etcd_ca_cert_ref;
    if (type && (strcmp(type, "front-proxy") == 0 || strcmp(type, "front_proxy") == 0))
        return c->front_proxy_ca_cert_ref;
    if (type && strcmp(type, "client") == 0)
        return c->magnum_cert_ref;
    return c->ca_cert_ref;
}

static int find_reference(const struct cluster *cluster, const char *type, const char **ret,
                          struct err *e)
{
    *ret = reference(cluster, type);
    return str_blank(*ret)
               ? err_set(e, ERR_NOT_FOUND, "Cluster %s has no certificates.", cluster->uuid)
               : 0;
}

int certs_load(struct conductor *c, const struct cluster *cluster, const char *type, bool with_key,
               struct cert_pair *ret, struct err *e)
{
    const char *ref = NULL;
    const struct cert_site s = cert_site_of(c, cluster, NULL);
    int rc = find_reference(cluster, type, &ref, e);
    return rc ? rc : cert_store_get(&s, ref, with_key, ret, e);
}

int certs_authority(struct conductor *c, const struct cluster *cluster, const char *type,
                    struct cert_authority *ret, struct err *e)
{
    const char *ref = NULL;
    const struct cert_site s = cert_site_of(c, cluster, NULL);
    int rc = find_reference(cluster, type, &ref, e);
    return rc ? rc : cert_authority_load(&s, ref, ret, e);
}

/* ---- the stages ---- */
struct references {
    char *ca, *client, *etcd, *front_proxy;
};

static int make_other_ca(const struct cert_site *s, const struct cluster *cl, const char *role,
                         char **ret_ref, struct err *e)
{
    struct cert_authority ca = {0};
    int rc = cert_make_ca(s, cl, role, CERT_FIRST_SERIAL, &ca, e);
    if (rc == 0)
        *ret_ref = TAKE_PTR(ca.ref);
    cert_authority_done(&ca);
    return rc;
}

static int make_all(const struct cert_site *s, const struct cluster *cl, struct references *refs,
                    struct err *e)
{
    struct cert_authority ca = {0};
    int rc = cert_make_ca(s, cl, CERT_ROLE_CA, CERT_FIRST_SERIAL, &ca, e);
    if (rc == 0)
        rc = make_other_ca(s, cl, CERT_ROLE_ETCD, &refs->etcd, e);
    if (rc == 0)
        rc = make_other_ca(s, cl, CERT_ROLE_FRONT_PROXY, &refs->front_proxy, e);
    if (rc == 0)
        rc = cert_make_client(s, &ca, CERT_FIRST_SERIAL, &refs->client, e);
    if (rc == 0)
        refs->ca = TAKE_PTR(ca.ref);
    cert_authority_done(&ca);
    return rc;
}

static int make(struct run *r, struct cluster *cl, struct err *e)
{
    struct conductor *c = r->c;
    struct references refs = {0};
    int rc = db_cluster_get(c->db, &all_rows, r->op.cluster_id, cl, e);
    if (rc)
        return rc;
    if (!str_blank(cl->ca_cert_ref) &&
        !str_blank(cl->magnum_cert_ref)) /* an earlier try got here */
        return 0;
    const struct cert_site s = cert_site_of(c, cl, r);
    /* first of all the cluster remembers where: the configuration may change before a repetition */
    if (str_blank(cl->cert_manager))
        rc = db_cluster_set_certs(c->db, &r->guard, s.manager, NULL, NULL, NULL, NULL, e);
    if (rc == 0)
        rc = make_all(&s, cl, &refs, e);
    if (rc == 0)
        rc = db_cluster_set_certs(c->db, &r->guard, s.manager, refs.ca, refs.client, refs.etcd,
                                  refs.front_proxy, e);
    free(refs.ca);
    free(refs.client);
    free(refs.etcd);
    free(refs.front_proxy);
    return rc;
}

int certs_stage(struct run *r, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = make(r, &cl, e);
    cluster_done(&cl);
    return rc ? err_wrap(e, "Failed to create certificates for Cluster: %s", r->op.cluster_id) : 0;
}

int certs_remove_stage(struct run *r, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = db_cluster_get(r->c->db, &all_rows, r->op.cluster_id, &cl, e);
    if (rc == 0) {
        const struct cert_site s = cert_site_of(r->c, &cl, r);
        rc = cert_store_delete_all(&s, e);
    }
    cluster_done(&cl);
    return rc ? err_wrap(e, "Failed to delete certificates of Cluster: %s", r->op.cluster_id) : 0;
}
