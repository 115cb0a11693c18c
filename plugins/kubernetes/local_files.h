/* What the writers of a node's files share. Neighbours: local_files.c, local_parts.c. */
#ifndef KUBERNETES_LOCAL_FILES_H
#define KUBERNETES_LOCAL_FILES_H

#include "local_run.h"

#define CONTAINERD_SOCKET "/run/containerd/containerd.sock" /* in the node's own /run */
#define SANDBOX_IMAGE "localhost/magnum-pause:1"
/* A node's heartbeat; the controllers wait for twice as long until they call it dead. */
enum { LEASE_SECONDS = 16, GRACE_SECONDS = 2 * LEASE_SECONDS };

/* Writes doc as DIR/name, 0600, and decrefs it. */
int32_t files_put_json(const char *dir, const char *name, json_t *doc, mag_error *err);
/* local_parts.c: BASE/group.json, the daemons of the node. */
int32_t local_write_parts(struct mag_local_run *r, const struct mag_roster_node *n,
                          const struct binaries *bin, const char *base);
/* Where workers find the API: a new list of "address:port" of the masters that stay. */
json_t *local_masters_of(const struct mag_local_run *r);
/* local_members.c: the members that a later master's etcd joins, as its flag takes them; NULL: it
 * is of the first ones. The caller frees. */
char *local_join_list(const char *base);

#endif
