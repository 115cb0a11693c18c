/* Removal. It asks no daemon and needs no state: what there is to remove is found from the stored
 * list, the ledger, the directory and the namespaces' names, whatever of these is still there.
 * Neighbours: local_run.h, lib/local. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cgroup.h"
#include "lib/local/files.h"
#include "lib/local/net.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

struct index_set {
    bool has[MAG_LOCAL_NODES_MAX + 1];
};

static void add(struct index_set *s, unsigned long index)
{
    if (index >= 1 && index <= MAG_LOCAL_NODES_MAX)
        s->has[index] = true;
}

unsigned local_index_of(const char *name, const char *uuid)
{
    char prefix[64];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "mag-%.36s-n", uuid);
    unsigned long v = strncmp(name, prefix, n) == 0 ? strtoul(name + n, NULL, 10) : 0;
    return v <= MAG_LOCAL_NODES_MAX ? (unsigned)v : 0;
}

static void add_directories(struct index_set *s, const char *dir)
{
    DIR *d = dir[0] ? opendir(dir) : NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] == 'n')
            add(s, strtoul(e->d_name + 1, NULL, 10));
    if (d)
        (void)closedir(d);
}

static int32_t find_all(struct swarm_call *c, const struct mag_local_cluster *cl,
                        const json_t *ledger, struct index_set *s)
{
    struct local_state st = {0};
    unsigned names[MAG_LOCAL_NODES_MAX + 1];
    int32_t rc = local_load(c, cl->dir, &st);
    if (rc != MAG_OK)
        return rc;
    for (size_t i = 0; i < st.n; i++)
        add(s, st.v[i].index);
    local_state_done(&st);
    for (size_t i = 0; i < json_array_size(ledger); i++)
        add(s, local_index_of(mag_json_text(json_array_get(ledger, i), "name", ""), cl->uuid));
    size_t n = mag_net_list(cl, names, MAG_LEN(names));
    for (size_t i = 0; i < n; i++)
        add(s, names[i]);
    add_directories(s, cl->dir);
    return MAG_OK;
}

/* What can't be removed is reported and, when the delete is forced, left behind. */
static int32_t tolerate(struct swarm_call *c, int32_t rc)
{
    if (rc >= 0 || !(c->op->flags & MAG_OPF_FORCE))
        return rc;
    mag_log(c->self->host, MAG_LOG_WARNING, "%s; going on, since the delete is forced",
            c->err->message);
    return MAG_OK;
}

static int32_t power_off(struct swarm_call *c, struct mag_local_cluster *cl, const unsigned *index,
                         size_t n, int64_t grace_ms)
{
    int32_t rc = tolerate(c, mag_nodes_stop(cl, index, n, grace_ms, c->err));
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = tolerate(c, mag_node_remove(cl, index[i], c->err));
    return rc;
}

int32_t local_purge(struct swarm_call *c, struct mag_local_cluster *cl, const unsigned *index,
                    size_t n, int64_t grace_ms)
{
    char name[96];
    int32_t rc = power_off(c, cl, index, n, grace_ms);
    for (size_t i = 0; i < n && rc == MAG_OK; i++) {
        mag_local_netns(cl, index[i], name);
        rc = mag_ledger_drop(&c->self->services, c->op, "node", name, c->err);
        if (rc == MAG_OK)
            rc = mag_ledger_drop(&c->self->services, c->op, "netns", name, c->err);
    }
    return rc;
}

/* The fabric, the cluster's cgroups and its directory; the nodes are gone. */
static int32_t purge_rest(struct swarm_call *c, struct mag_local_cluster *cl)
{
    char cgroup[96];
    int32_t rc = mag_net_kill_all(cl, 0, 1000, c->err);
    if (rc == MAG_OK)
        rc = mag_net_down(cl, 0, c->err);
    mag_local_cgroup(cl, 0, cgroup);
    if (rc == MAG_OK)
        rc = mag_cgroup_remove(cgroup, c->err);
    if (rc == MAG_OK)
        rc = mag_local_destroy(cl, c->err);
    return tolerate(c, rc);
}

/* Only what the ledger still has, so that each attempt, however short, has less to do. */
static int32_t drop_all(struct swarm_call *c, const json_t *ledger)
{
    size_t i;
    json_t *e;
    int32_t rc = MAG_OK;
    json_array_foreach(ledger, i, e)
    {
        const char *kind = mag_json_text(e, "kind", "");
        if (strcmp(kind, "node") != 0 && strcmp(kind, "netns") != 0)
            continue;
        rc = mag_ledger_drop(&c->self->services, c->op, kind, mag_json_text(e, "name", ""), c->err);
        if (rc != MAG_OK)
            return rc;
    }
    return MAG_OK;
}

static int32_t remove_all(struct swarm_call *c, struct mag_local_cluster *cl)
{
    struct index_set s = {0};
    unsigned index[MAG_LOCAL_NODES_MAX];
    size_t n = 0;
    _mag_json_ json_t *ledger = NULL;
    int32_t rc = mag_ledger_list(&c->self->services, c->op, NULL, &ledger, c->err);
    if (rc == MAG_OK)
        rc = find_all(c, cl, ledger, &s);
    if (rc != MAG_OK)
        return rc;
    for (unsigned i = 1; i <= MAG_LOCAL_NODES_MAX; i++)
        if (s.has[i])
            index[n++] = i;
    rc = power_off(c, cl, index, n, 0);
    if (rc == MAG_OK)
        rc = purge_rest(c, cl);
    return rc == MAG_OK ? drop_all(c, ledger) : rc;
}

int32_t local_remove(struct swarm_call *c)
{
    struct mag_local_cluster cl = MAG_LOCAL_CLUSTER_INIT;
    char ip[128] = "";
    bool force = c->op->flags & MAG_OPF_FORCE;
    (void)mag_find_program(c->self->path, "ip", ip, sizeof ip); /* only makes it tidier */
    int32_t rc = local_here(c);
    if (rc == MAG_OK || force)
        rc = mag_local_open(c->self->state_dir, c->op->cluster_id, "", ip, false, &cl, c->err);
    if (rc == MAG_OK)
        rc = remove_all(c, &cl);
    mag_local_close(&cl);
    if (rc == MAG_AGAIN)
        return swarm_again(c, 50, 50, "Nodes are being powered off");
    if (rc < 0 && rc != MAG_E_PRECONDITION)
        c->err->flags |= MAG_ERR_MAY_LEAK;
    else
        c->out->percent = 100;
    return rc;
}
