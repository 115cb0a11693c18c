/* magnum-api: serves the container-infra REST API. What makes it a service is in service.h; a stop
 * finishes the requests in flight. Neighbours: api/api.h does the work. */
#include "api/api.h"
#include "auth/auth.h"
#include "base/log.h"
#include "cmd/service.h"
#include "db/db.h"
#include "db/db_service.h"
#include "http/metrics_server.h"
#include "rpc/rpc.h"

static const char help[] =
    "usage: magnum-api [--config FILE] [--set SECTION.NAME=VALUE]...\n"
    "\n"
    "Serves the container-infra REST API until SIGTERM or SIGINT; SIGHUP takes a new\n"
    "configuration over where it may change, with what policy, catalogue, certificate and key\n"
    "files hold, SIGUSR1 writes what it holds into the log.\n"
    "\n"
    "  --config FILE             configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --set SECTION.NAME=VALUE  override one option of the configuration (repeatable)\n"
    "  --version                 print the version of this program\n"
    "  --help                    print this text\n";

struct parts {
    const struct config *cfg;
    struct db *db;
    struct rpc_client *rpc;
    struct auth *auth;
    struct api *api;
    struct http_server *metrics;
};

/* Conductors to ask: those that have beaten their heart lately. */
static int peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    const struct parts *p = ctx;
    struct mservice_list live = {NULL, 0};
    int rc = db_service_live(p->db, "magnum-conductor", p->cfg->rpc_peer_timeout_ms, &live, e);
    for (size_t i = 0; rc == 0 && i < live.n; i++)
        if (!rpc_peer_list_add(ret, live.v[i].instance, live.v[i].endpoint, live.v[i].public_key))
            rc = err_nomem(e);
    mservice_list_done(&live);
    return rc;
}

static int start(void *ctx, const struct config *cfg, struct err *e)
{
    struct parts *p = ctx;
    p->cfg = cfg;
    int rc = metrics_begin(cfg, "magnum-api", e);
    if (rc == 0)
        rc = db_open(cfg, &p->db, e);
    if (rc == 0)
        rc = db_schema_check(p->db, e);
    if (rc == 0)
        rc = db_watch_start(p->db, e);
    if (rc == 0)
        rc = auth_new(cfg, &p->auth, e);
    if (rc == 0)
        rc = rpc_client_start(cfg, peers, p, &p->rpc, e);
    if (rc == 0)
        rc = api_start(cfg, p->db, p->rpc, p->auth, &p->api, e);
    if (rc == 0)
        rc = metrics_serve(cfg, cfg->metrics_api_listen, &p->metrics, e);
    if (rc == 0)
        log_info("api.ready", "listening on %s port %d",
                 *cfg->api_unix_socket ? cfg->api_unix_socket : cfg->api_host, api_port(p->api));
    return rc;
}

/* Everything is read and found good before anything is taken. */
static int reload(void *ctx, const struct config *fresh, struct strv *restart, struct err *e)
{
    struct parts *p = ctx;
    struct auth_fresh *rules = NULL;
    struct rpc_key *key = NULL;
    struct api_fresh *api = NULL;
    (void)restart; /* all files of this program can be taken over */
    int rc = auth_read_again(p->auth, fresh, &rules, e);
    if (rc == 0)
        rc = rpc_client_read_again(p->rpc, &key, e);
    if (rc == 0)
        rc = api_read_again(p->api, fresh, &api, e);
    if (rc == 0) {
        auth_take(p->auth, &rules);
        rpc_client_take(p->rpc, &key);
        api_take(p->api, &api);
    }
    auth_fresh_free(&rules);
    rpc_key_free(&key);
    api_fresh_free(&api);
    return rc;
}

static void dump(void *ctx)
{
    const struct parts *p = ctx;
    struct db_pool_counts pool;
    db_pool_count(p->db, &pool);
    log_info("dump", "port %d; database connections: %zu open, %zu idle, %zu at most",
             api_port(p->api), pool.open, pool.idle, pool.max);
}

/* In the opposite order: nobody is left who could use what goes away. */
static void stop(void *ctx)
{
    struct parts *p = ctx;
    http_server_stop(&p->metrics);
    api_stop(&p->api);
    rpc_client_stop(&p->rpc);
    auth_free(&p->auth);
    db_close(&p->db);
}

int main(int argc, char **argv)
{
    struct parts parts = {NULL, NULL, NULL, NULL, NULL, NULL};
    const struct service_program program = {"magnum-api", help, &parts, start,
                                            reload,       dump, stop,   NULL};
    return service_main(argc, argv, &program);
}
