/* Looking at the machine with other eyes than the plugin's: /proc, /run/netns, cgroup directories,
 * mounts and Debian's docker client. Neighbours: local_swarm*.c. */
#ifndef TESTS_LOCAL_SWARM_LOOK_H
#define TESTS_LOCAL_SWARM_LOOK_H

#include "system/local_swarm_host.h"

#include <stddef.h>

/* Docker daemons of this world that run now. */
size_t look_daemons(const struct world *w);
/* Everything of the cluster that is still on this machine, one per line on stderr; how many. Waits
 * up to two seconds for what the kernel tears down in the background. */
size_t look_leftovers(const struct world *w);
/* Mounts inside a node that keep something of the host or of another node alive. */
size_t look_pinned(const struct world *w, unsigned index);
/* kill -9 of a node's first process; -1 when there is none. */
int kill_node(const struct world *w, unsigned index);
/* Runs docker against the published api_address with TLS; its stdout (to be freed) or NULL. */
char *docker(const struct world *w, const char *const args[]);
/* The same through a node's own socket. */
char *docker_on(const struct world *w, unsigned index, const char *const args[]);
/* Gives every running node the image "magnum-test:1": busybox, packed here. 0 or -1. */
int import_image(const struct world *w, unsigned nodes);
/* As after the machine's restart: no process, no network namespace, only files. */
int lose_power(const struct world *w, unsigned nodes);
/* Nodes the docker client lists as Ready. */
size_t docker_ready(const struct world *w);
/* A spec of a cluster named "c" with two default groups; params: NULL or an object (stolen). */
json_t *spec_of(int managers, int workers, json_t *params);

#endif
