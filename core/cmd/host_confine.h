/* magnum-driver-host shuts itself in before it loads the driver: what core/drivers/confine.c
 * decided comes in the conductor's hello. Three parts: rights and limits (host_confine.c), what of
 * the file system is to be seen (host_view.c), system calls (host_calls.c). Each measure leaves a
 * row of {measure, state, detail}, which the conductor logs and shows. Neighbours:
 * magnum-driver-host.c; docs/isolation.md. */
#ifndef MAGNUM_CMD_HOST_CONFINE_H
#define MAGNUM_CMD_HOST_CONFINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Sanitizers map terabytes, trace their own process and start a symbolizer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct shut_in {
    bool strict, exec, network_direct, unix_sockets;
    uid_t uid;     /* 0 = stay who we are */
    int map_fd;    /* a user namespace in which the owner of our files is `uid` */
    json_t *rows;  /* what was done; owned */
    bool own_view; /* host_view.c did its work */
    bool refused;  /* strict, and something is not in force */
    char why[200]; /* then */
};
/* One measure: ok, or not in force with the reason as detail. */
__attribute__((format(printf, 4, 5))) void shut_note(struct shut_in *s, const char *measure,
                                                     bool ok, const char *fmt, ...);

/* First thing in main: signals that would not end a process whose id is 1. */
void host_signals(void);
/* Ties our life to the conductor's. Must be asked for again after a change of user. */
void host_die_with_parent(void);
enum { FD_MAPPING = 5 };
/* serve_args.prepare: everything. Non-zero refuses the driver. */
int host_confine(const json_t *hello, json_t **ret_rows, char *why, size_t why_size);

/* host_view.c: own mounts, read-only, without the places in `hide`, with the driver's `own`. */
void host_view(struct shut_in *s, const json_t *confine);
/* host_calls.c: the filter; last of all. */
void host_calls(struct shut_in *s);

#endif
