/* Rotation of the cluster's CAs on local nodes. What is trusted is the host's business; here it is
 * carried to every node in rounds, each finished everywhere before the next begins, so that at no
 * time one daemon shows a certificate that another does not trust:
 *
 *   prepare:  trust   every daemon trusts the old and the new CAs; certificates stay as they are,
 * so that clients who know only the old one work for as long as it is trusted complete: certs every
 * daemon has a certificate of the new CAs alone   nobody trusts the old ones any more
 *
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
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

enum { POLL_MS = 150, STATUS_MAX = 65536 };

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

static int32_t trusted_now(struct kube_call *c, const char *ca, char **ret)
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
static int32_t write_trust(struct local_run *r, const char *base)
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
static int32_t write_files(struct local_run *r, size_t at, const char *round, const char *stamp)
{
    const struct mag_roster_node *n = &r->st.v[at];
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 32];
    const struct binaries *bin = NULL;
    mag_local_base(&r->cl, n->index, base);
    int32_t rc = binaries_pick(r->c->self, n->version, &bin, r->c->err);
    r->reissue = strcmp(round, "certs") == 0;
    if (rc == MAG_OK)
        rc = r->reissue ? local_write_node(r, n, bin) : write_trust(r, base);
    r->reissue = false;
    (void)snprintf(path, sizeof path, "%s/pki/stamp", base);
    if (rc == MAG_OK)
        rc = mag_write_file(path, mag_text(stamp), 0600, r->c->err);
    return rc == MAG_OK ? local_write_parts(r, n, bin, base) : rc;
}

static void tell_group(const struct local_run *r, size_t at)
{
    _mag_close_ int fd = mag_record_pidfd(&r->seen[at].record);
    if (fd >= 0)
        (void)pidfd_send_signal(fd, SIGHUP, NULL, 0);
}

/* Every daemon that has certificates runs with those of this round. */
static bool runs_with(const struct local_run *r, size_t at, const char *stamp)
{
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 32];
    _mag_free_ char *text = NULL;
    _mag_json_ json_t *doc = NULL;
    const char *name;
    json_t *p;
    size_t stamped = 0;
    mag_local_base(&r->cl, r->st.v[at].index, base);
    (void)snprintf(path, sizeof path, "%s/daemons.json", base);
    if (mag_read_file(path, STATUS_MAX, &text, NULL) != MAG_OK ||
        mag_json_parse(mag_text(text), path, &doc, NULL) != MAG_OK)
        return false;
    json_object_foreach(doc, name, p)
    {
        const char *has = mag_json_text(p, "stamp", NULL);
        if (!has)
            continue;
        stamped++;
        if (strcmp(has, stamp) != 0 || mag_json_int(p, "pid", 0) == 0 ||
            (mag_json_bool(p, "waits", false) && !mag_json_bool(p, "ready", false)))
            return false;
    }
    return stamped > 0;
}

/* MAG_OK: this node is through with the round. */
static int32_t one_node(struct local_run *r, size_t at, const char *round, const char *stamp)
{
    char base[MAG_LOCAL_BASE_MAX + 8], has[64];
    mag_local_base(&r->cl, r->st.v[at].index, base);
    local_read_stamp(base, has);
    int32_t rc = MAG_OK;
    if (strcmp(has, stamp) != 0)
        rc = write_files(r, at, round, stamp);
    if (rc != MAG_OK)
        return rc;
    if (runs_with(r, at, stamp))
        return MAG_OK;
    tell_group(r, at); /* again, should the first one have come before the file */
    return MAG_AGAIN;
}

static int32_t one_round(struct local_run *r, const char *round)
{
    char stamp[64];
    size_t done = 0, all = local_staying(r);
    int32_t rc = MAG_OK;
    (void)snprintf(stamp, sizeof stamp, "%.40s:%s", r->c->op->op_id, round);
    for (int masters = 1; masters >= 0; masters--) {
        bool waiting = false;
        for (size_t i = 0; i < r->st.n && rc >= 0; i++) {
            if (r->st.v[i].leaving || r->st.v[i].master != (masters == 1) || (masters && waiting))
                continue;
            rc = one_node(r, i, round, stamp);
            waiting |= rc == MAG_AGAIN;
            done += rc == MAG_OK;
        }
        if (rc < 0)
            return rc;
        if (waiting)
            return kube_again(r->c, POLL_MS, 40 + (uint32_t)(40 * done / all),
                              "%zu of %zu nodes take over certificates (%s)", done, all, round);
    }
    return MAG_OK;
}

int32_t local_rotate(struct local_run *r)
{
    switch (r->c->rotation) {
    case ROTATE_PREPARE:
        return one_round(r, "trust");
    case ROTATE_COMPLETE: {
        int32_t rc = one_round(r, "certs");
        return rc == MAG_OK ? one_round(r, "alone") : rc;
    }
    default:
        return MAG_OK;
    }
}
