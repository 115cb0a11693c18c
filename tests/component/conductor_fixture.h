/* Real conductors for tests: magnum-conductor processes with the simulator, against a private
 * PostgreSQL. Requests are accepted as the API would accept them; results are read from the
 * database; the simulator's nodes are files that can be counted.
 * Neighbours: tests/component/conductor*.c. */
#ifndef MAGNUM_TESTS_CONDUCTOR_FIXTURE_H
#define MAGNUM_TESTS_CONDUCTOR_FIXTURE_H

#include "component/db_fixture.h"

#include <sys/types.h>

#define SIM "org.magnum.simulator"
enum { PATIENCE_MS = 100000 }; /* a hang, not a measure */

struct process {
    pid_t pid;
    char host[32];
};
extern char dir[64]; /* temporary: keys, logs, the simulator's state */

int conductors_setup(void); /* suite setup and teardown */
int conductors_teardown(void);
/* A fresh database, no node files. */
void fresh_world(void);
/* Starts one; options are "section.name=value", up to NULL. Returns once it is published. */
struct process start_conductor(const char *host, ...) __attribute__((sentinel));
/* Its exit status, or -signal. SIGTERM is sent first when `sig` is that. 0 = already gone. */
int end_conductor(struct process *p, int sig);
/* What it said on stderr; caller frees. */
char *conductor_log(const struct process *p);

extern const char *driver_of_clusters; /* SIM */
extern const char *trace_of_creates;   /* traceparent and tracestate; NULL: none */
/* A conductor in this process, in a fresh world, with one option set (or NULL). */
struct here {
    struct config *cfg;
    struct conductor *conductor;
};
extern struct here here;
void start_here(const char *option, const char *value);
void configure_here(const char *option, const char *value); /* all but its start */
void stop_here(void);

/* A cluster of the simulator with these labels ("a=b,c=d"), its create accepted. */
void create(struct made *m, const char *name, int64_t workers, const char *labels);
void create_until(struct made *m, const char *name, int64_t workers, const char *labels,
                  int64_t deadline_ms);
/* Accepts it; the operation's id is kept in the caller's buffer. */
void request(const char *cluster, const char *kind, const struct db_change *ch, char id[40]);
void request_until(const char *cluster, const char *kind, const struct db_change *ch,
                   int64_t deadline_ms, char id[40]);
void scale_to(const char *cluster, int64_t workers, char id[40]);
/* Waits until the operation has this status; fatal when it takes PATIENCE_MS. */
void await(const char *operation, const char *status);
void await_sql(const char *query, const char *answer);
/* One column of the operation. */
const char *op_value(const char *operation, const char *column);
int node_files(const char *cluster); /* how many nodes exist; no directory = -1 */

#endif
