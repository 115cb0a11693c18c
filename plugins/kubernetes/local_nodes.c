/* Bringing local nodes up: network, files, daemons. Nodes that run are left alone; one whose
 * process died is started again on its old data. Neighbours: local_run.h, lib/local. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cgroup.h"
#include "lib/local/files.h"
#include "lib/local/image.h"
#include "lib/local/net.h"
#include "lib/local/spawn.h"
#include "local_files.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

enum { STATUS_MAX = 65536 };

/* The image every pod's sandbox is made of, from busybox, for the nodes to import. */
static int32_t make_image(struct mag_local_run *r)
{
    const struct mag_local_site *s = r->site;
    char dir[256], file[300], busybox[256];
    int32_t rc = mag_path(dir, sizeof dir, r->c->err, "%s/images", s->state_dir);
    if (rc == MAG_OK)
        rc = mag_path(file, sizeof file, r->c->err, "%s/magnum-pause.tar", dir);
    if (rc == MAG_OK && access(file, F_OK) == 0)
        return MAG_OK;
    if (rc == MAG_OK)
        rc = mag_mkdirs(dir, 0711, r->c->err);
    if (rc == MAG_OK && !mag_find_program(s->path, "busybox", busybox, sizeof busybox))
        rc = mag_fail(r->c->err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                      "apt-get install busybox-static", "busybox is no longer installed");
    return rc == MAG_OK ? mag_image_busybox(file, SANDBOX_IMAGE, busybox, s->path, r->c->err) : rc;
}

static int32_t prepare(struct mag_local_run *r, const struct mag_roster_node *n,
                       const struct binaries *bin)
{
    char base[MAG_LOCAL_BASE_MAX + 8], cgroup[96];
    mag_local_base(&r->cl, n->index, base);
    mag_local_cgroup(&r->cl, n->index, cgroup);
    int32_t rc = mag_mkdirs(base, 0711, r->c->err);
    if (rc == MAG_OK)
        rc = mag_local_attempt(r, n, base, "The node");
    if (rc == MAG_OK)
        rc = local_write_node(r, n, bin);
    return rc == MAG_OK && !n->master ? mag_cgroup_prepare(cgroup, r->c->err) : rc;
}

struct command { /* of one node, with the texts it points to */
    const char *argv[3];
    char file[MAG_LOCAL_BASE_MAX + 32];
};

int32_t local_start_some(struct mag_local_run *r, const size_t *which, size_t n,
                         const struct binaries *bin)
{
    static const char *const worker_binds[] = {
        "/var/lib/kubelet=kubelet",
        "/var/lib/cni=cni-state",
        "/var/log=varlog",
        "/proc/sys/vm/overcommit_memory=overcommit_memory",
        "/proc/sys/kernel/panic=panic",
        "/proc/sys/kernel/panic_on_oops=panic_on_oops",
        NULL,
    };
    struct mag_node_start v[MAG_LOCAL_AT_ONCE] = {0};
    _mag_free_ struct command *cmd = calloc(MAG_LOCAL_AT_ONCE, sizeof *cmd);
    if (!cmd)
        return mag_fail_nomem(r->c->err);
    int32_t rc = make_image(r);
    if (rc == MAG_OK)
        rc = mag_local_network(r, which, n);
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = prepare(r, &r->st.v[which[i]], bin);
    for (size_t i = 0; i < n && rc == MAG_OK; i++) {
        struct mag_roster_node *node = &r->st.v[which[i]];
        char base[MAG_LOCAL_BASE_MAX + 8];
        int64_t memory = 0, drain;
        mag_local_base(&r->cl, node->index, base);
        (void)snprintf(cmd[i].file, sizeof cmd[i].file, "%s/group.json", base);
        cmd[i].argv[0] = kubernetes_of(r->c)->group;
        cmd[i].argv[1] = cmd[i].file;
        rc =
            local_group_labels(r->c->spec, mag_local_group_of(r, node), &memory, &drain, r->c->err);
        (void)snprintf(node->version, sizeof node->version, "%s", bin->version);
        v[i] = (struct mag_node_start){.index = node->index,
                                       .hostname = node->name,
                                       .argv = cmd[i].argv,
                                       .binds = node->master ? NULL : worker_binds,
                                       .path = r->site->path,
                                       .memory_mb = (uint64_t)memory,
                                       .listen = node->master};
    }
    if (rc == MAG_OK)
        rc = mag_local_save(r);
    return rc == MAG_OK ? mag_nodes_start(&r->cl, v, n, r->c->err) : rc;
}

/* The binaries a stopped node is started with: those it ran before, or the cluster's. */
static int32_t binaries_of(struct mag_local_run *r, const struct mag_roster_node *n,
                           const struct binaries **ret)
{
    return n->version[0] ? binaries_pick(kubernetes_of(r->c), n->version, ret, r->c->err)
                         : binaries_pick(kubernetes_of(r->c),
                                         mag_json_text(r->st.facts, "version", ""), ret, r->c->err);
}

/* Those of another version come in the next step, a master that joins others when they expect it.
 */
static int32_t may_start(struct mag_local_run *r, const size_t *which, size_t n, size_t at,
                         bool *ret)
{
    const struct binaries *own = NULL, *first = NULL;
    *ret = false;
    if (local_awaits_etcd(r, &r->st.v[at]))
        return MAG_OK;
    int32_t rc = binaries_of(r, &r->st.v[at], &own);
    if (rc == MAG_OK && n)
        rc = binaries_of(r, &r->st.v[which[0]], &first);
    *ret = !n || own == first;
    return rc;
}

static int32_t start(struct mag_local_run *r, const size_t *which, size_t n)
{
    const struct binaries *bin = NULL;
    int32_t rc = binaries_of(r, &r->st.v[which[0]], &bin);
    return rc == MAG_OK ? local_start_some(r, which, n, bin) : rc;
}

int32_t local_start_nodes(struct mag_local_run *r)
{
    return mag_local_start(r, &(struct mag_local_starter){.may = may_start, .start = start});
}

static void last_line(const char *base, const char *name, char *ret, size_t cap)
{
    char path[MAG_LOCAL_BASE_MAX + 64];
    _mag_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "%s/%s.log", base, name);
    ret[0] = '\0';
    if (mag_read_file(path, 8 << 20, &text, NULL) != MAG_OK)
        return;
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        text[--n] = '\0';
    char *nl = strrchr(text, '\n');
    mag_line(ret, cap, nl ? nl + 1 : text);
}

json_t *local_read_status(const struct mag_local_run *r, size_t at)
{
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 32];
    _mag_free_ char *text = NULL;
    json_t *doc = NULL;
    mag_local_base(&r->cl, r->st.v[at].index, base);
    (void)snprintf(path, sizeof path, "%s/daemons.json", base);
    if (mag_read_file(path, STATUS_MAX, &text, NULL) == MAG_OK)
        (void)mag_json_parse(mag_text(text), path, &doc, NULL);
    return doc;
}

bool local_serves(const struct mag_local_run *r, size_t at)
{
    _mag_json_ json_t *doc = local_read_status(r, at);
    return mag_json_bool(json_object_get(doc, "kube-apiserver"), "ready", false);
}

void local_tell_group(const struct mag_local_run *r, size_t at)
{
    _mag_close_ int fd = mag_record_pidfd(&r->seen[at].record);
    if (fd >= 0)
        (void)pidfd_send_signal(fd, SIGHUP, NULL, 0);
}

bool local_daemon_fails(const struct mag_local_run *r, size_t at, unsigned times, char *ret,
                        size_t cap)
{
    char base[MAG_LOCAL_BASE_MAX + 8], words[240];
    _mag_json_ json_t *doc = local_read_status(r, at);
    const char *name;
    json_t *p;
    mag_local_base(&r->cl, r->st.v[at].index, base);
    json_object_foreach(doc, name, p)
    {
        if (mag_json_int(p, "fails", 0) < (int64_t)times || mag_json_bool(p, "ready", false))
            continue; /* one that ended once or twice may just have been too early */
        last_line(base, name, words, sizeof words);
        (void)snprintf(ret, cap, "%s ended %lld times (%s): %s", name,
                       (long long)mag_json_int(p, "fails", 0), mag_json_text(p, "why", ""), words);
        return true;
    }
    return false;
}
