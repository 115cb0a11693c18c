/* magnum-conductor: carries out accepted operations with the drivers. What makes it a service is in
 * service.h; a stop hands everything back. Neighbours: conductor/ does the work. */
#include "cmd/service.h"
#include "conductor/conductor.h"
#include "db/db.h"

static const char help[] =
    "usage: magnum-conductor [--config FILE] [--set SECTION.NAME=VALUE]...\n"
    "\n"
    "Carries out operations until SIGTERM or SIGINT; SIGHUP looks for new plugins.\n"
    "\n"
    "  --config FILE             configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --set SECTION.NAME=VALUE  override one option of the configuration (repeatable)\n"
    "  --version                 print the version of this program\n"
    "  --help                    print this text\n";

struct parts {
    struct db *db;
    struct conductor *conductor;
};

static int start(void *ctx, const struct config *cfg, struct err *e)
{
    struct parts *p = ctx;
    int rc = db_open(cfg, &p->db, e);
    if (rc == 0)
        rc = db_schema_check(p->db, e);
    return rc ? rc : conductor_start(cfg, p->db, &p->conductor, e);
}

static void reload(void *ctx)
{
    struct parts *p = ctx;
    conductor_reload(p->conductor);
}

static void stop(void *ctx)
{
    struct parts *p = ctx;
    conductor_stop(&p->conductor);
    db_close(&p->db);
}

int main(int argc, char **argv)
{
    struct parts parts = {NULL, NULL};
    const struct service_program program = {"magnum-conductor", help, &parts, start, reload, stop};
    return service_main(argc, argv, &program);
}
