/* org.magnum.kubernetes: Kubernetes clusters. This file is the plugin's entry: descriptor,
 * instance, and the verbs of its interfaces, which hand over to the variant that makes the nodes.
 * Nodes on this machine: local_*.c; servers in a cloud, through Heat: heat_*.c.
 * Neighbours: sdk/include/magnum (the ABI), workload.c. */
#include "kubernetes_internal.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/spawn.h"

#include <magnum/credentials.h>
#include <magnum/lifecycle.h>
#include <magnum/nodegroups.h>
#include <magnum/plan.h>
#include <magnum/rotate.h>
#include <magnum/stats.h>
#include <magnum/upgrade.h>
#include <magnum/workload.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { STEP_MAX_MS = 10000 };
#define GROUP_PROGRAM "magnum-local-group"

/* It is installed beside the helper that starts nodes. */
static int32_t find_group(struct kubernetes *s, mag_error *err)
{
    const char *slash = strrchr(s->machine.helper, '/');
    int n = snprintf(s->group, sizeof s->group, "%.*s/" GROUP_PROGRAM,
                     slash ? (int)(slash - s->machine.helper) : 0, s->machine.helper);
    if (n > 0 && (size_t)n < sizeof s->group && access(s->group, X_OK) == 0)
        return MAG_OK;
    return mag_fail(err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                    "install all of Magnum's programs",
                    "Magnum's own program " GROUP_PROGRAM " is not beside %.200s",
                    s->machine.helper);
}

static int32_t find_cni(const struct kubernetes *s, mag_error *err)
{
    static const char *const plugins[] = {"bridge", "host-local", "portmap", "loopback"};
    const char *dir = mag_config(s->host, "cni_path", "/usr/lib/cni");
    char path[300];
    for (size_t i = 0; i < MAG_LEN(plugins); i++) {
        (void)snprintf(path, sizeof path, "%.200s/%s", dir, plugins[i]);
        if (access(path, X_OK) < 0)
            return mag_fail(
                err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                "on the conductor's machine: apt-get install containernetworking-plugins",
                "Kubernetes' nodes need the CNI plugin %s, which is not in %.200s", plugins[i],
                dir);
    }
    return MAG_OK;
}

int32_t kubernetes_machine(struct kubernetes *s, mag_error *err)
{
    static const struct mag_local_program programs[] = {
        {"etcd", "etcd-server"},
        {"containerd", "containerd"},
        {"containerd-shim-runc-v2", "containerd"},
        {"ctr", "containerd"},
        {"runc", "runc"},
        {"iptables", "iptables"},
        {"conntrack", "conntrack"},
        {"ipset", "ipset"},
        {"ethtool", "ethtool"},
        {"socat", "socat"},
        {"busybox", "busybox-static"},
        {"mount", "mount"},
        {"nsenter", "util-linux"},
        {"sha256sum", "coreutils"},
        {"tar", "tar"},
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
        rc = find_group(s, err);
    if (rc == MAG_OK)
        rc = find_cni(s, err);
    if (rc == MAG_OK)
        rc = binaries_find(s, err);
    s->machine_ok = rc == MAG_OK;
    return rc;
}

struct mag_kube kube_api(const struct kube_call *c, uint32_t timeout_ms)
{
    return (struct mag_kube){c->self->host, c->op, "cluster", timeout_ms};
}

int32_t kube_again(struct kube_call *c, uint32_t wait_ms, uint32_t percent, const char *fmt, ...)
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

bool kube_out_of_time(const struct kube_call *c)
{
    const mag_host *h = c->self->host;
    return mag_now_ms() >= c->until_ms || (h->cancelled && h->cancelled(h->ctx, c->op));
}

/* ---- steps ---- */

typedef int32_t (*verb_fn)(struct kube_call *c);
struct verb {
    verb_fn local, heat;
    bool changes; /* what it does may be stopped on request */
};

/* Does the ledger know of a stack? What can't be read is left to the cluster's own words. */
static bool has_stack(const struct kube_call *c)
{
    _mag_json_ json_t *stacks = NULL;
    mag_error e = {.struct_size = sizeof e};
    return mag_ledger_list(&c->self->services, c->op, MAG_HEAT_LEDGER_KIND, &stacks, &e) ==
               MAG_OK &&
           json_array_size(stacks) > 0;
}

/* Nodes on this machine or servers in a cloud: the template says. Where it can't be read any more,
 * a cluster that has a stack is the latter. */
static bool is_local(const struct kube_call *c)
{
    const char *type = mag_json_text(c->spec, "template.server_type", NULL);
    if (type)
        return strcmp(type, "local") == 0;
    return !mag_json_text(c->spec, "cluster.stack_id", NULL) && !has_stack(c);
}

static bool is_stopped(const struct kubernetes *s, const mag_op *op)
{
    return (op->flags & MAG_OPF_CANCEL) ||
           (s->host->cancelled && s->host->cancelled(s->host->ctx, op));
}

/* What all verbs share: read the spec, respect a wish to stop, know when to return. */
static int32_t run(void *self, const mag_op *op, mag_step *out, mag_error *err, struct verb verb)
{
    struct kubernetes *s = self;
    _mag_json_ json_t *spec = NULL;
    int32_t rc = mag_json_parse(op->spec, "spec", &spec, err);
    if (rc != MAG_OK)
        return rc;
    int64_t budget = op->budget_ms / 2;
    struct kube_call c = {
        .self = s,
        .op = op,
        .out = out,
        .err = err,
        .spec = spec,
        .until_ms = mag_now_ms() + (budget > 0 && budget < STEP_MAX_MS ? budget : STEP_MAX_MS),
    };
    if (verb.changes && is_stopped(s, op))
        return mag_fail(err, MAG_E_CANCELLED, MAG_ERR_MAY_LEAK, "Cancelled",
                        "delete the cluster, or update it to go on", "Stopped on request");
    return is_local(&c) ? verb.local(&c) : verb.heat(&c);
}

static int32_t on_validate(void *self, const mag_op *op, mag_error *err)
{
    return run(self, op, NULL, err, (struct verb){local_validate, heat_validate, false});
}

static int32_t on_converge(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, (struct verb){local_converge, heat_converge, true});
}

static int32_t on_group_remove(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, (struct verb){local_converge, heat_remove_group, true});
}

static int32_t on_prepare(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, (struct verb){local_rotate_prepare, heat_rotate_prepare, true});
}

static int32_t on_complete(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err,
               (struct verb){local_rotate_complete, heat_rotate_complete, true});
}

/* Local nodes hold nothing of the cloud that could change. */
static int32_t on_credential(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, (struct verb){local_converge, heat_rotate_credential, true});
}

static int32_t on_remove(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, (struct verb){local_remove, heat_remove, false});
}

static int32_t on_health(void *self, const mag_op *op, mag_step *out, mag_error *err)
{
    return run(self, op, out, err, (struct verb){local_health, heat_health, false});
}

/* ---- documents ---- */

/* They live until the next call, which frees them. */
static int32_t keep_answer(struct kubernetes *s, const json_t *doc, mag_bytes *ret, mag_error *err)
{
    free(s->answer);
    s->answer = mag_json_dump(doc);
    if (!s->answer)
        return mag_fail_nomem(err);
    *ret = mag_text(s->answer);
    return MAG_OK;
}

typedef int32_t (*query_fn)(struct kube_call *c, json_t **ret);

static int32_t answer(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err,
                      query_fn local, query_fn heat)
{
    struct kubernetes *s = self;
    _mag_json_ json_t *spec = NULL, *doc = NULL;
    int32_t rc = mag_json_parse(op->spec, "spec", &spec, err);
    struct kube_call c = {
        .self = s, .op = op, .err = err, .spec = spec, .until_ms = mag_now_ms() + STEP_MAX_MS};
    if (rc == MAG_OK)
        rc = is_local(&c) ? local(&c, &doc) : heat(&c, &doc);
    return rc == MAG_OK ? keep_answer(s, doc, ret_json, err) : rc;
}

static int32_t on_stats(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, local_stats, heat_stats);
}

static int32_t on_client_config(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, cluster_client_config, cluster_client_config);
}

static int32_t on_plan(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, local_plan, heat_plan);
}

static int32_t on_upgrade_plan(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    return answer(self, op, ret_json, err, local_upgrade_plan, heat_upgrade_plan);
}

typedef int32_t (*workload_fn)(struct kube_call *c, const struct workload_call *w, json_t **ret);

static int32_t workload(void *self, const mag_op *op, const struct workload_call *w,
                        mag_bytes *ret_json, mag_error *err, workload_fn verb)
{
    struct kubernetes *s = self;
    _mag_json_ json_t *spec = NULL, *doc = NULL;
    int32_t rc = mag_json_parse(op->spec, "spec", &spec, err);
    struct kube_call c = {
        .self = s, .op = op, .err = err, .spec = spec, .until_ms = mag_now_ms() + STEP_MAX_MS};
    if (rc == MAG_OK)
        rc = verb(&c, w, &doc);
    return rc == MAG_OK && ret_json ? keep_answer(s, doc, ret_json, err) : rc;
}

static int32_t on_list(void *self, const mag_op *op, const char *kind, mag_bytes query,
                       mag_bytes *ret_json, mag_error *err)
{
    const struct workload_call w = {.kind = kind, .doc = query};
    return workload(self, op, &w, ret_json, err, workload_list);
}

static int32_t on_get(void *self, const mag_op *op, const char *kind, const char *name,
                      mag_bytes *ret_json, mag_error *err)
{
    const struct workload_call w = {.kind = kind, .name = name};
    return workload(self, op, &w, ret_json, err, workload_get);
}

static int32_t on_create(void *self, const mag_op *op, const char *kind, mag_bytes doc,
                         mag_bytes *ret_json, mag_error *err)
{
    const struct workload_call w = {.kind = kind, .doc = doc};
    return workload(self, op, &w, ret_json, err, workload_create);
}

static int32_t on_update(void *self, const mag_op *op, const char *kind, const char *name,
                         mag_bytes doc, mag_bytes *ret_json, mag_error *err)
{
    const struct workload_call w = {.kind = kind, .name = name, .doc = doc};
    return workload(self, op, &w, ret_json, err, workload_update);
}

static int32_t on_delete(void *self, const mag_op *op, const char *kind, const char *name,
                         mag_error *err)
{
    const struct workload_call w = {.kind = kind, .name = name};
    return workload(self, op, &w, NULL, err, workload_remove);
}

/* ---- the plugin ---- */

static int32_t kubernetes_create(const mag_host *host, void **self, mag_error *err)
{
    struct kubernetes *s = calloc(1, sizeof *s);
    if (!s)
        return mag_fail_nomem(err);
    s->host = host;
    s->services = mag_services_of(host);
    s->state_dir = mag_config(host, "state_dir", "/var/lib/magnum/kubernetes");
    s->path = mag_config(host, "program_path", MAG_LOCAL_PATH);
    *self = s;
    return MAG_OK;
}

static void kubernetes_destroy(void *self)
{
    struct kubernetes *s = self;
    if (s) {
        mag_heat_cache_done(&s->stacks);
        free(s->answer);
    }
    free(s);
}

/* Where there is a cloud, clusters do not need this machine's programs; a request for local nodes
 * is told what is missing when it is checked. */
static int32_t kubernetes_probe(void *self, mag_error *err)
{
    struct kubernetes *s = self;
    bool cloud = *mag_config(s->host, "auth_url", "") != '\0';
    return cloud ? MAG_OK : kubernetes_machine(s, err);
}

static const void *kubernetes_interface(void *self, const char *id)
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
        .remove = on_group_remove,
    };
    static const mag_upgrade upgrade = {
        .struct_size = sizeof upgrade, .plan = on_upgrade_plan, .upgrade = on_converge};
    static const mag_rotate rotate = {
        .struct_size = sizeof rotate,
        .ca_prepare = on_prepare,
        .ca_complete = on_complete,
        .credential = on_credential,
    };
    static const mag_credentials credentials = {
        .struct_size = sizeof credentials,
        .client_config = on_client_config,
    };
    static const mag_stats stats = {.struct_size = sizeof stats, .read = on_stats};
    static const mag_plan plan = {.struct_size = sizeof plan, .plan = on_plan};
    static const mag_workload objects = {
        .struct_size = sizeof objects,
        .list = on_list,
        .get = on_get,
        .create = on_create,
        .update = on_update,
        .remove = on_delete,
    };
    static const struct {
        const char *id;
        const void *iface;
    } all[] = {
        {MAG_IFACE_LIFECYCLE, &lifecycle},
        {MAG_IFACE_NODEGROUPS, &nodegroups},
        {MAG_IFACE_UPGRADE, &upgrade},
        {MAG_IFACE_ROTATE, &rotate},
        {MAG_IFACE_CREDENTIALS, &credentials},
        {MAG_IFACE_STATS, &stats},
        {MAG_IFACE_PLAN, &plan},
        {MAG_IFACE_WORKLOAD, &objects},
    };
    (void)self;
    for (size_t i = 0; i < MAG_LEN(all); i++)
        if (strcmp(id, all[i].id) == 0)
            return all[i].iface;
    return NULL;
}

const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t host_minor)
{
    static const mag_plugin plugin = {
        .magic = MAG_PLUGIN_MAGIC,
        .struct_size = sizeof plugin,
        .abi_major = MAG_ABI_MAJOR,
        .abi_minor = MAG_ABI_MINOR,
        .id = "org.magnum.kubernetes",
        .version = "0.1.0", /* as in the manifest */
        .vendor = "Magnum",
        .create = kubernetes_create,
        .destroy = kubernetes_destroy,
        .probe = kubernetes_probe,
        .get_interface = kubernetes_interface,
    };
    (void)host_minor;
    return host_major == MAG_ABI_MAJOR ? &plugin : NULL;
}
