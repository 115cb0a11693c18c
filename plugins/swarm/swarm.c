/* org.magnum.swarm: Docker Swarm clusters. This file is the plugin's entry: descriptor, instance,
 * and the verbs of its interfaces, which hand over to the variant that makes the nodes.
 * Nodes on this machine: local_*.c. Neighbours: sdk/include/magnum (the ABI), swarm_api. */
#include "swarm_internal.h"
#include "workload.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/spawn.h"

#include <magnum/credentials.h>
#include <magnum/lifecycle.h>
#include <magnum/nodegroups.h>
#include <magnum/plan.h>
#include <magnum/rotate.h>
#include <magnum/stats.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STEP_MAX_MS = 10000 };

/* Beside the other helper program. */
static int32_t find_front(struct swarm *s, mag_error *err)
{
    const char *helper = s->machine.helper, *slash = strrchr(helper, '/');
    int n = snprintf(s->front, sizeof s->front, "%.*s/magnum-swarm-front",
                     (int)(slash ? slash - helper : 0), helper);
    if (n > 0 && (size_t)n < sizeof s->front && access(s->front, X_OK) == 0)
        return MAG_OK;
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "ProgramMissing",
                    "install all of the swarm driver", "%s is not installed", s->front);
}

int32_t swarm_machine(struct swarm *s, mag_error *err)
{
    static const struct mag_local_program programs[] = {
        {"dockerd", "docker.io"},
        {"containerd", "docker.io"},
        {"containerd-shim-runc-v2", "docker.io"},
        {"runc", "docker.io"},
        {"iptables", "iptables"},
    };
    const struct mag_local_wants wants = {
        .state_dir = s->state_dir,
        .path = s->path,
        .helper = mag_config(s->host, "local_node_program", NULL),
        .programs = programs,
        .n_programs = MAG_LEN(programs),
    };
    if (s->machine_ok)
        return MAG_OK;
    int32_t rc = mag_local_check(&wants, &s->machine, err);
    if (rc == MAG_OK)
        rc = find_front(s, err);
    s->machine_ok = rc == MAG_OK;
    return rc;
}

int32_t swarm_again(struct swarm_call *c, uint32_t wait_ms, uint32_t percent, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->out) {
        c->out->wait_ms = wait_ms;
        c->out->percent = percent > 99 ? 99 : percent;
        mag_line(c->out->message, sizeof c->out->message, text);
    }
    return MAG_AGAIN;
}

bool swarm_out_of_time(const struct swarm_call *c)
{
    const mag_host *h = c->self->host;
    return mag_now_ms() >= c->until_ms || (h->cancelled && h->cancelled(h->ctx, c->op));
}

typedef int32_t (*verb_fn)(struct swarm_call *c);

/* What all verbs share: read the spec, respect a wish to stop, know when to return. */
static int32_t run(void *self, const mag_op *op, mag_step *out, mag_error *err, verb_fn verb)
{
    struct swarm *s = self;
    _mag_json_ json_t *spec = NULL;
    int32_t rc = mag_json_parse(op->spec, "spec", &spec, err);
    if (rc != MAG_OK)
        return rc;
    int64_t budget = op->budget_ms / 2;
    struct swarm_call c = {
        .self = s,
        .op = op,
        .out = out,
        .err = err,
        .spec = spec,
        .until_ms = mag_now_ms() + (budget > 0 && budget < STEP_MAX_MS ? budget : STEP_MAX_MS),
    };
    bool stop = (op->flags & MAG_OPF_CANCEL) ||
                (s->host->cancelled && s->host->cancelled(s->host->ctx, op));
    if (stop && (verb == local_converge || verb == local_ca_prepare))
        return mag_fail(err, MAG_E_CANCELLED, MAG_ERR_MAY_LEAK, "Cancelled",
                        "delete the cluster, or update it to go on", "Stopped on request");
    return verb(&c);
}

static int32_t swarm_validate(void *self, const mag_op *op, mag_error *err)
{
    return run(self, op, NULL, err, local_validate);
}

static int32_t swarm_converge(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, local_converge);
}

static int32_t swarm_ca_prepare(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, local_ca_prepare);
}

static int32_t swarm_ca_complete(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, local_ca_complete);
}

static int32_t swarm_remove(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, local_remove);
}

static int32_t swarm_health(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, local_health);
}

/* Documents returned to the host live until the next call, which frees them. */
static int32_t answer(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err,
                      int32_t (*query)(struct swarm_call *c, json_t **ret))
{
    struct swarm *s = self;
    _mag_json_ json_t *spec = NULL, *doc = NULL;
    int32_t rc = mag_json_parse(op->spec, "spec", &spec, err);
    struct swarm_call c = {
        .self = s, .op = op, .err = err, .spec = spec, .until_ms = mag_now_ms() + STEP_MAX_MS};
    if (rc == MAG_OK)
        rc = query(&c, &doc);
    if (rc != MAG_OK)
        return rc;
    free(s->answer);
    s->answer = mag_json_dump(doc);
    if (!s->answer)
        return mag_fail_nomem(err);
    *ret_json = mag_text(s->answer);
    return MAG_OK;
}

static int32_t swarm_stats(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, local_stats);
}

static int32_t swarm_client_config(void *self, const mag_op *op, mag_bytes *ret_json,
                                   mag_error *err)
{
    return answer(self, op, ret_json, err, local_client_config);
}

static int32_t swarm_plan(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, local_plan);
}

static int32_t swarm_create(const mag_host *host, void **self, mag_error *err)
{
    struct swarm *s = calloc(1, sizeof *s);
    if (!s)
        return mag_fail_nomem(err);
    s->host = host;
    s->services = mag_services_of(host);
    s->state_dir = mag_config(host, "state_dir", "/var/lib/magnum/swarm");
    s->path = mag_config(host, "program_path", MAG_LOCAL_PATH);
    *self = s;
    return MAG_OK;
}

static void swarm_destroy(void *self)
{
    struct swarm *s = self;
    if (s)
        free(s->answer);
    free(s);
}

static int32_t swarm_probe(void *self, mag_error *err)
{
    return swarm_machine(self, err);
}

static const void *swarm_interface(void *self, const char *id)
{
    static const mag_lifecycle lifecycle = {
        .struct_size = sizeof lifecycle,
        .validate = swarm_validate,
        .create = swarm_converge,
        .update = swarm_converge,
        .remove = swarm_remove,
        .scale = swarm_converge,
        .health = swarm_health,
    };
    static const mag_nodegroups nodegroups = {
        .struct_size = sizeof nodegroups,
        .create = swarm_converge,
        .update = swarm_converge,
        .remove = swarm_converge,
    };
    static const mag_rotate rotate = {
        .struct_size = sizeof rotate,
        .ca_prepare = swarm_ca_prepare,
        .ca_complete = swarm_ca_complete,
    };
    static const mag_credentials credentials = {
        .struct_size = sizeof credentials,
        .client_config = swarm_client_config,
    };
    static const mag_stats stats = {.struct_size = sizeof stats, .read = swarm_stats};
    (void)self;
    if (strcmp(id, MAG_IFACE_LIFECYCLE) == 0)
        return &lifecycle;
    if (strcmp(id, MAG_IFACE_NODEGROUPS) == 0)
        return &nodegroups;
    if (strcmp(id, MAG_IFACE_ROTATE) == 0)
        return &rotate;
    if (strcmp(id, MAG_IFACE_CREDENTIALS) == 0)
        return &credentials;
    static const mag_plan plan = {.struct_size = sizeof plan, .plan = swarm_plan};
    if (strcmp(id, MAG_IFACE_PLAN) == 0)
        return &plan;
    if (strcmp(id, MAG_IFACE_WORKLOAD) == 0)
        return &swarm_workload;
    return strcmp(id, MAG_IFACE_STATS) == 0 ? &stats : NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {
        .magic = MAG_PLUGIN_MAGIC,
        .struct_size = sizeof plugin,
        .abi_major = MAG_ABI_MAJOR,
        .abi_minor = MAG_ABI_MINOR,
        .id = "org.magnum.swarm",
        .version = "0.1.0", /* as in the manifest */
        .vendor = "Magnum",
        .create = swarm_create,
        .destroy = swarm_destroy,
        .probe = swarm_probe,
        .get_interface = swarm_interface,
    };
    (void)host_minor;
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
