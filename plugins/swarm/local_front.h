/* The file that the TLS end of a node's API works with (front/front.h): written as a whole, read
 * back to know what a node has. Neighbours: local_nodes.c (new nodes), local_rotate.c. */
#ifndef SWARM_LOCAL_FRONT_H
#define SWARM_LOCAL_FRONT_H

#include "lib/local/cluster.h"

#include <magnum/host.h>

#include <stdbool.h>

struct local_front { /* texts are owned by `text` */
    char *text;
    const char *serial, *material, *trusted; /* material: key and certificate */
};
void local_front_done(struct local_front *f); /* wipes */
/* MAG_E_NOT_FOUND: the node has none (it was never started, or by a version without it). */
int32_t local_front_read(const char *base, struct local_front *ret, mag_error *err);
/* material: the private key, then the certificate, PEM. Unchanged content is not written again. */
int32_t local_front_write(const char *base, const char *material, const char *trusted,
                          mag_error *err);
/* Works the node with what was written last? MAG_AGAIN: not yet. */
int32_t local_front_in_use(const char *base, mag_error *err);

#endif
