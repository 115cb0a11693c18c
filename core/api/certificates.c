/* /v1/certificates and /v1/credentials (api.md 10, 11). The keys are the conductors' business:
 * this asks one of them. See api_internal.h. */
#include "api/api_internal.h"
#include "api/driver_cache.h"
#include "api/driver_select.h"
#include "db/db_cluster.h"
#include "db/db_template.h"

#include <string.h>

/* Which CA a request means: anything unknown is the cluster's own. */
static const char *ca_type(const char *asked)
{
    if (str_eq(asked, "etcd"))
        return "etcd";
    if (str_eq(asked, "front_proxy") || str_eq(asked, "front-proxy"))
        return "front-proxy";
    return "kubernetes";
}

/* Nodes log in as the cluster's trustee; during a rotation they get what their driver gets. */
static int asked_by_node(const struct api_call *c, const struct cluster *cl)
{
    return !str_blank(cl->trustee_user_id) && str_eq(cl->trustee_user_id, c->who.user_id);
}

/* The cluster's own nodes need certificates to be nodes: the rules of 15.0.1 let their user in, and
 * those of later ones, made without it, do not keep it out. */
static int allowed(const struct api_call *c, const char *rule, const struct cluster *cl,
                   struct err *e)
{
    const struct auth_target target = {cl->project_id, cl->user_id, cl->trustee_user_id};
    if (asked_by_node(c, cl) && strcmp(rule, "certificate:rotate_ca") != 0)
        return 0;
    return auth_enforce_on(c->api->auth, &c->who, rule, &target, e);
}

/* A trustee has a token of no project, and sees the one cluster that it is the trustee of. */
static int get_cluster(struct api_call *c, const char *ident, struct cluster *cl, struct err *e)
{
    static const struct db_scope everywhere = {.all_projects = true, .admin = true};
    const struct db_scope own = scope_own(c);
    struct err unknown = ERR_INIT;
    struct cluster any;
    int rc = db_cluster_get(c->api->db, &own, ident, cl, &unknown);
    if (rc == ERR_NOT_FOUND && c->who.user_id && !c->who.project_id) {
        struct err ignored = ERR_INIT;
        cluster_init(&any);
        if (db_cluster_get(c->api->db, &everywhere, ident, &any, &ignored) == 0 &&
            asked_by_node(c, &any)) {
            cluster_done(cl);
            *cl = any;
            return 0;
        }
        cluster_done(&any);
    }
    return rc ? err_set(e, rc, "%s", unknown.msg) : 0;
}

static int find(struct api_call *c, const char *ident, const char *rule, struct cluster *cl,
                struct err *e)
{
    int rc = get_cluster(c, ident, cl, e);
    if (rc == 0)
        rc = allowed(c, rule, cl, e);
    return rc;
}

static void view(struct api_call *c, const struct cluster *cl, const char *csr, const char *pem,
                 const char *type)
{
    struct str *o = &c->rp->body;
    _cleanup_free_ char *bare = str_dup(pem);
    size_t n = bare ? strlen(bare) : 0;
    o->oom |= pem && !bare;
    while (n && (bare[n - 1] == '\n' || bare[n - 1] == '\r'))
        bare[--n] = '\0';
    str_append_c(o, '{');
    if (api_zed(c))
        jw_str(o, "bay_uuid", cl->uuid);
    jw_str(o, "cluster_uuid", cl->uuid);
    jw_links(o, c, "certificates", cl->uuid);
    if (csr)
        jw_str(o, "csr", csr);
    jw_str(o, "pem", bare);
    if (type)
        jw_str(o, "ca_cert_type", type);
    str_append_c(o, '}');
}

int api_certificate_show(struct api_call *c, struct err *e)
{
    _cleanup_json_ json_t *params = NULL, *result = NULL;
    struct cluster cl;
    cluster_init(&cl);
    const char *type = c->n_args > 1 ? c->arg[1] : query_get(&c->query, "ca_cert_type");
    int rc = find(c, c->arg[0], "certificate:get", &cl, e);
    if (rc == 0) {
        params = json_pack("{s:s, s:s, s:b}", "cluster", cl.uuid, "type", ca_type(type), "node",
                           asked_by_node(c, &cl));
        rc = conductor_call(c, "cert.ca", params, &result, e);
    }
    if (rc == 0) {
        view(c, &cl, NULL, jsonx_str(result, "pem"), NULL);
        rc = answer(c, 200, e);
    }
    cluster_done(&cl);
    return rc;
}

/* The cluster is looked up before the other attributes are checked; unknown is 400 here. */
static int find_named(struct api_call *c, struct cluster *cl, struct err *e)
{
    const json_t *ident = json_object_get(c->body, "cluster_uuid");
    if (!ident && api_zed(c))
        ident = json_object_get(c->body, "bay_uuid");
    if (!ident || json_is_null(ident))
        return api_zed(c) ? err_set(e, ERR_NOT_FOUND, "Cluster Unset could not be found.")
                          : attrs_invalid(e, "cluster_uuid", NULL, "Mandatory field missing.");
    if (!json_is_string(ident))
        return attrs_invalid(e, "cluster_uuid", ident, "Value should be string");
    int rc = get_cluster(c, json_string_value(ident), cl, e);
    if (rc == ERR_NOT_FOUND)
        rc = e->code = ERR_INVALID;
    return rc;
}

static int sign(struct api_call *c, struct cluster *cl, struct err *e)
{
    _cleanup_json_ json_t *body = NULL, *params = NULL, *result = NULL;
    int rc = find_named(c, cl, e);
    if (rc == 0)
        rc = attrs_check(&attrs_certificate, api_zed(c), c->body, &body, e);
    if (rc == 0)
        rc = allowed(c, "certificate:create", cl, e);
    const char *csr = jsonx_str(body, "csr"), *type = jsonx_str(body, "ca_cert_type");
    if (rc == 0 && !csr)
        rc = attrs_invalid(e, "csr", NULL, "Mandatory field missing.");
    if (rc < 0)
        return rc;
    params = json_pack("{s:s, s:s, s:s, s:b}", "cluster", cl->uuid, "type", ca_type(type), "csr",
                       csr, "node", asked_by_node(c, cl));
    rc = conductor_call(c, "cert.sign", params, &result, e);
    if (rc < 0)
        return rc;
    view(c, cl, csr, jsonx_str(result, "pem"), type);
    return answer(c, 201, e);
}

int api_certificate_sign(struct api_call *c, struct err *e)
{
    struct cluster cl;
    cluster_init(&cl);
    int rc = sign(c, &cl, e);
    cluster_done(&cl);
    return rc;
}

/* Does the cluster's driver offer mag.coe.rotate/1? */
static int check_rotates(struct api_call *c, const struct cluster *cl, const char *refusal,
                         struct err *e)
{
    _cleanup_drivers_ struct driver_set *set = NULL;
    int rc = driver_cache_get(c->api->drivers, &set, e);
    if (rc < 0)
        return rc;
    const struct driver_row *d = cl->driver_id ? driver_find(&set->rows, cl->driver_id) : NULL;
    if (d && driver_offers(d, "mag.coe.rotate/1"))
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "%s", refusal);
}

static int check_tls(struct api_call *c, const struct cluster *cl, struct err *e)
{
    const struct db_scope everywhere = {.all_projects = true, .admin = true};
    struct template t;
    template_init(&t);
    int rc = db_template_get(c->api->db, &everywhere, cl->cluster_template_id, false, &t, e);
    if (rc == 0 && t.tls_disabled)
        rc = err_set(e, ERR_UNSUPPORTED,
                     "Rotating the CA certificate on a non-TLS cluster is not supported");
    template_done(&t);
    return rc;
}

int api_certificate_rotate(struct api_call *c, struct err *e)
{
    struct db_change ch = DB_CHANGE_INIT;
    struct cluster cl;
    cluster_init(&cl);
    int rc = find(c, c->arg[0], "certificate:rotate_ca", &cl, e);
    if (rc == 0)
        rc = check_tls(c, &cl, e);
    if (rc == 0)
        rc = check_rotates(c, &cl, "'rotate_ca_certificate' is not supported by this driver.", e);
    if (rc == 0)
        rc = operation_accept(c, &cl, OP_ROTATE_CA, false, &ch, NULL, e);
    if (rc == 0)
        rc = answer_uuid(c, 202, cl.uuid, e);
    cluster_done(&cl);
    return rc;
}

int api_credential_rotate(struct api_call *c, struct err *e)
{
    struct db_scope scope = scope_own(c);
    struct db_change ch = DB_CHANGE_INIT;
    struct cluster cl;
    cluster_init(&cl);
    int rc = enforce_self(c, "credential:rotate", e);
    if (rc == 0)
        rc = db_cluster_get(c->api->db, &scope, c->arg[0], &cl, e);
    if (rc == 0)
        rc = check_rotates(c, &cl, "Credential rotation is not supported by driver.", e);
    if (rc == 0)
        rc = operation_accept(c, &cl, OP_ROTATE_CREDENTIAL, false, &ch, NULL, e);
    if (rc == 0)
        rc = answer_uuid(c, 202, cl.uuid, e);
    cluster_done(&cl);
    return rc;
}
