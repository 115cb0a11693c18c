/* What a conductor holds of certificate and key files, read again and taken over as a whole: TLS
 * material of calls to Keystone and the services of its catalogue, and the keys that seal. See
 * conductor.h.
 *
 * The key of its own messages is only looked at. A listener has one key for its life, a port one
 * listener, and the connections end with it: another key means to stop listening, which would lose
 * calls that must not be repeated. A restart does it without: it finishes them first. */
#include "conductor/conductor_internal.h"
#include "conductor/trust_internal.h"
#include "http/tls.h"
#include "rpc/rpc.h"

struct conductor_fresh {
    struct http_tls *tls; /* NULL: there is no Keystone */
    struct seal_keys *keys;
};

static void fresh_free(struct conductor_fresh *f)
{
    http_tls_unref(f->tls);
    seal_keys_unref(f->keys);
    free(f);
}

static int note_message_key(struct conductor *c, struct strv *restart, struct err *e)
{
    bool changed = false;
    int rc = rpc_server_key_changed(c->rpc, &changed, e);
    if (rc || !changed)
        return rc;
    return strv_add(restart, "conductor.key in rpc.keys_dir") ? err_nomem(e) : 0;
}

int conductor_read_again(struct conductor *c, const struct config *cfg,
                         struct conductor_fresh **ret, struct strv *restart, struct err *e)
{
    struct conductor_fresh *f = calloc(1, sizeof *f);
    if (!f)
        return err_nomem(e);
    int rc = c->trusts ? login_read_again(c->trusts->login, cfg, &f->tls, e) : 0;
    if (rc == 0)
        rc = cert_keys_read_again(c, cfg, &f->keys, e);
    if (rc == 0)
        rc = note_message_key(c, restart, e);
    if (rc) {
        fresh_free(f);
        return rc;
    }
    *ret = f;
    return 0;
}

void conductor_take(struct conductor *c, struct conductor_fresh **fresh)
{
    struct conductor_fresh *f = TAKE_PTR(*fresh);
    if (f->tls)
        login_take(c->trusts->login, &f->tls);
    if (f->keys)
        seal_keys_unref(box_put(&c->seal, TAKE_PTR(f->keys)));
    fresh_free(f);
}
