/* What magnum-allinone does, in order: state directory and lock, database, schema, drivers,
 * conductor, API, then supervision until a signal. See magnum-allinone.c. */
#ifndef MAGNUM_CMD_ALLINONE_RUN_H
#define MAGNUM_CMD_ALLINONE_RUN_H

#include "base/str.h"

#include <stdbool.h>

struct allinone_options { /* borrowed; NULL = not given */
    const char *state_dir, *port, *config;
    const struct strv *sets; /* "section.name=value" */
    bool quiet;
};
/* Returns the process's exit status: 0 after a clean stop, 1 with one line on stderr otherwise. */
int allinone_run(const struct allinone_options *o);

#endif
