/* Short read-only answers about a local cluster: capacity and use, and what a docker client needs.
 * Neighbours: local_run.h, swarm.c. */
#include "local_run.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cgroup.h"

#include <stdio.h>
#include <string.h>

int32_t local_stats(struct mag_call *c, json_t **ret)
{
    struct swarm_run r = swarm_run_of(c);
    struct swarm_info info = {0};
    struct swarm_reserved reserved = {0};
    uint64_t resident = 0;
    char cgroup[96];
    int32_t rc = mag_local_run_peek(&r.m);
    if (rc == MAG_OK)
        rc = local_list(&r.m);
    if (rc == MAG_AGAIN)
        rc = mag_fail(c->err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "NoManager", NULL,
                      "No manager of the cluster answers");
    if (rc == MAG_OK) {
        struct mag_docker d = local_docker(&r.m, r.manager, 0);
        rc = swarm_info(&d, &info, c->err);
        if (rc == MAG_OK)
            rc = swarm_reserved(&d, &reserved, c->err);
    }
    if (rc == MAG_OK) {
        mag_local_cgroup(&r.m.cl, 0, cgroup);
        (void)mag_cgroup_memory_used(cgroup, &resident);
        /* All nodes share this machine: its capacity is the cluster's, not a multiple of it. */
        *ret =
            json_pack("{s:I, s:{s:I, s:f}, s:{s:I, s:I, s:I}}", "nodes",
                      (json_int_t)json_array_size(r.m.list), "cpu", "capacity",
                      (json_int_t)info.cpus, "used", (double)reserved.nano_cpus / 1e9, "memory_mb",
                      "capacity", (json_int_t)(info.memory >> 20), "used",
                      (json_int_t)(reserved.bytes >> 20), "resident", (json_int_t)(resident >> 20));
        if (!*ret)
            rc = mag_fail_nomem(c->err);
    }
    swarm_run_done(&r);
    return rc;
}

int32_t local_client_config(struct mag_call *c, json_t **ret)
{
    const char *address = mag_json_text(c->spec, "cluster.api_address", NULL);
    char found[64];
    if (!address) {
        struct swarm_run r = swarm_run_of(c);
        int32_t rc = mag_local_run_peek(&r.m);
        const struct mag_roster_node *first =
            rc == MAG_OK ? mag_roster_first_master(&r.m.st) : NULL;
        unsigned port = first ? r.m.seen[first - r.m.st.v].record.port : 0;
        swarm_run_done(&r);
        if (rc != MAG_OK)
            return rc;
        if (!port)
            return mag_fail(c->err, MAG_E_NOT_FOUND, 0, "NoManager",
                            "wait until the cluster is complete", "The cluster has no API yet");
        (void)snprintf(found, sizeof found, "tcp://127.0.0.1:%u", port);
        address = found;
    }
    *ret = json_pack("{s:{}, s:{s:s, s:s, s:s}}", "files", "env", "DOCKER_HOST", address,
                     "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", "${dir}");
    return *ret ? MAG_OK : mag_fail_nomem(c->err);
}
