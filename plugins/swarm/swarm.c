/* org.magnum.swarm: Docker Swarm clusters. This file is the plugin's entry: descriptor, instance,
 * and the verbs of its interfaces, which hand over to the variant that makes the nodes.
 * Nodes on this machine: local_*.c; in a cloud, through Heat: heat_*.c. Neighbours:
 * sdk/include/magnum (the ABI), swarm_api. */
#include "heat_swarm.h"
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

bool swarm_out_of_time(const struct swarm_call *c)
{
    const mag_host *h = c->self->host;
    return mag_now_ms() >= c->until_ms || (h->cancelled && h->cancelled(h->ctx, c->op));
}

typedef int32_t (*verb_fn)(struct swarm_call *c);
enum verb { VALIDATE, CONVERGE, CA_PREPARE, CA_COMPLETE, REMOVE, HEALTH };

/* A delete knows no template when the database has lost it, or when nothing was stored yet: then
 * both ways are looked at. Without a stack in the ledger none was asked for, and there may be no
 * Heat at all. */
static int32_t remove_any(struct swarm_call *c)
{
    _mag_json_ json_t *stacks = NULL;
    int32_t rc = local_remove(c);
    if (rc == MAG_OK)
        rc = mag_ledger_list(&c->self->services, c->op, MAG_HEAT_LEDGER_KIND, &stacks, c->err);
    return rc == MAG_OK && json_array_size(stacks) ? heat_remove(c) : rc;
}

static bool through_heat(const json_t *spec)
{
    const char *type = mag_json_text(spec, "template.server_type", "local");
    return *type && strcmp(type, "local") != 0;
}

static verb_fn function_of(const json_t *spec, enum verb verb)
{
    static const verb_fn local[] = {local_validate,    local_converge, local_ca_prepare,
                                    local_ca_complete, local_remove,   local_health};
    static const verb_fn heat[] = {heat_validate,    heat_converge, heat_ca_prepare,
                                   heat_ca_complete, heat_remove,   heat_health};
    if (verb == REMOVE && !*mag_json_text(spec, "template.server_type", ""))
        return remove_any;
    return through_heat(spec) ? heat[verb] : local[verb];
}

/* What all verbs share: read the spec, respect a wish to stop, know when to return. */
static int32_t run(void *self, const mag_op *op, mag_step *out, mag_error *err, enum verb verb)
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
    if (stop && (verb == CONVERGE || verb == CA_PREPARE))
        return mag_fail(err, MAG_E_CANCELLED, MAG_ERR_MAY_LEAK, "Cancelled",
                        "delete the cluster, or update it to go on", "Stopped on request");
    return function_of(spec, verb)(&c);
}

static int32_t swarm_validate(void *self, const mag_op *op, mag_error *err)
{
    return run(self, op, NULL, err, VALIDATE);
}

static int32_t swarm_converge(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, CONVERGE);
}

static int32_t swarm_ca_prepare(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, CA_PREPARE);
}

static int32_t swarm_ca_complete(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, CA_COMPLETE);
}

static int32_t swarm_remove(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, REMOVE);
}

static int32_t swarm_health(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, HEALTH);
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

static int32_t any_stats(struct swarm_call *c, json_t **ret)
{
    return through_heat(c->spec) ? heat_stats(c, ret) : local_stats(c, ret);
}

static int32_t any_plan(struct swarm_call *c, json_t **ret)
{
    return through_heat(c->spec) ? heat_plan(c, ret) : local_plan(c, ret);
}

static int32_t swarm_stats(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, any_stats);
}

static int32_t swarm_client_config(void *self, const mag_op *op, mag_bytes *ret_json,
                                   mag_error *err)
{
    return answer(self, op, ret_json, err, local_client_config);
}

static int32_t swarm_plan(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, any_plan);
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
    struct swarm *s = self;
    mag_error why = {.struct_size = sizeof why};
    int32_t rc = swarm_machine(s, &why);
    if (rc == MAG_OK)
        return rc;
    if (!*mag_config(s->host, "auth_url", "")) { /* no cloud: all there could be is local nodes */
        *err = why;
        return rc;
    }
    mag_log(s->host, MAG_LOG_INFO, "No local nodes here: %s", why.message);
    return MAG_OK;
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
