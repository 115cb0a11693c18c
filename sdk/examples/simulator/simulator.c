/* The descriptor: what the simulator is and offers. See sim.h. */
#include "sim.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int32_t sim_need_state_dir(const struct sim *s, mag_error *err)
{
    if (s->state_dir && s->state_dir[0] == '/') {
        if (mkdir(s->state_dir, 0700) == 0 || errno == EEXIST)
            return MAG_OK;
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "StateDirUnusable",
                        "Make the directory, or set another state_dir.", "Cannot make %s: %s",
                        s->state_dir, strerror(errno));
    }
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "NotConfigured",
                    "Set state_dir in section driver_config, org.magnum.simulator, to an absolute "
                    "path.",
                    "The simulator has no directory for its pretended nodes");
}

static int32_t sim_create(const mag_host *host, void **self, mag_error *err)
{
    struct sim *s = calloc(1, sizeof *s);
    if (!s)
        return mag_fail_nomem(err);
    s->services = mag_services_of(host);
    s->state_dir = mag_config(host, "state_dir", NULL);
    *self = s;
    return MAG_OK;
}

static void sim_destroy(void *self)
{
    struct sim *s = self;
    free(s->answer);
    free(s);
}

static int32_t sim_probe(void *self, mag_error *err)
{
    return sim_need_state_dir(self, err);
}

static const void *sim_interface(void *self, const char *id)
{
    (void)self;
    if (strcmp(id, MAG_IFACE_LIFECYCLE) == 0)
        return &sim_lifecycle;
    const void *found = sim_step_interface(id);
    if (!found)
        found = sim_inventory_interface(id);
    if (!found)
        found = sim_workload_interface(id);
    return found ? found : sim_query_interface(id);
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {.magic = MAG_PLUGIN_MAGIC,
                                      .struct_size = sizeof plugin,
                                      .abi_major = MAG_ABI_MAJOR,
                                      .abi_minor = MAG_ABI_MINOR,
                                      .id = "org.magnum.simulator",
                                      .version = SIM_VERSION,
                                      .vendor = "Magnum",
                                      .create = sim_create,
                                      .destroy = sim_destroy,
                                      .probe = sim_probe,
                                      .get_interface = sim_interface};
    (void)host_minor;
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
