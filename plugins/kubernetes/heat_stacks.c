/* Templates, files and parameters of a cluster's stacks. What is the same for all engines comes
 * from lib/heat_params; here is what only Kubernetes has. See heat_run.h. */
#include "heat_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_params.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define CLUSTER_TEMPLATE "cluster.yaml"
#define GROUP_TEMPLATE "nodegroup.yaml"
#define MASTER_DATA "master.user_data"
#define WORKER_DATA "worker.user_data"

void heat_plan_done(struct heat_plan *p)
{
    mag_wipe_json(&p->parameters);
    mag_wipe_json(&p->files);
    free(p->template);
    *p = (struct heat_plan){.template = NULL};
}

static int32_t set(struct heat_run *r, json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0 ? MAG_OK : mag_fail_nomem(r->c->err);
}

/* ---- nodes that were named to go ---- */

/* Heat knows a member by its number or its server's id; people and the API of the cluster by name,
 * "<group's name>-<number>". */
static const char *member_of(const char *node, const char *group_name)
{
    size_t n = strlen(group_name);
    if (strncmp(node, group_name, n) != 0 || node[n] != '-' || !node[n + 1])
        return node;
    for (const char *p = node + n + 1; *p; p++)
        if (!isdigit((unsigned char)*p))
            return node;
    return node + n + 1;
}

json_t *heat_removals(const struct heat_run *r, const json_t *group)
{
    char name[64];
    json_t *list = json_array();
    size_t i;
    const json_t *v;
    const char *meant = mag_json_text(r->c->spec, "params.nodegroup", "");
    if (!heat_is_meant(r, group) ||
        (*meant && strcmp(meant, mag_json_text(group, "uuid", "")) != 0))
        return list;
    mag_params_node_name(r->c->spec, group, name);
    json_array_foreach(mag_json_at(r->c->spec, "params.nodes_to_remove"), i, v)
    {
        if (json_is_string(v))
            (void)json_array_append_new(list, json_string(member_of(json_string_value(v), name)));
    }
    return list;
}

/* ---- what all stacks have ---- */

static int32_t put_user_data(struct heat_run *r, const json_t *group, const char *name,
                             json_t *files)
{
    _mag_free_ char *text = NULL;
    int32_t rc = heat_user_data(r, group, &text);
    if (rc != MAG_OK)
        return rc;
    json_t *value = json_string(text);
    explicit_bzero(text, strlen(text));
    return set(r, files, name, value);
}

/* What a running node looks at; the generation goes beside it. */
static json_t *metadata_of(const struct heat_run *r, const json_t *group)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "magnum_cluster", r->c->op->cluster_id,
                     "magnum_nodegroup", mag_json_text(group, "uuid", ""), "magnum_kube_version",
                     heat_version(r, group), "magnum_ca_phase", heat_ca_phase(r));
}

static int32_t put_group(struct heat_run *r, const json_t *group, const char *prefix, json_t *p)
{
    char key[64];
    bool master = group == r->masters;
    (void)snprintf(key, sizeof key, "%suser_data_file", prefix);
    int32_t rc = set(r, p, key, json_string(master ? MASTER_DATA : WORKER_DATA));
    (void)snprintf(key, sizeof key, "%smetadata", prefix);
    if (rc == MAG_OK)
        rc = set(r, p, key, metadata_of(r, group));
    (void)snprintf(key, sizeof key, "%sgeneration", prefix);
    if (rc == MAG_OK)
        rc = set(r, p, key, json_integer(heat_generation(r, group)));
    (void)snprintf(key, sizeof key, "%scount", prefix);
    if (rc == MAG_OK)
        rc = set(r, p, key, json_integer(mag_json_int(group, "node_count", 1)));
    if (rc == MAG_OK && !master)
        rc = set(r, p, "nodes_to_remove", heat_removals(r, group));
    return rc;
}

static int32_t put_pods(struct heat_run *r, json_t *p)
{
    char range[64];
    int32_t rc = heat_pod_range(r->c, range);
    return rc == MAG_OK ? set(r, p, "pod_cidr", json_string(range)) : rc;
}

/* ---- the two kinds of stack ---- */

static int32_t put_etcd(struct heat_run *r, json_t *p)
{
    struct mag_labels l = mag_labels_of(r->c->spec, r->masters);
    int64_t size;
    char type[128];
    int32_t rc = mag_label_int(l, "etcd_volume_size", 0, 1 << 16, 0, &size, r->c->err);
    if (rc == MAG_OK && size > 0)
        rc = set(r, p, "etcd_volume_size", json_integer(size));
    if (rc == MAG_OK)
        rc = mag_label_text(l, "etcd_volume_type", "", type, sizeof type, r->c->err);
    return rc == MAG_OK && type[0] ? set(r, p, "etcd_volume_type", json_string(type)) : rc;
}

int32_t heat_cluster_plan(struct heat_run *r, struct heat_plan *ret)
{
    const struct mag_call *c = r->c;
    *ret = (struct heat_plan){.template = NULL};
    int32_t rc = mag_heat_templates(c->self->host, "kubernetes", CLUSTER_TEMPLATE, &ret->files,
                                    &ret->template, c->err);
    if (rc == MAG_OK)
        rc = mag_params_cluster(c->self->host, c->spec, &ret->parameters, c->err);
    if (rc == MAG_OK)
        rc = put_pods(r, ret->parameters);
    if (rc == MAG_OK)
        rc = put_etcd(r, ret->parameters);
    if (rc == MAG_OK)
        rc = mag_params_subnet(&r->set, ret->parameters, c->err);
    if (rc == MAG_OK)
        rc = mag_params_keep(&r->set, NULL, ret->parameters, c->err);
    if (rc == MAG_OK)
        rc = put_group(r, r->masters, "master_", ret->parameters);
    if (rc == MAG_OK)
        rc = set(r, ret->parameters, "master_lives", json_deep_copy(heat_lives(r)));
    if (rc == MAG_OK)
        rc = put_group(r, r->workers, "worker_", ret->parameters);
    if (rc == MAG_OK)
        rc = put_user_data(r, r->masters, MASTER_DATA, ret->files);
    if (rc == MAG_OK)
        rc = put_user_data(r, r->workers, WORKER_DATA, ret->files);
    if (rc != MAG_OK)
        heat_plan_done(ret);
    return rc;
}

int32_t heat_group_plan(struct heat_run *r, const json_t *group, const json_t *outputs,
                        struct heat_plan *ret)
{
    const struct mag_call *c = r->c;
    *ret = (struct heat_plan){.template = NULL};
    int32_t rc = mag_heat_templates(c->self->host, "kubernetes", GROUP_TEMPLATE, &ret->files,
                                    &ret->template, c->err);
    if (rc == MAG_OK)
        rc = mag_params_group_stack(c->self->host, c->spec, group, outputs, &ret->parameters,
                                    c->err);
    if (rc == MAG_OK)
        rc = mag_params_keep(&r->set, mag_json_text(group, "uuid", ""), ret->parameters, c->err);
    if (rc == MAG_OK)
        rc = put_pods(r, ret->parameters);
    if (rc == MAG_OK)
        rc = put_group(r, group, "", ret->parameters);
    if (rc == MAG_OK)
        rc = put_user_data(r, group, WORKER_DATA, ret->files);
    if (rc != MAG_OK)
        heat_plan_done(ret);
    return rc;
}
