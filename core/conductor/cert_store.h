/* Where the certificates of clusters are kept: one seam over x509keypair (our own rows, private
 * keys sealed) and the cert managers that are plugins (core/drivers/front_cert.h).
 *
 * A bundle has a derived key, <cluster uuid>/<role>/<serial>: the serial of what a create makes is
 * CERT_FIRST_SERIAL, that of a rotation is its operation's generation, so that a second CA lies
 * beside the first and a repeated step finds its own. Every bundle has a row in the table
 * `certificate` that is written before the bundle is and goes away after it: whatever happens in
 * between, delete and the sweeper find all of them. Nothing is ever overwritten in place.
 *
 * All of it may be called from any thread, and blocks. Neighbours: cert_stage.c, cert_service.c,
 * rotation, cert_sweep.c, rpc_methods.c. */
#ifndef MAGNUM_CONDUCTOR_CERT_STORE_H
#define MAGNUM_CONDUCTOR_CERT_STORE_H

#include "certs/certs.h"
#include "model/entity.h"

#include <stdint.h>

struct conductor;
struct run;

/* Roles. The first three are CAs. */
#define CERT_ROLE_CA "ca"
#define CERT_ROLE_ETCD "etcd-ca"
#define CERT_ROLE_FRONT_PROXY "front-proxy-ca"
#define CERT_ROLE_CLIENT "client"
enum { CERT_FIRST_SERIAL = 1 };

/* On whose behalf, and where. Borrows everything. */
struct cert_site {
    struct conductor *c;
    struct run *run;     /* the operation that works on it; NULL = none (reads, sweeps) */
    const char *manager; /* "x509keypair", or id or name of a cert-manager plugin */
    const char *cluster_id, *project_id, *user_id;
};
/* manager = what the cluster remembers, else certificates.cert_manager_type. run may be NULL. */
struct cert_site cert_site_of(struct conductor *c, const struct cluster *cl, struct run *run);

/* Keeps the pair as <cluster>/<role>/<serial>. The first one that was kept there wins: when another
 * pair is there already, *pair becomes that one (without its key when the manager never shows it).
 * *ret_ref is what goes into the cluster's row; caller frees. ERR_UNAVAILABLE, ERR_TIMEOUT: again.
 */
int cert_store_put(const struct cert_site *s, const char *role, int64_t serial,
                   struct cert_pair *pair, char **ret_ref, struct err *e) MUST_CHECK;
/* with_key: ERR_UNSUPPORTED from a manager that never shows a CA's key. */
int cert_store_get(const struct cert_site *s, const char *ref, bool with_key, struct cert_pair *ret,
                   struct err *e) MUST_CHECK;
/* The bundle and its row go away; what is gone is fine. */
int cert_store_delete(const struct cert_site *s, const char *role, int64_t serial,
                      struct err *e) MUST_CHECK;
/* The same, but only what lies in the site's manager. */
int cert_store_delete_in(const struct cert_site *s, const char *role, int64_t serial,
                         struct err *e) MUST_CHECK;
/* All bundles of the cluster, whatever its row refers to, in all managers. Goes on after a failure
 * and returns the first one. */
int cert_store_delete_all(const struct cert_site *s, struct err *e) MUST_CHECK;

/* A CA whose key may be out of our reach. */
struct cert_authority {
    struct cert_site site;
    char *ref;             /* owned */
    struct cert_pair pair; /* the key is empty when the manager signs */
    bool signs;            /* the manager offers mag.cert.sign/1 */
};
void cert_authority_done(struct cert_authority *a);
/* Ready to sign with; *ret takes over nothing. */
int cert_authority_load(const struct cert_site *s, const char *ref, struct cert_authority *ret,
                        struct err *e) MUST_CHECK;
/* As certs_sign_csr and certs_issue, with a key that is here or in the manager. */
int cert_authority_sign(struct cert_authority *a, const char *csr_pem, const struct cert_policy *p,
                        char **ret_pem, struct err *e) MUST_CHECK;
int cert_authority_issue(struct cert_authority *a, const struct cert_request *rq,
                         const struct cert_policy *p, struct cert_pair *ret,
                         struct err *e) MUST_CHECK;

/* The CA of a cluster by type (as GET certificates names it: "etcd", "front-proxy", else the
 * cluster's own). ERR_NOT_FOUND: it has none. */
int certs_authority(struct conductor *c, const struct cluster *cluster, const char *type,
                    struct cert_authority *ret, struct err *e) MUST_CHECK;

/* Makes a CA named after the cluster and keeps it: the whole step, repeatable. *ret is ready to
 * sign with. */
int cert_make_ca(const struct cert_site *s, const struct cluster *cl, const char *role,
                 int64_t serial, struct cert_authority *ret, struct err *e) MUST_CHECK;
/* Makes the conductor's own client certificate (CN=admin, O=system:masters) of that CA and keeps
 * it: repeatable too. */
int cert_make_client(const struct cert_site *s, struct cert_authority *ca, int64_t serial,
                     char **ret_ref, struct err *e) MUST_CHECK;

/* Moves the certificates of a cluster to another manager (cert_migrate.c). ERR_CONFLICT: neither
 * keeps them; ERR_BUSY: an operation is under way; ERR_UNSUPPORTED: the keys can't be had. */
int certs_migrate(struct conductor *c, const char *cluster, const char *from, const char *to,
                  int64_t *ret_moved, struct err *e) MUST_CHECK;

#endif
