/* See cluster.h. */
#include "lib/local/cluster.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"
#include "lib/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int32_t check_place(const char *state_dir, mag_error *err)
{
    /* A node mounts its own file systems over these, and its socket would vanish below them. */
    static const char *const hidden[] = {"/run",        "/var/run", "/var/lib/docker",
                                         "/etc/docker", "/proc",    "/sys"};
    if (state_dir[0] != '/')
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadStateDir",
                        "set state_dir of this driver to an absolute path",
                        "state_dir '%s' is not an absolute path", state_dir);
    for (size_t i = 0; i < MAG_LEN(hidden); i++) {
        size_t n = strlen(hidden[i]);
        if (strncmp(state_dir, hidden[i], n) == 0 && (!state_dir[n] || state_dir[n] == '/'))
            return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadStateDir",
                            "set state_dir of this driver to a place on a disk",
                            "state_dir '%s' must not lie under %s", state_dir, hidden[i]);
    }
    if (strlen(state_dir) + 40 > MAG_LOCAL_BASE_MAX)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "PathTooLong",
                        "set state_dir of this driver to a path of at most 40 characters",
                        "state_dir '%s' is too long for the sockets below it", state_dir);
    return MAG_OK;
}

/* Whose directory is it? 1: this cluster's, 0: free (absent or not yet signed), -1: another's. */
static int owner_of(const char *dir, const char *uuid)
{
    char path[MAG_LOCAL_BASE_MAX + 8];
    _mag_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "%s/uuid", dir);
    if (mag_read_file(path, 64, &text, NULL) != MAG_OK)
        return 0;
    return strcmp(text, uuid) == 0 ? 1 : -1;
}

static bool is_dir(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The shortest prefix of the uuid (8, 12, ... digits) that no other cluster has. The longer ones
 * are looked at first: a cluster keeps the directory it has when a shorter name becomes free. */
static int32_t find_dir(const char *state_dir, const char *uuid, bool create,
                        char ret[MAG_LOCAL_BASE_MAX], mag_error *err)
{
    char hex[33], path[MAG_LOCAL_BASE_MAX], free_path[MAG_LOCAL_BASE_MAX] = "";
    size_t n = 0;
    ret[0] = '\0';
    if (!mag_is_uuid(uuid))
        return mag_fail(err, MAG_E_INVALID, 0, "BadClusterId", NULL,
                        "The cluster id is not a UUID");
    for (const char *p = uuid; *p; p++)
        if (*p != '-')
            hex[n++] = *p;
    hex[n] = '\0';
    for (int len = 32; len >= 8; len -= 4) {
        (void)snprintf(path, sizeof path, "%.40s/%.*s", state_dir, len, hex);
        int who = owner_of(path, uuid);
        if (who > 0 || (who == 0 && is_dir(path) && len == 8 && !create)) {
            memcpy(ret, path, sizeof path);
            return MAG_OK;
        }
        if (who == 0)
            memcpy(free_path, path, sizeof path);
    }
    if (create && !free_path[0])
        return mag_fail(err, MAG_E_EXISTS, MAG_ERR_OPERATOR, "StateDirTaken", NULL,
                        "All directories for this cluster under %s are taken", state_dir);
    if (create)
        memcpy(ret, free_path, sizeof free_path);
    return MAG_OK;
}

int32_t mag_local_find(const char *state_dir, const char *uuid, char ret[MAG_LOCAL_BASE_MAX],
                       mag_error *err)
{
    int32_t rc = check_place(state_dir, err);
    return rc == MAG_OK ? find_dir(state_dir, uuid, false, ret, err) : rc;
}

static int32_t take_lock(struct mag_local_cluster *c, bool create, mag_error *err)
{
    char path[MAG_LOCAL_BASE_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/lock", c->dir);
    c->lock_fd = mag_lock_take(path, true);
    if (c->lock_fd >= 0)
        return MAG_OK;
    if (errno == EAGAIN || errno == ESTALE || (errno == ENOENT && !create))
        return MAG_AGAIN;
    return mag_fail_errno(err, errno, "Can't lock %s", path);
}

/* Under the lock: the directory is ours now, or someone else signed it between look and lock. */
static int32_t sign(struct mag_local_cluster *c, mag_error *err)
{
    char path[MAG_LOCAL_BASE_MAX + 8];
    int who = owner_of(c->dir, c->uuid);
    if (who < 0)
        return MAG_AGAIN;
    if (who > 0)
        return MAG_OK;
    (void)snprintf(path, sizeof path, "%s/uuid", c->dir);
    return mag_write_file(path, (mag_bytes){c->uuid, strlen(c->uuid)}, 0600, err);
}

int32_t mag_local_open(const char *state_dir, const char *uuid, const char *helper, const char *ip,
                       bool create, struct mag_local_cluster *ret, mag_error *err)
{
    struct mag_local_cluster c = MAG_LOCAL_CLUSTER_INIT;
    int32_t rc = check_place(state_dir, err);
    if (rc == MAG_OK)
        rc = mag_path(c.helper, sizeof c.helper, err, "%s", helper);
    if (rc == MAG_OK)
        rc = mag_path(c.ip, sizeof c.ip, err, "%s", ip);
    if (rc == MAG_OK)
        rc = find_dir(state_dir, uuid, create, c.dir, err);
    if (rc != MAG_OK)
        return rc;
    memcpy(c.uuid, uuid, sizeof c.uuid);
    if (c.dir[0] && create)
        rc = mag_mkdirs(c.dir, 0700, err);
    if (rc == MAG_OK && c.dir[0])
        rc = take_lock(&c, create, err);
    if (rc == MAG_OK && c.dir[0])
        rc = sign(&c, err);
    if (rc != MAG_OK) {
        mag_local_close(&c);
        return rc;
    }
    *ret = c;
    return MAG_OK;
}

void mag_local_close(struct mag_local_cluster *c)
{
    mag_closep(&c->lock_fd);
}

int32_t mag_local_destroy(struct mag_local_cluster *c, mag_error *err)
{
    int32_t rc = c->dir[0] ? mag_remove_tree(c->dir, err) : MAG_OK;
    if (rc == MAG_OK)
        mag_local_close(c);
    return rc;
}

void mag_local_base(const struct mag_local_cluster *c, unsigned index,
                    char ret[MAG_LOCAL_BASE_MAX + 8])
{
    (void)snprintf(ret, MAG_LOCAL_BASE_MAX + 8, "%s/n%u", c->dir, index);
}

void mag_local_netns(const struct mag_local_cluster *c, unsigned index, char ret[96])
{
    char suffix[16] = "fab";
    if (index)
        (void)snprintf(suffix, sizeof suffix, "n%u", index);
    mag_name(ret, c->uuid, suffix);
}

void mag_local_cgroup(const struct mag_local_cluster *c, unsigned index, char ret[96])
{
    int n = snprintf(ret, 96, "/magnum/%s", c->uuid);
    if (index)
        (void)snprintf(ret + n, 96 - (size_t)n, "/n%u", index);
}

void mag_local_address(unsigned index, char ret[16])
{
    (void)snprintf(ret, 16, "10.77.0.%u", 10 + index % 240);
}
