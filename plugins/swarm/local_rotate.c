/* Rotation of the cluster's CA on local nodes, without a restart of anything: the front of each
 * node takes over new certificates while its connections go on.
 *
 * prepare: every node trusts the clients of both CAs. It goes on showing the certificate it has, so
 * that clients that know only the old CA work for as long as that is trusted.
 * complete: every node shows a certificate of the new CA and trusts nothing else; connections whose
 * client has one of the old CA are closed. What the trusted CAs are is the host's business, so both
 * are the same walk over the nodes and may be repeated.
 * Neighbours: local_front.c, local_nodes.c (which issues certificates), swarm.c (verbs). */
#include "local_front.h"
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <stdio.h>
#include <string.h>

enum { POLL_MS = 50 };

static int32_t trusted_now(struct mag_call *c, char **ret)
{
    const mag_host_cert *cert = c->self->services.cert;
    mag_bytes pem = {0};
    if (!cert || !MAG_HAS(mag_host_cert, cert, ca) || !cert->ca)
        return mag_fail(c->err, MAG_E_UNSUPPORTED, 0, "NoCertificates", NULL,
                        "This host has no certificates");
    int32_t rc = cert->ca(c->self->host->ctx, c->op, "kubernetes", &pem, c->err);
    if (rc != MAG_OK)
        return rc;
    *ret = strndup(pem.data ? pem.data : "", (size_t)pem.len);
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}

/* All of them have a front before the first one is touched: a refusal changes nothing. */
static int32_t check_fronts(struct mag_local_run *r)
{
    for (size_t i = 0; i < r->st.n; i++) {
        char base[MAG_LOCAL_BASE_MAX + 8];
        struct local_front f = {0};
        mag_error why = {.struct_size = sizeof why};
        mag_local_base(&r->cl, r->st.v[i].index, base);
        int32_t rc = local_front_read(base, &f, &why);
        local_front_done(&f);
        if (rc == MAG_OK || r->seen[i].run <= MAG_NODE_STOPPED)
            continue;
        return mag_fail(r->c->err, MAG_E_PRECONDITION, MAG_ERR_USER, "NodeTooOld",
                        "replace the node: resize with nodes_to_remove, or power it off and update",
                        "Node %s was started by a version that can't rotate", r->st.v[i].name);
    }
    return MAG_OK;
}

static int32_t rotate_node(struct mag_local_run *r, size_t at, const char *trusted, bool complete)
{
    char base[MAG_LOCAL_BASE_MAX + 8];
    struct local_front f = {0};
    mag_error why = {.struct_size = sizeof why};
    mag_local_base(&r->cl, r->st.v[at].index, base);
    if (local_front_read(base, &f, &why) != MAG_OK)
        return MAG_OK; /* it does not run, and gets its certificate when it is started */
    int32_t rc = MAG_OK;
    /* trust and certificate are written together: where the one is in order, so is the other */
    if (strcmp(f.trusted, trusted) != 0)
        rc = complete ? local_certify(r, &r->st.v[at], base)
                      : local_front_write(base, f.material, trusted, r->c->err);
    local_front_done(&f);
    if (rc == MAG_OK && r->seen[at].run == MAG_NODE_RUNNING)
        rc = local_front_in_use(base, r->c->err);
    return rc;
}

static int32_t rotate_all(struct mag_local_run *r, const char *trusted, bool complete)
{
    size_t done = 0;
    int32_t rc = check_fronts(r);
    for (size_t i = 0; i < r->st.n && rc == MAG_OK; i++) {
        rc = rotate_node(r, i, trusted, complete);
        done += rc == MAG_OK;
        if (rc == MAG_AGAIN || (rc == MAG_OK && mag_out_of_time(r->c) && i + 1 < r->st.n))
            return mag_again(r->c->out, rc == MAG_OK ? 0 : POLL_MS,
                             (uint32_t)(done * 100 / r->st.n), "%zu of %zu nodes trust %s", done,
                             r->st.n, complete ? "the new CA alone" : "old and new CA");
    }
    if (rc == MAG_OK)
        r->c->out->percent = 100;
    return rc;
}

static int32_t rotate(struct mag_call *c, bool complete)
{
    struct swarm_run r = swarm_run_of(c);
    _mag_free_ char *trusted = NULL;
    int32_t rc = swarm_machine(swarm_of(c), c->err);
    if (rc == MAG_OK)
        rc = mag_local_run_open(&r.m);
    if (rc == MAG_OK)
        rc = mag_local_look(&r.m);
    if (rc == MAG_OK)
        rc = trusted_now(c, &trusted);
    if (rc == MAG_OK)
        rc = rotate_all(&r.m, trusted, complete);
    swarm_run_done(&r);
    return rc;
}

int32_t local_ca_prepare(struct mag_call *c)
{
    return rotate(c, false);
}

int32_t local_ca_complete(struct mag_call *c)
{
    return rotate(c, true);
}
