/* magnum-api: serves the container-infra REST API. main() only: configuration, database, messaging,
 * the listener, and a stop that finishes what is in flight. Exit status: 0 stopped by a signal,
 * 1 could not start (one line says why), 2 wrong usage. Neighbours: api/api.h does the work. */
#include "api/api.h"
#include "auth/auth.h"
#include "base/log.h"
#include "base/str.h"
#include "config/config.h"
#include "db/db.h"
#include "db/db_service.h"
#include "rpc/rpc.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum { STOPPED = 0, FAILED = 1, USAGE = 2 };

static const char help[] =
    "usage: magnum-api [--config FILE] [--set SECTION.NAME=VALUE]...\n"
    "\n"
    "Serves the container-infra REST API until SIGTERM or SIGINT.\n"
    "\n"
    "  --config FILE             configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --set SECTION.NAME=VALUE  override one option of the configuration (repeatable)\n"
    "  --version                 print the version of this program\n"
    "  --help                    print this text\n";

struct service {
    struct config *cfg;
    struct db *db;
    struct rpc_client *rpc;
    struct auth *auth;
    struct api *api;
};

/* Conductors to ask: those that have beaten their heart lately. */
static int peers(void *ctx, struct rpc_peer_list *ret, struct err *e)
{
    const struct service *s = ctx;
    struct mservice_list live = {NULL, 0};
    int rc = db_service_live(s->db, "magnum-conductor", s->cfg->rpc_peer_timeout_ms, &live, e);
    for (size_t i = 0; rc == 0 && i < live.n; i++)
        if (!rpc_peer_list_add(ret, live.v[i].instance, live.v[i].endpoint, live.v[i].public_key))
            rc = err_nomem(e);
    mservice_list_done(&live);
    return rc;
}

static int set_option(struct config *cfg, const char *text, struct err *e)
{
    _cleanup_free_ char *name = str_dup(text);
    char *eq = name ? strchr(name, '=') : NULL;
    if (!name)
        return err_nomem(e);
    if (!eq)
        return err_set(e, ERR_CONFIG, "--set %s: write it as SECTION.NAME=VALUE", text);
    *eq = '\0';
    return config_set(cfg, name, eq + 1, e);
}

static int configure(struct service *s, const char *file, const struct strv *options, struct err *e)
{
    enum log_level level = LOG_INFO;
    int rc = config_load(file, &s->cfg, e);
    for (size_t i = 0; rc == 0 && i < options->n; i++)
        rc = set_option(s->cfg, options->v[i], e);
    if (rc < 0)
        return rc;
    if (!log_level_parse(s->cfg->log_level, &level))
        return err_set(e, ERR_CONFIG, "log.level: \"%s\" is not error, warning, info or debug",
                       s->cfg->log_level);
    log_setup("magnum-api", level, strcmp(s->cfg->log_format, "json") == 0);
    return 0;
}

static int start(struct service *s, struct err *e)
{
    int rc = db_open(s->cfg, &s->db, e);
    if (rc == 0)
        rc = db_schema_check(s->db, e);
    if (rc == 0)
        rc = auth_new(s->cfg, &s->auth, e);
    if (rc == 0)
        rc = rpc_client_start(s->cfg, peers, s, &s->rpc, e);
    if (rc == 0)
        rc = api_start(s->cfg, s->db, s->rpc, s->auth, &s->api, e);
    return rc;
}

/* In the opposite order: nobody is left who could use what goes away. */
static void stop(struct service *s)
{
    api_stop(&s->api);
    rpc_client_stop(&s->rpc);
    auth_free(&s->auth);
    db_close(&s->db);
    config_free(&s->cfg);
}

static int run(const char *file, const struct strv *options)
{
    struct service s = {NULL, NULL, NULL, NULL, NULL};
    struct err e = ERR_INIT;
    sigset_t wanted;
    int caught = 0;
    /* blocked before the first thread is made, so that only sigwait below takes them */
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    pthread_sigmask(SIG_BLOCK, &wanted, NULL);
    signal(SIGPIPE, SIG_IGN);
    int rc = configure(&s, file, options, &e);
    if (rc == 0)
        rc = start(&s, &e);
    if (rc < 0) {
        fprintf(stderr, "magnum-api: %s\n", e.msg);
        stop(&s);
        return FAILED;
    }
    log_info("api.ready", "listening on %s port %d",
             *s.cfg->api_unix_socket ? s.cfg->api_unix_socket : s.cfg->api_host, api_port(s.api));
    (void)sd_notify(0, "READY=1");
    (void)sigwait(&wanted, &caught);
    (void)sd_notify(0, "STOPPING=1");
    log_info("api.stopping", "got signal %d, finishing the requests in flight", caught);
    stop(&s);
    return STOPPED;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"config", required_argument, NULL, 'c'},
        {"set", required_argument, NULL, 's'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *file = NULL;
    _cleanup_strv_ struct strv options = STRV_INIT;
    for (int c; (c = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            file = optarg;
            break;
        case 's':
            if (strv_add(&options, optarg) < 0)
                return FAILED;
            break;
        case 'V':
            printf("magnum-api %s\n", MAGNUM_VERSION);
            return STOPPED;
        case 'h':
            fputs(help, stdout);
            return STOPPED;
        default:
            return USAGE; /* getopt has said what is wrong */
        }
    }
    if (optind < argc) {
        fprintf(stderr, "magnum-api: unexpected argument %s (see magnum-api --help)\n",
                argv[optind]);
        return USAGE;
    }
    return run(file, &options);
}
