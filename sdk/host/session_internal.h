/* One connection as the driver's side sees it; shared by serve.c, call.c and upcalls.c only. */
#ifndef MAGNUM_HOST_SESSION_INTERNAL_H
#define MAGNUM_HOST_SESSION_INTERNAL_H

#include "host/frames.h"
#include "magnum/plugin.h"

#include <pthread.h>
#include <stdbool.h>

struct kept { /* memory that lives until the current call returns */
    struct kept *next;
    char *data;
    size_t len;
};

struct session {
    int sock;
    size_t max_frame;
    struct frame_reader in;
    pthread_mutex_t out_lock; /* log() may write from any thread */
    bool own_process;
    bool lost;     /* the connection broke: every service fails from now on */
    json_t *hello; /* the parent's: manifest facts and `config` */
    mag_host host; /* the table given to the plugin */
    const mag_plugin *plugin;
    void *self;
    json_t *offer;     /* what load_interfaces found */
    json_t *isolation; /* what `prepare` did */
    /* the current call */
    uint32_t call;         /* 0 = none */
    const mag_op *op;      /* NULL = none: services are refused */
    pthread_t call_thread; /* who may use them */
    struct kept *kept;
    bool fenced;             /* a service said so: the others say it too */
    bool cancelled;          /* once cancelled, always */
    int64_t cancel_asked_ms; /* the parent is asked now and then, not on every poll */
};

/* upcalls.c */
void session_host_init(struct session *s);
/* Hands memory from malloc to the call; wiped and freed at its end. NULL when memory is gone
 * (data is freed then). */
char *session_keep(struct session *s, char *data, size_t len);
void session_drop_kept(struct session *s);
/* Sends a frame under the lock; FRAME_E_TOO_LARGE leaves the connection intact, anything else
 * that fails ends it. */
int session_send(struct session *s, uint8_t type, const json_t *body);
/* The connection broke: ends the process when it is ours. */
void session_lost(struct session *s);
/* A line about the plugin itself, marked as such. */
void session_complain(struct session *s, const char *text);
/* Fills what the struct has room for; err may be NULL. Returns code. */
int32_t session_fail(mag_error *err, int32_t code, uint32_t flags, const char *reason,
                     const char *message);

/* call.c: runs one CALL frame; the RESULT body, or NULL when memory is gone. */
json_t *session_call(struct session *s, const struct frame *f);

#endif
