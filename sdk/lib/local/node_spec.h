/* What magnum-local-node was asked to start, and its two halves: node_start.c prepares and records
 * the node from outside, node_init.c is the node's first process. Private to the program. */
#ifndef MAGNUM_SDK_LIB_LOCAL_NODE_SPEC_H
#define MAGNUM_SDK_LIB_LOCAL_NODE_SPEC_H

#include <stdbool.h>
#include <stdint.h>

enum { NODE_BINDS_MAX = 16 };

struct node_spec { /* all borrowed from the command line */
    const char *base, *netns, *cgroup, *hostname, *path;
    const char *binds[NODE_BINDS_MAX]; /* "/target=name" */
    unsigned n_binds;
    uint64_t memory_mb;
    bool listen;
    char **argv;
};

/* 0: the node runs (or ran already); else the exit status, with a line on stderr. */
int node_start(const struct node_spec *s);

struct node_pipes {
    int listen_fd; /* or -1 */
    int go_fd;     /* one byte comes when the node is recorded; end of file: give up */
    int report_fd; /* why it failed, closed by a successful exec */
};
/* The first process of the node's namespaces; never returns. */
_Noreturn void node_init(const struct node_spec *s, struct node_pipes p);

/* Tries out what nodes need from the kernel: prints one line per missing part. 0: all there. */
int node_check(const char *ip);

#endif
