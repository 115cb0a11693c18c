/* See service.h. */
#include "cmd/service.h"

#include "base/log.h"
#include "base/log_writer.h"
#include "base/str.h"
#include "http/otlp.h"
#include "http/tls.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum { STOPPED = 0, FAILED = 1, USAGE = 2 };
enum { LOG_WAIT_MS = 1000 }; /* for the reader of the log, at the end */

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

/* Where the configuration comes from. */
struct origin {
    const char *file;
    const struct strv *options;
};

static int configure(const struct origin *o, struct config **ret, enum log_level *ret_level,
                     struct err *e)
{
    const struct strv *options = o->options;
    int rc = config_load(o->file, ret, e);
    for (size_t i = 0; rc == 0 && i < options->n; i++)
        rc = set_option(*ret, options->v[i], e);
    if (rc == 0 && options->n) /* what fits together in the file may not with the options */
        rc = config_check(*ret, e);
    if (rc < 0)
        return rc;
    if (!log_level_parse((*ret)->log_level, ret_level))
        return err_set(e, ERR_CONFIG, "log.level: \"%s\" is not error, warning, info or debug",
                       (*ret)->log_level);
    return 0;
}

static void tell(const struct strv *restart)
{
    _cleanup_str_ struct str names = STR_INIT;
    for (size_t i = 0; i < restart->n; i++)
        str_printf(&names, "%s%s", i ? ", " : "", restart->v[i]);
    if (restart->n)
        log_warn("service.reload",
                 "the new configuration is in force but for what needs a restart: %s",
                 str_text(&names));
    else
        log_info("service.reload", "the new configuration is in force");
}

/* A new configuration is taken as a whole or not at all. */
static void reload(const struct service_program *p, const struct origin *o, struct config *cfg,
                   struct otlp *spans)
{
    _cleanup_config_ struct config *fresh = NULL;
    _cleanup_strv_ struct strv restart = STRV_INIT;
    _cleanup_tls_ struct http_tls *tls = NULL; /* of the spans */
    enum log_level level = LOG_INFO;
    struct err e = ERR_INIT;
    int rc = configure(o, &fresh, &level, &e);
    if (rc == 0)
        rc = config_restart(cfg, fresh, &restart, &e);
    if (rc == 0)
        rc = otlp_read_again(spans, fresh, &tls, &e);
    if (rc == 0)
        rc = p->reload(p->ctx, fresh, &restart, &e);
    if (rc < 0) {
        log_error("service.reload", "%s; everything stays as it was", e.msg);
        return;
    }
    otlp_take(spans, &tls);
    config_adopt(cfg, fresh);
    log_set_level(level);
    tell(&restart);
}

/* How often to tell the service manager that this process lives: half of what it allows. 0: never.
 */
static struct timespec watchdog_pause(void)
{
    uint64_t us = 0;
    if (sd_watchdog_enabled(0, &us) <= 0)
        return (struct timespec){0};
    us = us / 2 ? us / 2 : 1;
    return (struct timespec){.tv_sec = (time_t)(us / 1000000),
                             .tv_nsec = (long)(us % 1000000) * 1000};
}

static void serve(const struct service_program *p, const struct origin *o, struct config *cfg,
                  struct otlp *spans, const sigset_t *wanted)
{
    const struct timespec pause = watchdog_pause();
    const bool watched = pause.tv_sec || pause.tv_nsec;
    int caught = 0;
    (void)sd_notify(0, "READY=1");
    for (;;) {
        caught = watched ? sigtimedwait(wanted, NULL, &pause) : sigwaitinfo(wanted, NULL);
        if (caught == SIGHUP)
            reload(p, o, cfg, spans);
        else if (caught == SIGUSR1)
            p->dump(p->ctx);
        else if (caught > 0)
            break;
        if (watched && (!p->alive || p->alive(p->ctx)))
            (void)sd_notify(0, "WATCHDOG=1");
    }
    (void)sd_notify(0, "STOPPING=1");
    log_info("service.stopping", "got signal %d, finishing what is in flight", caught);
}

static int run(const struct service_program *p, const char *file, const struct strv *options)
{
    _cleanup_config_ struct config *cfg = NULL;
    struct err e = ERR_INIT;
    sigset_t wanted;
    /* blocked before the first thread is made, so that only sigwait takes them */
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    sigaddset(&wanted, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &wanted, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* many threads that mostly wait: one heap each would cost more than sharing a few */
    (void)mallopt(M_ARENA_MAX, 2);
    const struct origin from = {file, options};
    enum log_level level = LOG_INFO;
    int rc = configure(&from, &cfg, &level, &e);
    if (rc == 0) {
        log_setup(p->name, level, strcmp(cfg->log_format, "json") == 0);
        rc = log_writer_start((size_t)cfg->log_buffer_kb * 1024, &e);
    }
    struct otlp *spans = NULL;
    if (rc == 0)
        rc = otlp_start(cfg, p->name, &spans, &e);
    if (rc == 0)
        rc = p->start(p->ctx, cfg, &e);
    if (rc == 0)
        serve(p, &from, cfg, spans, &wanted);
    else
        fprintf(stderr, "%s: %s\n", p->name, e.msg);
    p->stop(p->ctx);
    otlp_stop(&spans); /* nobody is left who makes any */
    log_writer_stop(LOG_WAIT_MS);
    return rc == 0 ? STOPPED : FAILED;
}

int service_main(int argc, char **argv, const struct service_program *p)
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
            printf("%s %s\n", p->name, MAGNUM_VERSION);
            return STOPPED;
        case 'h':
            fputs(p->help, stdout);
            return STOPPED;
        default:
            return USAGE; /* getopt has said what is wrong */
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument %s (see %s --help)\n", p->name, argv[optind],
                p->name);
        return USAGE;
    }
    return run(p, file, &options);
}
