/* host/load.h - the one place that opens a plugin library. Opens a descriptor, never a path, so
 * that what was checked is what is run, then compares the library with its manifest.
 * Neighbours: magnum-driver-host, and the in-process transport of the tests. */
#ifndef MAGNUM_HOST_LOAD_H
#define MAGNUM_HOST_LOAD_H

#include "magnum/plugin.h"

#include <jansson.h>

enum { LOAD_WHY = 512 };

/* The loader's steps after the file checks: dlopen of /proc/self/fd/<lib_fd> (RTLD_NOW,
 * RTLD_LOCAL; never closed), entry symbol, magic, sizes, major, id. manifest: the HELLO body of the
 * parent; host: the table the plugin will get, whose version it is asked for. NULL with one line in
 * `why` when a step fails. */
const mag_plugin *load_library(int lib_fd, const json_t *manifest, const mag_host *host,
                               char why[LOAD_WHY]);

/* Loads a library and does nothing else with it: only its constructors run. For the check kit,
 * which looks on. 0, or -1 with `why`. */
int load_alone(const char *library, char why[LOAD_WHY]);

/* Asks an instance for its interfaces and compares them with the manifest both ways: interfaces
 * known here that are offered but not listed, or listed but not offered; lifecycle verbs against
 * `operations`. 0, or -1 with `why`. *ret: {"interfaces": [..], "verbs": {iface: [..]}}, what this
 * host can call; caller owns. */
int load_interfaces(const mag_plugin *plugin, void *self, const json_t *manifest, json_t **ret,
                    char why[LOAD_WHY]);

#endif
