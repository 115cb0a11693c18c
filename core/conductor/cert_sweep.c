/* Looks after the inventory of certificates now and then: bundles of clusters that are gone are
 * deleted again until that works, rows of older revisions are completed, and who owns a certificate
 * that ends soon is warned. Any conductor may do any of it at any time. See db_certificate.h. */
#include "conductor/cert_internal.h"

#include "base/log.h"
#include "base/parse.h"
#include "rpc/rpc.h"

#include <string.h>

enum { BATCH = 100, ORPHAN_AGE_S = 10, DAY_S = 86400, THRESHOLDS_MAX = 16 };

static struct cert_site site_of(struct conductor *c, const struct certificate *row)
{
    return (struct cert_site){.c = c,
                              .manager = row->manager,
                              .cluster_id = row->cluster_id,
                              .project_id = row->project_id};
}

static struct cert_key key_of(const struct certificate *row)
{
    return (struct cert_key){.cluster_id = row->cluster_id,
                             .role = row->role,
                             .manager = row->manager,
                             .serial = row->serial};
}

/* What can't be worked on now is left alone for a while, so that it does not hide the others. */
static void put_off(struct conductor *c, const struct certificate *row, const struct err *why)
{
    struct err e = ERR_INIT;
    const struct cert_key k = key_of(row);
    log_warn("certs.sweep", "%s/%s/%lld in %s: %s; trying again later", row->cluster_id, row->role,
             (long long)row->serial, row->manager, why->msg);
    if (db_certificate_touch(c->db, &k, &e))
        log_debug("certs.sweep", "%s, ignoring", e.msg);
}

static int orphans(struct conductor *c, struct err *e)
{
    struct certificate_list l = {0};
    int rc = db_certificate_orphans(c->db, ORPHAN_AGE_S, BATCH, &l, e);
    for (size_t i = 0; rc == 0 && i < l.n && !atomic_load(&c->stopping); i++) {
        struct err why = ERR_INIT;
        const struct cert_site s = site_of(c, &l.v[i]);
        if (cert_store_delete(&s, l.v[i].role, l.v[i].serial, &why))
            put_off(c, &l.v[i], &why);
        else
            log_info("certs.sweep", "deleted %s of cluster %s, which is gone", l.v[i].role,
                     l.v[i].cluster_id);
    }
    certificate_list_done(&l);
    return rc;
}

static int date(const struct cert_site *s, const struct certificate *row, struct err *e)
{
    const struct cert_key k = key_of(row);
    struct cert_pair pair = {0};
    struct cert_info info = {0};
    int rc = cert_store_get(s, row->ref, false, &pair, e);
    if (rc == 0)
        rc = certs_info(pair.cert_pem, &info, e);
    if (rc == 0) {
        const struct certificate known = {.ref = row->ref,
                                          .subject = info.subject,
                                          .fingerprint = info.fingerprint,
                                          .not_before = info.not_before,
                                          .not_after = info.not_after};
        rc = db_certificate_confirm(s->c->db, &k, &known, e);
    }
    cert_info_done(&info);
    cert_pair_done(&pair);
    return rc;
}

static int complete(struct conductor *c, struct err *e)
{
    struct certificate_list l = {0};
    int rc = db_certificate_adopt(c->db, NULL, e);
    if (rc == 0)
        rc = db_certificate_undated(c->db, BATCH, &l, e);
    for (size_t i = 0; rc == 0 && i < l.n && !atomic_load(&c->stopping); i++) {
        struct err why = ERR_INIT;
        const struct cert_site s = site_of(c, &l.v[i]);
        if (date(&s, &l.v[i], &why))
            put_off(c, &l.v[i], &why);
    }
    certificate_list_done(&l);
    return rc;
}

static int warn(struct conductor *c, struct err *e)
{
    const struct strv *days = &c->cfg->certificates_warn_days;
    int64_t at_s[THRESHOLDS_MAX], day;
    struct certificate_list l = {0};
    size_t n = 0;
    for (size_t i = 0; i < days->n && n < ARRAY_LEN(at_s); i++)
        if (parse_i64(days->v[i], 0, 36500, &day))
            at_s[n++] = day * DAY_S;
    int rc = n ? db_certificate_warn(c->db, at_s, n, BATCH, &l, e) : 0;
    for (size_t i = 0; i < l.n; i++) {
        const struct log_context context = {.cluster = l.v[i].cluster_id};
        log_context_set(&context);
        log_warn("certificate.expires", "%s (%s) ends within %lld days", l.v[i].subject,
                 l.v[i].role, (long long)(l.v[i].warned_s / DAY_S));
        log_context_set(NULL);
        news_tell(c, "", l.v[i].cluster_id);
    }
    certificate_list_done(&l);
    return rc;
}

void *certs_thread(void *conductor)
{
    struct conductor *c = conductor;
    while (sleeper_wait(&c->certs_sweep, c->cfg->certificates_sweep_interval_s * 1000)) {
        struct err e = ERR_INIT;
        int rc = complete(c, &e);
        if (rc == 0)
            rc = warn(c, &e);
        if (rc == 0)
            rc = orphans(c, &e);
        if (rc)
            log_warn("certs.sweep", "%s; trying again later", e.msg);
    }
    return NULL;
}
