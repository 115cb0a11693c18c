/* One call on one host: sends CALL, answers upcalls, takes in log lines, waits for RESULT within
 * the budget. Runs on the calling thread, in poll.
 * Neighbours: front_coe.c, host_services.c, contract.c. */
#ifndef MAGNUM_DRIVERS_CONVERSATION_H
#define MAGNUM_DRIVERS_CONVERSATION_H

#include "drivers/supervisor.h"
#include "host/verbs.h"

/* verb NULL: the probe. 0: *ret is filled from the driver's answer. ERR_TOO_LARGE: the call does
 * not fit into a frame; the host is unharmed. Otherwise the host must be ended: ERR_TIMEOUT (no
 * answer within budget and grace), ERR_PROTOCOL (it closed, died or sent nonsense), ERR_CANCELLED
 * (the pool stops and the grace is over). */
int converse(struct driver_pool *p, struct child *c, const struct coe_call *call,
             const struct verb *verb, struct coe_result *ret, struct err *e) MUST_CHECK;

#endif
