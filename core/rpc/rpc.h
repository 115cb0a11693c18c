/* Messages between API and conductors over ZeroMQ. Brokerless: each conductor binds one ROUTER; a
 * client (API process) holds a DEALER to every live conductor. CURVE encrypts and authenticates
 * both ways when a key directory is given; without one only ipc:// and loopback tcp:// are
 * accepted.
 *
 * A request carries an id, a method, an absolute deadline and a JSON document; every method is safe
 * to repeat, so a call without an answer within attempt_timeout goes to the next conductor until
 * its deadline. Messages are the fast path only: losing one costs latency, never work (DESIGN 2).
 * The only folder that includes czmq/zmq. Neighbours: cmd wires it; api uses the client, conductor
 * supplies the handler; the peer list comes through a callback (db is not included here). */
#ifndef MAGNUM_RPC_RPC_H
#define MAGNUM_RPC_RPC_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct config;

/* ---- keys (magnum-keygen) ---- */
/* Writes conductor.key, api.key (public+secret, 0600) and authorized/ (the API's public keys) into
 * `dir` (0700). Existing keys are kept unless force. */
int rpc_keys_make(const char *dir, bool force, struct err *e) MUST_CHECK;
/* Whether the keys that are in `dir` can be used by this user: an API host has api.key, a conductor
 * host conductor.key and authorized/. ERR_CONFIG. */
int rpc_keys_check(const char *dir, struct err *e) MUST_CHECK;

/* An own key that was read again, see rpc_client_read_again. */
struct rpc_key;
void rpc_key_free(struct rpc_key **k); /* NULL is fine */

/* ---- server (conductor) ---- */
/* Runs on a worker thread. Fill *result (caller owns; NULL = {}) or return an error: it reaches the
 * caller with code and text. deadline_mono_ms: clock_mono_ms() after which nobody waits. */
typedef int (*rpc_handler)(void *ctx, const char *method, const json_t *params,
                           int64_t deadline_mono_ms, json_t **result, struct err *e);
struct rpc_server;
int rpc_server_start(const struct config *cfg, rpc_handler handler, void *ctx,
                     struct rpc_server **ret, struct err *e) MUST_CHECK;
/* Until then calls are turned away (their callers ask another conductor, or again) and
 * notifications dropped: who knows the endpoint from a former life may come before it is told to
 * anybody. What was done before this is seen by the handler. */
void rpc_server_open(struct rpc_server *s);
/* What to publish in magnum_service (rpc.advertise, or what was bound); valid until stop.
 * public_key is "" without CURVE. */
const char *rpc_server_endpoint(const struct rpc_server *s);
const char *rpc_server_public_key(const struct rpc_server *s);
/* Does conductor.key hold another key now? It goes on with the one it has. ERR_CONFIG: it can't be
 * read. */
int rpc_server_key_changed(const struct rpc_server *s, bool *ret, struct err *e) MUST_CHECK;
/* Turns new calls away (their callers ask another conductor), answers what is in work (up to
 * drain_ms), then closes. Returns when the last handler has returned. NULL is fine. */
void rpc_server_stop(struct rpc_server **s, int64_t drain_ms);

/* ---- client (API) ---- */
struct rpc_peer {
    char *instance, *endpoint, *public_key; /* owned */
    char *news; /* owned; where it publishes (rpc_peer_news), "" = nowhere */
};
struct rpc_peer_list {
    struct rpc_peer *v;
    size_t n;
};
struct rpc_peer *rpc_peer_list_add(struct rpc_peer_list *l, const char *instance,
                                   const char *endpoint, const char *public_key);
/* Where this peer publishes its news. ERR_NOMEM. */
int rpc_peer_news(struct rpc_peer *p, const char *endpoint) MUST_CHECK;
void rpc_peer_list_done(struct rpc_peer_list *l);
/* Called about once a second from the client's own thread. */
typedef int (*rpc_peers_fn)(void *ctx, struct rpc_peer_list *ret, struct err *e);

struct rpc_client;
int rpc_client_start(const struct config *cfg, rpc_peers_fn peers, void *ctx,
                     struct rpc_client **ret, struct err *e) MUST_CHECK;
void rpc_client_stop(struct rpc_client **c);
/* What api.key holds now (ERR_CONFIG), and going on with it; *ret NULL: nothing new, which may be
 * taken too. New connections take the place of those with the old key, which are used until then
 * and closed once they owe nothing; where a conductor does not let the new key in, they stay. Both
 * on one thread. */
int rpc_client_read_again(struct rpc_client *c, struct rpc_key **ret, struct err *e) MUST_CHECK;
void rpc_client_take(struct rpc_client *c, struct rpc_key **key);
/* Sends to one live conductor (or all, with `everyone`) and does not wait. Never blocks; a full
 * queue or no peer drops the message. Any thread. params is borrowed. */
void rpc_client_notify(struct rpc_client *c, const char *method, const json_t *params,
                       bool everyone);
/* Waits for the answer. ERR_UNAVAILABLE: no conductor; ERR_TIMEOUT: none answered in time;
 * ERR_TOO_LARGE: the request or the answer; else the handler's own error. A conductor that has a
 * call and is slow keeps it: the others are asked as well and the first answer wins. Any thread.
 * Caller owns *result. */
int rpc_client_call(struct rpc_client *c, const char *method, const json_t *params,
                    int64_t timeout_ms, json_t **result, struct err *e) MUST_CHECK;
/* The same for what must not be done twice (a command in a container): one conductor gets it. A
 * conductor that refuses it untouched gives it back; ERR_UNAVAILABLE when the one that had it is
 * lost. */
int rpc_client_call_once(struct rpc_client *c, const char *method, const json_t *params,
                         int64_t timeout_ms, json_t **result, struct err *e) MUST_CHECK;

/* ---- news (conductor to API; also notifications to the outside) ---- */
struct rpc_publisher;
/* Binds a PUB socket; CURVE as for the server. advertise: its host is what subscribers are told
 * ("" = what is bound). */
int rpc_publisher_start(const struct config *cfg, const char *bind, const char *advertise,
                        struct rpc_publisher **ret, struct err *e) MUST_CHECK;
/* Where a conductor's news are bound: rpc.news_bind, else beside rpc.bind. Caller frees. */
char *rpc_news_bind(const struct config *cfg);
const char *rpc_publisher_endpoint(const struct rpc_publisher *p);
/* Two frames, topic and text (NULL = empty). Never blocks, may be lost. Any thread; p NULL: nobody
 * hears it. */
void rpc_publish(struct rpc_publisher *p, const char *topic, const char *text);
void rpc_publisher_stop(struct rpc_publisher **p);

/* Hears the topics watched from all peers that publish. news: on the listener's own thread. */
typedef void (*rpc_news_fn)(void *ctx, const char *topic);
struct rpc_listener;
int rpc_listener_start(const struct config *cfg, rpc_peers_fn peers, void *peers_ctx,
                       rpc_news_fn news, void *ctx, struct rpc_listener **ret,
                       struct err *e) MUST_CHECK;
/* Counted per topic. Any thread. */
void rpc_listener_watch(struct rpc_listener *l, const char *topic, bool on);
/* The same as for the client; news of the moment may be lost. */
int rpc_listener_read_again(struct rpc_listener *l, struct rpc_key **ret, struct err *e) MUST_CHECK;
void rpc_listener_take(struct rpc_listener *l, struct rpc_key **key);
void rpc_listener_stop(struct rpc_listener **l);

/* Methods (params -> result):
 *  notify op.due     {"operation"}                       look at it now
 *  notify op.cancel  {"operation"}                       cancel_requested was set: tell the runner
 *  call   ping       {} -> {"instance"}
 *  call   cert.ca    {"cluster", "type"} -> {"pem"}
 *  call   cert.sign  {"cluster", "type", "csr"} -> {"pem"}
 *  call   cert.migrate {"cluster", "from", "to"} -> {"moved"}
 *  call   driver.validate {"driver_id", "kind", "spec"} -> {} or the driver's error
 *  call   driver.plan {"driver_id", "kind", "spec"} -> {"make", "change", "remove"}
 *  call   driver.call {"cluster", "interface", "verb", ...} -> interface specific
 *  call   workload.refresh {"object"} or {"cluster", "kind"} -> {}; rows follow the cluster
 *  once   workload.create {"kind", "uuid", "cluster", "project_id", "user_id", ...} -> {}
 *  once   workload.update {"object", "manifest" or "manifest_url"} -> {}
 *  once   workload.delete {"object"} -> {}
 *  once   workload.action {"object", "verb", "command"} -> {"output"} */

#endif
