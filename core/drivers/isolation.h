/* What is in force around the processes of a driver on this machine, as they say themselves in
 * their hello, and the cgroups, which they don't know of. Neighbours: supervisor.c, verify of
 * magnum-driver-manage; docs/isolation.md. */
#ifndef MAGNUM_DRIVERS_ISOLATION_H
#define MAGNUM_DRIVERS_ISOLATION_H

#include <jansson.h>

struct driver_pool;
struct driver;
struct child;

/* Rows of {measure, state ("in force", "not in force", "off"), detail} of the driver's last
 * process; NULL before there was one. The caller's. */
json_t *driver_pool_isolation(struct driver_pool *p, const char *driver_id);
/* Takes in what a process said; told in the log when it is not what the last one said. */
void isolation_note(struct driver_pool *p, struct driver *d, struct child *c);

#endif
