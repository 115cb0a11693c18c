/* See load.h. The only file that includes dlfcn.h. */
#include "host/load.h"

#include "host/verbs.h"
#include "magnum/lifecycle.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool listed(const json_t *list, const char *s)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        const char *have = json_string_value(v);
        if (have && strcmp(have, s) == 0)
            return true;
    }
    return false;
}

int load_alone(const char *library, char why[LOAD_WHY])
{
    if (dlopen(library, RTLD_NOW | RTLD_LOCAL))
        return 0;
    snprintf(why, LOAD_WHY, "%s", dlerror());
    return -1;
}

static mag_plugin_entry_fn find_entry(int lib_fd, char why[LOAD_WHY])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", lib_fd);
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        snprintf(why, LOAD_WHY, "the library can't be loaded: %s", dlerror());
        return NULL;
    }
    void *sym = dlsym(lib, "mag_plugin_entry");
    if (!sym) {
        snprintf(why, LOAD_WHY, "the library does not export mag_plugin_entry");
        return NULL;
    }
    mag_plugin_entry_fn entry;
    memcpy(&entry, &sym, sizeof entry); /* ISO C has no cast from object to function pointer */
    return entry;
}

/* The first four members are readable in every major; nothing else is before they are checked. */
static int check_descriptor(const mag_plugin *p, const json_t *manifest, const mag_host *host,
                            char why[LOAD_WHY])
{
    const size_t least = offsetof(mag_plugin, get_interface) + sizeof p->get_interface;
    if (p->magic != MAG_PLUGIN_MAGIC)
        snprintf(why, LOAD_WHY,
                 "magic number is 0x%08x, this host wants 0x%08x: the plugin was "
                 "built for a patched host or is damaged",
                 p->magic, MAG_PLUGIN_MAGIC);
    else if (p->abi_major != host->abi_major)
        snprintf(why, LOAD_WHY, "plugin ABI is %u.%u, this host offers %u.%u", p->abi_major,
                 p->abi_minor, host->abi_major, host->abi_minor);
    else if (p->struct_size < least)
        snprintf(why, LOAD_WHY, "descriptor has %u bytes, at least %zu are needed", p->struct_size,
                 least);
    else if (!p->id || !p->version || !p->create || !p->destroy || !p->get_interface)
        snprintf(why, LOAD_WHY, "descriptor lacks id, version, create, destroy or get_interface");
    else if (strcmp(p->id, text(manifest, "id")) != 0)
        snprintf(why, LOAD_WHY, "library says its id is %.128s, the manifest says %.128s", p->id,
                 text(manifest, "id"));
    else
        return 0;
    return -1;
}

const mag_plugin *load_library(int lib_fd, const json_t *manifest, const mag_host *host,
                               char why[LOAD_WHY])
{
    mag_plugin_entry_fn entry = find_entry(lib_fd, why);
    if (!entry)
        return NULL;
    const mag_plugin *p = entry(host->abi_major, host->abi_minor);
    if (!p) {
        snprintf(why, LOAD_WHY, "plugin refuses ABI %u.%u of this host", host->abi_major,
                 host->abi_minor);
        return NULL;
    }
    return check_descriptor(p, manifest, host, why) == 0 ? p : NULL;
}

/* The verbs of one interface that can be called, compared with the manifest's operations. */
static int collect_verbs(const char *iface, const void *table, const json_t *manifest,
                         json_t *verbs, char why[LOAD_WHY])
{
    const json_t *operations = json_object_get(manifest, "operations");
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *v = &verb_table[i];
        if (strcmp(v->iface, iface) != 0)
            continue;
        bool has = verb_function(v, table) != NULL;
        if (v->operation && has != listed(operations, v->operation)) {
            snprintf(why, LOAD_WHY,
                     has ? "the library offers operation '%s', the manifest does "
                           "not list it"
                         : "the manifest lists operation '%s', the library does "
                           "not offer it",
                     v->operation);
            return -1;
        }
        if (has && json_array_append_new(verbs, json_string(v->name)) < 0) {
            snprintf(why, LOAD_WHY, "out of memory");
            return -1;
        }
    }
    return 0;
}

static int collect(const char *iface, const mag_plugin *plugin, void *self, const json_t *manifest,
                   json_t *offer, char why[LOAD_WHY])
{
    const void *table = plugin->get_interface(self, iface);
    bool wanted = listed(json_object_get(manifest, "interfaces"), iface);
    if ((table != NULL) != wanted) {
        snprintf(why, LOAD_WHY,
                 table ? "the library offers %s, the manifest does not list it"
                       : "the manifest lists %s, the library does not offer it",
                 iface);
        return -1;
    }
    if (!table)
        return 0;
    json_t *verbs = json_array();
    if (json_array_append_new(json_object_get(offer, "interfaces"), json_string(iface)) < 0 ||
        json_object_set_new(json_object_get(offer, "verbs"), iface, verbs) < 0) {
        snprintf(why, LOAD_WHY, "out of memory");
        return -1;
    }
    return verb_iface_known(iface) ? collect_verbs(iface, table, manifest, verbs, why) : 0;
}

int load_interfaces(const mag_plugin *plugin, void *self, const json_t *manifest, json_t **ret,
                    char why[LOAD_WHY])
{
    json_t *offer = json_pack("{s:[],s:{}}", "interfaces", "verbs");
    int rc = offer ? 0 : -1;
    if (rc < 0)
        snprintf(why, LOAD_WHY, "out of memory");
    /* The table is sorted by interface: each one is asked for once. */
    for (size_t i = 0; rc == 0 && i < verb_count; i++)
        if (i == 0 || strcmp(verb_table[i].iface, verb_table[i - 1].iface) != 0)
            rc = collect(verb_table[i].iface, plugin, self, manifest, offer, why);
    /* Interfaces of a later minor: must be there when listed, but nobody here will call them. */
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(manifest, "interfaces"), i, v)
    {
        const char *iface = json_string_value(v);
        if (rc == 0 && iface && !verb_iface_known(iface))
            rc = collect(iface, plugin, self, manifest, offer, why);
    }
    if (rc < 0)
        json_decref(offer);
    else
        *ret = offer;
    return rc;
}
