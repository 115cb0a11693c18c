/* Mesos masters and Marathon over HTTP: what a step asks and says. Of several masters one leads;
 * the others answer with a redirect to it, and while none leads all of them refuse. Answers are
 * reduced to what the driver decides on. Plain HTTP, as Mesos is used inside a tenant's network.
 * Neighbours: mesos_scale, mesos_health, lib/http. */
#ifndef MESOS_API_H
#define MESOS_API_H

#include "lib/json.h"

#include <stddef.h>

enum { MESOS_MASTER_PORT = 5050, MARATHON_PORT = 8080, MESOS_MASTERS_MAX = 7 };

struct mesos_masters { /* of one cluster; borrows */
    const mag_host *host;
    const mag_op *op;
    uint32_t timeout_ms;                    /* per exchange; 0 = the budget */
    const char *address[MESOS_MASTERS_MAX]; /* as the conductor reaches them */
    const char *inside[MESOS_MASTERS_MAX];  /* as they know each other; NULL: the same */
    size_t n;
};

struct mesos_agent {
    char id[80], host[256]; /* host: what the agent calls itself, a node's address */
    bool active;
    unsigned tasks; /* staging or running */
};
struct mesos_state {
    size_t leader; /* place in mesos_masters */
    char version[32], leader_pid[300];
    struct mesos_agent *v;
    size_t n;
    double cpus, cpus_used, mem, mem_used; /* mem in MB */
};
void mesos_state_done(struct mesos_state *s);

/* What the leader says. A master that does not lead leads to the one that does; only masters of
 * the cluster are followed. MAG_E_BUSY (retryable): they are electing; MAG_E_UNAVAILABLE: none
 * answers. */
int32_t mesos_state_read(const struct mesos_masters *m, struct mesos_state *ret, mag_error *err);
/* By the host an agent calls itself; NULL: the masters do not know it. */
const struct mesos_agent *mesos_agent_at(const struct mesos_state *s, const char *host);

/* GET /health of one master: MAG_OK when it serves. */
int32_t mesos_health_of(const struct mesos_masters *m, size_t at, mag_error *err);

/* Puts these hosts under maintenance from now on, beside whatever windows there are already, so
 * that no new task is placed on them. Hosts that are in the schedule are left as they are. */
int32_t mesos_maintain(const struct mesos_masters *m, const struct mesos_state *s,
                       const json_t *hosts, mag_error *err);
/* Takes them down: their agents end and their tasks are started elsewhere. They have to be under
 * maintenance. */
int32_t mesos_machines_down(const struct mesos_masters *m, const struct mesos_state *s,
                            const json_t *hosts, mag_error *err);
/* Out of the schedule again, and all whose machine is gone with them; not being in it is fine. */
int32_t mesos_machines_forget(const struct mesos_masters *m, const struct mesos_state *s,
                              const json_t *hosts, mag_error *err);

/* GET /v2/info of the Marathon at that address. */
struct marathon_info {
    char version[32], leader[300];
    bool elected; /* the one that answered leads */
};
int32_t marathon_info(const struct mesos_masters *m, const char *address, struct marathon_info *ret,
                      mag_error *err);

#endif
