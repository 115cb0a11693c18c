/* A cluster's CA at work: with its key here, or in a manager that signs. See cert_store.h. */
#include "conductor/cert_internal.h"

#include <string.h>

void cert_authority_done(struct cert_authority *a)
{
    free(a->ref);
    a->ref = NULL;
    cert_pair_done(&a->pair);
}

int cert_authority_load(const struct cert_site *s, const char *ref, struct cert_authority *ret,
                        struct err *e)
{
    struct cert_authority a = {.site = *s, .ref = str_dup(ref)};
    int rc = a.ref ? cert_manager_signs(s, &a.signs, e) : err_nomem(e);
    if (rc == 0)
        rc = cert_manager_get(s, ref, !a.signs, &a.pair, e);
    if (rc)
        cert_authority_done(&a);
    else
        *ret = a;
    return rc;
}

int cert_authority_sign(struct cert_authority *a, const char *csr_pem, const struct cert_policy *p,
                        char **ret_pem, struct err *e)
{
    struct cert_draft *d = NULL;
    if (!a->signs)
        return certs_sign_csr(&a->pair, csr_pem, p, ret_pem, e);
    int rc = cert_draft_of_csr(a->pair.cert_pem, csr_pem, p, &d, e);
    if (rc == 0)
        rc = cert_manager_sign(&a->site, a->ref, d, a->pair.cert_pem, ret_pem, e);
    cert_draft_free(&d);
    return rc;
}

int cert_authority_issue(struct cert_authority *a, const struct cert_request *rq,
                         const struct cert_policy *p, struct cert_pair *ret, struct err *e)
{
    struct cert_draft *d = NULL;
    struct cert_pair made = {NULL, SECRET_INIT};
    if (!a->signs)
        return certs_issue(&a->pair, rq, p, ret, e);
    int rc = cert_draft_of_request(a->pair.cert_pem, rq, p, &d, e);
    if (rc == 0)
        rc = cert_manager_sign(&a->site, a->ref, d, a->pair.cert_pem, &made.cert_pem, e);
    if (rc == 0)
        rc = cert_draft_key(d, &made.key_pem, e);
    cert_draft_free(&d);
    if (rc)
        cert_pair_done(&made);
    else
        *ret = made;
    return rc;
}

/* ---- making them ---- */
/* X.509 allows 64 characters; a longer name of a cluster gives way to its uuid. */
static const char *ca_name(const struct cluster *cl)
{
    size_t n = 0;
    for (const char *p = str_blank(cl->name) ? "" : cl->name; *p; p++)
        n += ((unsigned char)*p & 0xC0) != 0x80;
    return n == 0 || n > 64 ? cl->uuid : cl->name;
}

/* Each CA of a cluster has a name of its own: verifiers look for an issuer by its name, and while
 * two are trusted some of them try only the first one that fits. */
static char *ca_name_of(const struct cluster *cl, int64_t serial)
{
    enum { NAME_MAX_CHARS = 40 }; /* leaves room for any serial */
    const char *name = ca_name(cl);
    if (serial == CERT_FIRST_SERIAL)
        return str_dup(name);
    return str_fmt("%s r%lld", strlen(name) > NAME_MAX_CHARS ? cl->uuid : name, (long long)serial);
}

int cert_make_ca(const struct cert_site *s, const struct cluster *cl, const char *role,
                 int64_t serial, struct cert_authority *ret, struct err *e)
{
    struct cert_authority a = {.site = *s};
    _cleanup_free_ char *name = ca_name_of(cl, serial);
    int rc = name ? cert_manager_signs(s, &a.signs, e) : err_nomem(e);
    if (rc == 0)
        rc = certs_ca_make(name, &s->c->cert_policy, &a.pair, e);
    if (rc == 0)
        rc = cert_store_put(s, role, serial, &a.pair, &a.ref, e);
    if (rc == 0 && a.signs) /* from here on the manager's alone */
        secret_free(&a.pair.key_pem);
    if (rc)
        cert_authority_done(&a);
    else
        *ret = a;
    return rc;
}

int cert_make_client(const struct cert_site *s, struct cert_authority *ca, int64_t serial,
                     char **ret_ref, struct err *e)
{
    const struct cert_request rq = {.cn = "admin", .o = "system:masters", .client = true};
    struct cert_pair pair = {0};
    int rc = cert_authority_issue(ca, &rq, &s->c->cert_policy, &pair, e);
    if (rc == 0)
        rc = cert_store_put(s, CERT_ROLE_CLIENT, serial, &pair, ret_ref, e);
    cert_pair_done(&pair);
    return rc;
}
