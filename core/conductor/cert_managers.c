/* One bundle in one certificate manager: x509keypair here, plugins through front_cert.h. Knows
 * nothing of the inventory (cert_store.c) nor of clusters. */
#include "conductor/cert_internal.h"
#include "db/db_service.h"
#include "drivers/front_cert.h"

#include <string.h>

#define BUILTIN "x509keypair"

bool cert_builtin(const char *manager)
{
    return str_blank(manager) || strcmp(manager, BUILTIN) == 0;
}

/* ---- x509keypair ---- */
static int rows_put(const struct cert_site *s, const char *key, const struct cert_pair *pair,
                    char **ret_ref, struct err *e)
{
    struct x509keypair k;
    char uuid[UUID_TEXT];
    x509keypair_init(&k);
    uuid_make(uuid);
    k.uuid = str_dup(uuid);
    k.certificate = str_dup(pair->cert_pem);
    k.project_id = str_dup(s->project_id);
    k.user_id = str_dup(s->user_id);
    k.derived_key = str_dup(key);
    int rc = k.uuid && k.certificate && k.derived_key ? 0 : err_nomem(e);
    if (rc == 0)
        rc = conductor_seal(s->c, uuid, pair->key_pem.data, pair->key_pem.len, &k.private_key, e);
    if (rc == 0)
        rc = db_x509_put(s->c->db, s->run ? &s->run->guard : NULL, &k, e);
    if (rc == 0 && !str_eq(k.certificate, pair->cert_pem))
        rc = err_set(e, ERR_EXISTS, "another certificate is stored as %s", key);
    if (rc == 0)
        *ret_ref = TAKE_PTR(k.uuid);
    x509keypair_done(&k);
    return rc;
}

/* Finds it by uuid, or by "key:<derived key>". */
static int rows_find(const struct cert_site *s, const char *ref, struct x509keypair *k,
                     struct err *e)
{
    if (str_starts(ref, CERT_REF_BY_KEY))
        return db_x509_by_key(s->c->db, ref + strlen(CERT_REF_BY_KEY), k, e);
    return db_x509_get(s->c->db, ref, k, e);
}

static int rows_get(const struct cert_site *s, const char *ref, bool with_key,
                    struct cert_pair *ret, struct err *e)
{
    struct x509keypair k;
    x509keypair_init(&k);
    int rc = rows_find(s, ref, &k, e);
    if (rc == 0) {
        ret->cert_pem = str_dup(k.certificate);
        rc = ret->cert_pem ? 0 : err_nomem(e);
    }
    if (rc == 0 && with_key) {
        rc = conductor_unseal(s->c, k.uuid, k.private_key ? k.private_key : "", &ret->key_pem, e);
        rc = rc ? err_wrap(e, "private key %s", k.uuid) : 0;
    }
    x509keypair_done(&k);
    if (rc)
        cert_pair_done(ret);
    return rc;
}

static int rows_delete(const struct cert_site *s, const char *ref, struct err *e)
{
    struct err ignored = ERR_INIT;
    struct x509keypair k;
    x509keypair_init(&k);
    int rc = rows_find(s, ref, &k, &ignored);
    if (rc == 0)
        rc = db_x509_delete(s->c->db, k.uuid, &ignored);
    x509keypair_done(&k);
    return rc == 0 || rc == ERR_NOT_FOUND ? 0 : err_set(e, rc, "%s", ignored.msg);
}

/* ---- plugins ---- */
struct store_call {
    struct driver_ref driver;
    struct call_ctx ctx;
    struct coe_services services;
    struct cert_call call;
    char id[UUID_TEXT];
};

static int begin(const struct cert_site *s, struct store_call *x, struct err *e)
{
    struct conductor *c = s->c;
    *x = (struct store_call){.id = ""};
    if (s->run && !run_held(s->run)) /* nothing outside is touched without a lease */
        return err_set(e, ERR_FENCED, "this conductor has lost the operation");
    int rc = drivers_cert_manager(c, s->manager, &x->driver, e);
    if (rc)
        return rc;
    x->ctx = (struct call_ctx){.c = c,
                               .run = s->run,
                               .cluster_id = s->cluster_id,
                               .project_id = s->project_id,
                               .plugin = x->driver.plugin};
    const struct coe_services all = services_for(&x->ctx);
    x->services =
        (struct coe_services){.ctx = all.ctx, .cancelled = all.cancelled, .http = all.http};
    uuid_make(x->id);
    x->call = (struct cert_call){.pool = x->driver.pool,
                                 .plugin = x->driver.plugin,
                                 .cluster_id = s->cluster_id,
                                 .project_id = s->project_id,
                                 .op_id = s->run ? s->run->op.id : x->id,
                                 .request_id = s->run ? s->run->op.request_id : NULL,
                                 .generation = s->run ? s->run->op.generation : 0,
                                 .budget_ms = c->cfg->conductor_step_budget_ms,
                                 .services = &x->services};
    return 0;
}

static void end(struct store_call *x)
{
    call_ctx_done(&x->ctx);
    driver_ref_done(&x->driver);
}

static int plugin_put(const struct cert_site *s, const char *key, const struct cert_pair *pair,
                      char **ret_ref, struct err *e)
{
    struct store_call x;
    const struct cert_bundle b = {.certificate = pair->cert_pem, .private_key = pair->key_pem};
    int rc = begin(s, &x, e);
    if (rc)
        return rc;
    rc = front_cert_put(&x.call, key, &b, ret_ref, e);
    end(&x);
    return rc;
}

static int plugin_get(const struct cert_site *s, const char *ref, bool with_key,
                      struct cert_pair *ret, struct err *e)
{
    struct store_call x;
    struct cert_bundle b = {0};
    int rc = begin(s, &x, e);
    if (rc)
        return rc;
    rc = front_cert_get(&x.call, ref, with_key, &b, e);
    if (rc == 0) {
        rc = certs_pair_open(b.certificate, with_key ? b.private_key.data : NULL, b.passphrase.data,
                             ret, e);
        rc = rc ? err_wrap(e, "certificate manager %s, bundle %s", x.driver.plugin->name, ref) : 0;
    }
    cert_bundle_done(&b);
    end(&x);
    return rc;
}

static int plugin_delete(const struct cert_site *s, const char *ref, struct err *e)
{
    struct store_call x;
    int rc = begin(s, &x, e);
    if (rc)
        return rc;
    rc = front_cert_delete(&x.call, ref, e);
    end(&x);
    return rc;
}

/* ---- either ---- */
int cert_manager_signs(const struct cert_site *s, bool *ret, struct err *e)
{
    struct driver_ref d = {0};
    *ret = false;
    if (cert_builtin(s->manager))
        return 0;
    int rc = drivers_cert_manager(s->c, s->manager, &d, e);
    if (rc)
        return rc;
    *ret = front_cert_signs(d.plugin);
    driver_ref_done(&d);
    return 0;
}

int cert_manager_put(const struct cert_site *s, const char *key, const struct cert_pair *pair,
                     char **ret_ref, struct err *e)
{
    return cert_builtin(s->manager) ? rows_put(s, key, pair, ret_ref, e)
                                    : plugin_put(s, key, pair, ret_ref, e);
}

int cert_manager_get(const struct cert_site *s, const char *ref, bool with_key,
                     struct cert_pair *ret, struct err *e)
{
    cert_pair_done(ret);
    if (cert_builtin(s->manager))
        return rows_get(s, ref, with_key, ret, e);
    if (cert_cache_get(s->c->certs, s->manager, ref, with_key, ret))
        return 0;
    int rc = plugin_get(s, ref, with_key, ret, e);
    if (rc == 0)
        cert_cache_add(s->c->certs, s->manager, ref, ret);
    return rc;
}

int cert_manager_delete(const struct cert_site *s, const char *ref, struct err *e)
{
    if (cert_builtin(s->manager))
        return rows_delete(s, ref, e);
    cert_cache_drop(s->c->certs, s->manager, ref);
    return plugin_delete(s, ref, e);
}

int cert_manager_sign(const struct cert_site *s, const char *ca_ref, const struct cert_draft *d,
                      const char *ca_pem, char **ret_pem, struct err *e)
{
    struct store_call x;
    _cleanup_free_ char *csr = NULL, *pem = NULL;
    _cleanup_json_ json_t *profile = NULL;
    int rc = cert_draft_ask(d, &csr, &profile, e);
    if (rc == 0)
        rc = begin(s, &x, e);
    if (rc)
        return rc;
    rc = front_cert_sign(&x.call, ca_ref, csr, profile, &pem, e);
    end(&x);
    if (rc == 0)
        rc = cert_draft_check(d, ca_pem, pem, e);
    if (rc == 0)
        *ret_pem = TAKE_PTR(pem);
    return rc;
}
