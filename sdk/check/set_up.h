/* Preparing a run of the kit: the plugin, its configuration, the hosts it runs in, the backend, and
 * clearing all of it away. Neighbours: main.c. */
#ifndef MAGNUM_CHECK_SET_UP_H
#define MAGNUM_CHECK_SET_UP_H

#include "check.h"

struct run { /* what the command line says; texts borrowed from argv */
    struct kit kit;
    const char *manifest, *include, *exclude, *junit, *json, *backend, *host, *spec_file;
    const char *preload, *sign, *reproduce;
    bool list, valgrind;
    struct strv config, labels;
};
int set_up(struct run *r, struct err *e) MUST_CHECK;
/* The plugin's lines go to a file from now on, where the canaries are looked for. *ret_err is the
 * old standard error, for errors of the kit itself. */
int catch_log(const struct kit *k, FILE **ret_err, struct err *e) MUST_CHECK;
void tear_down(struct run *r);

#endif
