/* Inside the HTTP server: one struct per connection, which holds the one request it may have in
 * hand (HTTP/1.1 answers in order), and the daemon around them.
 *   server.c          start, graceful stop, libmicrohttpd's options
 *   server_request.c  from libmicrohttpd's calls to one handler call and its answer
 *   server_watch.c    the list of connections and their deadlines
 *   server_limit.c    which connection goes when there are too many, or too much is unread
 *   server_work.c     threads for requests that wait for somebody
 *   server_park.c     requests that wait for news, without a thread
 *   server_tick.c     wakes the threads of the pool at each look of the watcher
 * A connection belongs to one thread of the pool; only `mark` is shared with the watcher. */
#ifndef MAGNUM_HTTP_SERVER_INTERNAL_H
#define MAGNUM_HTTP_SERVER_INTERNAL_H

#include "http/listen_internal.h"
#include "http/server.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

/* Who acts next on a connection. `mark` is (deadline_ms << 2) | phase: one word, so that the
 * watcher ends exactly the wait it looked at. */
enum phase {
    PHASE_READING,  /* the client, who sends a request or is idle */
    PHASE_HANDLING, /* we: no deadline */
    PHASE_WRITING,  /* the client, who reads the answer */
    PHASE_EXPIRED,  /* the watcher has shut the socket */
};

struct conn {
    struct http_server *server;
    struct conn *prev, *next; /* list of the server, under its lock */
    int fd;
    bool from_loopback;
    atomic_uint_fast64_t mark;
    uint64_t end_seen;    /* the watcher's: `mark` when the client had closed its side */
    uint64_t taken;       /* the watcher's: bytes the client had taken when it last took some */
    int64_t taken_ms;     /* and when that was */
    atomic_bool begun;    /* a request line has arrived since the last answer */
    atomic_size_t unread; /* size of the answer it is reading */
    atomic_int_fast64_t reading_ms; /* since when */
    bool leaving;                   /* pushed out or refused, under the server's lock */

    /* The request in hand; reset by request_reset. */
    struct MHD_Connection *mhd;
    int64_t began_us; /* monotonic: when all of it was here */
    bool counted;     /* in server->in_flight */
    bool bad_escape;
    int reject; /* ERR_* of a refusal, 0 = none */
    const char *reject_text;
    struct str raw, body;
    bool semicolons;
    uint64_t received;
    struct http_request pub;

    /* While a waiting request is with server_work.c. */
    struct conn *next_job;
    struct http_response answer;
    bool answered;

    /* server_park.c */
    _Atomic(struct http_ticket *) ticket; /* made when first needed, kept as long as this */
    bool parked;                          /* by the handler that ran last */
    bool again;                           /* resumed from there: the handler is asked again */
};

struct http_server {
    struct MHD_Daemon *daemon;
    struct http_listener listener;
    int silent; /* takes the listener's place at the end: an eventfd */
    http_handler handler;
    http_reject_fn reject;
    http_waits_fn waits;
    void *ctx;
    size_t max_body, max_header, max_conns, max_unread;
    int64_t timeout_ms, shutdown_ms;
    atomic_bool draining;
    atomic_uint_fast32_t in_flight;
    atomic_uint_fast32_t inside; /* threads of the pool that are in a handler */
    unsigned threads;            /* that may be, while one more listens */
    atomic_size_t unread;        /* sizes of all answers that clients have not read to their end */

    /* Connections, their counts, watch_stop; with `idle` also the end of in_flight. */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    struct conn *conns;
    struct http_server_counts counts, told; /* told: what the log knows */
    uint64_t leaving;                       /* of counts.open: shut, and not closed yet */
    int64_t tell_ms;
    pthread_t watcher;
    bool watching, watch_stop;
    int *ticks; /* server_tick.c: our ends, one for each thread of the pool */
    unsigned n_ticks;

    struct work *work;
};

/* server_request.c */
enum MHD_Result request_access(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_size, void **req);
void *request_line(void *cls, const char *uri, struct MHD_Connection *mhd);
size_t request_unescape(void *cls, struct MHD_Connection *mhd, char *s);
void request_completed(void *cls, struct MHD_Connection *mhd, void **req,
                       enum MHD_RequestTerminationCode why);
/* Writes a refusal straight to the socket: the client stalls, libmicrohttpd will not answer. */
void request_refuse_raw(struct conn *c, int code, const char *text);
/* Fills c->answer by the handler or the reject function. False: the handler has parked it. */
bool request_run(struct conn *c);

/* server_watch.c */
void watch_connection(void *cls, struct MHD_Connection *mhd, void **socket_ctx,
                      enum MHD_ConnectionNotificationCode what);
bool watch_phase(struct conn *c, enum phase from, enum phase to, int64_t wait_ms);
int watch_start(struct http_server *s, struct err *e) MUST_CHECK;
void watch_end(struct http_server *s);
/* Shuts every connection and waits until the pool has closed them. */
void watch_close_all(struct http_server *s);

/* server_limit.c */
/* Lowers api.max_connections to what the process may open, after raising that. */
void limit_connections(struct http_server *s, const struct config *cfg);
/* Under the lock: makes room for c, which has just been added. False: refuse it. */
bool limit_make_room(struct http_server *s, struct conn *c);
/* Tells in the log, now and then, what was closed or refused. Under the lock. */
void limit_tell(struct http_server *s, int64_t now_ms);
/* An answer of this size begins to be read, or its reading has ended. */
void limit_reading(struct conn *c, size_t size);
void limit_read(struct conn *c);
/* The time from which c has taken nothing of its answer. */
int64_t limit_stalled_since(struct conn *c, int64_t now_ms);

/* server_park.c */
/* After a handler that parked: true when the request sleeps now (and c may be somebody else's
 * already), false when it was rung meanwhile. suspend: the connection is not suspended yet. */
bool park_sleep(struct conn *c, bool suspend);
bool park_asleep(struct http_ticket *t);
void park_gone(struct http_ticket *t); /* rings: nobody waits for the answer any more */
/* Before the handler of a parked request is asked again. */
void park_wake(struct conn *c);
/* The connection is closed. */
void park_close(struct conn *c);
struct http_ticket *park_ref(struct http_ticket *t);

/* server_tick.c */
/* After the daemon's start, for the threads of its pool. */
int tick_start(struct http_server *s, unsigned threads, struct err *e) MUST_CHECK;
/* Whether this connection is one of those. They have no struct conn. */
bool tick_is(struct MHD_Connection *mhd);
/* Under the lock. */
void tick_all(struct http_server *s);
/* When neither daemon nor watcher is there any more. */
void tick_end(struct http_server *s);

/* server_work.c */
int work_start(struct http_server *s, unsigned threads, struct err *e) MUST_CHECK;
/* Suspends the connection, runs its request on another thread and resumes it. False after
 * work_stop. */
bool work_add(struct http_server *s, struct conn *c);
/* Runs what is queued and ends the threads. work_free only when no connection is left. */
void work_stop(struct http_server *s);
void work_free(struct http_server *s);

#endif
