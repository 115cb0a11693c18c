/* The certificates of a cluster: made in the first stage of a create, and read for drivers and API.
 *
 * The stage may be cut off and repeated anywhere: each pair has a derived key, the first one stored
 * under it wins, and the client certificate is issued by the CA that is stored, not by the one that
 * was just made. Private keys are sealed before they leave this process; the context of the seal is
 * the row's uuid. Neighbours: certs (X.509), db_service.h (rows). */
#include "conductor/conductor_internal.h"
#include "db/db_cluster.h"
#include "db/db_service.h"

#include <string.h>

static const struct db_scope all_rows = {.all_projects = true, .admin = true};

int cert_policy_load(struct conductor *c, struct err *e)
{
    const struct config *cfg = c->cfg;
    if (!str_eq(cfg->certificates_cert_manager_type, "x509keypair"))
        return err_set(e, ERR_CONFIG,
                       "certificates.cert_manager_type is \"%s\": this build knows x509keypair",
                       cfg->certificates_cert_manager_type);
    if (str_blank(cfg->certificates_key_file))
        return err_set(e, ERR_CONFIG,
                       "certificates.key_file is not set: private keys of clusters are sealed with "
                       "it; make one with magnum-keygen --seal-key FILE");
    c->cert_policy =
        (struct cert_policy){.key_type = cfg->certificates_ca_key_type,
                             .days = cfg->certificates_term_of_validity_days,
                             .allow_ca = cfg->certificates_allow_ca,
                             .allowed_extensions = &cfg->certificates_allowed_extensions,
                             .allowed_key_usage = &cfg->certificates_allowed_key_usage};
    int rc = certs_key_load(cfg->certificates_key_file, &c->seal_key, e);
    return rc ? err_wrap(e, "certificates.key_file") : 0;
}

/* ---- storing and loading ---- */
static int unseal(struct conductor *c, const struct x509keypair *k, struct cert_pair *ret,
                  struct err *e)
{
    int rc =
        certs_unseal(&c->seal_key, k->uuid, k->private_key ? k->private_key : "", &ret->key_pem, e);
    return rc ? err_wrap(e, "private key %s", k->uuid) : 0;
}

/* Puts the pair under <cluster>/<role>/1. When one is there already, it becomes the pair. */
static int keep(struct conductor *c, const struct cluster *cl, const char *role,
                struct cert_pair *pair, char ret_ref[UUID_TEXT], struct err *e)
{
    struct x509keypair k;
    char uuid[UUID_TEXT];
    x509keypair_init(&k);
    uuid_make(uuid);
    k.uuid = str_dup(uuid);
    k.certificate = str_dup(pair->cert_pem);
    k.project_id = str_dup(cl->project_id);
    k.user_id = str_dup(cl->user_id);
    k.derived_key = str_fmt("%s/%s/1", cl->uuid, role);
    int rc = k.uuid && k.certificate && k.derived_key ? 0 : err_nomem(e);
    if (rc == 0)
        rc = certs_seal(&c->seal_key, uuid, pair->key_pem.data, pair->key_pem.len, &k.private_key,
                        e);
    if (rc == 0)
        rc = db_x509_put(c->db, &k, e);
    if (rc == 0)
        (void)snprintf(ret_ref, UUID_TEXT, "%s", k.uuid);
    if (rc == 0 && strcmp(uuid, k.uuid) != 0) {
        cert_pair_done(pair);
        pair->cert_pem = str_dup(k.certificate);
        rc = pair->cert_pem ? unseal(c, &k, pair, e) : err_nomem(e);
    }
    x509keypair_done(&k);
    return rc;
}

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

int certs_load(struct conductor *c, const struct cluster *cluster, const char *type, bool with_key,
               struct cert_pair *ret, struct err *e)
{
    const char *ref = reference(cluster, type);
    struct x509keypair k;
    if (str_blank(ref))
        return err_set(e, ERR_NOT_FOUND, "Cluster %s has no certificates.", cluster->uuid);
    x509keypair_init(&k);
    int rc = db_x509_get(c->db, ref, &k, e);
    if (rc == 0) {
        ret->cert_pem = str_dup(k.certificate);
        rc = ret->cert_pem ? 0 : err_nomem(e);
    }
    if (rc == 0 && with_key)
        rc = unseal(c, &k, ret, e);
    x509keypair_done(&k);
    return rc;
}

/* ---- the stage ---- */
struct references {
    char ca[UUID_TEXT], client[UUID_TEXT], etcd[UUID_TEXT], front_proxy[UUID_TEXT];
};

static int make_ca(struct conductor *c, const struct cluster *cl, const char *role,
                   struct cert_pair *ret, char ref[UUID_TEXT], struct err *e)
{
    int rc = certs_ca_make(str_blank(cl->name) ? cl->uuid : cl->name, &c->cert_policy, ret, e);
    return rc ? rc : keep(c, cl, role, ret, ref, e);
}

static int make_client(struct conductor *c, const struct cluster *cl, const struct cert_pair *ca,
                       char ref[UUID_TEXT], struct err *e)
{
    const struct cert_request rq = {.cn = "admin", .o = "system:masters", .client = true};
    struct cert_pair pair = {0};
    int rc = certs_issue(ca, &rq, &c->cert_policy, &pair, e);
    if (rc == 0)
        rc = keep(c, cl, "client", &pair, ref, e);
    cert_pair_done(&pair);
    return rc;
}

static int make_all(struct conductor *c, const struct cluster *cl, struct references *refs,
                    struct err *e)
{
    struct cert_pair ca = {0}, etcd = {0}, front_proxy = {0};
    int rc = make_ca(c, cl, "ca", &ca, refs->ca, e);
    if (rc == 0)
        rc = make_ca(c, cl, "etcd-ca", &etcd, refs->etcd, e);
    if (rc == 0)
        rc = make_ca(c, cl, "front-proxy-ca", &front_proxy, refs->front_proxy, e);
    if (rc == 0)
        rc = make_client(c, cl, &ca, refs->client, e);
    cert_pair_done(&ca);
    cert_pair_done(&etcd);
    cert_pair_done(&front_proxy);
    return rc;
}

static int stage(struct run *r, struct cluster *cl, struct err *e)
{
    struct conductor *c = r->c;
    struct references refs;
    int rc = db_cluster_get(c->db, &all_rows, r->op.cluster_id, cl, e);
    if (rc)
        return rc;
    if (!str_blank(cl->ca_cert_ref) &&
        !str_blank(cl->magnum_cert_ref)) /* an earlier try got here */
        return 0;
    rc = make_all(c, cl, &refs, e);
    if (rc)
        return rc;
    return db_cluster_set_certs(c->db, &r->guard, "x509keypair", refs.ca, refs.client, refs.etcd,
                                refs.front_proxy, e);
}

int certs_stage(struct run *r, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = stage(r, &cl, e);
    cluster_done(&cl);
    return rc ? err_wrap(e, "Failed to create certificates for Cluster: %s", r->op.cluster_id) : 0;
}
