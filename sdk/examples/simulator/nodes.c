/* Files that stand for nodes. A write is a temporary file and a rename: killed at any point, the
 * node is there or not, and a name is used once. No fsync: the nodes are pretended, and a machine
 * that loses power has lost its simulation. See sim.h. */
#include "sim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int32_t io_failed(mag_error *err, const char *what, const char *path)
{
    int no = errno;
    bool full = no == ENOSPC || no == EDQUOT;
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR,
                    full ? "StorageFull" : "StateDirUnusable", "Look at the simulator's state_dir.",
                    "Cannot %s %.200s: %s", what, path, strerror(no));
}

static bool safe_id(const char *id)
{
    size_t n = id ? strlen(id) : 0;
    return n > 0 && n <= 64 &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == n;
}

bool sim_cluster_dir(const struct sim *s, const char *cluster_id, char ret[SIM_PATH])
{
    int n =
        safe_id(cluster_id) ? snprintf(ret, SIM_PATH, "%s/mag-%s", s->state_dir, cluster_id) : -1;
    return n > 0 && n < SIM_PATH - 256;
}

void sim_node_name(struct sim_node *n, const char *cluster_id, const char *group, int64_t index)
{
    unsigned h = 2166136261U;
    for (const char *p = cluster_id; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619U;
    for (const char *p = group; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619U;
    snprintf(n->group, sizeof n->group, "%s", group);
    n->index = index;
    snprintf(n->name, sizeof n->name, "mag-%s-%" PRId64, n->group, index);
    snprintf(n->address, sizeof n->address, "10.%u.%u.%u", h >> 16 & 255,
             (unsigned)(index / 250) & 255, (unsigned)(index % 250) + 2);
}

int32_t sim_write_file(const char *dir, const char *name, const json_t *doc, mag_error *err)
{
    char path[SIM_PATH], tmp[SIM_PATH];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(tmp, sizeof tmp, "%s/.%s.new", dir, name);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return io_failed(err, "make", dir);
    if (json_dump_file(doc, tmp, JSON_COMPACT) < 0)
        return io_failed(err, "write", tmp);
    if (rename(tmp, path) < 0)
        return io_failed(err, "replace", path);
    return MAG_OK;
}

json_t *sim_read_file(const char *dir, const char *name)
{
    char path[SIM_PATH];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return json_load_file(path, 0, NULL);
}

int32_t sim_node_write(const char *dir, const struct sim_node *n, mag_error *err)
{
    char file[MAG_NAME_MAX + 8];
    snprintf(file, sizeof file, "%s.json", n->name);
    return sim_write_file(dir, file, n->doc, err);
}

int32_t sim_node_remove(const char *dir, const char *name, mag_error *err)
{
    char path[SIM_PATH];
    snprintf(path, sizeof path, "%s/%s.json", dir, name);
    return unlink(path) < 0 && errno != ENOENT ? io_failed(err, "remove", path) : MAG_OK;
}

int32_t sim_dir_remove(const char *dir, mag_error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? MAG_OK : io_failed(err, "read", dir);
    int32_t rc = MAG_OK;
    for (struct dirent *e; rc == MAG_OK && (e = readdir(d));) {
        bool node = strncmp(e->d_name, "mag-", 4) == 0; /* a node is never removed in passing */
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !node &&
            unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != ENOENT)
            rc = io_failed(err, "clean", dir);
    }
    closedir(d);
    return rc == MAG_OK && rmdir(dir) < 0 && errno != ENOENT ? io_failed(err, "remove", dir) : rc;
}

void sim_nodes_done(struct sim_nodes *l)
{
    for (size_t i = 0; i < l->n; i++)
        json_decref(l->v[i].doc);
    free(l->v);
    *l = (struct sim_nodes){0};
}

static int by_group_and_index(const void *a, const void *b)
{
    const struct sim_node *x = a, *y = b;
    int c = strcmp(x->group, y->group);
    return c ? c : (x->index > y->index) - (x->index < y->index);
}

/* A node file's name taken apart; what does not look like one is not ours. */
static bool parse_name(const char *file, struct sim_node *n)
{
    size_t len = strlen(file);
    if (len < 12 || len - 5 >= sizeof n->name || strncmp(file, "mag-", 4) != 0 ||
        strcmp(file + len - 5, ".json") != 0)
        return false;
    memcpy(n->name, file, len - 5);
    n->name[len - 5] = '\0';
    char *dash = strrchr(n->name, '-'), *end;
    if (dash <= n->name + 4 || (size_t)(dash - n->name) - 4 >= sizeof n->group || !dash[1])
        return false;
    memcpy(n->group, n->name + 4, (size_t)(dash - n->name) - 4);
    n->group[dash - n->name - 4] = '\0';
    n->index = strtol(dash + 1, &end, 10);
    return *end == '\0';
}

static int32_t add_node(struct sim_nodes *l, const char *dir, const char *file, mag_error *err)
{
    struct sim_node n = {0};
    if (!parse_name(file, &n))
        return MAG_OK;
    struct sim_node *v = realloc(l->v, (l->n + 1) * sizeof *v);
    if (!v)
        return mag_fail_nomem(err);
    l->v = v;
    n.doc = sim_read_file(dir, file);
    snprintf(n.address, sizeof n.address, "%s", mag_json_text(n.doc, "address", ""));
    l->v[l->n++] = n;
    return MAG_OK;
}

int32_t sim_nodes_list(const char *dir, struct sim_nodes *ret, mag_error *err)
{
    *ret = (struct sim_nodes){0};
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? MAG_OK : io_failed(err, "read", dir);
    int32_t rc = MAG_OK;
    for (struct dirent *e; rc == MAG_OK && (e = readdir(d));)
        rc = add_node(ret, dir, e->d_name, err);
    closedir(d);
    if (rc != MAG_OK)
        sim_nodes_done(ret);
    else if (ret->n)
        qsort(ret->v, ret->n, sizeof *ret->v, by_group_and_index);
    return rc;
}
