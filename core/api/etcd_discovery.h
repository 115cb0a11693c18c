/* The built-in etcd discovery, for clouds whose nodes can't reach one on the internet: the part of
 * etcd's v2 protocol that a member with --discovery speaks (etcd, "Discovery service protocol").
 * Neighbours: api.c sends /discovery here; cluster_create.c asks for a cluster's URL. */
#ifndef MAGNUM_API_ETCD_DISCOVERY_H
#define MAGNUM_API_ETCD_DISCOVERY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api_call;
struct cluster;
struct config;
struct driver_row;

/* Is it a path below a token? Whoever knows the token may use it, as a member of etcd has no other
 * credential; only /discovery/new is for users. */
bool etcd_discovery_open(const struct config *cfg, const char *path);
/* Serves a path; seg: the segments after "discovery", n > 0. Errors are those of /discovery/new;
 * a token's path answers itself, in etcd's form. */
int etcd_discovery(struct api_call *c, const char *const *seg, size_t n, struct err *e) MUST_CHECK;

/* Gives a new cluster its discovery URL when its driver uses one, or checks the one it brings: it
 * must be meant for as many members as there are masters. ERR_INVALID and ERR_UNAVAILABLE with
 * Magnum's texts. A dry run makes nothing. */
int etcd_discovery_for(struct api_call *c, const struct driver_row *d, struct cluster *cl,
                       int64_t masters, struct err *e) MUST_CHECK;

#endif
