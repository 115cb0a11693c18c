/* See roster_store.h. */
#include "lib/local/roster_store.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { STATE_FILE_MAX = 256 << 10 };

static void state_path(const char *dir, char ret[MAG_LOCAL_BASE_MAX + 16])
{
    (void)snprintf(ret, MAG_LOCAL_BASE_MAX + 16, "%s/state.json", dir);
}

static void read_disk(const mag_host *host, const char *dir, json_t **ret)
{
    char path[MAG_LOCAL_BASE_MAX + 16];
    _mag_free_ char *text = NULL;
    mag_error why = {.struct_size = sizeof why};
    *ret = NULL;
    state_path(dir, path);
    if (!dir[0] || mag_read_file(path, STATE_FILE_MAX, &text, NULL) != MAG_OK)
        return;
    if (mag_json_parse(mag_text(text), path, ret, &why) != MAG_OK)
        mag_log(host, MAG_LOG_WARNING, "%s; ignoring it", why.message);
}

/* machine-id survives restarts; a machine without one is known by its name. */
static void this_machine(struct mag_roster *r)
{
    _mag_free_ char *id = NULL;
    struct utsname u;
    (void)snprintf(r->host, sizeof r->host, "%.63s", uname(&u) == 0 ? u.nodename : "?");
    (void)snprintf(r->machine, sizeof r->machine, "name:%.63s", r->host);
    if (mag_read_file("/etc/machine-id", 64, &id, NULL) == MAG_OK && strlen(id) >= 32)
        (void)snprintf(r->machine, sizeof r->machine, "%.32s", id);
}

int32_t mag_roster_here(const mag_op *op, const char *state_dir, mag_error *err)
{
    char dir[MAG_LOCAL_BASE_MAX];
    struct mag_roster here = {0};
    _mag_json_ json_t *blob = NULL;
    int32_t rc = mag_local_find(state_dir, op->cluster_id, dir, err);
    (void)mag_json_parse(op->state, "state", &blob, NULL);
    const char *machine = mag_json_text(blob, "machine", "");
    this_machine(&here);
    if (rc != MAG_OK || dir[0] || !machine[0] || strcmp(machine, here.machine) == 0)
        return rc;
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "NodesElsewhere",
                    "run a conductor on that machine",
                    "The nodes of this cluster are on the machine %s, not on %s",
                    mag_json_text(blob, "host", "?"), here.host);
}

int32_t mag_roster_load(const mag_host *host, const mag_op *op, const char *dir,
                        struct mag_roster *ret, mag_error *err)
{
    _mag_json_ json_t *blob = NULL, *disk = NULL;
    mag_error why = {.struct_size = sizeof why};
    if (mag_json_parse(op->state, "the stored state", &blob, &why) != MAG_OK)
        mag_log(host, MAG_LOG_WARNING, "%s; ignoring it", why.message);
    read_disk(host, dir, &disk);
    bool newer = mag_json_int(disk, "rev", 0) > mag_json_int(blob, "rev", 0);
    return mag_roster_read(newer ? disk : blob, ret, err);
}

int32_t mag_roster_save(const mag_host *host, const mag_op *op, const struct mag_local_cluster *c,
                        struct mag_roster *r, mag_error *err)
{
    char path[MAG_LOCAL_BASE_MAX + 16];
    r->rev++;
    this_machine(r);
    _mag_json_ json_t *doc = mag_roster_write(r);
    _mag_free_ char *text = doc ? mag_json_dump(doc) : NULL;
    if (!text)
        return mag_fail_nomem(err);
    int32_t rc = mag_checkpoint(host, op, doc, err);
    if (rc != MAG_OK)
        return rc;
    state_path(c->dir, path);
    return mag_write_file(path, mag_text(text), 0600, err);
}
