/* See front_cert.h. */
#include "drivers/front_cert.h"

#include "base/jsonx.h"
#include "base/str.h"
#include "magnum/cert.h"
#include "magnum/error.h"
#include "magnum/host.h"

#include <string.h>

enum { REF_MAX = sizeof((mag_cert_ref *)0)->ref };

void cert_bundle_done(struct cert_bundle *b)
{
    free(b->certificate);
    free(b->chain);
    b->certificate = b->chain = NULL;
    secret_free(&b->private_key);
    secret_free(&b->passphrase);
}

/* The texts in a document of ours may be keys: overwritten before jansson frees them. */
static void wipe_json(json_t **doc)
{
    const char *key;
    json_t *v, *inner = json_object_get(*doc, "bundle");
    json_object_foreach(inner ? inner : *doc, key, v)
    {
        if (json_is_string(v))
            secret_wipe((char *)(uintptr_t)json_string_value(v), json_string_length(v));
    }
    json_decref(*doc);
    *doc = NULL;
}
#define _cleanup_secret_json_ _cleanup_(wipe_json)

static int call(const struct cert_call *c, const char *interface, const char *verb,
                const json_t *args, struct coe_result *ret, struct err *e)
{
    const struct coe_call one = {.driver_id = c->plugin->id,
                                 .driver_version = c->plugin->version,
                                 .interface = interface,
                                 .verb = verb,
                                 .op_kind = MAG_OP_QUERY,
                                 .attempt = 1,
                                 .op_id = c->op_id,
                                 .cluster_id = c->cluster_id,
                                 .project_id = c->project_id,
                                 .request_id = c->request_id,
                                 .generation = c->generation,
                                 .budget_ms = c->budget_ms,
                                 .args = args,
                                 .services = c->services};
    int rc = front_coe_call(c->pool, &one, ret, e);
    if (rc == 0)
        rc = coe_result_error(ret, e);
    return rc ? err_wrap(e, "certificate manager %s", c->plugin->name) : 0;
}

static int nonsense(const struct cert_call *c, const char *what, struct err *e)
{
    return err_set(e, ERR_PROTOCOL, "certificate manager %s %s", c->plugin->name, what);
}

int front_cert_put(const struct cert_call *c, const char *key, const struct cert_bundle *b,
                   char **ret_ref, struct err *e)
{
    struct coe_result r = {0};
    _cleanup_secret_json_ json_t *args = json_pack(
        "{s:s,s:{s:s*,s:s*,s:s*,s:s*}}", "key", key, "bundle", "certificate", b->certificate,
        "chain", b->chain, "private_key", b->private_key.data, "passphrase", b->passphrase.data);
    if (!args)
        return err_nomem(e);
    int rc = call(c, MAG_IFACE_CERT_STORE, "put", args, &r, e);
    const char *ref = rc == 0 ? jsonx_str(r.value, "ref") : NULL;
    if (rc == 0 && (str_blank(ref) || strlen(ref) >= REF_MAX))
        rc = nonsense(c, "stored a bundle without naming it", e);
    if (rc == 0) {
        *ret_ref = str_dup(ref);
        rc = *ret_ref ? 0 : err_nomem(e);
    }
    coe_result_done(&r);
    return rc;
}

static int take_text(const json_t *doc, const char *name, char **ret)
{
    const char *s = jsonx_str(doc, name);
    *ret = str_dup(s);
    return s && !*ret ? ERR_NOMEM : 0;
}

static int take_secret(const json_t *doc, const char *name, struct secret *ret)
{
    const char *s = jsonx_str(doc, name);
    return str_blank(s) ? 0 : secret_set(ret, s, strlen(s));
}

int front_cert_get(const struct cert_call *c, const char *ref, bool with_key,
                   struct cert_bundle *ret, struct err *e)
{
    struct coe_result r = {0};
    struct cert_bundle b = {0};
    _cleanup_json_ json_t *args =
        with_key ? json_pack("{s:s,s:[s,s,s,s]}", "ref", ref, "parts", "certificate", "chain",
                             "private_key", "passphrase")
                 : json_pack("{s:s,s:[s,s]}", "ref", ref, "parts", "certificate", "chain");
    if (!args)
        return err_nomem(e);
    int rc = call(c, MAG_IFACE_CERT_STORE, "get", args, &r, e);
    if (rc == 0 && (take_text(r.value, "certificate", &b.certificate) ||
                    take_text(r.value, "chain", &b.chain) ||
                    take_secret(r.value, "private_key", &b.private_key) ||
                    take_secret(r.value, "passphrase", &b.passphrase)))
        rc = err_nomem(e);
    wipe_json(&r.value);
    coe_result_done(&r);
    if (rc == 0 && !b.certificate)
        rc = nonsense(c, "returned a bundle without its certificate", e);
    if (rc == 0 && with_key && !b.private_key.data)
        rc = nonsense(c, "returned a bundle without its key", e);
    if (rc == 0)
        *ret = b;
    else
        cert_bundle_done(&b);
    return rc;
}

int front_cert_delete(const struct cert_call *c, const char *ref, struct err *e)
{
    struct coe_result r = {0};
    _cleanup_json_ json_t *args = json_pack("{s:s}", "ref", ref);
    if (!args)
        return err_nomem(e);
    int rc = call(c, MAG_IFACE_CERT_STORE, "del", args, &r, e);
    coe_result_done(&r);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

bool front_cert_signs(const struct plugin *p)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(p->manifest, "interfaces"), i, v)
    {
        if (str_eq(json_string_value(v), MAG_IFACE_CERT_SIGN))
            return true;
    }
    return false;
}

int front_cert_sign(const struct cert_call *c, const char *ca_ref, const char *csr_pem,
                    const json_t *profile, char **ret_pem, struct err *e)
{
    struct coe_result r = {0};
    _cleanup_json_ json_t *args =
        json_pack("{s:s,s:s,s:O}", "ca", ca_ref, "csr_pem", csr_pem, "profile", profile);
    if (!args)
        return err_nomem(e);
    int rc = call(c, MAG_IFACE_CERT_SIGN, "sign_csr", args, &r, e);
    const char *pem = rc == 0 ? jsonx_str(r.value, "certificate") : NULL;
    if (rc == 0 && str_blank(pem))
        rc = nonsense(c, "signed nothing", e);
    if (rc == 0) {
        *ret_pem = str_dup(pem);
        rc = *ret_pem ? 0 : err_nomem(e);
    }
    coe_result_done(&r);
    return rc;
}
