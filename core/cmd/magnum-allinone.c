/* magnum-allinone: one foreground command for laptops and trials. A private PostgreSQL in the
 * state directory, migrations, conductor and API; all of it ends with this process, the clusters'
 * own nodes go on and are found again at the next start.
 * Neighbours: allinone_postgres.c (the database), allinone_child.c (processes), allinone_run.c
 * (what happens in which order). */
#include "cmd/allinone_run.h"

#include "base/parse.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "Usage: magnum-allinone [options]\n"
    "\n"
    "Runs Magnum on this machine: a private PostgreSQL, magnum-conductor and magnum-api.\n"
    "Stays in the foreground; Ctrl-C stops all of it. Clusters' nodes go on running and are\n"
    "found again at the next start.\n"
    "\n"
    "  --state-dir DIR           where everything is kept (default /var/lib/magnum for root,\n"
    "                            else ~/.local/state/magnum)\n"
    "  --port PORT               port of the API on the loopback address (default 9511;\n"
    "                            0 lets the kernel choose)\n"
    "  --config FILE             configuration file (default $MAGNUM_CONFIG or\n"
    "                            /etc/magnum/magnum.yaml)\n"
    "  --set SECTION.NAME=VALUE  one option, for all processes; may be repeated\n"
    "  --quiet                   only errors\n"
    "  --help                    this text\n"
    "  --version                 the version\n";

static int usage_error(const char *text, const char *arg)
{
    fprintf(stderr, "magnum-allinone: %s%s\nTry `magnum-allinone --help`.\n", text, arg);
    return 2;
}

int main(int argc, char **argv)
{
    enum { OPT_STATE = 1, OPT_PORT, OPT_CONFIG, OPT_SET, OPT_QUIET, OPT_HELP, OPT_VERSION };
    static const struct option options[] = {{"state-dir", required_argument, NULL, OPT_STATE},
                                            {"port", required_argument, NULL, OPT_PORT},
                                            {"config", required_argument, NULL, OPT_CONFIG},
                                            {"set", required_argument, NULL, OPT_SET},
                                            {"quiet", no_argument, NULL, OPT_QUIET},
                                            {"help", no_argument, NULL, OPT_HELP},
                                            {"version", no_argument, NULL, OPT_VERSION},
                                            {NULL, 0, NULL, 0}};
    struct allinone_options o = {.state_dir = NULL};
    _cleanup_strv_ struct strv sets = STRV_INIT;
    int64_t port = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int opt = 0; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (opt) {
        case OPT_STATE:
            o.state_dir = optarg;
            break;
        case OPT_PORT:
            if (!parse_i64(optarg, 0, 65535, &port))
                return usage_error("--port is a number from 0 to 65535, not ", optarg);
            o.port = optarg;
            break;
        case OPT_CONFIG:
            o.config = optarg;
            break;
        case OPT_SET:
            if (!strchr(optarg, '=') || strv_add(&sets, optarg) != 0)
                return usage_error("--set takes section.name=value, not ", optarg);
            break;
        case OPT_QUIET:
            o.quiet = true;
            break;
        case OPT_HELP:
            fputs(usage, stdout);
            return 0;
        case OPT_VERSION:
            puts("magnum-allinone " MAGNUM_VERSION);
            return 0;
        default:
            return usage_error("unknown option or missing value", "");
        }
    }
    if (optind < argc)
        return usage_error("unexpected argument ", argv[optind]);
    o.sets = &sets;
    return allinone_run(&o);
}
