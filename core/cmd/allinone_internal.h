/* What the parts of magnum-allinone share. See magnum-allinone.c.
 * Neighbours: allinone_run.c (start, in order), allinone_supervise.c (running and stopping). */
#ifndef MAGNUM_CMD_ALLINONE_INTERNAL_H
#define MAGNUM_CMD_ALLINONE_INTERNAL_H

#include "cmd/allinone_child.h"
#include "cmd/allinone_postgres.h"
#include "config/config.h"

struct allinone {
    bool quiet;
    struct config *cfg;
    char *state_dir, *exe_dir, *plugin_dir, *url;
    char *port_file;
    int lock_fd, sig_fd;
    struct strv env;         /* MAGNUM_SECTION_NAME=value for every child */
    struct strv driver_sets; /* driver_config.<id>.<key>=value: the conductor's --set */
    struct private_pg pg;
    struct child conductor, api;
    int64_t begin_ms;
};

/* One line on standard output, unless --quiet was given. */
void allinone_say(const struct allinone *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Returns when a signal asks to stop; until then, what ends is started again. */
void allinone_supervise(struct allinone *a);
/* API first, so that nothing new is accepted; the database last. A second signal hurries. */
void allinone_stop(struct allinone *a);

#endif
