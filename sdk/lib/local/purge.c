/* See purge.h. */
#include "lib/local/purge.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cgroup.h"
#include "lib/local/net.h"
#include "lib/local/node.h"
#include "lib/local/roster_store.h"

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

unsigned mag_purge_index(const char *name, const char *uuid)
{
    char prefix[64];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "mag-%.36s-n", uuid);
    unsigned long v = strncmp(name, prefix, n) == 0 ? strtoul(name + n, NULL, 10) : 0;
    return v <= MAG_LOCAL_NODES_MAX ? (unsigned)v : 0;
}

int32_t mag_purge_declare(const struct mag_purge *p, unsigned index, const char *hostname,
                          mag_error *err)
{
    char name[96];
    mag_local_netns(p->cluster, index, name);
    int32_t rc = mag_ledger_declare(p->services, p->op, "netns", name, NULL, err);
    if (rc != MAG_OK || index == 0)
        return rc;
    _mag_json_ json_t *data =
        json_pack("{s:i, s:s, s:s}", "index", (int)index, "host", hostname, "dir", p->cluster->dir);
    return mag_ledger_declare(p->services, p->op, "node", name, data, err);
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

static int32_t find_all(const struct mag_purge *p, const json_t *ledger, struct index_set *s,
                        mag_error *err)
{
    const struct mag_local_cluster *c = p->cluster;
    struct mag_roster r = {0};
    unsigned names[MAG_LOCAL_NODES_MAX + 1];
    int32_t rc = mag_roster_load(p->services->host, p->op, c->dir, &r, err);
    if (rc != MAG_OK)
        return rc;
    for (size_t i = 0; i < r.n; i++)
        add(s, r.v[i].index);
    mag_roster_done(&r);
    for (size_t i = 0; i < json_array_size(ledger); i++)
        add(s, mag_purge_index(mag_json_text(json_array_get(ledger, i), "name", ""), c->uuid));
    size_t n = mag_net_list(c, names, MAG_LEN(names));
    for (size_t i = 0; i < n; i++)
        add(s, names[i]);
    add_directories(s, c->dir);
    return MAG_OK;
}

static int32_t tolerate(const struct mag_purge *p, int32_t rc, const mag_error *err)
{
    if (rc >= 0 || !(p->op->flags & MAG_OPF_FORCE))
        return rc;
    mag_log(p->services->host, MAG_LOG_WARNING, "%s; going on, since the delete is forced",
            err->message);
    return MAG_OK;
}

static int32_t power_off(const struct mag_purge *p, const unsigned *index, size_t n,
                         int64_t grace_ms, mag_error *err)
{
    int32_t rc = tolerate(p, mag_nodes_stop(p->cluster, index, n, grace_ms, err), err);
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = tolerate(p, mag_node_remove(p->cluster, index[i], err), err);
    return rc;
}

int32_t mag_purge_nodes(const struct mag_purge *p, const unsigned *index, size_t n,
                        int64_t grace_ms, mag_error *err)
{
    char name[96];
    int32_t rc = power_off(p, index, n, grace_ms, err);
    for (size_t i = 0; i < n && rc == MAG_OK; i++) {
        mag_local_netns(p->cluster, index[i], name);
        rc = mag_ledger_drop(p->services, p->op, "node", name, err);
        if (rc == MAG_OK)
            rc = mag_ledger_drop(p->services, p->op, "netns", name, err);
    }
    return rc;
}

/* The fabric, the cluster's cgroups and its directory; the nodes are gone. */
static int32_t purge_rest(const struct mag_purge *p, mag_error *err)
{
    char cgroup[96];
    int32_t rc = mag_net_kill_all(p->cluster, 0, 1000, err);
    if (rc == MAG_OK)
        rc = mag_net_down(p->cluster, 0, err);
    mag_local_cgroup(p->cluster, 0, cgroup);
    if (rc == MAG_OK)
        rc = mag_cgroup_remove(cgroup, err);
    if (rc == MAG_OK)
        rc = mag_local_destroy(p->cluster, err);
    return tolerate(p, rc, err);
}

/* Only what the ledger still has, so that each attempt, however short, has less to do. */
static int32_t drop_all(const struct mag_purge *p, const json_t *ledger, mag_error *err)
{
    size_t i;
    json_t *e;
    json_array_foreach(ledger, i, e)
    {
        const char *kind = mag_json_text(e, "kind", "");
        if (strcmp(kind, "node") != 0 && strcmp(kind, "netns") != 0)
            continue;
        int32_t rc = mag_ledger_drop(p->services, p->op, kind, mag_json_text(e, "name", ""), err);
        if (rc != MAG_OK)
            return rc;
    }
    return MAG_OK;
}

int32_t mag_purge_cluster(const struct mag_purge *p, mag_error *err)
{
    struct index_set s = {0};
    unsigned index[MAG_LOCAL_NODES_MAX];
    size_t n = 0;
    _mag_json_ json_t *ledger = NULL;
    int32_t rc = mag_ledger_list(p->services, p->op, NULL, &ledger, err);
    if (rc == MAG_OK)
        rc = find_all(p, ledger, &s, err);
    if (rc != MAG_OK)
        return rc;
    for (unsigned i = 1; i <= MAG_LOCAL_NODES_MAX; i++)
        if (s.has[i])
            index[n++] = i;
    rc = power_off(p, index, n, 0, err);
    if (rc == MAG_OK)
        rc = purge_rest(p, err);
    return rc == MAG_OK ? drop_all(p, ledger, err) : rc;
}

static bool text_is(const json_t *j, const char *member, const char *text)
{
    return strcmp(mag_json_text(j, member, ""), text) == 0;
}

static int32_t settle_entry(const struct mag_purge *p, const struct mag_roster *r,
                            const json_t *entry, mag_error *err)
{
    const char *kind = mag_json_text(entry, "kind", ""), *id = NULL;
    char name[96];
    bool node = strcmp(kind, "node") == 0;
    if (!node && strcmp(kind, "netns") != 0)
        return MAG_OK;
    mag_local_netns(p->cluster, 0, name);
    bool ours = !node && text_is(entry, "name", name);
    for (size_t i = 0; i < r->n && !ours; i++) {
        mag_local_netns(p->cluster, r->v[i].index, name);
        ours = text_is(entry, "name", name);
        id = ours && node ? r->v[i].name : NULL;
    }
    if (ours)
        return text_is(entry, "state", "confirmed")
                   ? MAG_OK
                   : mag_ledger_confirm(p->services, p->op, kind, name, id, err);
    unsigned index = mag_purge_index(mag_json_text(entry, "name", ""), p->op->cluster_id);
    return index ? mag_purge_nodes(p, &index, 1, 0, err) : MAG_OK;
}

int32_t mag_purge_settle(const struct mag_purge *p, const struct mag_roster *r, mag_error *err)
{
    _mag_json_ json_t *list = NULL;
    int32_t rc = mag_ledger_list(p->services, p->op, NULL, &list, err);
    for (size_t i = 0; i < json_array_size(list) && rc == MAG_OK; i++)
        rc = settle_entry(p, r, json_array_get(list, i), err);
    return rc;
}
