/* Versions of drivers on disk: drivers_install_dir/ID/VERSION/, written beside and moved into place
 * in one step, so that whoever looks sees all of a version or nothing, and a crash at any point
 * leaves nothing but a hidden directory, which the next one removes. One process at a time.
 * Neighbours: bundle.h, registry.c scans what is there, magnum-driver-manage. */
#ifndef MAGNUM_DRIVERS_INSTALL_H
#define MAGNUM_DRIVERS_INSTALL_H

#include "drivers/bundle.h"
#include "drivers/manifest.h"

struct config;

struct install {
    struct plugin plugin; /* as it will be, read from where it waits */
    char *waiting;        /* the directory it waits in; NULL = it is in place */
    char *target;         /* where it belongs */
    int lock;
};
/* The bundle's manifest, library and schemas, in memory: everything that is seen without running
 * it.
 */
int install_check(const struct bundle *b, struct err *e) MUST_CHECK;
/* Writes it beside. EXISTS: this version is there with other files; *same: there with these. */
int install_stage(const struct config *cfg, const struct bundle *b, struct install *ret, bool *same,
                  struct err *e) MUST_CHECK;
/* Moves it into place. */
int install_commit(const struct config *cfg, struct install *i, struct err *e) MUST_CHECK;
/* Removes what still waits and gives the lock back. */
void install_done(struct install *i);
/* NOT_FOUND when it was not installed here. */
int install_remove(const struct config *cfg, const char *id, const char *version,
                   struct err *e) MUST_CHECK;

#endif
