/* See cert_store.h: the managers (cert_managers.c) and the inventory (db_certificate.h) together.
 */
#include "conductor/cert_internal.h"

#include "base/log.h"
#include "drivers/front_cert.h"

#include <string.h>

struct cert_site cert_site_of(struct conductor *c, const struct cluster *cl, struct run *run)
{
    return (struct cert_site){.c = c,
                              .run = run,
                              .manager = str_blank(cl->cert_manager)
                                             ? c->cfg->certificates_cert_manager_type
                                             : cl->cert_manager,
                              .cluster_id = cl->uuid,
                              .project_id = cl->project_id,
                              .user_id = cl->user_id};
}

static struct cert_key key_of(const struct cert_site *s, const char *role, int64_t serial)
{
    return (struct cert_key){
        .cluster_id = s->cluster_id, .role = role, .manager = s->manager, .serial = serial};
}

static char *key_text(const struct cert_key *k)
{
    return str_fmt("%s/%s/%lld", k->cluster_id, k->role, (long long)k->serial);
}

/* ---- put ---- */
/* Somebody's (our own, before a crash) bundle is there: it is taken. A second put of the very same
 * content then tells its reference; a manager that does not show the key is asked by key. */
static int take_first(const struct cert_site *s, const char *key, bool is_ca,
                      struct cert_pair *pair, char **ret_ref, struct err *e)
{
    _cleanup_free_ char *by_key = str_fmt(CERT_REF_BY_KEY "%s", key);
    if (!by_key)
        return err_nomem(e);
    bool signs = false;
    int rc = is_ca ? cert_manager_signs(s, &signs, e) : 0;
    if (rc == 0)
        rc = cert_manager_get(s, by_key, !signs, pair, e);
    if (rc == 0 && !signs)
        rc = cert_manager_put(s, key, pair, ret_ref, e);
    if (rc == 0 && signs)
        *ret_ref = TAKE_PTR(by_key);
    return rc;
}

/* What lies in the store and has no row any more has no owner: another conductor has deleted the
 * cluster meanwhile. */
static int withdraw(const struct cert_site *s, const char *ref, struct err *e)
{
    struct err why = ERR_INIT;
    struct cert_site alone = *s;
    alone.run = NULL; /* the lease is gone, but this is ours to clean up */
    if (cert_manager_delete(&alone, ref, &why))
        log_warn("certs.withdraw", "%s: %s", ref, why.msg);
    return err_set(e, ERR_FENCED, "the cluster's certificates were deleted meanwhile");
}

static int confirm(const struct cert_site *s, const struct cert_key *k, const char *ref,
                   const char *pem, struct err *e)
{
    struct cert_info info = {0};
    int rc = certs_info(pem, &info, e);
    if (rc)
        return rc;
    const struct certificate row = {.ref = (char *)(uintptr_t)ref,
                                    .subject = info.subject,
                                    .fingerprint = info.fingerprint,
                                    .not_before = info.not_before,
                                    .not_after = info.not_after};
    rc = db_certificate_confirm(s->c->db, k, &row, e);
    cert_info_done(&info);
    return rc;
}

int cert_store_put(const struct cert_site *s, const char *role, int64_t serial,
                   struct cert_pair *pair, char **ret_ref, struct err *e)
{
    const struct cert_key k = key_of(s, role, serial);
    _cleanup_free_ char *key = key_text(&k), *ref = NULL;
    if (!key)
        return err_nomem(e);
    int rc = db_certificate_declare(s->c->db, s->run ? &s->run->guard : NULL, &k, s->project_id, e);
    if (rc == 0)
        rc = cert_manager_put(s, key, pair, &ref, e);
    if (rc == ERR_EXISTS) {
        *e = (struct err)ERR_INIT;
        rc = take_first(s, key, strcmp(role, CERT_ROLE_CLIENT) != 0, pair, &ref, e);
    }
    if (rc == 0)
        rc = confirm(s, &k, ref, pair->cert_pem, e);
    if (rc == ERR_NOT_FOUND && ref)
        return withdraw(s, ref, e);
    if (rc == 0)
        *ret_ref = TAKE_PTR(ref);
    return rc;
}

int cert_store_get(const struct cert_site *s, const char *ref, bool with_key, struct cert_pair *ret,
                   struct err *e)
{
    return cert_manager_get(s, ref, with_key, ret, e);
}

/* ---- delete ---- */
static int delete_row(const struct cert_site *s, const struct certificate *row, struct err *e)
{
    struct cert_site at = *s;
    at.manager = row->manager;
    const struct cert_key k = key_of(&at, row->role, row->serial);
    _cleanup_free_ char *key = key_text(&k);
    _cleanup_free_ char *by_key = key ? str_fmt(CERT_REF_BY_KEY "%s", key) : NULL;
    if (!by_key)
        return err_nomem(e);
    int rc = cert_manager_delete(&at, row->ref ? row->ref : by_key, e);
    return rc ? rc : db_certificate_drop(s->c->db, &k, e);
}

/* role NULL = all; one_manager: only in that of the site. */
static int delete_rows(const struct cert_site *s, const char *role, int64_t serial,
                       bool one_manager, struct err *e)
{
    struct certificate_list l = {0};
    int first = 0, rc = db_certificate_list(s->c->db, s->cluster_id, &l, e);
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        struct err why = ERR_INIT;
        if (role && (!str_eq(l.v[i].role, role) || l.v[i].serial != serial))
            continue;
        if (one_manager && !str_eq(l.v[i].manager, s->manager))
            continue;
        int bad = delete_row(s, &l.v[i], &why);
        if (bad && first == 0) {
            first = bad;
            *e = why;
        }
    }
    certificate_list_done(&l);
    return rc ? rc : first;
}

int cert_store_delete(const struct cert_site *s, const char *role, int64_t serial, struct err *e)
{
    return delete_rows(s, role, serial, false, e);
}

int cert_store_delete_in(const struct cert_site *s, const char *role, int64_t serial, struct err *e)
{
    return delete_rows(s, role, serial, true, e);
}

int cert_store_delete_all(const struct cert_site *s, struct err *e)
{
    int rc = db_certificate_adopt(s->c->db, s->cluster_id, e);
    return rc ? rc : delete_rows(s, NULL, 0, false, e);
}
