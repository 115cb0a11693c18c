/* The inventory: every node file there is, whichever cluster its directory is named after. One page
 * per cluster directory, in the order of their names. See sim.h. */
#include "sim.h"

#include <magnum/inventory.h>

#include <dirent.h>
#include <errno.h>
#include <string.h>

#define DIR_PREFIX "mag-"

/* The name of the first cluster directory behind `after`; false when there is none. */
static int32_t next_dir(const struct sim *s, const char *after, char ret[256], mag_error *err)
{
    DIR *d = opendir(s->state_dir);
    ret[0] = '\0';
    if (!d)
        return errno == ENOENT ? MAG_OK
                               : mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE,
                                          "StateDirUnusable", "Look at the simulator's state_dir.",
                                          "Cannot read %.200s: %s", s->state_dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, DIR_PREFIX, strlen(DIR_PREFIX)) == 0 &&
            strcmp(e->d_name, after) > 0 && (!ret[0] || strcmp(e->d_name, ret) < 0))
            snprintf(ret, 256, "%s", e->d_name);
    closedir(d);
    return MAG_OK;
}

static json_t *items_of(const struct sim_nodes *have, const char *cluster_id)
{
    json_t *items = json_array();
    for (size_t i = 0; i < have->n; i++)
        json_array_append_new(items, json_pack("{s:s,s:s,s:s,s:s}", "kind", SIM_NODE_KIND, "name",
                                               have->v[i].name, "cluster_id", cluster_id,
                                               "external_id", have->v[i].address));
    return items;
}

static int32_t sim_list(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err)
{
    const struct sim *s = self;
    _mag_json_ json_t *spec = NULL;
    struct sim_nodes have = {0};
    char name[256], dir[SIM_PATH];
    int32_t rc = sim_need_state_dir(s, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(op->spec, "the spec", &spec, err);
    if (rc == MAG_OK)
        rc = next_dir(s, mag_json_text(spec, "params.after", ""), name, err);
    if (rc != MAG_OK)
        return rc;
    const char *cluster = name[0] ? name + strlen(DIR_PREFIX) : "";
    if (sim_cluster_dir(s, cluster, dir))
        rc = sim_nodes_list(dir, &have, err);
    json_t *items = items_of(&have, cluster);
    sim_nodes_done(&have);
    if (rc != MAG_OK) {
        json_decref(items);
        return rc;
    }
    return sim_return(self, json_pack("{s:o,s:s?}", "items", items, "next", name[0] ? name : NULL),
                      ret_json, err);
}

static int32_t sim_remove_item(void *self, const mag_op *op, const char *kind, const char *name,
                               mag_error *err)
{
    const struct sim *s = self;
    struct sim_nodes have = {0};
    char dir[SIM_PATH];
    int32_t rc = sim_need_state_dir(s, err);
    if (rc != MAG_OK)
        return rc;
    if (strcmp(kind, SIM_NODE_KIND) != 0 || strchr(name, '/') ||
        !sim_cluster_dir(s, op->cluster_id, dir))
        return mag_fail(err, MAG_E_INVALID, 0, "NotMine", NULL, "%.60s %.120s is not of here", kind,
                        name);
    rc = sim_node_remove(dir, name, err);
    if (rc == MAG_OK)
        rc = sim_nodes_list(dir, &have, err);
    bool empty = have.n == 0;
    sim_nodes_done(&have);
    return rc == MAG_OK && empty ? sim_dir_remove(dir, err) : rc;
}

const void *sim_inventory_interface(const char *id)
{
    static const mag_inventory inventory = {
        .struct_size = sizeof inventory, .list = sim_list, .remove = sim_remove_item};
    return strcmp(id, MAG_IFACE_INVENTORY) == 0 ? &inventory : NULL;
}
