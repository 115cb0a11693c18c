/* The short calls that only look: client configuration, use, plans. See sim.h. */
#include "sim.h"

#include <magnum/credentials.h>
#include <magnum/plan.h>
#include <magnum/stats.h>

#include <string.h>

int32_t sim_return(void *self, json_t *doc, mag_bytes *ret_json, mag_error *err)
{
    struct sim *s = self;
    free(s->answer);
    s->answer = doc ? mag_json_dump(doc) : NULL;
    json_decref(doc);
    if (!s->answer)
        return mag_fail_nomem(err);
    *ret_json = mag_text(s->answer);
    return MAG_OK;
}

/* The spec and the nodes there are. */
static int32_t look(void *self, const mag_op *op, json_t **ret_spec, struct sim_nodes *ret_have,
                    mag_error *err)
{
    char dir[SIM_PATH];
    int32_t rc = sim_need_state_dir(self, err);
    if (rc != MAG_OK)
        return rc;
    if (!sim_cluster_dir(self, op->cluster_id, dir))
        return mag_fail(err, MAG_E_INVALID, 0, "BadClusterId", NULL,
                        "The cluster's id can't be a file name");
    rc = mag_json_parse(op->spec, "the spec", ret_spec, err);
    return rc == MAG_OK ? sim_nodes_list(dir, ret_have, err) : rc;
}

static int32_t sim_plan(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    static const char *const lists[] = {
        [SIM_REMOVE] = "remove", [SIM_MAKE] = "make", [SIM_CHANGE] = "change"};
    _mag_json_ json_t *spec = NULL;
    struct sim_nodes have = {0};
    struct sim_changes todo = {0};
    int32_t rc = look(self, op, &spec, &have, err);
    bool remove = strcmp(mag_json_text(spec, "params.kind", ""), "delete") == 0;
    if (rc == MAG_OK)
        rc =
            sim_diff(&have, op->cluster_id, remove ? NULL : spec, (struct sim_mark){0}, &todo, err);
    json_t *doc = json_pack("{s:[],s:[],s:[]}", "make", "change", "remove");
    for (size_t i = 0; rc == MAG_OK && i < todo.n; i++)
        json_array_append_new(json_object_get(doc, lists[todo.v[i].what]),
                              json_pack("{s:s,s:s,s:s}", "kind", SIM_NODE_KIND, "name",
                                        todo.v[i].node.name, "detail",
                                        mag_json_text(todo.v[i].node.doc, "version", "")));
    sim_changes_done(&todo);
    sim_nodes_done(&have);
    if (rc == MAG_OK)
        return sim_return(self, doc, ret_json, err);
    json_decref(doc);
    return rc;
}

static int32_t sim_stats(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    _mag_json_ json_t *spec = NULL;
    struct sim_nodes have = {0};
    int64_t cpu = 0, memory = 0, masters = 0;
    int32_t rc = look(self, op, &spec, &have, err);
    for (size_t i = 0; i < have.n; i++) {
        cpu += mag_json_int(have.v[i].doc, "cpu", 0);
        memory += mag_json_int(have.v[i].doc, "memory_mb", 0);
        masters += strcmp(mag_json_text(have.v[i].doc, "role", ""), "master") == 0;
    }
    json_int_t nodes = (json_int_t)have.n;
    sim_nodes_done(&have);
    if (rc != MAG_OK)
        return rc;
    /* Nothing runs on pretended nodes but the masters' own services: one CPU and one GB each. */
    json_t *doc = json_pack("{s:I,s:{s:I,s:I},s:{s:I,s:I}}", "nodes", nodes, "cpu", "capacity",
                            (json_int_t)cpu, "used", (json_int_t)masters, "memory_mb", "capacity",
                            (json_int_t)memory, "used", (json_int_t)masters * 1024);
    return sim_return(self, doc, ret_json, err);
}

static const char kubeconfig[] = "apiVersion: v1\n"
                                 "kind: Config\n"
                                 "clusters:\n"
                                 "- name: %s\n"
                                 "  cluster: {server: '%s', certificate-authority: '${ca}'}\n"
                                 "users:\n"
                                 "- name: admin\n"
                                 "  user: {client-certificate: '${cert}', client-key: '${key}'}\n"
                                 "contexts:\n"
                                 "- name: default\n"
                                 "  context: {cluster: %s, user: admin}\n"
                                 "current-context: default\n";

static int32_t sim_client_config(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    _mag_json_ json_t *spec = NULL;
    int32_t rc = mag_json_parse(op->spec, "the spec", &spec, err);
    if (rc != MAG_OK)
        return rc;
    const char *address = mag_json_text(spec, "cluster.api_address", "");
    const char *name = mag_json_text(spec, "cluster.name", op->cluster_id);
    if (!*address)
        return mag_fail(err, MAG_E_PRECONDITION, 0, "NoApiAddress",
                        "Wait until the cluster is complete.", "The cluster has no address yet");
    json_t *doc;
    if (strncmp(mag_json_text(spec, "template.coe", ""), "swarm", 5) == 0)
        doc = json_pack("{s:{},s:{s:s,s:s,s:s}}", "files", "env", "DOCKER_HOST", address,
                        "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "${dir}");
    else
        doc = json_pack("{s:{s:o},s:{s:s}}", "files", "config",
                        json_sprintf(kubeconfig, name, address, name), "env", "KUBECONFIG",
                        "${dir}/config");
    return sim_return(self, doc, ret_json, err);
}

int32_t sim_upgrade_plan(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    _mag_json_ json_t *spec = NULL, *prior = NULL;
    struct sim_nodes have = {0};
    int32_t rc = look(self, op, &spec, &have, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(op->prior, "the prior spec", &prior, err);
    json_t *replace = json_array();
    for (size_t i = 0; rc == MAG_OK && i < have.n; i++)
        if (strcmp(mag_json_text(have.v[i].doc, "version", ""), sim_version(spec, NULL)) != 0)
            json_array_append_new(replace, json_string(have.v[i].name));
    sim_nodes_done(&have);
    const char *from = mag_json_text(prior, "template.coe", NULL);
    const char *to = mag_json_text(spec, "template.coe", "");
    bool allowed = !from || strcmp(from, to) == 0;
    json_t *doc =
        json_pack("{s:b,s:s,s:o,s:I}", "allowed", (int)allowed, "reason",
                  allowed ? "" : "The COE of a cluster can't be changed.", "replace", replace,
                  "batch", (json_int_t)mag_json_int(spec, "params.max_batch_size", 1));
    if (rc == MAG_OK)
        return sim_return(self, doc, ret_json, err);
    json_decref(doc);
    return rc;
}

const void *sim_query_interface(const char *id)
{
    static const mag_credentials credentials = {.struct_size = sizeof credentials,
                                                .client_config = sim_client_config};
    static const mag_stats stats = {.struct_size = sizeof stats, .read = sim_stats};
    static const mag_plan plan = {.struct_size = sizeof plan, .plan = sim_plan};
    if (strcmp(id, MAG_IFACE_CREDENTIALS) == 0)
        return &credentials;
    if (strcmp(id, MAG_IFACE_STATS) == 0)
        return &stats;
    return strcmp(id, MAG_IFACE_PLAN) == 0 ? &plan : NULL;
}
