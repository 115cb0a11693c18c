/* A pool of driver hosts with the built plugins, and a recording stand-in for the conductor's
 * services: outputs, state and ledger are kept in memory.
 * Neighbours: tests/component/driver_*.c. */
#ifndef MAGNUM_TESTS_DRIVER_POOL_H
#define MAGNUM_TESTS_DRIVER_POOL_H

#include "config/config.h"
#include "drivers/front_coe.h"
#include "drivers/transport_internal.h"
#include "magnum/lifecycle.h"

#include <pthread.h>

#define SIM_ID "org.magnum.simulator"
#define PLAIN_ID "test.fixture.plain"

/* The host as a thread of this process: see core/drivers/transport_internal.h. */
extern const struct driver_transport transport_inprocess;

struct test_pool {
    struct config *cfg;
    struct plugin_list plugins;
    struct driver_pool *pool;
    char dir[64];      /* temporary; the simulator's state_dir */
    int fds, children; /* before */
};
/* Defaults for tests: short graces, both plugin directories of the build. Change cfg, then start.
 */
void test_pool_prepare(struct test_pool *t);
void test_pool_set(struct test_pool *t, const char *option, const char *value);
void test_pool_start(struct test_pool *t, const struct driver_transport *transport);
/* Ends the pool; then nothing may be left: no descriptor, no child. */
void test_pool_end(struct test_pool *t);
int test_count_fds(void);
int test_count_children(void);
pid_t test_newest_child(void);  /* begun last (process ids wrap around); 0 = no child */
bool test_wait_gone(pid_t pid); /* ended and reaped, within 60 s */

struct record { /* what one cluster's conductor would know */
    pthread_mutex_t lock;
    json_t *outputs;  /* key to last value */
    json_t *ledger;   /* list of entries */
    json_t *http_log; /* requests that arrived */
    char *state;      /* last checkpoint */
    int checkpoints;
    bool cancel, fenced;
    int fail_code; /* every service fails with it; 0 = none */
};
void record_init(struct record *r);
void record_done(struct record *r);
struct coe_services record_services(struct record *r);
size_t record_ledger_count(const struct record *r, const char *kind);

/* {"cluster": {uuid, labels}, "template": {coe}, "nodegroups": [masters, workers], "params": {}};
 * labels: "a=b,c=d". */
json_t *test_spec(const char *cluster, int masters, int workers, const char *labels);
/* One call on a fresh result. spec: borrowed. */
struct coe_call test_call(const char *driver, const char *verb, const json_t *spec,
                          const char *cluster, const struct coe_services *svc);
/* Steps until the verb ends; state and attempts are handled as a conductor would. The last result's
 * rc; *ret_steps calls were made (may be NULL). Host deaths are repeated up to 5 times. */
int32_t test_walk(struct driver_pool *p, struct coe_call c, struct record *r, int *ret_steps,
                  struct coe_result *last);
/* Files of nodes of one nodegroup ("" = all) of a cluster. */
int test_count_nodes(const struct test_pool *t, const char *cluster, const char *group);

#endif
