/* One driver host: started, greeted, and ended. Owned by one thread at a time: the caller that
 * acquired it, the pool while it is idle, the keeper while it retires.
 * Neighbours: supervisor.c, conversation.c, transport_internal.h. */
#ifndef MAGNUM_DRIVERS_CHILD_H
#define MAGNUM_DRIVERS_CHILD_H

#include "drivers/child_log.h"
#include "drivers/transport_internal.h"
#include "host/frames.h"

struct driver_pool;
struct driver;

struct child {
    struct child *next; /* in the pool's idle or retiring list */
    struct driver *driver;
    const struct driver_transport *transport;
    struct transport_conn conn;
    struct frame_reader in;
    struct child_log log;
    json_t *verbs;     /* {interface: [verbs]}, from its hello */
    json_t *isolation; /* rows, from its hello; NULL = it says nothing */
    bool texts;        /* it takes documents as texts behind a call (host/frames.h) */
    uint32_t calls;
    int64_t born_ms, base_rss_kb;
    int64_t idle_since_ms; /* given back then */
    int64_t kill_at_ms;    /* while retiring */
};

/* Waits for the host's hello after sending ours (borrowed). ERR_UNAVAILABLE with the host's own
 * words when it refuses the plugin, with `died` set when it ended or kept silent. */
int child_greet(struct child *c, const json_t *hello, size_t max_frame, int64_t timeout_ms,
                bool *died, struct err *e) MUST_CHECK;
bool child_offers(const struct child *c, const char *iface, const char *verb);
/* True when the process has ended. */
bool child_ended(const struct child *c);
/* Waits until it has ended, taking in what it prints meanwhile. False when the time is over. */
bool child_wait_end(struct child *c, int64_t timeout_ms);
/* Makes it end: SIGTERM, after term_ms SIGKILL. */
void child_kill(struct child *c, int64_t term_ms);
/* Takes the end in and frees everything: the host must have ended. why: see transport reap. */
void child_bury(struct child **c, char why[DEATH_WHY]);
/* Resident memory in KiB, -1 when unknown. */
int64_t child_rss_kb(const struct child *c);

#endif
