/* BASE/node.json: which process is the node. A pid alone says little, since pids are used again;
 * with the process's start time and the boot it belongs to it is unique.
 * Neighbours: node (reads), node_start (writes). */
#ifndef MAGNUM_SDK_LIB_LOCAL_RECORD_H
#define MAGNUM_SDK_LIB_LOCAL_RECORD_H

#include <magnum/error.h>

#include <stdbool.h>
#include <sys/types.h>

struct mag_node_record {
    pid_t pid; /* of the node's first process, as the host sees it; 0 = none */
    uint64_t start;
    char boot[40];
    unsigned port; /* on 127.0.0.1; kept when the node stops, so that it gets it again */
};

/* Zeroes *ret when there is none or it can't be read. */
void mag_record_read(const char *base, struct mag_node_record *ret);
int32_t mag_record_write(const char *base, const struct mag_node_record *r, mag_error *err);
/* Fills pid, start and boot for a living process. */
int32_t mag_record_of(pid_t pid, struct mag_node_record *ret, mag_error *err);
/* How long that process has been running, by its record; the end of time when there is none. */
int64_t mag_record_age_ms(const struct mag_node_record *r);
/* A pidfd of exactly that process, or -1: it is gone (or a zombie, or the machine was restarted).
 */
int mag_record_pidfd(const struct mag_node_record *r);

#endif
