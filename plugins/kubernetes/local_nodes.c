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

#include <stdio.h>
#include <string.h>

enum { AT_ONCE = 16, ATTEMPTS_MAX = 3, STATUS_MAX = 65536 };

static int32_t make_network(struct local_run *r, const size_t *which, size_t n)
{
    struct kube_call *c = r->c;
    struct mag_purge p = local_purge(r);
    unsigned index[MAG_LOCAL_NODES_MAX];
    size_t k = 0;
    int32_t rc = MAG_OK;
    bool fabric_lost = !mag_net_exists(&r->cl, 0);
    if (fabric_lost)
        rc = mag_purge_declare(&p, 0, NULL, c->err);
    for (size_t i = 0; i < n && rc == MAG_OK; i++) {
        const struct mag_roster_node *node = &r->st.v[which[i]];
        index[k++] = node->index;
        if (r->seen[which[i]].run == MAG_NODE_ABSENT || !mag_net_exists(&r->cl, node->index))
            rc = mag_purge_declare(&p, node->index, node->name, c->err);
        else /* a life of it that is not on record must not meet the new one */
            rc = mag_net_kill_all(&r->cl, node->index, 2000, c->err);
    }
    /* The ends of all links went with a lost fabric: those of running nodes too. */
    for (size_t i = 0; i < r->st.n && fabric_lost; i++)
        if (r->seen[i].run == MAG_NODE_RUNNING && !r->st.v[i].leaving && k < MAG_LEN(index))
            index[k++] = r->st.v[i].index;
    if (rc == MAG_OK)
        rc = mag_net_fabric_up(&r->cl, c->err);
    return rc == MAG_OK ? mag_net_nodes_up(&r->cl, index, k, c->err) : rc;
}

/* A daemon that ends at once would be started for ever. Counted per operation on disk, since no
 * process of ours lives long enough. */
static int32_t count_attempt(struct local_run *r, const struct mag_roster_node *n, const char *base)
{
    struct kube_call *c = r->c;
    char path[MAG_LOCAL_BASE_MAX + 32], text[128], words[256], remedy[200];
    _mag_free_ char *was = NULL;
    unsigned count = 0;
    size_t id_len = strlen(c->op->op_id);
    (void)snprintf(path, sizeof path, "%s/attempts", base);
    if (mag_read_file(path, sizeof text, &was, NULL) == MAG_OK &&
        strncmp(was, c->op->op_id, id_len) == 0 && was[id_len] == ' ')
        count = (unsigned)strtoul(was + id_len, NULL, 10);
    if (count >= ATTEMPTS_MAX) {
        mag_node_last_words(base, words, sizeof words);
        (void)snprintf(remedy, sizeof remedy, "look into %s/log on the conductor's machine", base);
        return mag_fail(c->err, MAG_E_INVALID, MAG_ERR_OPERATOR, "DaemonFailed", remedy,
                        "The node %s ended %u times: %s", n->name, count, words);
    }
    (void)snprintf(text, sizeof text, "%.100s %u", c->op->op_id, count + 1);
    return mag_write_file(path, mag_text(text), 0600, c->err);
}

/* The image every pod's sandbox is made of, from busybox, for the nodes to import. */
static int32_t make_image(struct local_run *r)
{
    const struct kubernetes *s = r->c->self;
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

static int32_t prepare(struct local_run *r, const struct mag_roster_node *n,
                       const struct binaries *bin)
{
    char base[MAG_LOCAL_BASE_MAX + 8], cgroup[96];
    mag_local_base(&r->cl, n->index, base);
    mag_local_cgroup(&r->cl, n->index, cgroup);
    int32_t rc = mag_mkdirs(base, 0711, r->c->err);
    if (rc == MAG_OK)
        rc = count_attempt(r, n, base);
    if (rc == MAG_OK)
        rc = local_write_node(r, n, bin);
    return rc == MAG_OK && !n->master ? mag_cgroup_prepare(cgroup, r->c->err) : rc;
}

struct command { /* of one node, with the texts it points to */
    const char *argv[3];
    char file[MAG_LOCAL_BASE_MAX + 32];
};

int32_t local_start_some(struct local_run *r, const size_t *which, size_t n,
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
    struct mag_node_start v[AT_ONCE] = {0};
    _mag_free_ struct command *cmd = calloc(AT_ONCE, sizeof *cmd);
    if (!cmd)
        return mag_fail_nomem(r->c->err);
    int32_t rc = make_image(r);
    if (rc == MAG_OK)
        rc = make_network(r, which, n);
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = prepare(r, &r->st.v[which[i]], bin);
    for (size_t i = 0; i < n && rc == MAG_OK; i++) {
        struct mag_roster_node *node = &r->st.v[which[i]];
        char base[MAG_LOCAL_BASE_MAX + 8];
        int64_t memory = 0, drain;
        mag_local_base(&r->cl, node->index, base);
        (void)snprintf(cmd[i].file, sizeof cmd[i].file, "%s/group.json", base);
        cmd[i].argv[0] = r->c->self->group;
        cmd[i].argv[1] = cmd[i].file;
        rc = local_group_labels(r->c->spec, local_group_of(r, node), &memory, &drain, r->c->err);
        (void)snprintf(node->version, sizeof node->version, "%s", bin->version);
        v[i] = (struct mag_node_start){.index = node->index,
                                       .hostname = node->name,
                                       .argv = cmd[i].argv,
                                       .binds = node->master ? NULL : worker_binds,
                                       .path = r->c->self->path,
                                       .memory_mb = (uint64_t)memory,
                                       .listen = node->master};
    }
    if (rc == MAG_OK)
        rc = local_save(r);
    return rc == MAG_OK ? mag_nodes_start(&r->cl, v, n, r->c->err) : rc;
}

/* The binaries a stopped node is started with: those it ran before, or the cluster's. */
static int32_t binaries_of(struct local_run *r, const struct mag_roster_node *n,
                           const struct binaries **ret)
{
    return n->version[0] ? binaries_pick(r->c->self, n->version, ret, r->c->err)
                         : binaries_pick(r->c->self, mag_json_text(r->st.facts, "version", ""), ret,
                                         r->c->err);
}

int32_t local_start_nodes(struct local_run *r)
{
    size_t which[AT_ONCE], n = 0, running = 0, changing = 0;
    const struct binaries *bin = NULL;
    for (size_t i = 0; i < r->st.n; i++) {
        const struct binaries *own = NULL;
        if (r->st.v[i].leaving)
            continue;
        running += r->seen[i].run == MAG_NODE_RUNNING;
        changing += r->seen[i].run == MAG_NODE_CHANGING;
        if (r->seen[i].run > MAG_NODE_STOPPED || n == AT_ONCE)
            continue;
        int32_t rc = binaries_of(r, &r->st.v[i], &own);
        if (rc != MAG_OK)
            return rc;
        bin = bin ? bin : own;
        if (own == bin) /* those of another version come in the next step */
            which[n++] = i;
    }
    size_t all = local_staying(r);
    if (n == 0 && changing == 0)
        return mag_net_exists(&r->cl, 0) ? MAG_OK : make_network(r, NULL, 0);
    int32_t rc = n ? local_start_some(r, which, n, bin) : MAG_OK;
    if (rc != MAG_OK)
        return rc;
    return kube_again(r->c, changing || running + n == all ? 30 : 0,
                      (uint32_t)(5 + 20 * (running + n) / all), "%zu of %zu nodes are started",
                      running + n, all);
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

bool local_daemon_fails(const struct local_run *r, size_t at, unsigned times, char *ret, size_t cap)
{
    char base[MAG_LOCAL_BASE_MAX + 8], path[MAG_LOCAL_BASE_MAX + 32], words[240];
    _mag_free_ char *text = NULL;
    _mag_json_ json_t *doc = NULL;
    const char *name;
    json_t *p;
    mag_local_base(&r->cl, r->st.v[at].index, base);
    (void)snprintf(path, sizeof path, "%s/daemons.json", base);
    if (mag_read_file(path, STATUS_MAX, &text, NULL) != MAG_OK ||
        mag_json_parse(mag_text(text), path, &doc, NULL) != MAG_OK)
        return false;
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
