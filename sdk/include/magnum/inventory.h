/* magnum/inventory.h - "mag.coe.inventory/1": what the backend holds for this deployment, whether
 * the core knows it or not. Optional. The core compares it with its ledger and reports what nobody
 * owns (a leak), or has it removed when the operator wants that. */
#ifndef MAGNUM_INVENTORY_H
#define MAGNUM_INVENTORY_H

#include "magnum/plugin.h"

#define MAG_IFACE_INVENTORY "mag.coe.inventory/1"

typedef struct mag_inventory {
    uint32_t struct_size;
    uint32_t reserved0;
    /* Everything that carries this deployment's tags or derived names, of all clusters; read only.
     * op->cluster_id is "". spec.params.after: where the last page ended, or null. *ret_json:
     * {"items": [{"kind", "name", "cluster_id", "external_id"}], "next": text or null}; kind and
     * name as in the ledger, cluster_id the one the name or tag was derived from. */
    int32_t (*list)(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err);
    /* Removes one listed item; op->cluster_id is the item's. Short and repeatable; absent means
     * MAG_OK. May be NULL: leaks are only reported. */
    int32_t (*remove)(void *self, const mag_op *op, const char *kind, const char *name,
                      mag_error *err);
} mag_inventory;

#endif
