/* Rotation of a cluster's CAs in two phases: the core's stages between the driver's, and who is
 * trusted meanwhile.
 *
 *   ca_new       new CAs and a client certificate are kept beside the old ones
 *   ca_prepare   (driver) every part of the cluster trusts both
 *   ca_switch    the cluster's references are the new ones; the old ones are still trusted
 *   ca_grace     clients fetch new certificates
 *   ca_complete  (driver) nobody trusts the old ones any more
 *   ca_drop      the old ones are removed
 *
 * What ends before the switch leaves the cluster with its old CA, and the new one goes away; but
 * since the driver may have told nodes to trust it, and issued certificates with it, its public
 * part is still handed out as trusted until a rotation has been completed. What ends after the
 * switch leaves both trusted, and the next request for a rotation completes this one. Neighbours:
 * cert_store.h, db/db_rotation.h, cert_service.c and broker.c (who is trusted). */
#include "conductor/cert_store.h"
#include "conductor/conductor_internal.h"

#include "base/clock.h"
#include "base/jsonx.h"
#include "base/log.h"
#include "db/db_cluster.h"
#include "db/db_rotation.h"

#include <limits.h>
#include <string.h>

static const struct db_scope all_rows = {.all_projects = true, .admin = true};
static const char *const roles[] = {CERT_ROLE_CA, CERT_ROLE_ETCD, CERT_ROLE_FRONT_PROXY,
                                    CERT_ROLE_CLIENT};
enum { GIVEN_UP_MAX = 32768 }; /* of one type: some twenty certificates */

struct state { /* what a stage begins with */
    struct cluster cl;
    struct rotation rot;
};

static int begin(struct conductor *c, const char *cluster_id, struct state *ret, struct err *e)
{
    cluster_init(&ret->cl);
    ret->rot = (struct rotation){.phase = ROTATION_NONE};
    int rc = db_cluster_get(c->db, &all_rows, cluster_id, &ret->cl, e);
    return rc ? rc : db_rotation_get(c->db, cluster_id, &ret->rot, e);
}

static void end(struct state *s)
{
    cluster_done(&s->cl);
    rotation_done(&s->rot);
}

/* ---- which certificate of which type ---- */
static const char *role_of(const char *type)
{
    if (type && strcmp(type, "etcd") == 0)
        return CERT_ROLE_ETCD;
    if (type && (strcmp(type, "front-proxy") == 0 || strcmp(type, "front_proxy") == 0))
        return CERT_ROLE_FRONT_PROXY;
    return CERT_ROLE_CA;
}

static const char *primary_ref(const struct cluster *cl, const char *role)
{
    if (strcmp(role, CERT_ROLE_ETCD) == 0)
        return cl->etcd_ca_cert_ref;
    return strcmp(role, CERT_ROLE_FRONT_PROXY) == 0 ? cl->front_proxy_ca_cert_ref : cl->ca_cert_ref;
}

static const char *other_ref(const struct rotation *rot, const char *role)
{
    if (strcmp(role, CERT_ROLE_ETCD) == 0)
        return rot->other.etcd;
    return strcmp(role, CERT_ROLE_FRONT_PROXY) == 0 ? rot->other.front_proxy : rot->other.ca;
}

static int append_pem(struct str *to, const char *pem, struct err *e)
{
    size_t n = strlen(pem);
    str_append(to, pem);
    if (n && pem[n - 1] != '\n')
        str_append_c(to, '\n');
    return to->oom ? err_nomem(e) : 0;
}

/* Adds the certificate of a reference; one that is gone already is passed over when it may be. */
static int append_ref(const struct cert_site *site, const char *ref, bool may_be_gone,
                      struct str *to, struct err *e)
{
    struct cert_pair pair = {0};
    struct err why = ERR_INIT;
    if (str_blank(ref))
        return may_be_gone
                   ? 0
                   : err_set(e, ERR_NOT_FOUND, "Cluster %s has no certificates.", site->cluster_id);
    int rc = cert_store_get(site, ref, false, &pair, &why);
    if (rc == 0)
        rc = append_pem(to, pair.cert_pem, &why);
    cert_pair_done(&pair);
    if (rc == ERR_NOT_FOUND && may_be_gone)
        return 0;
    if (rc)
        *e = why;
    return rc;
}

/* ---- who is trusted ---- */
static const char *given_up_of(const struct rotation *rot, const char *role, json_t **ret_doc)
{
    struct err why = ERR_INIT;
    *ret_doc = NULL;
    if (rot->given_up && jsonx_parse(rot->given_up, strlen(rot->given_up), 4, ret_doc, &why))
        log_warn("rotate.given-up", "%s; ignoring what is stored", why.msg);
    return jsonx_str(*ret_doc, role);
}

int rotate_trusted(struct conductor *c, const struct cluster *cl, const char *type, char **ret_pem,
                   struct err *e)
{
    const struct cert_site site = cert_site_of(c, cl, NULL);
    const char *role = role_of(type);
    struct rotation rot = {.phase = ROTATION_NONE};
    _cleanup_str_ struct str pem = STR_INIT;
    int rc = db_rotation_get(c->db, cl->uuid, &rot, e);
    if (rc == 0)
        rc = append_ref(&site, primary_ref(cl, role), false, &pem, e);
    if (rc == 0 && rot.phase == ROTATION_OLD)
        rc = append_ref(&site, other_ref(&rot, role), true, &pem, e);
    rotation_done(&rot);
    if (rc == 0)
        *ret_pem = str_take(&pem);
    return rc == 0 && !*ret_pem ? err_nomem(e) : rc;
}

static bool in_stage(const struct run *r, const char *name)
{
    return r && r->s.kind == OP_ROTATE_CA &&
           str_eq(engine_stages(r->s.kind)[r->s.stage].name, name);
}

/* While the driver prepares, the new CA signs; when it completes, nothing else is trusted. The same
 * goes for what nodes fetch by themselves, since that is at the driver's word; of them it is known
 * only what the time is. */
static int bundle(const struct cert_site *site, const struct cluster *cl,
                  const struct rotation *rot, const struct rotate_asker *who, const char *role,
                  struct str *pem, const char **ret_signer, struct err *e)
{
    _cleanup_json_ json_t *given_up = NULL;
    const char *primary = primary_ref(cl, role), *other = other_ref(rot, role);
    bool prepares = who->node || (in_stage(who->run, "ca_prepare") &&
                                  str_eq(rot->operation_id, who->run->op.id));
    bool completes =
        in_stage(who->run, "ca_complete") || (who->node && rot->grace_until != TIME_UNSET &&
                                              rot->grace_until <= conductor_now_us(site->c));
    bool new_signs = rot->phase == ROTATION_NEW && prepares;
    bool only_primary = rot->phase == ROTATION_OLD && completes;
    *ret_signer = new_signs ? other : primary;
    int rc = append_ref(site, *ret_signer, false, pem, e);
    if (rc || only_primary)
        return rc;
    if (rot->phase != ROTATION_NONE)
        rc = append_ref(site, new_signs ? primary : other, true, pem, e);
    const char *more = given_up_of(rot, role, &given_up);
    return rc == 0 && more ? append_pem(pem, more, e) : rc;
}

int rotate_trusted_by_nodes(struct conductor *c, const struct cluster *cl,
                            const struct rotate_asker *who, const char *type, char **ret_pem,
                            char **ret_signer, struct err *e)
{
    const struct cert_site site = cert_site_of(c, cl, NULL);
    struct rotation rot = {.phase = ROTATION_NONE};
    _cleanup_str_ struct str pem = STR_INIT;
    const char *signer = NULL;
    int rc = db_rotation_get(c->db, cl->uuid, &rot, e);
    if (rc == 0)
        rc = bundle(&site, cl, &rot, who, role_of(type), &pem, &signer, e);
    if (rc == 0) {
        *ret_signer = str_dup(signer);
        *ret_pem = *ret_signer ? str_take(&pem) : NULL;
        rc = *ret_pem ? 0 : err_nomem(e);
    }
    rotation_done(&rot);
    return rc;
}

/* ---- giving up ---- */
static int remove_bundle(const struct cert_site *site, int64_t serial, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(roles); i++)
        rc = cert_store_delete(site, roles[i], serial, e);
    return rc;
}

/* The public part of the CA that goes away, beside what earlier attempts left; the oldest are
 * forgotten when it becomes too much. */
static int add_given_up(const struct cert_site *site, const struct rotation *rot, const char *role,
                        json_t *doc, struct err *e)
{
    _cleanup_json_ json_t *was = NULL;
    _cleanup_str_ struct str pem = STR_INIT;
    int rc = append_ref(site, other_ref(rot, role), true, &pem, e);
    const char *before = given_up_of(rot, role, &was);
    if (rc == 0 && before && strlen(before) + pem.len < GIVEN_UP_MAX)
        rc = append_pem(&pem, before, e);
    if (rc == 0 && pem.len && json_object_set_new(doc, role, json_string(pem.s)))
        rc = err_nomem(e);
    return rc;
}

static int give_up(struct conductor *c, const struct state *s, struct err *e)
{
    const struct cert_site site = cert_site_of(c, &s->cl, NULL);
    _cleanup_json_ json_t *doc = json_object();
    int rc = doc ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(roles) - 1; i++) /* all but the client's */
        rc = add_given_up(&site, &s->rot, roles[i], doc, e);
    _cleanup_free_ char *text = rc == 0 ? json_dumps(doc, JSON_COMPACT) : NULL;
    if (rc == 0 && !text)
        rc = err_nomem(e);
    if (rc == 0)
        rc = db_rotation_give_up(c->db, s->cl.uuid, s->rot.operation_id, text, e);
    return rc;
}

/* A bundle that an earlier rotation gave up. */
static int clean_up(struct conductor *c, const struct cluster *cl, int64_t serial, struct err *e)
{
    const struct cert_site site = cert_site_of(c, cl, NULL);
    int rc = serial == MODEL_UNSET ? 0 : remove_bundle(&site, serial, e);
    return rc || serial == MODEL_UNSET ? rc : db_rotation_forget(c->db, cl->uuid, serial, e);
}

void rotate_ended(struct run *r)
{
    struct state s;
    struct err e = ERR_INIT;
    int rc = begin(r->c, r->op.cluster_id, &s, &e);
    bool mine = rc == 0 && s.rot.phase == ROTATION_NEW && str_eq(s.rot.operation_id, r->op.id);
    if (mine)
        rc = give_up(r->c, &s, &e);
    if (mine && rc == 0)
        rc = clean_up(r->c, &s.cl, s.rot.other_serial, &e);
    if (rc)
        log_warn("rotate.give-up", "%s; ignoring: the next rotation or the delete does it", e.msg);
    end(&s);
}

/* ---- the stages ---- */
struct made {
    char *ref[4]; /* as roles */
};

static int make_cas(const struct cert_site *site, const struct cluster *cl, int64_t serial,
                    struct made *m, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(roles) - 1; i++) {
        struct cert_authority ca = {0};
        rc = cert_make_ca(site, cl, roles[i], serial, &ca, e);
        if (rc == 0 && i == 0)
            rc = cert_make_client(site, &ca, serial, &m->ref[ARRAY_LEN(roles) - 1], e);
        if (rc == 0)
            m->ref[i] = TAKE_PTR(ca.ref);
        cert_authority_done(&ca);
    }
    return rc;
}

static int make_new(struct run *r, const struct cluster *cl, struct err *e)
{
    const struct cert_site site = cert_site_of(r->c, cl, r);
    struct made m = {{NULL}};
    int rc = make_cas(&site, cl, r->op.generation, &m, e);
    if (rc == 0) {
        const struct rotation_refs refs = {m.ref[0], m.ref[3], m.ref[1], m.ref[2]};
        rc = db_rotation_begin(r->c->db, &r->guard, r->op.generation, &refs, e);
    }
    for (size_t i = 0; i < ARRAY_LEN(m.ref); i++)
        free(m.ref[i]);
    return rc;
}

static int new_stage(struct run *r, struct state *s, struct err *e)
{
    int rc = begin(r->c, r->op.cluster_id, s, e);
    if (rc)
        return rc;
    if (str_blank(s->cl.ca_cert_ref))
        return err_set(e, ERR_UNSUPPORTED, "Cluster %s has no certificates.", s->cl.uuid);
    if (s->rot.phase == ROTATION_OLD) /* an earlier one was not completed: this one does it */
        return 0;
    if (s->rot.phase == ROTATION_NEW && str_eq(s->rot.operation_id, r->op.id))
        return 0;
    if (s->rot.phase == ROTATION_NEW)
        rc = give_up(r->c, s, e);
    if (rc == 0)
        rc = clean_up(r->c, &s->cl, s->rot.other_serial, e);
    return rc ? rc : make_new(r, &s->cl, e);
}

int rotate_new_stage(struct run *r, struct err *e)
{
    struct state s;
    int rc = new_stage(r, &s, e);
    end(&s);
    return rc ? err_wrap(e, "The new CA can't be made") : 0;
}

int rotate_switch_stage(struct run *r, struct err *e)
{
    struct state s;
    int rc = begin(r->c, r->op.cluster_id, &s, e);
    if (rc == 0 && s.rot.phase == ROTATION_NONE)
        rc = err_set(e, ERR_INTERNAL, "There is no new CA to switch to");
    if (rc == 0 && s.rot.phase == ROTATION_NEW)
        rc = db_rotation_switch(r->c->db, &r->guard,
                                r->c->cfg->certificates_rotation_grace_s * 1000, e);
    end(&s);
    return rc;
}

int rotate_grace_stage(struct run *r, struct err *e)
{
    struct state s;
    char until[CLOCK_ISO_MAX];
    int rc = begin(r->c, r->op.cluster_id, &s, e);
    int64_t left_us = rc == 0 && s.rot.phase == ROTATION_OLD && s.rot.grace_until != TIME_UNSET
                          ? s.rot.grace_until - conductor_now_us(r->c)
                          : 0;
    if (left_us > 0) {
        int64_t ms = (left_us + 999) / 1000;
        clock_iso(s.rot.grace_until, until);
        (void)err_set(e, ERR_BUSY, "Old and new CA are trusted until %s; fetch new certificates",
                      until);
        rc = ms > INT_MAX ? INT_MAX : (int)ms;
    }
    end(&s);
    return rc;
}

int rotate_drop_stage(struct run *r, struct err *e)
{
    struct state s;
    int rc = begin(r->c, r->op.cluster_id, &s, e);
    if (rc == 0 && s.rot.phase == ROTATION_OLD) {
        const struct cert_site site = cert_site_of(r->c, &s.cl, r);
        rc = remove_bundle(&site, s.rot.other_serial, e);
        if (rc == 0)
            rc = db_rotation_end(r->c->db, &r->guard, e);
    }
    end(&s);
    return rc;
}
