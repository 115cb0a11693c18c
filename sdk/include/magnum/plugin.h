/* magnum/plugin.h - the one exported symbol and the descriptor. Part of the stable ABI 1.x.
 *
 * A plugin library exports exactly one symbol, mag_plugin_entry, and has a YAML manifest of the
 * same id beside it. It runs in a process of its own (magnum-driver-host), one call at a time:
 * the host never calls one instance from two threads. A plugin never calls fork, exec, exit,
 * abort, signal, setenv, chdir, umask or setlocale, and has no constructors. */
#ifndef MAGNUM_PLUGIN_H
#define MAGNUM_PLUGIN_H

#include "magnum/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MAG_ABI_MAJOR 1u
#define MAG_ABI_MINOR 0u
#define MAG_PLUGIN_MAGIC 0x4d41474eu /* "MAGN"; a patched core uses another value */

typedef struct mag_plugin {
    /* These four keep place and type for ever, in all majors. */
    uint32_t magic;
    uint32_t struct_size;
    uint32_t abi_major;
    uint32_t abi_minor;

    const char *id; /* reverse domain, equal to the manifest's id */
    const char *version;
    const char *vendor;
    /* Makes the instance; *self is only passed back. err is filled on failure. */
    int32_t (*create)(const mag_host *host, void **self, mag_error *err);
    void (*destroy)(void *self);
    /* Optional: MAG_OK ready, MAG_AGAIN still starting, negative broken (with err). No side
     * effects; says what is missing on this machine and which package brings it. */
    int32_t (*probe)(void *self, mag_error *err);
    /* A static, size-tagged interface struct, or NULL when the id is not offered. */
    const void *(*get_interface)(void *self, const char *iface_id);
} mag_plugin;

typedef const mag_plugin *(*mag_plugin_entry_fn)(uint32_t host_major, uint32_t host_minor);

#if defined(__GNUC__)
#define MAG_EXPORT __attribute__((visibility("default")))
#else
#define MAG_EXPORT
#endif

/* Returns static const data and does nothing else; NULL refuses this host. */
MAG_EXPORT const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor);

#ifdef __cplusplus
}
#endif

#endif
