/* Local clusters: create, update and scale are one convergence from whatever is there to what the
 * spec says. This file loads, plans, runs the phases and publishes what came of them.
 * Neighbours: local_run.h (phases), local_state (decisions), swarm.c (verbs). */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"
#include "lib/local/spawn.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { STATE_FILE_MAX = 256 << 10 };

void local_run_done(struct local_run *r)
{
    json_decref(r->list);
    r->list = NULL;
    free(r->seen);
    r->seen = NULL;
    local_state_done(&r->st);
    mag_local_close(&r->cl);
}

static void state_path(const char *dir, char ret[MAG_LOCAL_BASE_MAX + 16])
{
    (void)snprintf(ret, MAG_LOCAL_BASE_MAX + 16, "%s/state.json", dir);
}

/* What can't be read counts as lost: the other copy, the ledger and the machine itself tell. */
static void read_disk(struct swarm_call *c, const char *dir, json_t **ret)
{
    char path[MAG_LOCAL_BASE_MAX + 16];
    _mag_free_ char *text = NULL;
    mag_error why = {.struct_size = sizeof why};
    *ret = NULL;
    state_path(dir, path);
    if (!dir[0] || mag_read_file(path, STATE_FILE_MAX, &text, NULL) != MAG_OK)
        return;
    if (mag_json_parse(mag_text(text), path, ret, &why) != MAG_OK)
        mag_log(c->self->host, MAG_LOG_WARNING, "%s; ignoring it", why.message);
}

/* machine-id survives restarts; a machine without one is known by its name. */
static void this_machine(struct local_state *st)
{
    _mag_free_ char *id = NULL;
    struct utsname u;
    (void)snprintf(st->host, sizeof st->host, "%.63s", uname(&u) == 0 ? u.nodename : "?");
    (void)snprintf(st->machine, sizeof st->machine, "name:%.63s", st->host);
    if (mag_read_file("/etc/machine-id", 64, &id, NULL) == MAG_OK && strlen(id) >= 32)
        (void)snprintf(st->machine, sizeof st->machine, "%.32s", id);
}

int32_t local_here(struct swarm_call *c)
{
    char dir[MAG_LOCAL_BASE_MAX];
    struct local_state here = {0};
    _mag_json_ json_t *blob = NULL;
    int32_t rc = mag_local_find(c->self->state_dir, c->op->cluster_id, dir, c->err);
    (void)mag_json_parse(c->op->state, "state", &blob, NULL);
    const char *machine = mag_json_text(blob, "machine", "");
    this_machine(&here);
    if (rc != MAG_OK || dir[0] || !machine[0] || strcmp(machine, here.machine) == 0)
        return rc;
    return mag_fail(c->err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR,
                    "NodesElsewhere", "run a conductor on that machine",
                    "The nodes of this cluster are on the machine %s, not on %s",
                    mag_json_text(blob, "host", "?"), here.host);
}

int32_t local_load(struct swarm_call *c, const char *dir, struct local_state *ret)
{
    _mag_json_ json_t *blob = NULL, *disk = NULL;
    mag_error why = {.struct_size = sizeof why};
    if (mag_json_parse(c->op->state, "the stored state", &blob, &why) != MAG_OK)
        mag_log(c->self->host, MAG_LOG_WARNING, "%s; ignoring it", why.message);
    read_disk(c, dir, &disk);
    bool newer = mag_json_int(disk, "rev", 0) > mag_json_int(blob, "rev", 0);
    return local_state_read(newer ? disk : blob, ret, c->err);
}

int32_t local_save(struct local_run *r)
{
    char path[MAG_LOCAL_BASE_MAX + 16];
    r->st.rev++;
    this_machine(&r->st);
    _mag_json_ json_t *doc = local_state_write(&r->st);
    _mag_free_ char *text = doc ? mag_json_dump(doc) : NULL;
    if (!text)
        return mag_fail_nomem(r->c->err);
    int32_t rc = mag_checkpoint(r->c->self->host, r->c->op, doc, r->c->err);
    if (rc != MAG_OK)
        return rc;
    state_path(r->cl.dir, path);
    return mag_write_file(path, mag_text(text), 0600, r->c->err);
}

int32_t local_look(struct local_run *r)
{
    free(r->seen);
    r->seen = calloc(r->st.n ? r->st.n : 1, sizeof *r->seen);
    if (!r->seen)
        return mag_fail_nomem(r->c->err);
    for (size_t i = 0; i < r->st.n; i++) {
        char base[MAG_LOCAL_BASE_MAX + 8];
        struct local_seen *s = &r->seen[i];
        mag_local_base(&r->cl, r->st.v[i].index, base);
        s->run = mag_node_look(base, &s->record);
        (void)snprintf(s->service, sizeof s->service, "unix:%s/docker.sock", base);
    }
    return MAG_OK;
}

struct mag_docker local_docker(const struct local_run *r, size_t at, uint32_t timeout_ms)
{
    return (struct mag_docker){.host = r->c->self->host,
                               .op = r->c->op,
                               .service = r->seen[at].service,
                               .name = r->st.v[at].name,
                               .timeout_ms = timeout_ms};
}

const struct local_group *local_group_of(const struct local_run *r, const struct local_node *n)
{
    for (size_t i = 0; i < r->n_groups; i++)
        if (strcmp(r->groups[i].uuid, n->group) == 0)
            return &r->groups[i];
    return NULL;
}

size_t local_staying(const struct local_run *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->st.n; i++)
        n += !r->st.v[i].leaving;
    return n;
}

/* Which group has to go: only the verb that removes one says so. */
static const char *gone_group(const mag_op *op)
{
    return op->kind == MAG_OP_NODEGROUP_DELETE ? op->nodegroup_id : NULL;
}

static int32_t check_labels(const json_t *spec, const struct local_group *groups, size_t n,
                            mag_error *err)
{
    int64_t number;
    char text[32];
    for (size_t i = 0; i < n; i++) {
        struct mag_labels l = mag_labels_of(spec, groups[i].json);
        int32_t rc = mag_label_int(l, "heartbeat_seconds", 1, 60, 1, &number, err);
        if (rc == MAG_OK)
            rc = mag_label_int(l, "drain_timeout_seconds", 0, 3600, 60, &number, err);
        if (rc == MAG_OK)
            rc = mag_label_int(l, "node_memory_mb", 256, 1 << 22, 0, &number, err);
        if (rc == MAG_OK)
            rc = mag_label_text(l, "storage_driver", "", text, sizeof text, err);
        if (rc != MAG_OK)
            return rc;
        if (text[0] && strcmp(text, "overlay2") != 0 && strcmp(text, "vfs") != 0)
            return mag_fail(
                err, MAG_E_INVALID, MAG_ERR_USER, "BadLabel",
                "set the label to overlay2 or vfs, or leave it away",
                "Label storage_driver has the value '%s', but overlay2 or vfs is needed", text);
    }
    return MAG_OK;
}

int32_t local_validate(struct swarm_call *c)
{
    struct local_group groups[LOCAL_GROUPS_MAX];
    size_t n;
    int32_t rc = local_groups(c->spec, gone_group(c->op), groups, &n, c->err);
    if (rc == MAG_OK)
        rc = check_labels(c->spec, groups, n, c->err);
    return rc == MAG_OK ? swarm_machine(c->self, c->err) : rc;
}

/* nodes_to_remove may hold Docker's node ids, which only a manager can translate. */
struct id_lookup {
    struct local_run *r;
};
static const char *id_of(void *ctx, unsigned index)
{
    const struct local_run *r = ((struct id_lookup *)ctx)->r;
    for (size_t i = 0; i < r->st.n; i++)
        if (r->st.v[i].index == index && r->seen[i].entry)
            return swarm_node_id(r->seen[i].entry);
    return NULL;
}

static int32_t plan(struct local_run *r)
{
    struct swarm_call *c = r->c;
    const json_t *remove =
        c->op->kind == MAG_OP_SCALE ? mag_json_at(c->spec, "params.nodes_to_remove") : NULL;
    bool changed = false;
    int32_t rc = local_groups(c->spec, gone_group(c->op), r->groups, &r->n_groups, c->err);
    if (rc == MAG_OK)
        rc = check_labels(c->spec, r->groups, r->n_groups, c->err);
    if (rc == MAG_OK)
        rc = local_look(r);
    if (rc == MAG_OK && json_array_size(remove)) {
        mag_error ignored = {.struct_size = sizeof ignored};
        struct mag_error *was = c->err;
        c->err = &ignored; /* without a list, names and addresses still work */
        (void)local_list(r);
        c->err = was;
    }
    struct id_lookup lookup = {r};
    if (rc == MAG_OK)
        rc = local_state_plan(&r->st, mag_json_text(c->spec, "cluster.name", "swarm"), r->groups,
                              r->n_groups, remove, id_of, &lookup, &changed, c->err);
    if (rc == MAG_OK && changed)
        rc = local_save(r);
    if (rc == MAG_OK)
        rc = local_look(r);
    json_decref(r->list);
    r->list = NULL;
    return rc;
}

static bool text_is(const json_t *j, const char *member, const char *text)
{
    return strcmp(mag_json_text(j, member, ""), text) == 0;
}

/* One entry of the ledger: a resource of ours is confirmed with Docker's id; one that the cluster
 * does not have (an interrupted removal, a lost state) is removed now. */
static int32_t settle_entry(struct local_run *r, const json_t *entry)
{
    struct swarm_call *c = r->c;
    const char *kind = mag_json_text(entry, "kind", ""), *id = NULL;
    char name[96];
    bool node = strcmp(kind, "node") == 0;
    if (!node && strcmp(kind, "netns") != 0)
        return MAG_OK;
    mag_local_netns(&r->cl, 0, name);
    bool ours = !node && text_is(entry, "name", name);
    for (size_t i = 0; i < r->st.n && !ours; i++) {
        mag_local_netns(&r->cl, r->st.v[i].index, name);
        ours = text_is(entry, "name", name);
        id = ours && node && r->seen[i].entry ? swarm_node_id(r->seen[i].entry) : NULL;
    }
    if (ours)
        return text_is(entry, "state", "confirmed")
                   ? MAG_OK
                   : mag_ledger_confirm(&c->self->services, c->op, kind, name, id, c->err);
    unsigned index = local_index_of(mag_json_text(entry, "name", ""), c->op->cluster_id);
    if (index)
        return local_purge(c, &r->cl, &index, 1, 0);
    return MAG_OK;
}

static int32_t settle_ledger(struct local_run *r)
{
    struct swarm_call *c = r->c;
    _mag_json_ json_t *list = NULL;
    int32_t rc = mag_ledger_list(&c->self->services, c->op, NULL, &list, c->err);
    for (size_t i = 0; i < json_array_size(list) && rc == MAG_OK; i++)
        rc = settle_entry(r, json_array_get(list, i));
    return rc == MAG_AGAIN ? swarm_again(c, 50, 95, "Removing what an earlier attempt left") : rc;
}

static int32_t publish_group(struct local_run *r, const struct local_group *g)
{
    struct swarm_call *c = r->c;
    char key[96], address[16];
    _mag_json_ json_t *list = json_array();
    for (size_t i = 0; i < r->st.n; i++) {
        if (strcmp(r->st.v[i].group, g->uuid) != 0)
            continue;
        mag_local_address(r->st.v[i].index, address);
        if (json_array_append_new(list, json_string(address)) < 0)
            return mag_fail_nomem(c->err);
    }
    (void)snprintf(key, sizeof key, "nodegroup/%s/node_count", g->uuid);
    int32_t rc = mag_output_new(c->self->host, c->op, key,
                                json_integer((json_int_t)json_array_size(list)), c->err);
    (void)snprintf(key, sizeof key, "nodegroup/%s/node_addresses", g->uuid);
    return rc == MAG_OK ? mag_output_new(c->self->host, c->op, key, json_incref(list), c->err) : rc;
}

static int32_t publish(struct local_run *r)
{
    struct swarm_call *c = r->c;
    const struct local_node *first = local_state_first_manager(&r->st);
    if (!first)
        return mag_fail(c->err, MAG_E_INTERNAL, 0, "NoManager", NULL, "No manager is left");
    size_t at = (size_t)(first - r->st.v);
    struct mag_docker d = local_docker(r, at, 0);
    struct swarm_info info = {0};
    char address[64];
    (void)snprintf(address, sizeof address, "tcp://127.0.0.1:%u", r->seen[at].record.port);
    int32_t rc = swarm_info(&d, &info, c->err);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "api_address", json_string(address), c->err);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "coe_version", json_string(info.version), c->err);
    if (rc == MAG_OK)
        rc = mag_output_new(c->self->host, c->op, "container_version", json_string(info.version),
                            c->err);
    const char *gone = gone_group(c->op);
    for (size_t i = 0; i < r->n_groups && rc == MAG_OK; i++)
        if (!gone || strcmp(gone, r->groups[i].uuid) != 0)
            rc = publish_group(r, &r->groups[i]);
    return rc;
}

static int32_t run_phases(struct local_run *r)
{
    static int32_t (*const phases[])(struct local_run *) = {
        local_start_nodes, local_make_swarm, local_settle, local_let_go, settle_ledger, publish,
    };
    for (size_t i = 0; i < MAG_LEN(phases); i++) {
        if (i && swarm_out_of_time(r->c))
            return swarm_again(r->c, 0, (uint32_t)(i * 15), "Working");
        int32_t rc = phases[i](r);
        if (rc != MAG_OK)
            return rc;
    }
    r->c->out->percent = 100;
    return MAG_OK;
}

int32_t local_converge(struct swarm_call *c)
{
    struct local_run r = {.c = c, .cl = MAG_LOCAL_CLUSTER_INIT};
    const struct mag_local_machine *m = &c->self->machine;
    int32_t rc = swarm_machine(c->self, c->err);
    if (rc == MAG_OK)
        rc = local_here(c);
    if (rc == MAG_OK)
        rc = mag_local_open(c->self->state_dir, c->op->cluster_id, m->helper, m->ip, true, &r.cl,
                            c->err);
    if (rc == MAG_AGAIN)
        rc = swarm_again(c, 50, 0, "Waiting for an earlier step of this cluster to end");
    if (rc == MAG_OK)
        rc = local_load(c, r.cl.dir, &r.st);
    if (rc == MAG_OK)
        rc = plan(&r);
    if (rc == MAG_OK)
        rc = run_phases(&r);
    local_run_done(&r);
    return rc;
}
