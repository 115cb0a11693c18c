/* Bringing local nodes up: network, certificate, daemon. Nodes that run are left alone; one whose
 * process died is started again on its old data and needs no new join.
 * Neighbours: local_run.h, lib/local. */
#include "local_front.h"
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"
#include "lib/local/spawn.h"

#include <stdio.h>
#include <string.h>

enum { CERT_DAYS = 3650, ARGS_MAX = 48 };

int32_t local_certify(struct mag_local_run *r, const struct mag_roster_node *n, const char *base)
{
    struct mag_call *c = r->c;
    char address[16], *material = NULL;
    mag_local_address(n->index, address);
    _mag_json_ json_t *request =
        json_pack("{s:s, s:s, s:s, s:[s,s], s:[s,s], s:[s,s], s:i}", "ca", "kubernetes", "cn",
                  n->name, "o", "magnum", "dns", n->name, "localhost", "ip", address, "127.0.0.1",
                  "usages", "server", "client", "days", CERT_DAYS);
    if (!request)
        return mag_fail_nomem(c->err);
    json_t *made = NULL;
    int32_t rc = mag_cert_issue(&c->self->services, c->op, request, &made, c->err);
    if (rc == MAG_OK && asprintf(&material, "%s\n%s\n", mag_json_text(made, "private_key", ""),
                                 mag_json_text(made, "certificate", "")) < 0) {
        material = NULL;
        rc = mag_fail_nomem(c->err);
    }
    if (rc == MAG_OK)
        rc = local_front_write(base, material, mag_json_text(made, "ca", ""), c->err);
    if (material)
        explicit_bzero(material, strlen(material));
    free(material);
    mag_wipe_json(&made);
    return rc;
}

static int32_t make_certificate(struct mag_local_run *r, const struct mag_roster_node *n,
                                const char *base)
{
    char path[MAG_LOCAL_BASE_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/front.pem", base);
    return access(path, F_OK) == 0 ? MAG_OK : local_certify(r, n, base);
}

static int32_t prepare(struct mag_local_run *r, const struct mag_roster_node *n)
{
    char base[MAG_LOCAL_BASE_MAX + 8];
    mag_local_base(&r->cl, n->index, base);
    int32_t rc = mag_mkdirs(base, 0700, r->c->err);
    if (rc == MAG_OK)
        rc = make_certificate(r, n, base);
    return rc == MAG_OK ? mag_local_attempt(r, n, base, "The Docker daemon of") : rc;
}

struct daemon { /* a command line with the texts it points to */
    const char *argv[ARGS_MAX];
    size_t n;
    char program[256], base[MAG_LOCAL_BASE_MAX + 8], cgroup[96], storage[32];
    char socket[MAG_LOCAL_BASE_MAX + 32];
};

static void arg(struct daemon *d, const char *name, const char *value)
{
    d->argv[d->n++] = name;
    if (value)
        d->argv[d->n++] = value;
    d->argv[d->n] = NULL;
}

static int32_t daemon_command(struct mag_local_run *r, const struct mag_roster_node *n,
                              struct daemon *d, int64_t *ret_memory)
{
    struct mag_call *c = r->c;
    const struct mag_roster_group *g = mag_local_group_of(r, n);
    struct mag_labels l = mag_labels_of(c->spec, g ? g->json : NULL);
    int32_t rc = mag_label_int(l, "node_memory_mb", 256, 1 << 22, 0, ret_memory, c->err);
    if (rc == MAG_OK)
        rc = mag_label_text(l, "storage_driver",
                            swarm_of(c)->site.machine.overlay ? "overlay2" : "vfs", d->storage,
                            sizeof d->storage, c->err);
    if (rc != MAG_OK)
        return rc;
    if (!mag_find_program(swarm_of(c)->site.path, "dockerd", d->program, sizeof d->program))
        return mag_fail(c->err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                        "apt-get install docker.io", "dockerd is no longer installed");
    mag_local_base(&r->cl, n->index, d->base);
    mag_local_cgroup(&r->cl, n->index, d->cgroup);
    (void)snprintf(d->socket, sizeof d->socket, "unix://%s/docker.sock", d->base);
    d->n = 0;
    arg(d, swarm_of(c)->front,
        d->base); /* serves the TCP socket, with certificates that may change */
    arg(d, d->program, NULL);
    arg(d, "-H", d->socket);
    arg(d, "--group", "root");
    arg(d, "--cgroup-parent", d->cgroup);
    arg(d, "--exec-opt", "native.cgroupdriver=cgroupfs");
    arg(d, "--storage-driver", d->storage);
    /* Inside the node's own network; kept away from the fabric and from the overlay pool. */
    arg(d, "--bip", "10.78.0.1/24");
    arg(d, "--default-address-pool", "base=10.79.0.0/16,size=24");
    return MAG_OK;
}

static int32_t start_some(struct mag_local_run *r, const size_t *which, size_t n)
{
    static const char *const binds[] = {"/var/lib/docker=data", "/etc/docker=etc", NULL};
    struct mag_node_start v[MAG_LOCAL_AT_ONCE] = {0};
    _mag_free_ struct daemon *d = calloc(MAG_LOCAL_AT_ONCE, sizeof *d);
    if (!d)
        return mag_fail_nomem(r->c->err);
    int32_t rc = mag_local_network(r, which, n);
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = prepare(r, &r->st.v[which[i]]);
    for (size_t i = 0; i < n && rc == MAG_OK; i++) {
        const struct mag_roster_node *node = &r->st.v[which[i]];
        int64_t memory = 0;
        rc = daemon_command(r, node, &d[i], &memory);
        v[i] = (struct mag_node_start){.index = node->index,
                                       .hostname = node->name,
                                       .argv = d[i].argv,
                                       .binds = binds,
                                       .path = r->site->path,
                                       .memory_mb = (uint64_t)memory,
                                       .listen = true};
    }
    return rc == MAG_OK ? mag_nodes_start(&r->cl, v, n, r->c->err) : rc;
}

int32_t local_start_nodes(struct mag_local_run *r)
{
    return mag_local_start(r, &(struct mag_local_starter){.start = start_some});
}
