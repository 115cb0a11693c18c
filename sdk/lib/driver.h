/* The entry of a plugin, written once for all. A COE driver says what it can do in a table of verbs
 * and ends with MAG_DRIVER; this file is everything between that table and the ABI: descriptor,
 * instance, interfaces, the spec parsed, a wish to stop heeded, documents kept until the next call.
 * Which interfaces are offered is read off the table: what is NULL is not. A plugin of another kind
 * (a certificate manager) uses MAG_PLUGIN_ENTRY alone.
 * Neighbours: services, json; plugins. */
#ifndef MAGNUM_SDK_LIB_DRIVER_H
#define MAGNUM_SDK_LIB_DRIVER_H

#include "lib/services.h"

#include <magnum/plugin.h>

/* One instance = one process of the driver host. A driver's own struct begins with it. */
struct mag_instance {
    const mag_host *host;
    struct mag_services services;
    const struct mag_driver *driver;
    char *answer; /* last document given to the host */
};

struct mag_call { /* one call with all it was given */
    struct mag_instance *self;
    const mag_op *op;
    mag_step *out;  /* NULL in verbs that are not steps */
    mag_error *err; /* filled by whoever returns a negative code */
    const json_t *spec;
    int64_t until_ms; /* monotonic: return to the host by then */
};
/* Time to hand the process back, or asked to stop? */
bool mag_out_of_time(const struct mag_call *c);

typedef int32_t (*mag_verb)(struct mag_call *c);
/* *ret: a new document. */
typedef int32_t (*mag_query)(struct mag_call *c, json_t **ret);

struct mag_object {          /* what is asked of an object: magnum/workload.h */
    const char *kind, *name; /* name: NULL for lists and creates */
    const char *action;      /* "start" ...; NULL in all but actions */
    mag_bytes doc;           /* the manifest, the query of a list, an action's arguments */
};
/* *ret: a new document; NULL in a removal. */
typedef int32_t (*mag_object_verb)(struct mag_call *c, const struct mag_object *o, json_t **ret);

/* Members as in the interfaces of the same names (magnum/lifecycle.h ...). Steps that change a
 * cluster are not called when the operation was asked to stop: CANCELLED is the answer then, except
 * for `remove`, which has to end. */
struct mag_verbs {
    mag_verb validate, create, update, remove, scale, health; /* lifecycle */
    mag_verb group_create, group_update, group_remove;        /* nodegroups */
    mag_verb upgrade;
    mag_query upgrade_plan;
    mag_verb ca_prepare, ca_complete, credential; /* rotate */
    mag_query client_config, stats, plan;
    mag_object_verb list, get, make, change, drop, act; /* workload */
};

struct mag_driver {
    size_t instance_size;          /* of the driver's own struct */
    const struct mag_verbs *verbs; /* what is offered; who answers too, unless choose says others */
    /* Which table answers this call, of a driver that makes nodes in more than one way. Those have
     * at least the members of `verbs`. NULL: always `verbs`. */
    const struct mag_verbs *(*choose)(const struct mag_call *c);
    /* All optional. start: host and services are there. */
    int32_t (*start)(struct mag_instance *self, mag_error *err);
    void (*stop)(struct mag_instance *self);
    int32_t (*probe)(struct mag_instance *self, mag_error *err);
};

/* What stands behind MAG_DRIVER; not to be called otherwise. */
int32_t mag_driver_create(const struct mag_driver *d, const mag_host *host, void **self,
                          mag_error *err);
void mag_driver_destroy(void *self);
int32_t mag_driver_probe(void *self, mag_error *err);
const void *mag_driver_interface(void *self, const char *id);

/* The one exported symbol, with the members of mag_plugin that are the plugin's own. */
#define MAG_PLUGIN_ENTRY(...)                                                                      \
    const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)                   \
    {                                                                                              \
        static const mag_plugin plugin = {.magic = MAG_PLUGIN_MAGIC,                               \
                                          .struct_size = sizeof plugin,                            \
                                          .abi_major = MAG_ABI_MAJOR,                              \
                                          .abi_minor = MAG_ABI_MINOR,                              \
                                          __VA_ARGS__};                                            \
        (void)host_minor;                                                                          \
        return host_major == MAG_ABI_MAJOR ? &plugin : NULL;                                       \
    }

/* driver: a static const struct mag_driver; the texts as in the manifest. */
#define MAG_DRIVER(driver_, id_, version_, vendor_)                                                \
    static int32_t mag_driver_create_(const mag_host *host, void **self, mag_error *err)           \
    {                                                                                              \
        return mag_driver_create(&(driver_), host, self, err);                                     \
    }                                                                                              \
    MAG_PLUGIN_ENTRY(.id = id_, .version = version_, .vendor = vendor_,                            \
                     .create = mag_driver_create_, .destroy = mag_driver_destroy,                  \
                     .probe = mag_driver_probe, .get_interface = mag_driver_interface)

#endif
