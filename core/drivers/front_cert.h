/* The one way into a certificate manager that is a plugin: mag.cert.store/1 and mag.cert.sign/1
 * over front_coe.h. Private keys pass through here and are wiped after; none is logged.
 * Neighbours: conductor (cert_store.c). */
#ifndef MAGNUM_DRIVERS_FRONT_CERT_H
#define MAGNUM_DRIVERS_FRONT_CERT_H

#include "base/secret.h"
#include "drivers/front_coe.h"

struct cert_bundle {           /* what a manager keeps under one key; absent = NULL */
    char *certificate, *chain; /* owned, PEM */
    struct secret private_key, passphrase;
};
void cert_bundle_done(struct cert_bundle *b);

/* What all calls have in common; borrowed. */
struct cert_call {
    struct driver_pool *pool;
    const struct plugin *plugin;
    const char *cluster_id, *project_id, *op_id, *request_id;
    int64_t generation, budget_ms;
    const struct coe_services *services;
};

/* "key:" and a derived key is a reference too (magnum/cert.h). */
#define CERT_REF_BY_KEY "key:"

/* All return 0 or a core error: ERR_EXISTS (put: other content is there), ERR_NOT_FOUND (get,
 * sign), ERR_UNSUPPORTED (not offered, or the key is never shown), ERR_UNAVAILABLE and ERR_TIMEOUT
 * (try again), ERR_PROTOCOL (the manager answered nonsense). */
int front_cert_put(const struct cert_call *c, const char *key, const struct cert_bundle *b,
                   char **ret_ref, struct err *e) MUST_CHECK;
/* with_key: private key and passphrase, too. *ret is empty. */
int front_cert_get(const struct cert_call *c, const char *ref, bool with_key,
                   struct cert_bundle *ret, struct err *e) MUST_CHECK;
int front_cert_delete(const struct cert_call *c, const char *ref, struct err *e) MUST_CHECK;
/* Does its manifest offer to sign? Then it need not show the key of a CA. */
bool front_cert_signs(const struct plugin *p);
/* profile: see cert_draft_ask. */
int front_cert_sign(const struct cert_call *c, const char *ca_ref, const char *csr_pem,
                    const json_t *profile, char **ret_pem, struct err *e) MUST_CHECK;

#endif
