/* magnum-conductor: carries out accepted operations with the drivers. main() only: configuration,
 * database, start, and a stop that hands everything back. Exit status: 0 stopped by a signal,
 * 1 could not start (one line says why), 2 wrong usage. Neighbours: conductor/ does the work. */
#include "base/log.h"
#include "base/str.h"
#include "conductor/conductor.h"
#include "config/config.h"
#include "db/db.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum { STOPPED = 0, FAILED = 1, USAGE = 2 };

static const char help[] =
    "usage: magnum-conductor [--config FILE] [--set SECTION.NAME=VALUE]...\n"
    "\n"
    "Carries out operations until SIGTERM or SIGINT; SIGHUP looks for new plugins.\n"
    "\n"
    "  --config FILE             configuration; else $MAGNUM_CONFIG or /etc/magnum/magnum.yaml\n"
    "  --set SECTION.NAME=VALUE  override one option of the configuration (repeatable)\n"
    "  --version                 print the version of this program\n"
    "  --help                    print this text\n";

struct service {
    struct config *cfg;
    struct db *db;
    struct conductor *conductor;
};

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
    log_setup("magnum-conductor", level, strcmp(s->cfg->log_format, "json") == 0);
    return 0;
}

static int start(struct service *s, struct err *e)
{
    int rc = db_open(s->cfg, &s->db, e);
    if (rc == 0)
        rc = db_schema_check(s->db, e);
    return rc ? rc : conductor_start(s->cfg, s->db, &s->conductor, e);
}

static void stop(struct service *s)
{
    conductor_stop(&s->conductor);
    db_close(&s->db);
    config_free(&s->cfg);
}

static int serve(struct service *s, const sigset_t *wanted)
{
    int caught = 0;
    (void)sd_notify(0, "READY=1");
    while (sigwait(wanted, &caught) == 0 && caught == SIGHUP)
        conductor_reload(s->conductor);
    (void)sd_notify(0, "STOPPING=1");
    log_info("conductor.stopping", "got signal %d, handing work back", caught);
    stop(s);
    return STOPPED;
}

static int run(const char *file, const struct strv *options)
{
    struct service s = {NULL, NULL, NULL};
    struct err e = ERR_INIT;
    sigset_t wanted;
    /* blocked before the first thread is made, so that only sigwait takes them */
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &wanted, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* many threads that mostly wait: one heap each would cost more than sharing two */
    (void)mallopt(M_ARENA_MAX, 2);
    int rc = configure(&s, file, options, &e);
    if (rc == 0)
        rc = start(&s, &e);
    if (rc == 0)
        return serve(&s, &wanted);
    fprintf(stderr, "magnum-conductor: %s\n", e.msg);
    stop(&s);
    return FAILED;
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
            printf("magnum-conductor %s\n", MAGNUM_VERSION);
            return STOPPED;
        case 'h':
            fputs(help, stdout);
            return STOPPED;
        default:
            return USAGE; /* getopt has said what is wrong */
        }
    }
    if (optind < argc) {
        fprintf(stderr, "magnum-conductor: unexpected argument %s (see magnum-conductor --help)\n",
                argv[optind]);
        return USAGE;
    }
    return run(file, &options);
}
