/* org.magnum.mesos: Mesos clusters through Heat. This file is the plugin's entry: descriptor,
 * instance, and the verbs of its interfaces. Neighbours: mesos_cluster.c, mesos_members.c. */
#include "mesos_internal.h"

#include "lib/cleanup.h"
#include "lib/fail.h"

#include <magnum/lifecycle.h>
#include <magnum/nodegroups.h>
#include <magnum/plan.h>
#include <magnum/stats.h>

#include <string.h>

typedef int32_t (*verb_fn)(struct mesos_call *c);

static int32_t run(void *self, const mag_op *op, mag_step *out, mag_error *err, verb_fn verb)
{
    struct mesos *m = self;
    _mag_json_ json_t *spec = NULL;
    int32_t rc = mag_json_parse(op->spec, "spec", &spec, err);
    if (rc != MAG_OK)
        return rc;
    struct mesos_call c = {.self = m, .op = op, .out = out, .err = err, .spec = spec};
    bool stop = (op->flags & MAG_OPF_CANCEL) ||
                (m->host->cancelled && m->host->cancelled(m->host->ctx, op));
    if (stop && verb == mesos_converge)
        return mag_fail(err, MAG_E_CANCELLED, MAG_ERR_MAY_LEAK, "Cancelled",
                        "delete the cluster, or update it to go on", "Stopped on request");
    return verb(&c);
}

static int32_t on_validate(void *self, const mag_op *op, mag_error *err)
{
    return run(self, op, NULL, err, mesos_validate);
}

static int32_t on_converge(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, mesos_converge);
}

static int32_t on_remove(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, mesos_remove);
}

static int32_t on_health(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, mesos_health);
}

/* Documents returned to the host live until the next call, which frees them. */
static int32_t answer(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err,
                      int32_t (*query)(struct mesos_call *c, json_t **ret))
{
    struct mesos *m = self;
    _mag_json_ json_t *spec = NULL, *doc = NULL;
    int32_t rc = mag_json_parse(op->spec, "spec", &spec, err);
    struct mesos_call c = {.self = m, .op = op, .err = err, .spec = spec};
    if (rc == MAG_OK)
        rc = query(&c, &doc);
    if (rc != MAG_OK)
        return rc;
    free(m->answer);
    m->answer = mag_json_dump(doc);
    if (!m->answer)
        return mag_fail_nomem(err);
    *ret_json = mag_text(m->answer);
    return MAG_OK;
}

static int32_t on_stats(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, mesos_stats);
}

static int32_t on_plan(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, mesos_plan);
}

static int32_t mesos_create(const mag_host *host, void **self, mag_error *err)
{
    struct mesos *m = calloc(1, sizeof *m);
    if (!m)
        return mag_fail_nomem(err);
    m->host = host;
    m->services = mag_services_of(host);
    *self = m;
    return MAG_OK;
}

static void mesos_destroy(void *self)
{
    struct mesos *m = self;
    if (m)
        free(m->answer);
    free(m);
}

static const void *mesos_interface(void *self, const char *id)
{
    static const mag_lifecycle lifecycle = {
        .struct_size = sizeof lifecycle,
        .validate = on_validate,
        .create = on_converge,
        .update = on_converge,
        .remove = on_remove,
        .scale = on_converge,
        .health = on_health,
    };
    static const mag_nodegroups nodegroups = {
        .struct_size = sizeof nodegroups,
        .create = on_converge,
        .update = on_converge,
        .remove = on_converge,
    };
    static const mag_stats stats = {.struct_size = sizeof stats, .read = on_stats};
    static const mag_plan plan = {.struct_size = sizeof plan, .plan = on_plan};
    (void)self;
    if (strcmp(id, MAG_IFACE_LIFECYCLE) == 0)
        return &lifecycle;
    if (strcmp(id, MAG_IFACE_NODEGROUPS) == 0)
        return &nodegroups;
    if (strcmp(id, MAG_IFACE_PLAN) == 0)
        return &plan;
    return strcmp(id, MAG_IFACE_STATS) == 0 ? &stats : NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {
        .magic = MAG_PLUGIN_MAGIC,
        .struct_size = sizeof plugin,
        .abi_major = MAG_ABI_MAJOR,
        .abi_minor = MAG_ABI_MINOR,
        .id = "org.magnum.mesos",
        .version = "0.1.0", /* as in the manifest */
        .vendor = "Magnum",
        .create = mesos_create,
        .destroy = mesos_destroy,
        .get_interface = mesos_interface,
    };
    (void)host_minor;
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
