/* Long polls on events: requests that wait until something happens to an operation or a cluster.
 * A waiting request holds a connection, an entry here and nothing else. It is rung by news from the
 * conductors; since news may get lost, all waits are also looked at together now and then, and a
 * request whose time is over is rung too. Neighbours: operations.c parks requests; http/server.h;
 * rpc/rpc.h brings the news. */
#ifndef MAGNUM_API_FOLLOW_H
#define MAGNUM_API_FOLLOW_H

#include "base/err.h"

#include <stdint.h>

struct config;
struct db;
struct follow;
struct http_ticket;
struct rpc_key;

/* with_news false: nobody publishes, the looks must do. */
int follow_start(const struct config *cfg, struct db *db, bool with_news, struct follow **ret,
                 struct err *e) MUST_CHECK;
/* Its key for the news again, in two steps: see rpc_listener_read_again. */
int follow_read_again(struct follow *f, struct rpc_key **ret, struct err *e) MUST_CHECK;
void follow_take(struct follow *f, struct rpc_key **key);
/* Rings everybody and lets nobody wait any more; called before the listener is stopped. */
void follow_close(struct follow *f);
void follow_free(struct follow **f);

/* Rings `ticket` once: at news of the operation or cluster `id` after event `after`, at the end of
 * the operation, or at deadline_ms. Takes the ticket. ERR_UNAVAILABLE when too many wait already
 * (api.follow_waiters), ERR_CANCELLED after follow_close: answer now. */
int follow_add(struct follow *f, const char *id, bool cluster, int64_t after, int64_t deadline_ms,
               struct http_ticket *ticket, struct err *e) MUST_CHECK;
/* Its request was called for another reason: forget it. */
void follow_drop(struct follow *f, const struct http_ticket *ticket);
/* Something was stored for this operation by this process itself. */
void follow_operation(struct follow *f, const char *operation_id);

#endif
