/* What the service programs (magnum-api, magnum-conductor) have in common: options, configuration,
 * logs, signals, readiness, a stop that finishes what is in flight. Exit status: 0 stopped by
 * SIGTERM or SIGINT, 1 could not start (one line says why), 2 wrong usage.
 * Neighbours: the two programs; config. */
#ifndef MAGNUM_CMD_SERVICE_H
#define MAGNUM_CMD_SERVICE_H

#include "config/config.h"

struct service_program {
    const char *name; /* "magnum-api": of the program, in its logs and messages */
    const char *help;
    void *ctx;
    /* Starts everything; when it fails, stop is called for what was started. */
    int (*start)(void *ctx, const struct config *cfg, struct err *e);
    /* SIGHUP, on the main thread: takes over what it reads itself from a new configuration and from
     * the files in use, or fails and has changed nothing. What has changed in a file and needs a
     * restart is added to the names in `restart`. The log's level, options that are OPT_LIVE and
     * trace.cafile follow when it succeeded. */
    int (*reload)(void *ctx, const struct config *fresh, struct strv *restart, struct err *e);
    void (*dump)(void *ctx); /* SIGUSR1: what it holds, into the log; on the main thread */
    void (*stop)(void *ctx);
    /* Does its work go on? Asked on the main thread while a service manager watches; false: it is
     * not told that the process lives, and will end it. NULL: as long as it runs. */
    bool (*alive)(void *ctx);
};
/* The whole of main(). */
int service_main(int argc, char **argv, const struct service_program *p);

#endif
