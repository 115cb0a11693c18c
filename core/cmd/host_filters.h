/* The filters of system calls that a driver's process takes on, made while Magnum is built
 * (make_host_filters.c). Neighbours: host_calls.c. */
#ifndef MAGNUM_CMD_HOST_FILTERS_H
#define MAGNUM_CMD_HOST_FILTERS_H

#include <linux/filter.h>

enum { HOST_TOLD_MAX = 64 };

enum host_sockets { HOST_SOCKETS_NONE, HOST_SOCKETS_LOCAL, HOST_SOCKETS_ALL, HOST_SOCKETS_KINDS };
/* By whether it may start programs and which sockets it may open. */
extern const struct sock_fprog host_filters[2][HOST_SOCKETS_KINDS];

struct host_told { /* a call that is told when it was refused */
    int nr;
    char name[24]; /* "" = the list ends */
};
extern const struct host_told host_told[HOST_TOLD_MAX];

#endif
