/* What magnum-local-group runs in a node: several daemons as if they were one, for
 * magnum-local-node, which starts exactly one. Private to the program; the file it reads is
 *
 *   {"dir": BASE,                            logs NAME.log and the status file daemons.json
 *    "env": {NAME: value},                   besides PATH and HOME
 *    "sysctl": {"net/ipv4/ip_forward": "1"}, of the node's own network namespace
 *    "shared_mounts": bool,                  mounts made by one daemon are seen by the others
 *    "parts": [{"name": "etcd", "argv": [..],
 *               "once": bool,                has to end well before the next part begins
 *               "wait_unix": path, "wait_tcp": "ip:port",   the next part begins when it listens
 *               "stamp": any value}, ..      a part whose entry changed is started again
 *              {"name": "api", "listen": "ip:port" | "fd:3", "to": ["ip:port", ..]}]}   forwards
 *
 * SIGHUP reads it again. A daemon that ends is started again, later and later; what became of each
 * is in daemons.json: {"NAME": {"pid", "since", "runs", "fails", "why", "waits", "ready",
 * "stamp"}}; "fails" counts ends without a good run in between, "ready" of one that waits says that
 * it listens. Neighbours: node_init (starts it), group_forward, group_main. */
#ifndef MAGNUM_SDK_LIB_LOCAL_GROUP_H
#define MAGNUM_SDK_LIB_LOCAL_GROUP_H

#include <jansson.h>
#include <stdbool.h>

/* Opens the listening socket of a forwarding part: -1 with errno. "fd:N" is passed through. */
int group_listen(const char *where);
/* Serves it: each connection goes to the first address of `to` that takes it, the addresses tried
 * in their order. Never returns. */
_Noreturn void group_forward(int listen_fd, const json_t *to);
/* Does someone listen there ("ip:port", or a path of a unix socket)? */
bool group_listens(const char *where);

#endif
