/* The conductor: takes accepted operations from the queue under leases and carries them out with
 * drivers, looks at the health of clusters, and answers calls of the API. Any number of conductors
 * share the work; any of them may die at any moment. What to do next is decided by the pure engine
 * in operation/; this folder is its hands.
 * Neighbours: db (queue), drivers (front_coe), certs, http (broker), rpc (server); cmd starts it.
 */
#ifndef MAGNUM_CONDUCTOR_CONDUCTOR_H
#define MAGNUM_CONDUCTOR_CONDUCTOR_H

#include "base/err.h"

#include <stdbool.h>

struct config;
struct conductor;
struct db;

/* Starts all threads; when it returns the drivers are published and work is taken. ERR_CONFIG names
 * what to correct. cfg and db are borrowed until conductor_stop. */
int conductor_start(const struct config *cfg, struct db *db, struct conductor **ret,
                    struct err *e) MUST_CHECK;
/* Looks at the plugin directories again, at once (SIGHUP). Any thread. */
void conductor_reload(struct conductor *c);
/* What the certificate and key files in use hold now (SIGHUP), in two steps: read, ERR_CONFIG names
 * the file and the option; then taken. What has changed and can't be taken by a conductor that runs
 * is added to `restart`. conductor_take frees *fresh. */
struct conductor_fresh;
struct strv;
int conductor_read_again(struct conductor *c, const struct config *cfg,
                         struct conductor_fresh **ret, struct strv *restart,
                         struct err *e) MUST_CHECK;
void conductor_take(struct conductor *c, struct conductor_fresh **fresh);
/* Does it turn, be it that the database does not answer? False once it has stood still for longer
 * than others wait before they call it down (service_down_time_s). Any thread. */
bool conductor_alive(const struct conductor *c);
/* Writes what it holds at this moment into the log (SIGUSR1). Any thread. */
void conductor_dump(struct conductor *c);
/* The graceful end: takes no new work, lets steps end for shutdown_timeout_s, hands leases back,
 * leaves magnum_service. NULL is fine. */
void conductor_stop(struct conductor **c);
/* The id its leases carry; valid until conductor_stop. */
const char *conductor_instance(const struct conductor *c);

#endif
