/* Shared inside core/rpc only: the wire format, sockets and their security, the key files.
 *
 * Wire format, "mrpc/1". A request is six frames: version, id, kind (call or notify), method,
 * milliseconds the caller still waits, parameters (JSON). An answer is four: version, id, status,
 * body (JSON). Status "ok": the result; "error": {"code","message"} from the handler; "refused":
 * the same, but the server did not start the work and another one should be asked.
 * Beside the method's own parameters a request may carry a member "_trace" with what the caller's
 * log and trace know it by ({"request", "parent", "state"}); the server takes it out again, and one
 * that does not know it passes it over.
 * Time left travels as a duration, since the clocks of two machines need not agree.
 * Neighbours: client.c, calls.c, peers.c, server.c; base/config below. */
#ifndef MAGNUM_RPC_RPC_INTERNAL_H
#define MAGNUM_RPC_RPC_INTERNAL_H

#include "base/err.h"
#include "base/trace.h"
#include "rpc/rpc.h"

#include <czmq.h>
#include <stdbool.h>

#define RPC_VERSION "mrpc/1"
enum {
    RPC_REQUEST_FRAMES = 6,
    RPC_ANSWER_FRAMES = 4,
    RPC_FRAMES_MAX = 8, /* more frames in one message are thrown away */
    RPC_ID_MAX = 64,
    RPC_METHOD_MAX = 64,
    RPC_JSON_DEPTH = 128,
    RPC_FRAME_SLACK = 256, /* what CURVE and ZMTP add to a frame */
};

/* ---- wire.c ---- */
struct rpc_frames {
    zframe_t *v[RPC_FRAMES_MAX];
    size_t n; /* frames received, also those thrown away */
};
/* Receives one whole message without waiting; false when there is none. */
bool rpc_frames_recv(zsock_t *sock, struct rpc_frames *f);
void rpc_frames_done(struct rpc_frames *f);
/* True when frame i is exactly this text. */
bool rpc_frame_is(const struct rpc_frames *f, size_t i, const char *text);
/* Copies a short text frame; false when it is too long or has control characters. */
bool rpc_frame_text(const struct rpc_frames *f, size_t i, char *buf, size_t size);
/* Sends n frames without ever waiting; false (nothing sent) when the queue is full or nobody is
 * there. An empty body is a valid frame. */
struct rpc_part {
    const void *data;
    size_t size;
};
bool rpc_parts_send(zsock_t *sock, const struct rpc_part *parts, size_t n);
/* The caller's ids as a member of the parameters, put into their text ("{...}"); "" when this
 * thread has none. Caller frees; NULL = no memory. */
char *rpc_trace_member(void);
/* The reverse, on the thread that serves: takes the member out of params, sets the log's context
 * and begins the span of the call, which is current until it ends. *ret_ids (or NULL) is what the
 * span borrows from: the caller's, to be given back once it has ended. */
void rpc_trace_begin(json_t *params, const char *method, bool notify, struct trace_span *span,
                     json_t **ret_ids);
/* {"code","message"} of an error as text. Caller frees; NULL = no memory. */
char *rpc_error_body(const struct err *e);
/* The reverse: fills e and returns its code (PROTOCOL when it can't be read). */
int rpc_error_parse(const char *body, size_t len, struct err *e);

/* ---- endpoint.c ---- */
/* tcp://host:port and ipc://path only; without CURVE only loopback and ipc. ERR_CONFIG. */
int rpc_endpoint_check(const char *endpoint, bool curve, struct err *e) MUST_CHECK;
/* A socket with the options that client and server share: linger, limits, heartbeats. */
zsock_t *rpc_socket_new(const struct config *cfg, int type, const char *endpoint, struct err *e);
int rpc_socket_set(zsock_t *s, int option, int value, struct err *e) MUST_CHECK;
/* What happens to the connections of s (ZMQ_EVENT_*) comes out of *ret, which is never waited for.
 */
int rpc_monitor_open(zsock_t *s, int events, zsock_t **ret, struct err *e) MUST_CHECK;
/* Ends both, either of which may be NULL. */
void rpc_monitor_close(zsock_t **s, zsock_t **monitor);
/* Threads of this folder leave all signals to the program's own. */
int rpc_thread_start(pthread_t *ret, void *(*fn)(void *), void *arg, struct err *e) MUST_CHECK;

/* A flag that zmq_poll can wait on: raised by any thread, lowered by the one that polls. */
int rpc_bell_new(struct err *e) MUST_CHECK; /* the descriptor, or ERR_* */
void rpc_bell_ring(int fd);
void rpc_bell_quiet(int fd);

/* ---- keys.c ---- */
/* dir/name with public and secret key; refuses a file that others can read. ERR_CONFIG names
 * magnum-keygen when it is missing. */
int rpc_key_load(const char *dir, const char *name, zcert_t **ret, struct err *e) MUST_CHECK;
struct rpc_key {
    zcert_t *cert;
};
/* The same key again, for a reload: *ret NULL when it is the one that `used` is, or there is none
 * (used NULL). */
int rpc_key_read_again(const char *dir, const char *name, const zcert_t *used, struct rpc_key **ret,
                       struct err *e) MUST_CHECK;
/* Is there such a directory that only its owner can write to? ERR_CONFIG; `dir` is for the advice.
 */
int rpc_authorized_check(const char *authorized, const char *dir, struct err *e) MUST_CHECK;
/* From now on only the public keys in dir/authorized are let in to CURVE servers of this process
 * (files may be added and removed while it runs; for connections from then on). Counted; one
 * directory per process. */
int rpc_gate_open(const char *dir, struct err *e) MUST_CHECK;
void rpc_gate_close(void);

#endif
