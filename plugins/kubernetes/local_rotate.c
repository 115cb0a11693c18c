/* Rotation of the cluster's CAs on local nodes. What is trusted is the host's business; here it is
 * carried to every node in rounds, each finished everywhere before the next begins, so that at no
 * time one daemon shows a certificate that another does not trust:
 *
 *   prepare:  trust   every daemon trusts the old and the new CAs; certificates stay as they are,
 * so that clients who know only the old one work for as long as it is trusted complete: certs every
 * daemon has a certificate of the new CAs alone   nobody trusts the old ones any more
 *
 * Masters whose API can't be asked are given new certificates in the first round already.
 * A round restarts the daemons of the masters, one master after the other, then those of the
 * workers; pods go on running. BASE/pki/stamp says which round a node's files are of, daemons.json
 * which one its daemons were started with. Neighbours: local_files.c, magnum-local-group (SIGHUP).
 */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"
#include "local_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ASK_MS = 3000, POLL_MS = 150 };
enum round { ROUND_TRUST = 1, ROUND_CERTS, ROUND_ALONE }; /* of one operation, in this order */

static const char *const cas[] = {"kubernetes", "etcd", "front-proxy"};

void local_read_stamp(const char *base, char ret[64])
{
    char path[MAG_LOCAL_BASE_MAX + 32];
    _mag_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "%s/pki/stamp", base);
    ret[0] = '\0';
    if (mag_read_file(path, 63, &text, NULL) == MAG_OK)
        (void)snprintf(ret, 64, "%.63s", text);
}

/* "<operation>:<round>" */
static void stamp_of(const struct mag_local_run *r, enum round round, char ret[64])
{
    (void)snprintf(ret, 64, "%.40s:%d", r->c->op->op_id, (int)round);
}

/* How far this operation got, by a stamp; 0: the stamp is another one's. */
static int round_of(const struct mag_local_run *r, const char *stamp)
{
    char prefix[64];
    int n = snprintf(prefix, sizeof prefix, "%.40s:", r->c->op->op_id);
    return strncmp(stamp, prefix, (size_t)n) == 0 ? (int)strtol(stamp + n, NULL, 10) : 0;
}

static int32_t trusted_now(struct mag_call *c, const char *ca, char **ret)
{
    const mag_host_cert *cert = c->self->services.cert;
    mag_bytes pem = {0};
    if (!cert || !MAG_HAS(mag_host_cert, cert, ca) || !cert->ca)
        return mag_fail(c->err, MAG_E_UNSUPPORTED, MAG_ERR_OPERATOR, "HostServiceMissing",
                        "run a newer Magnum", "This host has no certificates");
    int32_t rc = cert->ca(c->self->host->ctx, c->op, ca, &pem, c->err);
    if (rc != MAG_OK)
        return rc;
    *ret = strndup(pem.data ? pem.data : "", (size_t)pem.len);
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}

/* Only the CAs a node has: workers have no business with etcd's. */
static int32_t write_trust(struct mag_local_run *r, const char *base)
{
    char path[MAG_LOCAL_BASE_MAX + 64];
    int32_t rc = MAG_OK;
    for (size_t i = 0; i < MAG_LEN(cas) && rc == MAG_OK; i++) {
        _mag_free_ char *pem = NULL;
        (void)snprintf(path, sizeof path, "%s/pki/%s-ca.pem", base, cas[i]);
        if (access(path, F_OK) < 0)
            continue;
        rc = trusted_now(r->c, cas[i], &pem);
        if (rc == MAG_OK)
            rc = mag_write_file(path, mag_text(pem), 0600, r->c->err);
    }
    return rc;
}

/* The stamp is the last of the files: without it all of this is done again. */
static int32_t write_files(struct mag_local_run *r, size_t at, enum round round)
{
    const struct mag_roster_node *n = &r->st.v[at];
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 32], stamp[64];
    const struct binaries *bin = NULL;
    mag_local_base(&r->cl, n->index, base);
    int32_t rc = binaries_pick(kubernetes_of(r->c), n->version, &bin, r->c->err);
    if (rc == MAG_OK && round != ROUND_CERTS)
        rc = write_trust(r, base);
    kube_run(r)->reissue = round == ROUND_CERTS || kube_run(r)->renew;
    if (rc == MAG_OK && kube_run(r)->reissue)
        rc = local_write_node(r, n, bin);
    kube_run(r)->reissue = false;
    (void)snprintf(path, sizeof path, "%s/pki/stamp", base);
    stamp_of(r, round, stamp);
    if (rc == MAG_OK)
        rc = mag_write_file(path, mag_text(stamp), 0600, r->c->err);
    return rc == MAG_OK ? local_write_parts(r, n, bin, base) : rc;
}

/* The new kubelet itself says that the node is ready: a report of the old one is older. */
static bool is_heard(const struct mag_local_run *r, size_t at)
{
    _mag_json_ json_t *doc = local_read_status(r, at);
    int64_t since = mag_json_int(doc, "kubelet.since", 0);
    size_t i;
    json_t *c;
    json_array_foreach(mag_json_at(r->seen[at].entry, "status.conditions"), i, c)
    {
        struct tm t = {0};
        const char *text = mag_json_text(c, "lastHeartbeatTime", "");
        if (strcmp(mag_json_text(c, "type", ""), "Ready") == 0 &&
            strptime(text, "%Y-%m-%dT%H:%M:%SZ", &t) && (int64_t)timegm(&t) > since)
            return local_is_ready(r, at);
    }
    return false;
}

/* Every daemon that has certificates runs with those of this round. */
static bool runs_with(const struct mag_local_run *r, size_t at, enum round round)
{
    _mag_json_ json_t *doc = local_read_status(r, at);
    const char *name;
    json_t *p;
    size_t stamped = 0;
    json_object_foreach(doc, name, p)
    {
        const char *has = mag_json_text(p, "stamp", NULL);
        if (!has)
            continue;
        stamped++;
        if (round_of(r, has) < (int)round || mag_json_int(p, "pid", 0) == 0 ||
            (mag_json_bool(p, "waits", false) && !mag_json_bool(p, "ready", false)))
            return false;
    }
    return stamped > 0;
}

/* The last round of this operation that a node has the files of. */
static int files_of(const struct mag_local_run *r, size_t at)
{
    char base[MAG_LOCAL_BASE_MAX + 8], has[64];
    mag_local_base(&r->cl, r->st.v[at].index, base);
    local_read_stamp(base, has);
    return round_of(r, has);
}

/* The etcd of each master that was restarted in this round answers: only then another master's may
 * be restarted, for without these two the others may be no majority. */
static bool may_restart(struct mag_local_run *r, size_t at, enum round round)
{
    for (size_t i = 0; i < r->st.n; i++)
        if (i != at && r->st.v[i].master && !r->st.v[i].leaving && files_of(r, i) >= (int)round &&
            !local_is_member(r, i))
            return false;
    return true;
}

/* MAG_OK: this node is through with the round. */
static int32_t one_node(struct mag_local_run *r, size_t at, enum round round)
{
    int32_t rc = MAG_OK;
    if (files_of(r, at) < (int)round) {
        if (r->st.v[at].master && !kube_run(r)->renew && !may_restart(r, at, round))
            return MAG_AGAIN;
        rc = write_files(r, at, round);
    }
    if (rc != MAG_OK)
        return rc;
    if (runs_with(r, at, round))
        return r->st.v[at].master || is_heard(r, at) ? MAG_OK : MAG_AGAIN;
    local_tell_group(r, at); /* again, should the first one have come before the file */
    return MAG_AGAIN;
}

static int32_t one_round(struct mag_local_run *r, enum round round)
{
    static const char *const texts[] = {"", "trust", "new certificates", "nothing but them"};
    size_t done = 0, all = mag_local_staying(r);
    int32_t rc = local_list(r);
    for (int masters = 1; masters >= 0; masters--) {
        bool waiting = false;
        for (size_t i = 0; i < r->st.n && rc >= 0; i++) {
            if (r->st.v[i].leaving || r->st.v[i].master != (masters == 1) || (masters && waiting))
                continue;
            rc = one_node(r, i, round);
            waiting |= rc == MAG_AGAIN;
            done += rc == MAG_OK;
        }
        if (rc < 0)
            return rc;
        if (waiting)
            return mag_again(r->c->out, POLL_MS, 40 + (uint32_t)(40 * done / all),
                             "%zu of %zu nodes took over the CAs (%s)", done, all, texts[round]);
    }
    return MAG_OK;
}

/* By this operation: then an API that can't be asked is one that is just started again. */
static bool any_master_was_told(const struct mag_local_run *r)
{
    for (size_t i = 0; i < r->st.n; i++)
        if (r->st.v[i].master && !r->st.v[i].leaving && files_of(r, i) >= ROUND_TRUST)
            return true;
    return false;
}

/* An API that can't be asked may be one whose certificates have expired, and then it could be
 * waited for for ever: the masters get new ones of the CA they have together with the new trust,
 * all at once, since with theirs expired none has an etcd that could wait for another's. That is
 * kept in the roster before the first of them is told. */
int32_t local_renew(struct mag_local_run *r)
{
    char why[160];
    mag_error e = {.struct_size = sizeof e};
    struct mag_kube k = kube_api(r->c, ASK_MS);
    bool begun = strcmp(mag_json_text(r->st.facts, "renewed_by", ""), r->c->op->op_id) == 0;
    if (kube_run(r)->rotation != ROTATE_PREPARE || (!begun && any_master_was_told(r)) ||
        mag_kube_ready(&k, why, sizeof why, &e) == MAG_OK)
        return MAG_OK;
    if (!begun && json_object_set_new(r->st.facts, "renewed_by", json_string(r->c->op->op_id)) < 0)
        return mag_fail_nomem(r->c->err);
    int32_t rc = begun ? MAG_OK : mag_local_save(r);
    kube_run(r)->renew = true;
    for (size_t i = 0; i < r->st.n && rc >= 0; i++)
        if (r->st.v[i].master && !r->st.v[i].leaving)
            rc = one_node(r, i, ROUND_TRUST);
    kube_run(r)->renew = false;
    return rc < 0 ? rc : MAG_OK; /* the API is waited for next */
}

int32_t local_rotate(struct mag_local_run *r)
{
    switch (kube_run(r)->rotation) {
    case ROTATE_PREPARE:
        return one_round(r, ROUND_TRUST);
    case ROTATE_COMPLETE: {
        int32_t rc = one_round(r, ROUND_CERTS);
        return rc == MAG_OK ? one_round(r, ROUND_ALONE) : rc;
    }
    default:
        return MAG_OK;
    }
}
