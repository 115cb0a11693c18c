/* The REST API of magnum-api: an HTTP listener with all routes of api.md, on top of one database
 * handle. Stateless: any number may run. Neighbours: cmd/magnum-api and magnum-allinone start it;
 * below it are http/server, auth, db and the rpc client. */
#ifndef MAGNUM_API_API_H
#define MAGNUM_API_API_H

#include "base/err.h"

struct config;
struct db;
struct rpc_client;
struct auth;
struct api;
struct http_request;
struct http_response;

/* Listens and serves on threads of its own until api_stop. cfg, db, rpc and auth are borrowed and
 * must outlive it; rpc may be NULL (tests): wake-ups are dropped, calls answer 503. Writes
 * api_port_file once the port is open. ERR_CONFIG for a bad catalogue or option, ERR_UNAVAILABLE
 * (or what http_server_start says) when it can't listen. */
int api_start(const struct config *cfg, struct db *db, struct rpc_client *rpc, struct auth *auth,
              struct api **ret, struct err *e) MUST_CHECK;
int api_port(const struct api *a); /* 0 for a unix socket */
/* A new configuration in two steps, so that a reload happens as a whole or not at all: what the
 * files in use hold now (the built-in catalogue, keystone.cafile and its companions, the key for
 * news) is read and checked, then takes the place of what they held; so do the quotas. */
struct api_fresh;
int api_read_again(struct api *a, const struct config *cfg, struct api_fresh **ret,
                   struct err *e) MUST_CHECK;
void api_take(struct api *a, struct api_fresh **fresh);
void api_fresh_free(struct api_fresh **fresh); /* NULL is fine */
/* Finishes what is in flight (api_shutdown_timeout_s), then frees. NULL is fine. */
void api_stop(struct api **a);

/* Answers one request without a listener; what the listener calls. */
void api_handle(struct api *a, const struct http_request *rq, struct http_response *rp);

#endif
