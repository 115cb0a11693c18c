/* host/serve.h - the driver's side of the connection: says hello, then serves one call at a time
 * until the parent closes. Runs as the whole of magnum-driver-host; tests may run it in a thread.
 * Neighbours: load.c, call.c, upcalls.c; magnum-driver-host. */
#ifndef MAGNUM_HOST_SERVE_H
#define MAGNUM_HOST_SERVE_H

#include "magnum/plugin.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct serve_args {
    int sock;   /* stays the caller's */
    int lib_fd; /* the library, opened and checked by the parent */
    /* Called with the parent's hello before the library is loaded (limits and the like); NULL =
     * nothing. *ret_rows: what it did, for our hello, also when it refuses. Non-zero refuses to go
     * on. */
    int (*prepare)(const json_t *hello, json_t **ret_rows, char *why, size_t why_size);
    /* For hosts that pretend to be another version (the check kit); NULL = nothing. adjust changes
     * the table before the library is loaded; tried gets the plugin once its own instance is made,
     * and non-zero refuses to go on. */
    void (*adjust)(mag_host *host, const json_t *hello);
    int (*tried)(const mag_plugin *p, const mag_host *host, const json_t *hello, char *why,
                 size_t why_size);
    /* True in a process of its own: when the parent is gone in the middle of a call, the process
     * ends there and then, for nothing may act without a lease. */
    bool own_process;
};
/* 0 after the parent closed between calls, 1 when the plugin was refused, 2 when the connection
 * broke. */
int host_serve(const struct serve_args *a);

#endif
