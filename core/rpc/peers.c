/* The list of conductors a client is told about, and a connection to each of them. What happens to
 * a connection is heard from ZeroMQ's monitor, so that calls leave a conductor that died at once
 * and not only when an attempt times out. See links_internal.h. */
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "rpc/links_internal.h"

#include <string.h>

enum { AGAIN_MS = 5000 }; /* as long as a handshake may take */

/* ---- the public list ---- */
static void peer_done(struct rpc_peer *p)
{
    free(p->instance);
    free(p->endpoint);
    free(p->public_key);
    free(p->news);
    *p = (struct rpc_peer){.instance = NULL};
}

static int peer_copy(struct rpc_peer *to, const char *instance, const char *endpoint,
                     const char *public_key)
{
    *to = (struct rpc_peer){.instance = strdup(instance ? instance : ""),
                            .endpoint = strdup(endpoint ? endpoint : ""),
                            .public_key = strdup(public_key ? public_key : ""),
                            .news = strdup("")};
    if (to->instance && to->endpoint && to->public_key && to->news)
        return 0;
    peer_done(to);
    return ERR_NOMEM;
}

struct rpc_peer *rpc_peer_list_add(struct rpc_peer_list *l, const char *instance,
                                   const char *endpoint, const char *public_key)
{
    struct rpc_peer *grown = reallocarray(l->v, l->n + 1, sizeof *grown);
    if (!grown)
        return NULL;
    l->v = grown;
    if (peer_copy(&l->v[l->n], instance, endpoint, public_key) < 0)
        return NULL;
    return &l->v[l->n++];
}

int rpc_peer_news(struct rpc_peer *p, const char *endpoint)
{
    char *copy = strdup(endpoint ? endpoint : "");
    if (!copy)
        return ERR_NOMEM;
    free(p->news);
    p->news = copy;
    return 0;
}

void rpc_peer_list_done(struct rpc_peer_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        peer_done(&l->v[i]);
    free(l->v);
    *l = (struct rpc_peer_list){.v = NULL};
}

/* ---- opening and closing ---- */
static void link_free(struct rpc_link *k)
{
    rpc_monitor_close(&k->dealer, &k->monitor);
    peer_done(&k->peer);
    free(k);
}

static int secure(const struct rpc_links *l, struct rpc_link *k, struct err *e)
{
    bool keyed = !str_blank(k->peer.public_key);
    int rc = rpc_endpoint_check(k->peer.endpoint, keyed && l->cert, e);
    if (rc < 0 || (!keyed && !l->cert))
        return rc;
    if (!l->cert)
        return err_set(e, ERR_CONFIG, "it wants CURVE: set rpc.keys_dir (magnum-keygen)");
    if (!keyed)
        return err_set(e, ERR_CONFIG, "it has no CURVE key, but rpc.keys_dir is set here");
    zcert_apply(l->cert, k->dealer);
    if (zmq_setsockopt(zsock_resolve(k->dealer), ZMQ_CURVE_SERVERKEY, k->peer.public_key,
                       strlen(k->peer.public_key)) < 0)
        return err_set(e, ERR_CONFIG, "its public key is malformed");
    return 0;
}

static int watch(struct rpc_link *k, struct err *e)
{
    enum {
        EVENTS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED
    };
    return rpc_monitor_open(k->dealer, EVENTS, &k->monitor, e);
}

static int dial(struct rpc_links *l, struct rpc_link *k, struct err *e)
{
    k->dealer = rpc_socket_new(l->cfg, ZMQ_DEALER, k->peer.endpoint, e);
    if (!k->dealer)
        return ERR_UNAVAILABLE;
    /* Messages wait for a connection here, where they can go elsewhere, not inside ZeroMQ. */
    int rc = rpc_socket_set(k->dealer, ZMQ_IMMEDIATE, 1, e);
    if (rc == 0)
        rc = secure(l, k, e);
    if (rc == 0)
        rc = watch(k, e);
    if (rc == 0 && zmq_connect(zsock_resolve(k->dealer), k->peer.endpoint) < 0)
        rc = err_set(e, ERR_CONFIG, "bad endpoint: %s", zmq_strerror(zmq_errno()));
    return rc;
}

static void unusable(struct rpc_link *k, const struct err *e)
{
    rpc_monitor_close(&k->dealer, &k->monitor);
    if (!k->denied) /* kept in the list, so that it is not told again each time */
        log_warn("rpc.peer_unusable", "conductor %s at %s is not used: %s", k->peer.instance,
                 k->peer.endpoint, e->msg);
    k->denied = true;
    snprintf(k->problem, sizeof k->problem, "%.180s", e->msg);
}

/* ZeroMQ gives a connection up for good when it is turned away; the key may be let in since. */
static void try_again(struct rpc_links *l, struct rpc_link *k)
{
    struct err e = ERR_INIT;
    int64_t now = clock_mono_ms();
    if (!k->denied || now < k->again_ms)
        return;
    k->again_ms = now + AGAIN_MS;
    rpc_monitor_close(&k->dealer, &k->monitor);
    if (dial(l, k, &e) < 0)
        unusable(k, &e);
}

static void add(struct rpc_links *l, const struct rpc_peer *p)
{
    struct rpc_link **grown = reallocarray(l->v, l->n + 1, sizeof *grown);
    if (grown)
        l->v = grown;
    struct rpc_link *k = grown ? calloc(1, sizeof *k) : NULL;
    if (!k || peer_copy(&k->peer, p->instance, p->endpoint, p->public_key) < 0) {
        free(k); /* the next refresh tries again */
        return;
    }
    k->key = l->key;
    k->serial = ++l->last_serial;
    k->seen = true;
    l->v[l->n++] = k;
    struct err e = ERR_INIT;
    if (dial(l, k, &e) < 0)
        unusable(k, &e);
}

static bool leads_to(const struct rpc_link *k, const struct rpc_peer *p)
{
    return strcmp(k->peer.instance, p->instance) == 0 &&
           strcmp(k->peer.endpoint, p->endpoint) == 0 &&
           strcmp(k->peer.public_key, p->public_key) == 0;
}

static struct rpc_link *find(const struct rpc_links *l, const struct rpc_peer *p)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i]->key == l->key && leads_to(l->v[i], p))
            return l->v[i];
    return NULL;
}

/* What was made with a former key of ours stays until there is another way to the conductor. */
static void keep_former(struct rpc_links *l, const struct rpc_peer *p, bool another)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i]->key != l->key && leads_to(l->v[i], p))
            l->v[i]->seen = l->v[i]->ready && !another;
}

void rpc_links_update(struct rpc_links *l, const struct rpc_peer_list *peers, rpc_owes_fn owes,
                      rpc_lost_fn lost, void *ctx)
{
    for (size_t i = 0; i < l->n; i++)
        l->v[i]->seen = false;
    for (size_t i = 0; i < peers->n; i++) {
        struct rpc_link *k = find(l, &peers->v[i]);
        if (k) {
            k->seen = true;
            try_again(l, k);
        } else {
            add(l, &peers->v[i]);
        }
        keep_former(l, &peers->v[i], k && k->ready);
    }
    for (size_t i = 0; i < l->n;) {
        struct rpc_link *k = l->v[i];
        k->leaving = !k->seen;
        if (k->seen || (k->ready && owes(ctx, k->serial))) {
            i++;
            continue;
        }
        l->v[i] = l->v[--l->n]; /* first: `lost` looks for another one to ask */
        lost(ctx, k->serial);
        link_free(k);
    }
}

void rpc_links_rekey(struct rpc_links *l, zcert_t *cert)
{
    zcert_destroy(&l->cert);
    l->cert = cert;
    l->key++;
}

void rpc_links_done(struct rpc_links *l)
{
    for (size_t i = 0; i < l->n; i++)
        link_free(l->v[i]);
    free(l->v);
    zcert_destroy(&l->cert);
}

/* ---- events ---- */
uint16_t rpc_link_next_event(struct rpc_link *k)
{
    struct rpc_frames f;
    uint16_t event = 0;
    if (!k->monitor || !rpc_frames_recv(k->monitor, &f))
        return 0;
    /* libzmq: 16 bits event, 32 bits value, in host order; then the endpoint */
    if (zframe_size(f.v[0]) >= sizeof event)
        memcpy(&event, zframe_data(f.v[0]), sizeof event);
    rpc_frames_done(&f);
    return event;
}

static void came_up(struct rpc_link *k)
{
    k->ready = true;
    k->denied = false;
    k->not_before_ms = 0;
    k->problem[0] = '\0';
}

static void was_denied(struct rpc_link *k)
{
    if (!k->denied)
        log_warn("rpc.key_refused", "conductor %s at %s does not let this key in", k->peer.instance,
                 k->peer.endpoint);
    k->denied = true;
    snprintf(k->problem, sizeof k->problem,
             "%.64s does not let this key in: it belongs into its authorized directory",
             k->peer.endpoint);
}

bool rpc_link_apply(struct rpc_links *l, struct rpc_link *k, uint16_t event, uint64_t *ret_lost)
{
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        came_up(k);
        return false;
    }
    bool was_up = k->ready;
    k->ready = false;
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        was_denied(k);
    else if (was_up || !k->problem[0])
        snprintf(k->problem, sizeof k->problem,
                 was_up ? "the connection to %.100s was lost" : "%.100s can't be reached",
                 k->peer.endpoint);
    *ret_lost = k->serial;
    if (was_up)
        k->serial = ++l->last_serial;
    return was_up;
}

/* ---- choosing ---- */
static bool is_among(const uint64_t *asked, size_t n, uint64_t serial)
{
    for (size_t i = 0; i < n; i++)
        if (asked[i] == serial)
            return true;
    return false;
}

struct rpc_link *rpc_links_pick(struct rpc_links *l, const uint64_t *asked, size_t n_asked,
                                int64_t now_ms)
{
    for (size_t i = 0; i < l->n; i++) {
        struct rpc_link *k = l->v[(l->next + i) % l->n];
        if (!k->ready || k->leaving || k->not_before_ms > now_ms ||
            is_among(asked, n_asked, k->serial))
            continue;
        l->next = (l->next + i + 1) % l->n;
        return k;
    }
    return NULL;
}

bool rpc_links_hopeful(const struct rpc_links *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (!l->v[i]->denied && !l->v[i]->leaving)
            return true;
    return false;
}

const char *rpc_links_problem(const struct rpc_links *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i]->problem[0] && !l->v[i]->leaving)
            return l->v[i]->problem;
    return "";
}
