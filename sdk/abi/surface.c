/* Every published struct in one exported signature, so that abidiff, which follows types from what
 * a library exports, sees all of them: the interfaces are reached through void pointers and would
 * be missed. Built with debug information, installed nowhere; a new struct is appended. See
 * POLICY.md. */
#include <magnum/cert.h>
#include <magnum/credentials.h>
#include <magnum/inventory.h>
#include <magnum/lifecycle.h>
#include <magnum/nodegroups.h>
#include <magnum/plan.h>
#include <magnum/plugin.h>
#include <magnum/rotate.h>
#include <magnum/stats.h>
#include <magnum/upgrade.h>
#include <magnum/workload.h>

MAG_EXPORT int mag_abi_surface(const mag_plugin *plugin, const mag_host *host,
                               const mag_host_ledger *ledger, const mag_host_cert *host_cert,
                               const mag_host_render *render, const mag_lifecycle *lifecycle,
                               const mag_nodegroups *nodegroups, const mag_upgrade *upgrade,
                               const mag_rotate *rotate, const mag_credentials *credentials,
                               const mag_workload *workload, const mag_stats *stats,
                               const mag_plan *plan, const mag_inventory *inventory,
                               const mag_cert_store *store, const mag_cert_sign *sign);

int mag_abi_surface(const mag_plugin *plugin, const mag_host *host, const mag_host_ledger *ledger,
                    const mag_host_cert *host_cert, const mag_host_render *render,
                    const mag_lifecycle *lifecycle, const mag_nodegroups *nodegroups,
                    const mag_upgrade *upgrade, const mag_rotate *rotate,
                    const mag_credentials *credentials, const mag_workload *workload,
                    const mag_stats *stats, const mag_plan *plan, const mag_inventory *inventory,
                    const mag_cert_store *store, const mag_cert_sign *sign)
{
    const void *const all[] = {plugin,     host,      ledger, host_cert,   render,   lifecycle,
                               nodegroups, upgrade,   rotate, credentials, workload, stats,
                               plan,       inventory, store,  sign};
    int n = 0;
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        n += all[i] != NULL;
    return n;
}

MAG_EXPORT const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    (void)host_major;
    (void)host_minor;
    return NULL;
}
