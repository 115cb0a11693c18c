/* magnum-conductor: carries out accepted operations with the drivers. What makes it a service is in
 * service.h; a stop hands everything back. Neighbours: conductor/ does the work. */
#include "cmd/service.h"
#include "conductor/conductor.h"
#include "db/db.h"
#include "http/metrics_server.h"

#include <jansson.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>

static const char help[] =
    "usage: magnum-conductor [--config FILE] [--set SECTION.NAME=VALUE]...\n"
    "\n"
    "Carries out operations until SIGTERM or SIGINT; SIGHUP takes a new configuration over\n"
    "where it may change, with what certificate and key files hold, and looks for new plugins,\n"
    "SIGUSR1 writes what it holds into the log.\n"
    "\n"
    "  --config FILE             configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --set SECTION.NAME=VALUE  override one option of the configuration (repeatable)\n"
    "  --version                 print the version of this program\n"
    "  --help                    print this text\n";

struct parts {
    struct db *db;
    struct conductor *conductor;
    struct http_server *metrics;
};

static int start(void *ctx, const struct config *cfg, struct err *e)
{
    struct parts *p = ctx;
    int rc = metrics_begin(cfg, "magnum-conductor", e);
    if (rc == 0)
        rc = db_open(cfg, &p->db, e);
    if (rc == 0)
        rc = db_schema_check(p->db, e);
    if (rc == 0)
        rc = db_watch_start(p->db, e);
    if (rc == 0)
        rc = conductor_start(cfg, p->db, &p->conductor, e);
    return rc ? rc : metrics_serve(cfg, cfg->metrics_conductor_listen, &p->metrics, e);
}

static int reload(void *ctx, const struct config *fresh, struct strv *restart, struct err *e)
{
    struct parts *p = ctx;
    struct conductor_fresh *files = NULL;
    int rc = conductor_read_again(p->conductor, fresh, &files, restart, e);
    if (rc)
        return rc;
    conductor_take(p->conductor, &files);
    conductor_reload(p->conductor);
    return 0;
}

static void dump(void *ctx)
{
    struct parts *p = ctx;
    conductor_dump(p->conductor);
}

static bool alive(void *ctx)
{
    const struct parts *p = ctx;
    return conductor_alive(p->conductor);
}

static void stop(void *ctx)
{
    struct parts *p = ctx;
    http_server_stop(&p->metrics);
    conductor_stop(&p->conductor);
    db_close(&p->db);
}

/* JSON texts here may hold private keys and tokens: wiped before the memory is used again. */
static void wiping_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* Private keys of clusters pass through this process: they shall not be found in a core file. */
static void keep_secrets(void)
{
    struct rlimit core;
    json_set_alloc_funcs(malloc, wiping_free);
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
}

int main(int argc, char **argv)
{
    keep_secrets();
    struct parts parts = {NULL, NULL, NULL};
    const struct service_program program = {
        "magnum-conductor", help, &parts, start, reload, dump, stop, alive};
    return service_main(argc, argv, &program);
}
