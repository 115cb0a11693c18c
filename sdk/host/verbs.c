/* See verbs.h. */
#include "host/verbs.h"

#include "magnum/cert.h"
#include "magnum/credentials.h"
#include "magnum/inventory.h"
#include "magnum/lifecycle.h"
#include "magnum/nodegroups.h"
#include "magnum/plan.h"
#include "magnum/rotate.h"
#include "magnum/stats.h"
#include "magnum/upgrade.h"
#include "magnum/workload.h"

#include <string.h>

#define V(iface, type, member, shape, operation)                                                   \
    {                                                                                              \
        iface, #member, offsetof(type, member), shape, operation                                   \
    }

const struct verb verb_table[] = {
    V(MAG_IFACE_LIFECYCLE, mag_lifecycle, validate, SHAPE_CHECK, NULL),
    V(MAG_IFACE_LIFECYCLE, mag_lifecycle, create, SHAPE_STEP, "create"),
    V(MAG_IFACE_LIFECYCLE, mag_lifecycle, update, SHAPE_STEP, "update"),
    V(MAG_IFACE_LIFECYCLE, mag_lifecycle, remove, SHAPE_STEP, "delete"),
    V(MAG_IFACE_LIFECYCLE, mag_lifecycle, scale, SHAPE_STEP, "scale"),
    V(MAG_IFACE_LIFECYCLE, mag_lifecycle, health, SHAPE_STEP, "health"),
    V(MAG_IFACE_NODEGROUPS, mag_nodegroups, create, SHAPE_STEP, NULL),
    V(MAG_IFACE_NODEGROUPS, mag_nodegroups, update, SHAPE_STEP, NULL),
    V(MAG_IFACE_NODEGROUPS, mag_nodegroups, remove, SHAPE_STEP, NULL),
    V(MAG_IFACE_UPGRADE, mag_upgrade, plan, SHAPE_DOC, NULL),
    V(MAG_IFACE_UPGRADE, mag_upgrade, upgrade, SHAPE_STEP, NULL),
    V(MAG_IFACE_ROTATE, mag_rotate, ca_prepare, SHAPE_STEP, NULL),
    V(MAG_IFACE_ROTATE, mag_rotate, ca_complete, SHAPE_STEP, NULL),
    V(MAG_IFACE_ROTATE, mag_rotate, credential, SHAPE_STEP, NULL),
    V(MAG_IFACE_CREDENTIALS, mag_credentials, client_config, SHAPE_DOC, NULL),
    V(MAG_IFACE_STATS, mag_stats, read, SHAPE_DOC, NULL),
    V(MAG_IFACE_PLAN, mag_plan, plan, SHAPE_DOC, NULL),
    V(MAG_IFACE_INVENTORY, mag_inventory, list, SHAPE_DOC, NULL),
    V(MAG_IFACE_INVENTORY, mag_inventory, remove, SHAPE_REMOVE, NULL),
    V(MAG_IFACE_WORKLOAD, mag_workload, list, SHAPE_LIST, NULL),
    V(MAG_IFACE_WORKLOAD, mag_workload, get, SHAPE_GET, NULL),
    V(MAG_IFACE_WORKLOAD, mag_workload, create, SHAPE_CREATE, NULL),
    V(MAG_IFACE_WORKLOAD, mag_workload, update, SHAPE_UPDATE, NULL),
    V(MAG_IFACE_WORKLOAD, mag_workload, remove, SHAPE_REMOVE, NULL),
    V(MAG_IFACE_WORKLOAD, mag_workload, action, SHAPE_ACTION, NULL),
    V(MAG_IFACE_CERT_STORE, mag_cert_store, put, SHAPE_CERT_PUT, NULL),
    V(MAG_IFACE_CERT_STORE, mag_cert_store, get, SHAPE_CERT_GET, NULL),
    V(MAG_IFACE_CERT_STORE, mag_cert_store, del, SHAPE_CERT_DEL, NULL),
    V(MAG_IFACE_CERT_SIGN, mag_cert_sign, sign_csr, SHAPE_CERT_SIGN, NULL),
};
const size_t verb_count = sizeof verb_table / sizeof verb_table[0];

const struct verb *verb_find(const char *iface, const char *name)
{
    for (size_t i = 0; i < verb_count; i++)
        if (strcmp(verb_table[i].iface, iface) == 0 && strcmp(verb_table[i].name, name) == 0)
            return &verb_table[i];
    return NULL;
}

bool verb_iface_known(const char *iface)
{
    for (size_t i = 0; i < verb_count; i++)
        if (strcmp(verb_table[i].iface, iface) == 0)
            return true;
    return false;
}

verb_fn verb_function(const struct verb *v, const void *iface_struct)
{
    uint32_t size;
    memcpy(&size, iface_struct, sizeof size);
    if (size < v->offset + sizeof(verb_fn))
        return NULL;
    verb_fn fn;
    memcpy(&fn, (const char *)iface_struct + v->offset, sizeof fn);
    return fn;
}
