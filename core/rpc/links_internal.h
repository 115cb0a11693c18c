/* The client's connections, one per live conductor, and the calls that travel over them. Both are
 * used by the client's I/O thread alone, so nothing here locks. Neighbours: client.c owns both;
 * peers.c and calls.c implement them. */
#ifndef MAGNUM_RPC_LINKS_INTERNAL_H
#define MAGNUM_RPC_LINKS_INTERNAL_H

#include "rpc/rpc_internal.h"

#include <stdint.h>

/* ---- connections (peers.c) ---- */
struct rpc_link {
    struct rpc_peer peer;
    zsock_t *dealer, *monitor; /* NULL when it could not be made: `problem` says why */
    unsigned key;              /* number of the own key that it was made with */
    uint64_t serial;           /* of the present connection; changes when it is lost */
    bool ready;                /* handshake done: messages can be sent */
    bool denied;               /* the conductor does not know our key */
    int64_t again_ms;          /* when it is tried again though */
    bool leaving;              /* no longer listed, kept for the answers it still owes */
    bool seen;                 /* by the refresh under way */
    int64_t not_before_ms;     /* asked to be left alone until then */
    char problem[192];
};
struct rpc_links {
    const struct config *cfg;
    zcert_t *cert; /* ours; NULL without CURVE */
    unsigned key;  /* its number */
    struct rpc_link **v;
    size_t n, next; /* next: where the round robin goes on */
    uint64_t last_serial;
};
/* Connects to the new ones and drops the ones gone: `lost` is called for each. One that still owes
 * an answer (`owes`) stays until it has given it or the connection breaks. */
typedef void (*rpc_lost_fn)(void *ctx, uint64_t serial);
typedef bool (*rpc_owes_fn)(void *ctx, uint64_t serial);
void rpc_links_update(struct rpc_links *l, const struct rpc_peer_list *peers, rpc_owes_fn owes,
                      rpc_lost_fn lost, void *ctx);
/* Takes a new key of ours: the next update makes connections with it. Those with an old one leave
 * with the update that finds the new one ready. */
void rpc_links_rekey(struct rpc_links *l, zcert_t *cert);
void rpc_links_done(struct rpc_links *l);
/* What ZeroMQ says about the connection: the next event, 0 when there is none. The caller reads
 * the answers that are there before it applies the event: they came first. */
uint16_t rpc_link_next_event(struct rpc_link *k);
/* True when the connection was lost with it; its serial was *ret_lost. */
bool rpc_link_apply(struct rpc_links *l, struct rpc_link *k, uint16_t event, uint64_t *ret_lost);
/* The next ready one whose serial is not among `asked`, or NULL. */
struct rpc_link *rpc_links_pick(struct rpc_links *l, const uint64_t *asked, size_t n_asked,
                                int64_t now_ms);
/* False when every conductor there is has turned us away for good. */
bool rpc_links_hopeful(const struct rpc_links *l);
/* Why the first one can't be reached, "" when nothing is known. */
const char *rpc_links_problem(const struct rpc_links *l);

/* ---- calls (calls.c) ---- */
enum rpc_outcome { RPC_PENDING, RPC_OK, RPC_ERROR, RPC_NO_PEER, RPC_TIMEOUT };
struct rpc_call {
    /* set by the caller */
    char method[RPC_METHOD_MAX];
    char *body;
    size_t body_len;
    bool notify, everyone;
    bool once; /* never given to a second conductor that might carry it out again */
    int64_t timeout_ms, deadline_ms;
    /* the I/O thread's */
    uint64_t seq;
    size_t slot;
    uint64_t at; /* connection asked last; 0 = waits for one */
    int64_t attempt_until_ms;
    uint64_t needs_list; /* number of the list of conductors it waits for; 0 = it asked for none */
    int64_t list_until_ms;
    uint64_t *asked; /* connections that have it */
    size_t n_asked;
    /* under the client's lock */
    struct rpc_call *next;
    enum rpc_outcome outcome;
    char *answer; /* JSON of OK and ERROR, plain text else */
    size_t answer_len;
    pthread_cond_t done;
};
struct rpc_call *rpc_call_new(const char *method, const json_t *params, size_t max_body,
                              struct err *e);
void rpc_call_free(struct rpc_call **call);

struct rpc_calls {
    struct rpc_call **v;        /* slot -> call or NULL */
    size_t n, used, first_free; /* no free slot below first_free */
    uint64_t last_seq;
};
int rpc_calls_add(struct rpc_calls *t, struct rpc_call *call) MUST_CHECK; /* 0 or ERR_NOMEM */
void rpc_calls_remove(struct rpc_calls *t, struct rpc_call *call);
void rpc_calls_done(struct rpc_calls *t);
/* The call of an id that came back, or NULL: answered already, or never ours. */
struct rpc_call *rpc_calls_find(const struct rpc_calls *t, const char *id);
/* Sends and remembers that `k` has it; false when the link can't take it now. */
bool rpc_call_send(struct rpc_call *call, struct rpc_link *k, int64_t now_ms);
/* The link gave it back unstarted: it may be asked again later. */
void rpc_call_forget(struct rpc_call *call, uint64_t serial);

#endif
