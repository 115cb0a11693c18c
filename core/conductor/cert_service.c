/* mag.host.cert: certificates from the cluster's own CA for drivers. See conductor_internal.h. */
#include "base/jsonx.h"
#include "conductor/cert_store.h"
#include "conductor/conductor_internal.h"

#include <string.h>

static int list_of(const json_t *args, const char *key, struct strv *ret, struct err *e)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(args, key), i, v)
    {
        if (!json_is_string(v))
            return err_set(e, ERR_INVALID, "%s holds something that is no text", key);
        if (strv_add(ret, json_string_value(v)))
            return err_nomem(e);
    }
    return 0;
}

static int issue(struct call_ctx *x, struct cert_authority *ca, const char *trusted,
                 const json_t *args, json_t **ret, struct err *e)
{
    _cleanup_strv_ struct strv dns = STRV_INIT, ip = STRV_INIT, usages = STRV_INIT;
    struct cert_pair pair = {0};
    int rc = list_of(args, "dns", &dns, e);
    if (rc == 0)
        rc = list_of(args, "ip", &ip, e);
    if (rc == 0)
        rc = list_of(args, "usages", &usages, e);
    if (rc)
        return rc;
    const struct cert_request rq = {.cn = jsonx_str(args, "cn"),
                                    .o = jsonx_str(args, "o"),
                                    .dns = &dns,
                                    .ip = &ip,
                                    .server = strv_has(&usages, "server"),
                                    .client = strv_has(&usages, "client"),
                                    .days = jsonx_int(args, "days", 0)};
    if (str_blank(rq.cn))
        return err_set(e, ERR_INVALID, "a certificate needs a cn");
    rc = cert_authority_issue(ca, &rq, &x->c->cert_policy, &pair, e);
    if (rc == 0) {
        *ret = json_pack("{s:s,s:s,s:s}", "certificate", pair.cert_pem, "private_key",
                         pair.key_pem.data, "ca", trusted);
        rc = *ret ? 0 : err_nomem(e);
    }
    cert_pair_done(&pair);
    return rc;
}

static int sign(struct call_ctx *x, struct cert_authority *ca, const json_t *args, json_t **ret,
                struct err *e)
{
    const char *csr = jsonx_str(args, "csr");
    const json_t *profile = json_object_get(args, "profile");
    struct cert_policy policy = x->c->cert_policy;
    int64_t days = jsonx_int(profile, "days", 0);
    _cleanup_strv_ struct strv usages = STRV_INIT;
    _cleanup_free_ char *pem = NULL;
    if (!csr)
        return err_set(e, ERR_INVALID, "a CSR is a PEM text");
    if (days > 0 && days < policy.days)
        policy.days = days;
    int rc = list_of(profile, "usages", &usages, e);
    if (usages.n)
        policy.usages = &usages;
    if (rc == 0)
        rc = cert_authority_sign(ca, csr, &policy, &pem, e);
    if (rc)
        return rc;
    *ret = json_string(pem);
    return *ret ? 0 : err_nomem(e);
}

/* Who signs and who is trusted: during a rotation there are two of them (rotate.c). */
static int with_ca(struct call_ctx *x, const char *verb, const struct cluster *cluster,
                   const json_t *args, json_t **ret, struct err *e)
{
    const char *type = jsonx_str(args, "ca");
    bool issues = strcmp(verb, "issue") == 0, shows = strcmp(verb, "ca") == 0;
    _cleanup_free_ char *trusted = NULL, *signer = NULL;
    struct cert_authority ca = {0};
    if (!issues && !shows && strcmp(verb, "sign") != 0)
        return err_set(e, ERR_UNSUPPORTED, "mag.host.cert has no verb %s", verb);
    const struct rotate_asker who = {.run = x->run};
    int rc = rotate_trusted_by_nodes(x->c, cluster, &who, type, &trusted, &signer, e);
    if (rc == 0 && shows) {
        *ret = json_string(trusted);
        return *ret ? 0 : err_nomem(e);
    }
    const struct cert_site site = cert_site_of(x->c, cluster, x->run);
    if (rc == 0)
        rc = cert_authority_load(&site, signer, &ca, e);
    if (rc == 0)
        rc = issues ? issue(x, &ca, trusted, args, ret, e) : sign(x, &ca, args, ret, e);
    cert_authority_done(&ca);
    return rc;
}

int certs_upcall(void *ctx, const char *verb, const json_t *args, json_t **ret, struct err *e)
{
    struct call_ctx *x = ctx;
    const struct cluster *cluster = NULL;
    int rc = call_cluster(x, &cluster, e);
    if (rc == 0 && str_eq(jsonx_str(args, "ca"), "client")) /* no CA: its key signs nothing */
        rc = err_set(e, ERR_INVALID, "\"client\" is not a CA");
    return rc ? rc : with_ca(x, verb, cluster, args, ret, e);
}
