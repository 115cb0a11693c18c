/* News: what just changed, from conductors to whoever waits for it. One PUB socket per conductor,
 * one SUB socket per API process. A subscription travels to the publishers, so a topic nobody
 * waits for costs no traffic, and an API process where nobody waits has no connection at all.
 * News may get lost; who waits looks for himself now and then. The notifications of
 * conductor/notify.c leave by a publisher too. See rpc.h, rpc_internal.h. */
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "rpc/rpc_internal.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REFRESH_MS = 2000, LAST_WORDS_MS = 500, TOPIC_MAX = 128, BATCH = 256 };

/* ---- publisher ---- */
struct rpc_publisher {
    pthread_mutex_t lock; /* a socket is one thread's at a time */
    zsock_t *pub;
    zcert_t *cert;
    bool gate;
    char *endpoint;
};

static int publisher_secure(struct rpc_publisher *p, const char *dir, struct err *e)
{
    if (str_blank(dir))
        return 0;
    int rc = rpc_key_load(dir, "conductor.key", &p->cert, e);
    if (rc == 0)
        rc = rpc_gate_open(dir, e);
    if (rc < 0)
        return rc;
    p->gate = true;
    zcert_apply(p->cert, p->pub);
    zsock_set_zap_domain(p->pub, "magnum");
    return rpc_socket_set(p->pub, ZMQ_CURVE_SERVER, 1, e);
}

/* The host of `advertise` (rpc.advertise) with the port that was bound; without one, what is
 * bound. */
static char *public_endpoint(const char *bound, const char *advertise)
{
    const char *port = strrchr(bound, ':'), *cut = strrchr(advertise ? advertise : "", ':');
    if (str_blank(advertise) || !str_starts(bound, "tcp://") || !str_starts(advertise, "tcp://"))
        return strdup(bound);
    return str_fmt("%.*s%s", (int)(cut - advertise), advertise, port);
}

static int publisher_bind(struct rpc_publisher *p, const char *bind, const char *advertise,
                          struct err *e)
{
    void *handle = zsock_resolve(p->pub);
    char bound[512];
    size_t size = sizeof bound;
    if (zmq_bind(handle, bind) < 0)
        return err_set(e, ERR_UNAVAILABLE, "cannot publish on %s: %s", bind,
                       zmq_strerror(zmq_errno()));
    if (zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, bound, &size) < 0)
        return err_set(e, ERR_INTERNAL, "cannot learn the endpoint of %s", bind);
    if (str_starts(bound, "ipc://") && chmod(bound + 6, 0660) < 0)
        return err_errno(e, errno, "cannot set the mode of %s", bound + 6);
    p->endpoint = public_endpoint(bound, advertise);
    return p->endpoint ? 0 : err_nomem(e);
}

int rpc_publisher_start(const struct config *cfg, const char *bind, const char *advertise,
                        struct rpc_publisher **ret, struct err *e)
{
    int rc = rpc_endpoint_check(bind, !str_blank(cfg->rpc_keys_dir), e);
    if (rc < 0)
        return rc;
    struct rpc_publisher *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(e);
    pthread_mutex_init(&p->lock, NULL);
    p->pub = rpc_socket_new(cfg, ZMQ_PUB, bind, e);
    rc = p->pub ? publisher_secure(p, cfg->rpc_keys_dir, e) : ERR_UNAVAILABLE;
    if (rc == 0)
        rc = publisher_bind(p, bind, advertise, e);
    if (rc < 0) {
        rpc_publisher_stop(&p);
        return rc;
    }
    *ret = p;
    return 0;
}

char *rpc_news_bind(const struct config *cfg)
{
    const char *bind = cfg->rpc_bind, *port = strrchr(bind, ':');
    if (!str_blank(cfg->rpc_news_bind))
        return strdup(cfg->rpc_news_bind);
    if (str_starts(bind, "ipc://"))
        return str_fmt("%s.news", bind);
    return str_fmt("%.*s:*", port ? (int)(port - bind) : 0, bind);
}

const char *rpc_publisher_endpoint(const struct rpc_publisher *p)
{
    return p->endpoint;
}

void rpc_publish(struct rpc_publisher *p, const char *topic, const char *text)
{
    if (!p)
        return;
    const struct rpc_part parts[] = {{topic, strlen(topic)}, {text, text ? strlen(text) : 0}};
    pthread_mutex_lock(&p->lock);
    (void)rpc_parts_send(p->pub, parts, ARRAY_LEN(parts)); /* who is slow misses it */
    pthread_mutex_unlock(&p->lock);
}

void rpc_publisher_stop(struct rpc_publisher **pp)
{
    struct rpc_publisher *p = pp ? TAKE_PTR(*pp) : NULL;
    if (!p)
        return;
    if (p->pub)
        zsock_set_linger(p->pub, LAST_WORDS_MS);
    zsock_destroy(&p->pub);
    if (p->gate)
        rpc_gate_close();
    zcert_destroy(&p->cert);
    pthread_mutex_destroy(&p->lock);
    free(p->endpoint);
    free(p);
}

/* ---- listener ---- */
struct watch { /* a topic to begin or to end hearing */
    struct watch *next;
    bool on;
    char topic[];
};

struct rpc_listener {
    const struct config *cfg;
    rpc_peers_fn peers;
    void *peers_ctx;
    rpc_news_fn news;
    void *ctx;
    int bell;
    pthread_t thread;
    bool runs;
    zcert_t *key;         /* the one in use, for whoever reloads to compare */
    pthread_mutex_t lock; /* down to `of the thread alone` */
    struct watch *first, **last;
    bool stopping;
    zcert_t *fresh_key; /* to go on with */
    /* of the thread alone */
    zsock_t *sub, *refusals; /* refusals: which conductor turned us away; NULL without CURVE */
    zcert_t *cert;
    struct rpc_peer_list connected;
    size_t topics;
    int64_t refresh_ms;
};

static bool same_news(const struct rpc_peer *a, const struct rpc_peer *b)
{
    return strcmp(a->news, b->news) == 0 && strcmp(a->public_key, b->public_key) == 0;
}

static bool has(const struct rpc_peer_list *l, const struct rpc_peer *p)
{
    for (size_t i = 0; i < l->n; i++)
        if (same_news(&l->v[i], p))
            return true;
    return false;
}

static int dial(struct rpc_listener *l, const struct rpc_peer *p, struct err *e)
{
    bool keyed = !str_blank(p->public_key);
    int rc = rpc_endpoint_check(p->news, keyed && l->cert, e);
    if (rc < 0)
        return rc;
    if (keyed != (l->cert != NULL))
        return err_set(e, ERR_CONFIG, "only one of the two has CURVE keys");
    if (keyed && zmq_setsockopt(zsock_resolve(l->sub), ZMQ_CURVE_SERVERKEY, p->public_key,
                                strlen(p->public_key)) < 0)
        return err_set(e, ERR_CONFIG, "its public key is malformed");
    if (zmq_connect(zsock_resolve(l->sub), p->news) < 0)
        return err_set(e, ERR_CONFIG, "bad endpoint: %s", zmq_strerror(zmq_errno()));
    return 0;
}

/* Connects to the conductors there are now, and forgets the ones gone. */
static void refresh(struct rpc_listener *l)
{
    struct rpc_peer_list fresh = {.v = NULL};
    struct err e = ERR_INIT;
    l->refresh_ms = clock_mono_ms() + REFRESH_MS;
    if (l->peers(l->peers_ctx, &fresh, &e) < 0) {
        rpc_peer_list_done(&fresh); /* the connections there are stay */
        return;
    }
    for (size_t i = 0; i < l->connected.n; i++)
        if (!has(&fresh, &l->connected.v[i]) && *l->connected.v[i].news)
            (void)zmq_disconnect(zsock_resolve(l->sub), l->connected.v[i].news);
    for (size_t i = 0; i < fresh.n; i++) {
        struct err why = ERR_INIT;
        if (*fresh.v[i].news && !has(&l->connected, &fresh.v[i]) && dial(l, &fresh.v[i], &why) < 0)
            log_warn("rpc.news_unusable", "news of conductor %s at %s are not heard: %s",
                     fresh.v[i].instance, fresh.v[i].news, why.msg);
    }
    rpc_peer_list_done(&l->connected);
    l->connected = fresh;
}

static void apply(struct rpc_listener *l, const struct watch *w)
{
    size_t before = l->topics;
    (void)zmq_setsockopt(zsock_resolve(l->sub), w->on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, w->topic,
                         strlen(w->topic));
    l->topics = w->on ? before + 1 : before - (before > 0);
    if (before == 0 && w->on && clock_mono_ms() >= l->refresh_ms)
        refresh(l);
}

/* Subscriptions are the socket's and stay. */
static void rekey(struct rpc_listener *l, zcert_t *key)
{
    for (size_t i = 0; i < l->connected.n; i++)
        if (*l->connected.v[i].news)
            (void)zmq_disconnect(zsock_resolve(l->sub), l->connected.v[i].news);
    rpc_peer_list_done(&l->connected);
    zcert_destroy(&l->cert);
    l->cert = key;
    zcert_apply(l->cert, l->sub); /* for connections from now on */
    l->refresh_ms = 0;
}

static bool take_watches(struct rpc_listener *l)
{
    pthread_mutex_lock(&l->lock);
    struct watch *w = l->first;
    bool go_on = !l->stopping;
    zcert_t *key = go_on ? TAKE_PTR(l->fresh_key) : NULL;
    l->first = NULL;
    l->last = &l->first;
    pthread_mutex_unlock(&l->lock);
    if (key)
        rekey(l, key);
    while (w) {
        struct watch *next = w->next;
        if (go_on)
            apply(l, w);
        free(w);
        w = next;
    }
    return go_on;
}

static void hear(struct rpc_listener *l)
{
    struct rpc_frames f;
    char topic[TOPIC_MAX];
    for (int i = 0; i < BATCH && rpc_frames_recv(l->sub, &f); i++) {
        if (rpc_frame_text(&f, 0, topic, sizeof topic))
            l->news(l->ctx, topic);
        rpc_frames_done(&f);
    }
}

/* ZeroMQ gives a connection up for good when it is turned away; the key may be let in since. So it
 * is taken for none, and the next refresh connects again. */
static void forget(struct rpc_listener *l, const char *endpoint)
{
    for (size_t i = 0; i < l->connected.n; i++) {
        struct rpc_peer *p = &l->connected.v[i];
        if (strcmp(p->news, endpoint) != 0)
            continue;
        (void)zmq_disconnect(zsock_resolve(l->sub), p->news);
        p->news[0] = '\0';
    }
}

static void hear_refusals(struct rpc_listener *l)
{
    struct rpc_frames f;
    char endpoint[256];
    for (int i = 0; i < BATCH && rpc_frames_recv(l->refusals, &f); i++) {
        if (rpc_frame_text(&f, 1, endpoint, sizeof endpoint))
            forget(l, endpoint);
        rpc_frames_done(&f);
    }
}

static void *listener_main(void *arg)
{
    struct rpc_listener *l = arg;
    zmq_pollitem_t items[3] = {
        {.socket = zsock_resolve(l->sub), .events = ZMQ_POLLIN},
        {.fd = l->bell, .events = ZMQ_POLLIN},
        {.socket = l->refusals ? zsock_resolve(l->refusals) : NULL, .events = ZMQ_POLLIN}};
    int n_items = l->refusals ? 3 : 2;
    while (take_watches(l)) {
        int64_t now = clock_mono_ms();
        if (l->topics && now >= l->refresh_ms)
            refresh(l);
        int64_t left = l->refresh_ms - clock_mono_ms();
        (void)zmq_poll(items, n_items, l->topics ? (left > 0 ? (long)left : 0) : -1);
        if (items[1].revents)
            rpc_bell_quiet(l->bell);
        if (items[0].revents)
            hear(l);
        if (items[2].revents)
            hear_refusals(l);
    }
    rpc_monitor_close(&l->sub, &l->refusals);
    return NULL;
}

static int listener_open(struct rpc_listener *l, struct err *e)
{
    l->bell = rpc_bell_new(e);
    if (l->bell < 0)
        return l->bell;
    l->sub = rpc_socket_new(l->cfg, ZMQ_SUB, "", e);
    if (!l->sub)
        return ERR_UNAVAILABLE;
    int rc = rpc_socket_set(l->sub, ZMQ_IPV6, 1, e);
    if (rc == 0 && !str_blank(l->cfg->rpc_keys_dir)) {
        rc = rpc_key_load(l->cfg->rpc_keys_dir, "api.key", &l->cert, e);
        if (rc == 0)
            zcert_apply(l->cert, l->sub);
        if (rc == 0 && !(l->key = zcert_dup(l->cert)))
            rc = err_nomem(e);
        if (rc == 0)
            rc = rpc_monitor_open(l->sub, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, &l->refusals, e);
    }
    if (rc == 0)
        rc = rpc_thread_start(&l->thread, listener_main, l, e);
    l->runs = rc == 0;
    return rc;
}

int rpc_listener_start(const struct config *cfg, rpc_peers_fn peers, void *peers_ctx,
                       rpc_news_fn news, void *ctx, struct rpc_listener **ret, struct err *e)
{
    struct rpc_listener *l = calloc(1, sizeof *l);
    if (!l)
        return err_nomem(e);
    *l = (struct rpc_listener){
        .cfg = cfg, .peers = peers, .peers_ctx = peers_ctx, .news = news, .ctx = ctx, .bell = -1};
    l->last = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    int rc = listener_open(l, e);
    if (rc < 0) {
        rpc_listener_stop(&l);
        return rc;
    }
    *ret = l;
    return 0;
}

void rpc_listener_watch(struct rpc_listener *l, const char *topic, bool on)
{
    size_t n = strlen(topic) + 1;
    struct watch *w = malloc(sizeof *w + n);
    if (!w)
        return; /* who waits finds out later */
    *w = (struct watch){.on = on};
    memcpy(w->topic, topic, n);
    pthread_mutex_lock(&l->lock);
    *l->last = w;
    l->last = &w->next;
    pthread_mutex_unlock(&l->lock);
    rpc_bell_ring(l->bell);
}

int rpc_listener_read_again(struct rpc_listener *l, struct rpc_key **ret, struct err *e)
{
    return rpc_key_read_again(l->cfg->rpc_keys_dir, "api.key", l->key, ret, e);
}

void rpc_listener_take(struct rpc_listener *l, struct rpc_key **key)
{
    zcert_t *copy = *key ? zcert_dup((*key)->cert) : NULL;
    if (copy) {
        zcert_destroy(&l->key);
        l->key = copy;
        pthread_mutex_lock(&l->lock);
        zcert_destroy(&l->fresh_key);
        l->fresh_key = TAKE_PTR((*key)->cert);
        pthread_mutex_unlock(&l->lock);
        rpc_bell_ring(l->bell);
    }
    rpc_key_free(key);
}

void rpc_listener_stop(struct rpc_listener **lp)
{
    struct rpc_listener *l = lp ? TAKE_PTR(*lp) : NULL;
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_mutex_unlock(&l->lock);
    if (l->runs) {
        rpc_bell_ring(l->bell);
        (void)pthread_join(l->thread, NULL);
    }
    (void)take_watches(l); /* stopping: only frees them */
    rpc_monitor_close(&l->sub, &l->refusals);
    zcert_destroy(&l->cert);
    zcert_destroy(&l->key);
    zcert_destroy(&l->fresh_key);
    rpc_peer_list_done(&l->connected);
    if (l->bell >= 0)
        (void)close(l->bell);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
